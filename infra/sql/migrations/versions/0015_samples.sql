-- The facts that a theme is worded from stay the same while it grows.
alter table patterns.themes
    add column sample text[] not null default '{}',     -- ids of facts; empty: none was drawn yet
    add column drawn_of integer not null default 0;     -- distinct facts that it had then
