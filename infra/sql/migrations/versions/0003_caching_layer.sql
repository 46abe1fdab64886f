-- The caching layer: replies that are checked and expire, similar questions, what was learned.

alter table patterns.calls
    add column tenant text not null default '',
    add column reply_sha256 bytea;          -- of the reply's text: a damaged row is no answer
update patterns.calls set reply_sha256 = sha256(convert_to(reply ->> 'text', 'UTF8'))
where reply is not null;
create index calls_model on patterns.calls (model);
create index calls_replied_at on patterns.calls (replied_at);

-- Whether a call's reply may be given: whole, and no older than `ttl` seconds. A clock that was moved
-- back makes replies of the future, whose age nobody knows.
create function patterns.is_usable(call patterns.calls, ttl double precision) returns boolean
language sql stable
return call.reply is not null
    and coalesce(call.reply_sha256 = sha256(convert_to(call.reply ->> 'text', 'UTF8')), false)
    and (ttl is null or extract(epoch from now() - call.replied_at) between -1 and ttl);

-- Whether a lease holds: not run out, and no longer than a lease can be. Some seconds are allowed: the
-- lease of a transaction that began after ours ends later than ours can.
create function patterns.is_held(until timestamptz, lease double precision) returns boolean
language sql stable
return coalesce(extract(epoch from until - now()) between 0 and lease + 5, false);

-- Questions whose replies are kept, by what else must be equal for one to answer the other. Vectors of
-- different embedders are never compared.
create table patterns.questions (
    call_key bytea primary key references patterns.calls on delete cascade,
    place bytea not null,                   -- hash of tenant, prompt version, model, corpus, other inputs
    embedder text not null,
    question text not null,
    embedding halfvec not null,             -- unit length
    asked_at timestamptz not null default now()
);
create index questions_place on patterns.questions (place, embedder);
-- Of the embedded model, whose dimension is known.
create index questions_nearest on patterns.questions
    using hnsw ((embedding::halfvec(384)) halfvec_ip_ops) where vector_dims(embedding) = 384;

-- How similar a question must be to a stored one, by prompt version, model and embedder. Null: no
-- semantic hits. What was observed before `since` no longer counts.
create table patterns.lessons (
    id bigint generated always as identity primary key,
    prompt text not null,
    version text not null,
    model text not null,
    embedder text not null,
    threshold real,
    bound double precision,                 -- on wrong answers, for which the threshold is certified
    state text not null default 'learning' check (state in ('learning', 'on', 'off')),
    since timestamptz not null default now(),
    learned_at timestamptz,
    learned_upto bigint not null default 0, -- the last observation that it was learned from
    unique (prompt, version, model, embedder)
);

-- Requests whose reply is known, beside the nearest stored question: would its reply have been right?
create table patterns.observations (
    id bigint generated always as identity primary key,
    lesson_id bigint not null references patterns.lessons on delete cascade,
    similarity real,                        -- null: no stored question passed the guards
    was_right boolean not null,
    source text not null check (source in ('miss', 'check', 'pair')),
    at timestamptz not null default now()
);
create index observations_lesson on patterns.observations (lesson_id, id);

-- Semantic hits that are to be checked: the model is asked after all.
create table patterns.checks (
    id bigint generated always as identity primary key,
    lesson_id bigint not null references patterns.lessons on delete cascade,
    hit_key bytea not null references patterns.calls on delete cascade,
    similarity real not null,
    prompt text not null,
    inputs jsonb not null,
    tenant text not null,
    corpus text not null,
    sources text[] not null,
    noted_at timestamptz not null default now(),
    held_until timestamptz                  -- while a process makes the check
);
