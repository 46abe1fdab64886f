-- Codebooks of themes. A change takes the next version, so of two runs that change one, one loses.

-- name: read_codebook
-- Of the last generation, or of the one that is named.
select c.generation, c.version, c.radius, c.fitted_on, c.fitted_rare, c.fitted_entries,
       t.id, t.parent, t.kind, t.centroid, t.radius as theme_radius, t.merged_into, t.compared,
       t.sample, t.drawn_of
from patterns.codebooks c join patterns.themes t on t.codebook_id = c.id
where c.id = (
    select id from patterns.codebooks
    where lineage = %(lineage)s
      and (%(generation)s::int is null or generation = %(generation)s)
    order by generation desc limit 1)
order by t.id;

-- name: found_codebook
insert into patterns.codebooks
    (lineage, generation, version, radius, fitted_on, fitted_rare, fitted_entries)
values (%(lineage)s, %(generation)s, 1, %(radius)s, %(fitted_on)s, %(fitted_rare)s, %(fitted_entries)s)
on conflict (lineage, generation) do nothing
returning id;

-- name: continue_codebook
-- Nothing is updated when the version has been taken, or there is a newer generation.
update patterns.codebooks c set version = version + 1
where lineage = %(lineage)s and generation = %(generation)s and version = %(version)s
  and not exists (
    select from patterns.codebooks
    where lineage = c.lineage and generation > c.generation)
returning id;

-- name: drop_themes
delete from patterns.themes where codebook_id = %(codebook)s;

-- name: copy_themes
copy patterns.themes
    (codebook_id, id, parent, kind, centroid, radius, merged_into, compared, sample, drawn_of)
from stdin (format binary);
