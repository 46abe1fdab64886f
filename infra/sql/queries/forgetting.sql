-- Forgetting: what is being forgotten, and where its words stand.

-- name: records_of_ticket
select c.name, r.text, r.kind
from patterns.corpus_records as r join patterns.corpora as c on c.id = r.corpus_id
where r.id = %(ticket)s and (%(corpus)s::text is null or c.name = %(corpus)s)
order by c.name

-- name: passages_of_ticket
select distinct text, context from patterns.passages
where document = %(ticket)s and source = any(%(sources)s)

-- name: note_forgetting
insert into patterns.forgettings (ticket, sources, requester, texts, hashes)
values (%(ticket)s, %(sources)s, %(requester)s, %(texts)s, %(hashes)s)

-- name: take_from_corpora
delete from patterns.corpus_records as r using patterns.corpora as c
where c.id = r.corpus_id and r.id = %(ticket)s and 'corpus:' || c.name = any(%(sources)s)

-- name: forgettings
select id, ticket, sources, requester, texts, hashes, replies, runs, begun_at
from patterns.forgettings order by id

-- name: note_traces
update patterns.forgettings set replies = %(replies)s, runs = %(runs)s where id = any(%(ids)s)

-- name: end_forgettings
delete from patterns.forgettings where id = any(%(ids)s)

-- name: records_with
select text from patterns.corpus_records where lower(text) like any (%(patterns)s)

-- name: borrowers
-- Passages whose facts have words of others.
select encode(passage_sha256, 'hex') as sha256 from patterns.facts
where borrowed_from && %(passages)s

-- name: facts_of
-- What was read in passages, and what has words of theirs.
select facts from patterns.facts
where passage_sha256 = any(%(passages)s) or borrowed_from && %(passages)s

-- name: documents_with
-- Of other documents than the tickets' own.
select context, text from patterns.passages
where not (document = any(%(tickets)s) and source = any(%(sources)s))
    and lower(context || ' ' || text) like any (%(patterns)s)

-- name: runs_with
-- Runs in whose steps or reviews there may be words.
select root_run as run, result::text as said from patterns.steps
where lower(result::text) like any (%(patterns)s)
union all
select root_run, concat_ws(' ', title, text, material, shown, inputs, evidence) from patterns.reviews
where lower(concat_ws(' ', title, text, material, shown, inputs, evidence)) like any (%(patterns)s)

-- name: forget_facts
delete from patterns.facts where passage_sha256 = any(%(passages)s) or borrowed_from && %(passages)s

-- name: forget_samples
-- Of what themes are worded from: the next run draws others.
update patterns.themes set sample = default, drawn_of = default where sample && %(facts)s

-- name: forget_embeddings
delete from patterns.embeddings where text_sha256 = any(%(hashes)s)

-- name: calls_that_quote
select key, request -> 'schema' as schema, reply ->> 'text' as reply from patterns.calls
where sources && %(hashes)s or (sources && %(borrowers)s and prompt = any(%(of_facts)s))

-- name: calls_with
select key, request -> 'schema' as schema, reply ->> 'text' as reply,
       concat_ws(' ', request, inputs, reply ->> 'text') as said
from patterns.calls
where lower(concat_ws(' ', request, inputs, reply ->> 'text')) like any (%(patterns)s)

-- name: calls_of_runs
-- What runs that keep steps have asked and were told; but of the calls that are named.
select c.key, c.request -> 'schema' as schema, c.reply ->> 'text' as reply,
       concat_ws(' ', c.request -> 'messages', c.request ->> 'prompt') as asked
from patterns.calls as c
where c.key <> all(%(keys)s) and exists (
    select from patterns.ledger as l join patterns.steps as s using (root_run)
    where l.call_key = c.key and l.root_run = any(%(runs)s))

-- name: runs_of_calls
select distinct run from (
    select root_run as run from patterns.ledger where call_key = any(%(keys)s)
    union
    select flow_run from patterns.ledger where call_key = any(%(keys)s)
) as found where run is not null

-- name: forget_calls
-- With the questions and the checks of their replies.
delete from patterns.calls where key = any(%(keys)s)

-- name: checks_with
select id, concat_ws(' ', inputs, prompt) as said, sources && %(hashes)s as quotes
from patterns.checks
where sources && %(hashes)s or lower(inputs::text) like any (%(patterns)s)

-- name: forget_checks
delete from patterns.checks where id = any(%(ids)s)

-- name: steps_with
select root_run, key, result from patterns.steps
where root_run = any(%(runs)s) or lower(result::text) like any (%(patterns)s)

