-- What is said in \d+ of the objects that attach makes and that have no better place for it: keys, indexes, checks, the
-- private tables' columns. Written again by each attach, for what is there; logs that older releases made have other indexes.
create function describe_quote_objects(target_schema name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
begin
    for item in
        select d.kind, d.text, r.target, d.name
        from @extschema@.quote_descriptions() d
        cross join lateral (select to_regclass(format('%I.%I', target_schema, d.relation))) r (target)
        where case d.kind
            when 'constraint' then exists (select from pg_constraint k where k.conrelid = r.target and k.conname = d.name)
            else r.target is not null end
    loop
        case item.kind
            when 'constraint' then execute format('comment on constraint %I on %s is %L', item.name, item.target, item.text);
            when 'column' then execute format('comment on column %s.%I is %L', item.target, item.name, item.text);
            when 'index' then execute format('comment on index %s is %L', item.target, item.text);
            when 'sequence' then execute format('comment on sequence %s is %L', item.target, item.text);
            when 'table' then execute format('comment on table %s is %L', item.target, item.text);
        end case;
    end loop;
end $$;
comment on function describe_quote_objects(name) is 'comments on the keys, indexes and private tables beside an audit log';

create function quote_descriptions() returns table (kind text, relation text, name text, text text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    values
        ('table', 'quote_changes_default', null, 'changes of a month that has no partition; empty while maintenance runs'),
        ('sequence', 'quote_changes_position_seq', null, 'gives each row change its position'),
        ('constraint', 'quote_changes', 'quote_changes_pkey', 'the event feed: what transactions wrote, in order; the time is in it because it is the partition key'),
        ('index', 'quote_changes_quote', null, 'history of one quote, newest first'),
        ('index', 'quote_changes_feed', null, 'the event feed: what transactions wrote, in order'),
        ('index', 'quote_changes_changed_at', null, 'spans of time'),
        ('constraint', 'quote_changes_archive', 'quote_changes_archive_pkey', 'what transactions wrote, in order, for seals; the time is in it because it is the partition key'),
        ('index', 'quote_changes_archive_quote_id_position_idx', null, 'history of one quote, newest first'),
        ('index', 'quote_changes_archive_xid_position_idx', null, 'what transactions wrote, in order, for seals'),
        ('index', 'quote_changes_archive_changed_at_idx', null, 'spans of time'),
        ('constraint', 'quote_changes_seals', 'quote_changes_seals_pkey', 'blocks are numbered'),
        ('constraint', 'active_quote_sessions', 'active_quote_sessions_pkey', 'key of the row'),
        ('constraint', 'active_quote_sessions', 'active_quote_sessions_session', 'a session has one quote open'),
        ('constraint', 'active_quote_sessions', 'active_quote_sessions_status', 'what a session can be doing'),
        ('constraint', 'active_quote_sessions', 'active_quote_sessions_cursor', 'a caret is not before the beginning'),
        ('index', 'active_quote_sessions_quote', null, 'who has a quote open'),
        ('column', 'quote_relay_batch', 'no', 'number of the batch, without gaps; 0 is where the feed began'),
        ('column', 'quote_relay_batch', 'prev', 'the batch holds what was not visible in this snapshot'),
        ('column', 'quote_relay_batch', 'cur', 'and is visible in this one'),
        ('column', 'quote_relay_batch', 'prev_at', 'when prev was taken'),
        ('column', 'quote_relay_batch', 'cur_at', 'when cur was taken'),
        ('column', 'quote_relay_batch', 'origin', 'system identifier of the cluster whose transactions the snapshots speak of'),
        ('column', 'quote_relay_batch', 'cur_xmax', 'end of cur, to find the batch that an event was in'),
        ('constraint', 'quote_relay_batch', 'quote_relay_batch_pkey', 'batches are numbered'),
        ('index', 'quote_relay_batch_xmax', null, 'the first batch that an event can have been in'),
        ('column', 'quote_relay_lease', 'singleton', 'true: there is one row'),
        ('column', 'quote_relay_lease', 'epoch', 'how often the relay has changed hands'),
        ('column', 'quote_relay_lease', 'holder', 'who relays now'),
        ('column', 'quote_relay_lease', 'expires_at', 'until when, unless it is renewed'),
        ('column', 'quote_relay_lease', 'batch', 'batch of the last event that is known to be in the stream'),
        ('column', 'quote_relay_lease', 'position', 'position of that event'),
        ('column', 'quote_relay_lease', 'stream_seq', 'its sequence number in the stream'),
        ('constraint', 'quote_relay_lease', 'quote_relay_lease_pkey', 'there is one row'),
        ('constraint', 'quote_relay_lease', 'quote_relay_lease_singleton', 'there is one row')
$$;
comment on function quote_descriptions() is 'what describe_quote_objects() says of what';
