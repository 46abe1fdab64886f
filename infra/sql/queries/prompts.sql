-- Prompt versions, kept whole.

-- name: keep_prompt_version
insert into patterns.prompt_versions (version, name, content) values (%s, %s, %s)
on conflict (version) do nothing;
