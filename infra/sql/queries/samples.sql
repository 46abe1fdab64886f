-- The sample data as tables, which deployments read with `query:SELECT …`. What is there stays.

-- name: make_samples
create schema if not exists samples;

-- name: make_sample_questions
create table if not exists samples.questions (query_id text primary key, text text not null);

-- name: make_sample_answers
create table if not exists samples.answers (
    query_id text not null,
    doc_id text not null,
    relevance integer not null,
    primary key (query_id, doc_id)
);

-- name: make_sample_labelled_tickets
create table if not exists samples.labelled_tickets (
    id text primary key,
    text text not null,
    label text not null
);

-- name: add_sample_questions
insert into samples.questions
select * from jsonb_populate_recordset(null::samples.questions, %(rows)s) on conflict do nothing;

-- name: add_sample_answers
insert into samples.answers
select * from jsonb_populate_recordset(null::samples.answers, %(rows)s) on conflict do nothing;

-- name: add_sample_labelled_tickets
insert into samples.labelled_tickets
select * from jsonb_populate_recordset(null::samples.labelled_tickets, %(rows)s)
on conflict do nothing;
