-- What is dropped when it is old.

-- name: drop_steps
-- ``there``: runs that may go on, or be resumed. A review that nobody has ended yet keeps its run's steps, too.
with dropped as (
    delete from patterns.steps as s
    where made_at < %(before)s and root_run <> all(%(there)s)
        and not exists (
            select from patterns.reviews as r
            where r.root_run = s.root_run and not exists (
                select from patterns.review_events as e where e.review = r.id and e.final
            )
        )
    returning 1
), silent as (
    delete from patterns.runs_at_work where seen_at < %(before)s and flow_run <> all(%(there)s)
)
select count(*) as dropped from dropped;

-- name: drop_ledger
with dropped as (
    delete from patterns.ledger where at < %(before)s returning 1
)
select count(*) as dropped from dropped;
