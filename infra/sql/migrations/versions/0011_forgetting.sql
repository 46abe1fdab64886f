-- Forgetting: a ticket's words are taken out of everything that is kept.

-- What is being forgotten, and all that is needed to find it: written before anything is removed,
-- and removed when nothing is left.
create table patterns.forgettings (
    id bigint generated always as identity primary key,
    ticket text not null,
    sources text[] not null,                -- where it stood: corpus:NAME, or a path
    requester text not null,
    texts text[] not null,                  -- its own, and its passages
    hashes text[] not null,                 -- SHA-256 (hex) of these
    replies text[] not null default '{}',   -- what models said of them
    runs uuid[] not null default '{}',      -- that have read them
    begun_at timestamptz not null default now()
);

-- So that the words of a reason can be forgotten, and the chain stays.
alter table patterns.review_events add column reason_sha256 text not null default '';

-- Words may be taken out of what is only added, while something is being forgotten; nothing else.
create function patterns.refuse_all_but_forgetting() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and exists (select from patterns.forgettings)
        and to_jsonb(new) - tg_argv = to_jsonb(old) - tg_argv then
        return new;
    end if;
    raise exception 'rows of %.% are only ever added', tg_table_schema, tg_table_name;
end $$;
drop trigger only_added on patterns.review_events;
create trigger only_added before update or delete on patterns.review_events
    for each row execute function patterns.refuse_all_but_forgetting('text', 'reason');
create trigger never_emptied before truncate on patterns.review_events
    for each statement execute function patterns.refuse_change();
drop trigger only_added on patterns.reviews;
create trigger only_added before update on patterns.reviews
    for each row execute function patterns.refuse_all_but_forgetting(
        'title', 'text', 'material', 'shown', 'inputs', 'evidence');
drop trigger only_added on patterns.changes;
create trigger only_added before update or delete on patterns.changes
    for each row execute function patterns.refuse_all_but_forgetting('request', 'text', 'cells');
create trigger never_emptied before truncate on patterns.changes
    for each statement execute function patterns.refuse_change();

-- Where words stand, by table: every text, JSON and lexeme that is kept.
create function patterns.places_with(words text[]) returns table (place text, said text)
language plpgsql stable as $$
declare
    named record;
begin
    for named in
        select c.relname as name, string_agg(format('t.%I::text', a.attname), ', ') as texts
        from pg_class as c join pg_attribute as a on a.attrelid = c.oid
        where c.relnamespace = 'patterns'::regnamespace and c.relkind in ('r', 'p')
            and not c.relispartition and c.relname not in ('forgettings', 'corpus_records')
            and a.attnum > 0 and not a.attisdropped
            and a.atttypid in ('text'::regtype, 'text[]'::regtype, 'jsonb'::regtype,
                               'tsvector'::regtype)
        group by c.relname
    loop
        return query execute format(
            'select %L, concat_ws('' '', %s) from patterns.%I as t
             where lower(concat_ws('' '', %s)) like any ($1)',
            named.name, named.texts, named.name, named.texts) using words;
    end loop;
end $$;
