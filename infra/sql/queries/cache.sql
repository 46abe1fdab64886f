-- The caching layer: similar questions, what was learned of them, stock-taking and upkeep.

-- name: keep_question
insert into patterns.questions (call_key, place, embedder, question, embedding)
select key, %(place)s, %(embedder)s, %(question)s, %(embedding)s
from patterns.calls where key = %(key)s and reply is not null
on conflict do nothing;

-- name: questions_to_embed
-- Of other embedders than the present one.
select call_key as key, question from patterns.questions where embedder <> %(embedder)s
limit %(most)s;

-- name: embed_question
update patterns.questions set embedding = %(embedding)s, embedder = %(embedder)s
where call_key = %(key)s;

-- name: nearest_questions
-- The stored questions of a scope that are nearest to a unit vector, with usable replies.
select q.call_key as key, q.question, -(q.embedding <#> %(embedding)s)::float8 as similarity,
       c.reply ->> 'text' as reply
from patterns.questions as q join patterns.calls as c on c.key = q.call_key
where q.place = %(place)s and q.embedder = %(embedder)s and patterns.is_usable(c, %(ttl)s)
order by q.embedding <#> %(embedding)s
limit %(most)s;

-- name: nearest_questions_384
-- The same where the index of the embedded model's vectors can serve.
select q.call_key as key, q.question,
       -(q.embedding::halfvec(384) <#> %(embedding)s::halfvec(384))::float8 as similarity,
       c.reply ->> 'text' as reply
from patterns.questions as q join patterns.calls as c on c.key = q.call_key
where q.place = %(place)s and q.embedder = %(embedder)s and vector_dims(q.embedding) = 384 and patterns.is_usable(c, %(ttl)s)
order by q.embedding::halfvec(384) <#> %(embedding)s::halfvec(384)
limit %(most)s;

-- name: lesson
with found as (
    select id, threshold, bound from patterns.lessons
    where (prompt, version, model, embedder) = (%(prompt)s, %(version)s, %(model)s, %(embedder)s)
), made as (
    insert into patterns.lessons (prompt, version, model, embedder)
    select %(prompt)s, %(version)s, %(model)s, %(embedder)s where not exists (select from found)
    on conflict do nothing
    returning id, threshold, bound
)
select * from found union all select * from made;

-- name: observe
-- Note an observation, and that the check is made which it may come from; how many the lesson has not
-- been learned from.
with made as (
    delete from patterns.checks where id = %(check)s::bigint
), noted as (
    insert into patterns.observations (lesson_id, similarity, was_right, source)
    values (%(lesson)s, %(similarity)s, %(was_right)s, %(source)s)
    returning lesson_id
)
select 1 + (
    select count(*) from patterns.observations as o
    where o.lesson_id = n.lesson_id and o.id > l.learned_upto
) as unlearned
from noted as n join patterns.lessons as l on l.id = n.lesson_id;

-- name: copy_observations
copy patterns.observations (lesson_id, similarity, was_right, source) from stdin

-- name: observations
-- The newest that count, oldest first.
select id, similarity, was_right, source from (
    select o.id, o.similarity, o.was_right, o.source
    from patterns.observations as o join patterns.lessons as l on l.id = o.lesson_id
    where l.id = %(lesson)s and o.at >= l.since
    order by o.id desc limit %(most)s
) as newest order by id;

-- name: lesson_state
select prompt, version, model, threshold, state from patterns.lessons where id = %(lesson)s;

-- name: lock_lesson
-- Whoever learns goes one after another: what is learned last knows the most.
select threshold, state from patterns.lessons where id = %(lesson)s for update;

-- name: set_lesson
update patterns.lessons set threshold = %(threshold)s, bound = %(bound)s, state = %(state)s,
    learned_at = now(), learned_upto = greatest(learned_upto, %(upto)s),
    since = case when %(anew)s then now() else since end
where id = %(lesson)s;

-- name: lessons
select id, prompt, version, model, embedder, threshold, state, learned_at from patterns.lessons
order by prompt, id;

-- name: note_check
insert into patterns.checks (lesson_id, hit_key, similarity, prompt, inputs, tenant, corpus, sources)
select %(lesson)s, key, %(similarity)s, %(prompt)s, %(inputs)s, %(tenant)s, %(corpus)s, %(sources)s
from patterns.calls where key = %(key)s;

-- name: take_checks
-- Each is taken by one, for a time: what one that dies had taken is taken again. Those that were tried
-- before come last.
update patterns.checks set held_until = now() + %(lease)s * interval '1 second' where id in (
    select id from patterns.checks where not patterns.is_held(held_until, %(lease)s)
    order by held_until nulls first, id for update skip locked limit %(most)s
)
returning id, lesson_id as lesson, similarity, prompt, inputs, tenant, corpus, sources,
    (select c.reply ->> 'text' from patterns.calls as c where c.key = hit_key) as reply;

-- name: give_back_checks
update patterns.checks set held_until = now() where id = any(%(checks)s);

-- name: drop_check
delete from patterns.checks where id = %(check)s;

-- name: cache_stock
select (select count(*) from patterns.calls where reply is not null) as entries,
       (select count(*) from patterns.questions) as questions,
       count(*) filter (where served_by = 'exact') as exact_hits,
       count(*) filter (where served_by = 'semantic') as semantic_hits,
       count(*) filter (where served_by = 'model' and error is null) as misses
from patterns.ledger;

-- name: checked_hits
-- Semantic hits that were checked, by what they were found to be.
select count(*) as checked, count(*) filter (where not was_right) as wrong
from patterns.observations where source = 'check';

-- name: saved
-- What the hits would have cost; null when a price is unknown.
select case when count(*) filter (where paid.cost_usd is null) = 0
            then coalesce(sum(paid.cost_usd), 0)::float8 end as saved_usd
from patterns.ledger as l left join lateral (
    select p.cost_usd from patterns.ledger as p
    where p.call_key = l.call_key and p.served_by = 'model' and p.error is null
    order by p.id desc limit 1
) as paid on true
where l.served_by in ('exact', 'semantic');

-- name: evict
-- Kept replies of a prompt, model, source or tenant, or those that may not be given any more; and the
-- inputs of their calls that never had one.
with evicted as (
    delete from patterns.calls as c
    where not patterns.is_held(held_until, %(lease)s)
        and (%(prompt)s::text is null or prompt = %(prompt)s)
        and (%(model)s::text is null or model = %(model)s)
        and (%(sources)s::text[] is null or sources && %(sources)s::text[])
        and (%(tenant)s::text is null or tenant = %(tenant)s)
        and (not %(unusable)s or not patterns.is_usable(c, %(ttl)s))
    returning reply
)
select count(reply) as evicted from evicted;

-- name: evict_least_used
-- What is above the number of entries: the least used, among equals the longest unused.
with used as (
    select call_key, count(*) as uses, max(id) as last from patterns.ledger group by call_key
), evicted as (
    delete from patterns.calls where key in (
        select c.key from patterns.calls as c left join used as u on u.call_key = c.key
        where c.reply is not null
        order by u.uses desc nulls last, u.last desc nulls last
        offset %(entries)s
    )
    returning 1
)
select count(*) as evicted from evicted;
