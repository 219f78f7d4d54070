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
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    select s.system_identifier::text, case when pg_is_in_recovery() then k.timeline_id
        else ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::integer end
    from pg_control_system() s, pg_control_checkpoint() k
$$;
comment on function quote_relay_identity() is 'which cluster and timeline this is';

-- Takes or renews the lease; the epoch when holder has it now, null while another has. The lease saves work; what keeps
-- two relays from harming each other is the fence in the stream.
create function quote_relay_lease(holder text, ttl interval) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    granted bigint;
begin
    execute format('update %s l set holder = $1, expires_at = clock_timestamp() + $2,
            epoch = case when l.holder = $1 then l.epoch else l.epoch + 1 end
        where l.holder = $1 or l.expires_at < clock_timestamp() returning l.epoch', @extschema@.quote_relay_table('quote_relay_lease'))
    into granted using holder, ttl;
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

-- Cuts a batch when something new is visible; its number, or null. The caller commits before he reads it: that commit is
-- durable whatever synchronous_commit says, and with it every transaction of the batch, so that nothing is ever
-- published that a crash takes back. Behind a batch of another cluster the feed begins anew with what was written here since that batch
-- came: what this cluster wrote in a life before is in the dump, and is told to nobody again.
create function quote_relay_open_batch(epoch bigint) returns bigint
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
        select l.epoch = $1, b.no, b.prev, b.cur, b.prev_at, b.cur_at, b.floor_at, b.origin, b.xmin
        from %1$I.quote_relay_lease l cross join %1$I.quote_relay_batch b order by b.no desc limit 1$query$, home), row(epoch))
        r (held boolean, no bigint, prev pg_snapshot, cur pg_snapshot, prev_at timestamptz, cur_at timestamptz, floor_at timestamptz, origin bigint, writer xid);
    if last.held is not true then
        raise exception 'the relay''s lease is lost' using errcode = 'object_not_in_prerequisite_state',
            hint = 'Another relay has taken over; take the lease again before you go on.';
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
comment on function quote_relay_open_batch(bigint) is 'cuts the next batch of the event feed';

create function quote_relay_last_batch() returns bigint
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
comment on function quote_relay_last_batch() is 'number of the newest batch, 0 when there is none';

create function quote_relay_first_batch() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    no bigint;
begin
    execute format('select coalesce(min(b.no), 0) from %s b where b.no > 0', @extschema@.quote_relay_table('quote_relay_batch')) into no;
    return no;
end $$;
comment on function quote_relay_first_batch() is 'number of the oldest batch still kept, 0 when there is none';

create function quote_relay_read(batch bigint, after_position bigint, max integer) returns table ("position" bigint, event jsonb)
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
        return query select r."position", r.event from @extschema@.quote_prepared_rows(@extschema@.quote_batch_query(),
            row(b.prev, b.cur, after_position, b.origin, b.floor_at - interval '1 day', max)) r ("position" bigint, event jsonb);
    end if;
end $$;
comment on function quote_relay_read(bigint, bigint, integer) is 'events of a committed batch';

create function quote_relay_checkpoint(epoch bigint, batch bigint, "position" bigint, stream_seq bigint) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('update %s l set batch = $2, position = $3, stream_seq = $4 where l.epoch = $1',
        @extschema@.quote_relay_table('quote_relay_lease')) using epoch, batch, "position", stream_seq;
end $$;
comment on function quote_relay_checkpoint(bigint, bigint, bigint, bigint) is 'keeps a lazy copy of the position in the stream';

create function quote_relay_position(out batch bigint, out "position" bigint, out stream_seq bigint)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('select l.batch, l.position, l.stream_seq from %s l', @extschema@.quote_relay_table('quote_relay_lease'))
    into batch, "position", stream_seq;
end $$;
comment on function quote_relay_position() is 'the lazy copy of the position in the stream';

-- Sessions of every tenant, for the gateway that shows each to its own.
create function quote_presence_snapshot() returns setof quote_session
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query execute format('select s.* from %s s where s.last_heartbeat > clock_timestamp() - @extschema@.quote_session_ttl()
        order by s.joined_at, s.session_id', @extschema@.quote_session_target());
end $$;
comment on function quote_presence_snapshot() is 'every live session of every tenant';
