-- Reviews: drafts, and the chain of what happened to them.

-- name: open_review
-- The first text under a run's step is the one that is reviewed, whatever comes later.
insert into patterns.reviews (root_run, step, round, kind, title, author, text, sha256, material,
    shown, inputs, evidence, policy, reviewers)
values (%(root_run)s, %(step)s, %(round)s, %(kind)s, %(title)s, %(author)s, %(text)s, %(sha256)s,
    %(material)s, %(shown)s, %(inputs)s, %(evidence)s, %(policy)s, %(reviewers)s)
on conflict (root_run, step) do nothing
returning id;

-- name: find_review
select id from patterns.reviews where root_run = %(root_run)s and step = %(step)s;

-- name: read_reviews
-- The oldest first: those that wait; recent: also those decided in the last days; all; or one.
-- A process is given up a minute after its lease: the database may have been away from both.
select r.*, w.deployed, w.holder, w.held_until < now() - interval '1 minute' as lapsed, w.announced_at, w.reminded_at,
    coalesce(w.answers, 0) as answers, w.shown_sha256,
    (select coalesce(jsonb_agg(to_jsonb(e) order by e.id), '[]')
        from patterns.review_events as e where e.review = r.id) as events
from patterns.reviews as r left join patterns.review_waits as w on w.review = r.id
where (%(id)s::bigint is null or r.id = %(id)s)
    and (%(which)s = 'all' or not exists (
        select from patterns.review_events as e
        where e.review = r.id and e.final
            and (%(which)s = 'waiting' or e.at < now() - interval '7 days')))
order by r.id;

-- name: lock_chain
select events, sha256 from patterns.review_chain for update;

-- name: append_event
insert into patterns.review_events
    (id, review, kind, actor, reason_code, reason, reason_sha256, shown_sha256, text, text_sha256,
    policy, final, at, before_sha256, sha256, format)
values (%(id)s, %(review)s, %(kind)s, %(actor)s, %(reason_code)s, %(reason)s, %(reason_sha256)s,
    %(shown_sha256)s, %(text)s, %(text_sha256)s, %(policy)s, %(final)s, %(at)s, %(before_sha256)s,
    %(sha256)s, %(format)s);

-- name: move_chain
update patterns.review_chain set events = %(id)s, sha256 = %(sha256)s;

-- name: read_events
select * from patterns.review_events order by id;

-- name: begin_wait
-- What the form shows stays what it showed first, until its answer is taken.
insert into patterns.review_waits (review, deployed, shown_sha256, holder, held_until)
values (%(review)s, %(deployed)s, %(shown_sha256)s, %(holder)s,
    now() + make_interval(secs => %(lease)s))
on conflict (review) do update
set deployed = excluded.deployed, holder = excluded.holder, held_until = excluded.held_until,
    shown_sha256 = coalesce(nullif(review_waits.shown_sha256, ''), excluded.shown_sha256);

-- name: renew_wait
update patterns.review_waits set held_until = now() + make_interval(secs => %(lease)s)
where review = %(review)s and holder = %(holder)s;

-- name: end_wait
-- A process that lives has heard: one that is killed leaves a lease that runs out.
update patterns.review_waits set held_until = null where review = %(review)s;

-- name: take_answer
update patterns.review_waits set answers = answers + 1, shown_sha256 = ''
where review = %(review)s;

-- name: note_announced
insert into patterns.review_waits (review, announced_at) values (%(review)s, now())
on conflict (review) do update set announced_at = excluded.announced_at;

-- name: note_reminded
update patterns.review_waits set reminded_at = now() where review = %(review)s;

-- name: keep_code
insert into patterns.review_codes (sha256, reviewer, review, made_by, expires_at)
values (%(sha256)s, %(reviewer)s, %(review)s, %(made_by)s,
    now() + make_interval(secs => %(seconds)s));

-- name: use_code
update patterns.review_codes set used_at = now()
where sha256 = %(sha256)s and lower(reviewer) = lower(%(reviewer)s) and used_at is null
    and expires_at > now() and (review is null or review = %(review)s)
returning reviewer;

-- name: read_shown
select * from patterns.reviews order by id;