-- name: replace_step
update patterns.steps
set result = %(result)s, result_sha256 = encode(sha256(convert_to(%(result)s::jsonb::text, 'UTF8')), 'hex')
where root_run = %(root_run)s and key = %(key)s

-- name: reviews_with
select r.id, r.root_run from patterns.reviews as r
where r.root_run = any(%(runs)s)
    or lower(concat_ws(' ', r.title, r.text, r.material, r.shown, r.inputs, r.evidence))
        like any (%(patterns)s)
    or exists (select from patterns.review_events as e
        where e.review = r.id and lower(concat_ws(' ', e.text, e.reason)) like any (%(patterns)s))
order by r.id

-- name: replace_draft
update patterns.reviews
set title = %(title)s, text = %(text)s, material = %(material)s, shown = %(shown)s,
    inputs = %(inputs)s, evidence = %(evidence)s
where id = %(id)s
returning *

-- name: empty_event
-- Words alone are taken from a reason that its hash covers by a hash of its own.
update patterns.review_events
set text = case when text is null then null else '' end,
    reason = case when format >= 3 and %(with_reason)s then '' else reason end
where id = %(id)s

-- name: replies_with
select root_run, ticket, reply, review from patterns.released_replies
where root_run = any(%(runs)s) or lower(reply) like any (%(patterns)s)

-- name: empty_reply
-- The row stays: a run that starts anew releases nothing in its place.
update patterns.released_replies set reply = '' where root_run = %(root_run)s and ticket = %(ticket)s

-- name: corrections_with
select id, text from patterns.corrections where lower(text) like any (%(patterns)s)

-- name: forget_corrections
delete from patterns.corrections where id = any(%(ids)s)

-- name: changes_with
select id, root_run, request, text, cells from patterns.changes
where root_run = any(%(runs)s) or lower(concat_ws(' ', request, text, cells)) like any (%(patterns)s)

-- name: replace_change
update patterns.changes set request = %(request)s, text = %(text)s, cells = %(cells)s
where id = %(id)s

-- name: workflows_with
select id, text from patterns.workflows where lower(text) like any (%(patterns)s)

-- name: replace_workflow
update patterns.workflows set text = %(text)s, version = %(version)s where id = %(id)s

-- name: schedules_with
select name, params from patterns.workflow_schedules where lower(params::text) like any (%(patterns)s)

-- name: replace_schedule
update patterns.workflow_schedules set params = %(params)s where name = %(name)s

-- name: passages_with
-- Those of the ticket's own documents, and of others with its words; those of tables of findings.
select c.name as collection, p.index_id as index, p.id, p.source, p.document,
       p.document = any(%(tickets)s) and p.source = any(%(sources)s) as own,
       concat_ws(' ', p.context, p.text, p.fields) as said,
       p.context, p.text
from patterns.passages as p
join patterns.indexes as i on i.id = p.index_id
join patterns.collections as c on c.id = i.collection_id
where (p.document = any(%(tickets)s) and p.source = any(%(sources)s)) or p.source = any(%(findings)s)
    or lower(concat_ws(' ', p.context, p.text, p.fields)) like any (%(patterns)s)

-- name: forget_passages
delete from patterns.passages where index_id = %(index)s and id = any(%(ids)s)

-- name: recount_version
-- Of the live version, once passages of its index are gone.
update patterns.versions as v
set documents = found.documents, passages = found.passages
from (
    select v.id, count(distinct p.document) as documents, count(p.id) as passages
    from patterns.versions as v left join patterns.passages as p
        on p.index_id = v.index_id and p.born <= v.id and (p.died is null or p.died > v.id)
    where v.index_id = %(index)s group by v.id
) as found
where v.id = found.id

-- name: pinned_with
select collection_id as collection, question from patterns.pinned_questions
where lower(question) like any (%(patterns)s)

-- name: all_specialists
select id, root_run, files from patterns.specialists order by id

-- name: replace_file_hash
update patterns.specialists set files = files || %(files)s where id = %(id)s

-- name: places_with
select place, said from patterns.places_with(%(patterns)s)

-- name: digest_titles_with
select t.digest, t.theme, t.title,
       d.source = any(%(sources)s) and t.tickets && %(tickets)s as rests_on_it
from patterns.digest_themes as t join patterns.digests as d on d.id = t.digest
where t.title is not null
    and (d.source = any(%(sources)s) and t.tickets && %(tickets)s
        or lower(t.title) like any (%(patterns)s))

-- name: empty_digest_title
update patterns.digest_themes set title = null where digest = %(digest)s and theme = %(theme)s

-- name: forget_passages_to_read
-- What a run that died has left for its shards; one that goes on finds that they are gone.
delete from patterns.passages_to_read where passage_sha256 = any(%(passages)s)
