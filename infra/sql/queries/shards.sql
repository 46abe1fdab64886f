-- Batches of passages that several processes read for one run, and the budget that they share.

-- name: drop_batches (repeatable)
-- Those of a run, and what runs that never came back have left.
delete from patterns.batches_to_read
where root_run = %(root_run)s
    or (made_at < now() - interval '7 days' and (held_until is null or held_until < now()));

-- name: put_batch
insert into patterns.batches_to_read (root_run, number, extractor, passages)
values (%(root_run)s, %(number)s, %(extractor)s, %(passages)s) returning id;

-- name: copy_passages_to_read
copy patterns.passages_to_read (batch, pack, place, passage_sha256, text) from stdin (format binary);

-- name: take_batch (repeatable)
-- The first batch that nobody reads. ``left_by``: the flow run whose lease on it has run out. When
-- nobody knows whether one was taken, another is: that lease runs out, as a dead reader's does.
with free as (
    select id, flow_run from patterns.batches_to_read
    where root_run = %(root_run)s and given_up is null
        and not patterns.is_held(held_until, %(lease)s)
    order by number limit 1 for update skip locked
)
update patterns.batches_to_read as b
set holder = %(holder)s, held_until = now() + %(lease)s * interval '1 second',
    flow_run = %(flow_run)s
from free where b.id = free.id
returning b.id, b.number, b.extractor, free.flow_run as left_by;

-- name: passages_of_batch
select pack, encode(passage_sha256, 'hex') as passage, text from patterns.passages_to_read
where batch = %(id)s order by pack, place;

-- name: renew_batches (repeatable)
update patterns.batches_to_read set held_until = now() + %(lease)s * interval '1 second'
where id = any(%(ids)s) and holder = %(holder)s and given_up is null;

-- name: give_back_batch (repeatable)
update patterns.batches_to_read set holder = null, held_until = null, flow_run = null
where id = %(id)s and holder = %(holder)s and given_up is null;

-- name: finish_batch (repeatable)
-- Read: its text is not needed any more.
with read as (
    delete from patterns.passages_to_read where batch = %(id)s
)
update patterns.batches_to_read
set given_up = %(given_up)s, holder = null, held_until = null
where id = %(id)s and given_up is null;

-- name: batches_of_run
select count(*) filter (where given_up is null) as unread,
       coalesce(sum(passages) filter (where given_up is not null), 0)::integer as read
from patterns.batches_to_read where root_run = %(root_run)s;

-- name: given_up_passages
select given_up from patterns.batches_to_read
where root_run = %(root_run)s and given_up is not null and given_up <> '{}' order by number;

-- name: lock_budget
select pg_advisory_xact_lock(hashtextextended('budget of ' || %(root_run)s::text, 0));

-- name: reserve_cost
-- Under lock_budget. What the run has spent, and whether the call may be made: with all in flight
-- it has to fit, unless it is the only one. A claim may be gone, by a crash of the server or because
-- its words were forgotten: such a call is made all the same, and only not reserved for.
with taken as (
    select coalesce((select sum(cost_usd) from patterns.ledger
                     where root_run = %(root_run)s), 0)::float8 as spent,
           coalesce((select sum(may_cost) from patterns.calls
                     where charged_to = %(root_run)s and may_cost is not null
                         and key <> %(key)s and reply is null
                         and patterns.is_held(held_until, %(lease)s)), 0) as in_flight
), allowed as (
    select spent, spent < %(limit)s
        and (in_flight = 0 or spent + in_flight + %(cost)s <= %(limit)s) as ours
    from taken
), reserved as (
    update patterns.calls set charged_to = %(root_run)s, may_cost = %(cost)s
    from allowed where key = %(key)s and ours
)
select spent, ours from allowed;
