-- From 0.5.0 to 0.6.0.
create or replace function quote_cluster_identifier() returns bigint
strict stable parallel safe language c
as 'MODULE_PATHNAME', 'quote_cluster_identifier_wrapper';
create or replace function quote_feed_timeline() returns integer
strict stable parallel safe language c
as 'MODULE_PATHNAME', 'quote_feed_timeline_wrapper';
comment on function quote_feed_timeline() is 'timeline that this server writes or follows';
create function quote_log_end(log oid) returns timestamptz
strict stable parallel safe language c
as 'MODULE_PATHNAME', 'quote_log_end_wrapper';
comment on function quote_log_end(oid) is 'end of the newest month of a log that holds anything, infinity where there is no end';
revoke execute on function quote_log_end(oid) from public;
alter type @extschema@.quote_cursor add attribute log text;
create or replace function quote_collab_home() returns name
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- All pairs have the same; where there is none, the second says so.
    return coalesce((select s.log_schema from @extschema@.quote_collab_settings s where s.entity = 'QUOTE' limit 1),
        (@extschema@.quote_collab_target('QUOTE')).log_schema);
end $$;
create function quote_kept_query(writer oid) returns text
strict language c as 'MODULE_PATHNAME', 'quote_kept_query';
comment on function quote_kept_query(oid) is 'text of a query that is worked out once in a session, until a catalog changes';
revoke execute on function quote_kept_query(oid) from public;
create function quote_settings_changed() returns trigger
language c as 'MODULE_PATHNAME', 'quote_settings_changed';
comment on function quote_settings_changed() is 'after-statement trigger: tells all sessions that what they keep of the settings is over';
revoke execute on function quote_settings_changed() from public;
create function quote_log_identity() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = @extschema@.quote_collab_home() and c.relname = 'quote_changes');
end $$;
comment on function quote_log_identity() is 'oid of the audit log';
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
    return concat_ws('/', '3', @extschema@.quote_cluster_identifier(), @extschema@.quote_log_identity(), @extschema@.quote_feed_timeline(),
        pg_current_wal_flush_lsn() - '0/0'::pg_lsn, seen, now_at,
        case when pg_snapshot_xmin(seen) = pg_snapshot_xmax(seen) then now_at else 0 end);
end $$;
create or replace function parse_quote_cursor(cursor text) returns quote_cursor
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    part text[] := string_to_array(cursor, '/');
    place text[];
    parsed @extschema@.quote_cursor;
    newest pg_snapshot;
    here integer;
    ahead bigint;
begin
    if cursor is null then
        return row(@extschema@.quote_cluster_identifier(), '3:3:'::pg_snapshot, 0, 0, null, null, null, null, null, null)::@extschema@.quote_cursor;
    end if;
    begin
        if part[1] = '3' then
            place := part[3:5];
            part := part[1:2] || part[6:];
        elsif part[1] = '2' then
            place := null::text || part[3:4];
            part := part[1:2] || part[5:];
        elsif part[1] <> '1' then
            raise invalid_text_representation;
        end if;
        if cardinality(part) not in (5, 8) then
            raise invalid_text_representation;
        end if;
        parsed := row(part[2]::bigint, part[3]::pg_snapshot, part[4]::numeric, part[5]::numeric,
            part[6]::pg_snapshot, part[7]::numeric, part[8]::bigint, place[2]::integer, place[3]::bigint, place[1])::@extschema@.quote_cursor;
        -- Times that are none, or that no timestamp holds.
        if not (parsed.prev_at between 0 and 1e11 and parsed.floor_at between 0 and 1e11 and coalesce(parsed.cur_at, 0) between 0 and 1e11) then
            raise invalid_text_representation;
        end if;
    exception when data_exception then
        raise exception 'the cursor is malformed' using errcode = 'invalid_parameter_value',
            hint = 'Pass a cursor that quote_events_since or quote_events_cursor gave.';
    end;
    if parsed.origin <> @extschema@.quote_cluster_identifier() then
        raise exception 'the cursor is no longer known' using errcode = 'QC001',
            detail = 'It was given by another cluster.', hint = 'Read the quotes again and start with quote_events_cursor().';
    end if;
    if parsed.log <> @extschema@.quote_log_identity() then
        raise exception 'the cursor is no longer known' using errcode = 'QC001',
            detail = 'It was given before this history came out of a dump.', hint = 'Read the quotes again and start with quote_events_cursor().';
    end if;
    -- After a failover others get the numbers of what was lost. Where this server left the timeline of the cursor behind all that the
    -- cursor counts as over, nothing of that is lost. A file has to be read for it, so only where the timelines differ.
    here := @extschema@.quote_feed_timeline();
    if parsed.timeline <> here and (parsed.reached <= @extschema@.quote_timeline_end(here, parsed.timeline)) is not true then
        raise exception 'the cursor is no longer known' using errcode = 'QC001',
            detail = 'It counts on what this cluster lost in a failover.', hint = 'Read the quotes again and start with quote_events_cursor().';
    end if;
    newest := coalesce(parsed.cur, parsed.prev);
    ahead := pg_snapshot_xmax(newest)::text::bigint - @extschema@.next_quote_transaction();
    if ahead > 0 then
        -- Where the timeline shows that nothing is lost, only numbers can be ahead whose owners were running and had written nothing.
        if parsed.timeline is null or ahead > (select count(*) from pg_snapshot_xip(newest) x
                where x::text::bigint >= pg_snapshot_xmax(newest)::text::bigint - ahead) then
            raise exception 'the cursor is no longer known' using errcode = 'QC001',
                detail = 'It is ahead of this cluster, which lost its end in a failover.', hint = 'Read the quotes again and start with quote_events_cursor().';
        end if;
    end if;
    return parsed;
