-- From 0.10.0 to 0.11.0.
drop function quote_public_functions();
-- Functions.
create or replace function quote_relation_stands(relation text, kind "char", owner name) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_kind "char";
    found_owner oid;
begin
    select c.relkind, c.relowner into found_kind, found_owner from pg_class c where c.oid = to_regclass(relation);
    if not found then
        return false;
    elsif found_kind = kind and (pg_get_userbyid(found_owner) = owner or @extschema@.quote_owner_trusted(found_owner)) then
        return true;
    end if;
    if found_kind <> kind then
        raise exception 'relation % is in the way', relation
            using errcode = 'duplicate_table', detail = 'It is none that attach or the archive has made.',
                hint = @extschema@.quote_copy_return(to_regclass(relation), 'rename it or move it to another schema.');
    end if;
    raise exception 'relation % is in the way', relation
        using errcode = 'duplicate_table', detail = format('It belongs to %s, to whom nothing belonged that attach knows.', pg_get_userbyid(found_owner)),
              hint = format('If it is of an earlier attach: %s Else rename it, and let nobody but %s create anything in schema %s.',
                  @extschema@.quote_home_handover(to_regclass(relation), owner), owner, split_part(relation, '.', 1));
end $$;
create function quote_copy_return(target regclass, other text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    log regclass := (
        select l.oid from pg_class l join pg_class t on t.relnamespace = l.relnamespace
        where t.oid = target and t.relkind = 'r' and l.relname = 'quote_changes' and l.relkind = 'p' and l.oid <> t.oid);
    columns text[] := array(select a.attname::text from pg_attribute a where a.attrelid = log and a.attnum > 0 and not a.attisdropped order by a.attnum);
begin
    if log is null or columns <> array(select a.attname::text from pg_attribute a where a.attrelid = target and a.attnum > 0 and not a.attisdropped order by a.attnum) then
        return other;
    end if;
    return format('insert into %s select * from %s; drop table %s;', log, target, target);
end $$;
comment on function quote_copy_return(regclass, text) is 'statements that put rows back which were copied out of an audit log by hand';
create function require_quote_index_names(target_schema name) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    taken record;
begin
    select i.indexrelid::regclass as index, i.indrelid::regclass as relation into taken
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_index i on i.indexrelid = c.oid
    where n.nspname = target_schema and c.relname in ('quote_changes_pkey', 'quote_changes_quote', 'quote_changes_changed_at') order by c.relname limit 1;
    if found then
        raise exception 'relation % is in the way', taken.index
            using errcode = 'duplicate_table', detail = format('It is an index of table %s.', taken.relation),
                hint = 'Move that table to another schema, or rename its indexes.';
    end if;
end $$;
comment on function require_quote_index_names(name) is 'refuses to make an audit log where an index of another table has the name of one of its own';
create or replace function create_quote_changes(target_schema name, target_owner name) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    log text := format('%I.quote_changes', target_schema);
    item record;
begin
    if not @extschema@.quote_relation_stands(log, 'p'::"char", target_owner) then
        perform @extschema@.require_quote_index_names(target_schema);
        execute format($ddl$
            create table %s (
                id                    uuid        not null,
                tenant_id             uuid        not null,
                quote_id              uuid        not null,
                quote_line_id         uuid,
                changed_by            uuid,
                changed_at            timestamptz not null,
                entity_type           varchar(20) not null,
                field_name            varchar(63) not null,
                old_value             jsonb,
                new_value             jsonb,
                change_type           varchar(20) not null,
                session_id            uuid,
                was_conflict          boolean     not null,
                conflict_resolution   varchar(50),
                entity_version_before integer,
                entity_version_after  integer,
                event_id              uuid        not null,
                position              bigint      not null,
                xid                   xid8        not null,
                origin                bigint      not null,
                context               jsonb,
                constraint quote_changes_pkey primary key (xid, position, id, changed_at)
            ) partition by range (changed_at)$ddl$, log);
        execute format('create index quote_changes_quote on %s (quote_id, position) with (deduplicate_items = off)', log);
        execute format('create index quote_changes_changed_at on %s using brin (changed_at)', log);
        execute format('alter table %s owner to %I', log, target_owner);
        perform @extschema@.close_quote_table(log::regclass);
    end if;
    perform @extschema@.complete_quote_changes(log::regclass, target_schema, target_owner);
    perform @extschema@.comment_quote_changes(log::regclass);
    for item in select t.* from @extschema@.quote_tenant_tables(target_schema) t
        where t.policy = 'quote_changes_tenant_isolation' and not @extschema@.quote_table_is_protected(t.relation, t.policy) loop
        perform @extschema@.protect_quote_table(item.relation, item.policy);
    end loop;
    perform @extschema@.create_quote_changes_partitions(log::regclass, 3);
    return log::regclass;
end $$;
create or replace function quote_archive_stands(target_schema name) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from pg_class a join pg_namespace n on n.oid = a.relnamespace join pg_roles r on r.oid = a.relowner
        join pg_class log on log.relnamespace = n.oid and log.relname = 'quote_changes'
        where n.nspname = target_schema and a.relname = 'quote_changes_archive' and a.relkind = 'p' and (r.rolsuper or a.relowner = log.relowner))
