-- Retrieval: collections of documents, cut into passages, in indexes that have versions.

create table patterns.collections (
    id bigint generated always as identity primary key,
    name text not null unique,
    live bigint,                            -- the version that is searched
    created_at timestamptz not null default now()
);

-- The passages of one embedder, cut in one way: a partition of patterns.passages each.
create table patterns.indexes (
    id bigint generated always as identity primary key,
    collection_id bigint not null references patterns.collections on delete cascade,
    embedder text not null,
    cut text not null,                      -- the way: passages of another one are made anew
    dimensions integer not null,
    mean_lexemes real not null              -- of a passage, by which the weights are made
);

-- What a collection held after each ingest.
create table patterns.versions (
    id bigint generated always as identity primary key,
    collection_id bigint not null references patterns.collections on delete cascade,
    index_id bigint not null references patterns.indexes on delete cascade,
    state text not null default 'building' check (state in ('building', 'good', 'refused')),
    documents integer,
    passages integer,
    fields text[],                          -- that searches may be filtered by
    recall real,                            -- of the pinned questions, when it was made
    made_at timestamptz not null default now()
);
create index versions_collection on patterns.versions (collection_id, id);
alter table patterns.collections
    add foreign key (live) references patterns.versions on delete set null;

-- A version sees what was born by then and has not died by then: an ingest that is under way, or was
-- killed, is seen by nobody.
create sequence patterns.passage_ids;
create table patterns.passages (
    index_id bigint not null,
    id bigint not null default nextval('patterns.passage_ids'),
    born bigint not null,
    died bigint,
    source text not null,                   -- lineage of its document
    document text not null,
    digest bytea not null,                  -- SHA-256 of all that the document says
    number integer not null,                -- from 0 in its document
    context text not null,                  -- title and headings above it
    text text not null,
    fields jsonb not null,                  -- {name: [text, …]}
    embedding halfvec not null,             -- unit length
    lexemes tsvector not null,
    weights sparsevec not null,             -- BM25's, without the lexemes' rarity
    primary key (index_id, id)
) partition by list (index_id);
create index on patterns.passages (index_id, document);
create index on patterns.passages using gin (lexemes);
create index on patterns.passages using gin (fields jsonb_path_ops);

-- In how many passages of an index each lexeme stands.
create table patterns.lexemes (
    index_id bigint not null references patterns.indexes on delete cascade,
    lexeme text not null,
    passages integer not null,
    primary key (index_id, lexeme)
);

-- Questions whose documents must be found before a version goes live.
create table patterns.pinned_questions (
    collection_id bigint not null references patterns.collections on delete cascade,
    question text not null,
    documents text[] not null,
    primary key (collection_id, question)
);
