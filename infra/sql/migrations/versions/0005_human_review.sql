-- Human review: drafts as they were shown, decisions that are only ever added.

-- A text that waits, or waited, for a person: stored before it is shown.
create table patterns.reviews (
    id bigint generated always as identity primary key,
    root_run uuid not null,
    step text not null,                     -- which review of the run, the same when it starts anew
    title text not null,
    text text not null,
    sha256 text not null,                   -- of the text's UTF-8
    opened_at timestamptz not null default now(),
    unique (root_run, step)
);

-- What people decided, each row's hash covering the one before.
create table patterns.decisions (
    id bigint primary key,                  -- 1, 2, 3, … without a gap
    review bigint not null references patterns.reviews,
    verdict text not null,
    reviewer text not null,
    reason text not null,
    shown_sha256 text not null,             -- of the text that the reviewer saw
    at timestamptz not null,
    before_sha256 text not null,            -- of the decision before; empty for the first
    sha256 text not null                    -- of all the above
);
create unique index decisions_final on patterns.decisions (review);

-- The chain's end, so that a last row which is taken away is missed.
create table patterns.decision_chain (
    one boolean primary key default true check (one),
    decisions bigint not null,
    sha256 text not null
);
insert into patterns.decision_chain (decisions, sha256) values (0, '');

create function patterns.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'rows of %.% are only ever added', tg_table_schema, tg_table_name;
end $$;
create trigger only_added before update or delete or truncate on patterns.decisions
    for each statement execute function patterns.refuse_change();
create trigger only_added before update on patterns.reviews
    for each statement execute function patterns.refuse_change();
