-- Signs of life of runs.

-- name: first_sign_of_life (repeatable)
-- Whoever begins with a run has it.
insert into patterns.runs_at_work (flow_run, holder, seen_at)
values (%(flow_run)s, %(holder)s, now())
on conflict (flow_run) do update set holder = excluded.holder, seen_at = excluded.seen_at;

-- name: sign_of_life (repeatable)
-- None where somebody else has gone on with the run.
update patterns.runs_at_work set seen_at = now()
where flow_run = %(flow_run)s and holder = %(holder)s;

-- name: signs_of_life (repeatable)
select flow_run, seen_at,
       extract(epoch from now() - seen_at) between -5 and %(lease)s as fresh
from patterns.runs_at_work where flow_run = any(%(runs)s);
