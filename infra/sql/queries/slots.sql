-- A model's slots and rates, shared by processes.

-- name: lock_model
select pg_advisory_xact_lock(hashtextextended('slots of ' || %(model)s, 0));

-- name: lease_slots (repeatable)
-- Under lock_model. What this process may use: what it wants, within what the others leave, and
-- within a fair share while another process wants more than it has. Never below what is in use.
with others as (
    select coalesce(sum(granted), 0) as granted, count(*) as holders,
           coalesce(bool_or(wanted > granted), false) as hungry
    from patterns.slot_leases
    where model = %(model)s and holder <> %(holder)s and patterns.is_held(expires_at, %(lease)s) and wanted > 0
), share as (
    select greatest(0, least(
        %(wanted)s, %(total)s - granted,
        case when hungry then ceil(%(total)s / (holders + 1.0)) else %(total)s end))::integer as slots
    from others
)
insert into patterns.slot_leases (model, holder, wanted, granted, expires_at)
select %(model)s, %(holder)s, %(wanted)s, greatest(slots, %(in_use)s),
       now() + %(lease)s * interval '1 second'
from share
on conflict (model, holder) do update
    set wanted = excluded.wanted, granted = excluded.granted, expires_at = excluded.expires_at
returning (select slots from share) as slots;

-- name: return_slots (repeatable)
delete from patterns.slot_leases where holder = %(holder)s or expires_at < now() - interval '1 hour';

-- name: take_rate (repeatable)
-- Token buckets of one minute's rate with debt: the answer is how long to wait, in seconds.
insert into patterns.rate_buckets as b (model, requests, tokens)
values (%(model)s, %(requests_per_minute)s * %(burst)s / 60 - 1,
        %(tokens_per_minute)s * %(burst)s / 60 - %(tokens)s)
on conflict (model) do update set
    requests = least(%(requests_per_minute)s * %(burst)s / 60, b.requests
        + greatest(0, extract(epoch from now() - b.filled_at)) * %(requests_per_minute)s / 60) - 1,
    tokens = least(%(tokens_per_minute)s * %(burst)s / 60, b.tokens
        + greatest(0, extract(epoch from now() - b.filled_at)) * %(tokens_per_minute)s / 60) - %(tokens)s,
    filled_at = now()
returning greatest(0, -b.requests * 60 / %(requests_per_minute)s,
                   -b.tokens * 60 / %(tokens_per_minute)s)::float8 as seconds;
