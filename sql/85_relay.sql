-- What the relay of the gateway calls. Revoked from PUBLIC; these functions see every tenant.
-- Each query names the time from which on it can concern anything, a day earlier than the batches say in case the clock was set: the
-- planner then sees the partitions since, however many months there were. Sequential and bitmap scans are off where the log is read:
-- a log without statistics must not tempt the planner; and what that costs on paper must not bring in the JIT compiler.
create function quote_relay_table(name text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$ begin return format('%I.%I', @extschema@.quote_collab_home(), name); end $$;
comment on function quote_relay_table(text) is 'quoted name of a table beside the audit log';

create function quote_relay_identity(out system_identifier text, out timeline integer)
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select @extschema@.quote_database_identity(), @extschema@.quote_feed_timeline() $$;
comment on function quote_relay_identity() is 'which database and timeline this is';

-- Takes or renews the lease; the epoch when holder has it now, null while another has. The lease saves work; what keeps
-- two relays from harming each other is the fence in the stream. A lease that ends far ahead is nobody's: a clock was set back since.
create function quote_relay_lease(holder text, ttl interval) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    granted bigint;
    stands boolean;
begin
    perform @extschema@.require_quote_home('{quote_relay_lease}'::text[]);
    execute format('update %s l set holder = $1, expires_at = clock_timestamp() + $2,
            epoch = case when l.holder = $1 then l.epoch else l.epoch + 1 end
        where l.holder = $1 or l.expires_at not between clock_timestamp() and clock_timestamp() + greatest(10 * $2, interval ''1 minute'') returning l.epoch', @extschema@.quote_relay_table('quote_relay_lease'))
    into granted using holder, ttl;
    if granted is null then
        execute format('select exists (select from %s)', @extschema@.quote_relay_table('quote_relay_lease')) into stands;
        if not stands then
            raise exception 'the lease of the relay is gone' using errcode = 'object_not_in_prerequisite_state',
                detail = format('Table %s is empty, so that no relay can lead.', @extschema@.quote_relay_table('quote_relay_lease')),
                hint = 'Run attach_quote_collaboration() again.';
        end if;
    end if;
    return granted;
end $$;
comment on function quote_relay_lease(text, interval) is 'takes or renews the relay''s lease';

-- What was over before a transaction of this cluster that a row of the chain or of the batches names as its writer (xmin, which stays what
-- it is when the row is frozen). Where the row came with a dump, its writer is the restore: every transaction that the dump tells
-- of had ended, on whichever cluster, and no writer of what is restored has begun.
create function quote_snapshot_before(writer xid) returns pg_snapshot
language sql
set search_path = pg_catalog, pg_temp
as $$
    select format('%1$s:%1$s:', greatest(n.newest - (n.newest - writer::text::bigint & 4294967295), 3))::pg_snapshot
    from (select @extschema@.next_quote_transaction() - 1) n (newest)
$$;
comment on function quote_snapshot_before(xid) is 'what was over before a transaction';

-- The queries of a look at the log, each planned once in a session, and its text kept: $1 is the epoch of the lease. That the tables are those of
-- attach is found out when the text is worked out, and again as soon as a catalog changes.
create function quote_relay_state_query() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_relay_batch,quote_relay_lease}'::text[]);
    return format('select l.epoch = $1, b.no, b.prev, b.cur, b.prev_at, b.cur_at, b.floor_at, b.origin, b.xmin
        from %1$I.quote_relay_lease l left join lateral (select n.*, n.xmin from %1$I.quote_relay_batch n order by n.no desc limit 1) b on true', @extschema@.quote_collab_home());
end $$;
comment on function quote_relay_state_query() is 'query for the newest batch, and whether the lease is held';

-- Events of a batch, $8: as long as all of them are no larger than so many bytes; the first one comes at any rate. Each tells whether
-- another follows that was looked at: behind the last of as many as were asked for there may be more.
create function quote_relay_events_query() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return format('select e.position, e.event, e.size, e.has_next
        from (select r.*, octet_length(r.event) as size, sum(octet_length(r.event)) over reading as read, lead(true, 1, false) over reading as has_next
            from (%s) r window reading as (rows unbounded preceding)) e
        where e.read <= $8 or e.read = e.size', @extschema@.quote_batch_query());
end $$;
comment on function quote_relay_events_query() is 'query for the first events of a batch, within a number of bytes';

-- A query over the log as one over some of its months, where they are known: PostgreSQL locks whatever a query that is planned once names,
-- and whoever rewrites a month of years ago must not hold up what is told now.
create function quote_query_of_months(whole text, log oid, months oid[]) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    rows_of text := months[1]::regclass;
begin
    if rows_of is null then
        return whole;
    elsif cardinality(months) > 1 then
        names := (select string_agg(quote_ident(h.column_name), ', ') from @extschema@.quote_history_columns('quote_changes'::text) h);
        rows_of := (select '(' || string_agg(format('select %s from %s', names, m.month::regclass), ' union all ' order by m.place) || ')'
            from unnest(months) with ordinality m (month, place));
    end if;
    return replace(whole, format(' from %s ', log::regclass), format(' from %s ', rows_of));
end $$;
comment on function quote_query_of_months(text, oid, oid[]) is 'a query over an audit log as one over some of its months';

-- Locks the lease, which another relay may be taking.
create function quote_relay_batch_insertion() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return format('insert into %1$I.quote_relay_batch (no, prev, cur, prev_at, cur_at, floor_at, origin) select $2, $3, $4, $5, coalesce($8, clock_timestamp()), $6, $7
        from (select from %1$I.quote_relay_lease l where l.epoch = $1 for update) held returning no', @extschema@.quote_collab_home());
end $$;
comment on function quote_relay_batch_insertion() is 'statement that closes a batch, if the lease is held';

create function refuse_lost_quote_lease() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'the relay''s lease is lost' using errcode = 'QC002',
        detail = 'Its row has another epoch than this relay was given.', hint = 'Another relay has taken over; take the lease again before you go on.';
end $$;
comment on function refuse_lost_quote_lease() is 'SQLSTATE QC002: another relay has taken over';

-- Closes into a batch what is visible now and was not in the batch before, and gives its first events, at most max of them and as long
-- as all are no larger than max_bytes; the first one comes at any rate. No rows when nothing is new: nothing is written then. The caller
-- tells them to nobody before he has committed: that commit is durable whatever synchronous_commit says, and with it every transaction
-- of the batch, so that nothing is ever published that a crash takes back. Behind a batch of another cluster the feed begins anew with
-- what was written here since that batch came: what this cluster wrote in a life before is in the dump, and is told to nobody again.
-- SQLSTATE QC002 when the lease is lost, QC001 when this is not the history that the caller takes it for: another database or timeline, or
-- one that has no batch known any more.
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
    seen pg_snapshot;
    prev_at timestamptz;
    cur_at timestamptz;
    even_floor timestamptz;
    floor_at timestamptz;
begin
    perform @extschema@.set_quote_option('synchronous_commit', 'on');
    select r.* into last from @extschema@.quote_prepared_rows(
        @extschema@.quote_kept_query('@extschema@.quote_relay_state_query()'::regprocedure::oid), row(epoch))
        r (held boolean, no bigint, prev pg_snapshot, cur pg_snapshot, prev_at timestamptz, cur_at timestamptz, floor_at timestamptz, origin bigint, writer xid);
    if @extschema@.quote_database_identity() <> system_identifier or @extschema@.quote_feed_timeline() <> timeline or last.no < known then
        raise exception 'the log has another history' using errcode = 'QC001',
            detail = 'The server is another cluster, or on another timeline, or knows fewer batches than this relay has read.',
            hint = 'Take the lease again, and find out where to go on.';
    end if;
    if last.held is not true then
        perform @extschema@.refuse_lost_quote_lease();
    elsif last.no is null then
        raise exception 'the relay has no batch to go on from' using errcode = 'object_not_in_prerequisite_state',
            detail = 'Somebody has emptied quote_relay_batch.', hint = @extschema@.quote_attach_statement();
    end if;
    prev := last.cur;
    prev_at := last.cur_at;
    even_floor := case when pg_snapshot_xmin(prev) >= pg_snapshot_xmax(last.prev) then last.prev_at else last.floor_at end;
    if last.origin <> here then
        prev := @extschema@.quote_snapshot_before(last.writer);
        prev_at := '-infinity';
        even_floor := '-infinity';
    end if;
    seen := @extschema@.quote_feed_snapshot();
    perform @extschema@.watch_quote_clock();
    if seen::text = prev::text then
        return;
    end if;
    log := @extschema@.quote_kept_query('@extschema@.quote_log_identity()'::regprocedure::oid)::oid;
    cur := prev;
    loop
        -- Past what has no events: a batch is of some.
        select coalesce(w.cur, seen), w.cur_at into cur, cur_at from @extschema@.quote_feed_waypoint(cur, seen) w;
        floor_at := @extschema@.quote_feed_floor(prev, cur, even_floor);
        return query select last.no + 1, r.* from @extschema@.quote_prepared_rows(
            @extschema@.quote_query_of_months(@extschema@.quote_kept_query('@extschema@.quote_relay_events_query()'::regprocedure::oid),
                log, @extschema@.quote_log_months(log, floor_at - interval '24 hours')),
            row(prev, cur, 0::bigint, here, floor_at - interval '24 hours', 'infinity'::timestamptz, max, max_bytes))
            r ("position" bigint, event text, size integer, has_next boolean);
        exit when found or cur::text = seen::text;
    end loop;
    if found and not exists (
            select from @extschema@.quote_prepared_rows(
                @extschema@.quote_kept_query('@extschema@.quote_relay_batch_insertion()'::regprocedure::oid),
                row(epoch, last.no + 1, prev, cur, prev_at, floor_at, here, cur_at)) r (no bigint)) then
        perform @extschema@.refuse_lost_quote_lease();
    end if;
end $$;
comment on function quote_relay_next_batch(bigint, bigint, text, integer, integer, bigint) is 'closes the next batch of the event feed and gives its first events';

-- Closes the next batch; its number, or null. For gateways of 0.5.0 and before, and by hand: its events are then read by quote_relay_read.
create function quote_relay_open_batch(epoch bigint) returns bigint
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    select n.batch from @extschema@.quote_relay_identity() i
    cross join @extschema@.quote_relay_next_batch(epoch, 0::bigint, i.system_identifier, i.timeline, 1::integer, 0::bigint) n
$$;
comment on function quote_relay_open_batch(bigint) is 'closes the next batch of the event feed';

create function quote_relay_last_batch() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    no bigint;
begin
    perform @extschema@.require_quote_home('{quote_relay_batch}'::text[]);
    select r.no into no from @extschema@.quote_prepared_rows(
        format('select coalesce(max(b.no), 0) from %s b', @extschema@.quote_relay_table('quote_relay_batch')), row()) r (no bigint);
    return no;
end $$;
comment on function quote_relay_last_batch() is 'number of the newest batch, 0 when there is none';

create function quote_relay_first_batch() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    no bigint;
begin
    perform @extschema@.require_quote_home('{quote_relay_batch}'::text[]);
    execute format('select coalesce(min(b.no), 0) from %s b where b.no > 0', @extschema@.quote_relay_table('quote_relay_batch')) into no;
    return no;
end $$;
comment on function quote_relay_first_batch() is 'number of the oldest batch still kept, 0 when there is none';

-- Each event as it was put together: jsonb would take it apart.
create function quote_relay_read(batch bigint, after_position bigint, max integer) returns table ("position" bigint, event json)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    b record;
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_relay_batch}'::text[]);
    select r.* into b from @extschema@.quote_prepared_rows(
        format('select b.prev, b.cur, b.origin, b.floor_at from %s b where b.no = $1', @extschema@.quote_relay_table('quote_relay_batch')), row(batch))
        r (prev pg_snapshot, cur pg_snapshot, origin bigint, floor_at timestamptz);
    if found then
        return query select r."position", r.event::json from @extschema@.quote_prepared_rows(
            @extschema@.quote_kept_query((case when after_position > 0 and @extschema@.quote_batch_has_few(b.prev, b.cur)
                then '@extschema@.quote_batch_rest_query()' else '@extschema@.quote_batch_query()' end)::regprocedure::oid),
            row(b.prev, b.cur, after_position, b.origin, b.floor_at - interval '24 hours', 'infinity'::timestamptz, max)) r ("position" bigint, event text);
    end if;
end $$;
comment on function quote_relay_read(bigint, bigint, integer) is 'events of a committed batch';

create function quote_relay_checkpoint(epoch bigint, batch bigint, "position" bigint, stream_seq bigint) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    perform @extschema@.require_quote_home('{quote_relay_lease}'::text[]);
    execute format('update %s l set batch = $2, position = $3, stream_seq = $4 where l.epoch = $1',
        @extschema@.quote_relay_table('quote_relay_lease')) using epoch, batch, "position", stream_seq;
end $$;
comment on function quote_relay_checkpoint(bigint, bigint, bigint, bigint) is 'keeps a lazy copy of the position in the stream';

create function quote_relay_position(out batch bigint, out "position" bigint, out stream_seq bigint)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.require_quote_home('{quote_relay_lease}'::text[]);
    execute format('select l.batch, l.position, l.stream_seq from %s l', @extschema@.quote_relay_table('quote_relay_lease'))
    into batch, "position", stream_seq;
end $$;
comment on function quote_relay_position() is 'the lazy copy of the position in the stream';

-- Sessions of every tenant, for the gateway that shows each to its own.
create function quote_presence_snapshot() returns setof quote_session
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    return query execute format('select s.* from %s s where @extschema@.quote_session_lives(s.last_heartbeat)
        order by s.joined_at, s.session_id', @extschema@.quote_session_target());
end $$;
comment on function quote_presence_snapshot() is 'every live session of every tenant';
