-- Events of one quote between two places of the relay's feed: what a subscriber missed. (after) < event <= (until).

-- What is left of the batch that a place is in, by the index of the quote: a piece of a transaction that changed many rows of it costs what
-- the piece costs. $1 quote, $2 tenant, $3 behind this position, $4 origin, $5 no change was made before, $6 nor at or after, $7 at most
-- so many, $8 of any tenant, $9 prev and $10 cur of the batch, $11 up to this position.
create function quote_rest_of_batch_query() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return @extschema@.quote_events_query(format($query$
        select c.xid, c.position from %s c
        where c.quote_id = $1 and ($8 or c.tenant_id = $2) and c.position > $3 and c.position <= $11 and c.origin = $4 and c.changed_at >= $5 and c.changed_at < $6
            and pg_visible_in_snapshot(c.xid, $10) and not pg_visible_in_snapshot(c.xid, $9) and c.conflict_resolution is distinct from 'REJECTED'
        group by c.position, c.xid order by c.position limit $7$query$, @extschema@.quote_relay_table('quote_changes')));
end $$;
comment on function quote_rest_of_batch_query() is 'query for the events of a quote in the rest of a batch';

-- The next changes of a quote that a snapshot does not show, in the order of their positions, as arrays: not all of them, however many there
-- are. Positions ascend in time: what began after the snapshot was taken has none up to one that the snapshot shows. $1 quote, $2 tenant,
-- $3 origin, $4 no change was made before, $5 the snapshot, $6 a position that it shows, $7 of any tenant, $8 at most so many.
create function quote_places_behind_query() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format($query$
        select coalesce(array_agg(w.xid), '{}') as xids, coalesce(array_agg(w.position), '{}') as positions from (
            select c.xid, c.position from %s c
            where c.quote_id = $1 and ($7 or c.tenant_id = $2) and c.position > $6 and c.origin = $3 and c.changed_at >= $4
                and not pg_visible_in_snapshot(c.xid, $5) and c.conflict_resolution is distinct from 'REJECTED'
            group by c.position, c.xid order by c.position limit $8) w$query$, @extschema@.quote_relay_table('quote_changes'))
$$;
comment on function quote_places_behind_query() is 'query for the next places of a quote that a snapshot does not show';

