-- From 0.20.0 to 0.21.0.
create or replace function create_quote_changes_partitions(log regclass, months_ahead integer default 3) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    first timestamptz;
    ends timestamptz;
    month_name name;
    archived regclass;
    made integer := 0;
begin
    if months_ahead is null or months_ahead not between 0 and 120 then
        raise exception 'the months ahead must be between 0 and 120' using errcode = 'invalid_parameter_value',
            detail = format('%s was given.', coalesce(months_ahead::text, 'null')), hint = 'Maintenance makes three.';
    end if;
    for month in 0 .. months_ahead loop
        first := @extschema@.quote_changes_month(now() + make_interval(months => month));
        month_name := @extschema@.quote_changes_month_name(log, first);
        continue when exists (select from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = log and c.relname = month_name);
        continue when @extschema@.quote_month_stands(log, first);
        ends := @extschema@.quote_changes_month(first + interval '32 days');
        perform @extschema@.take_quote_turn();
        begin
            archived := (select a.month from @extschema@.quote_archived_months(log) a where (a.month_start, a.month_end) = (first, ends));
            if archived is null then
                perform @extschema@.create_quote_changes_month(log, month_name, first, ends);
                made := made + 1;
            else
                made := made + @extschema@.return_quote_month(log, archived, month_name, first, ends)::integer;
            end if;
        exception when others then
            raise warning 'month % of the audit log has no partition: %', to_char(first at time zone 'UTC', 'YYYY-MM'), sqlerrm
                using hint = 'The default partition takes its rows until the next attempt.';
            -- Who keeps the log from one month keeps it from the others.
            exit when sqlstate = '55P03';
        end;
    end loop;
    return made;
end $$;
create or replace function place_quote_strays(log regclass, at_most integer default 120, largest bigint default null) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    spare regclass := @extschema@.quote_changes_spare(log);
    first timestamptz;
    ends timestamptz;
    months regclass[] := array[]::regclass[];
    starts timestamptz[] := array[]::timestamptz[];
    month regclass;
    archived integer := 0;
    is_moved boolean;
