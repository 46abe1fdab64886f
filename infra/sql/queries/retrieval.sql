-- Retrieval: collections, their versions, their passages. {index} and {dimensions} are numbers of ours.

-- name: open_collection
insert into patterns.collections (name) values (%(name)s)
on conflict (name) do update set name = excluded.name
returning id;

-- name: read_view
-- The live version, or another one.
select c.id as collection, c.name, v.id as version, v.index_id as index, v.documents, v.passages,
       v.fields, i.embedder, i.cut, i.dimensions, i.mean_lexemes
from patterns.collections as c
join patterns.versions as v on v.id = coalesce(%(version)s, c.live)
join patterns.indexes as i on i.id = v.index_id
where c.name = %(name)s;

-- name: list_collections
select c.name, v.id as version, v.documents, v.passages, v.recall, v.made_at, i.embedder
from patterns.collections as c
left join patterns.versions as v on v.id = c.live
left join patterns.indexes as i on i.id = v.index_id
order by c.name;

-- name: list_versions
select v.id as version, v.state, v.documents, v.passages, v.recall, v.made_at, i.embedder,
       v.id = c.live as live
from patterns.versions as v
join patterns.collections as c on c.id = v.collection_id
join patterns.indexes as i on i.id = v.index_id
where c.name = %(name)s order by v.id;

-- name: forget_versions
-- All but the live one and the one before it: killed ingests, those that were refused or rolled back,
-- and old ones. Gives the indexes that nobody needs any more.
with kept as (
    select v.id from patterns.versions as v
    where v.collection_id = %(collection)s and v.state = 'good'
        and v.id <= (select live from patterns.collections where id = %(collection)s)
    order by v.id desc limit 2
), gone as (
    delete from patterns.versions
    where collection_id = %(collection)s and id not in (select id from kept)
)
select i.id as index from patterns.indexes as i
where i.collection_id = %(collection)s
    and not exists (select from patterns.versions as v join kept using (id) where v.index_id = i.id);

-- name: revive_passages
-- As the live version sees them: what came after it is undone.
update patterns.passages set died = null where index_id = %(index)s and died > %(version)s;

-- name: bury_passages
-- What came after the live version, and what neither it nor the one before it sees.
delete from patterns.passages
where index_id = %(index)s and (
    born > %(version)s or died <= (select min(id) from patterns.versions where index_id = %(index)s)
);

-- name: known_documents
select distinct document, source, digest from patterns.passages
where index_id = %(index)s and born <= %(version)s and (died is null or died > %(version)s);

-- name: make_index
insert into patterns.indexes (collection_id, embedder, cut, dimensions, mean_lexemes)
values (%(collection)s, %(embedder)s, %(cut)s, %(dimensions)s, %(mean_lexemes)s)
returning id as index;

-- name: make_passages
create table patterns.passages_{index} (like patterns.passages including defaults);

-- name: attach_passages
alter table patterns.passages attach partition patterns.passages_{index} for values in ({index});

-- name: drop_passages_of_index
drop table if exists patterns.passages_{index};

-- name: drop_index
delete from patterns.indexes where id = %(index)s;

-- name: count_passages
select count(*) as passages from patterns.passages_{index};

-- name: give_memory
select set_config('maintenance_work_mem', %(memory)s, true);

-- name: index_embeddings
create index if not exists passages_{index}_nearest on patterns.passages_{index}
using hnsw ((embedding::halfvec({dimensions})) halfvec_ip_ops) with (m = 12, ef_construction = 48);

-- name: analyze_passages
analyze patterns.passages_{index};

-- name: make_version
insert into patterns.versions (collection_id, index_id) values (%(collection)s, %(index)s)
returning id as version;

-- name: copy_passages
copy patterns.passages_{index} (index_id, born, source, document, digest, number, context, text, fields,
                                embedding, lexemes, weights)
from stdin (format binary);

-- name: end_documents
update patterns.passages set died = %(version)s
where index_id = %(index)s and born < %(version)s and died is null and document = any(%(documents)s);

-- name: forget_lexemes
delete from patterns.lexemes where index_id = %(index)s;

-- name: count_lexemes
-- Of all passages, also those that died: the version before this one may still be searched.
insert into patterns.lexemes (index_id, lexeme, passages)
select {index}, word, ndoc from ts_stat($$ select lexemes from patterns.passages_{index} $$);

-- name: measure_version
update patterns.versions as v
set documents = found.documents, passages = found.passages, fields = found.fields
from (
    select count(distinct p.document) as documents, count(distinct p.id) as passages,
           coalesce(array_agg(distinct f.field) filter (where f.field is not null), '{{}}') as fields
    from patterns.passages_{index} as p left join lateral jsonb_object_keys(p.fields) as f(field) on true
    where p.died is null
) as found
where v.id = %(version)s
returning v.documents, v.passages;

