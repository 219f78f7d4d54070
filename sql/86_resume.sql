-- Events of one quote between two places of the relay's feed: what a subscriber missed. (after) < event <= (until).
-- Which they are is found first, and only they are put together. SQLSTATE QC001 when the feed does not reach back to after_batch any
-- more, or another cluster has relayed since: what it told is not among what this one wrote.
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
    start record;
    author record;
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_relay_batch}'::text[]);
    execute format('select b.*, exists (select from %1$s x where x.no between b.no and greatest(b.no, $3) and x.origin <> $2) as is_elsewhere
        from %1$s b where b.no >= $1 order by b.no limit 1', @extschema@.quote_relay_table('quote_relay_batch'))
    into start using after_batch, @extschema@.quote_cluster_identifier(), until_batch;
    if after_batch is null or start.no is null or (start.no > after_batch and after_batch > 0) or start.is_elsewhere then
        raise exception 'the cursor is no longer known' using errcode = 'QC001',
            hint = 'Read the quote again and subscribe without a cursor.';
    end if;
    select * into author from @extschema@.quote_user_join('v.changed_by');
    return query execute format($query$
        select p.no, v.position, v.event || jsonb_build_object('actor_name', %4$s)
        from (
            select b.no, c.xid, c.position
            from (
                select c.xid, c.position from %1$s c
                where c.quote_id = $1 and ($11 or c.tenant_id = $2) and c.origin = $3 and c.changed_at >= $4
                    and not pg_visible_in_snapshot(c.xid, $5) and c.conflict_resolution is distinct from 'REJECTED'
                group by c.xid, c.position) c
            cross join lateral (
                select x.no from %2$s x where x.cur_xmax > c.xid and pg_visible_in_snapshot(c.xid, x.cur) and x.no > 0 and x.origin = $3
                order by x.cur_xmax, x.no limit 1) b
            where (b.no, c.position) > ($6, $7) and (b.no, c.position) <= ($8, $9)
            order by b.no, c.position limit $10) p
        cross join lateral (
            select w.* from (%5$s) w
            where w.xid = p.xid and w.position = p.position and w.origin = $3 and w.changed_at >= $4 offset 0) v
        %3$s
        order by p.no, v.position$query$,
        @extschema@.quote_relay_table('quote_changes'), @extschema@.quote_relay_table('quote_relay_batch'),
        author.join_clause, author.name_expression, @extschema@.quote_change_events_query(@extschema@.quote_collab_home()))
    using quote_id, @extschema@.current_quote_tenant(), start.origin, start.floor_at - interval '1 day', start.prev,
        after_batch, after_position, until_batch, until_position, max, @extschema@.sees_every_quote_tenant();
end $$;
comment on function quote_events_between(uuid, bigint, bigint, bigint, bigint, integer) is 'what a subscriber of a quote missed between two cursors';
