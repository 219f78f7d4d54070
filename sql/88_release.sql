-- Letting history go after its retention, without losing the evidence for what stays. The chain of seals takes a block that
-- says which blocks are gone, and what is left of those that lie across the edge; it is sealed like any other block.

-- What the releases of a chain say: the blocks of which no row is left, and rows and root of what is left of others, by number.
create function quote_history_released(out gone int8multirange, out remains jsonb)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    release jsonb;
begin
    gone := '{}';
    remains := '{}';
    for release in execute format('select s.released from %s s where s.released is not null order by s.no', @extschema@.quote_relay_table('quote_changes_seals')) loop
        gone := gone + coalesce((release ->> 'gone')::int8multirange, '{}');
        remains := remains || coalesce(release -> 'remains', '{}');
    end loop;
end $$;
comment on function quote_history_released(out int8multirange, out jsonb) is 'what was let go of the sealed history';
revoke execute on function quote_history_released(out int8multirange, out jsonb) from public;

-- The blocks that may hold rows of a span of time, each with what its rows must be and are: a block of another cluster's
-- rows, or of any time, may hold any.
create function examine_quote_seals(from_at timestamptz, until_at timestamptz)
returns table (no bigint, expected_rows bigint, expected_root bytea, rows bigint, root bytea)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    b record;
    released record;
begin
    select * into released from @extschema@.quote_history_released();
    for b in execute format($query$
        select * from (select lag(s.cur) over chain as before_cur, lag(s.origin) over chain as before_origin, s.* from %s s window chain as (order by s.no)) x
        where x.no > 0 and x.released is null and not $1 @> x.no
            and (x.floor_at - interval '24 hours' < $3 and x.cur_at + interval '24 hours' > $2 or x.form in (3, 4) or x.origin <> x.before_origin)
        order by x.no$query$, @extschema@.quote_relay_table('quote_changes_seals')) using released.gone, from_at, until_at
    loop
        no := b.no;
        expected_rows := coalesce((released.remains -> b.no::text ->> 'rows')::bigint, b.rows);
        expected_root := coalesce(decode(released.remains -> b.no::text ->> 'root', 'hex'), b.root);
        select d.rows, d.root into rows, root from @extschema@.digest_quote_changes(b.form, b.prev, b.cur, b.origin, b.floor_at,
            b.cur_at, b.before_cur, b.before_origin,
            case when b.origin <> b.before_origin and b.form < 4 then @extschema@.quote_taken_until(b.before_origin, b.no) end) d;
        return next;
    end loop;
end $$;
comment on function examine_quote_seals(timestamptz, timestamptz) is 'the sealed blocks of a span of time beside what their rows are';
revoke execute on function examine_quote_seals(timestamptz, timestamptz) from public;

