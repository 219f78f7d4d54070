-- attach: makes an ERP's header and line tables collaborative. Idempotent: run it again after a migration.

-- One table: columns, settings row, triggers.
create function attach_quote_table(target regclass, entity text, header regclass, log regclass, options jsonb, first_version integer)
returns quote_collab_settings
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    settings @extschema@.quote_collab_settings;
    chosen jsonb := coalesce(options -> case entity when 'QUOTE' then 'columns' else 'line_columns' end, '{}');
    reference text[] := @extschema@.quote_reference_candidates(target, header, coalesce(options -> 'columns' ->> 'id', 'id')::name);
    columns jsonb;
    added name[];
    names record;
begin
    select n.nspname as schema_name, c.relname as table_name, hn.nspname as header_schema, h.relname as header_table, ln.nspname as log_schema
    into names from pg_class c join pg_namespace n on n.oid = c.relnamespace, pg_class h join pg_namespace hn on hn.oid = h.relnamespace,
        pg_class l join pg_namespace ln on ln.oid = l.relnamespace
    where c.oid = target and h.oid = header and l.oid = log;
    added := @extschema@.add_quote_columns(target, entity, chosen, first_version);
    added := @extschema@.quote_added_columns(target, added || coalesce((
        select s.added_columns from @extschema@.quote_collab_settings s where @extschema@.quote_collab_table(s) = target), '{}'::name[]));
    perform @extschema@.restore_quote_columns(target, added);
    columns := @extschema@.find_quote_columns(target, entity, chosen, reference);
    perform @extschema@.check_quote_column_types(target, columns, header), @extschema@.check_quote_ignored(target, columns, options -> 'ignored_columns'),
        @extschema@.tell_of_quote_null_keys(target, columns), @extschema@.tell_of_quote_lost_roles(target, columns, chosen, entity),
        @extschema@.tell_of_quote_locking_indexes(target, (columns ->> 'id')::name), @extschema@.tell_of_quote_version(target, columns, added, chosen, entity);
    insert into @extschema@.quote_collab_settings as s
        (table_schema, table_name, entity, header_schema, header_table, log_schema, columns, ignored_columns, added_columns, relations,
        system_user_id, truncation, replicated_history, archive_after, drop_after, owners, anchors, settled_in)
    values (names.schema_name, names.table_name, entity, names.header_schema, names.header_table, names.log_schema, columns,
        array(select jsonb_array_elements_text(options -> 'ignored_columns'))::name[], added,
        @extschema@.find_quote_relations(header, entity, columns, options),
        (options ->> 'system_user_id')::uuid, coalesce(options ->> 'truncate', 'refuse'),
        coalesce((options ->> 'replicated_history')::boolean, false), (options ->> 'archive_after')::interval, (options ->> 'drop_after')::interval,
        array(select distinct pg_get_userbyid(c.relowner) from pg_class c where c.oid in (target, log)), array[target, log]::oid[],
        '@extschema@.quote_collab_settings'::regclass)
    on conflict (table_schema, table_name) do update set
        header_schema = excluded.header_schema, header_table = excluded.header_table,
        columns = excluded.columns, ignored_columns = excluded.ignored_columns, relations = excluded.relations,
        added_columns = excluded.added_columns, system_user_id = excluded.system_user_id,
        truncation = excluded.truncation, replicated_history = excluded.replicated_history,
        archive_after = excluded.archive_after, drop_after = excluded.drop_after, owners = excluded.owners, anchors = excluded.anchors,
        settled_in = excluded.settled_in
    returning s.* into settings;
    perform @extschema@.drop_quote_triggers(target), @extschema@.create_quote_triggers(target, settings),
        @extschema@.tell_of_quote_late_triggers(settings);
    return settings;
end $$;
comment on function attach_quote_table(regclass, text, regclass, regclass, jsonb, integer) is 'makes one ERP table collaborative';

