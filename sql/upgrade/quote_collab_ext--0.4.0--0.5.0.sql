-- From 0.4.0 to 0.5.0.
drop function require_quote_relay_epoch(bigint);
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
