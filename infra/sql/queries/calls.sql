-- The exact cache of model calls, with single flight by expiring leases, and the ledger.

-- name: use_reply (repeatable)
-- A kept reply, noted as a hit of the kind that it is; none when there is none that may be given.
with unwaited as (
    select set_config('synchronous_commit', 'off', true)
), found as (
    select key, reply, model, paid_by
    from unwaited, patterns.calls as c where key = %(key)s and patterns.is_usable(c, %(ttl)s)
), noted as (
    insert into patterns.ledger (call_key, prompt, version, model, served_by, cost_usd, latency_ms,
                                 root_run, flow_run, flow, task_run)
    select key, %(prompt)s, %(version)s, model, %(served_by)s, 0,
           extract(epoch from clock_timestamp() - statement_timestamp()) * 1000,
           %(root_run)s, %(flow_run)s, %(flow)s, %(task_run)s
    from found
)
select reply, paid_by from found;

-- name: use_or_claim_call (repeatable)
-- The reply when it is kept, noted as a hit; otherwise whether the call is ours to make: it is not
-- while another holder makes it. A claim, or the note of a hit, need not outlive a crash of the
-- server, so nobody waits for the disk.
with unwaited as (
    select set_config('synchronous_commit', 'off', true)
), known as (
    select key, reply, model, paid_by, patterns.is_usable(c, %(ttl)s) as usable,
           reply is not null and not patterns.is_usable(c, null) as damaged
    from unwaited, patterns.calls as c where key = %(key)s
), noted as (
    insert into patterns.ledger (call_key, prompt, version, model, served_by, cost_usd, latency_ms,
                                 root_run, flow_run, flow, task_run)
    select key, %(prompt)s, %(version)s, model, 'exact', 0,
           extract(epoch from clock_timestamp() - statement_timestamp()) * 1000,
           %(root_run)s, %(flow_run)s, %(flow)s, %(task_run)s
    from known where usable
), claimed as (
    insert into patterns.calls as c (key, model, prompt, version, request, sources, inputs, tenant,
                                     holder, held_until)
    select %(key)s, %(model)s, %(prompt)s, %(version)s, %(request)s, %(sources)s, %(inputs)s,
           %(tenant)s, %(holder)s, now() + %(lease)s * interval '1 second'
    from unwaited where not exists (select from known where usable)
    on conflict (key) do update
        set holder = excluded.holder, held_until = excluded.held_until, waited = false,
            reply = null, reply_sha256 = null, replied_at = null, may_cost = null,
            prompt = excluded.prompt,
            version = excluded.version, sources = excluded.sources, inputs = excluded.inputs
        where not patterns.is_usable(c, %(ttl)s)
            and not patterns.is_held(c.held_until, %(lease)s)
    returning key
)
select reply, paid_by, false as ours, false as damaged from known where usable
union all
select null, null, true, exists (select from known where damaged) from claimed;

-- name: wait_for_call (repeatable)
-- Ask the holder for a notice; none when there is nothing left to wait for.
update patterns.calls set waited = true
where key = %(key)s and reply is null and patterns.is_held(held_until, %(lease)s)
returning true as held;

-- name: keep_reply (repeatable)
-- The reply and what it cost, in one statement: neither is ever there without the other. The claim
-- is there, too, unless the server crashed before it had reached the disk.
with kept as (
    insert into patterns.calls as c (key, model, prompt, version, request, sources, inputs, tenant,
                                     reply, reply_sha256, prompt_tokens, completion_tokens, paid_by,
                                     replied_at)
    values (%(key)s, %(model)s, %(prompt)s, %(version)s, %(request)s, %(sources)s, %(inputs)s,
            %(tenant)s, jsonb_build_object('text', %(text)s::text),
            sha256(convert_to(%(text)s, 'UTF8')), %(prompt_tokens)s, %(completion_tokens)s,
            %(root_run)s, now())
    on conflict (key) do update
        set reply = excluded.reply, reply_sha256 = excluded.reply_sha256,
            prompt_tokens = excluded.prompt_tokens, replied_at = excluded.replied_at,
            completion_tokens = excluded.completion_tokens, paid_by = excluded.paid_by,
            model = excluded.model, holder = null, held_until = null, may_cost = null
        where c.reply is null
    returning c.key, c.waited
), noted as (
    insert into patterns.ledger (call_key, prompt, version, model, served_by, prompt_tokens,
                                 completion_tokens, cost_usd, latency_ms,
                                 root_run, flow_run, flow, task_run)
    select %(key)s, %(prompt)s, %(version)s, %(model)s, 'model', %(prompt_tokens)s,
           %(completion_tokens)s, %(cost_usd)s, %(latency_ms)s,
           %(root_run)s, %(flow_run)s, %(flow)s, %(task_run)s
    where not exists (  -- the same, when nobody knew whether it had been noted
        select from patterns.ledger where call_key = %(key)s and served_by = 'model'
            and latency_ms = %(latency_ms)s::real and at > now() - interval '10 minutes'
    )
)
select pg_notify('patterns_calls', encode(key, 'hex')) from kept where waited;

-- name: release_call (repeatable)
with released as (
    update patterns.calls set holder = null, held_until = null, may_cost = null
    where key = %(key)s and holder = %(holder)s and reply is null
    returning key, waited
)
select pg_notify('patterns_calls', encode(key, 'hex')) from released where waited;

