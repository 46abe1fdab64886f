-- Corpora that are kept here and grow.

-- name: open_corpus
-- Makes the corpus, or locks it: additions to one corpus take turns.
insert into patterns.corpora as kept (name, group_by)
values (%(name)s, %(group_by)s)
on conflict (name) do update set group_by = coalesce(kept.group_by, excluded.group_by)
returning id, group_by

-- name: make_incoming_records
create temporary table incoming_records (
    id text not null,
    happened_at timestamptz,
    text text not null,
    group_by text,
    kind text not null
) on commit drop

-- name: copy_incoming_records
copy incoming_records (id, happened_at, text, group_by, kind) from stdin (format binary)

-- name: upsert_incoming_records
-- xmax is 0 in a row that this statement inserted.
with written as (
    insert into patterns.corpus_records as kept (corpus_id, id, happened_at, text, group_by, kind)
    select %(corpus_id)s, id, happened_at, text, group_by, kind from incoming_records
    on conflict (corpus_id, id) do update
    set happened_at = excluded.happened_at, text = excluded.text,
        group_by = excluded.group_by, kind = excluded.kind
    where (kept.happened_at, kept.text, kept.group_by, kept.kind)
        is distinct from (excluded.happened_at, excluded.text, excluded.group_by, excluded.kind)
    returning xmax = 0 as added
)
select count(*) filter (where added) as added, count(*) filter (where not added) as changed
from written

-- name: list_corpora
select name, corpora.group_by, created_at, count(records.id) as records,
    min(happened_at) as first_at, max(happened_at) as last_at
from patterns.corpora
left join patterns.corpus_records as records on corpus_id = corpora.id
group by corpora.id
order by name

-- name: find_corpus
select id, group_by from patterns.corpora where name = %(name)s

-- name: read_corpus_records
select id, text, happened_at, group_by as "group", kind
from patterns.corpus_records
where corpus_id = %(corpus_id)s
    and (%(since)s::timestamptz is null or happened_at >= %(since)s)

-- name: remove_corpus_records
with removed as (
    delete from patterns.corpus_records
    where corpus_id = %(corpus_id)s and id = any(%(ids)s)
    returning id
)
select id from removed

-- name: remove_corpus
delete from patterns.corpora where id = %(corpus_id)s
