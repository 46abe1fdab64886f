-- Runs at work, by their signs of life: Prefect counts one whose process was killed as running for ever.
create table patterns.runs_at_work (
    flow_run uuid primary key,
    holder uuid not null,                   -- process that works at it, or did last
    seen_at timestamptz not null            -- when it gave its last sign
);
