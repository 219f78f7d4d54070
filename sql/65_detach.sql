-- detach: the ERP's tables as they were before attach. The audit log stays, readable by tenant as before, unless
-- drop_history says otherwise; then nothing of ours is left but the extension itself.

-- SQLSTATE 2BP01 where something of the ERP's uses it.
create function drop_quote_column(target regclass, column_name name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    users text;
begin
    execute format('alter table %s drop column %I', target, column_name);
exception when dependent_objects_still_exist then
    get stacked diagnostics users = pg_exception_detail;
    raise exception 'column "%" of % is in use', column_name, target using errcode = 'dependent_objects_still_exist', detail = users,
        hint = 'Attach added the column, and detach takes it away: drop first what uses it.';
end $$;
comment on function drop_quote_column(regclass, name) is 'drops a column that attach added';

create function detach_quote_table(settings quote_collab_settings) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    target regclass := (select c.oid from pg_class c where c.oid = @extschema@.quote_collab_table(settings) and c.relkind in ('r', 'p'));
    added name;
    all_added name[];
    doubtful name[];
begin
    if target is not null then
        all_added := @extschema@.quote_added_columns(target, settings.added_columns);
        perform @extschema@.drop_quote_triggers(target);
        foreach added in array all_added loop
            perform @extschema@.drop_quote_column(target, added);
        end loop;
        doubtful := array(select l.name from @extschema@.quote_columns_left(target, settings.entity) l);
        if doubtful <> '{}' or exists (
            select from unnest(settings.added_columns) k (name) join pg_attribute a on a.attrelid = target and a.attname = k.name and not a.attisdropped) then
            raise warning 'columns that attach added are left in %', target
                using detail = case when doubtful <> '{}'
                          then format('The comments that it gives say so, and nothing else does: %s.', array_to_string(doubtful, ', '))
                          else format('It added %s, and knows them by their comments.', array_to_string(settings.added_columns, ', ')) end,
                      hint = 'Drop by hand what is not the ERP''s.';
        end if;
    end if;
end $$;
comment on function detach_quote_table(quote_collab_settings) is 'takes triggers and added columns away from one table';

-- Tables that nothing of ours speaks of any more and that have our triggers all the same: their changes would go to a log that may
-- be gone. What their triggers say was added goes, too, as far as it is described as such.
create function detach_stray_quote_tables() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    stray record;
    added name;
    all_added name[];
begin
    for stray in
        select t.relation, c.arguments from @extschema@.stray_quote_tables() t (relation)
        left join @extschema@.quote_carriers() c on c.relation = t.relation
    loop
        select array(
            select a.attname from pg_attribute a
            where a.attrelid = stray.relation and not a.attisdropped and (a.attname = stray.arguments ->> 'version'
                    and col_description(stray.relation, a.attnum) = @extschema@.quote_added_column_comment('version')
                or a.attname = stray.arguments ->> 'updated_by' and stray.arguments ? 'stamp_user')) into all_added;
        perform @extschema@.drop_quote_triggers(stray.relation);
        foreach added in array all_added loop
            perform @extschema@.drop_quote_column(stray.relation, added);
        end loop;
    end loop;
end $$;
comment on function detach_stray_quote_tables() is 'takes triggers and added columns away from tables that are not attached';

-- Row security of a log that stays behind: the same rule in words of PostgreSQL alone, so that DROP EXTENSION can follow. Nothing refuses TRUNCATE any more.
-- Verified tenants have no such words: without the library anybody sets app.current_tenant_id, so nobody sees a row.
create function release_quote_history(target_schema name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    part regclass;
    guard record;
    rule text := case when current_setting('quote_collab.tenant_source', true) = 'verified' then 'false'
        else 'tenant_id = (select nullif(current_setting(''app.current_tenant_id'', true), '''')::uuid)' end;
begin
    for part in
        select t.relid from unnest(array['quote_changes', 'quote_changes_archive']) log (name)
        cross join lateral pg_partition_tree(to_regclass(format('%I.%I', target_schema, log.name))) t
    loop
        execute format('drop policy if exists quote_changes_tenant_isolation on %s', part);
        execute format('create policy quote_changes_tenant_isolation on %s for select using (%s)', part, rule);
        execute format('comment on policy quote_changes_tenant_isolation on %s is %L', part,
            'a row is visible to its own tenant only; nobody when no tenant is set');
    end loop;
    for guard in
        select g.tgname, g.tgrelid::regclass as relation from @extschema@.quote_tables_kept(target_schema) t join pg_trigger g on g.tgrelid = t
        where g.tgfoid = '@extschema@.refuse_history_truncate()'::regprocedure and g.tgparentid = 0
    loop
        execute format('drop trigger %I on %s', guard.tgname, guard.relation);
    end loop;
end $$;
comment on function release_quote_history(name) is 'frees policies and triggers of a remaining audit log from the extension';

-- The headers of the pairs to be detached: the one that is named, by its header or its lines; else the only one, or all
-- whose tables are gone and cannot be named.
create function choose_quote_pairs(named regclass) returns quote_collab_settings[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    first @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE');
    chosen @extschema@.quote_collab_settings[] := array(
        select p.header from @extschema@.quote_collab_pairs() p
        where named in (@extschema@.quote_collab_table(p.header), @extschema@.quote_collab_table(p.line))
            or named is null and @extschema@.quote_collab_table(p.header) is null and @extschema@.quote_collab_table(p.line) is null);
begin
    if named is null and (select count(*) from @extschema@.quote_collab_pairs()) < 2 then
        return array[first];
    elsif chosen = '{}' then
        raise exception 'quote collaboration is attached to %', case when named is null then 'more than one pair of tables' else 'other tables' end
            using errcode = 'object_not_in_prerequisite_state',
                  detail = 'Detach takes the pair whose header or lines are named.',
                  hint = coalesce((select format('Name one: %s.', string_agg(format('select detach_quote_collaboration(quotes => %L)', t.relation), ' or '))
                      from @extschema@.quote_collab_pairs() p
                      cross join lateral (select coalesce(@extschema@.quote_collab_table(p.header), @extschema@.quote_collab_table(p.line))) t (relation)
                      where t.relation is not null having count(*) > 0), 'Their tables are gone: select detach_quote_collaboration().');
    end if;
    return chosen;
end $$;
comment on function choose_quote_pairs(regclass) is 'headers of the pairs that detach is to take away';

-- The first of these headers, with the rights that were given for any of them.
create function join_quote_headers(headers quote_collab_settings[]) returns quote_collab_settings
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_populate_record(headers[1], jsonb_build_object(
        'usage_granted', array(select unnest(h.usage_granted) from unnest(headers) h),
        'readers_granted', array(select unnest(h.readers_granted) from unnest(headers) h),
        'writers_granted', array(select unnest(h.writers_granted) from unnest(headers) h)))
$$;
comment on function join_quote_headers(quote_collab_settings[]) is 'what pairs that are detached together leave behind';

create function drop_quote_pair_views(home name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    made regprocedure;
begin
    execute format('drop view if exists %1$I.v_active_quote_collaborators, %1$I.v_recent_quote_changes', home);
    for made in select f.function from @extschema@.quote_view_functions_found(home) f where f.is_ours loop
        execute format('drop function %s', made);
    end loop;
end $$;
comment on function drop_quote_pair_views(name) is 'drops the views of recent changes and active collaborators, and what they read';

-- What triggers of the ERP changed in this transaction is written when it commits.
create function forget_quote_changes(log regclass) returns void language c strict as 'MODULE_PATHNAME', 'forget_changes';
comment on function forget_quote_changes(regclass) is 'lets changes go that this transaction made and did not write yet, with the audit log that it drops';
revoke execute on function forget_quote_changes(regclass) from public;

-- What belongs to all pairs, when the last of them goes.
create function detach_quote_home(header quote_collab_settings, drop_history boolean) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    role name;
begin
    execute format('drop view if exists %1$I.v_quote_change_events, %1$I.v_quote_changes_all', header.log_schema);
    execute format('drop table if exists %I.active_quote_sessions', header.log_schema);
    for role in select r.rolname from pg_roles r where r.rolname = any (header.writers_granted) loop
        execute format('revoke execute on function @extschema@.cleanup_stale_quote_sessions() from %I', role);
    end loop;
    if not drop_history then
        perform @extschema@.release_quote_history(header.log_schema);
        return;
    end if;
    perform @extschema@.forget_quote_changes(to_regclass(format('%I.quote_changes', header.log_schema)));
    execute format('drop table if exists %1$I.quote_changes, %1$I.quote_changes_archive, %1$I.quote_changes_seals, %1$I.quote_relay_batch,
        %1$I.quote_relay_lease', header.log_schema);
    delete from @extschema@.quote_seal_anchor a where a.log_schema = header.log_schema;
    delete from @extschema@.quote_former_versions;
    for role in
        select r.rolname from pg_roles r join pg_namespace n on n.nspname = header.log_schema where r.rolname = any (header.usage_granted)
    loop
        execute format('revoke usage on schema %I from %I', header.log_schema, role);
    end loop;
end $$;
comment on function detach_quote_home(quote_collab_settings, boolean) is 'takes away what belongs to no pair of tables alone';

-- What a pair leaves behind for the others: views without it, its readers' rights, and the log under the name that it has now.
create function leave_quote_home(header quote_collab_settings) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    home name := header.log_schema;
    log regclass := to_regclass(format('%I.quote_changes', home));
begin
    if log is null then
        raise warning 'the audit log of the tables that remain attached is gone'
            using hint = 'Until they are attached again, they cannot be written to: select attach_quote_collaboration(...).';
        return;
    end if;
    perform @extschema@.lead_quote_tables_to(home);
    -- The views over several pairs do without a table that is gone.
    perform @extschema@.create_pair_views(home, pg_get_userbyid(c.relowner)) from pg_class c
    where c.oid = log and not exists (select from @extschema@.quote_collab_settings s where @extschema@.quote_collab_table(s) is null);
    update @extschema@.quote_collab_settings s set usage_granted = s.usage_granted || header.usage_granted
    where (s.table_schema, s.table_name) = (select t.table_schema, t.table_name from @extschema@.quote_collab_target('QUOTE') t);
    perform @extschema@.revoke_quote_privileges(header.readers_granted || header.writers_granted);
end $$;
comment on function leave_quote_home(quote_collab_settings) is 'leaves the log to the pairs that remain';

-- Locks what detach will change: of these tables, headers and lines, those that are there, and what is beside them.
create function lock_quote_pairs(leaving quote_collab_settings[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := leaving[1].log_schema;
    is_last boolean := not exists (
        select from @extschema@.quote_collab_settings s
        where not exists (select from unnest(leaving) l where (l.table_schema, l.table_name) = (s.table_schema, s.table_name)));
    relations regclass[] := array(
            select t.relation from unnest(leaving) l cross join lateral (select @extschema@.quote_collab_table(l)) t (relation) where t.relation is not null)
        || array(select @extschema@.quote_collab_table(s) from @extschema@.quote_tables_elsewhere(home) s)
        || array(select t.relation from @extschema@.stray_quote_tables() t (relation) where is_last)
        || @extschema@.quote_home_relations(home);
begin
    perform @extschema@.lock_quote_relations(relations);
end $$;
comment on function lock_quote_pairs(quote_collab_settings[]) is 'locks what detach changes, all or nothing';

-- quotes: the pair, by its header; needed where several are attached, unless tables are gone: all pairs go of which nothing is left.
-- Detaching one leaves the log, the relay and the other pairs whole, also where the log lies in its schema. History can go with the
-- last pair only.
create function detach_quote_collaboration(drop_history boolean default false, quotes regclass default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set client_min_messages = warning
as $$
declare
    headers @extschema@.quote_collab_settings[];
    leaving @extschema@.quote_collab_settings[];
    header @extschema@.quote_collab_settings;
    is_last boolean;
    patience text := @extschema@.bound_quote_patience();
begin
    perform @extschema@.take_quote_turn();
    perform @extschema@.follow_quote_tables('{}'::regclass[]), @extschema@.follow_quote_home();
    headers := @extschema@.choose_quote_pairs(quotes);
    header := @extschema@.join_quote_headers(headers);
    if drop_history then
        perform @extschema@.require_quote_relations(header.log_schema);
    end if;
    leaving := headers || array(select @extschema@.quote_collab_partner(h) from unnest(headers) h);
    perform @extschema@.lock_quote_pairs(leaving);
    delete from @extschema@.quote_collab_settings s where (s.table_schema, s.table_name) in (select l.table_schema, l.table_name from unnest(leaving) l);
    is_last := not exists (select from @extschema@.quote_collab_settings);
    if drop_history and not is_last then
        raise exception 'the history belongs to other pairs of tables too' using errcode = 'object_not_in_prerequisite_state',
            detail = 'They are attached to the same tables of history, which would go.',
            hint = 'Detach this pair without drop_history, and drop the history with the last one.';
    elsif is_last then
        perform @extschema@.drop_quote_pair_views(header.log_schema);
    else
        perform @extschema@.leave_quote_home(header);
    end if;
    perform @extschema@.detach_quote_table(l) from unnest(leaving) l;
    perform @extschema@.drop_quote_truncate_triggers(), @extschema@.grant_quote_capture();
    if is_last then
        perform @extschema@.detach_stray_quote_tables(), @extschema@.detach_quote_home(header, drop_history);
    end if;
    perform @extschema@.set_quote_option('lock_timeout', patience);
    return case when not is_last then format('quote collaboration is detached from %s',
            (select string_agg(format('%I.%I', h.table_schema, h.table_name), ', ') from unnest(headers) h))
        when drop_history then 'quote collaboration is detached, its history is dropped'
        when to_regclass(format('%I.quote_changes', header.log_schema)) is null then 'quote collaboration is detached, its history is gone'
        else format('quote collaboration is detached, its history stays in %I.quote_changes', header.log_schema) end;
end $$;
comment on function detach_quote_collaboration(boolean, regclass) is 'takes collaboration away again; history stays unless drop_history => true';
