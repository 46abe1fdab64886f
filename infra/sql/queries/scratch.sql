-- Scratch schemas, in which writes without a guard are shown, and the roles that own them.

-- name: scratch_left
-- Those whose process is gone: it has held a lock of this name.
select nspname as name from pg_namespace
where case when nspname ~ '^patterns_scratch_[0-9a-f]+$'
    then pg_try_advisory_xact_lock(hashtextextended(nspname, 7236)) else false end;

-- name: end_sessions
select pg_terminate_backend(pid) from pg_stat_activity where usename = %(role)s and pid <> pg_backend_pid();

-- name: scratch_tables
select c.relname as table from pg_class as c
where c.relnamespace = to_regnamespace(%(schema)s) and c.relkind in ('r', 'p')
order by 1;
