-- What left the log: event feeds read the log alone, and a reader must not pass over what it has not read. A member of the extension, which archiving
-- alone writes. In no dump: no cursor outlives one.
create table @extschema@.quote_log_cuts (
    no            bigint      not null,
    log           oid         not null,
    newest        xid8        not null,
    shown         pg_snapshot not null,
    last_position bigint      not null,
    cut_at        timestamptz not null,
    constraint quote_log_cuts_pkey primary key (no)
);
comment on table @extschema@.quote_log_cuts is 'what was moved from an audit log to its archive, in order';
comment on column @extschema@.quote_log_cuts.no is 'its number; a cursor says which was the newest when it was given';
comment on column @extschema@.quote_log_cuts.log is 'oid of the log';
comment on column @extschema@.quote_log_cuts.newest is 'the newest transaction of this cluster that had written any of it';
comment on column @extschema@.quote_log_cuts.shown is 'a snapshot that shows all of it';
comment on column @extschema@.quote_log_cuts.last_position is 'the last position of it';
comment on column @extschema@.quote_log_cuts.cut_at is 'when it was moved';
comment on constraint quote_log_cuts_pkey on @extschema@.quote_log_cuts is 'one after the other';
alter table @extschema@.quote_log_cuts enable row level security, force row level security;

-- Notes that rows left the log; nothing where there are none of this cluster. One at a time: whoever moves rows keeps others from sealing.
create function note_quote_log_cut(log regclass, newest bigint, last_position bigint) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    insert into @extschema@.quote_log_cuts (no, log, newest, shown, last_position, cut_at)
    select coalesce((select max(c.no) from @extschema@.quote_log_cuts c), 0) + 1, log, newest::text::xid8, pg_current_snapshot(), last_position, clock_timestamp()
    where newest is not null
$$;
comment on function note_quote_log_cut(regclass, bigint, bigint) is 'notes that rows of an audit log were moved to its archive';
revoke execute on function note_quote_log_cut(regclass, bigint, bigint) from public;

-- The newest transaction of this cluster, and the last position, among the rows of some months. Reads all of them.
create function quote_months_end(months regclass[], out newest bigint, out last_position bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    month regclass;
    newest_here bigint;
    last_here bigint;
begin
    foreach month in array months loop
        execute format('select max(c.xid::text::bigint), max(c.position) from %s c where c.origin = $1', month)
        into newest_here, last_here using @extschema@.quote_cluster_identifier();
        newest := greatest(newest, newest_here);
        last_position := greatest(last_position, last_here);
    end loop;
end $$;
comment on function quote_months_end(regclass[], out bigint, out bigint) is 'newest transaction and last position of months of an audit log';
revoke execute on function quote_months_end(regclass[], out bigint, out bigint) from public;

-- The number of the newest cut of a log; 0 where nothing has left it.
create function quote_log_cut(log oid) returns bigint
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((select c.no from @extschema@.quote_log_cuts c where c.log = quote_log_cut.log order by c.no desc limit 1), 0);
end $$;
comment on function quote_log_cut(oid) is 'number of what left an audit log last';

-- May a snapshot not show something that left the log? Who was running in it and is over may have written some of that.
create function quote_cut_hidden(newest xid8, shown pg_snapshot, seen pg_snapshot) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select newest >= pg_snapshot_xmax(seen) or exists (select from pg_snapshot_xip(seen) x where x <= newest and pg_visible_in_snapshot(x, shown))
$$;
comment on function quote_cut_hidden(xid8, pg_snapshot, pg_snapshot) is 'whether a snapshot may not show something that left the audit log';

-- Did anything leave the log behind a place in the feed, since a cut or a time? What a batch that began there shows up to a position has been read.
create function quote_feed_is_cut(log oid, since bigint, since_at timestamptz, prev pg_snapshot, cur pg_snapshot, "position" bigint) returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
        select from @extschema@.quote_log_cuts c
        where c.log = quote_feed_is_cut.log and c.no > since and c.cut_at > since_at and c.newest >= pg_snapshot_xmin(prev)
            and @extschema@.quote_cut_hidden(c.newest, c.shown, prev)
            and (cur is null or c.last_position > quote_feed_is_cut.position or @extschema@.quote_cut_hidden(c.newest, c.shown, cur)));
end $$;
comment on function quote_feed_is_cut(oid, bigint, timestamptz, pg_snapshot, pg_snapshot, bigint) is 'whether anything left the audit log behind a place in the feed';
