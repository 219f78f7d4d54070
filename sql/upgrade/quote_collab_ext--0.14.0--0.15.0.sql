-- From 0.14.0 to 0.15.0.
-- Functions.
create or replace function note_quote_owners() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    noted record;
begin
    -- An update of no row at all would have all sessions forget what they keep of the settings.
    for noted in
        select n.* from (
            select s.table_schema, s.table_name, s.owners as before, array_agg(distinct pg_get_userbyid(c.relowner)) as owners
            from @extschema@.quote_collab_settings s join pg_class c on c.oid = any (s.anchors)
            where s.settled_in = '@extschema@.quote_collab_settings'::regclass group by s.table_schema, s.table_name) n
        where not (n.owners <@ n.before and n.before <@ n.owners)
    loop
        update @extschema@.quote_collab_settings s set owners = noted.owners where (s.table_schema, s.table_name) = (noted.table_schema, noted.table_name);
    end loop;
end $$;
create or replace function quote_extension_table_faults() returns table (relation regclass, problem text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass, format('%s belongs to %s', c.oid::regclass, pg_get_userbyid(c.relowner)),
        format('alter table %s owner to %I;', c.oid::regclass, @extschema@.quote_extension_owner())
    from pg_class c
    where c.oid in (select t.relation from @extschema@.quote_extension_tables() t) and pg_get_userbyid(c.relowner) <> @extschema@.quote_extension_owner()
    union all
    -- It would run with the rights of whoever attaches, seals or changes a quote.
    select g.tgrelid::regclass, format('trigger %I of %s is not of the extension', g.tgname, g.tgrelid::regclass),
        format('drop trigger %I on %s;', g.tgname, g.tgrelid::regclass)
    from @extschema@.quote_extension_tables() t join pg_trigger g on g.tgrelid = t.relation
    where not g.tgisinternal and g.tgfoid not in ('@extschema@.guard_quote_settings()'::regprocedure, '@extschema@.quote_settings_changed()'::regprocedure)
    union all
    select k.relation, format('trigger %s of %s is gone or altered', k.name, k.relation),
        format('create or replace trigger %1$I %2$s insert or update or delete or truncate on %3$s for each statement execute function %4$s; '
            'alter table %3$s enable always trigger %1$I;', k.name, case k.type when 62 then 'before' else 'after' end, k.relation, k.called)
    from (values ('guard_quote_settings'::name, '@extschema@.quote_collab_settings'::regclass, '@extschema@.guard_quote_settings()'::regprocedure, 62),
        ('guard_quote_settings', '@extschema@.quote_seal_anchor', '@extschema@.guard_quote_settings()', 62),
        ('quote_settings_changed', '@extschema@.quote_collab_settings', '@extschema@.quote_settings_changed()', 60)) k (name, relation, called, type)
    where not exists (select from pg_trigger t where t.tgrelid = k.relation and t.tgname = k.name and t.tgfoid = k.called and t.tgtype = k.type
        and t.tgenabled = 'A' and t.tgqual is null)
$$;
create function quote_type_is_safe(type oid, table_owner oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive part (oid) as (
        select type
        union
        select n.oid from part p join pg_type t on t.oid = p.oid
        cross join lateral (
            select unnest(array[t.typbasetype, t.typelem])
            union all select a.atttypid from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped) n (oid)
        where n.oid <> 0)
    select not exists (
        select from part p join pg_type t on t.oid = p.oid join pg_roles r on r.oid = t.typowner
        where p.oid >= 16384 and t.typtype not in ('c', 'd') and t.typcategory <> 'A' and not (r.rolsuper or r.oid = table_owner))
$$;
comment on function quote_type_is_safe(oid, oid) is 'whether a value may be told as json without running what strangers wrote';
create function quote_safe_columns(relation regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(case when @extschema@.quote_type_is_safe(a.atttypid, c.relowner) then format('t.%I', a.attname)
        else format('case when num_nulls(t.%1$I) = 0 then concat(t.%1$I) end as %1$I', a.attname) end, ', ' order by a.attnum)
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.oid = relation
$$;
comment on function quote_safe_columns(regclass) is 'select list of a table that runs nothing of strangers when it becomes json';
create function quote_extension_tables() returns table (relation regclass, is_private boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    values ('@extschema@.quote_collab_settings'::regclass, false), ('@extschema@.quote_seal_anchor'::regclass, false),
        ('@extschema@.quote_former_versions'::regclass, true)
$$;
comment on function quote_extension_tables() is 'tables of the extension, and whether nobody else reads them';
create or replace function create_quote_truncate_triggers(target regclass, settings quote_collab_settings) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    part regclass;
    kind text := case settings.entity when 'QUOTE' then 'quote' else 'quote_line' end;
    trigger_name name := (select q.name from @extschema@.quote_triggers(settings) q where q.firing like '%truncate%');
begin
    for part in select t.relid from pg_partition_tree(target) t join pg_class c on c.oid = t.relid where c.relkind = 'f' loop
        raise warning 'truncate of foreign partition % leaves no history', part using detail = 'PostgreSQL has no triggers for it there.',
            hint = format('Let nobody do that: revoke truncate on %s from everybody but its owner.', part);
    end loop;
    for part in select target union select t.relid from pg_partition_tree(target) t join pg_class c on c.oid = t.relid where c.relkind in ('r', 'p') loop
        execute format('drop trigger if exists trg_refuse_%s_truncate on %s', kind, part);
        execute format('drop trigger if exists trg_record_%s_truncate on %s', kind, part);
        perform @extschema@.create_quote_trigger(part, settings, trigger_name);
    end loop;
end $$;
create or replace function record_quote_truncate() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set row_security = off
set datestyle = 'ISO'
set intervalstyle = 'postgres'
set extra_float_digits = 1
set bytea_output = 'hex'
as $$
declare
    settings @extschema@.quote_collab_settings := @extschema@.quote_collab_settings_of(tg_relid::regclass);
    part regclass;
    noted bigint;
begin
    if settings.entity is null then
        return null;
    elsif current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'truncate of % is recorded under read committed only', tg_relid::regclass
            using errcode = 'feature_not_supported',
                  detail = 'An older snapshot may not show every row that it removes.',
                  hint = 'Begin the transaction with isolation level read committed.';
    end if;
    select t.relid into part from pg_partition_tree(tg_relid) t join pg_class c on c.oid = t.relid where c.relkind = 'f' limit 1;
    if found then
        raise exception 'truncate of % is refused', tg_relid::regclass using errcode = 'feature_not_supported',
            detail = format('It would remove rows of foreign partition %s without a trace in quote_changes.', part),
            hint = 'Use delete there, and truncate the other partitions one by one.';
    end if;
    perform @extschema@.require_quote_table(settings), @extschema@.require_quote_home('{quote_changes}'::text[]);
    -- Positions are given to whoever has a number: readers of the feed rely on that order.
    perform pg_current_xact_id();
    for part in
        select t.relid from pg_partition_tree(tg_relid) t join pg_class c on c.oid = t.relid
        where t.isleaf and c.relkind = 'r' and (t.relid = tg_relid or not exists (
            select from pg_trigger g where g.tgrelid = t.relid and g.tgfoid = '@extschema@.record_quote_truncate()'::regprocedure))
        union select tg_relid where not (select c.relispartition or c.relkind = 'p' from pg_class c where c.oid = tg_relid)
    loop
        execute @extschema@.quote_truncate_statement(settings, part) using
            coalesce(@extschema@.current_quote_user(null::uuid), settings.system_user_id),
            nullif(current_setting('app.current_session_id', true), '')::uuid;
        get diagnostics noted = row_count;
        perform @extschema@.remember_quote_versions(settings, part);
        if noted > 0 then
            perform @extschema@.wake_quote_listeners();
        end if;
    end loop;
    return null;
end $$;
create or replace function quote_truncate_statement(settings quote_collab_settings, part regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format($query$
        insert into %1$I.quote_changes (id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, entity_type, field_name, old_value,
            change_type, session_id, was_conflict, entity_version_before, event_id, position, xid, origin, context)
        select @extschema@.uuid_generate_v7(), t.%2$s, t.%3$s, %4$s, $1, clock_timestamp(), %5$L, '*', to_jsonb(t.*) - %11$L::text[],
            'DELETE', $2, false, case when t.%6$s between -2147483648 and 2147483647 then t.%6$s::integer end, @extschema@.uuid_generate_v7(),
            nextval(%9$L), pg_current_xact_id(), @extschema@.quote_cluster_identifier(), %7$s
        from (select %12$s from only %8$s t) t where num_nulls(t.%10$s, t.%2$s, t.%3$s) = 0$query$,
        settings.log_schema, @extschema@.quote_collab_column(settings, 'tenant'),
        coalesce(@extschema@.quote_collab_column(settings, 'quote'), @extschema@.quote_collab_column(settings, 'id')),
        case settings.entity when 'QUOTE_LINE' then 't.' || @extschema@.quote_collab_column(settings, 'id') else 'null' end,
        settings.entity, @extschema@.quote_collab_column(settings, 'version'),
        case when settings.entity = 'QUOTE_LINE' and settings.columns ? 'line_number'
            then format('jsonb_build_object(''line_number'', t.%s)', @extschema@.quote_collab_column(settings, 'line_number')) else 'null' end,
        part, format('%I.quote_changes_position_seq', settings.log_schema), @extschema@.quote_collab_column(settings, 'id'),
        array(select a.attname::text from pg_attribute a where a.attrelid = part and a.attgenerated = 'v' and not a.attisdropped),
        @extschema@.quote_safe_columns(part))
$$;
create or replace function find_quote_row_safely(target quote_collab_settings, row_id uuid) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set intervalstyle = 'postgres'
set extra_float_digits = 1
set bytea_output = 'hex'
as $$
declare
    found_row jsonb;
begin
    execute format('select to_jsonb(x.*) from (select %s from %I.%I t where t.%s = $1 and ($3 or t.%s = $2)) x',
        @extschema@.quote_safe_columns(@extschema@.quote_collab_table(target)), target.table_schema, target.table_name, @extschema@.quote_collab_column(target, 'id'), @extschema@.quote_collab_column(target, 'tenant'))
    into found_row using row_id, @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
    return found_row;
end $$;
create or replace function quote_collab_doctor_extension() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(f.problem, ', '), string_agg(f.repair, ' ') into names, hints from (
        select t.problem, t.repair from @extschema@.quote_extension_table_faults() t
        union all
        select g.told, g.revoke from @extschema@.quote_extension_table_grants() g) f;
    return next @extschema@.quote_collab_verdict('tables of the extension guarded', names is null, 'error',
        format('others may say what is attached, or what was sealed: %s', names), hints);
    select string_agg(w.told, ', '), string_agg(w.repair, ' ') into names, hints from @extschema@.quote_rights_withdrawn() w;
    return next @extschema@.quote_collab_verdict('functions open to who needs them', names is null, 'warning',
        format('saves, history or presence may be refused to these roles: %s', names), hints);
    return next @extschema@.quote_collab_doctor_functions_released();
end $$;
create or replace function quote_collab_doctor_functions() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(w.told, ', '), string_agg(w.revoke, ' ') into names, hints from (
        select format('%s to public', f.function) as told, format('revoke execute on function %s from public;', f.function) as revoke
        from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function
        where not f.is_public and exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) acl where acl.grantee = 0)
        union all
        select g.told, g.revoke from @extschema@.quote_extension_function_grants() g) w;
    return next @extschema@.quote_collab_verdict('functions open as installed', names is null, 'error',
        format('what nobody should call is open: %s', names), hints);
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
    where p.prosecdef and not exists (select from unnest(p.proconfig) c where replace(c, '"', '') = 'search_path=pg_catalog, pg_temp');
    return next @extschema@.quote_collab_verdict('definer functions pinned', names is null, 'error',
        format('security definer without a pinned search_path: %s', names), hints);
end $$;
create function quote_extension_table_grants() returns table (told text, revoke text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select g.told, g.revoke from @extschema@.quote_extension_tables() t cross join lateral @extschema@.quote_grants_on(t.relation) g
    where t.is_private or g.privilege <> 'SELECT'
$$;
comment on function quote_extension_table_grants() is 'rights of others on tables of the extension, and what takes them away';
create function quote_extension_function_grants() returns table (told text, revoke text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with given as (
        select f.function, acl.grantee, acl.is_grantable from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function
        cross join lateral aclexplode(p.proacl) acl where not f.is_public and acl.grantee not in (0, p.proowner))
    select format('%s to %s', g.function, @extschema@.quote_grantee(g.grantee)),
        format('revoke execute on function %s from %s%s;', g.function, @extschema@.quote_grantee(g.grantee), case when g.is_grantable then ' cascade' else '' end)
    from given g
    where exists (
            select from given k where k.grantee = g.grantee and k.function = '@extschema@.move_quote_seal_anchor(bytea, bigint, bytea, boolean)'::regprocedure)
        and not exists (
            select from @extschema@.quote_collab_settings s join pg_class c on c.oid = @extschema@.quote_collab_table(s)
            where g.function = '@extschema@.capture_quote_change()'::regprocedure and c.relowner = g.grantee
                or g.function = '@extschema@.cleanup_stale_quote_sessions()'::regprocedure and s.entity = 'QUOTE' and has_table_privilege(g.grantee, c.oid, 'update'))
$$;
comment on function quote_extension_function_grants() is 'functions that others may call by a grant on all, and what takes that away';
create function close_quote_extension() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    statement text;
begin
    for statement in
        select t.revoke from @extschema@.quote_extension_table_grants() t union all select f.revoke from @extschema@.quote_extension_function_grants() f
        union all
        select format('drop trigger %I on %s', g.tgname, t.relation)
        from @extschema@.quote_extension_tables() t join pg_trigger g on g.tgrelid = t.relation
        join pg_proc p on p.oid = g.tgfoid join pg_roles r on r.oid = p.proowner
        where not g.tgisinternal and not r.rolsuper
    loop
        execute statement;
    end loop;
end $$;
comment on function close_quote_extension() is 'takes away what default privileges, or a grant on all, gave on what the extension keeps to itself';
revoke execute on function close_quote_extension() from public;
-- Whatever default privileges gave of what this or an earlier release made.
select @extschema@.close_quote_extension();
