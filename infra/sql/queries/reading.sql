-- The role that SQL of a model runs as, and what it can do.

-- name: beyond_reading
-- What the current role could do besides reading; no row for one that can only read.
select 'it is superuser, or can make roles or databases, or passes by policies' as what
from pg_roles where rolname = current_user
    and (rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls)
union all
select 'it acts for the role ' || r.rolname from pg_roles as r
where r.rolname <> current_user and pg_has_role(current_user, r.oid, 'member')
    and r.rolname not in ('pg_read_all_data', 'pg_read_all_settings', 'pg_read_all_stats')
union all
(select 'it can change ' || c.oid::regclass::text from pg_class as c
    where c.relnamespace::regnamespace::text not in ('pg_catalog', 'information_schema')
        and case  -- in this order: each function takes its own kind only
            when c.relkind in ('r', 'p', 'v', 'f')
                then has_table_privilege(c.oid, 'delete, truncate, trigger')
                    or has_any_column_privilege(c.oid, 'insert, update')
            when c.relkind = 'S' then has_sequence_privilege(c.oid, 'update, usage')
            else false
        end
    limit 3)
union all
(select 'it can make objects in the schema ' || nspname from pg_namespace
    where nspname !~ '^pg_(temp|toast)' and has_schema_privilege(oid, 'create') limit 3)
union all
select 'it can make schemas' where has_database_privilege(current_database(), 'create')
union all
-- Functions that act for their owner, that open connections, or that PostgreSQL or an extension
-- keeps from the public until somebody grants them.
(select 'it can call ' || p.oid::regprocedure::text
    from pg_proc as p
    where has_function_privilege(p.oid, 'execute') and has_schema_privilege(p.pronamespace, 'usage')
        and (
            p.prosecdef and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
            or p.proname ~ '^dblink'
            or exists (
                select from pg_init_privs as i
                where i.objoid = p.oid and i.classoid = 'pg_proc'::regclass
                    and not exists (
                        select from aclexplode(i.initprivs) as acl
                        where acl.grantee in (0, 'pg_read_all_stats'::regrole)
                    )
            )
        )
    limit 3)

-- name: readable_columns
-- Tables and views that the current role may read, with those columns that it may.
select n.nspname || '.' || c.relname as name,
    array_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) order by a.attnum) as columns
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
join pg_attribute as a on a.attrelid = c.oid
where c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
    and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_'
    and a.attnum > 0 and not a.attisdropped
    and has_schema_privilege(n.oid, 'usage')
    and has_column_privilege(c.oid, a.attnum, 'select')
    and not exists (select from pg_depend as d where d.objid = c.oid and d.deptype = 'e')
group by 1 order by 1 limit 50
