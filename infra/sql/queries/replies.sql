-- Replies to customers that people have released.

-- name: keep_released_reply
insert into patterns.released_replies (root_run, ticket, reply, sha256, review, reviewers)
values (%(root_run)s, %(ticket)s, %(reply)s, %(sha256)s, %(review)s, %(reviewers)s)
on conflict (root_run, ticket) do nothing;

-- name: released_replies
select ticket, reply, sha256, reviewers, review, released_at
from patterns.released_replies where root_run = %(root_run)s order by review, place;
