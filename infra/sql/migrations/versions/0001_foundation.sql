-- The foundation: model calls, ledger, durable steps, corpora, facts, codebooks.

create table patterns.prompt_versions (
    version text primary key,               -- SHA-256 of text, parts, reply schema and role
    name text not null,
    content jsonb not null,                 -- the whole prompt: replay outlives the file
    first_used_at timestamptz not null default now()
);

-- One row a distinct request: the exact cache. `reply` is null while `holder` works on it.
create table patterns.calls (
    key bytea primary key,                  -- SHA-256 of the canonical request
    model text not null,
    prompt text not null,
    version text not null,
    request jsonb not null,
    sources text[] not null default '{}',   -- hashes of the texts that the request quotes
    reply jsonb,
    prompt_tokens integer,
    completion_tokens integer,
    holder uuid,
    held_until timestamptz,
    created_at timestamptz not null default now(),
    replied_at timestamptz,
    paid_by uuid,                           -- root run that paid for the reply
    waited boolean not null default false   -- another process waits for the reply
);
create index calls_sources on patterns.calls using gin (sources);
create index calls_prompt on patterns.calls (prompt, version);

-- One row a use: what everything that is said about cost comes from.
create table patterns.ledger (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    call_key bytea not null,
    prompt text not null,
    version text not null,
    model text not null,
    served_by text not null check (served_by in ('model', 'exact', 'semantic', 'specialist')),
    prompt_tokens integer not null default 0,
    completion_tokens integer not null default 0,
    cost_usd numeric,                       -- null: the model's price is unknown
    latency_ms real not null,
    error text,                             -- class of the error, null for a reply
    root_run uuid,
    flow_run uuid,
    task_run uuid
);
create index ledger_root_run on patterns.ledger (root_run);
create index ledger_at on patterns.ledger (at);

-- A step of a run happens once: its result outlives the process and Prefect's stored results.
create table patterns.steps (
    root_run uuid not null,
    key text not null,
    result jsonb not null,
    result_sha256 text not null,
    made_at timestamptz not null default now(),
    primary key (root_run, key)
);

-- Processes share a model's slots and rates by leasing blocks of them.
create table patterns.slot_leases (
    model text not null,
    holder uuid not null,
    wanted integer not null,
    granted integer not null,
    expires_at timestamptz not null,
    primary key (model, holder)
);
create table patterns.rate_buckets (
    model text primary key,
    requests double precision not null,
    tokens double precision not null,
    filled_at timestamptz not null default now()
);

-- Corpora that are kept here and grow, read as `corpus:NAME`.
create table patterns.corpora (
    id bigint generated always as identity primary key,
    name text not null unique,
    group_by text,                          -- name of the column that its records are grouped by
    created_at timestamptz not null default now()
);
create table patterns.corpus_records (
    corpus_id bigint not null references patterns.corpora on delete cascade,
    id text not null,
    happened_at timestamptz,
    text text not null,
    group_by text,
    kind text not null check (kind in ('ticket', 'transcript')),
    added_at timestamptz not null default now(),
    primary key (corpus_id, id)
);

-- Embeddings by content. No fixed dimension: the model's name is part of the key.
create table patterns.embeddings (
    text_sha256 bytea not null,
    embedder text not null,
    embedding halfvec not null,
    primary key (text_sha256, embedder)
);

-- What the map step made of a passage: one or two facts, or none with a reason.
create table patterns.facts (
    passage_sha256 bytea not null,
    extractor text not null,                -- strategy, prompt version and model
    facts jsonb not null,                   -- [{problem, severity, quote}]
    reason text,                            -- why there is none
    made_at timestamptz not null default now(),
    primary key (passage_sha256, extractor)
);

-- A lineage (source, strategy, prompt, embedder) owns a codebook; a refit is a new generation.
create table patterns.codebooks (
    id bigint generated always as identity primary key,
    lineage text not null,
    generation integer not null,
    version integer not null,               -- changes since the fit, the fit included
    radius double precision not null,       -- of the themes that the sample showed
    fitted_on integer not null,             -- distinct facts at the time of the fit
    fitted_rare integer not null,           -- those of them that were near to no theme
    fitted_entries integer not null,        -- themes with ids below it come from the fit
    fitted_at timestamptz not null default now(),
    unique (lineage, generation)
);
create table patterns.themes (
    codebook_id bigint not null references patterns.codebooks on delete cascade,
    id integer not null,
    parent integer,                         -- theme or area that it is under
    kind text not null check (kind in ('area', 'theme')),
    centroid halfvec,                       -- null where there is something under it
    radius double precision not null,       -- cosine distance up to which a fact belongs to it
    merged_into integer,                    -- theme that its facts go to
    compared boolean not null,              -- it was there when close themes were told apart
    primary key (codebook_id, id)
);
