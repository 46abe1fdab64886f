-- Guarded writes: rules, and what was changed.

-- name: catalogue
-- The columns of a table, as the database itself tells them.
select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, not a.attnotnull as nullable,
    a.attgenerated <> '' or a.attidentity = 'a' as made_by_database,
    (select array_agg(e.enumlabel::text order by e.enumsortorder)
        from pg_enum as e where e.enumtypid = a.atttypid) as labels,
    (select array_agg(k.attname::text order by p.place)
        from pg_index as i, unnest(i.indkey) with ordinality as p (number, place)
        join pg_attribute as k on k.attnum = p.number
        where i.indrelid = c.oid and i.indisprimary and k.attrelid = c.oid) as key
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
join pg_attribute as a on a.attrelid = c.oid
where n.nspname = %(schema)s and c.relname = %(table)s and c.relkind in ('r', 'p')
    and a.attnum > 0 and not a.attisdropped
order by a.attnum;

-- name: tables_there
select n.nspname || '.' || c.relname as name
from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema', 'patterns');

-- name: state_of_role
-- Whether we can act as the role, and whether it could do more than it is granted.
select rolsuper or rolbypassrls or rolcreaterole or rolreplication as powerful,
    pg_has_role(current_user, rolname, 'member') as ours
from pg_roles where rolname = %(role)s;

-- name: make_role
select patterns.make_role(%(role)s);

-- name: granted_tables
-- Tables on which a role has any right at all.
select distinct n.nspname as schema, c.relname as table
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
cross join lateral (
    select acl.grantee from aclexplode(c.relacl) as acl
    union all
    select acl.grantee from pg_attribute as a, aclexplode(a.attacl) as acl
    where a.attrelid = c.oid
) as granted
where granted.grantee = to_regrole(quote_ident(%(role)s)) and n.nspname <> 'patterns';

-- name: keep_rules
insert into patterns.change_rules (version, rules, registered_by)
values (%(version)s, %(rules)s, %(by)s);

-- name: current_rules
select version, rules from patterns.change_rules order by id desc limit 1;

-- name: alone_with_run
select pg_advisory_xact_lock(hashtextextended(%(root_run)s::text, 7237));

-- name: change_of_run
select * from patterns.changes where root_run = %(root_run)s and step = %(step)s;

-- name: keep_change
insert into patterns.changes (root_run, step, request, requester, text, sha256, rules, review,
    approval, cells, undo_of)
values (%(root_run)s, %(step)s, %(request)s, %(requester)s, %(text)s, %(sha256)s, %(rules)s, %(review)s,
    %(approval)s, %(cells)s, %(undo_of)s)
returning *;

-- name: read_changes
-- The newest first; with ``undone``, the undo of each.
select c.*, u.id as undone_by_change, u.at as undone_at, u.requester as undone_by
from patterns.changes as c left join patterns.changes as u on u.undo_of = c.id
where %(id)s::bigint is null or c.id = %(id)s
order by c.id desc limit %(limit)s;

-- name: lock_change
select pg_advisory_xact_lock(hashtextextended(%(id)s::text, 7238));
