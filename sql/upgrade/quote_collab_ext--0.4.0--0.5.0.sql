-- From 0.4.0 to 0.5.0.
drop function require_quote_relay_epoch(bigint);
drop function attach_quote_table(regclass, text, regclass, regclass, jsonb);
drop function add_quote_columns(regclass, text, jsonb);
create or replace function quote_feed_snapshot() returns pg_snapshot
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seen pg_snapshot;
    next bigint;
begin
    if pg_is_in_recovery() then
        raise exception 'the event feed cannot be read on a standby' using errcode = 'object_not_in_prerequisite_state',
            detail = 'A standby does not know which transactions are running.', hint = 'Read it on the primary.';
    end if;
    seen := pg_current_snapshot();
    next := @extschema@.next_quote_transaction();
    if pg_snapshot_xmax(seen)::text::bigint = next and pg_current_xact_id_if_assigned() is null then
        return seen;
    end if;
    select format('%s:%s:%s', coalesce((array_agg(r.xid order by r.xid))[1]::text, next::text), next, string_agg(r.xid::text, ',' order by r.xid))::pg_snapshot
    into seen
    from (select pg_snapshot_xip(seen) union select o.xid from pg_current_xact_id_if_assigned() o (xid) where o.xid is not null
        union select n::text::xid8 from generate_series(pg_snapshot_xmax(seen)::text::bigint, next - 1) n) r (xid);
    return seen;
end $$;
create or replace function quote_relay_open_batch(epoch bigint) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    home name := @extschema@.quote_collab_home();
    last record;
    prev pg_snapshot;
    cur pg_snapshot;
    prev_at timestamptz;
    floor_at timestamptz;
    here bigint := @extschema@.quote_cluster_identifier();
    opened bigint;
begin
    perform set_config('synchronous_commit', 'on', true);
    select r.* into last from @extschema@.quote_prepared_rows(format($query$
        select l.epoch = $1, b.no, b.prev, b.cur, b.prev_at, b.cur_at, b.floor_at, b.origin
        from %1$I.quote_relay_lease l cross join %1$I.quote_relay_batch b order by b.no desc limit 1$query$, home), row(epoch))
        r (held boolean, no bigint, prev pg_snapshot, cur pg_snapshot, prev_at timestamptz, cur_at timestamptz, floor_at timestamptz, origin bigint);
    if last.held is not true then
        raise exception 'the relay''s lease is lost' using errcode = 'object_not_in_prerequisite_state',
            hint = 'Another relay has taken over; take the lease again before you go on.';
    end if;
    prev := last.cur;
    prev_at := last.cur_at;
    -- The clock may have been set back since: changes were then made before the floor.
    floor_at := least(case when pg_snapshot_xmin(prev) >= pg_snapshot_xmax(last.prev) then last.prev_at else last.floor_at end, clock_timestamp());
    if last.origin <> here then
        prev := '3:3:';
        prev_at := '-infinity';
        floor_at := '-infinity';
    end if;
    cur := @extschema@.quote_feed_snapshot();
    -- Looks for something new first, and only then locks the lease, which another relay may be taking.
    select b.no into opened from @extschema@.quote_prepared_rows(format($query$
        insert into %1$I.quote_relay_batch (no, prev, cur, prev_at, cur_at, floor_at, origin)
        select $1, $2, $3, $4, $5, $6, $7
        from (select from %1$I.quote_relay_lease l where l.epoch = $9 for update) held
        where exists (
            select from %1$I.quote_changes c where c.xid = any (array(select pg_snapshot_xip($2))) and c.origin = $7 and c.changed_at >= $8
                and c.conflict_resolution is distinct from 'REJECTED' and pg_visible_in_snapshot(c.xid, $3))
        or exists (
            select from %1$I.quote_changes c where c.xid >= pg_snapshot_xmax($2) and c.xid < pg_snapshot_xmax($3) and c.origin = $7 and c.changed_at >= $8
                and c.conflict_resolution is distinct from 'REJECTED' and pg_visible_in_snapshot(c.xid, $3))
        returning no$query$, home),
        row(last.no + 1, prev, cur, prev_at, clock_timestamp(), floor_at, here, floor_at - interval '1 day', epoch)) b (no bigint);
    return opened;