-- All pairs write to one log. Where that had to be made anew, or was moved, the others are told.
create function lead_quote_tables_to(home name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    other @extschema@.quote_collab_settings;
begin
    update @extschema@.quote_collab_settings s set log_schema = home, usage_granted = '{}'::name[] where s.log_schema <> home;
    for other in select * from @extschema@.quote_tables_elsewhere(home) loop
        perform @extschema@.create_quote_triggers(@extschema@.quote_collab_table(other), other);
    end loop;
end $$;
comment on function lead_quote_tables_to(name) is 'makes every attached table write to this log';

-- Attaches collaboration to a pair of tables. quotes and quote_lines default to the tables of those names on the
-- caller's search path: a default is evaluated where the call is written. options: {"columns": {role: column},
-- "line_columns": {role: column}, "ignored_columns": [...], "users": {"schema","table","id","name","email"},
-- "customers": {...}, each null for none, "system_user_id": uuid, "truncate": "refuse" | "record", "replicated_history": boolean,
-- "archive_after": interval, "drop_after": interval}.
-- Everything or nothing: an error leaves no trace. Waits at most 5 seconds for a lock, unless lock_timeout says otherwise.
create function attach_quote_collaboration(
    quotes regclass default pg_catalog.to_regclass('quotes'), quote_lines regclass default pg_catalog.to_regclass('quote_lines'),
    options jsonb default '{}')
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set quote_all_identifiers = off
as $$
declare
    header regclass := quotes;
    lines regclass := quote_lines;
    home name;
    home_owner name;
    homes name[];
    log regclass;
    is_elsewhere boolean;
    is_followed boolean;
    first_version integer;
    patience text := @extschema@.bound_quote_patience();
begin
    perform @extschema@.take_quote_turn();
    homes := array(select s.log_schema from @extschema@.quote_collab_settings s union select a.log_schema from @extschema@.quote_seal_anchor a);
    perform @extschema@.follow_quote_tables(array[header, lines]), @extschema@.follow_quote_home();
    perform @extschema@.check_quote_tables(header, lines, options);
    select h.home, h.home_owner into home, home_owner from @extschema@.choose_quote_home(header) h;
    perform @extschema@.require_quote_relations(home), @extschema@.check_quote_home(header, home, homes), @extschema@.check_quote_views(home, home_owner);
    is_elsewhere := exists (select from @extschema@.quote_collab_settings s where s.log_schema <> home);
    is_followed := exists (select from @extschema@.quote_collab_settings s where s.replicated_history);
    -- While the tables are not locked yet: it may take its time.
    first_version := @extschema@.first_quote_version(home, header, lines, options);
    perform @extschema@.continue_quote_positions(home);
    perform @extschema@.lock_quote_relations(array[header, lines] || @extschema@.quote_home_relations(home) || array(
        select @extschema@.quote_collab_table(s) from @extschema@.quote_tables_elsewhere(home) s) || @extschema@.quote_tables_to_seclude());
    perform @extschema@.seclude_quote_table(t.relation) from unnest(@extschema@.quote_tables_to_seclude()) t (relation);
    log := @extschema@.create_quote_changes(home, home_owner);
    perform @extschema@.create_active_quote_sessions(home, home_owner);
    perform @extschema@.create_quote_relay_tables(home, home_owner);
    perform @extschema@.create_quote_changes_seals(home, home_owner);
    perform @extschema@.guard_quote_history(t) from @extschema@.quote_tables_kept(home) t;
    perform @extschema@.attach_quote_table(header, 'QUOTE', header, log, options, first_version);
    perform @extschema@.tell_of_quote_lines_astray(@extschema@.attach_quote_table(lines, 'QUOTE_LINE', header, log, options, first_version));
    execute format('select @extschema@.begin_quote_seal_anchor(s.no, s.hash) from %I.quote_changes_seals s order by s.no desc limit 1', home);
    if is_followed and not exists (select from @extschema@.quote_collab_settings s where s.replicated_history) then
        -- What came along from now on is its own: the next seal takes it up.
        update @extschema@.quote_seal_anchor a set settled_in = null where a.log_schema = home;
    end if;
    perform @extschema@.lead_quote_tables_to(home), @extschema@.grant_quote_capture();
    perform @extschema@.create_quote_changes_all_view(home, home_owner);
    perform @extschema@.create_quote_change_events_view(home, home_owner);
    perform @extschema@.create_pair_views(home, home_owner);
    perform @extschema@.describe_quote_objects(home);
    perform @extschema@.copy_quote_privileges(@extschema@.quote_collab_table(p.header)) from @extschema@.quote_collab_pairs() p
    where @extschema@.quote_collab_table(p.header) = attach_quote_collaboration.quotes or is_elsewhere and @extschema@.quote_collab_table(p.header) is not null;
    perform @extschema@.start_quote_worker(), @extschema@.warn_of_stray_quote_tables();
    perform @extschema@.set_quote_option('lock_timeout', patience);
    return pg_catalog.format('quote collaboration is attached to %s and %s', header, lines);
end $$;
comment on function attach_quote_collaboration(regclass, regclass, jsonb) is 'attaches history, versions, presence and events to a header table and its lines';
