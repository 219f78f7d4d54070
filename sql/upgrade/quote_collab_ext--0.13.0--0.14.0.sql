-- From 0.13.0 to 0.14.0.
-- Functions.
create or replace function quote_changes_month(at timestamptz) returns timestamptz
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ begin return date_trunc('month', at at time zone 'UTC') at time zone 'UTC'; end $$;
create or replace function quote_batch_has_few(prev pg_snapshot, cur pg_snapshot) returns boolean
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
create or replace function quote_feed_floor(prev pg_snapshot, cur pg_snapshot, floor_at timestamptz) returns timestamptz
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
