-- Workflows that are saved, and when they run by themselves.

-- name: save_workflow
-- A workflow that is saved already, word for word, is not saved again.
insert into patterns.workflows (name, version, text, saved_by, root_run)
select %(name)s, %(version)s, %(text)s, %(by)s, %(root_run)s
where %(version)s is distinct from (
    select version from patterns.workflows where name = %(name)s order by id desc limit 1
)

-- name: saved_workflows
-- The newest of each name, or of one.
select distinct on (name) name, text, saved_by, saved_at, cron, timezone, params
from patterns.workflows left join patterns.workflow_schedules using (name)
where %(name)s::text is null or name = %(name)s
order by name, id desc

-- name: schedule_workflow
insert into patterns.workflow_schedules (name, cron, timezone, params, scheduled_by)
values (%(name)s, %(cron)s, %(timezone)s, %(params)s, %(by)s)
on conflict (name) do update set cron = excluded.cron, timezone = excluded.timezone,
    params = excluded.params, scheduled_by = excluded.scheduled_by, scheduled_at = now()

-- name: unschedule_workflow
delete from patterns.workflow_schedules where name = %(name)s returning name
