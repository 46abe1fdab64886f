-- Prompt versions, kept whole.

-- name: keep_prompt_version (repeatable)
insert into patterns.prompt_versions (version, name, content, source)
values (%(version)s, %(name)s, %(content)s, %(source)s)
on conflict (version) do update set source = excluded.source
    where prompt_versions.source is distinct from excluded.source;

-- name: labelled_versions
select l.name, v.version, v.source
from patterns.prompt_labels as l join patterns.prompt_versions as v using (version)
where l.label = %(label)s;

-- name: find_versions
-- Versions of a prompt that a reference names: a label, or the beginning of a version.
select v.version, v.source from patterns.prompt_versions as v
where v.name = %(name)s and (starts_with(v.version, %(reference)s) or v.version = (
    select l.version from patterns.prompt_labels as l
    where l.name = %(name)s and l.label = %(reference)s
))
order by v.first_used_at;

-- name: lock_label
select pg_advisory_xact_lock(hashtextextended(%(name)s || ' ' || %(label)s, 0));

-- name: move_label
insert into patterns.prompt_labels (name, label, version)
values (%(name)s, %(label)s, %(version)s)
on conflict (name, label) do update set version = excluded.version;

-- name: note_move
insert into patterns.label_moves (name, label, from_version, to_version, rollback, cases, moved_by)
values (%(name)s, %(label)s, %(from_version)s, %(version)s, %(rollback)s, %(cases)s, %(moved_by)s)
returning label, from_version, to_version, rollback, cases, moved_by, moved_at;

-- name: label_history
select label, from_version, to_version, rollback, cases, moved_by, moved_at
from patterns.label_moves where name = %(name)s order by id;
