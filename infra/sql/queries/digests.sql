-- What digests found, for the next ones to be compared with.

-- name: digest_before
-- The one that this run's digest was compared with, should it be kept already; else the newest.
select after as id from patterns.digests
where root_run = %(root_run)s and lineage = %(lineage)s and days = %(days)s
union all
(
    select id from patterns.digests
    where lineage = %(lineage)s and days = %(days)s
      and not exists (
        select from patterns.digests
        where root_run = %(root_run)s and lineage = %(lineage)s and days = %(days)s)
    order by id desc limit 1
)

-- name: read_digest
select id, generation, entries, tickets, made_at from patterns.digests where id = %(id)s

-- name: read_digest_themes
select theme, title, tickets from patterns.digest_themes where digest = %(id)s

-- name: keep_digest
insert into patterns.digests
    (root_run, source, lineage, days, after, generation, entries, tickets, made_at)
select %(root_run)s, %(source)s, %(lineage)s, %(days)s, %(after)s, c.generation, count(*),
    %(tickets)s, %(made_at)s
from patterns.codebooks c join patterns.themes t on t.codebook_id = c.id
where c.lineage = %(lineage)s and c.generation = %(generation)s
group by c.generation
on conflict (root_run, lineage, days) do update
set generation = excluded.generation, entries = excluded.entries, tickets = excluded.tickets,
    made_at = excluded.made_at
returning id

-- name: drop_digest_themes
delete from patterns.digest_themes where digest = %(id)s

-- name: keep_digest_theme
insert into patterns.digest_themes (digest, theme, title, tickets)
values (%(digest)s, %(theme)s, %(title)s, %(tickets)s)

-- name: drop_old_digests
delete from patterns.digests
where lineage = %(lineage)s and days = %(days)s and id not in (
    select id from patterns.digests
    where lineage = %(lineage)s and days = %(days)s order by id desc limit %(kept)s)