-- Adds the block that lets rows go. Between its neighbours as if nothing had become visible meanwhile.
create function seal_quote_release(released jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seals text := @extschema@.quote_relay_table('quote_changes_seals');
    last record;
    root bytea := sha256(convert_to(released::text, 'UTF8'));
begin
    execute format('select * from %s order by no desc limit 1', seals) into strict last;
    perform @extschema@.append_quote_seal(last.hash, last.no + 1, last.cur, last.cur, @extschema@.quote_block_floor(last.prev, last.cur, last.prev_at, last.floor_at),
        last.cur_at, last.cur_at, last.origin, 0, root, clock_timestamp(), 2::smallint, released);
end $$;
comment on function seal_quote_release(jsonb) is 'adds a block to the chain of seals that lets rows go';
revoke execute on function seal_quote_release(jsonb) from public;

-- Keeps writers away from months that are to go, and counts their rows.
create function lock_quote_months(months regclass[]) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    month regclass;
    counted bigint;
    present bigint := 0;
begin
    foreach month in array months loop
        execute format('lock table %s in share mode', month);
        execute format('select count(*) from %s', month) into counted;
        present := present + counted;
    end loop;
    return present;
end $$;
comment on function lock_quote_months(regclass[]) is 'locks months of the audit log against writers and counts their rows';

-- Rows of months that were sealed by nobody here, since they arrive from where they were made.
create function count_arrived_quote_changes(months regclass[]) returns bigint
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    month regclass;
    counted bigint;
    arrived bigint := 0;
begin
    if not @extschema@.quote_history_arrives() then
        return 0;
    end if;
    foreach month in array months loop
        execute format('select count(*) from (select c.origin, c.xid from %s c where c.origin <> $1) c
            join (select o.origin, @extschema@.quote_sealed_until(o.origin, 9223372036854775807) as until from (select distinct x.origin from %1$s x) o) o using (origin)
            where pg_visible_in_snapshot(c.xid, o.until) is not true', month) into counted using @extschema@.quote_cluster_identifier();
        arrived := arrived + counted;
    end loop;
    return arrived;
end $$;
comment on function count_arrived_quote_changes(regclass[]) is 'rows of months that only their publisher has sealed';
revoke execute on function count_arrived_quote_changes(regclass[]) from public;

-- Notes when history could not be dropped that its age lets go, for maintenance and the doctor; null: there is none.
create function note_quote_drop_refused(at timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- An update of no row at all would have all sessions forget what they keep of the settings.
    if exists (select from @extschema@.quote_collab_settings s where s.entity = 'QUOTE' and s.drop_refused_at is distinct from at) then
        update @extschema@.quote_collab_settings s set drop_refused_at = at where s.entity = 'QUOTE';
    end if;
end $$;
comment on function note_quote_drop_refused(timestamptz) is 'notes when history was kept although its age lets it go';
revoke execute on function note_quote_drop_refused(timestamptz) from public;

-- Drops the archived months that ended before now() - older_than, all or none; returns how many. Refuses, with 55000, to
-- let go what is not as it was sealed: the evidence would go with it; of what arrives by replication its publisher has it. Reads all
-- that it drops; waits at most 5 seconds for its locks, unless lock_timeout says otherwise.
create function drop_archived_quote_changes(older_than interval) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
set client_min_messages = warning
as $$
declare
    archive regclass := case when @extschema@.quote_archive_stands(@extschema@.quote_collab_home()) then @extschema@.quote_relay_table('quote_changes_archive')::regclass end;
    months regclass[];
    from_at timestamptz;
    until_at timestamptz;
    month regclass;
    present bigint;
    arrived bigint;
    before record;
    after record;
    patience text;
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_changes_seals}'::text[]);
    if older_than is null or older_than <= interval '0' or older_than > interval '1000 years' then
        raise exception 'the age must be a positive interval of at most 1000 years' using errcode = 'invalid_parameter_value',
            detail = format('%s was given.', coalesce(older_than::text, 'null')),
            hint = 'For example select drop_archived_quote_changes(interval ''10 years'').';
    end if;
    perform @extschema@.require_quote_months_seen();
    if not exists (select from @extschema@.quote_changes_months_before(archive, now() - older_than)) then
        perform @extschema@.note_quote_drop_refused(null::timestamptz);
        return 0;
    end if;
    patience := @extschema@.bound_quote_patience();
    perform @extschema@.take_quote_turn(), @extschema@.lock_quote_seals(@extschema@.quote_relay_table('quote_changes')::regclass), @extschema@.seal_quote_history();
    -- Of two at once the other may have dropped them.
    select array_agg(m.month), min(m.month_start), max(m.month_end) into months, from_at, until_at
    from @extschema@.quote_changes_months_before(archive, now() - older_than) m;
    if months is null then
        perform @extschema@.set_quote_option('lock_timeout', patience);
        return 0;
    end if;
    present := @extschema@.lock_quote_months(months);
    arrived := @extschema@.count_arrived_quote_changes(months);
    select sum(x.rows) as rows, bool_and(x.rows = x.expected_rows and x.root = x.expected_root) as intact
    into before from @extschema@.examine_quote_seals(from_at, until_at) x;
    foreach month in array months loop
        execute format('drop table %s', month);
    end loop;
    select coalesce(sum(x.rows), 0) as rows,
        coalesce(range_agg(int8range(x.no, x.no, '[]')) filter (where x.rows = 0), '{}') as gone,
        coalesce(jsonb_object_agg(x.no, jsonb_build_object('rows', x.rows, 'root', encode(x.root, 'hex')))
            filter (where x.rows > 0 and x.rows <> x.expected_rows), '{}') as remains
    into after from @extschema@.examine_quote_seals(from_at, until_at) x;
    if coalesce(before.intact, arrived = present) is not true or coalesce(before.rows, 0) - after.rows <> present - arrived then
        raise exception 'the history to be dropped is not as it was sealed' using errcode = 'object_not_in_prerequisite_state',
            detail = 'The rows of these months are not those that the seals count.',
            hint = 'See what select * from verify_quote_history() finds, and keep its findings.';
    end if;
    perform @extschema@.seal_quote_release(jsonb_build_object('rows', present, 'gone', after.gone::text, 'remains', after.remains,
        'from', to_char(from_at at time zone 'UTC', 'YYYY-MM-DD'), 'until', to_char(until_at at time zone 'UTC', 'YYYY-MM-DD')));
    perform @extschema@.note_quote_drop_refused(null::timestamptz), @extschema@.set_quote_option('lock_timeout', patience);
    return cardinality(months);
end $$;
comment on function drop_archived_quote_changes(interval) is 'drops archived months of the audit log after their retention; returns how many';
revoke execute on function drop_archived_quote_changes(interval) from public;