end $$;
create or replace function quote_events_since(cursor text, max integer default 100) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seen pg_snapshot := @extschema@.quote_feed_snapshot();
    c @extschema@.quote_cursor := @extschema@.parse_quote_cursor(cursor);
    given integer := 0;
    got integer;
begin
    if max is null or max not between 1 and 10000 then
        raise exception 'max must be between 1 and 10000' using errcode = 'invalid_parameter_value';
    end if;
    perform @extschema@.require_quote_cursor_seen(c), @extschema@.flush_quote_feed();
    loop
        if c.cur is null then
            exit when c.prev::text = seen::text;
            -- The clock may have been set back since: changes were then made before the floor.
            c := row(c.origin, c.prev, c.prev_at, least(c.floor_at, extract(epoch from clock_timestamp())), seen,
                extract(epoch from clock_timestamp()), 0, @extschema@.quote_feed_timeline(),
                pg_current_wal_flush_lsn() - '0/0'::pg_lsn, @extschema@.quote_log_identity())::@extschema@.quote_cursor;
        end if;
        return query select * from @extschema@.read_quote_events(c, max - given);
        get diagnostics got = row_count;
        given := given + got;
        -- A batch begun at its first event is the newest there is; one begun in the middle has newer ones behind it.
        exit when given >= max or c.position = 0;
        c := @extschema@.next_quote_cursor(c);
    end loop;
end $$;
create or replace function next_quote_cursor(c quote_cursor) returns quote_cursor
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select row(c.origin, c.cur, c.cur_at,
        case when pg_snapshot_xmin(c.cur) >= pg_snapshot_xmax(c.prev) then c.prev_at else c.floor_at end,
        null, null, null, c.timeline, c.reached, c.log)::@extschema@.quote_cursor
$$;
create or replace function quote_batch_query() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    author record;
begin
    select * into author from @extschema@.quote_user_join('v.changed_by');
    return format($query$
        select v.position, v.event || jsonb_build_object('actor_name', %2$s) as event
        from (
            select c.xid, c.position from (
                select c.xid, c.position, c.conflict_resolution, c.origin, c.changed_at from %1$I.quote_changes c
                where c.xid = any (array(select pg_snapshot_xip($1)))
                union all
                select c.xid, c.position, c.conflict_resolution, c.origin, c.changed_at from %1$I.quote_changes c
                where c.xid >= pg_snapshot_xmax($1) and c.xid < pg_snapshot_xmax($2)) c
            where pg_visible_in_snapshot(c.xid, $2) and c.position > $3 and c.origin = $4 and c.changed_at >= $5 and c.changed_at < $6
                and c.conflict_resolution is distinct from 'REJECTED'
            group by c.xid, c.position order by c.position limit $7) p
        cross join lateral (
            select w.* from (%4$s) w
            where w.xid = p.xid and w.position = p.position and w.origin = $4 and w.changed_at >= $5 and w.changed_at < $6 offset 0) v %3$s
        order by v.position$query$, home, author.name_expression, author.join_clause,
        @extschema@.quote_change_events_query(home));
