-- The event feed by snapshot difference (the algorithm of PgQ): a batch is what is visible in cur and was not in prev.
-- Nothing is lost when transactions commit out of order, nothing repeats, and per row the order is version order.

-- What is over at this moment, as readers of the feed count: the caller's own transaction is not, whatever PostgreSQL's snapshot
-- says of it; whoever has a number below xmax is named when he is still running, and nobody has one from xmax on. That it stays so
-- after a crash is the caller's affair. SQLSTATE 55000 on a standby, whose snapshots do not say what is running.
create function quote_feed_snapshot() returns pg_snapshot
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
comment on function quote_feed_snapshot() is 'snapshot of the event feed: what is over';

-- Which log this is: a history that came back in a dump is in another than before, and what others recorded meanwhile is in it.
create function quote_log_identity() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = @extschema@.quote_collab_home() and c.relname = 'quote_changes');
end $$;
comment on function quote_log_identity() is 'oid of the audit log';

-- Which log of which database: a copy of the database in this cluster has a log of the same oid, and what was recorded since is in one of the two.
create function quote_log_address() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return format('%s.%s', split_part(@extschema@.quote_database_identity(), '/', 2), @extschema@.quote_log_identity());
end $$;
comment on function quote_log_address() is 'oids of this database and of the audit log, as cursors name them';

-- Cursor as text: version, cluster, log, timeline, the byte of the write-ahead log by which all was written that the cursor counts as
-- over, the number of what had left the log by prev, or by cur, prev, time of prev, floor, and while a batch is being read its cur, time of cur and the last position handed out.
-- Those of earlier releases say less: the log without its database, version 3 no such number, version 2 not which log, version 1 neither timeline nor byte.
create function quote_events_cursor() returns text
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
comment on function quote_events_cursor() is 'cursor that stands at now: quote_events_since gives what commits from here on';

-- A parsed cursor. floor_at: no change that is still to be read was made before, save for steps of the clock. timeline, reached: where
-- the newer of its snapshots was taken, log: of which log, cut: the number of what had left it by the newer of its snapshots, null when unknown.
create type @extschema@.quote_cursor as (
    origin bigint, prev pg_snapshot, prev_at numeric, floor_at numeric, cur pg_snapshot, cur_at numeric, position bigint,
    timeline integer, reached bigint, log text, cut bigint
);
comment on type @extschema@.quote_cursor is 'place in the event feed';

-- Of null, the beginning. SQLSTATE 22023 when it is malformed.
create function parse_quote_cursor(cursor text) returns quote_cursor
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    part text[] := string_to_array(cursor, '/');
    place text[];
    parsed @extschema@.quote_cursor;
begin
    if cursor is null then
        return row(@extschema@.quote_cluster_identifier(), '3:3:'::pg_snapshot, 0, 0, null, null, null, null, null, null,
            @extschema@.quote_log_cut(null::pg_snapshot))::@extschema@.quote_cursor;
    end if;
    if part[1] = '4' then
        place := part[3:6];
        part := part[1:2] || part[7:];
    elsif part[1] = '3' then
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
        part[6]::pg_snapshot, part[7]::numeric, part[8]::bigint, place[2]::integer, place[3]::bigint, place[1],
        place[4]::bigint)::@extschema@.quote_cursor;
    -- Times that are none, or that no timestamp holds; and no number of a cut.
    if not (parsed.prev_at between 0 and 1e11 and parsed.floor_at between 0 and 1e11 and coalesce(parsed.cur_at, 0) between 0 and 1e11
            and coalesce(parsed.cut, 0) >= 0) then
        raise invalid_text_representation;
    end if;
    return parsed;
exception when data_exception then
    raise exception 'the cursor is malformed' using errcode = 'invalid_parameter_value',
        detail = 'It is not as the feed writes cursors.', hint = 'Pass a cursor that quote_events_since or quote_events_cursor gave.';
end $$;
comment on function parse_quote_cursor(text) is 'reads a cursor; 22023 when malformed';

-- Refuses a cursor that counts on what this log does not hold: SQLSTATE QC001.
create function require_quote_cursor(cursor quote_cursor) returns void
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
comment on function require_quote_cursor(quote_cursor) is 'refuses a cursor of another cluster, or of what this one lost or has archived';

