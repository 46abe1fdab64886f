-- Guarded writes: roles that may read and change what is allowed, rules, and what was changed.

-- Make a role that we can act as. Roles belong to the whole cluster: another database of it may have
-- made it, or may be making it now.
create function patterns.make_role(name text) returns void language plpgsql as $$
declare
    modern boolean := current_setting('server_version_num')::int >= 160000;
begin
    begin
        if to_regrole(quote_ident(name)) is null then
            execute format('create role %I nologin', name);
        end if;
    exception when duplicate_object or unique_violation then
        null;
    end;
    if not pg_has_role(current_user, name, 'member') or modern
        and not pg_has_role(current_user, name, 'set') then
        execute format('grant %I to %I', name, current_user)
            || case when modern then ' with set true, inherit false' else '' end;
    end if;
end $$;

-- The same, where we may; whether there is one that we can act as.
create function patterns.try_role(name text) returns boolean language plpgsql as $$
begin
    perform patterns.make_role(name);
    return true;
exception when insufficient_privilege or internal_error then
    return false;
end $$;

-- What may be changed: the newest row holds. Earlier ones say what held for earlier changes.
create table patterns.change_rules (
    id bigint generated always as identity primary key,
    version text not null,                  -- SHA-256 of the rules
    rules jsonb not null,
    registered_by text not null,
    registered_at timestamptz not null default now()
);

-- What was changed, or undone: one row a change set, written with it in one transaction.
create table patterns.changes (
    id bigint generated always as identity primary key,
    root_run uuid unique,                   -- a run changes once, however often it starts; null: an undo
    request text not null,
    requester text not null,
    text text not null,                     -- what was approved
    sha256 text not null,                   -- of that text
    rules text not null,                    -- version
    review bigint references patterns.reviews,              -- null: low risk, by policy
    approval bigint references patterns.review_events,
    cells jsonb not null,                   -- [{table, key, column, before, after}]
    undo_of bigint unique references patterns.changes,
    at timestamptz not null default now()
);
create trigger only_added before update or delete or truncate on patterns.changes
    for each statement execute function patterns.refuse_change();
create trigger only_added before update or delete or truncate on patterns.change_rules
    for each statement execute function patterns.refuse_change();
