-- What left the log: event feeds read the log alone, and a reader must not pass over what it has not read. A member of the extension, which archiving
-- alone writes. In no dump: no cursor outlives one.
create table @extschema@.quote_log_cuts (
    no            bigint      not null generated always as identity,
    log           oid         not null,
    moved_by      xid8        not null,
    newest        xid8        not null,
    shown         pg_snapshot not null,
    last_position bigint      not null,
    moved_at      timestamptz not null,
    constraint quote_log_cuts_pkey primary key (no)
);
comment on table @extschema@.quote_log_cuts is 'what was moved from an audit log to its archive, in order';
comment on column @extschema@.quote_log_cuts.no is 'its number; a cursor says which was the newest when it was given';
comment on column @extschema@.quote_log_cuts.log is 'oid of the log; 0: here the table begins';
comment on column @extschema@.quote_log_cuts.moved_by is 'the transaction that moved it';
comment on column @extschema@.quote_log_cuts.newest is 'the newest transaction of this cluster that had written any of it';
comment on column @extschema@.quote_log_cuts.shown is 'a snapshot that shows all of it';
comment on column @extschema@.quote_log_cuts.last_position is 'the last position of it';
comment on column @extschema@.quote_log_cuts.moved_at is 'when it was moved';
comment on constraint quote_log_cuts_pkey on @extschema@.quote_log_cuts is 'one after the other';
comment on sequence @extschema@.quote_log_cuts_no_seq is 'numbers nothing: what leaves an audit log goes on from the newest number';
alter table @extschema@.quote_log_cuts enable row level security, force row level security;

-- Numbers go on behind those of a table that was dropped with the extension: what left the log before this one was made nobody knows any more.
insert into @extschema@.quote_log_cuts (no, log, moved_by, newest, shown, last_position, moved_at) overriding system value
values (pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, 0, pg_catalog.pg_current_xact_id(), '0', pg_catalog.pg_current_snapshot(), 0, pg_catalog.clock_timestamp());

-- Notes that rows left the log; nothing where there are none of this cluster. One at a time: whoever moves rows keeps others from sealing. The number is not
-- a sequence's, which is set by whoever has rights on all of a schema, or may write everything; and it is none that an extension dropped before gave.
create function note_quote_log_cut(log regclass, newest bigint, last_position bigint) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    insert into @extschema@.quote_log_cuts (no, log, moved_by, newest, shown, last_position, moved_at) overriding system value
    select greatest(l.no + 1, pg_current_xact_id()::text::bigint), log, pg_current_xact_id(), newest::text::xid8, pg_current_snapshot(), last_position, clock_timestamp()
    from @extschema@.quote_latest_rows('select coalesce(max(c.no), 0) from @extschema@.quote_log_cuts c where $1'::text, row(true)) l (no bigint)
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

-- The number of what left the log last that a snapshot shows, or of all where none is given; 0 where nothing has. As of now, also in a
-- transaction that looks back: partitions are gone for it, too. What leaves the log does so one after the other, so that it shows those before, too. What this
-- transaction itself moves may be taken back, and its number be given again: no cursor says that one.
create function quote_log_cut(shown_by pg_snapshot) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((select r.no from @extschema@.quote_latest_rows(
        'select c.no from @extschema@.quote_log_cuts c where c.log in ($1, 0)
            and case when c.moved_by = pg_current_xact_id_if_assigned() then c.log = 0 else $2 is null or pg_visible_in_snapshot(c.moved_by, $2) end
            order by c.no desc limit 1'::text,
        row(@extschema@.quote_log_identity()::oid, shown_by)) r (no bigint)), 0);
end $$;
comment on function quote_log_cut(pg_snapshot) is 'number of what left the audit log last that a snapshot shows';

-- May a snapshot not show something that left the log? Who was running in it and is over may have written some of that.
create function quote_cut_hidden(newest xid8, shown pg_snapshot, seen pg_snapshot) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select newest >= pg_snapshot_xmax(seen) or exists (select from pg_snapshot_xip(seen) x where x <= newest and pg_visible_in_snapshot(x, shown))
$$;
comment on function quote_cut_hidden(xid8, pg_snapshot, pg_snapshot) is 'whether a snapshot may not show something that left the audit log';

-- Did anything leave the log behind a place in the feed, after a cut, and after a snapshot where one is given? What a batch that began there shows up to a
-- position has been read. As of now, as above. What left it before the table begins nobody knows.
create function quote_feed_is_cut(since bigint, after pg_snapshot, prev pg_snapshot, cur pg_snapshot, "position" bigint) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
        select from @extschema@.quote_latest_rows('select c.log, c.moved_by, c.newest, c.shown, c.last_position from @extschema@.quote_log_cuts c
            where c.log in ($1, 0) and c.no > $2'::text, row(@extschema@.quote_log_identity()::oid, coalesce(since, 0)))
            c (log oid, moved_by xid8, newest xid8, shown pg_snapshot, last_position bigint)
        where (after is null or not pg_visible_in_snapshot(c.moved_by, after)) and (c.log = 0
            or @extschema@.quote_cut_hidden(c.newest, c.shown, prev)
                and (cur is null or c.last_position > quote_feed_is_cut.position or @extschema@.quote_cut_hidden(c.newest, c.shown, cur))));
end $$;
comment on function quote_feed_is_cut(bigint, pg_snapshot, pg_snapshot, pg_snapshot, bigint) is 'whether anything left the audit log behind a place in the feed';
