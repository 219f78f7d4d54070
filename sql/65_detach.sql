-- detach: the ERP's tables as they were before attach. The audit log stays, readable by tenant as before, unless
-- drop_history says otherwise; then nothing of ours is left but the extension itself.
create function detach_quote_table(settings quote_collab_settings) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    target text := format('%I.%I', settings.table_schema, settings.table_name);
    kind text := case settings.entity when 'QUOTE' then 'quote' else 'quote_line' end;
    added name;
begin
    if to_regclass(target) is not null then
        execute format('drop trigger if exists trg_increment_%s_version on %s', kind, target);
        execute format('drop trigger if exists trg_capture_%s_change on %s', kind, target);
        execute format('drop trigger if exists trg_flush_%s_changes on %s', kind, target);
        execute format('drop trigger if exists trg_refuse_%s_truncate on %s', kind, target);
        foreach added in array settings.added_columns loop
            execute format('alter table %s drop column if exists %I', target, added);
        end loop;
    end if;
    delete from @extschema@.quote_collab_settings s
    where s.table_schema = settings.table_schema and s.table_name = settings.table_name;
end $$;
comment on function detach_quote_table(quote_collab_settings) is 'takes triggers, settings and added columns away from one table';

-- Row security of a log that stays behind: the same rule in words of PostgreSQL alone, so that DROP EXTENSION can follow.
-- Verified tenants have no such words: without the library anybody sets app.current_tenant_id, so nobody sees a row.
create function release_quote_history(target_schema name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    part regclass;
    rule text := case when current_setting('quote_collab.tenant_source', true) = 'verified' then 'false'
        else 'tenant_id = (select nullif(current_setting(''app.current_tenant_id'', true), '''')::uuid)' end;
begin
    for part in
        select t.relid from unnest(array['quote_changes', 'quote_changes_archive']) log (name)
        cross join lateral pg_partition_tree(to_regclass(format('%I.%I', target_schema, log.name))) t
    loop
        execute format('drop policy if exists quote_changes_tenant_isolation on %s', part);
        execute format('create policy quote_changes_tenant_isolation on %s using (%s)', part, rule);
    end loop;
end $$;
comment on function release_quote_history(name) is 'frees the policies of a remaining audit log from the extension';

create function detach_quote_collaboration(drop_history boolean default false) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE');
    line @extschema@.quote_collab_settings := @extschema@.quote_collab_target('QUOTE_LINE');
    s name := header.table_schema;
begin
    lock table @extschema@.quote_collab_settings in share row exclusive mode;
    if current_setting('lock_timeout') = '0' then
        perform set_config('lock_timeout', '5s', true);
    end if;
    execute format('drop view if exists %1$I.v_active_quote_collaborators, %1$I.v_recent_quote_changes, %1$I.v_quote_change_events,
        %1$I.v_quote_changes_all', s);
    perform @extschema@.detach_quote_table(line);
    perform @extschema@.detach_quote_table(header);
    execute format('drop table if exists %I.active_quote_sessions', s);
    if drop_history then
        execute format('drop table if exists %1$I.quote_changes, %1$I.quote_changes_archive, %1$I.quote_changes_seals, %1$I.quote_relay_batch,
            %1$I.quote_relay_lease', s);
        return 'quote collaboration is detached, its history is dropped';
    end if;
    perform @extschema@.release_quote_history(s);
    return format('quote collaboration is detached, its history stays in %I.quote_changes', s);
end $$;
comment on function detach_quote_collaboration(boolean) is 'takes collaboration away again; history stays unless drop_history => true';
