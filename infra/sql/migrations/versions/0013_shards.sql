-- Shards: passages that several processes read for one run, and a budget that they share.

-- Batches of a run's map. A row stays until the run has seen that all of them are read.
create table patterns.batches_to_read (
    id bigint generated always as identity primary key,
    root_run uuid not null,
    number integer not null,                -- from 1 in its run
    extractor text not null,                -- what is to read it: strategy, prompt version and model
    passages integer not null,              -- how many
    holder uuid,                            -- process that reads it, as long as its lease is kept up
    held_until timestamptz,
    flow_run uuid,                          -- that reads it, or had read it when its lease ran out
    given_up jsonb,                         -- {passage: why}; null until the batch is read
    made_at timestamptz not null default now()
);
create index batches_to_read_of on patterns.batches_to_read (root_run, number);

-- The text of what is still to be read: a worker does not share the disk of who started the run.
create table patterns.passages_to_read (
    batch bigint not null references patterns.batches_to_read on delete cascade,
    pack integer not null,                  -- passages of one call
    place integer not null,                 -- in the pack
    passage_sha256 bytea not null,
    text text not null,
    primary key (batch, pack, place)
);
create index passages_to_read_text on patterns.passages_to_read (passage_sha256);

-- The most USD that a call in flight may cost, where several processes share a run's budget.
alter table patterns.calls
    add column may_cost double precision,
    add column charged_to uuid;             -- root run whose budget it is
create index calls_charged on patterns.calls (charged_to) where may_cost is not null;
