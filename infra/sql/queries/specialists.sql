-- Specialists, who of them serves, and what was decided.

-- name: keep_specialist
insert into patterns.specialists (name, root_run, source, data_sha256, code, card, files)
values (%(name)s, %(root_run)s, %(source)s, %(data_sha256)s, %(code)s, %(card)s, %(files)s)
returning id

-- name: specialists
-- All of them, those of a name, or the one of a number or a run; the newest first.
select id, name, root_run, source, data_sha256, code, card, files, made_at
from patterns.specialists
where (%(name)s::text is null or name = %(name)s)
    and (%(id)s::bigint is null or id = %(id)s)
    and (%(root_run)s::uuid is null or root_run = %(root_run)s)
order by id desc

-- name: promotions
select name, kind, specialist, actor, review, happened_at
from patterns.promotions
where %(name)s::text is null or name = %(name)s
order by id

-- name: promote
insert into patterns.promotions (name, kind, specialist, actor, review)
values (%(name)s, %(kind)s, %(specialist)s, %(actor)s, %(review)s)
on conflict do nothing

-- name: keep_decision
insert into patterns.decisions (root_run, record, source, specialist, guess, confidence, label,
                                decided_by, happened_at)
values (%(root_run)s, %(record)s, %(source)s, %(specialist)s, %(guess)s, %(confidence)s, %(label)s,
        %(decided_by)s, %(happened_at)s)
on conflict (root_run, record) do update
set label = excluded.label, decided_by = excluded.decided_by, decided_at = now()

-- name: decisions_by_week
-- By week of the texts, or of the decisions where a text has no time: how many, who decided, how sure.
select date_trunc('week', coalesce(d.happened_at, d.decided_at) at time zone 'UTC')::date as week,
       d.guess as label, count(*) as decisions, avg(d.confidence)::float8 as confidence,
       count(*) filter (where d.decided_by = 'specialist') as by_specialist
from patterns.decisions as d join patterns.specialists as s on s.id = d.specialist
where s.name = %(name)s and coalesce(d.happened_at, d.decided_at) >= %(since)s
group by week, d.guess order by week, d.guess

-- name: keep_correction
insert into patterns.corrections (name, text, label, actor)
values (%(name)s, %(text)s, %(label)s, %(actor)s)

-- name: corrections
select id, text, label, actor, corrected_at from patterns.corrections where name = %(name)s order by id

-- name: copy_specialist_uses
copy patterns.ledger (call_key, prompt, version, model, served_by, cost_usd, latency_ms, root_run,
                      flow_run, flow, task_run) from stdin

-- name: stages
-- What each stage of a routing took, from the ledger: calls, cost, latency.
select case served_by when 'specialist' then 'specialist' else 'model' end as stage,
       count(*) as calls,
       case when count(*) filter (where cost_usd is null) = 0
            then sum(cost_usd)::float8 end as cost_usd,
       percentile_cont(0.5) within group (order by latency_ms)::float8 as p50_ms,
       percentile_cont(0.95) within group (order by latency_ms)::float8 as p95_ms
from patterns.ledger where root_run = %(root_run)s and (served_by = 'specialist' or prompt = 'choose_label')
group by stage order by stage desc
