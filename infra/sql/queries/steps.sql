-- name: read_step
select result, result_sha256,
    result_sha256 = encode(sha256(convert_to(result::text, 'UTF8')), 'hex') as intact
from patterns.steps
where root_run = %(root_run)s and key = %(key)s

-- name: keep_step (repeatable)
insert into patterns.steps (root_run, key, result, result_sha256)
select %(root_run)s, %(key)s, made, encode(sha256(convert_to(made::text, 'UTF8')), 'hex')
from (values (%(result)s::jsonb)) as step (made)
on conflict do nothing

-- name: forget_failures
-- What calls of tools came to nothing, drafts and further plans that could not be made: they are
-- tried again.
delete from patterns.steps
where root_run = %(root_run)s
    and ((key like 'call-%%' and result ->> 'failed' <> '')
        or (key like 'draft-%%' and result ->> 'fault' <> '')
        or (key like 'replan-%%' and result ->> 'why' <> ''))
returning key

-- name: try_lock
select pg_try_advisory_lock(hashtextextended(%(what)s, 7236));

-- name: take_lock
select pg_advisory_lock(hashtextextended(%(what)s, 7236));