-- A transaction that looks at the database as it was cannot read behind a cursor that was made since: what it does not see yet would
-- be passed over. SQLSTATE 55000.
create function require_quote_cursor_seen(c quote_cursor) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seen pg_snapshot := pg_current_snapshot();
    counted pg_snapshot := coalesce(c.cur, c.prev);
begin
    if current_setting('transaction_isolation') <> 'read committed' and exists (
            select from (select x from pg_snapshot_xip(seen) x
                union all select n::text::xid8 from generate_series(pg_snapshot_xmax(seen)::text::bigint, pg_snapshot_xmax(counted)::text::bigint - 1) n) r (xid)
            where pg_visible_in_snapshot(r.xid, counted)) then
        raise exception 'the cursor is newer than this transaction' using errcode = 'object_not_in_prerequisite_state',
            detail = 'It counts on transactions that this one, by its snapshot, does not see.',
            hint = 'Read the event feed in a transaction of its own, or in read committed.';
    end if;
end $$;
comment on function require_quote_cursor_seen(quote_cursor) is 'refuses a cursor that is newer than the transaction';

-- The next events after a cursor, oldest first, each with the cursor behind it. Without a cursor: from the beginning of
-- the log. Under the caller's rights and row security. At most max events; call again with the last cursor.
create type @extschema@.quote_event as (cursor text, event jsonb);
comment on type @extschema@.quote_event is 'an event and the cursor behind it';

create function quote_events_since(cursor text, max integer default 100) returns setof quote_event
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
comment on function quote_events_since(text, integer) is 'events behind a cursor, for anyone, under row security';

-- The cursor at the end of a batch. The lowest transaction still to come was unassigned when prev was taken, unless it
-- was running then already: only in that case the old floor stays.
create function next_quote_cursor(c quote_cursor) returns quote_cursor
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select row(c.origin, c.cur, c.cur_at,
        case when pg_snapshot_xmin(c.cur) >= pg_snapshot_xmax(c.prev) then c.prev_at else c.floor_at end,
        null, null, null, c.timeline, c.reached, c.log, c.cut)::@extschema@.quote_cursor
$$;
comment on function next_quote_cursor(quote_cursor) is 'cursor behind a batch that is read to its end';

