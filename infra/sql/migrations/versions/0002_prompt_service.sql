-- The prompt service: versions that can be served again, labels that move, calls that can be replayed.

alter table patterns.prompt_versions
    add column source jsonb;                -- {file, parts}: from which the prompt can be made again

-- Which version of a prompt a label names.
create table patterns.prompt_labels (
    name text not null,
    label text not null,
    version text not null references patterns.prompt_versions,
    primary key (name, label)
);

-- Every move of a label, the newest last: who, when, and how many cases passed.
create table patterns.label_moves (
    id bigint generated always as identity primary key,
    name text not null,
    label text not null,
    from_version text,
    to_version text not null references patterns.prompt_versions,
    rollback boolean not null,              -- back to a version that had been there
    cases integer not null,                 -- that passed; 0 for a rollback, whose version had passed
    moved_by text not null,
    moved_at timestamptz not null default now()
);
create index label_moves_of on patterns.label_moves (name, label, id);

-- Whose words the facts have is not known of those that were read before.
truncate patterns.facts;
alter table patterns.facts
    add column borrowed_from bytea[] not null;   -- passages beside it whose words the facts have

alter table patterns.calls
    add column inputs jsonb;                -- of the prompt, where it was asked by name

alter table patterns.ledger
    add column flow text;                   -- name of the flow whose run it was
create index ledger_call on patterns.ledger (call_key);