$$;
create or replace function quote_home_relations(home name) returns regclass[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select array(
        select c.oid::regclass from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = home and c.relkind in ('r', 'p', 'v') and (c.relname in (select h.name from @extschema@.quote_home_tables() h)
            or c.relname in ('v_quote_change_events', 'v_quote_changes_all', 'v_recent_quote_changes', 'v_active_quote_collaborators'))
        order by c.relkind = 'v', c.relname)
$$;
create function require_quote_session_room(tenant uuid, who uuid, joining uuid) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    most constant integer := 200;
    others bigint;
begin
    execute format('select count(*) from %s s where s.tenant_id = $1 and s.user_id = $2 and s.session_id is distinct from $3
        and @extschema@.quote_session_lives(s.last_heartbeat)', @extschema@.quote_session_target()) into others using tenant, who, joining;
    if others >= most then
        raise exception 'too many sessions of one user' using errcode = 'configuration_limit_exceeded', detail = format('%s of them are alive.', others),
            hint = 'Leave those that nobody needs, or wait until they are stale.';
    end if;
end $$;
comment on function require_quote_session_room(uuid, uuid, uuid) is 'refuses to open one session more for somebody who has very many';
create or replace function join_quote_session(
    quote_id uuid, session_id uuid default null, user_id uuid default null, user_name text default null,
    user_email text default null, status text default 'VIEWING')
returns setof quote_session
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
    quote jsonb := @extschema@.require_quote_row(header, quote_id, '');
    who uuid := @extschema@.current_quote_user(user_id);
    known record;
    session @extschema@.quote_session;
begin
    perform @extschema@.require_quote_session_status(status);
    if @extschema@.current_quote_tenant() is null and row_security_active(@extschema@.quote_session_target()) then
        raise exception 'no tenant is set' using errcode = 'insufficient_privilege',
            hint = 'Set app.current_tenant_id for the transaction, or where tenants are verified, call authenticate_quote_user(token).';
    elsif who is null then
        raise exception 'the user id must not be null' using errcode = 'null_value_not_allowed',
            hint = 'Pass user_id or set app.current_user_id.';
    end if;
    select * into known from @extschema@.find_quote_user(who);
    if known.known and current_setting('quote_collab.verified_user', true) = who::text then
        user_name := null;
        user_email := null;
    end if;
    perform @extschema@.require_quote_session_texts(user_name, user_email);
    perform @extschema@.require_quote_session_room((quote ->> (header.columns ->> 'tenant'))::uuid, who, session_id);
    begin
        execute format($query$
        insert into %s as s (id, tenant_id, session_id, quote_id, user_id, user_name, user_email, joined_at, last_heartbeat, is_editing, status)
        values (@extschema@.uuid_generate_v7(), $1, $2, $3, $4, $5, $6, clock_timestamp(), clock_timestamp(), false, $7)
        on conflict on constraint active_quote_sessions_session do update set
            quote_id = excluded.quote_id, user_id = excluded.user_id, user_name = excluded.user_name, user_email = excluded.user_email,
            last_heartbeat = excluded.last_heartbeat, status = excluded.status, is_editing = false,
            joined_at = case when s.quote_id = excluded.quote_id and @extschema@.quote_session_lives(s.last_heartbeat) then s.joined_at else excluded.joined_at end,
            current_line_id = null, current_field = null, cursor_position = null
        where (s.user_id = excluded.user_id or not @extschema@.quote_session_lives(s.last_heartbeat)) and s.tenant_id = excluded.tenant_id
        returning s.*$query$, @extschema@.quote_session_target())
        into session
        using (quote ->> (header.columns ->> 'tenant'))::uuid, coalesce(session_id, @extschema@.uuid_generate_v7()), quote_id, who,
            coalesce(user_name, left(known.user_name, 255)), coalesce(user_email, left(known.user_email, 255)), coalesce(status, 'VIEWING');
    exception when insufficient_privilege then
        -- Row security says no to a session of another tenant, and names the table; a right that is missing it leaves alone.
        if not has_table_privilege(@extschema@.quote_session_target(), 'insert') or not has_table_privilege(@extschema@.quote_session_target(), 'update') then
            raise;
        end if;
    end;
    if session.session_id is null then
        raise exception 'the session belongs to another user' using errcode = 'insufficient_privilege',
            hint = 'Join with a session id of your own, or with none to get one.';
    end if;
    perform pg_notify('quote_presence', '');
    return next session;
end $$;
create function quote_extension_functions() returns table (function regprocedure, is_public boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select p.oid::regprocedure, exists (select from aclexplode(coalesce(i.initprivs, acldefault('f', p.proowner))) acl where acl.grantee = 0)
    from pg_extension e
    join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
    join pg_proc p on p.oid = d.objid
    left join pg_init_privs i on i.classoid = 'pg_proc'::regclass and i.objoid = p.oid and i.objsubid = 0
    where e.extname = 'quote_collab_ext'
$$;
comment on function quote_extension_functions() is 'functions of the extension, and which of them everybody may call after CREATE EXTENSION';
create or replace function quote_collab_doctor_functions() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(f.function::text, ', '), string_agg(format('revoke execute on function %s from public;', f.function), ' ')
    into names, hints
    from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function
    where not f.is_public and exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) acl where acl.grantee = 0);
    return next @extschema@.quote_collab_verdict('functions open as installed', names is null, 'error',
        format('everybody may call: %s', names), hints);
    select string_agg(format('%s to %s', f.function, @extschema@.quote_grantee(acl.grantee)), ', '),
        string_agg(format('revoke execute on function %s from %s;', f.function, @extschema@.quote_grantee(acl.grantee)), ' ')
    into names, hints
    from @extschema@.quote_gateway_functions() f (function) join pg_proc p on p.oid = f.function cross join lateral aclexplode(p.proacl) acl
    join pg_roles r on r.oid = acl.grantee
    where f.function::text like '%quote_relay_%' and acl.grantee <> p.proowner and not r.rolsuper
        and exists (select from @extschema@.quote_gateway_functions() g (function) where not has_function_privilege(r.oid, g.function, 'execute'));
    return next @extschema@.quote_collab_verdict('relay run by gateways only', names is null, 'warning',
        format('these roles are no gateway and may disturb it: %s', names), hints);
    select string_agg(f.function::text, ', '), string_agg(format('alter function %s set search_path = pg_catalog, pg_temp;', f.function), ' ')
    into names, hints
    from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function
    where p.prosecdef and not coalesce(p.proconfig::text like '%search_path=pg_catalog, pg_temp%', false);
    return next @extschema@.quote_collab_verdict('definer functions pinned', names is null, 'error',
        format('security definer without a pinned search_path: %s', names), hints);
end $$;
create or replace function grant_quote_functions(role name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    function regprocedure;
begin
    for function in select f.function from @extschema@.quote_extension_functions() f where f.is_public loop
        execute format('grant execute on function %s to %I', function, role);
    end loop;
    execute format('grant select on @extschema@.quote_collab_settings to %I', role);
end $$;
create or replace function quote_rights_withdrawn() returns table (told text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with writers as (
        select distinct acl.grantee from @extschema@.quote_collab_settings s join pg_class c on c.oid = @extschema@.quote_collab_table(s)
        cross join lateral (
            select a.* from aclexplode(c.relacl) a union all
            select a.* from pg_attribute t cross join lateral aclexplode(t.attacl) a where t.attrelid = c.oid) acl
        where acl.privilege_type = 'UPDATE' and acl.grantee not in (0, c.relowner))
    select format('%s may not call %s, or not read %s', pg_get_userbyid(w.grantee), f.told, '@extschema@.quote_collab_settings'::regclass),
        format('select @extschema@.grant_quote_functions(%L);', pg_get_userbyid(w.grantee))
    from writers w
    cross join lateral (
        select format('%s functions, %s among them', count(*), min(f.function::text)) as told, count(*) as functions
        from @extschema@.quote_extension_functions() f where f.is_public and not has_function_privilege(w.grantee, f.function::oid, 'execute')) f
    where f.functions > 0 or not has_table_privilege(w.grantee, '@extschema@.quote_collab_settings'::regclass, 'select')
$$;
create or replace function quote_collab_doctor_history(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    log regclass := (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = target_schema and c.relname = 'quote_changes');
    partitions name[] := array(select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = log);
    repair text := @extschema@.quote_attach_statement();
    next_month timestamptz := @extschema@.quote_changes_month(@extschema@.quote_changes_month(now()) + interval '32 days');
    keep record;
    found record;
    copy regclass;
begin
    return next @extschema@.quote_collab_verdict('audit log present', log is not null, 'error', 'quote_changes is gone', repair);
    if log is null then
        return;
    end if;
    return next @extschema@.quote_collab_verdict('partition of this month', @extschema@.quote_month_stands(log, now()), 'error',
        'rows go to the default partition', @extschema@.quote_month_statement(log, now()));
    return next @extschema@.quote_collab_verdict('partition of next month', @extschema@.quote_month_stands(log, next_month), 'warning',
        'nobody creates partitions ahead: the library is not preloaded, or no cron calls maintenance', @extschema@.quote_month_statement(log, next_month));
    return next @extschema@.quote_collab_verdict('default partition present', @extschema@.quote_changes_spare(log) is not null, 'error',
        'a change of a month without a partition is refused, and the save with it', repair);
    select * into found from @extschema@.quote_log_repairs(log);
    return next @extschema@.quote_collab_verdict('log as attached', found.problems is null, 'error', found.problems, found.repair);
    copy := (select c.oid from pg_class c join pg_class l on l.relnamespace = c.relnamespace
        where l.oid = log and c.relname = 'quote_changes_archive' and c.relkind <> 'p' and @extschema@.quote_owner_trusted(c.relowner));
    return next @extschema@.quote_collab_verdict('archive made by archiving', copy is null, 'error',
        format('%s was made by hand: what is there is no part of the history, and nothing can be archived', copy),
        @extschema@.quote_copy_return(copy, format('alter table %s rename to earlier_quote_changes;', copy)));
    return next @extschema@.quote_collab_doctor_positions(log, target_schema);
    select string_agg(k.relation::text, ', ') as names, string_agg(k.repair, ' ') as repair into found from @extschema@.quote_keys_missing(target_schema) k;
    return next @extschema@.quote_collab_verdict('keys stand', found.names is null, 'error', format('these tables lost their key: %s', found.names), found.repair);
    select * into keep from @extschema@.quote_history_policy();
    return next @extschema@.quote_collab_verdict('history let go as it was sealed',
        not exists (select from @extschema@.quote_collab_settings s where s.drop_refused_at is not null), 'error',
        'archived history is kept although drop_after lets it go: it is not as it was sealed, or something depends on it',
        format('See what select * from verify_quote_history(); finds and select @extschema@.drop_archived_quote_changes(%L); says. Keep its findings, and take the partitions away by hand.',
            keep.drop_after));
    return next @extschema@.quote_collab_verdict('history archived when due', keep.archive_after is null or not exists (
            select from @extschema@.quote_changes_months_before(log, @extschema@.quote_archive_limit(keep.archive_after) - interval '2 days')), 'warning',
        'months that archive_after lets go are still in the log: maintenance is not called, or something keeps it from it',
        format('select @extschema@.archive_quote_changes(interval %L);', keep.archive_after));
    return next @extschema@.quote_collab_verdict('history bounded', cardinality(partitions) < 61, 'warning', 'the log holds more than 5 years',
        'select @extschema@.archive_quote_changes(interval ''24 months'');');
    if not has_function_privilege('@extschema@.quote_seal_key_problem()', 'execute') then
        return next @extschema@.quote_collab_unchecked('seals signed as configured', 'the key is kept from this role',
            format('grant execute on function @extschema@.quote_seal_key_problem() to %I;', current_user));
    else
        return next @extschema@.quote_collab_verdict('seals signed as configured', @extschema@.quote_seal_key_problem() is null, 'error',
            format('seals are not signed with quote_collab.seal_key: %s', @extschema@.quote_seal_key_problem()),
            'Set it to what openssl rand -base64 32 prints, preload the library and restart.');
    end if;
end $$;
create or replace function grant_quote_gateway(role name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    pair record;
    relation jsonb;
begin
    if role is null then
        raise exception 'the role must not be null' using errcode = 'null_value_not_allowed', hint = 'Name the role of the gateway.';
    elsif not exists (select from pg_roles r where r.rolname = role) then
        raise exception 'there is no role "%"', role using errcode = 'undefined_object', hint = 'Create it first: create role ... login.';
    end if;
    execute format('grant usage on schema %I, @extschema@ to %I', home, role);
    execute format('grant execute on function %s to %I', (select string_agg(f::text, ', ') from @extschema@.quote_gateway_functions() f), role);
    execute format('grant select on %1$I.quote_changes, %1$I.v_quote_changes_all, %1$I.v_quote_change_events, %1$I.v_recent_quote_changes,
        %1$I.v_active_quote_collaborators to %2$I', home, role);
    if @extschema@.quote_archive_stands(home) then
        execute format('grant select on %I.quote_changes_archive to %I', home, role);
    end if;
    execute format('grant select, insert, update, delete on %I.active_quote_sessions to %I', home, role);
    for pair in select * from @extschema@.quote_collab_pairs() loop
        execute format('grant usage on schema %I, %I to %I', (pair.header).table_schema, (pair.line).table_schema, role);
        execute format('grant select, update on %I.%I, %I.%I to %I', (pair.header).table_schema, (pair.header).table_name,
            (pair.line).table_schema, (pair.line).table_name, role);
        for relation in select value from jsonb_each((pair.header).relations) loop
            execute format('grant usage on schema %I to %I', relation ->> 'schema', role);
            execute format('grant select on %I.%I to %I', relation ->> 'schema', relation ->> 'table', role);
        end loop;
    end loop;
    -- The gateway verifies tokens itself and then sets the tenant. PostgreSQL 14 has no such grant.
    if current_setting('quote_collab.tenant_source', true) = 'verified' and current_setting('server_version_num')::integer >= 150000 then
        execute format('grant set on parameter app.current_tenant_id to %I', role);
    end if;
end $$;
