-- From 0.18.0 to 0.19.0.
-- Functions.
drop function quote_columns_missing(name);
drop function require_quote_columns(name);
create or replace function quote_log_cut(shown_by pg_snapshot) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((select r.no from @extschema@.quote_latest_rows(
        'select c.no from @extschema@.quote_log_cuts c where c.log in ($1, 0) and ($2 is null or pg_visible_in_snapshot(c.moved_by, $2)
            or c.log = 0 and c.moved_by = pg_current_xact_id_if_assigned()) order by c.no desc limit 1'::text,
        row(@extschema@.quote_log_identity()::oid, shown_by)) r (no bigint)), 0);
end $$;
create function require_quote_columns(header regclass, home name) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    lacking record;
begin
    select m.* into lacking from pg_class c cross join lateral @extschema@.quote_columns_missing(home, pg_get_userbyid(c.relowner)) m
    where c.oid = header limit 1;
    if found then
        raise exception 'table % is not as attach makes it', lacking.relation
            using errcode = 'undefined_column', detail = format('It lacks: %s.', lacking.names), hint = lacking.repair;
    end if;
end $$;
comment on function require_quote_columns(regclass, name) is 'refuses tables under names of ours that lack columns';
create or replace function check_quote_home(header regclass, home name, homes name[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.quote_relation_stands(format('%I.%I', home, k.name), 'p'::"char", pg_get_userbyid(c.relowner))
    from pg_class c, unnest('{quote_changes,quote_changes_archive}'::name[]) k (name)
    where c.oid = header and (k.name = 'quote_changes_archive' or home <> all (homes));
    perform @extschema@.require_quote_columns(header, home);
end $$;
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
    return concat_ws('/', '4', @extschema@.quote_cluster_identifier(), @extschema@.quote_log_identity(), @extschema@.quote_feed_timeline(),
        pg_current_wal_flush_lsn() - '0/0'::pg_lsn, @extschema@.quote_log_cut(seen), seen, now_at,
        case when pg_snapshot_xmin(seen) = pg_snapshot_xmax(seen) then now_at else 0 end);
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
        raise exception 'max must be between 1 and 10000' using errcode = 'invalid_parameter_value', hint = 'Call again with the last cursor for more.';
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
                pg_current_wal_flush_lsn() - '0/0'::pg_lsn, @extschema@.quote_log_identity(), cut)::@extschema@.quote_cursor;
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
create function quote_columns_missing(home name, owner name) returns table (relation regclass, names text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass, string_agg(format('%I %s', k.column_name, k.column_type), ', ' order by k.column_name),
        format('If a column was renamed: alter table %s rename ... to ...; if one was dropped, bring it back from a dump. If the table is none that attach made: alter table %1$s rename to %I;',
            c.oid::regclass, left('not_ours_' || c.relname, 63))
    from @extschema@.quote_home_tables() h
    join pg_class c on c.relname = h.name and c.relkind = h.kind join pg_namespace n on n.oid = c.relnamespace and n.nspname = home
    cross join lateral @extschema@.quote_history_columns(h.name::text) k
    where (pg_get_userbyid(c.relowner) = owner or @extschema@.quote_owner_trusted(c.relowner))
        and not exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = k.column_name and not a.attisdropped)
    group by c.oid, c.relname
$$;
comment on function quote_columns_missing(name, name) is 'tables of a history that lack columns, and what is to be done';
create or replace function quote_log_repairs(log regclass, out problems text, out repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(f.problem, ', '), string_agg(f.repair, ' ') from (
        select format('%s is unlogged', c.oid::regclass), format('alter table %s set logged;', c.oid::regclass)
        from pg_partition_tree(log) p join pg_class c on c.oid = p.relid where c.relpersistence = 'u'
        union all
        select format('%s belongs to %I', c.oid::regclass, pg_get_userbyid(c.relowner)), format('alter table %s owner to %I;', c.oid::regclass, pg_get_userbyid(l.relowner))
        from pg_class l, pg_partition_tree(log) p join pg_class c on c.oid = p.relid where l.oid = log and c.relowner <> l.relowner
        union all
        select 'no index serves the history of a quote', format('create index on %s (quote_id, position) with (deduplicate_items = off);', log)
        where not exists (
            select from pg_index i where i.indrelid = log and i.indisvalid and i.indnkeyatts >= 2 and i.indpred is null
                and (select array_agg(a.attname order by k.place) from unnest(i.indkey::smallint[]) with ordinality k (attnum, place)
                    join pg_attribute a on (a.attrelid, a.attnum) = (log, k.attnum) where k.place <= 2) = '{quote_id,position}'::name[])
        union all
        select 'no index serves spans of time', format('create index on %s using brin (changed_at);', log)
        where not exists (select from pg_index i join pg_attribute a on (a.attrelid, a.attnum) = (log, i.indkey[0])
            where i.indrelid = log and i.indisvalid and i.indpred is null and a.attname = 'changed_at')
        union all
        select format('it lacks %s', m.names), m.repair from pg_class l join pg_namespace n on n.oid = l.relnamespace
        cross join lateral @extschema@.quote_columns_missing(n.nspname, pg_get_userbyid(l.relowner)) m where l.oid = log and m.relation = log
        union all
        select * from @extschema@.quote_log_constraints(log)) f (problem, repair)
$$;
create or replace function quote_collab_doctor_history(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    log regclass := (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = target_schema and c.relname = 'quote_changes');
    partitions name[] := array(select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = log);
    next_month timestamptz := @extschema@.quote_changes_month(@extschema@.quote_changes_month(now()) + interval '32 days');
    keep record;
    found record;
    copy regclass;
    locks bigint;
begin
    return next @extschema@.quote_collab_verdict('audit log present', log is not null, 'error', 'quote_changes is gone', null);
    if log is null then
        return;
    end if;
    return next @extschema@.quote_collab_verdict('partition of this month', @extschema@.quote_month_stands(log, now()), 'error',
        'rows go to the default partition', @extschema@.quote_month_statement(log, now()));
    return next @extschema@.quote_collab_verdict('partition of next month', @extschema@.quote_month_stands(log, next_month), 'warning',
        'nobody creates partitions ahead: the library is not preloaded and no cron calls maintenance, or the server''s log says what keeps it from it',
        @extschema@.quote_month_statement(log, next_month));
    return next @extschema@.quote_collab_verdict('default partition present', @extschema@.quote_changes_spare(log) is not null, 'error',
        'a change of a month without a partition is refused, and the save with it', null);
    select count(distinct i.inhrelid) + count(x.indexrelid) into locks from pg_inherits i left join pg_index x on x.indrelid = i.inhrelid
    where i.inhparent in (select a.oid from pg_class l join pg_class a on a.relnamespace = l.relnamespace
        where l.oid = log and a.relname in ('quote_changes', 'quote_changes_archive'));
    return next @extschema@.quote_collab_verdict('locks suffice for the history', locks <= 4 * current_setting('max_locks_per_transaction')::integer, 'warning',
        format('whoever reads a page of the history locks %s tables and indexes: where a quarter of all sessions do so at once, PostgreSQL may be out of shared memory', locks),
        format('alter system set max_locks_per_transaction = %s; then restart. Or keep fewer months: archive_after and drop_after.', (locks + 255) / 256 * 128));
    select * into found from @extschema@.quote_log_repairs(log);
    return next @extschema@.quote_collab_verdict('log as attached', found.problems is null, 'error', found.problems, found.repair);
    select string_agg(format('%s lacks %s', m.relation, m.names), '; ') as names, string_agg(m.repair, ' ') as repair into found
    from @extschema@.quote_columns_missing(target_schema, null) m where m.relation <> log;
    return next @extschema@.quote_collab_verdict('tables beside the log as attached', found.names is null, 'error', found.names, found.repair);
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
        concat('archived history is kept although drop_after lets it go: it is not as it was sealed, or something depends on it',
            ': ' || (select string_agg(d.name, ', ') from @extschema@.quote_archive_dependents(target_schema) d (name))),
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
-- Whatever default privileges gave of what this release made.
select @extschema@.close_quote_extension();