end $$;
create or replace function read_quote_events(c quote_cursor, max integer) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
begin
    return query execute format($query$
        select concat_ws('/', $11, $1, $8, $9, $2, $10, e.position), e.event from (%s) e order by e.position$query$,
        @extschema@.quote_batch_query())
    using c.prev, c.cur, c.position, c.origin, to_timestamp(c.floor_at) - interval '1 day', 'infinity'::timestamptz, max, c.prev_at, c.floor_at, c.cur_at,
        concat_ws('/', case when c.timeline is null then '1' when c.log is null then '2' else '3' end, c.origin, c.log, c.timeline, c.reached);
end $$;
create or replace function quote_relay_identity(out system_identifier text, out timeline integer)
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select @extschema@.quote_cluster_identifier()::text, @extschema@.quote_feed_timeline() $$;
create function quote_relay_state_query() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return format('select l.epoch = $1, b.no, b.prev, b.cur, b.prev_at, b.cur_at, b.floor_at, b.origin, b.xmin
        from %1$I.quote_relay_lease l cross join %1$I.quote_relay_batch b order by b.no desc limit 1', @extschema@.quote_collab_home());
end $$;
comment on function quote_relay_state_query() is 'query for the newest batch, and whether the lease is held';
create function quote_relay_events_query() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return format('select e.position, e.event::text, e.size, e.has_next
        from (select r.*, pg_column_size(r.event) as size, sum(pg_column_size(r.event)) over reading as read, lead(true, 1, false) over reading as has_next
            from (%s) r window reading as (rows unbounded preceding)) e
        where e.read <= $8 or e.read = e.size', @extschema@.quote_batch_query());
end $$;
comment on function quote_relay_events_query() is 'query for the first events of a batch, within a number of bytes';
create function quote_relay_batch_insertion() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return format('insert into %1$I.quote_relay_batch (no, prev, cur, prev_at, cur_at, floor_at, origin) select $2, $3, $4, $5, clock_timestamp(), $6, $7
        from (select from %1$I.quote_relay_lease l where l.epoch = $1 for update) held returning no', @extschema@.quote_collab_home());
end $$;
comment on function quote_relay_batch_insertion() is 'statement that closes a batch, if the lease is held';
create function refuse_lost_quote_lease() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'the relay''s lease is lost' using errcode = 'object_not_in_prerequisite_state',
        hint = 'Another relay has taken over; take the lease again before you go on.';
end $$;
comment on function refuse_lost_quote_lease() is 'SQLSTATE 55000: another relay has taken over';
create function quote_relay_next_batch(epoch bigint, known bigint, system_identifier text, timeline integer, max integer, max_bytes bigint)
returns table (batch bigint, "position" bigint, event text, size integer, has_next boolean)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    here bigint := @extschema@.quote_cluster_identifier();
    log oid;
    last record;
    prev pg_snapshot;
    cur pg_snapshot;
    prev_at timestamptz;
    floor_at timestamptz;
begin
    perform set_config('synchronous_commit', 'on', true);
    select r.* into last from @extschema@.quote_prepared_rows(
        @extschema@.quote_kept_query('@extschema@.quote_relay_state_query()'::regprocedure::oid), row(epoch))
        r (held boolean, no bigint, prev pg_snapshot, cur pg_snapshot, prev_at timestamptz, cur_at timestamptz, floor_at timestamptz, origin bigint, writer xid);
    if here::text <> system_identifier or @extschema@.quote_feed_timeline() <> timeline or last.no < known then
        raise exception 'the log has another history' using errcode = 'QC001',
            hint = 'Take the lease again, and find out where to go on.';
    end if;
    if last.held is not true then
        perform @extschema@.refuse_lost_quote_lease();
    end if;
    prev := last.cur;
    prev_at := last.cur_at;
    -- The clock may have been set back since: changes were then made before the floor.
    floor_at := least(case when pg_snapshot_xmin(prev) >= pg_snapshot_xmax(last.prev) then last.prev_at else last.floor_at end, clock_timestamp());
    if last.origin <> here then
        prev := @extschema@.quote_snapshot_before(last.writer);
        prev_at := '-infinity';
        floor_at := '-infinity';
    end if;
    cur := @extschema@.quote_feed_snapshot();
    if cur::text = prev::text then
        return;
    end if;
    log := @extschema@.quote_kept_query('@extschema@.quote_log_identity()'::regprocedure::oid)::oid;
    return query select last.no + 1, r.* from @extschema@.quote_prepared_rows(
        @extschema@.quote_kept_query('@extschema@.quote_relay_events_query()'::regprocedure::oid),
        row(prev, cur, 0::bigint, here, floor_at - interval '1 day', @extschema@.quote_log_end(log), max, max_bytes))
        r ("position" bigint, event text, size integer, has_next boolean);
    if found and not exists (
            select from @extschema@.quote_prepared_rows(
                @extschema@.quote_kept_query('@extschema@.quote_relay_batch_insertion()'::regprocedure::oid),
                row(epoch, last.no + 1, prev, cur, prev_at, floor_at, here)) r (no bigint)) then
        perform @extschema@.refuse_lost_quote_lease();
    end if;
end $$;
comment on function quote_relay_next_batch(bigint, bigint, text, integer, integer, bigint) is 'closes the next batch of the event feed and gives its first events';
create or replace function quote_relay_open_batch(epoch bigint) returns bigint
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    select n.batch from @extschema@.quote_relay_identity() i
    cross join @extschema@.quote_relay_next_batch(epoch, 0::bigint, i.system_identifier, i.timeline, 1::integer, 0::bigint) n
$$;
comment on function quote_relay_open_batch(bigint) is 'closes the next batch of the event feed';
create or replace function quote_relay_read(batch bigint, after_position bigint, max integer) returns table ("position" bigint, event jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    b record;
begin
    select r.* into b from @extschema@.quote_prepared_rows(
        format('select b.prev, b.cur, b.origin, b.floor_at from %s b where b.no = $1', @extschema@.quote_relay_table('quote_relay_batch')), row(batch))
        r (prev pg_snapshot, cur pg_snapshot, origin bigint, floor_at timestamptz);
    if found then
        return query select r."position", r.event from @extschema@.quote_prepared_rows(
            @extschema@.quote_kept_query('@extschema@.quote_batch_query()'::regprocedure::oid),
            row(b.prev, b.cur, after_position, b.origin, b.floor_at - interval '1 day', 'infinity'::timestamptz, max)) r ("position" bigint, event jsonb);
    end if;
end $$;
create or replace function quote_gateway_functions() returns setof regprocedure
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    values ('@extschema@.cleanup_stale_quote_sessions()'::regprocedure),
        ('@extschema@.quote_collab_maintenance()'::regprocedure),
        ('@extschema@.quote_presence_snapshot()'::regprocedure),
        ('@extschema@.quote_relay_identity()'::regprocedure),
        ('@extschema@.quote_relay_lease(text, interval)'::regprocedure),
        ('@extschema@.quote_relay_next_batch(bigint, bigint, text, integer, integer, bigint)'::regprocedure),
        ('@extschema@.quote_relay_open_batch(bigint)'::regprocedure),
        ('@extschema@.quote_relay_last_batch()'::regprocedure),
        ('@extschema@.quote_relay_first_batch()'::regprocedure),
        ('@extschema@.quote_relay_read(bigint, bigint, integer)'::regprocedure),
        ('@extschema@.quote_relay_checkpoint(bigint, bigint, bigint, bigint)'::regprocedure),
        ('@extschema@.quote_relay_position()'::regprocedure),
        ('@extschema@.quote_events_between(uuid, bigint, bigint, bigint, bigint, integer)'::regprocedure)
$$;

create trigger quote_settings_changed after insert or update or delete or truncate on @extschema@.quote_collab_settings
for each statement execute function @extschema@.quote_settings_changed();
alter table @extschema@.quote_collab_settings enable always trigger quote_settings_changed;
comment on trigger quote_settings_changed on @extschema@.quote_collab_settings is 'what sessions keep of the settings ends with them';
revoke execute on function quote_relay_next_batch(bigint, bigint, text, integer, integer, bigint) from public;
-- Whoever runs a gateway runs it on.
do $$
declare
    role name;
begin
    for role in select pg_catalog.pg_get_userbyid(acl.grantee) from pg_catalog.pg_proc p cross join lateral pg_catalog.aclexplode(p.proacl) acl
        where p.oid operator(pg_catalog.=) '@extschema@.quote_relay_open_batch(bigint)'::pg_catalog.regprocedure and acl.grantee operator(pg_catalog.<>) p.proowner
            and acl.grantee operator(pg_catalog.<>) 0::pg_catalog.oid
    loop
        execute pg_catalog.format('grant execute on function @extschema@.quote_relay_next_batch(bigint, bigint, text, integer, integer, bigint) to %I', role);
    end loop;
end $$;
