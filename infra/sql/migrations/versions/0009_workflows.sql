-- Workflows that are saved and run again, and changes of which a run makes several.

-- Each saving is a row; the newest of a name holds.
create table patterns.workflows (
    id bigint generated always as identity primary key,
    name text not null,
    version text not null,                  -- SHA-256 of the text
    text text not null,                     -- the workflow as JSON
    saved_by text not null,
    root_run uuid,                          -- that planned it; null: from a file
    saved_at timestamptz not null default now()
);
create index workflows_by_name on patterns.workflows (name, id desc);

-- When a saved workflow runs by itself, and with which parameters.
create table patterns.workflow_schedules (
    name text primary key,
    cron text not null,
    timezone text not null,
    params jsonb not null,
    scheduled_by text not null,
    scheduled_at timestamptz not null default now()
);

-- A run changes once for each of its steps, however often it starts.
alter table patterns.changes add column step text not null default '';
alter table patterns.changes drop constraint changes_root_run_key;
alter table patterns.changes add constraint changes_once unique (root_run, step);
