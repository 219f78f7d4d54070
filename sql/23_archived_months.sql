-- What a clock that was set brings about between the log and its archive: months that are not over come back, rows of others follow theirs.

-- The months of the archive, none where there is no archive.
create function quote_archived_months(log regclass) returns table (month regclass, month_start timestamptz, month_end timestamptz)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_log_schema(log);
begin
    if @extschema@.quote_archive_stands(home) then
        return query select m.month, m.month_start, m.month_end
        from @extschema@.quote_changes_months_before(to_regclass(format('%I.quote_changes_archive', home)), 'infinity'::timestamptz) m;
    end if;
end $$;
comment on function quote_archived_months(regclass) is 'partitions of the archive of an audit log';

-- Takes a month that is not over back from the archive, with the rows of it that the default partition took meanwhile: it was archived while
-- the clock was ahead. Whether it has; the bounds of a large month are noted first, another time, and proved before anything is locked that others
-- wait for. Nobody seals meanwhile. Of a log that is published, rows of the default partition move under the lock, so that subscribers
-- hear of both ends.
create function return_quote_month(log regclass, month regclass, month_name name, month_start timestamptz, month_end timestamptz) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_log_schema(log);
    archive regclass := format('%I.quote_changes_archive', home)::regclass;
    spare regclass := @extschema@.quote_changes_spare(log);
    proved boolean := (select k.convalidated from pg_constraint k where k.conrelid = month and k.conname = 'quote_changes_month' and k.contype = 'c');
begin
    perform @extschema@.lock_quote_seals(log);
    if not proved then
        execute format('alter table %s validate constraint quote_changes_month', month);
    elsif proved is null and pg_relation_size(month) > 67108864 then
        perform @extschema@.lock_quote_log(log, array[archive, month], '{}'::regclass[]), @extschema@.note_quote_month(month, month_start, month_end, false);
        return false;
    end if;
    if not @extschema@.quote_log_is_published(log) and @extschema@.quote_strays_exist(spare, month_start, month_end) then
        perform @extschema@.move_quote_strays(spare, month, month_start, month_end);
    end if;
    perform @extschema@.lock_quote_log(log, array_remove(array[spare, @extschema@.quote_changes_spare(archive)], null) || archive || month, '{}'::regclass[]);
    if proved is null then
        perform @extschema@.note_quote_month(month, month_start, month_end, true);
    end if;
    execute format('alter table %s detach partition %s', archive, month);
    perform @extschema@.join_quote_changes_month(log, spare, month, month_name, month_start, month_end);
    return true;
end $$;
comment on function return_quote_month(regclass, regclass, name, timestamptz, timestamptz) is 'takes a month of an audit log back from the archive';

-- What the relay has told for good, null where there is none: all before the batch that it noted last; before its first batch here, what that one
-- begins behind, or nothing where another cluster's were the last.
create function quote_relay_told(home name) returns pg_snapshot
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    told pg_snapshot;
begin
    execute format('select coalesce(
            (select b.prev from %1$I.quote_relay_batch b where b.no > 0 and b.origin = $1 order by b.no = l.batch desc, b.no limit 1),
            (select b.cur from %1$I.quote_relay_batch b where b.origin = $1 order by b.no desc limit 1), ''3:3:'')
        from %1$I.quote_relay_lease l where l.epoch > 0', home)
    into told using @extschema@.quote_cluster_identifier();
    return told;
end $$;
comment on function quote_relay_told(name) is 'snapshot before which the relay has told everything; null where there is no relay';

-- What was sealed a day ago: whoever reads event feeds at least once a day has read it. Null when nothing was.
create function quote_sealed_a_day_ago(home name) returns pg_snapshot
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    sealed pg_snapshot;
begin
    execute format('select s.cur from %I.quote_changes_seals s
        where s.origin = $1 and s.form < 4 and s.sealed_at < now() - interval ''1 day'' order by s.no desc limit 1', home)
    into sealed using @extschema@.quote_cluster_identifier();
    return sealed;
end $$;
comment on function quote_sealed_a_day_ago(name) is 'snapshot of what was sealed a day ago';

-- Has a part of the log rows of this cluster, of a time, that were not over in a snapshot? None were over in null.
create function quote_rows_behind(part regclass, seen pg_snapshot, month_start timestamptz, month_end timestamptz) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
    found_rows boolean;
begin
    execute format('select exists (
        select from %s c
        where c.xid >= coalesce(pg_snapshot_xmin($1), ''3''::xid8) and pg_visible_in_snapshot(c.xid, $1) is not true
            and c.origin = $2 and c.changed_at >= $3 and c.changed_at < $4)', part)
    into found_rows using seen, @extschema@.quote_cluster_identifier(), month_start, month_end;
    return found_rows;
end $$;
comment on function quote_rows_behind(regclass, pg_snapshot, timestamptz, timestamptz) is 'whether a part of the audit log has rows that a snapshot does not see';

-- Do event feeds still have to read rows of the default partition? They read the log alone, and what time such a row says is not when it was
-- written: the relay has told them, where there is one, and they were sealed a day ago.
create function quote_strays_awaited(home name, spare regclass, month_start timestamptz, month_end timestamptz) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    told pg_snapshot := @extschema@.quote_relay_told(home);
    sealed pg_snapshot := @extschema@.quote_sealed_a_day_ago(home);
begin
    return @extschema@.quote_rows_behind(spare, sealed, month_start, month_end)
        or told is not null and @extschema@.quote_rows_behind(spare, told, month_start, month_end);
end $$;
comment on function quote_strays_awaited(name, regclass, timestamptz, timestamptz) is 'whether event feeds still have to read rows of the default partition';

-- Moves rows of a month that is archived out of the default partition, to where the others of it are, once no event feed waits for them; whether
-- it has, null when there is no such month. Nobody seals meanwhile.
create function archive_quote_strays(log regclass, spare regclass, month_start timestamptz, month_end timestamptz) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_log_schema(log);
    archived regclass := (
        select a.month from @extschema@.quote_archived_months(log) a
        where a.month_start <= archive_quote_strays.month_start and a.month_end >= archive_quote_strays.month_end);
begin
    if archived is null then
        return null;
    elsif @extschema@.quote_strays_awaited(home, spare, month_start, month_end) then
        return false;
    elsif @extschema@.quote_log_is_published(log) then
        raise exception 'their month is archived, and the log is published' using errcode = 'object_not_in_prerequisite_state',
            detail = 'Moving them by DELETE and INSERT would be told to subscribers as changes.',
            hint = 'Take the audit log out of its publications while they move.';
    end if;
    perform @extschema@.lock_quote_seals(log);
    perform @extschema@.note_quote_log_cut(log, m.newest, m.last_position) from @extschema@.move_quote_strays(spare, archived, month_start, month_end) m;
    return true;
end $$;
comment on function archive_quote_strays(regclass, regclass, timestamptz, timestamptz) is 'moves rows of an archived month out of the default partition of an audit log';
