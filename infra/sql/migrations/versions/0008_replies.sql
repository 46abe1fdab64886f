-- Replies to customers that people have released.

create table patterns.released_replies (
    place bigint generated always as identity,  -- in the order of their release
    root_run uuid not null,
    ticket text not null,
    reply text not null,
    sha256 text not null,                   -- of the reply's UTF-8
    review bigint not null references patterns.reviews,
    reviewers text[] not null,
    released_at timestamptz not null default now(),
    primary key (root_run, ticket)
);
