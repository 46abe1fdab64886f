-- Reviews: drafts, and the chain of what people decided on them.

-- name: open_review
-- The first text under a run's step is the one that is reviewed, whatever comes later.
insert into patterns.reviews (root_run, step, title, text, sha256)
values (%(root_run)s, %(step)s, %(title)s, %(text)s, %(sha256)s)
on conflict (root_run, step) do nothing;

-- name: read_review
select id from patterns.reviews where root_run = %(root_run)s and step = %(step)s;

-- name: list_reviews
select r.id, r.root_run, r.title, r.text, r.sha256, r.opened_at,
    d.verdict, d.reviewer, d.reason, d.at as decided_at
from patterns.reviews as r left join patterns.decisions as d on d.review = r.id
where (%(id)s::bigint is null or r.id = %(id)s) and (%(all)s or d.id is null)
order by r.id;

-- name: lock_chain
select decisions, sha256 from patterns.decision_chain for update;

-- name: append_decision
insert into patterns.decisions
    (id, review, verdict, reviewer, reason, shown_sha256, at, before_sha256, sha256)
values (%(id)s, %(review)s, %(verdict)s, %(reviewer)s, %(reason)s, %(shown_sha256)s, %(at)s,
    %(before_sha256)s, %(sha256)s);

-- name: move_chain
update patterns.decision_chain set decisions = %(id)s, sha256 = %(sha256)s;

-- name: read_decision
select * from patterns.decisions where review = %(review)s;

-- name: read_decisions
select d.*, r.text
from patterns.decisions as d left join patterns.reviews as r on r.id = d.review
order by d.id;
