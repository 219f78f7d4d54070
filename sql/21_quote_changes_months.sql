-- The monthly partitions of the audit log.

-- First day of the month of a time, in UTC: partition bounds must not move with the session's time zone.
-- Not in SQL: PostgreSQL would plan it anew with each wake-up of the relay.
create function quote_changes_month(at timestamptz) returns timestamptz
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ begin return date_trunc('month', at at time zone 'UTC') at time zone 'UTC'; end $$;
comment on function quote_changes_month(timestamptz) is 'start of the monthly partition of quote_changes that a time belongs to';

-- Locks views over the log, the log, and others of its tables, against everybody, for a change that takes a moment: in the order in which
-- readers lock them, so that hardly one of them holds what is wanted here and waits for what is held here. New readers and writers
-- wait behind it, so it waits a tenth of a second at a time, gives all back in between, and tries again for as long as
-- lock_timeout says, by default 5 seconds. SQLSTATE 55P03.
create function lock_quote_log(log regclass, tables regclass[], views regclass[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    set_to text := current_setting('lock_timeout');
    patience text := coalesce(nullif(set_to, '0'), '5s');
    deadline timestamptz := clock_timestamp() + patience::interval;
    pause double precision := 0.1;
    busy regclass;
begin
    loop
        begin
            perform @extschema@.set_quote_option('lock_timeout', least(50, greatest(1, ceil(extract(epoch from deadline - clock_timestamp()) * 1000)))::bigint::text);
            -- LOCK TABLE would lock all that a view reads. This locks the view alone, and changes nothing: all of ours have the option.
            foreach busy in array views loop
                execute format('alter view %s set (security_invoker = true)', busy);
            end loop;
            perform @extschema@.set_quote_option('lock_timeout', least(100, greatest(1, ceil(extract(epoch from deadline - clock_timestamp()) * 1000)))::bigint::text);
            busy := log;
            busy := @extschema@.try_lock_quote_relations(log, log || tables, '{}'::regclass[]);
            if busy is null then
                perform @extschema@.set_quote_option('lock_timeout', set_to);
                exit;
            end if;
            raise lock_not_available;
        exception when lock_not_available then
            null;
        end;
        if clock_timestamp() >= deadline then
            raise exception 'relation % is in use', busy
                using errcode = 'lock_not_available', detail = format('It was not free within %s.', patience),
                      hint = 'Try again when no long transaction uses it, or set lock_timeout to try longer.';
        end if;
        perform pg_sleep(pause * (0.5 + random()));
        pause := least(pause * 2, 1);
    end loop;
end $$;
comment on function lock_quote_log(regclass, regclass[], regclass[]) is 'locks an audit log and what belongs to it for a moment, and gives way meanwhile';

-- Does somebody publish what happens in the log? He must hear of rows that leave the default partition and of their coming, or of neither.
create function quote_log_is_published(log regclass) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from pg_publication_tables p
        join pg_namespace n on n.nspname = p.schemaname join pg_class c on c.relnamespace = n.oid and c.relname = p.tablename
        where c.oid = log or c.oid in (select i.inhrelid from pg_inherits i where i.inhparent = log))
$$;
comment on function quote_log_is_published(regclass) is 'whether a publication has the audit log';

-- Refuses to move rows of a log of which a publication tells inserts and not deletes: SQLSTATE 55000.
create function require_quote_deletes_published(log regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (
        select from pg_publication_tables p join pg_publication b on b.pubname = p.pubname
        join pg_namespace n on n.nspname = p.schemaname join pg_class c on c.relnamespace = n.oid and c.relname = p.tablename
        where (c.oid = log or c.oid in (select i.inhrelid from pg_inherits i where i.inhparent = log)) and b.pubinsert and not b.pubdelete)
    then
        raise exception 'a publication tells of inserts into the audit log and not of deletes' using errcode = 'object_not_in_prerequisite_state',
            detail = 'Its subscribers would get rows that move out of the default partition twice.',
            hint = 'alter publication ... set (publish = ''insert, delete, truncate'');';
    end if;
end $$;
comment on function require_quote_deletes_published(regclass) is 'refuses to move rows of a log of which inserts alone are published';

create function quote_strays_exist(spare regclass, month_start timestamptz, month_end timestamptz) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    found_rows boolean := false;
begin
    if spare is not null then
        execute format('select exists (select from %s where changed_at >= $1 and changed_at < $2)', spare) into found_rows using month_start, month_end;
    end if;
    return found_rows;
end $$;
comment on function quote_strays_exist(regclass, timestamptz, timestamptz) is 'whether the default partition of an audit log has rows of a month';

-- Takes the rows of a month out of the default partition, or what holds them meanwhile, as they are. Who guards the log against deletions means others: no row
-- is lost. Tells their newest transaction of this cluster and last position; null for none.
create function move_quote_strays(
    spare regclass, target regclass, month_start timestamptz, month_end timestamptz, out newest bigint, out last_position bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    role text := current_setting('session_replication_role');
    silent boolean := has_parameter_privilege(current_user, 'session_replication_role', 'set');
    names text := (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute a
        where a.attrelid = spare and a.attnum > 0 and not a.attisdropped);
begin
    if silent then
        perform @extschema@.set_quote_option('session_replication_role', 'replica');
    end if;
    execute format('with strays as (delete from %1$s where changed_at >= $1 and changed_at < $2 returning *),
            moved as (insert into %2$s (%3$s) select %3$s from strays returning xid, position, origin)
        select max(m.xid::text::bigint), max(m.position) from moved m where m.origin = $3', spare, target, names)
    into newest, last_position using month_start, month_end, @extschema@.quote_cluster_identifier();
    if silent then
        perform @extschema@.set_quote_option('session_replication_role', role);
    end if;
end $$;
comment on function move_quote_strays(regclass, regclass, timestamptz, timestamptz, out bigint, out bigint) is 'moves rows of a month out of the default partition of an audit log';

-- Nobody seals until the end of the transaction. A log of an early release has no seals.
create function lock_quote_seals(log regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seals regclass := to_regclass(format('%I.quote_changes_seals', @extschema@.quote_log_schema(log)));
begin
    if seals is not null then
        execute format('lock table %s in share update exclusive mode', seals);
    end if;
end $$;
comment on function lock_quote_seals(regclass) is 'keeps others from sealing an audit log';

-- The table of a month that somebody detached from the log; null where none stands under its name, or one that is not as the log's months are: with
-- their columns, and without checks and triggers of others, which would be run by whoever places rows in it.
create function detached_quote_changes_month(log regclass, month_name name) returns regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select m.oid::regclass from pg_class l join pg_class m on m.relnamespace = l.relnamespace and m.relname = month_name
    where l.oid = log and m.relkind = 'r' and m.relowner = l.relowner and not m.relispartition
        and not exists (select from pg_trigger t where t.tgrelid = m.oid and t.oid not in (select g.guard from @extschema@.quote_truncate_guards() g))
        and not exists (select from pg_rewrite r where r.ev_class = m.oid)
        and not exists (select from pg_constraint c where c.conrelid = m.oid and c.contype not in ('p', 'n'))
        and array(select (a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attnotnull)::text from pg_attribute a
                where a.attrelid = m.oid and a.attnum > 0 and not a.attisdropped order by a.attname)
            = array(select (a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attnotnull)::text from pg_attribute a
                where a.attrelid = log and a.attnum > 0 and not a.attisdropped order by a.attname)
$$;
comment on function detached_quote_changes_month(regclass, name) is 'a month that was detached from an audit log';

-- What a month says of its bounds to a table that it is not attached to: a check, proved at once or not yet.
create function note_quote_month(month regclass, month_start timestamptz, month_end timestamptz, proved boolean) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
begin
    execute format('alter table %s add constraint quote_changes_month check (changed_at >= %L and changed_at < %L)', month, month_start, month_end)
        || case when proved then '' else ' not valid' end;
    execute format('comment on constraint quote_changes_month on %s is %L', month, 'bounds of the month, for the archive');
end $$;
comment on function note_quote_month(regclass, timestamptz, timestamptz, boolean) is 'adds the bounds of a month to it as a check';

-- A month beside the log, or one that was detached from it, with the rows that the default partition has of it: all that takes long, while readers and writers go on
-- and see the rows where they were. No month where there are no such rows. Nobody seals meanwhile, who would look for them in either place.
create function build_quote_changes_month(log regclass, spare regclass, month_name name, month_start timestamptz,
    month_end timestamptz) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
declare
    log_schema name := @extschema@.quote_log_schema(log);
    month regclass;
begin
    if not @extschema@.quote_strays_exist(spare, month_start, month_end) then
        return null;
    end if;
    perform @extschema@.lock_quote_seals(log), @extschema@.require_quote_deletes_published(log);
    if @extschema@.quote_log_is_published(log) then
        return null;
    end if;
    month := @extschema@.detached_quote_changes_month(log, month_name);
    if month is null then
        execute format('create table %I.%I (like %s including all excluding comments excluding statistics excluding identity excluding defaults)',
            log_schema, month_name, log);
        month := format('%I.%I', log_schema, month_name)::regclass;
    end if;
    -- It proves the bounds, so that attaching the month needs no look at its rows.
    perform @extschema@.note_quote_month(month, month_start, month_end, true), @extschema@.move_quote_strays(spare, month, month_start, month_end);
    return month;
end $$;
comment on function build_quote_changes_month(regclass, regclass, name, timestamptz, timestamptz) is 'builds a month of an audit log of what lies in its default partition';

-- Makes a month that was built, or a new one, a partition of the log, which the caller has locked. PostgreSQL reads the default partition
-- to see that nothing of the month is left there; where the log is published its rows move only now.
create function join_quote_changes_month(log regclass, spare regclass, month regclass, month_name name, month_start timestamptz,
    month_end timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
declare
    log_schema name := @extschema@.quote_log_schema(log);
    log_owner name := (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = log);
    has_strays boolean := false;
    outdated regclass;
begin
    -- Subscribers to a log that is published hear of both ends when rows move under the lock, and not at all of a month that is not attached.
    if @extschema@.quote_log_is_published(log) then
        has_strays := @extschema@.quote_strays_exist(spare, month_start, month_end);
    -- What writers have added meanwhile; a month that is over got nothing more.
    elsif month is not null and month_end > now() - interval '1 day' then
        perform @extschema@.move_quote_strays(spare, month, month_start, month_end);
    end if;
    if has_strays then
        perform @extschema@.require_quote_deletes_published(log);
        execute format('create temporary table quote_changes_strays (like %s)', log);
        perform @extschema@.move_quote_strays(spare, to_regclass('pg_temp.quote_changes_strays'::text), month_start, month_end);
    end if;
    month := coalesce(month, @extschema@.detached_quote_changes_month(log, month_name));
    if month is not null then
        execute format('alter table %s attach partition %s for values from (%L) to (%L)', log, month, month_start, month_end);
        execute format('alter table %s drop constraint if exists quote_changes_month', month);
    else
        execute format('create table %I.%I partition of %s for values from (%L) to (%L)', log_schema, month_name, log, month_start, month_end);
        month := format('%I.%I', log_schema, month_name)::regclass;
        execute format('alter table %s alter column position drop default', month);
    end if;
    if has_strays then
        perform @extschema@.move_quote_strays(to_regclass('pg_temp.quote_changes_strays'::text), month, month_start, month_end);
        drop table pg_temp.quote_changes_strays;
    end if;
    -- A log of 0.6.0 or before hands this on, and no longer needs it.
    for outdated in select c.oid from pg_index i join pg_class c on c.oid = i.indexrelid where i.indrelid = month and 'autosummarize=on' = any (c.reloptions) loop
        execute format('alter index %s reset (autosummarize)', outdated);
    end loop;
    execute format('alter table %s owner to %I', month, log_owner);
    execute format('comment on table %s is %L', month, 'one month of the quote audit log');
    perform @extschema@.close_quote_table(month), @extschema@.protect_quote_table(month, 'quote_changes_tenant_isolation'::name),
        @extschema@.guard_quote_history(month);
end $$;
comment on function join_quote_changes_month(regclass, regclass, regclass, name, timestamptz, timestamptz) is 'attaches a month to an audit log that is locked';

create function quote_log_schema(log regclass) returns name
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = log $$;
comment on function quote_log_schema(regclass) is 'schema of an audit log';

-- The default partition of a log.
create function quote_changes_spare(log regclass) returns regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select nullif(p.partdefid, 0)::regclass from pg_partitioned_table p where p.partrelid = log $$;
comment on function quote_changes_spare(regclass) is 'default partition of an audit log';

-- One month, with the rows of it that the default partition took meanwhile.
create function create_quote_changes_month(log regclass, month_name name, month_start timestamptz, month_end timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    spare regclass := @extschema@.quote_changes_spare(log);
    month regclass := @extschema@.build_quote_changes_month(log, spare, month_name, month_start, month_end);
begin
    perform @extschema@.lock_quote_log(log, array_remove(array[spare], null), '{}'::regclass[]);
    perform @extschema@.join_quote_changes_month(log, spare, month, month_name, month_start, month_end);
end $$;
comment on function create_quote_changes_month(regclass, name, timestamptz, timestamptz) is 'creates one monthly partition of an audit log';

create function quote_changes_month_name(log regclass, month_start timestamptz) returns name
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select format('%s_%s', c.relname, to_char(month_start at time zone 'UTC', 'YYYY_MM'))::name from pg_class c where c.oid = log $$;
comment on function quote_changes_month_name(regclass, timestamptz) is 'name of the monthly partition of an audit log';

-- Does a partition of a log, whatever it is called, take what is written at a time? The default partition does not count.
create function quote_month_stands(log regclass, at timestamptz) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
    select exists (
        select from pg_inherits i join pg_class c on c.oid = i.inhrelid
        cross join lateral (select regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM [(](''([^'']+)''|MINVALUE)[)] TO [(](''([^'']+)''|MAXVALUE)[)]')) b (bounds)
        where i.inhparent = log and not i.inhdetachpending and b.bounds is not null
            and coalesce(b.bounds[2]::timestamptz, '-infinity') <= at and coalesce(b.bounds[4]::timestamptz, 'infinity') > at)
$$;
comment on function quote_month_stands(regclass, timestamptz) is 'whether an audit log has a partition for a time';

-- The start of the month that is so many behind that of a time. Months are those of UTC, as the partitions are, in whatever zone a session is.
create function quote_month_ahead(at timestamptz, months integer) returns timestamptz
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ begin return (date_trunc('month', at at time zone 'UTC') + make_interval(months => months)) at time zone 'UTC'; end $$;
comment on function quote_month_ahead(timestamptz, integer) is 'start of a monthly partition behind that of a time';

-- Creates the monthly partitions that are missing up to months_ahead; returns how many it made. A partition carries
-- its own row security, because a partition read directly bypasses its parent's policies. A month that cannot be made is
-- said and left to the default partition, and stops nobody else's work.
create function create_quote_changes_partitions(log regclass, months_ahead integer default 3) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    first timestamptz;
    ends timestamptz;
    month_name name;
    archived regclass;
    made integer := 0;
begin
    if months_ahead is null or months_ahead not between 0 and 120 then
        raise exception 'the months ahead must be between 0 and 120' using errcode = 'invalid_parameter_value',
            detail = format('%s was given.', coalesce(months_ahead::text, 'null')), hint = 'Maintenance makes three.';
    end if;
    for month in 0 .. months_ahead loop
        first := @extschema@.quote_month_ahead(now(), month);
        month_name := @extschema@.quote_changes_month_name(log, first);
        continue when exists (select from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = log and c.relname = month_name);
        continue when @extschema@.quote_month_stands(log, first);
        ends := @extschema@.quote_month_ahead(first, 1);
        perform @extschema@.take_quote_turn();
        begin
            archived := (select a.month from @extschema@.quote_archived_months(log) a where (a.month_start, a.month_end) = (first, ends));
            if archived is null then
                perform @extschema@.create_quote_changes_month(log, month_name, first, ends);
                made := made + 1;
            else
                made := made + @extschema@.return_quote_month(log, archived, month_name, first, ends)::integer;
            end if;
        exception when others then
            raise warning 'month % of the audit log has no partition: %', to_char(first at time zone 'UTC', 'YYYY-MM'), sqlerrm
                using hint = 'The default partition takes its rows until the next attempt.';
            -- Who keeps the log from one month keeps it from the others.
            exit when sqlstate = '55P03';
        end;
    end loop;
    return made;
end $$;
comment on function create_quote_changes_partitions(regclass, integer) is 'creates the missing monthly partitions of an audit log';

-- Makes the months of rows that lie in the default partition because there was none when they were written, and moves them
-- there, the oldest first, or to the archive, where theirs is and event feeds have read them; returns how many months it made or filled. Nothing is
-- copied to where it can be seen twice, nothing is changed in a row. Readers and writers go on while rows move; the log is locked when all are moved, for as long as reading the default partition takes
-- once a month. A month that cannot be made is said and left. Does nothing where the default partition is larger than largest.
create function place_quote_strays(log regclass, at_most integer default 120, largest bigint default null) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    spare regclass := @extschema@.quote_changes_spare(log);
    first timestamptz;
    ends timestamptz;
    months regclass[] := array[]::regclass[];
    starts timestamptz[] := array[]::timestamptz[];
    month regclass;
    archived integer := 0;
    is_moved boolean;
begin
    if log is distinct from to_regclass(format('%I.quote_changes', @extschema@.quote_collab_home())) then
        raise exception '% is not the audit log', log using errcode = 'invalid_parameter_value',
            detail = 'Each history has one, beside the first pair that was attached to it.', hint = 'Name quote_changes.';
    elsif spare is null or pg_relation_size(spare) > largest then
        return 0;
    end if;
    -- Before anything is read: two of these at once would each wait for what the other has read.
    perform @extschema@.take_quote_turn(), @extschema@.lock_quote_seals(log);
    for first in execute format('select distinct date_trunc(''month'', c.changed_at at time zone ''UTC'') at time zone ''UTC'' from %s c
        where isfinite(c.changed_at) order by 1', spare)
    loop
        exit when cardinality(starts) + archived >= at_most;
        ends := @extschema@.quote_month_ahead(first, 1);
        begin
            is_moved := @extschema@.archive_quote_strays(log, spare, first, ends);
            if is_moved is not null then
                archived := archived + is_moved::integer;
                continue;
            end if;
            select m.month into month from @extschema@.quote_changes_months_before(log, 'infinity'::timestamptz) m
            where m.month_start < ends and m.month_end > first limit 1;
            if found then
                raise exception 'partition % has a part of it', month using errcode = 'invalid_object_definition',
                    detail = format('It overlaps with the month that begins at %s.', first), hint = 'Partitions are to have a month each.';
            end if;
            month := @extschema@.build_quote_changes_month(log, spare, @extschema@.quote_changes_month_name(log, first), first, ends);
            months := months || month;
            starts := starts || first;
        exception when others then
            raise warning 'rows of month % of the audit log stay in its default partition: %', to_char(first at time zone 'UTC', 'YYYY-MM'), sqlerrm;
            -- Who keeps one month from being built keeps the others, and each would wait as long.
            exit when sqlstate = '55P03';
        end;
    end loop;
    if cardinality(starts) > 0 then
        perform @extschema@.lock_quote_log(log, array[spare], '{}'::regclass[]);
        for i in 1 .. cardinality(starts) loop
            perform @extschema@.join_quote_changes_month(log, spare, months[i], @extschema@.quote_changes_month_name(log, starts[i]), starts[i],
                @extschema@.quote_month_ahead(starts[i], 1));
        end loop;
    end if;
    return cardinality(starts) + archived;
end $$;
comment on function place_quote_strays(regclass, integer, bigint) is 'moves rows from the default partition of an audit log to months of their own; returns how many months';
revoke execute on function place_quote_strays(regclass, integer, bigint) from public;
