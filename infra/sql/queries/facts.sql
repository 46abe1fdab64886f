-- What the map step made of passages, and embeddings by content.

-- name: read_embeddings
-- In pgvector's binary form: to read ten thousand texts of 384 numbers takes seconds.
select text_sha256, halfvec_send(embedding) as sent from patterns.embeddings
where embedder = %(embedder)s and text_sha256 = any(%(hashes)s);

-- name: stage_embeddings
create temp table new_embeddings (like patterns.embeddings) on commit drop;

-- name: copy_embeddings
copy new_embeddings (text_sha256, embedder, embedding) from stdin (format binary);

-- name: keep_embeddings
insert into patterns.embeddings select * from new_embeddings on conflict do nothing;

-- name: read_facts
select encode(passage_sha256, 'hex') as passage, facts, reason, borrowed_from from patterns.facts
where extractor = %(extractor)s and passage_sha256 = any(%(hashes)s);

-- name: known_passages
select encode(passage_sha256, 'hex') as passage, borrowed_from from patterns.facts
where extractor = %(extractor)s and passage_sha256 = any(%(hashes)s);

-- name: keep_facts
insert into patterns.facts (passage_sha256, extractor, facts, reason, borrowed_from)
values (decode(%(passage)s, 'hex'), %(extractor)s, %(facts)s, %(reason)s, %(borrowed_from)s)
on conflict (passage_sha256, extractor) do update
set facts = excluded.facts, reason = excluded.reason, borrowed_from = excluded.borrowed_from;