-- name: judge_version
update patterns.versions set state = %(state)s, recall = %(recall)s where id = %(version)s;

-- name: go_live
update patterns.collections set live = %(version)s where id = %(collection)s;

-- name: earlier_good_version
select max(v.id) as version from patterns.versions as v
join patterns.collections as c on c.id = v.collection_id
where c.name = %(name)s and v.state = 'good' and v.id < c.live;

-- name: indexes_of_collection
select i.id as index from patterns.indexes as i
join patterns.collections as c on c.id = i.collection_id where c.name = %(name)s;

-- name: remove_collection
delete from patterns.collections where name = %(name)s returning id;

-- name: rarity
-- In how many passages each lexeme of a question stands, the rarest first.
select lexeme, passages from patterns.lexemes
where index_id = %(index)s and lexeme = any(%(lexemes)s) order by passages, lexeme;

-- name: search
-- The passages that are best by both legs together: what either brings is scored by both, similarity
-- (cosine, -1 to 1) and BM25 (share of the most that a passage could have).
--
-- An index gives up among many passages that a filter or the version leaves out: then all that are left
-- are compared (without the cast, no index is used). The rarest words, too, may stand elsewhere only.
with near as (
    select id from patterns.passages_{index}
    where %(mode)s <> 'text' and born <= %(version)s and (died is null or died > %(version)s)
        and (%(fields)s::jsonb is null or fields @> %(fields)s)
    order by embedding::halfvec({dimensions}) <#> %(embedding)s::halfvec({dimensions})
    limit {pool}
), nearest as (
    select id from near
    union
    (select id from patterns.passages_{index}
    where %(mode)s <> 'text' and (select count(*) from near) < {pool}
        and born <= %(version)s and (died is null or died > %(version)s)
        and (%(fields)s::jsonb is null or fields @> %(fields)s)
    order by embedding <#> %(embedding)s::halfvec
    limit {pool})
), rare as (
    select id, weights from patterns.passages_{index}
    where %(mode)s <> 'vector' and lexemes @@ %(rarest)s::tsquery
        and born <= %(version)s and (died is null or died > %(version)s)
        and (%(fields)s::jsonb is null or fields @> %(fields)s)
    limit {candidates}
), named as (
    select id, weights from rare
    union all
    (select id, weights from patterns.passages_{index}
    where %(mode)s <> 'vector' and %(fields)s::jsonb is not null and (select count(*) from rare) < {pool}
        and lexemes @@ %(commoner)s::tsquery
        and born <= %(version)s and (died is null or died > %(version)s)
        and fields @> %(fields)s
    limit {candidates})
), found as (
    select id from nearest
    union
    (select id from named order by weights <#> %(weights)s::sparsevec limit {pool})
), scored as (
    select p.document, p.number as passage, p.context, p.text, p.fields,
           coalesce(-(p.embedding <#> %(embedding)s::halfvec), 0)::float8 as similarity,
           -(p.weights <#> %(weights)s::sparsevec)::float8 as text_score
    from patterns.passages_{index} as p join found using (id)
)
select *, (1 - %(text_share)s) * similarity + %(text_share)s * text_score as score
from scored order by score desc, document, passage limit %(k)s;

-- name: pin_question
insert into patterns.pinned_questions (collection_id, question, documents)
values (%(collection)s, %(question)s, %(documents)s)
on conflict (collection_id, question) do update set documents = excluded.documents;

-- name: pinned_questions
select question, documents from patterns.pinned_questions where collection_id = %(collection)s
order by question;

-- name: unpin_questions
delete from patterns.pinned_questions
where collection_id = %(collection)s and question = any(%(questions)s);

-- name: documents_there
select distinct document from patterns.passages
where index_id = %(index)s and document = any(%(documents)s)
    and born <= %(version)s and (died is null or died > %(version)s);

-- name: quote_stands
-- Whether a passage of a version has these very words.
select exists (
    select from patterns.passages
    where index_id = %(index)s and document = %(document)s and number = %(passage)s
        and born <= %(version)s and (died is null or died > %(version)s)
        and position(%(quote)s in text) > 0
) as stands;

-- name: read_passages
-- Those of a version after a place, in the order of their ids: to be made anew in another index.
select id, source, document, digest, number, context, text, fields from patterns.passages
where index_id = %(index)s and id > %(after)s
    and born <= %(version)s and (died is null or died > %(version)s)
    and (source <> %(source)s or document = any(%(documents)s))
order by id limit %(most)s;