-- The last position of a quote that a snapshot shows, or 0. Costs a look at each later change.
create function quote_position_shown(quote_id uuid, origin bigint, since timestamptz, seen pg_snapshot) returns bigint
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_position bigint;
begin
    execute format('select c.position from %s c where c.quote_id = $1 and c.origin = $2 and c.changed_at >= $3 and pg_visible_in_snapshot(c.xid, $4)
        order by c.position desc limit 1', @extschema@.quote_relay_table('quote_changes'))
    into found_position using quote_id, origin, since, seen;
    return coalesce(found_position, 0);
end $$;
comment on function quote_position_shown(uuid, bigint, timestamptz, pg_snapshot) is 'the last position of a quote that a snapshot shows';
revoke execute on function quote_position_shown(uuid, bigint, timestamptz, pg_snapshot) from public;

-- The events at some places of a quote, and at those of transactions that were running at a snapshot, by batch. Which batch each transaction
-- is in is found once, and only what is asked for is put together. $1 quote, $2 tenant, $3 origin, $4 no change was made before, $5 the
-- snapshot, $6 up to this position of those that were running, $7 of any tenant, $8 and $9 the places, $10 of batches that were closed
-- before this transaction began, of all when null, $11 and $12 up to this batch and position, $13 at most so many, $14 behind
-- so many.
create function quote_later_batches_query() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    author record;
begin
    select * into author from @extschema@.quote_user_join('v.changed_by');
    return format($query$
        with c as materialized (
            select * from unnest($8, $9) p (xid, position)
            union all
            select distinct c.xid, c.position from %1$s c
            where c.xid = any (array(select pg_snapshot_xip($5))) and c.quote_id = $1 and ($7 or c.tenant_id = $2) and c.position <= $6
                and c.origin = $3 and c.changed_at >= $4 and c.conflict_resolution is distinct from 'REJECTED')
        select p.no, v.position, concat(v.event, ',"actor_name":', coalesce(to_json(%4$s)::text, 'null'), '}')::jsonb
        from (
            select b.no, c.xid, c.position from (
                select t.xid, x.no from (select distinct c.xid from c) t
                cross join lateral (
                    select x.no, x.cur_xmax from %2$s x where x.cur_xmax > t.xid and pg_visible_in_snapshot(t.xid, x.cur) and x.no > 0 and x.origin = $3
                    order by x.cur_xmax, x.no limit 1) x
                where $10 is null or x.cur_xmax <= $10 offset 0) b
            join c on c.xid = b.xid
            where (b.no, c.position) <= ($11, $12)
            order by b.no, c.position limit $13 offset $14) p
        cross join lateral (%5$s offset 0) v
        %3$s
        order by p.no, v.position$query$,
        @extschema@.quote_relay_table('quote_changes'), @extschema@.quote_relay_table('quote_relay_batch'),
        author.join_clause, author.name_expression,
        @extschema@.quote_event_texts_query('c.xid = p.xid and c.position = p.position and c.origin = $3 and c.changed_at >= $4'::text));
end $$;
comment on function quote_later_batches_query() is 'query for the events of a quote in later batches';

-- The events of a quote in the batches behind a snapshot, up to a place in a batch that was closed before. shown: a position that the snapshot shows, or 0.
-- It looks at the next few changes only, as many times more as it takes: whoever began after a batch was closed has his positions behind all
-- that is in it, so the batches closed before the newest transaction among them began are seen whole.
create function quote_events_behind(
    quote_id uuid, origin bigint, since timestamptz, behind pg_snapshot, shown bigint, until_batch bigint, until_position bigint, max integer)
returns table (batch bigint, "position" bigint, event jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    tenant uuid := @extschema@.current_quote_tenant();
    any_tenant boolean := @extschema@.sees_every_quote_tenant();
    batches text := @extschema@.quote_relay_table('quote_relay_batch');
    width bigint := 4 * max::bigint;
    xids xid8[];
    positions bigint[];
    newest xid8;
    is_any boolean;
    is_all boolean;
    given integer := 0;
    got integer;
begin
    loop
        execute @extschema@.quote_places_behind_query() into xids, positions using quote_id, tenant, origin, since, behind, shown, any_tenant, width;
        newest := case when cardinality(positions) = width then (select x from unnest(xids) x order by x desc limit 1) end;
        -- A transaction that changed many rows may fill all of it, and none of its batches be whole.
        execute format('select coalesce(bool_or(x.cur_xmax > pg_snapshot_xmax($1)), false), coalesce(bool_or(x.no >= $2), false) from %s x
            where x.cur_xmax >= pg_snapshot_xmax($1) and x.cur_xmax <= $3', batches)
        into is_any, is_all using behind, until_batch, newest;
        if newest is null or is_any or is_all then
            return query execute @extschema@.quote_later_batches_query()
            using quote_id, tenant, origin, since, behind, shown, any_tenant, xids, positions, newest, until_batch, until_position,
                max - given, given;
            get diagnostics got = row_count;
            given := given + got;
            exit when given = max or newest is null or is_all;
        end if;
        width := width * 8;
    end loop;
end $$;
comment on function quote_events_behind(uuid, bigint, timestamptz, pg_snapshot, bigint, bigint, bigint, integer) is 'events of a quote in the batches behind a snapshot';
revoke execute on function quote_events_behind(uuid, bigint, timestamptz, pg_snapshot, bigint, bigint, bigint, integer) from public;

create function refuse_unknown_quote_place() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'the cursor is no longer known' using errcode = 'QC001',
        detail = 'What it counts on was archived, or another cluster has relayed since.', hint = 'Read the quote again and subscribe without a cursor.';
end $$;
comment on function refuse_unknown_quote_place() is 'SQLSTATE QC001: the feed does not reach back to a place';

-- SQLSTATE QC001 when the feed does not reach back to after_batch any more, something of it was archived, or another cluster has relayed since: what
-- it told is not among what this one wrote.
create function quote_events_between(
    quote_id uuid, after_batch bigint, after_position bigint, until_batch bigint, until_position bigint, max integer)
returns table (batch bigint, "position" bigint, event jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    last constant bigint := 9223372036854775807;
    shown bigint := 0;
    tenant uuid := @extschema@.current_quote_tenant();
    any_tenant boolean := @extschema@.sees_every_quote_tenant();
    start record;
    is_begun boolean;
    is_gone boolean;
    given integer := 0;
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_relay_batch}'::text[]);
    -- What comes behind may have been written when a clock was behind, and its batch says so.
    execute format('select b.no, b.prev, b.cur, b.origin, x.is_elsewhere, x.floor_at from (select * from %1$s where no >= $1 order by no limit 1) b
        cross join lateral (select bool_or(r.origin <> $2) as is_elsewhere, min(r.floor_at) as floor_at from %1$s r where r.no between b.no and greatest(b.no, $3)) x',
        @extschema@.quote_relay_table('quote_relay_batch'))
    into start using after_batch, @extschema@.quote_cluster_identifier(), until_batch;
    if after_batch is null or start.no is null or start.no > greatest(after_batch, 1) or start.is_elsewhere then
        perform @extschema@.refuse_unknown_quote_place();
    end if;
    is_begun := start.no = after_batch;
    if is_begun and after_batch <= until_batch then
        return query execute format('select $12, r.position, r.event::jsonb from (%s) r order by r.position', @extschema@.quote_rest_of_batch_query())
        using quote_id, tenant, after_position, start.origin, start.floor_at - interval '24 hours', 'infinity'::timestamptz, max, any_tenant,
            start.prev, start.cur, case when after_batch = until_batch then until_position else last end, after_batch;
        get diagnostics given = row_count;
    end if;
    if given < max and after_batch < until_batch then
        if is_begun then
            shown := case when after_position < last then after_position
                else @extschema@.quote_position_shown(quote_id, start.origin, start.floor_at - interval '24 hours', start.cur) end;
        end if;
        return query select * from @extschema@.quote_events_behind(quote_id, start.origin, start.floor_at - interval '24 hours',
            case when is_begun then start.cur else start.prev end, shown, until_batch, until_position, max - given);
    end if;
    -- What has left the log by now may be missing, and the end of a batch that is gone was taken for that of the next one.
    execute format('select not exists (select from %s where no = $1)', @extschema@.quote_relay_table('quote_relay_batch')) into is_gone using start.no;
    if is_gone or @extschema@.quote_feed_is_cut(0::bigint, start.cur, start.prev, case when is_begun then start.cur end, after_position) then
        perform @extschema@.refuse_unknown_quote_place();
    end if;
end $$;
comment on function quote_events_between(uuid, bigint, bigint, bigint, bigint, integer) is 'what a subscriber of a quote missed between two cursors';