begin
    if log is distinct from to_regclass(format('%I.quote_changes', @extschema@.quote_collab_home())) then
        raise exception '% is not the audit log', log using errcode = 'invalid_parameter_value',
            detail = 'Each history has one, beside the first pair that was attached to it.', hint = 'Name quote_changes.';
    elsif spare is null or pg_relation_size(spare) > largest then
        return 0;
    end if;
    -- Before anything is read: two of these at once would each wait for what the other has read.
    perform @extschema@.take_quote_turn(), @extschema@.lock_quote_seals(log);
    for first in execute format('select distinct date_trunc(''month'', c.changed_at at time zone ''UTC'') at time zone ''UTC'' from %s c
        where isfinite(c.changed_at) order by 1', spare)
    loop
        exit when cardinality(starts) + archived >= at_most;
        ends := @extschema@.quote_changes_month(first + interval '32 days');
        begin
            is_moved := @extschema@.archive_quote_strays(log, spare, first, ends);
            if is_moved is not null then
                archived := archived + is_moved::integer;
                continue;
            end if;
            select m.month into month from @extschema@.quote_changes_months_before(log, 'infinity'::timestamptz) m
            where m.month_start < ends and m.month_end > first limit 1;
            if found then
                raise exception 'partition % has a part of it', month using errcode = 'invalid_object_definition',
                    detail = format('It overlaps with the month that begins at %s.', first), hint = 'Partitions are to have a month each.';
            end if;
            month := @extschema@.build_quote_changes_month(log, spare, @extschema@.quote_changes_month_name(log, first), first, ends);
            months := months || month;
            starts := starts || first;
        exception when others then
            raise warning 'rows of month % of the audit log stay in its default partition: %', to_char(first at time zone 'UTC', 'YYYY-MM'), sqlerrm;
            -- Who keeps one month from being built keeps the others, and each would wait as long.
            exit when sqlstate = '55P03';
        end;
    end loop;
    if cardinality(starts) > 0 then
        perform @extschema@.lock_quote_log(log, array[spare], '{}'::regclass[]);
        for i in 1 .. cardinality(starts) loop
            perform @extschema@.join_quote_changes_month(log, spare, months[i], @extschema@.quote_changes_month_name(log, starts[i]), starts[i],
                @extschema@.quote_changes_month(starts[i] + interval '32 days'));
        end loop;
    end if;
    return cardinality(starts) + archived;
end $$;
create function take_quote_turn() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    patience text;
begin
    if not has_table_privilege('@extschema@.quote_collab_settings'::regclass, 'update') then
        return;
    end if;
    patience := @extschema@.bound_quote_patience();
    if exists (select from pg_locks l where l.pid = pg_backend_pid() and l.locktype = 'relation'
            and l.relation in (select to_regclass(format('%I.quote_changes', s.log_schema)) from @extschema@.quote_collab_settings s)) then
        lock table @extschema@.quote_collab_settings in share row exclusive mode nowait;
    else
        lock table @extschema@.quote_collab_settings in share row exclusive mode;
    end if;
    perform @extschema@.set_quote_option('lock_timeout', patience);
exception when lock_not_available then
    raise exception 'another attaches, detaches, or moves months of the audit log' using errcode = 'lock_not_available',
        detail = format('It was not over within %s, or at once where this transaction has read the log.', coalesce(nullif(current_setting('lock_timeout'), '0'), '5s')),
        hint = 'Try again when it is over, in a transaction of its own.';
end $$;
comment on function take_quote_turn() is 'keeps others from attaching, detaching, and moving months of the audit log until the transaction ends';
create function try_quote_turn() returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    lock table @extschema@.quote_collab_settings in share row exclusive mode nowait;
    return true;
exception when lock_not_available then
    return false;
end $$;
comment on function try_quote_turn() is 'as take_quote_turn(), unless another has it: then false';
create or replace function attach_quote_collaboration(
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
create or replace function detach_quote_collaboration(drop_history boolean default false, quotes regclass default null) returns text
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
create or replace function update_quote_row(claimed quote_collab_settings, row_id uuid, changes jsonb, cause text, amounts jsonb, path text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.require_quote_settings(claimed);
    record_definition text := @extschema@.quote_changes_record(target, changes);
    relation regclass := format('%I.%I', target.table_schema, target.table_name)::regclass;
    assignments text;
    updated jsonb;
    changed bigint;
    told text;
    advice text;
begin
    select string_agg(a, ', ') into assignments from (
        select format('%I = r.%I', key, key) from jsonb_object_keys(changes) key
        union all
        select format('%I = %s', d.key, case when amounts ? d.key then format('%L::pg_catalog.numeric', (amounts ->> d.key)::numeric) else d.value end)
        from jsonb_each_text(@extschema@.quote_derived_columns(target, row_id, changes, cause)) d
        where not changes ? d.key and not exists (
            select from pg_attribute g where g.attrelid = relation and g.attname = d.key and g.attgenerated <> '')) x (a);
    if assignments is null then
        return null;
    end if;
    perform @extschema@.set_quote_option('search_path', concat_ws(', ', 'pg_catalog', nullif(path, '')));
    begin
        execute format('update %I.%I t set %s %s where t.%s operator(pg_catalog.=) $1 returning pg_catalog.to_jsonb(t.*)',
            target.table_schema, target.table_name, assignments,
            case when record_definition is null then '' else format('from pg_catalog.jsonb_to_record($2) as r(%s)', record_definition) end,
            @extschema@.quote_collab_column(target, 'id'))
        into updated using row_id, changes;
        get diagnostics changed = row_count;
    exception when insufficient_privilege then
        get stacked diagnostics told = pg_exception_detail, advice = pg_exception_hint;
        raise exception using errcode = 'insufficient_privilege', message = sqlerrm, detail = told,
            hint = coalesce(nullif(advice, ''), format('Saving %s needs, for role %s, whatever its triggers, rules and policies need too.', relation, current_user));
    end;
    perform @extschema@.set_quote_option('search_path', 'pg_catalog, pg_temp');
    if changed > 1 then
        raise exception 'several rows have this id' using errcode = 'cardinality_violation',
            detail = format('%s rows of %s have it, and a save is based on one.', changed, relation), hint = 'Let a unique index say that an id names one row.';
    elsif updated is null then
        raise exception 'the % cannot be changed', lower(replace(target.entity, '_', ' ') collate "C") using errcode = 'insufficient_privilege',
            detail = format('The UPDATE of %s changed no row.', relation),
            hint = 'A row security policy hides it from updates by this role, or a trigger skips them.';
    end if;
    return updated;
end $$;
create or replace function apply_quote_changes(target quote_collab_settings, row_id uuid, seen jsonb, changes jsonb, cause text, path text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    amounts jsonb := '{}'::jsonb;
    updated jsonb;
begin
    if @extschema@.quote_amounts_follow(target, changes, cause) then
        amounts := @extschema@.quote_amounts_tried(target, row_id, changes, cause, path);
    end if;
    updated := @extschema@.update_quote_row(target, row_id, changes, cause, amounts, path);
    if updated is null then
        return @extschema@.require_quote_row(target, row_id, '');
    end if;
    updated := coalesce(@extschema@.find_quote_row(target, row_id, ''), updated);
    if exists (select from unnest('{id,tenant,quote}'::text[]) key (role)
            where updated ->> (target.columns ->> key.role) <> seen ->> (target.columns ->> key.role)) then
        raise exception 'the % cannot be moved by a save', lower(replace(target.entity, '_', ' ') collate "C") using errcode = 'insufficient_privilege',
            detail = 'A column that says which it is, or to whom it belongs, follows from a changed one.', hint = 'Move it by an update of the table, as a role that may.';
    end if;
    return updated;
end $$;
create or replace function quote_versions_query(history text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format($query$
        with recursive stays (quote_id, until) as (
            select $1[1], 9223372036854775807
            union all
            select gone.quote_id, gone.position from stays s
            cross join lateral (select c.xid, c.position from %1$s c where c.quote_id = s.quote_id and c.quote_line_id = $2 and c.position < s.until
                and c.change_type = 'CREATE' order by c.position desc limit 1) came
            cross join lateral (select c.quote_id, c.position from %1$s c where c.xid = came.xid and c.quote_line_id = $2 and c.position < came.position
                and c.change_type = 'DELETE' order by c.position desc limit 1) gone
            where gone.quote_id <> s.quote_id),
        seen (position) as (
            select coalesce(max(b.position), 0) from stays s
            cross join lateral (select c.position from %1$s c where c.quote_id = s.quote_id and c.position <= s.until and c.entity_version_after = $3
                and c.quote_line_id is not distinct from $2 and c.conflict_resolution is distinct from 'REJECTED' order by c.position desc limit 1) b),
        -- In order, so that PostgreSQL goes to each stay by the index of quotes: it expects a hundred of them, and would read all months at once.
        log as materialized (
            select c.* from stays s
            cross join lateral (select c.field_name, c.change_type, c.old_value, c.changed_by, c.changed_at, c.position from %1$s c
                where c.quote_id = s.quote_id and c.position <= s.until and c.position > (select n.position from seen n)
                    and c.quote_line_id is not distinct from $2 and c.conflict_resolution is distinct from 'REJECTED'
                    and (c.entity_version_after > $3 or c.change_type = 'DELETE' and c.entity_version_before >= $3) order by c.position) c),
        firsts as materialized (
            select distinct on (l.field_name) l.field_name, l.old_value, l.position from log l where l.change_type <> 'CREATE' order by l.field_name, l.position),
        lasts as materialized (
            select distinct on (l.field_name) l.field_name, l.changed_by, l.changed_at, l.position from log l order by l.field_name, l.position desc),
        told as (
            select f.key, case when base.position is null then $5 -> f.key else base.old_value end as base, last.changed_by, last.changed_at
            from jsonb_each($4) f
            left join lateral (select l.position, case l.field_name when '*' then l.old_value -> f.key else l.old_value end as old_value from firsts l
                               where l.field_name in (f.key, '*') order by l.position limit 1) base on true
            left join lateral (select l.changed_by, l.changed_at from lasts l
                               order by l.field_name = f.key desc, l.position desc limit 1) last on true)$query$, history)
$$;
create function quote_log_address() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return format('%s.%s', split_part(@extschema@.quote_database_identity(), '/', 2), @extschema@.quote_log_identity());
end $$;
comment on function quote_log_address() is 'oids of this database and of the audit log, as cursors name them';
create or replace function quote_events_cursor() returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seen pg_snapshot := @extschema@.quote_feed_snapshot();
    now_at numeric := extract(epoch from clock_timestamp());
begin
    perform @extschema@.flush_quote_feed();
    -- Who is running may have changed something long ago.
    return concat_ws('/', '4', @extschema@.quote_cluster_identifier(), @extschema@.quote_log_address(), @extschema@.quote_feed_timeline(),
        pg_current_wal_flush_lsn() - '0/0'::pg_lsn, @extschema@.quote_log_cut(seen), seen, now_at,
        case when pg_snapshot_xmin(seen) = pg_snapshot_xmax(seen) then now_at else 0 end);
end $$;
create or replace function require_quote_cursor(cursor quote_cursor) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    newest pg_snapshot := coalesce(cursor.cur, cursor.prev);
    here integer := @extschema@.quote_feed_timeline();
    ahead bigint := pg_snapshot_xmax(newest)::text::bigint - @extschema@.next_quote_transaction();
    reason text;
begin
    if cursor.origin <> @extschema@.quote_cluster_identifier() then
        reason := 'It was given by another cluster.';
    elsif cursor.log not in (@extschema@.quote_log_address(), @extschema@.quote_log_identity()) then
        reason := 'It was given by another database, or before this history came out of a dump.';
    -- After a failover others get the numbers of what was lost. Where this server left the timeline of the cursor behind all that the
    -- cursor counts as over, nothing of that is lost. A file has to be read for it, so only where the timelines differ.
    elsif cursor.timeline <> here and (cursor.reached <= @extschema@.quote_timeline_end(here, cursor.timeline)) is not true then
        reason := 'It counts on what this cluster lost in a failover.';
    -- Where the timeline shows that nothing is lost, only numbers can be ahead whose owners were running and had written nothing.
    elsif ahead > 0 and (cursor.timeline is null or ahead > (select count(*) from pg_snapshot_xip(newest) x
            where x::text::bigint >= pg_snapshot_xmax(newest)::text::bigint - ahead)) then
        reason := 'It is ahead of this cluster, which lost its end in a failover.';
    elsif @extschema@.quote_feed_is_cut(cursor.cut, null::pg_snapshot, cursor.prev, cursor.cur, cursor.position) then
        reason := 'It stands before changes that were archived since, and event feeds read the log alone.';
    end if;
    if reason is not null then
        raise exception 'the cursor is no longer known' using errcode = 'QC001', detail = reason,
            hint = 'Read the quotes again and start with quote_events_cursor().';
    end if;
end $$;
create or replace function quote_events_since(cursor text, max integer default 100) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    seen pg_snapshot := @extschema@.quote_feed_snapshot();
    begun @extschema@.quote_cursor := @extschema@.parse_quote_cursor(cursor);
    c @extschema@.quote_cursor := begun;
    cut bigint := @extschema@.quote_log_cut(seen);
    waypoint record;
    given integer := 0;
    got integer;
begin
    if max is null or max not between 1 and 10000 then
        raise exception 'max must be between 1 and 10000' using errcode = 'invalid_parameter_value',
            detail = format('%s was given.', coalesce(max::text, 'null')), hint = 'Call again with the last cursor for more.';
    end if;
    perform @extschema@.require_quote_cursor(c), @extschema@.require_quote_home('{quote_changes}'::text[]), @extschema@.require_quote_cursor_seen(c), @extschema@.flush_quote_feed(),
        @extschema@.watch_quote_clock();
    loop
        if c.cur is null then
            exit when c.prev::text = seen::text;
            select w.* into waypoint from @extschema@.quote_feed_waypoint(c.prev, seen) w;
            c := row(c.origin, c.prev, c.prev_at,
                greatest(extract(epoch from @extschema@.quote_feed_floor(c.prev, coalesce(waypoint.cur, seen), to_timestamp(c.floor_at))), 0), coalesce(waypoint.cur, seen),
                extract(epoch from coalesce(waypoint.cur_at, clock_timestamp())), 0, @extschema@.quote_feed_timeline(),
                pg_current_wal_flush_lsn() - '0/0'::pg_lsn, @extschema@.quote_log_address(), cut)::@extschema@.quote_cursor;
        end if;
        return query select * from @extschema@.read_quote_events(c, max - given);
        get diagnostics got = row_count;
        given := given + got;
        exit when given >= max or c.cur::text = seen::text;
        c := @extschema@.next_quote_cursor(c);
    end loop;
    -- What left the log meanwhile may be missing.
    if cut <> @extschema@.quote_log_cut(null::pg_snapshot) then
        perform @extschema@.require_quote_cursor(begun);
    end if;
end $$;
create or replace function drop_archived_quote_changes(older_than interval) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
set client_min_messages = warning
as $$
declare
    archive regclass := case when @extschema@.quote_archive_stands(@extschema@.quote_collab_home()) then @extschema@.quote_relay_table('quote_changes_archive')::regclass end;
    months regclass[];
    from_at timestamptz;
    until_at timestamptz;
    month regclass;
    present bigint;
    arrived bigint;
    before record;
    after record;
    patience text;
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_changes_seals}'::text[]);
    if older_than is null or older_than <= interval '0' or older_than > interval '1000 years' then
        raise exception 'the age must be a positive interval of at most 1000 years' using errcode = 'invalid_parameter_value',
            detail = format('%s was given.', coalesce(older_than::text, 'null')),
            hint = 'For example select drop_archived_quote_changes(interval ''10 years'').';
    end if;
    perform @extschema@.require_quote_months_seen();
    if not exists (select from @extschema@.quote_changes_months_before(archive, now() - older_than)) then
        perform @extschema@.note_quote_drop_refused(null::timestamptz);
        return 0;
    end if;
    patience := @extschema@.bound_quote_patience();
    perform @extschema@.take_quote_turn(), @extschema@.lock_quote_seals(@extschema@.quote_relay_table('quote_changes')::regclass), @extschema@.seal_quote_history();
    -- Of two at once the other may have dropped them.
    select array_agg(m.month), min(m.month_start), max(m.month_end) into months, from_at, until_at
    from @extschema@.quote_changes_months_before(archive, now() - older_than) m;
    if months is null then
        perform @extschema@.set_quote_option('lock_timeout', patience);
        return 0;
    end if;
    present := @extschema@.lock_quote_months(months);
    arrived := @extschema@.count_arrived_quote_changes(months);
    select sum(x.rows) as rows, bool_and(x.rows = x.expected_rows and x.root = x.expected_root) as intact
    into before from @extschema@.examine_quote_seals(from_at, until_at) x;
    foreach month in array months loop
        execute format('drop table %s', month);
    end loop;
    select coalesce(sum(x.rows), 0) as rows,
        coalesce(range_agg(int8range(x.no, x.no, '[]')) filter (where x.rows = 0), '{}') as gone,
        coalesce(jsonb_object_agg(x.no, jsonb_build_object('rows', x.rows, 'root', encode(x.root, 'hex')))
            filter (where x.rows > 0 and x.rows <> x.expected_rows), '{}') as remains
    into after from @extschema@.examine_quote_seals(from_at, until_at) x;
    if coalesce(before.intact, arrived = present) is not true or coalesce(before.rows, 0) - after.rows <> present - arrived then
        raise exception 'the history to be dropped is not as it was sealed' using errcode = 'object_not_in_prerequisite_state',
            detail = 'The rows of these months are not those that the seals count.',
            hint = 'See what select * from verify_quote_history() finds, and keep its findings.';
    end if;
    perform @extschema@.seal_quote_release(jsonb_build_object('rows', present, 'gone', after.gone::text, 'remains', after.remains,
        'from', to_char(from_at at time zone 'UTC', 'YYYY-MM-DD'), 'until', to_char(until_at at time zone 'UTC', 'YYYY-MM-DD')));
    perform @extschema@.note_quote_drop_refused(null::timestamptz), @extschema@.set_quote_option('lock_timeout', patience);
    return cardinality(months);
end $$;
create or replace function quote_collab_maintenance() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    log regclass;
    swept integer := 0;
    made integer := 0;
    dropped integer := 0;
    sealed bigint := 0;
    archived integer := 0;
    released integer := 0;
    alone boolean;
    leads boolean;
    advice text;
    patience text;
begin
    if pg_is_in_recovery() then
        return '{}'::jsonb;
    elsif current_setting('transaction_read_only')::boolean then
        raise exception 'maintenance cannot be done in a read-only transaction' using errcode = 'read_only_sql_transaction',
            detail = 'It makes months ahead, ends stale sessions and seals.', hint = 'Begin one that may write: begin read write.';
    end if;
    patience := @extschema@.bound_quote_patience();
    -- Asked for what it does on the way: a queue of NOTIFY that was full stays full, when all have read it, until somebody asks.
    perform pg_notification_queue_usage();
    begin
        perform @extschema@.note_quote_owners();
    exception when others then
        raise warning 'owners of tables are not noted: %', sqlerrm;
    end;
    -- Whoever may write presence may lock it.
    begin
        swept := @extschema@.cleanup_stale_quote_sessions();
    exception when others then
        raise warning 'stale sessions are not swept: %', sqlerrm;
    end;
    alone := @extschema@.lock_quote_batches();
    -- Before sealing reads the log.
    leads := alone and @extschema@.try_quote_turn();
    if alone then
        dropped := @extschema@.drop_old_quote_batches();
    end if;
    begin
        sealed := @extschema@.seal_quote_history();
    exception when others then
        get stacked diagnostics advice = pg_exception_hint;
        raise warning 'the history is not sealed: %', sqlerrm using hint = @extschema@.quote_seal_advice(sqlstate, advice);
    end;
    -- What locks the log keeps it locked to the end of the transaction: once it has changed something, the rest waits for another time.
    if alone then
        perform @extschema@.require_quote_home('{quote_changes}'::text[]);
        log := @extschema@.quote_relay_table('quote_changes')::regclass;
        begin
            if leads then
                made := @extschema@.extend_quote_log(log);
                if made = 0 then
                    select k.archived, k.dropped into archived, released from @extschema@.keep_quote_history() k;
                end if;
            elsif not @extschema@.quote_month_stands(log, now() + interval '1 month') then
                raise warning 'months of the audit log are not made' using detail = 'Another attaches, detaches, or moves months, or keeps quote_collab_settings locked.',
                    hint = 'The default partition takes the rows until the next attempt.';
            end if;
        exception when others then
            raise warning 'months of the audit log are neither made nor moved: %', sqlerrm;
        end;
        begin
            perform @extschema@.summarize_quote_changes(log);
        exception when others then
            raise warning 'times of the audit log are not summarized: %', sqlerrm;
        end;
    end if;
    perform @extschema@.set_quote_option('lock_timeout', patience);
    return jsonb_build_object('stale_sessions', swept, 'partitions_created', made, 'batches_dropped', dropped,
        'months_archived', archived, 'months_dropped', released, 'rows_sealed', sealed);
end $$;
create or replace function archive_quote_changes(older_than interval) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set client_min_messages = warning
as $$
declare
    log regclass := @extschema@.quote_relay_table('quote_changes')::regclass;
    until timestamptz;
    months regclass[];
    others regclass[];
    newest bigint;
    last_position bigint;
    patience text;
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_changes_seals,quote_relay_batch}'::text[]);
    if older_than is null or older_than not between interval '0' and interval '1000 years' then
        raise exception 'the age must be an interval from 0 to 1000 years' using errcode = 'invalid_parameter_value',
            detail = format('%s was given.', coalesce(older_than::text, 'null')), hint = 'For example select archive_quote_changes(interval ''24 months'').';
    end if;
    perform @extschema@.require_quote_months_seen();
    -- Before anything is locked.
    if not exists (select from @extschema@.quote_months_due(log, now() - greatest(older_than, interval '1 day'))) then
        return 0;
    end if;
    perform @extschema@.take_quote_turn();
    if not exists (select from @extschema@.quote_months_due(log, @extschema@.quote_archive_limit(older_than))) then
        return 0;
    end if;
    patience := @extschema@.bound_quote_patience();
    perform @extschema@.seal_quote_history();
    until := @extschema@.quote_archive_end(older_than);
    months := array(select m.month from @extschema@.quote_months_due(log, until) m);
    if cardinality(months) = 0 then
        perform @extschema@.set_quote_option('lock_timeout', patience);
        return 0;
    elsif (select sum(pg_relation_size(m.month)) > 67108864 from @extschema@.quote_months_due(log, until) m where m.proved is null) then
        raise exception 'months are not ready to be archived' using errcode = 'object_not_in_prerequisite_state',
            detail = 'Their bounds were not noted yet, and to prove them would keep everybody waiting.',
            hint = 'Call select quote_collab_maintenance(), or let it be called, and try again.';
    end if;
    -- Whoever seals has decided where he looks for rows.
    perform @extschema@.lock_quote_seals(log), @extschema@.prove_quote_months(log, until, 9223372036854775807);
    select e.newest, e.last_position into newest, last_position from @extschema@.quote_months_end(months) e;
    others := array(
        select @extschema@.quote_changes_spare(log) union
        select @extschema@.quote_changes_spare(to_regclass(@extschema@.quote_relay_table('quote_changes_archive'))));
    perform @extschema@.lock_quote_log(log, array_remove(others, null) || months, case when @extschema@.quote_archive_stands(@extschema@.quote_collab_home()) then '{}'
        else array_remove(array[to_regclass(@extschema@.quote_relay_table('v_quote_changes_all'))], null) end);
    if @extschema@.quote_archive_end(older_than) < until then
        raise exception 'months were written to while they were locked' using errcode = 'lock_not_available',
            detail = 'Their newest changes are younger than what is to be archived.', hint = 'Try again.';
    end if;
    perform @extschema@.exchange_quote_months(log, months, until), @extschema@.note_quote_log_cut(log, newest, last_position),
        @extschema@.set_quote_option('lock_timeout', patience);
    return cardinality(months);
end $$;
create or replace function grant_quote_functions(role name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    function regprocedure;
begin
    for function in select f.function from @extschema@.quote_extension_functions() f where f.is_public and not has_function_privilege(role, f.function, 'execute') loop
        execute format('grant execute on function %s to %I', function, role);
    end loop;
    if not has_table_privilege(role, '@extschema@.quote_collab_settings'::regclass, 'select') then
        execute format('grant select on @extschema@.quote_collab_settings to %I', role);
    end if;
end $$;
create or replace function quote_functions_altered(released quote_released_function[]) returns table (function regprocedure, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with own as (
        select f.function, p.*, n.nspname, owner.rolsuper as is_trusted
        from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function join pg_namespace n on n.oid = p.pronamespace
        join pg_roles owner on owner.oid = p.proowner
        where p.prokind = 'f'),
    as_released as (
        select p.function from own p join unnest(released) r on r.name = p.proname
        cross join lateral (select '"' || replace(p.nspname, '"', '""') || '"', quote_ident(p.nspname)) s (quoted, plain)
        cross join lateral (select replace(lower(r.header collate "C"), E'\n', ' ') || ' ') h (words)
        where replace(r.body, s.quoted, s.plain) = replace(p.prosrc, s.quoted, s.plain)
            and coalesce(p.probin, '$libdir/quote_collab_ext') = '$libdir/quote_collab_ext'
            and p.prosecdef = (h.words like '% security definer %') and p.proisstrict = (h.words like '% strict %')
            and p.provolatile = case when h.words like '% immutable %' then 'i' when h.words like '% stable %' then 's' else 'v' end
            and array(select lower(split_part(c, '=', 1) collate "C") || replace(substr(c, strpos(c, '=')), '"', '') from unnest(p.proconfig) c order by 1)
                = array(select lower(split_part(c, ' = ', 1) collate "C") || '=' || translate(split_part(split_part(c, E'\n', 1), ' = ', 2), '''"', '')
                    from unnest((string_to_array(r.header, E'\nset '))[2:]) c order by 1)
            and p.proparallel = case when h.words like '% parallel safe %' then 's' when h.words like '% parallel restricted %' then 'r' else 'u' end)
    select p.function, case when p.is_trusted then coalesce((
                select string_agg(format('set search_path = %I, pg_temp; create or replace function %s reset search_path;', p.nspname, r.statement), ' ')
                from unnest(released) r where r.name = p.proname),
            format('alter extension quote_collab_ext drop function %s;', p.function))
        else format('alter function %s owner to %I;', p.function, @extschema@.quote_superuser()) end
    from own p where not p.is_trusted or not exists (select from as_released r where r.function = p.function)
$$;
create or replace function quote_grants_on(target regclass) returns table (grantee oid, privilege text, told text, revoke text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select a.grantee, a.privilege_type, format('%s%s on %s to %s', a.privilege_type, a.attribute, target, @extschema@.quote_grantee(a.grantee)),
        format('revoke %s%s on %s %s from %s%s;', lower(a.privilege_type collate "C"), a.attribute, case a.relkind when 'S' then 'sequence' else 'table' end,
            target, @extschema@.quote_grantee(a.grantee), case when a.is_grantable then ' cascade' else '' end)
    from (
        select acl.*, '' as attribute, c.relkind, c.relowner from pg_class c cross join lateral aclexplode(c.relacl) acl where c.oid = target
        union all
        select acl.*, format(' (%I)', a.attname), c.relkind, c.relowner
        from pg_class c join pg_attribute a on a.attrelid = c.oid and not a.attisdropped cross join lateral aclexplode(a.attacl) acl where c.oid = target) a
    where a.grantee <> a.relowner
$$;
create or replace function quote_collab_doctor_rows(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    hidden text;
    spare regclass := (select @extschema@.quote_changes_spare(c.oid::regclass) from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = target_schema and c.relname = 'quote_changes');
    set_back boolean;
    found_rows boolean := false;
    at timestamptz;
    lag interval;
    sealed pg_snapshot;
    origin bigint;
begin
    select string_agg(c.relname, ', ' order by c.relname) into hidden from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where not @extschema@.quote_rows_all_seen(c.oid::regclass) and (c.oid = spare or n.nspname = target_schema and c.relname in
        ('quote_changes', 'quote_changes_seals', 'quote_relay_batch', 'quote_relay_lease', 'active_quote_sessions', 'quote_changes_position_seq'));
    if hidden is not null then
        return query select (@extschema@.quote_collab_unchecked(c.name, format('rows of %s are hidden from %s', hidden, current_user),
            'Run it as a superuser.')).* from unnest(array['positions ascend', 'default partition empty', 'relay keeps up', 'lease of the relay stands', 'a gateway is connected',
            'stale sessions swept', 'history sealed']) c (name);
        return;
    end if;
    set_back := @extschema@.quote_positions_set_back(target_schema);
    return next @extschema@.quote_collab_verdict('positions ascend', not set_back, 'error', 'the sequence of positions was set back: new changes stand before older ones',
        case when set_back then @extschema@.quote_positions_hint(target_schema) end);
    -- Those of months that are archived wait until event feeds have read them.
    if spare is not null then
        execute format('select exists (select from (select distinct date_trunc(''month'', c.changed_at, ''UTC'') from %s c offset 0) m (month_start)
            where not exists (select from @extschema@.quote_archived_months($1) a
                where a.month_start <= m.month_start and a.month_end >= @extschema@.quote_changes_month(m.month_start + interval ''32 days'')))', spare)
        into found_rows using format('%I.quote_changes', target_schema)::regclass;
    end if;
    return next @extschema@.quote_collab_verdict('default partition empty', not found_rows, 'warning',
        'rows lie in the default partition: a month had no partition when they were written',
        format('select @extschema@.place_quote_strays(%L);', format('%I.quote_changes', target_schema)));
    execute format('select max(b.cur_at) from %I.quote_relay_batch b where b.no > 0', target_schema) into at;
    execute format('select now() - max(c.changed_at) from %I.quote_changes c
        where c.changed_at > now() - interval ''1 day'' and c.changed_at > $1 + interval ''30 seconds''
        and c.conflict_resolution is distinct from ''REJECTED''', target_schema) into lag using coalesce(at, '-infinity');
    return next @extschema@.quote_collab_verdict('relay keeps up', lag is null or lag < interval '30 seconds', 'warning',
        format('the newest change is %s old and no gateway has cut a batch since', lag), 'Look at the /health of the gateway.');
    execute format('select l.expires_at from %I.quote_relay_lease l', target_schema) into at;
    execute format('select exists (select from %I.quote_relay_batch)', target_schema) into found_rows;
    return next @extschema@.quote_collab_verdict('lease of the relay stands', at is not null and found_rows, 'error',
        'quote_relay_lease or quote_relay_batch has lost its rows: no gateway can relay events', null);
    return next @extschema@.quote_collab_verdict('a gateway is connected', at > now(), 'warning',
        'no gateway holds the lease: events wait in quote_changes', 'Start the gateway.');
    -- Sessions are unlogged: a standby has none.
    found_rows := false;
    if not pg_is_in_recovery() then
        execute format('select exists (select from %I.active_quote_sessions x where x.last_heartbeat < now() - @extschema@.quote_session_ttl() * 3)',
            target_schema) into found_rows;
    end if;
    return next @extschema@.quote_collab_verdict('stale sessions swept', not found_rows, 'warning', 'nobody calls quote_collab_maintenance()',
        'Preload the library, run a gateway, or call select quote_collab_maintenance(); from cron.');
    execute format('select s.cur, s.origin from %I.quote_changes_seals s order by s.no desc limit 1', target_schema) into sealed, origin;
    found_rows := origin is not null and @extschema@.quote_rows_behind(format('%I.quote_changes', target_schema)::regclass,
        case origin when @extschema@.quote_cluster_identifier() then sealed end, now() - interval '1 day', now() - interval '5 minutes');
    return next @extschema@.quote_collab_verdict('history sealed', not found_rows, 'warning', 'changes are older than 5 minutes and not sealed',
        'select @extschema@.seal_quote_history();');
end $$;
create or replace function quote_collab_doctor_tenant_roles(verified boolean) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    gateways oid[] := array(select @extschema@.quote_gateway_roles());
    setters oid[] := '{}'::oid[];
    names text;
    hints text;
begin
    setters := array(select acl.grantee from pg_parameter_acl p cross join lateral aclexplode(p.paracl) acl
        left join pg_roles r on r.oid = acl.grantee
        where p.parname = 'app.current_tenant_id' and acl.privilege_type = 'SET' and r.rolsuper is not true);
    -- What is granted on a setting holds in every database of the cluster: a role that has functions granted in another one may be the
    -- gateway of that.
    select string_agg(s.name || coalesce(' (perhaps the gateway of ' || e.databases || ')', ''), ', ' order by s.name),
        concat_ws(' ', string_agg(r.revoke, ' ' order by s.name) filter (where e.databases is null),
            'Unless it is the gateway of another database: ' || string_agg(r.revoke, ' ' order by s.name) filter (where e.databases is not null))
    into names, hints
    from (select distinct u.setter, @extschema@.quote_grantee(u.setter) from unnest(setters) u (setter) where u.setter <> all (gateways)) s (setter, name)
    cross join lateral (select @extschema@.quote_databases_elsewhere(s.setter)) e (databases)
    cross join lateral (select format('revoke set on parameter app.current_tenant_id from %s;', s.name)) r (revoke);
    return next @extschema@.quote_collab_verdict('tenant set by gateways only', names is null, 'warning',
        format('these roles may set any tenant, in the whole cluster: %s', names), hints);
    -- quote_collab.notify decides how listeners are woken, and nothing about tenants or keys.
    select string_agg(format('%s on %s to %s', acl.privilege_type, p.parname, @extschema@.quote_grantee(acl.grantee)), ', '),
        string_agg(format('revoke %s on parameter %s from %s;', lower(acl.privilege_type collate "C"), p.parname, @extschema@.quote_grantee(acl.grantee)), ' ')
    into names, hints from pg_parameter_acl p cross join lateral aclexplode(p.paracl) acl left join pg_roles r on r.oid = acl.grantee
    where (p.parname like E'quote\\_collab.%' and p.parname <> 'quote_collab.notify' or p.parname = 'app.current_tenant_id' and acl.privilege_type <> 'SET')
        and r.rolsuper is not true;
    return next @extschema@.quote_collab_verdict('settings changed by superusers only', names is null, 'error',
        format('whoever may set these chooses tenants, users or keys: %s', names), hints);
    select string_agg(@extschema@.quote_grantee(gateway), ', '),
        string_agg(format('select @extschema@.grant_quote_gateway(%L);', pg_get_userbyid(gateway)), ' ')
    into names, hints from unnest(gateways) gateway where gateway <> all (setters) and not 0::oid = any (setters);
    return next @extschema@.quote_collab_verdict('gateways may set the tenant', not verified or names is null, 'error',
        format('the gateway fails as: %s', names), hints);
    select string_agg(distinct coalesce(pg_get_userbyid(nullif(s.setrole, 0))::text, 'everybody'), ', ') into names
    from pg_db_role_setting s cross join lateral unnest(s.setconfig) setting
    where lower(setting collate "C") ~ '^(app[.]current_tenant_id|quote_collab[.]verified_)';
    return next @extschema@.quote_collab_verdict('no tenant by default', not verified or names is null
            and not exists (select from pg_settings s where s.name = 'app.current_tenant_id' and s.reset_val <> ''), 'warning',
        format('sessions begin with a tenant that no token vouches for: %s', coalesce(names, 'this one')),
        'alter role ... reset app.current_tenant_id; and look into postgresql.conf.');
    return query select * from @extschema@.quote_collab_doctor_gateway_roles();
end $$;
create or replace function quote_setting_repair(option text, change text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select string_agg(format('alter %s reset %s;', concat_ws(' in ', 'role ' || coalesce(quote_ident(r.rolname), case when s.setdatabase = 0 then 'all' end),
            'database ' || quote_ident(d.datname)), option), ' ')
        from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole left join pg_database d on d.oid = s.setdatabase
        where (s.setrole = 0 or r.rolname = session_user) and (s.setdatabase = 0 or d.datname = current_database())
            and exists (select from unnest(s.setconfig) c (setting) where starts_with(lower(c.setting collate "C"), option || '='))),
        format('alter system %s; select pg_reload_conf();', change))
$$;
create or replace function quote_collab_doctor_filters() returns quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    all_are boolean := not @extschema@.quote_role_default(0::oid, 'row_security')::boolean;
    names text;
    hints text;
begin
    select string_agg(quote_ident(r.rolname), ', '),
        string_agg(format('alter role %I in database %I set row_security = on;', r.rolname, current_database()), ' ')
    into names, hints from pg_roles r
    where r.oid in (select s.setrole from pg_db_role_setting s cross join lateral unnest(s.setconfig) c (setting) where starts_with(c.setting, 'row_security='))
        and r.rolcanlogin and not r.rolsuper and not r.rolbypassrls and not @extschema@.quote_role_default(r.oid, 'row_security')::boolean
        and exists (select from @extschema@.quote_collab_settings t
            where has_table_privilege(r.oid, to_regclass(format('%I.%I', t.table_schema, t.table_name)), 'select, insert, update, delete'));
    return @extschema@.quote_collab_verdict('rows are filtered', not all_are and names is null, 'warning',
        format('row_security is off, so that what has row security is refused, the history above all, for %s', case when all_are then 'every role' else names end),
        concat_ws(' ', case when all_are then format('alter database %I set row_security = on;', current_database()) end, hints));
end $$;
create or replace function grant_quote_gateway(role name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    needed record;
begin
    if role is null then
        raise exception 'the role must not be null' using errcode = 'null_value_not_allowed',
            detail = 'Rights are given to a role that is there.', hint = 'Name the role of the gateway.';
    elsif not exists (select from pg_roles r where r.rolname = role) then
        raise exception 'there is no role "%"', role using errcode = 'undefined_object',
            detail = 'The name is taken as it is written, with its capital letters.', hint = 'Create it first: create role ... login.';
    end if;
    perform @extschema@.quote_collab_home(), @extschema@.grant_quote_functions(role);
    for needed in select r.privilege, r.kind, string_agg(r.told, ', ') as objects from @extschema@.quote_gateway_rights() r group by r.privilege, r.kind loop
        execute format('grant %s on %s %s to %I', needed.privilege, needed.kind, needed.objects, role);
    end loop;
    -- The gateway verifies tokens itself and then sets the tenant. PostgreSQL 14 has no such grant.
    if current_setting('quote_collab.tenant_source', true) = 'verified' and current_setting('server_version_num')::integer >= 150000 then
        execute format('grant set on parameter app.current_tenant_id to %I', role);
    end if;
end $$;
-- Whatever default privileges gave of what this release made.
select @extschema@.close_quote_extension();