-- name: sources_replied_to
-- The texts of calls that have a reply, all of them among these; the largest calls first.
select sources from patterns.calls
where prompt = %(prompt)s and version = %(version)s and model = %(model)s and reply is not null
    and sources && %(sources)s::text[] and sources <@ %(sources)s::text[]
order by cardinality(sources) desc, key;

-- name: forget_reply (repeatable)
delete from patterns.calls where key = %(key)s and reply is not null;

-- name: renew_calls (repeatable)
update patterns.calls set held_until = now() + %(lease)s * interval '1 second'
where key = any(%(keys)s) and holder = %(holder)s and reply is null;

-- name: note_failure (repeatable)
-- A call that brought no usable reply still costs.
with settled as (
    update patterns.calls set may_cost = null where key = %(key)s and may_cost is not null
)
insert into patterns.ledger (call_key, prompt, version, model, served_by, prompt_tokens,
                             completion_tokens, cost_usd, latency_ms, error,
                             root_run, flow_run, flow, task_run)
select %(key)s, %(prompt)s, %(version)s, %(model)s, 'model', %(prompt_tokens)s,
       %(completion_tokens)s, %(cost_usd)s, %(latency_ms)s, %(error)s,
       %(root_run)s, %(flow_run)s, %(flow)s, %(task_run)s
where not exists (  -- the same, when nobody knew whether it had been noted
    select from patterns.ledger where call_key = %(key)s and served_by = 'model'
        and latency_ms = %(latency_ms)s::real and at > now() - interval '10 minutes'
);

-- name: run_totals
select count(*) filter (where served_by = 'model') as model_calls,
       count(*) filter (where served_by in ('exact', 'semantic')) as cache_hits,
       coalesce(sum(prompt_tokens), 0)::bigint as prompt_tokens,
       coalesce(sum(completion_tokens), 0)::bigint as completion_tokens,
       case when count(*) filter (where cost_usd is null) = 0
            then coalesce(sum(cost_usd), 0)::float8 end as cost_usd
from patterns.ledger where root_run = %(root_run)s;

-- name: usual_seconds
-- How long the calls of these prompts took in the last month, the mean by prompt and model.
select prompt, model, avg(latency_ms)::float8 / 1000 as seconds from patterns.ledger
where prompt = any(%(prompts)s) and served_by = 'model' and error is null
    and at > now() - interval '30 days'
group by prompt, model;

-- name: costs
-- What the ledger holds since a time, by prompt, flow, model or day; or of ``runs``, by the label of
-- each.
select case %(by)s when 'prompt' then l.prompt when 'model' then l.model
                   when 'label' then r.label
                   when 'flow' then coalesce(l.flow, 'no flow')
                   else to_char(l.at at time zone 'UTC', 'YYYY-MM-DD') end as of,
       count(*) filter (where l.served_by = 'model' and l.error is null) as model_calls,
       count(*) filter (where l.served_by in ('exact', 'semantic')) as cache_hits,
       count(*) filter (where l.error is not null) as failures,
       sum(l.prompt_tokens)::bigint as prompt_tokens,
       sum(l.completion_tokens)::bigint as completion_tokens,
       case when count(*) filter (where l.cost_usd is null) = 0
            then sum(l.cost_usd)::float8 end as cost_usd,
       case when count(*) filter (where l.served_by in ('exact', 'semantic')
                                        and paid.cost_usd is null) = 0
            then coalesce(sum(paid.cost_usd), 0)::float8 end as saved_usd,
       percentile_cont(0.5) within group (order by l.latency_ms)
           filter (where l.served_by = 'model' and l.error is null) as p50_ms,
       percentile_cont(0.95) within group (order by l.latency_ms)
           filter (where l.served_by = 'model' and l.error is null) as p95_ms
from patterns.ledger as l
left join lateral (
    select p.cost_usd from patterns.ledger as p
    where p.call_key = l.call_key and p.served_by = 'model' and p.error is null
    order by p.id desc limit 1
) as paid on l.served_by in ('exact', 'semantic')
left join unnest(%(runs)s::uuid[], %(labels)s::text[]) as r (run, label) on r.run = l.root_run
where l.at >= coalesce(%(since)s, '-infinity'::timestamptz)
    and (%(runs)s::uuid[] is null or r.run is not null)
group by 1 order by 1;

-- name: calls_to_replay
-- The calls of a ledger row, or of all rows of a run, each once; ``failed``: why there is no reply.
select * from (
    select distinct on (l.call_key) l.id as row, l.prompt, l.version, l.model, c.inputs,
           c.request -> 'schema' as schema,
           (c.request ->> 'attempt')::int as attempt, c.tenant,
           (c.request ->> 'max_tokens')::int as max_tokens,
           coalesce(c.request ->> 'corpus', '') as corpus, c.sources,
           coalesce(c.reply ->> 'text', '') as reply,
           case when c.reply is null then coalesce(l.error, 'no longer kept') end as failed
    from patterns.ledger as l join patterns.calls as c on c.key = l.call_key
    where l.id = %(row)s or l.root_run = %(run)s
    order by l.call_key, l.error nulls first, l.id
) as found order by row;

-- name: ledger_has
select id from patterns.ledger where id = %(row)s or root_run = %(run)s limit 1;

-- name: newest_uses
select id as row, at, prompt, version, model, served_by, error, flow, root_run as run, cost_usd, latency_ms
from patterns.ledger
where (%(prompt)s::text is null or prompt = %(prompt)s)
    and (%(run)s::uuid is null or root_run = %(run)s)
order by id desc limit %(most)s;
