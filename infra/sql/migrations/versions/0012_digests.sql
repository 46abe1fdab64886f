-- Digests: what the themes of a source were when it was last told what has changed.

create table patterns.digests (
    id bigint generated always as identity primary key,
    root_run uuid not null,
    source text not null,                   -- a file, `corpus:NAME`, …
    lineage text not null,                  -- of its codebook
    days integer not null,                  -- that it looks back on; 0: all
    after bigint,                           -- digest that it was compared with; null: it was the first
    generation integer not null,            -- of the codebook
    entries integer not null,               -- of the codebook: themes with ids below it were there
    tickets text[] not null,                -- ids of all, also of those under no theme
    made_at timestamptz not null,
    unique (root_run, lineage, days)        -- a run that starts anew keeps one digest
);
create index digests_by_lineage on patterns.digests (lineage, days, id desc);

create table patterns.digest_themes (
    digest bigint not null references patterns.digests on delete cascade,
    theme integer not null,                 -- id in the codebook
    title text,                             -- of a model, from texts of these tickets; null: dropped
    tickets text[] not null,                -- ids
    primary key (digest, theme)
);
