-- Where a batch of the event feed ends, and how far back it has to look.

-- Whether a piece is read transaction by transaction: asking many of them one by one takes longer than a walk.
create function quote_batch_has_few(prev pg_snapshot, cur pg_snapshot) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    transactions bigint := pg_snapshot_xmax(cur)::text::bigint - pg_snapshot_xmax(prev)::text::bigint;
begin
    -- Mostly nobody was running.
    if pg_snapshot_xmin(prev) < pg_snapshot_xmax(prev) then
        transactions := transactions + (select count(*) from pg_snapshot_xip(prev));
    end if;
    return transactions <= 2000;
end $$;
comment on function quote_batch_has_few(pg_snapshot, pg_snapshot) is 'whether a batch is of few transactions';

-- The seals of the log, where they are those of attach; null where somebody else's table stands in their place.
create function quote_feed_seals() returns regclass
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = @extschema@.quote_collab_home() and c.relname = 'quote_changes_seals' and c.relkind = 'r' and @extschema@.quote_owner_trusted(c.relowner));
end $$;
comment on function quote_feed_seals() is 'seals of the audit log that the event feed may believe';

-- The first block of seals whose snapshot was taken after another of this cluster: blocks are numbered, and their snapshots ascend. Null when
-- there is none. It looks back from the newest, in steps that double, since readers are mostly near the end, and then between the last two:
-- a history that came from elsewhere may have a million blocks of another cluster before its own.
create function quote_block_after(seals regclass, seen pg_snapshot) returns bigint
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    here bigint := @extschema@.quote_cluster_identifier();
    probe text := format('select s.no, s.cur from %s s where s.no between $1 and $2 and s.origin = $3 and s.form < 4 order by s.no desc limit 1', seals);
    step bigint := 1;
    low bigint := 0;
    place bigint := 9223372036854775807;
    block bigint;
    cur pg_snapshot;
    first_no bigint;
begin
    loop
        execute probe into block, cur using low, place, here;
        if block is null and first_no is null then
            return null;
        elsif block is null then
            low := place + 1;
        elsif pg_snapshot_xmax(cur) > pg_snapshot_xmax(seen) then
            first_no := block;
        else
            low := block + 1;
        end if;
        exit when first_no is null or low >= first_no;
        place := case when low = 0 then greatest(first_no - step, 0) else (low + first_no - 1) / 2 end;
        step := step * 2;
    end loop;
    return first_no;
end $$;
comment on function quote_block_after(regclass, pg_snapshot) is 'first block of seals behind a snapshot';

-- Where a batch may end that would be large: at a snapshot that was really taken on the way, by whoever sealed, before some ten thousand rows have
-- come together. Each piece of a batch costs what the batch is large, and a reader that was away for days has millions of changes before
-- him. Null when the rest is no more than that, or nobody has sealed it. It sees every seal, and tells when one was made.
create function quote_feed_waypoint(prev pg_snapshot, seen pg_snapshot, out cur pg_snapshot, out cur_at timestamptz)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    seals regclass;
begin
    if @extschema@.quote_batch_has_few(prev, seen) then
        return;
    end if;
    seals := @extschema@.quote_feed_seals();
    if seals is null then
        return;
    end if;
    -- Whoever seals or reads in a transaction that looks back sees less than his numbers say: such a snapshot is passed by.
    execute format('select b.cur, b.cur_at from (
            select s.no, s.cur, s.cur_at, sum(s.rows) over (order by s.no) > 10000 as is_far
            from (select * from %s where no >= $1 and origin = $2 and form < 4 order by no limit 1000) s) b
        where pg_snapshot_xmax(b.cur) < pg_snapshot_xmax($4) and not exists (select from pg_snapshot_xip(b.cur) x where pg_visible_in_snapshot(x, $3))
            and not exists (select from pg_snapshot_xip($4) x where pg_visible_in_snapshot(x, b.cur))
        order by b.is_far, case when b.is_far then b.no else -b.no end limit 1', seals)
    into cur, cur_at using @extschema@.quote_block_after(seals, prev), @extschema@.quote_cluster_identifier(), prev, seen;
end $$;
comment on function quote_feed_waypoint(pg_snapshot, pg_snapshot, out pg_snapshot, out timestamptz) is 'a snapshot between two others where a batch of the feed may end';

-- The time before which no change was made that is in a batch or behind it, save for a day: the beginning of a month and a day, since months are
-- what a reader is spared. Of transactions that began while this session watched the clock it knows that time; of others floor_at tells
-- it, by a clock that goes on evenly. Where some of those are in the batch, they may have written when a clock was right again that was
-- ahead: whether older months have anything of the batch is looked up then, and nothing is spared where they have. That waits for
-- whoever has locked one of them.
create function quote_feed_floor(prev pg_snapshot, cur pg_snapshot, floor_at timestamptz) returns timestamptz
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    lowest bigint := pg_snapshot_xmax(prev)::text::bigint;
    watched_from timestamptz;
    all_watched_from timestamptz := @extschema@.quote_clock_floor(pg_snapshot_xmin(prev)::text::bigint);
    month_floor timestamptz;
begin
    -- Mostly nobody was running. Who is running still is in a batch behind this one.
    if pg_snapshot_xmin(prev) < pg_snapshot_xmax(prev) then
        lowest := coalesce((select min(x::text::bigint) from pg_snapshot_xip(prev) x where pg_visible_in_snapshot(x, cur)), lowest);
    end if;
    watched_from := @extschema@.quote_clock_floor(lowest);
    month_floor := @extschema@.quote_changes_month(least(clock_timestamp(), case when all_watched_from > '-infinity' then all_watched_from
        when watched_from > '-infinity' then least(watched_from, floor_at) else floor_at end) - interval '24 hours') + interval '24 hours';
    if watched_from > '-infinity' or month_floor = '-infinity' then
        return month_floor;
    end if;
    perform @extschema@.require_quote_home('{quote_changes}'::text[]);
    return case when @extschema@.quote_block_sinks(prev, cur, @extschema@.quote_cluster_identifier(), month_floor) then '-infinity' else month_floor end;
end $$;
comment on function quote_feed_floor(pg_snapshot, pg_snapshot, timestamptz) is 'time before which no change of a batch or behind it was made, save for a day';