-- The events of some rows c of the log, as the view of events has them, as JSON text that is left open for the name of the author: jsonb would copy
-- each value once for every level that it comes to stand in. Not of the view, which is its owner's to redefine.
create function quote_event_texts_query(condition text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return format($query$
        select position, changed_by, concat('{"position":', position, ',"event_id":"', event_id, '","tenant_id":"', tenant_id, '","quote_id":"', quote_id,
            '","line_id":', coalesce('"' || quote_line_id::text || '"', 'null'), ',"entity":', to_json(entity_type), ',"operation":', to_json(change_type),
            ',"actor":', coalesce('"' || changed_by::text || '"', 'null'), ',"at":', to_json(changed_at),
            ',"session_id":', coalesce('"' || session_id::text || '"', 'null'),
            ',"version_before":', coalesce(entity_version_before::text, 'null'), ',"version_after":', coalesce(entity_version_after::text, 'null'),
            ',"context":', coalesce((array_agg(context) filter (where context is not null))[1]::text, 'null'),
            ',"truncated":', to_json(bool_or(size > %3$s)), ',"fields":[', string_agg(concat('{"field":', to_json(field_name), case when size <= %3$s
                then concat(',"old":', coalesce(old_value::text, 'null'), ',"new":', coalesce(new_value::text, 'null')) end, '}'), ',' order by id), ']') as event
        from (
            select c.*, sum(coalesce(@extschema@.quote_value_size(old_value), 0) + coalesce(@extschema@.quote_value_size(new_value), 0)) over (
                partition by position, event_id) as size
            from %1$I.quote_changes c
            where %2$s and conflict_resolution is distinct from 'REJECTED') c
        group by position, event_id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, xid, origin,
                 entity_type, change_type, session_id, entity_version_before, entity_version_after$query$, @extschema@.quote_collab_home(), condition, @extschema@.quote_event_limit());
end $$;
comment on function quote_event_texts_query(text) is 'query of the events of some rows of the audit log, as text that lacks its end';

-- How the events of a batch are read, oldest first, as JSON text: those that a query places are put together, so that a large batch is not put
-- together for each of its pieces. $1 prev, $2 cur, $3 behind this position, $4 origin, $5 no change was made before, $6 nor at or after, $7
-- at most so many.
create function quote_events_query(places text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    author record;
begin
    select * into author from @extschema@.quote_user_join('v.changed_by');
    return format($query$
        select v.position, concat(v.event, ',"actor_name":', coalesce(to_json(%2$s)::text, 'null'), '}') as event
        from (%1$s) p
        cross join lateral (%4$s offset 0) v %3$s
        order by v.position$query$, places, author.name_expression, author.join_clause, @extschema@.quote_event_texts_query(
            'c.xid = p.xid and c.position = p.position and c.origin = $4 and c.changed_at >= $5 and c.changed_at < $6'::text));
end $$;
comment on function quote_events_query(text) is 'query for the events at some places of the feed';

-- The first events of a batch, from two ranges of the feed index: transactions that were running in prev and those since. The sum keeps the
-- planner from the index by quote, where positions tell nothing.
create function quote_batch_query() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return @extschema@.quote_events_query(format($query$
        select c.xid, c.position from (
            select c.xid, c.position, c.conflict_resolution, c.origin, c.changed_at from %1$I.quote_changes c
            where c.xid = any (array(select pg_snapshot_xip($1)))
            union all
            select c.xid, c.position, c.conflict_resolution, c.origin, c.changed_at from %1$I.quote_changes c
            where c.xid >= pg_snapshot_xmax($1) and c.xid < pg_snapshot_xmax($2)) c
        where pg_visible_in_snapshot(c.xid, $2) and c.position + 0 > $3 and c.origin = $4 and c.changed_at >= $5 and c.changed_at < $6
            and c.conflict_resolution is distinct from 'REJECTED'
        group by c.xid, c.position order by c.position limit $7$query$, @extschema@.quote_collab_home()));
end $$;
comment on function quote_batch_query() is 'query for the first events of a batch of the feed';

-- The events of a batch behind others, transaction by transaction: what one of them wrote is in order in the feed index, so that a piece of
-- one that changed millions of rows costs what a piece costs, and not a walk over all that is left.
create function quote_batch_rest_query() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return @extschema@.quote_events_query(format($query$
        select t.xid, c.position from (
            select pg_snapshot_xip($1) union all
            select n::text::xid8 from generate_series(pg_snapshot_xmax($1)::text::bigint, pg_snapshot_xmax($2)::text::bigint - 1) n) t (xid)
        cross join lateral (
            select distinct x.position from %1$I.quote_changes x
            where x.xid = t.xid and x.position > $3 and x.origin = $4 and x.changed_at >= $5 and x.changed_at < $6
                and x.conflict_resolution is distinct from 'REJECTED'
            order by x.position limit $7) c
        where pg_visible_in_snapshot(t.xid, $2)
        order by c.position limit $7$query$, @extschema@.quote_collab_home()));
end $$;
comment on function quote_batch_rest_query() is 'query for the events of a batch of the feed that come behind others';

create function read_quote_events(c quote_cursor, max integer) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
begin
    return query execute format($query$
        select concat_ws('/', $11, $1, $8, $9, $2, $10, e.position), e.event::jsonb from (%s) e order by e.position$query$,
        case when c.position > 0 and @extschema@.quote_batch_has_few(c.prev, c.cur)
            then @extschema@.quote_batch_rest_query() else @extschema@.quote_batch_query() end)
    using c.prev, c.cur, c.position, c.origin, to_timestamp(c.floor_at) - interval '24 hours', 'infinity'::timestamptz, max, c.prev_at, c.floor_at, c.cur_at,
        concat_ws('/', case when c.timeline is null then '1' when c.log is null then '2' when c.cut is null then '3' else '4' end,
            c.origin, c.log, c.timeline, c.reached, c.cut);
end $$;
comment on function read_quote_events(quote_cursor, integer) is 'events of one batch of the feed';
