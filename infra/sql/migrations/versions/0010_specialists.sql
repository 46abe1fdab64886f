-- Specialists: small models trained on labels, who serves, and what was decided by whom.

-- A row is there when its files are: `specialists/ID-ROOT_RUN` in the home.
create table patterns.specialists (
    id bigint generated always as identity primary key,
    name text not null,                     -- what it knows; one of a name serves
    root_run uuid not null unique,          -- that trained it
    source text not null,                   -- of its labelled texts
    data_sha256 text not null,              -- of these
    code text not null,                     -- version of the package that trained it
    card jsonb not null,                    -- labels, settings, thresholds, figures
    files jsonb not null,                   -- SHA-256 (hex) of each file, by name
    made_at timestamptz not null default now()
);
create index specialists_by_name on patterns.specialists (name, id desc);

-- Who serves: the last that was promoted and not rolled back.
create table patterns.promotions (
    id bigint generated always as identity primary key,
    name text not null,
    kind text not null check (kind in ('promote', 'rollback')),
    specialist bigint not null references patterns.specialists,
    actor text not null,                    -- who approved it, or rolled it back
    review bigint references patterns.reviews,
    happened_at timestamptz not null default now()
);
create index promotions_by_name on patterns.promotions (name, id);
-- A run promotes once, however often it starts.
create unique index promotions_once on patterns.promotions (review) where review is not null;

-- What was decided about a text, never the text.
create table patterns.decisions (
    root_run uuid not null,
    record text not null,                   -- its id in the source
    source text not null,
    specialist bigint not null references patterns.specialists,
    guess text not null,                    -- the specialist's label
    confidence real not null,               -- of the guess
    label text,                             -- that was decided; null: nobody could
    decided_by text not null check (decided_by in ('specialist', 'model', 'person', 'nobody')),
    happened_at timestamptz,                -- of the text, where it is known
    decided_at timestamptz not null default now(),
    primary key (root_run, record)
);
create index decisions_by_specialist on patterns.decisions (specialist, decided_at);

-- Labels that people have corrected, besides those in reviews.
create table patterns.corrections (
    id bigint generated always as identity primary key,
    name text not null,                     -- of the specialists that learn from it
    text text not null,
    label text not null,
    actor text not null,
    corrected_at timestamptz not null default now()
);
create index corrections_by_name on patterns.corrections (name, id);
