-- Review rules: policies, authors, edits, several people, one-time codes; the chain tells more.

alter table patterns.reviews
    add column kind text not null default '',           -- what it is a draft of: whose checks an edit passes
    add column round integer not null default 1,        -- of drafting: each rejection begins another
    add column author text not null default '',         -- who asked for it, and may not decide on it
    add column material text not null default '',       -- what the draft answers, for the reviewer
    add column shown text not null default '',          -- Markdown of the text, where its own is not for people
    add column inputs jsonb not null default '{}',      -- what the draft was made from
    add column evidence jsonb not null default '[]',    -- [{source, quote}]
    add column policy jsonb not null default '{}',      -- as it was when the review was opened
    add column reviewers jsonb not null default '{}';   -- who might review then: {name: [role, …]}

-- What happened to reviews: opened, approve, edit, reject, refused (an answer that broke a rule),
-- escalated, expired, abandoned. What ends a review is final.
alter table patterns.decisions rename to review_events;
alter table patterns.review_events rename column verdict to kind;
alter table patterns.review_events rename column reviewer to actor;
alter table patterns.review_events
    add column format smallint not null default 1,      -- which fields the hash covers
    add column reason_code text not null default '',
    add column policy text not null default '',         -- version of the policy
    add column text text,                               -- as a reviewer edited it
    add column text_sha256 text not null default '',    -- of that text
    add column final boolean not null default true;     -- what was decided so far was
alter table patterns.review_events
    alter column format drop default,
    alter column final drop default;
drop index patterns.decisions_final;
create unique index review_events_final on patterns.review_events (review) where final;
create index review_events_review on patterns.review_events (review, id);
alter table patterns.decision_chain rename to review_chain;
alter table patterns.review_chain rename column decisions to events;

-- The run that waits for a review, and who was told of it: no part of what is audited.
create table patterns.review_waits (
    review bigint primary key references patterns.reviews,
    deployed boolean,                       -- null: its run waits for another review first
    answers integer not null default 0,     -- of the form, that were taken
    shown_sha256 text not null default '',  -- of the text that the form shows
    holder uuid,                            -- the process that waits, of a run that is not deployed
    held_until timestamptz,
    announced_at timestamptz,
    reminded_at timestamptz
);

-- Codes that make a name more than a claim: each is good for one decision of one person.
create table patterns.review_codes (
    sha256 text primary key,
    reviewer text not null,
    review bigint references patterns.reviews,  -- null: for any
    made_by text not null,
    made_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz
);