end $$;
create function first_quote_version(home name, home_owner name, header regclass, lines regclass, options jsonb) returns integer
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    first integer;
begin
    if to_regclass(format('%I.quote_changes', home)) is null
            or @extschema@.quote_column_exists(header, coalesce(options -> 'columns' ->> 'version', 'version'))
            and @extschema@.quote_column_exists(lines, coalesce(options -> 'line_columns' ->> 'version', 'version')) then
        return 1;
    end if;
    perform @extschema@.quote_relation_stands(format('%I.quote_changes_archive', home), 'p'::"char", home_owner);
    execute format('select coalesce(max(greatest(c.entity_version_before, c.entity_version_after)), 0) + 1 from (%s) c
        where c.conflict_resolution is distinct from ''REJECTED''', @extschema@.quote_changes_all_query(home)) into first;
    return first;
end $$;
comment on function first_quote_version(name, name, regclass, regclass, jsonb) is 'version that rows are given with the column';
create function add_quote_columns(target regclass, entity text, columns jsonb, first_version integer) returns name[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    version text := coalesce(columns ->> 'version', 'version');
    added name[] := '{}'::name[];
begin
    if not @extschema@.quote_column_exists(target, version) then
        execute format('alter table %s add column %I integer not null default %s', target, version, first_version);
        execute format('alter table %s alter column %I set default 1', target, version);
        execute format('comment on column %s.%I is %L', target, version, @extschema@.quote_added_column_comment('version'));
        added := added || version::name;
    end if;
    if entity = 'QUOTE_LINE' and not columns ? 'updated_by' and not @extschema@.quote_column_exists(target, 'updated_by'::text) then
        execute format('alter table %s add column updated_by uuid', target);
        execute format('comment on column %s.updated_by is %L', target, @extschema@.quote_added_column_comment('updated_by'));
        added := added || 'updated_by'::name;
    end if;
    return added;
end $$;
comment on function add_quote_columns(regclass, text, jsonb, integer) is 'adds the columns that collaboration needs to an ERP table';
create or replace function quote_version_shows_origin(target regclass, column_name name) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from (select target::oid union select t.relid from pg_partition_tree(target) t) part (oid)
        join pg_attribute a on a.attrelid = part.oid and a.attname = column_name and not a.attisdropped
        left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        where pg_get_expr(d.adbin, d.adrelid) = '1' or a.atthasmissing and (a.attmissingval::text = '{1}'
            or d.oid is null and a.attmissingval::text ~ '^\{[1-9]'))
$$;
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
    perform @extschema@.check_quote_column_types(target, columns), @extschema@.check_quote_ignored(target, columns, options -> 'ignored_columns'),
        @extschema@.tell_of_quote_null_keys(target, columns);
    insert into @extschema@.quote_collab_settings as s
        (table_schema, table_name, entity, header_schema, header_table, log_schema, columns, ignored_columns, added_columns, relations,
        system_user_id, truncation, replicated_history, archive_after, drop_after)
    values (names.schema_name, names.table_name, entity, names.header_schema, names.header_table, names.log_schema, columns,
        array(select jsonb_array_elements_text(options -> 'ignored_columns'))::name[], added,
        @extschema@.find_quote_relations(header, entity, columns, options),
        (options ->> 'system_user_id')::uuid, coalesce(options ->> 'truncate', 'refuse'),
        coalesce((options ->> 'replicated_history')::boolean, false), (options ->> 'archive_after')::interval, (options ->> 'drop_after')::interval)
    on conflict (table_schema, table_name) do update set
        header_schema = excluded.header_schema, header_table = excluded.header_table,
        columns = excluded.columns, ignored_columns = excluded.ignored_columns, relations = excluded.relations,
        added_columns = excluded.added_columns, system_user_id = excluded.system_user_id,
        truncation = excluded.truncation, replicated_history = excluded.replicated_history,
        archive_after = excluded.archive_after, drop_after = excluded.drop_after
    returning s.* into settings;
    perform @extschema@.drop_quote_triggers(target), @extschema@.create_quote_triggers(target, settings, log),
        @extschema@.tell_of_quote_late_triggers(settings);
    return settings;
end $$;
comment on function attach_quote_table(regclass, text, regclass, regclass, jsonb, integer) is 'makes one ERP table collaborative';
create or replace function attach_quote_collaboration(
    quotes regclass default pg_catalog.to_regclass('quotes'), quote_lines regclass default pg_catalog.to_regclass('quote_lines'),
    options jsonb default '{}')
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header regclass := quotes;
    lines regclass := quote_lines;
    home name;
    home_owner name;
    homes name[];
    log regclass;
    is_elsewhere boolean;
    first_version integer;
begin
    if current_setting('lock_timeout') = '0' then
        perform set_config('lock_timeout', '5s', true);
    end if;
    -- One attach or detach at a time.
    lock table @extschema@.quote_collab_settings in share row exclusive mode;
    homes := array(select s.log_schema from @extschema@.quote_collab_settings s union select a.log_schema from @extschema@.quote_seal_anchor a);
    perform @extschema@.follow_quote_tables(array[header, lines]), @extschema@.follow_quote_home();
    perform @extschema@.check_quote_tables(header, lines, options);
    select h.home, h.home_owner into home, home_owner from @extschema@.choose_quote_home(header) h;
    perform @extschema@.check_quote_home(header, home, homes), @extschema@.check_quote_views(home, home_owner);
    is_elsewhere := exists (select from @extschema@.quote_collab_settings s where s.log_schema <> home);
    -- While the tables are not locked yet: it may take its time.
    first_version := @extschema@.first_quote_version(home, home_owner, header, lines, options);
    perform @extschema@.lock_quote_relations(array[header, lines] || @extschema@.quote_home_relations(home) || array(
        select @extschema@.quote_collab_table(s) from @extschema@.quote_tables_elsewhere(home) s));
    log := @extschema@.create_quote_changes(home, home_owner);
    perform @extschema@.create_active_quote_sessions(home, home_owner);
    perform @extschema@.create_quote_relay_tables(home, home_owner);
    perform @extschema@.create_quote_changes_seals(home, home_owner);
    perform @extschema@.attach_quote_table(header, 'QUOTE', header, log, options, first_version);
    perform @extschema@.attach_quote_table(lines, 'QUOTE_LINE', header, log, options, first_version);
    execute format('select @extschema@.begin_quote_seal_anchor(s.no, s.hash) from %I.quote_changes_seals s order by s.no desc limit 1', home);
    perform @extschema@.lead_quote_tables_to(log, home), @extschema@.grant_quote_capture();
    perform @extschema@.create_quote_changes_all_view(home, home_owner);
    perform @extschema@.create_quote_change_events_view(home, home_owner);
    perform @extschema@.create_pair_views(home, home_owner);
    perform @extschema@.describe_quote_objects(home);
    perform @extschema@.copy_quote_privileges(@extschema@.quote_collab_table(p.header)) from @extschema@.quote_collab_pairs() p
    where @extschema@.quote_collab_table(p.header) = attach_quote_collaboration.quotes or is_elsewhere and @extschema@.quote_collab_table(p.header) is not null;
    perform @extschema@.start_quote_worker();
    return pg_catalog.format('quote collaboration is attached to %s and %s', header, lines);
end $$;
create or replace function quote_relay_last_batch() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    no bigint;
begin
    select r.no into no from @extschema@.quote_prepared_rows(
        format('select coalesce(max(b.no), 0) from %s b', @extschema@.quote_relay_table('quote_relay_batch')), row()) r (no bigint);
    return no;
end $$;
