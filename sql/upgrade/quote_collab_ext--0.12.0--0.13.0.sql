-- From 0.12.0 to 0.13.0.
-- Functions.
create function set_quote_option(name text, value text) returns void
language c strict as 'MODULE_PATHNAME', 'set_quote_option';
comment on function set_quote_option(text, text) is 'sets a setting that the extension needs to the end of the transaction';
create function watch_quote_clock() returns void
strict volatile parallel restricted language c
as 'MODULE_PATHNAME', 'watch_quote_clock_wrapper';
comment on function watch_quote_clock() is 'looks at the clock, which a session watches that does so every few seconds';
create function quote_clock_floor(transaction bigint) returns timestamptz
strict volatile parallel restricted language c
as 'MODULE_PATHNAME', 'quote_clock_floor_wrapper';
comment on function quote_clock_floor(bigint) is 'time before which nothing was recorded by a transaction and those behind it; -infinity where this session has not watched the clock';
create or replace function quote_tenant_rule() returns text
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
as $$
    select format('(tenant_id = ( SELECT %s() AS current_quote_tenant))', to_regprocedure('@extschema@.current_quote_tenant()')::oid::regproc)
$$;
create or replace function quote_table_is_protected(target regclass, policy name) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
as $$
    select c.relrowsecurity and c.relforcerowsecurity and exists (
        select from pg_policy p
        where p.polrelid = c.oid and p.polname = policy and p.polpermissive and p.polcmd = '*' and p.polroles = '{0}'
            and p.polwithcheck is null and pg_get_expr(p.polqual, p.polrelid) = @extschema@.quote_tenant_rule())
    from pg_class c where c.oid = target
$$;
create or replace function lock_quote_log(log regclass, tables regclass[], views regclass[]) returns void
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
create or replace function move_quote_strays(spare regclass, target regclass, month_start timestamptz, month_end timestamptz) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    role text := current_setting('session_replication_role');
    silent boolean := has_parameter_privilege(current_user, 'session_replication_role', 'set');
begin
    if silent then
        perform @extschema@.set_quote_option('session_replication_role', 'replica');
    end if;
    execute format('with strays as (delete from %s where changed_at >= $1 and changed_at < $2 returning *) insert into %s select * from strays', spare, target)
    using month_start, month_end;
    if silent then
        perform @extschema@.set_quote_option('session_replication_role', role);
    end if;
end $$;
create function quote_log_schema(log regclass) returns name
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = log $$;
comment on function quote_log_schema(regclass) is 'schema of an audit log';
create or replace function build_quote_changes_month(log regclass, spare regclass, month_name name, month_start timestamptz,
    month_end timestamptz) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
declare
    log_schema name := @extschema@.quote_log_schema(log);
    seals regclass := to_regclass(format('%I.quote_changes_seals', log_schema));
    month regclass;
begin
    if not @extschema@.quote_strays_exist(spare, month_start, month_end) then
        return null;
    end if;
    if seals is not null then
        execute format('lock table %s in share update exclusive mode', seals);
    end if;
    perform @extschema@.require_quote_deletes_published(log);
    if @extschema@.quote_log_is_published(log) then
        return null;
    end if;
    -- The check proves its bounds, so that attaching it needs no look at its rows.
    execute format('create table %I.%I (like %s including all excluding comments excluding statistics excluding identity excluding defaults,
        constraint quote_changes_month check (changed_at >= %L and changed_at < %L))', log_schema, month_name, log, month_start, month_end);
    month := format('%I.%I', log_schema, month_name)::regclass;
    perform @extschema@.move_quote_strays(spare, month, month_start, month_end);
    return month;
end $$;
create or replace function join_quote_changes_month(log regclass, spare regclass, month regclass, month_name name, month_start timestamptz,
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
    if month is not null then
        execute format('alter table %s attach partition %s for values from (%L) to (%L)', log, month, month_start, month_end);
        execute format('alter table %s drop constraint quote_changes_month', month);
    else
        execute format('create table %I.%I partition of %s for values from (%L) to (%L)', log_schema, month_name, log, month_start, month_end);
        month := format('%I.%I', log_schema, month_name)::regclass;
        execute format('alter table %s alter column position drop default', month);
    end if;
    if has_strays then
        execute format('insert into %s select * from pg_temp.quote_changes_strays', month);
        drop table pg_temp.quote_changes_strays;
    end if;
    -- A log of 0.6.0 or before hands this on, and no longer needs it.
    for outdated in select c.oid from pg_index i join pg_class c on c.oid = i.indexrelid where i.indrelid = month and 'autosummarize=on' = any (c.reloptions) loop
        execute format('alter index %s reset (autosummarize)', outdated);
    end loop;
    execute format('alter table %s owner to %I', month, log_owner);
    execute format('comment on table %s is %L', month, 'one month of the quote audit log');
    perform @extschema@.close_quote_table(month), @extschema@.protect_quote_table(month, 'quote_changes_tenant_isolation'::name);
end $$;
create or replace function create_quote_changes_partitions(log regclass, months_ahead integer default 3) returns integer
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
        raise exception 'the months ahead must be between 0 and 120' using errcode = 'invalid_parameter_value';
    end if;
    for month in 0 .. months_ahead loop
        first := @extschema@.quote_changes_month(now() + make_interval(months => month));
        month_name := @extschema@.quote_changes_month_name(log, first);
        continue when exists (select from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = log and c.relname = month_name);
        continue when @extschema@.quote_month_stands(log, first);
        ends := @extschema@.quote_changes_month(first + interval '32 days');
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
create or replace function place_quote_strays(log regclass, at_most integer default 120, largest bigint default null) returns integer
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
    if spare is null or pg_relation_size(spare) > largest then
        return 0;
    end if;
    for first in execute format('select distinct date_trunc(''month'', c.changed_at at time zone ''UTC'') at time zone ''UTC'' from %s c
        where isfinite(c.changed_at) order by 1', spare)
    loop
        exit when cardinality(starts) + archived >= at_most;
        ends := @extschema@.quote_changes_month(first + interval '32 days');
        begin
            is_moved := @extschema@.archive_quote_strays(log, spare, first, ends);
            if is_moved is not null then
                archived := archived + is_moved::integer;
                continue;
            end if;
            select m.month into month from @extschema@.quote_changes_months_before(log, 'infinity'::timestamptz) m
            where m.month_start < ends and m.month_end > first limit 1;
            if found then
                raise exception 'partition % has a part of it', month using errcode = 'invalid_object_definition';
            end if;
            month := @extschema@.build_quote_changes_month(log, spare, @extschema@.quote_changes_month_name(log, first), first, ends);
            months := months || month;
            starts := starts || first;
        exception when others then
            raise warning 'rows of month % of the audit log stay in its default partition: %', to_char(first at time zone 'UTC', 'YYYY-MM'), sqlerrm;
        end;
    end loop;
    if cardinality(starts) > 0 then
        perform @extschema@.lock_quote_log(log, array[spare], '{}'::regclass[]);
        for i in 1 .. cardinality(starts) loop
            perform @extschema@.join_quote_changes_month(log, spare, months[i], @extschema@.quote_changes_month_name(log, starts[i]), starts[i],
                @extschema@.quote_changes_month(starts[i] + interval '32 days'));
        end loop;
    end if;
    return cardinality(starts) + archived;
end $$;
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
    execute format('lock table %I.quote_changes_seals in share update exclusive mode', home);
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
create or replace function archive_quote_strays(log regclass, spare regclass, month_start timestamptz, month_end timestamptz) returns boolean
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
        raise exception 'their month is archived, and the log is published' using errcode = 'object_not_in_prerequisite_state';
    end if;
    execute format('lock table %I.quote_changes_seals in share update exclusive mode', home);
    perform @extschema@.move_quote_strays(spare, archived, month_start, month_end);
    return true;
end $$;
create or replace function try_lock_quote_view(view regclass) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.set_quote_option('lock_timeout', '10ms');
    execute format('alter view %s set (security_invoker = true)', view);
    return true;
exception when lock_not_available then
    return false;
end $$;
create or replace function lock_quote_relations(relations regclass[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    patience text := current_setting('lock_timeout');
    deadline timestamptz := clock_timestamp() + patience::interval;
    tables regclass[] := array(
        select p.relid from unnest(relations) with ordinality r (relation, place)
        cross join lateral (select r.relation union select t.relid from pg_partition_tree(r.relation) t) p (relid)
        join pg_class c on c.oid = p.relid where c.relkind in ('r', 'p') order by r.place, c.relispartition, p.relid);
    views regclass[] := array(select c.oid::regclass from pg_class c where c.oid = any (relations) and c.relkind = 'v');
    first regclass := tables[1];
    busy regclass;
    pause double precision := 0.02;
begin
    while first is not null loop
        begin
            perform @extschema@.set_quote_option('lock_timeout', greatest(1, ceil(extract(epoch from deadline - clock_timestamp()) * 1000))::bigint::text);
            busy := first;
            busy := @extschema@.try_lock_quote_relations(first, tables, views);
            perform @extschema@.set_quote_option('lock_timeout', patience);
            exit when busy is null;
            raise lock_not_available;
        exception when lock_not_available then
            first := case when busy = any (tables) then busy else first end;
        end;
        if clock_timestamp() >= deadline then
            raise exception 'relation % is in use', busy
                using errcode = 'lock_not_available', detail = format('It was not free within %s.', patience),
                      hint = 'Try again when no long transaction uses it, or set lock_timeout to wait longer.';
        end if;
        perform pg_sleep(pause * (0.5 + random()));
        pause := least(pause * 2, 0.2);
    end loop;
end $$;
create or replace function restore_quote_columns(target regclass, added name[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    altered record;
    replication_role text := current_setting('session_replication_role');
begin
    for altered in select * from @extschema@.quote_columns_altered(target, added) loop
        if altered.is_version and altered.is_nullable then
            perform @extschema@.set_quote_option('session_replication_role', 'replica');
            execute format('update %s set %2$I = 1 where %2$I is null', target, altered.name);
            perform @extschema@.set_quote_option('session_replication_role', replication_role);
        end if;
        if altered.is_version then
            execute format('alter table %s alter column %2$I set default 1, alter column %2$I set not null', target, altered.name);
        end if;
        execute format('comment on column %s.%I is %L', target, altered.name,
            @extschema@.quote_added_column_comment(case when altered.is_version then 'version' else 'updated_by' end));
    end loop;
end $$;
create or replace function find_quote_columns(target regclass, entity text, chosen jsonb, reference text[] default '{quote_id}') returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_object_agg(r.role, c.name) filter (where c.name is not null)
    from @extschema@.quote_column_roles(reference) r
    cross join lateral (
        select case when r.types is not null and not r.required and r.role <> 'version' then array(
            select n.name from unnest(r.candidates) n (name)
            where (select @extschema@.quote_base_type(a.atttypid) from pg_attribute a where a.attrelid = target and a.attname = n.name) = any (r.types))
            else r.candidates end) f (names)
    cross join lateral (select @extschema@.find_quote_column(target, r.role, chosen, f.names, r.required)) c (name)
    where r.entity = find_quote_columns.entity
$$;
create or replace function attach_quote_collaboration(
    quotes regclass default pg_catalog.to_regclass('quotes'), quote_lines regclass default pg_catalog.to_regclass('quote_lines'),
    options jsonb default '{}')
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set quote_all_identifiers = off
as $$
declare
    header regclass := quotes;
    lines regclass := quote_lines;
    home name;
    home_owner name;
    homes name[];
    log regclass;
    is_elsewhere boolean;
    is_followed boolean;
    first_version integer;
begin
    if current_setting('lock_timeout') = '0' then
        perform @extschema@.set_quote_option('lock_timeout', '5s');
    end if;
    -- One attach or detach at a time.
    lock table @extschema@.quote_collab_settings in share row exclusive mode;
    homes := array(select s.log_schema from @extschema@.quote_collab_settings s union select a.log_schema from @extschema@.quote_seal_anchor a);
    perform @extschema@.follow_quote_tables(array[header, lines]), @extschema@.follow_quote_home();
    perform @extschema@.check_quote_tables(header, lines, options);
    select h.home, h.home_owner into home, home_owner from @extschema@.choose_quote_home(header) h;
    perform @extschema@.require_quote_relations(home), @extschema@.check_quote_home(header, home, homes), @extschema@.check_quote_views(home, home_owner);
    is_elsewhere := exists (select from @extschema@.quote_collab_settings s where s.log_schema <> home);
    is_followed := exists (select from @extschema@.quote_collab_settings s where s.replicated_history);
    -- While the tables are not locked yet: it may take its time.
    first_version := @extschema@.first_quote_version(home, header, lines, options);
    perform @extschema@.continue_quote_positions(home);
    perform @extschema@.lock_quote_relations(array[header, lines] || @extschema@.quote_home_relations(home) || array(
        select @extschema@.quote_collab_table(s) from @extschema@.quote_tables_elsewhere(home) s));
    log := @extschema@.create_quote_changes(home, home_owner);
    perform @extschema@.create_active_quote_sessions(home, home_owner);
    perform @extschema@.create_quote_relay_tables(home, home_owner);
    perform @extschema@.create_quote_changes_seals(home, home_owner);
    perform @extschema@.attach_quote_table(header, 'QUOTE', header, log, options, first_version);
    perform @extschema@.attach_quote_table(lines, 'QUOTE_LINE', header, log, options, first_version);
    execute format('select @extschema@.begin_quote_seal_anchor(s.no, s.hash) from %I.quote_changes_seals s order by s.no desc limit 1', home);
    if is_followed and not exists (select from @extschema@.quote_collab_settings s where s.replicated_history) then
        -- What came along from now on is its own: the next seal takes it up.
        update @extschema@.quote_seal_anchor a set settled_in = null where a.log_schema = home;
    end if;
    perform @extschema@.lead_quote_tables_to(home), @extschema@.grant_quote_capture();
    perform @extschema@.create_quote_changes_all_view(home, home_owner);
    perform @extschema@.create_quote_change_events_view(home, home_owner);
    perform @extschema@.create_pair_views(home, home_owner);
    perform @extschema@.describe_quote_objects(home);
    perform @extschema@.copy_quote_privileges(@extschema@.quote_collab_table(p.header)) from @extschema@.quote_collab_pairs() p
    where @extschema@.quote_collab_table(p.header) = attach_quote_collaboration.quotes or is_elsewhere and @extschema@.quote_collab_table(p.header) is not null;
    perform @extschema@.start_quote_worker(), @extschema@.warn_of_stray_quote_tables();
    return pg_catalog.format('quote collaboration is attached to %s and %s', header, lines);
end $$;
create or replace function detach_quote_collaboration(drop_history boolean default false, quotes regclass default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set client_min_messages = warning
as $$
declare
    headers @extschema@.quote_collab_settings[];
    leaving @extschema@.quote_collab_settings[];
    header @extschema@.quote_collab_settings;
    is_last boolean;
begin
    if current_setting('lock_timeout') = '0' then
        perform @extschema@.set_quote_option('lock_timeout', '5s');
    end if;
    lock table @extschema@.quote_collab_settings in share row exclusive mode;
    perform @extschema@.follow_quote_tables('{}'::regclass[]), @extschema@.follow_quote_home();
    headers := @extschema@.choose_quote_pairs(quotes);
    header := @extschema@.join_quote_headers(headers);
    if drop_history then
        perform @extschema@.require_quote_relations(header.log_schema);
    end if;
    leaving := headers || array(select @extschema@.quote_collab_partner(h) from unnest(headers) h);
    perform @extschema@.lock_quote_pairs(leaving);
    delete from @extschema@.quote_collab_settings s where (s.table_schema, s.table_name) in (select l.table_schema, l.table_name from unnest(leaving) l);
    is_last := not exists (select from @extschema@.quote_collab_settings);
    if drop_history and not is_last then
        raise exception 'the history belongs to other pairs of tables too' using errcode = 'object_not_in_prerequisite_state',
            hint = 'Detach this pair without drop_history, and drop the history with the last one.';
    elsif is_last then
        perform @extschema@.drop_quote_pair_views(header.log_schema);
    else
        perform @extschema@.leave_quote_home(header);
    end if;
    perform @extschema@.detach_quote_table(l) from unnest(leaving) l;
    perform @extschema@.drop_quote_truncate_triggers(), @extschema@.grant_quote_capture();
    if is_last then
        perform @extschema@.detach_stray_quote_tables(), @extschema@.detach_quote_home(header, drop_history);
    end if;
    return case when not is_last then format('quote collaboration is detached from %s',
            (select string_agg(format('%I.%I', h.table_schema, h.table_name), ', ') from unnest(headers) h))
        when drop_history then 'quote collaboration is detached, its history is dropped'
        when to_regclass(format('%I.quote_changes', header.log_schema)) is null then 'quote collaboration is detached, its history is gone'
        else format('quote collaboration is detached, its history stays in %I.quote_changes', header.log_schema) end;
end $$;
create or replace function apply_quote_changes(target quote_collab_settings, row_id uuid, seen jsonb, changes jsonb, derived jsonb, path text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    record_definition text := @extschema@.quote_changes_record(target, changes);
    relation regclass := format('%I.%I', target.table_schema, target.table_name)::regclass;
    assignments text;
    updated jsonb;
    changed bigint;
    told text;
    advice text;
begin
    select string_agg(a, ', ') into assignments from (
        select format('%I = r.%I', key, key) from jsonb_object_keys(changes) key
        union all select format('%I = %s', d.key, d.value) from jsonb_each_text(derived) d
        where not changes ? d.key and not exists (
            select from pg_attribute g where g.attrelid = relation and g.attname = d.key and g.attgenerated <> '')) x (a);
    if assignments is null then
        return @extschema@.require_quote_row(target, row_id, '');
    end if;
    perform @extschema@.set_quote_option('search_path', concat_ws(', ', 'pg_catalog', nullif(path, '')));
    begin
        execute format('update %I.%I t set %s %s where t.%s operator(pg_catalog.=) $1 returning pg_catalog.to_jsonb(t.*)',
            target.table_schema, target.table_name, assignments,
            case when record_definition is null then '' else format('from pg_catalog.jsonb_to_record($2) as r(%s)', record_definition) end,
            @extschema@.quote_collab_column(target, 'id'))
        into updated using row_id, changes;
        get diagnostics changed = row_count;
    exception when insufficient_privilege then
        get stacked diagnostics told = pg_exception_detail, advice = pg_exception_hint;
        raise exception using errcode = 'insufficient_privilege', message = sqlerrm, detail = told,
            hint = coalesce(nullif(advice, ''), format('Saving %s needs, for role %s, whatever its triggers, rules and policies need too.', relation, current_user));
    end;
    perform @extschema@.set_quote_option('search_path', 'pg_catalog, pg_temp');
    if changed > 1 then
        raise exception 'several rows have this id' using errcode = 'cardinality_violation',
            detail = format('%s rows of %s have it, and a save is based on one.', changed, relation), hint = 'Let a unique index say that an id names one row.';
    end if;
    if updated is null then
        raise exception 'the % cannot be changed', lower(replace(target.entity, '_', ' ')) using errcode = 'insufficient_privilege',
            hint = 'A row security policy hides it from updates by this role, or a trigger skips them.';
    end if;
    updated := coalesce(@extschema@.find_quote_row(target, row_id, ''), updated);
    if exists (select from unnest('{tenant,quote}'::text[]) key (role)
            where updated ->> (target.columns ->> key.role) <> seen ->> (target.columns ->> key.role)) then
        raise exception 'the % cannot be moved by a save', lower(replace(target.entity, '_', ' ')) using errcode = 'insufficient_privilege',
            detail = 'A column that says to whom it belongs follows from a changed one.', hint = 'Move it by an update of the table, as a role that may.';
    end if;
    return updated;
end $$;
create or replace function save_quote(
    quote_id uuid, expected_version integer, changes jsonb, session_id uuid, on_conflict text, path text,
    out success boolean, out quote jsonb, out previous_version integer, out new_version integer, out conflicts jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
    fields jsonb;
    former text := coalesce(current_setting('app.current_session_id', true), '');
    derived jsonb := @extschema@.quote_author_column(header);
begin
    perform @extschema@.require_conflict_policy(on_conflict), @extschema@.require_quote_version(expected_version);
    fields := @extschema@.coerce_quote_changes(header, @extschema@.normalise_quote_changes(header, changes));
    perform @extschema@.set_quote_option('app.current_session_id', coalesce(session_id::text, former));
    quote := @extschema@.require_quote_row(header, quote_id, 'for no key update');
    previous_version := @extschema@.quote_row_version(header, quote);
    new_version := previous_version;
    if previous_version = expected_version and @extschema@.leave_quote_former_life(header, quote_id, previous_version, path) then
        -- Based on this life or on an earlier one: nobody knows, so that it is read again.
        quote := @extschema@.require_quote_row(header, quote_id, 'for no key update');
        new_version := @extschema@.quote_row_version(header, quote);
    end if;
    if new_version <> expected_version then
        success := false;
        conflicts := @extschema@.quote_conflicts(header, quote, expected_version, fields);
        perform @extschema@.record_rejected_quote_change('QUOTE', quote_id, expected_version, fields);
        perform @extschema@.set_quote_option('app.current_session_id', former);
        return;
    end if;
    if header.columns ? 'total_amount' and header.columns ? 'subtotal' and fields ?| array(
            select header.columns ->> part from unnest('{subtotal,tax_amount,shipping_amount,discount_amount}'::text[]) part
            where header.columns ? part) then
        derived := derived || jsonb_build_object(header.columns ->> 'total_amount',
            @extschema@.quote_total_expression(header, @extschema@.quote_new_value(header, 'subtotal', fields), fields));
    end if;
    if fields <> '{}' then
        quote := @extschema@.apply_quote_changes(header, quote_id, quote, fields, derived, path);
    end if;
    new_version := @extschema@.quote_row_version(header, quote);
    perform @extschema@.set_quote_option('app.current_session_id', former);
    success := true;
    conflicts := '[]';
end $$;
create or replace function save_quote_line(
    line_id uuid, expected_version integer, changes jsonb, session_id uuid, on_conflict text, path text,
    out success boolean, out quote_line jsonb, out previous_version integer, out new_version integer, out conflicts jsonb, out quote jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    line @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE_LINE', line_id);
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_partner(line);
    parent uuid;
    fields jsonb;
    former text := coalesce(current_setting('app.current_session_id', true), '');
begin
    perform @extschema@.require_conflict_policy(on_conflict), @extschema@.require_quote_version(expected_version);
    fields := @extschema@.coerce_quote_changes(line, @extschema@.normalise_quote_changes(line, changes));
    perform @extschema@.set_quote_option('app.current_session_id', coalesce(session_id::text, former));
    parent := (@extschema@.require_quote_row(line, line_id, '') ->> (line.columns ->> 'quote'))::uuid;
    quote := @extschema@.require_quote_row(header, parent, 'for no key update');
    quote_line := @extschema@.require_quote_row(line, line_id, 'for no key update');
    if (quote_line ->> (line.columns ->> 'quote'))::uuid <> parent then
        raise exception 'the line moved to another quote' using errcode = 'serialization_failure', hint = 'Try again.';
    end if;
    previous_version := @extschema@.quote_row_version(line, quote_line);
    new_version := previous_version;
    if previous_version = expected_version and @extschema@.leave_quote_former_life(line, line_id, previous_version, path) then
        -- Based on this life or on an earlier one: nobody knows, so that it is read again.
        quote_line := @extschema@.require_quote_row(line, line_id, 'for no key update');
        new_version := @extschema@.quote_row_version(line, quote_line);
    end if;
    if new_version <> expected_version then
        success := false;
        conflicts := @extschema@.quote_conflicts(line, quote_line, expected_version, fields);
        perform @extschema@.record_rejected_quote_change('QUOTE_LINE', line_id, expected_version, fields);
        perform @extschema@.set_quote_option('app.current_session_id', former);
        return;
    end if;
    if fields <> '{}' then
        quote_line := @extschema@.apply_quote_changes(line, line_id, quote_line, fields,
            @extschema@.quote_author_column(line) || @extschema@.derived_line_columns(line, fields), path);
    end if;
    new_version := @extschema@.quote_row_version(line, quote_line);
    quote := @extschema@.recalculate_quote_totals(header, line, parent, path);
    perform @extschema@.set_quote_option('app.current_session_id', former);
    success := true;
    conflicts := '[]';
end $$;
create function quote_feed_seals() returns regclass
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = @extschema@.quote_collab_home() and c.relname = 'quote_changes_seals' and c.relkind = 'r' and @extschema@.quote_owner_trusted(c.relowner));
end $$;
comment on function quote_feed_seals() is 'seals of the audit log that the event feed may believe';
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
create function quote_feed_floor(prev pg_snapshot, cur pg_snapshot, floor_at timestamptz) returns timestamptz
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    -- Who is running still is in a batch behind this one.
    lowest bigint := (select min(x::text::bigint) from pg_snapshot_xip(prev) x where pg_visible_in_snapshot(x, cur));
    watched_from timestamptz := @extschema@.quote_clock_floor(coalesce(lowest, pg_snapshot_xmax(prev)::text::bigint));
    all_watched_from timestamptz := @extschema@.quote_clock_floor(pg_snapshot_xmin(prev)::text::bigint);
    month_floor timestamptz;
begin
    month_floor := @extschema@.quote_changes_month(least(clock_timestamp(), case when all_watched_from > '-infinity' then all_watched_from
        when watched_from > '-infinity' then least(watched_from, floor_at) else floor_at end) - interval '24 hours') + interval '24 hours';
    if watched_from > '-infinity' or month_floor = '-infinity' then
        return month_floor;
    end if;
    perform @extschema@.require_quote_home('{quote_changes}'::text[]);
    return case when @extschema@.quote_block_sinks(prev, cur, @extschema@.quote_cluster_identifier(), month_floor) then '-infinity' else month_floor end;
end $$;
comment on function quote_feed_floor(pg_snapshot, pg_snapshot, timestamptz) is 'time before which no change of a batch or behind it was made, save for a day';
create or replace function quote_events_since(cursor text, max integer default 100) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seen pg_snapshot := @extschema@.quote_feed_snapshot();
    c @extschema@.quote_cursor := @extschema@.parse_quote_cursor(cursor);
    waypoint record;
    given integer := 0;
    got integer;
begin
    if max is null or max not between 1 and 10000 then
        raise exception 'max must be between 1 and 10000' using errcode = 'invalid_parameter_value';
    end if;
    perform @extschema@.require_quote_cursor(c), @extschema@.require_quote_home('{quote_changes}'::text[]), @extschema@.require_quote_cursor_seen(c), @extschema@.flush_quote_feed(),
        @extschema@.watch_quote_clock();
    loop
        if c.cur is null then
            exit when c.prev::text = seen::text;
            select w.* into waypoint from @extschema@.quote_feed_waypoint(c.prev, seen) w;
            c := row(c.origin, c.prev, c.prev_at,
                greatest(extract(epoch from @extschema@.quote_feed_floor(c.prev, coalesce(waypoint.cur, seen), to_timestamp(c.floor_at))), 0), coalesce(waypoint.cur, seen),
                extract(epoch from coalesce(waypoint.cur_at, clock_timestamp())), 0, @extschema@.quote_feed_timeline(),
                pg_current_wal_flush_lsn() - '0/0'::pg_lsn, @extschema@.quote_log_identity())::@extschema@.quote_cursor;
        end if;
        return query select * from @extschema@.read_quote_events(c, max - given);
        get diagnostics got = row_count;
        given := given + got;
        exit when given >= max or c.cur::text = seen::text;
        c := @extschema@.next_quote_cursor(c);
    end loop;
end $$;
create or replace function quote_batch_query() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return @extschema@.quote_events_query(format($query$
        select c.xid, c.position from (
            select c.xid, c.position, c.conflict_resolution, c.origin, c.changed_at from %1$I.quote_changes c
            where c.xid = any (array(select pg_snapshot_xip($1)))
            union all
            select c.xid, c.position, c.conflict_resolution, c.origin, c.changed_at from %1$I.quote_changes c
            where c.xid >= pg_snapshot_xmax($1) and c.xid < pg_snapshot_xmax($2)) c
        where pg_visible_in_snapshot(c.xid, $2) and c.position + 0 > $3 and c.origin = $4 and c.changed_at >= $5 and c.changed_at < $6
            and c.conflict_resolution is distinct from 'REJECTED'
        group by c.xid, c.position order by c.position limit $7$query$, @extschema@.quote_collab_home()));
end $$;
create or replace function read_quote_events(c quote_cursor, max integer) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
begin
    return query execute format($query$
        select concat_ws('/', $11, $1, $8, $9, $2, $10, e.position), e.event from (%s) e order by e.position$query$,
        case when c.position > 0 and @extschema@.quote_batch_has_few(c.prev, c.cur)
            then @extschema@.quote_batch_rest_query() else @extschema@.quote_batch_query() end)
    using c.prev, c.cur, c.position, c.origin, to_timestamp(c.floor_at) - interval '24 hours', 'infinity'::timestamptz, max, c.prev_at, c.floor_at, c.cur_at,
        concat_ws('/', case when c.timeline is null then '1' when c.log is null then '2' else '3' end, c.origin, c.log, c.timeline, c.reached);
end $$;
create or replace function quote_relay_batch_insertion() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return format('insert into %1$I.quote_relay_batch (no, prev, cur, prev_at, cur_at, floor_at, origin) select $2, $3, $4, $5, coalesce($8, clock_timestamp()), $6, $7
        from (select from %1$I.quote_relay_lease l where l.epoch = $1 for update) held returning no', @extschema@.quote_collab_home());
end $$;
create or replace function quote_relay_next_batch(epoch bigint, known bigint, system_identifier text, timeline integer, max integer, max_bytes bigint)
returns table (batch bigint, "position" bigint, event text, size integer, has_next boolean)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    here bigint := @extschema@.quote_cluster_identifier();
    log oid;
    last record;
    prev pg_snapshot;
    cur pg_snapshot;
    seen pg_snapshot;
    prev_at timestamptz;
    cur_at timestamptz;
    even_floor timestamptz;
    floor_at timestamptz;
begin
    perform @extschema@.set_quote_option('synchronous_commit', 'on');
    select r.* into last from @extschema@.quote_prepared_rows(
        @extschema@.quote_kept_query('@extschema@.quote_relay_state_query()'::regprocedure::oid), row(epoch))
        r (held boolean, no bigint, prev pg_snapshot, cur pg_snapshot, prev_at timestamptz, cur_at timestamptz, floor_at timestamptz, origin bigint, writer xid);
    if here::text <> system_identifier or @extschema@.quote_feed_timeline() <> timeline or last.no < known then
        raise exception 'the log has another history' using errcode = 'QC001',
            hint = 'Take the lease again, and find out where to go on.';
    end if;
    if last.held is not true then
        perform @extschema@.refuse_lost_quote_lease();
    end if;
    prev := last.cur;
    prev_at := last.cur_at;
    even_floor := case when pg_snapshot_xmin(prev) >= pg_snapshot_xmax(last.prev) then last.prev_at else last.floor_at end;
    if last.origin <> here then
        prev := @extschema@.quote_snapshot_before(last.writer);
        prev_at := '-infinity';
        even_floor := '-infinity';
    end if;
    seen := @extschema@.quote_feed_snapshot();
    perform @extschema@.watch_quote_clock();
    if seen::text = prev::text then
        return;
    end if;
    log := @extschema@.quote_kept_query('@extschema@.quote_log_identity()'::regprocedure::oid)::oid;
    cur := prev;
    loop
        -- Past what has no events: a batch is of some.
        select coalesce(w.cur, seen), w.cur_at into cur, cur_at from @extschema@.quote_feed_waypoint(cur, seen) w;
        floor_at := @extschema@.quote_feed_floor(prev, cur, even_floor);
        return query select last.no + 1, r.* from @extschema@.quote_prepared_rows(
            @extschema@.quote_query_of_months(@extschema@.quote_kept_query('@extschema@.quote_relay_events_query()'::regprocedure::oid),
                log, @extschema@.quote_log_months(log, floor_at - interval '24 hours')),
            row(prev, cur, 0::bigint, here, floor_at - interval '24 hours', 'infinity'::timestamptz, max, max_bytes))
            r ("position" bigint, event text, size integer, has_next boolean);
        exit when found or cur::text = seen::text;
    end loop;
    if found and not exists (
            select from @extschema@.quote_prepared_rows(
                @extschema@.quote_kept_query('@extschema@.quote_relay_batch_insertion()'::regprocedure::oid),
                row(epoch, last.no + 1, prev, cur, prev_at, floor_at, here, cur_at)) r (no bigint)) then
        perform @extschema@.refuse_lost_quote_lease();
    end if;
end $$;
create or replace function quote_relay_read(batch bigint, after_position bigint, max integer) returns table ("position" bigint, event jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    b record;
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_relay_batch}'::text[]);
    select r.* into b from @extschema@.quote_prepared_rows(
        format('select b.prev, b.cur, b.origin, b.floor_at from %s b where b.no = $1', @extschema@.quote_relay_table('quote_relay_batch')), row(batch))
        r (prev pg_snapshot, cur pg_snapshot, origin bigint, floor_at timestamptz);
    if found then
        return query select r."position", r.event from @extschema@.quote_prepared_rows(
            @extschema@.quote_kept_query((case when after_position > 0 and @extschema@.quote_batch_has_few(b.prev, b.cur)
                then '@extschema@.quote_batch_rest_query()' else '@extschema@.quote_batch_query()' end)::regprocedure::oid),
            row(b.prev, b.cur, after_position, b.origin, b.floor_at - interval '24 hours', 'infinity'::timestamptz, max)) r ("position" bigint, event jsonb);
    end if;
end $$;
create or replace function quote_events_between(
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
    given integer := 0;
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_relay_batch}'::text[]);
    -- What comes behind may have been written when a clock was behind, and its batch says so.
    execute format('select b.no, b.prev, b.cur, b.origin, x.is_elsewhere, x.floor_at from (select * from %1$s where no >= $1 order by no limit 1) b
        cross join lateral (select bool_or(r.origin <> $2) as is_elsewhere, min(r.floor_at) as floor_at from %1$s r where r.no between b.no and greatest(b.no, $3)) x',
        @extschema@.quote_relay_table('quote_relay_batch'))
    into start using after_batch, @extschema@.quote_cluster_identifier(), until_batch;
    if after_batch is null or start.no is null or (start.no > after_batch and after_batch > 0) or start.is_elsewhere then
        raise exception 'the cursor is no longer known' using errcode = 'QC001',
            hint = 'Read the quote again and subscribe without a cursor.';
    end if;
    is_begun := start.no = after_batch;
    if is_begun and after_batch <= until_batch then
        return query execute format('select $12, r.position, r.event from (%s) r order by r.position', @extschema@.quote_rest_of_batch_query())
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
end $$;
create or replace function seal_quote_history() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    seals text := @extschema@.quote_relay_table('quote_changes_seals');
    here bigint := @extschema@.quote_cluster_identifier();
    key bytea := @extschema@.quote_seal_key();
    last record;
    cur pg_snapshot;
    prev pg_snapshot;
    floor_at timestamptz;
    block record;
    form smallint;
    now_at timestamptz := clock_timestamp();
    faults text;
    settled boolean;
    others bigint := 0;
begin
    begin
        execute format('lock table %s in share update exclusive mode nowait', seals);
    exception
        when lock_not_available then return 0;
        when undefined_table or wrong_object_type then null;
    end;
    -- Under the lock, which keeps all away that could become a fault of the seals.
    select string_agg(f, ', ') into faults from @extschema@.quote_history_faults() f;
    if faults is not null then
        raise exception 'the history cannot be sealed' using errcode = 'object_not_in_prerequisite_state', detail = format('Found: %s.', faults),
            hint = 'Have the tables as attach made them: quote_collab_doctor() says how.';
    end if;
    execute format('select * from %s order by no desc limit 1', seals) into last;
    if last.no is null then
        perform @extschema@.begin_quote_changes_seals(@extschema@.quote_collab_home());
        execute format('select * from %s order by no desc limit 1', seals) into strict last;
    end if;
    perform @extschema@.begin_quote_seal_anchor(last.no, last.hash);
    cur := @extschema@.quote_feed_snapshot();
    prev := last.cur;
    settled := @extschema@.quote_seals_are_settled(last.origin);
    if not settled then
        prev := @extschema@.quote_sealed_until(here, 9223372036854775807::bigint);
    end if;
    if not settled and not @extschema@.quote_history_arrives() then
        others := @extschema@.seal_other_quote_clusters(now_at);
        execute format('select * from %s order by no desc limit 1', seals) into strict last;
        update @extschema@.quote_seal_anchor a set settled_in = '@extschema@.quote_seal_anchor'::regclass where a.log_schema = @extschema@.quote_collab_home();
    end if;
    form := 4;
    floor_at := '-infinity';
    if last.origin = here then
        floor_at := @extschema@.quote_block_floor(last.prev, last.cur, last.prev_at, last.floor_at);
        form := case when @extschema@.quote_block_sinks(prev, cur, here, floor_at) then 3 else 2 end;
    end if;
    select * into block from @extschema@.digest_quote_changes(form, prev, cur, here, floor_at, 'infinity'::timestamptz, last.cur, last.origin,
        null::pg_snapshot);
    -- Read without a ceiling, and once more where that was needed: the clock was set back since.
    if form = 2 and block.newest > now_at + interval '24 hours' then
        form := 3;
        select * into block from @extschema@.digest_quote_changes(form, prev, cur, here, floor_at, now_at, last.cur, last.origin, null::pg_snapshot);
    end if;
    if block.rows > 0 or last.origin <> here or key is not null and key is distinct from last.signed_by then
        perform @extschema@.append_quote_seal(last.hash, last.no + 1, prev, cur, floor_at, case when last.origin = here then last.cur_at else floor_at end,
            now_at, here, block.rows, block.root, now_at, form, null::jsonb);
    end if;
    return others + block.rows;
end $$;
create or replace function verify_quote_history(expected text default null) returns table (block bigint, finding text, detail text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    seals text := @extschema@.quote_relay_table('quote_changes_seals');
    before @extschema@.quote_seal;
    b @extschema@.quote_seal;
    entry record;
    anchor_no bigint;
    anchored boolean := false;
    let_go record;
    rows_sealed bigint := 0;
    part bigint;
begin
    for detail in select * from @extschema@.quote_history_faults() loop
        finding := 'structure'; return next;
    end loop;
    if finding is not null then
        return;
    end if;
    select * into let_go from @extschema@.quote_history_released();
    -- Chain and anchor in one snapshot: sealing goes on meanwhile.
    for entry in execute format('select a.no as anchor_no, a.hash as anchor_hash, a.signed_from, row(%s)::@extschema@.quote_seal as seal from %s s
            left join @extschema@.quote_seal_anchor a on a.log_schema = $1 order by s.no',
        (select string_agg(format('s.%I', c.column_name), ', ') from @extschema@.quote_history_columns('quote_changes_seals') c), seals)
        using @extschema@.quote_collab_home()
    loop
        b := entry.seal;
        block := b.no;
        anchor_no := entry.anchor_no;
        anchored := anchored or coalesce(b.no = entry.anchor_no and b.hash = entry.anchor_hash, false);
        select e.finding, e.detail into finding, detail from @extschema@.examine_quote_seal(before, b, entry.signed_from) e;
        if finding is not null then
            return next;
        end if;
        if b.released is not null then
            finding := case when b.rows = 0 and b.root = sha256(convert_to(b.released::text, 'UTF8')) then 'released' else 'block' end;
            detail := format('%s rows from %s until %s were let go on %s', b.released ->> 'rows', b.released ->> 'from', b.released ->> 'until',
                to_char(b.sealed_at at time zone 'UTC', 'YYYY-MM-DD'));
            return next;
        elsif before.no is not null then
            select e.sealed, e.finding, e.detail into part, finding, detail
            from @extschema@.examine_sealed_rows(before, b, let_go.gone, let_go.remains) e;
            if finding is not null then
                return next;
            end if;
            rows_sealed := rows_sealed + coalesce(part, 0);
            if b.no % 10000 = 0 then
                raise notice '% blocks with % rows are checked', b.no, rows_sealed;
            end if;
        end if;
        before := b;
    end loop;
    if before.no is null then
        finding := 'chain'; detail := 'there is no chain'; return next;
        return;
    end if;
    return query select * from @extschema@.examine_chain_end(before, anchor_no, anchored);
    block := before.no;
    detail := @extschema@.find_unsealed_rows(before, rows_sealed);
    if detail is not null then
        finding := 'rows'; return next;
    end if;
    if expected is not null then
        execute format('select s.no || '':'' || encode(s.hash, ''hex'') from %s s where s.no = $1', seals)
        into detail using (regexp_match(expected, '^([0-9]{1,18}):[0-9a-f]{64}$'))[1]::bigint;
        if detail is distinct from expected then
            finding := 'digest'; detail := 'the chain does not hold the expected digest'; return next;
        end if;
    end if;
end $$;
create or replace function drop_archived_quote_changes(older_than interval) returns integer
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
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_changes_seals}'::text[]);
    if older_than is null or older_than <= interval '0' or older_than > interval '1000 years' then
        raise exception 'the age must be a positive interval of at most 1000 years' using errcode = 'invalid_parameter_value',
            hint = 'For example select drop_archived_quote_changes(interval ''10 years'').';
    elsif current_setting('lock_timeout') = '0' then
        perform @extschema@.set_quote_option('lock_timeout', '5s');
    end if;
    select array_agg(m.month), min(m.month_start), max(m.month_end) into months, from_at, until_at
    from @extschema@.quote_changes_months_before(archive, now() - older_than) m;
    if months is null then
        return 0;
    end if;
    execute format('lock table %s in share update exclusive mode', @extschema@.quote_relay_table('quote_changes_seals'));
    perform @extschema@.seal_quote_history();
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
    if coalesce(before.intact, arrived > 0) is not true or coalesce(before.rows, 0) - after.rows <> present - arrived then
        raise exception 'the history to be dropped is not as it was sealed' using errcode = 'object_not_in_prerequisite_state',
            hint = 'See what select * from verify_quote_history() finds, and keep its findings.';
    end if;
    perform @extschema@.seal_quote_release(jsonb_build_object('rows', present, 'gone', after.gone::text, 'remains', after.remains,
        'from', to_char(from_at at time zone 'UTC', 'YYYY-MM-DD'), 'until', to_char(until_at at time zone 'UTC', 'YYYY-MM-DD')));
    return cardinality(months);
end $$;
create or replace function keep_quote_history(out archived integer, out dropped integer)
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    log regclass := @extschema@.quote_relay_table('quote_changes')::regclass;
    policy record;
    until timestamptz;
    ready boolean := false;
    tried boolean := false;
begin
    select * into policy from @extschema@.quote_history_policy();
    archived := 0;
    dropped := 0;
    begin
        if policy.archive_after is not null then
            until := @extschema@.quote_archive_end(policy.archive_after);
            ready := @extschema@.prove_quote_months(log, until, 1073741824::bigint);
        end if;
    exception
        when lock_not_available then
            null;
        when others then
            tried := true;
            raise warning 'bounds of months of the audit log are not proved: %', sqlerrm;
    end;
    begin
        if ready and exists (select from @extschema@.quote_months_due(log, until)) then
            tried := true;
            archived := @extschema@.archive_quote_changes(policy.archive_after);
        end if;
    exception
        when lock_not_available then
            null;
        when object_not_in_prerequisite_state then
            tried := false;
        when others then
            raise warning 'quote history is not archived: %', sqlerrm;
    end;
    begin
        if archived = 0 and policy.drop_after is not null and not exists (
            select from @extschema@.quote_collab_settings s where s.drop_refused_at > now() - interval '1 day')
        then
            dropped := @extschema@.drop_archived_quote_changes(policy.drop_after);
            delete from @extschema@.quote_former_versions f where f.ended_at < now() - policy.drop_after;
            update @extschema@.quote_collab_settings s set drop_refused_at = null where s.drop_refused_at is not null;
        end if;
    exception
        when lock_not_available then
            dropped := 0;
        when others then
            dropped := 0;
            update @extschema@.quote_collab_settings s set drop_refused_at = now() where s.entity = 'QUOTE';
            raise warning 'quote history is not dropped: %', sqlerrm using hint = 'See what quote_collab_doctor() and verify_quote_history() say.';
    end;
    begin
        if not tried and dropped = 0 then
            perform @extschema@.note_quote_months(log);
        end if;
    exception
        when lock_not_available then
            null;
        when others then
            raise warning 'bounds of months of the audit log are not noted: %', sqlerrm;
    end;
end $$;
create or replace function quote_collab_maintenance() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    log regclass;
    swept integer := 0;
    made integer := 0;
    dropped integer := 0;
    sealed bigint := 0;
    archived integer := 0;
    released integer := 0;
    alone boolean;
    patience text := current_setting('lock_timeout');
begin
    if pg_is_in_recovery() then
        return '{}'::jsonb;
    elsif current_setting('transaction_read_only')::boolean then
        raise exception 'maintenance cannot be done in a read-only transaction' using errcode = 'read_only_sql_transaction',
            hint = 'Begin one that may write: begin read write.';
    elsif patience = '0' then
        perform @extschema@.set_quote_option('lock_timeout', '5s');
    end if;
    perform @extschema@.note_quote_owners();
    -- Whoever may write presence may lock it.
    begin
        swept := @extschema@.cleanup_stale_quote_sessions();
    exception when others then
        raise warning 'stale sessions are not swept: %', sqlerrm;
    end;
    alone := @extschema@.lock_quote_batches();
    if alone then
        dropped := @extschema@.drop_old_quote_batches();
    end if;
    begin
        sealed := @extschema@.seal_quote_history();
    exception when others then
        raise warning 'the history is not sealed: %', sqlerrm using hint = 'See what select * from verify_quote_history() finds.';
    end;
    -- What locks the log keeps it locked to the end of the transaction: once it has changed something, the rest waits for another time.
    if alone then
        perform @extschema@.require_quote_home('{quote_changes}'::text[]);
        log := @extschema@.quote_relay_table('quote_changes')::regclass;
        made := @extschema@.extend_quote_log(log);
        if made = 0 then
            select k.archived, k.dropped into archived, released from @extschema@.keep_quote_history() k;
        end if;
        begin
            perform @extschema@.summarize_quote_changes(log);
        exception when others then
            raise warning 'times of the audit log are not summarized: %', sqlerrm;
        end;
    end if;
    perform @extschema@.set_quote_option('lock_timeout', patience);
    return jsonb_build_object('stale_sessions', swept, 'partitions_created', made, 'batches_dropped', dropped,
        'months_archived', archived, 'months_dropped', released, 'rows_sealed', sealed);
end $$;
create function quote_month_is_awaited(month regclass) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    told pg_snapshot := @extschema@.quote_relay_told(home);
    sealed pg_snapshot := coalesce(@extschema@.quote_sealed_a_day_ago(home), @extschema@.quote_sealed_until(@extschema@.quote_cluster_identifier(), 9223372036854775807::bigint));
begin
    return @extschema@.quote_rows_behind(month, sealed, '-infinity', 'infinity')
        or told is not null and @extschema@.quote_rows_behind(month, told, '-infinity', 'infinity');
end $$;
comment on function quote_month_is_awaited(regclass) is 'whether a month of the audit log has rows that are not told or not sealed';
create function quote_archive_end(older_than interval) returns timestamptz
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    log regclass := @extschema@.quote_relay_table('quote_changes')::regclass;
    until timestamptz := @extschema@.quote_archive_limit(older_than);
begin
    return coalesce((
        select min(m.month_start) from @extschema@.quote_changes_months_before(log, until) m where @extschema@.quote_month_is_awaited(m.month)), until);
end $$;
comment on function quote_archive_end(interval) is 'until when months of the audit log are archived at an age';
create or replace function archive_quote_changes(older_than interval) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set client_min_messages = warning
as $$
declare
    log regclass := @extschema@.quote_relay_table('quote_changes')::regclass;
    until timestamptz;
    months regclass[];
    others regclass[];
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_changes_seals,quote_relay_batch}'::text[]);
    if older_than is null or older_than not between interval '0' and interval '1000 years' then
        raise exception 'the age must be a positive interval of at most 1000 years' using errcode = 'invalid_parameter_value',
            hint = 'For example select archive_quote_changes(interval ''24 months'').';
    end if;
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'a transaction that looks back cannot archive' using errcode = 'invalid_transaction_state',
            detail = 'It does not see what is written to a month before it is locked.', hint = 'Begin another: begin isolation level read committed.';
    elsif not exists (select from @extschema@.quote_months_due(log, @extschema@.quote_archive_limit(older_than))) then
        return 0;
    elsif current_setting('lock_timeout') = '0' then
        perform @extschema@.set_quote_option('lock_timeout', '5s');
    end if;
    perform @extschema@.seal_quote_history();
    until := @extschema@.quote_archive_end(older_than);
    months := array(select m.month from @extschema@.quote_months_due(log, until) m);
    if cardinality(months) = 0 then
        return 0;
    elsif (select sum(pg_relation_size(m.month)) > 67108864 from @extschema@.quote_months_due(log, until) m where m.proved is null) then
        raise exception 'months are not ready to be archived' using errcode = 'object_not_in_prerequisite_state',
            detail = 'Their bounds were not noted yet, and to prove them would keep everybody waiting.',
            hint = 'Call select quote_collab_maintenance(), or let it be called, and try again.';
    end if;
    -- Whoever seals has decided where he looks for rows.
    execute format('lock table %s in share update exclusive mode', @extschema@.quote_relay_table('quote_changes_seals'));
    perform @extschema@.prove_quote_months(log, until, 9223372036854775807);
    others := array(
        select @extschema@.quote_changes_spare(log) union
        select @extschema@.quote_changes_spare(to_regclass(@extschema@.quote_relay_table('quote_changes_archive'))));
    perform @extschema@.lock_quote_log(log, array_remove(others, null) || months, case when @extschema@.quote_archive_stands(@extschema@.quote_collab_home()) then '{}'
        else array_remove(array[to_regclass(@extschema@.quote_relay_table('v_quote_changes_all'))], null) end);
    if @extschema@.quote_archive_end(older_than) < until then
        raise exception 'months were written to while they were locked' using errcode = 'lock_not_available', hint = 'Try again.';
    end if;
    perform @extschema@.exchange_quote_months(log, months, until);
    return cardinality(months);
end $$;
create or replace function quote_attach_statement(settings quote_collab_settings) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    header @extschema@.quote_collab_settings;
    line @extschema@.quote_collab_settings;
    header_found regclass;
    line_found regclass;
    options jsonb;
begin
    select (p.header).* into header from @extschema@.quote_collab_pairs() p
    where ((p.header).header_schema, (p.header).header_table) = (settings.header_schema, settings.header_table);
    line := @extschema@.quote_collab_partner(header);
    header_found := @extschema@.quote_table_found(header);
    line_found := @extschema@.quote_table_found(line);
    if header_found is null or line_found is null then
        return null;
    end if;
    options := (
        select coalesce(jsonb_object_agg(c.key, c.value), '{}') from (values
            ('columns', @extschema@.quote_chosen_columns(header, header)), ('line_columns', @extschema@.quote_chosen_columns(line, header))) c (key, value)
        where c.value is not null) || jsonb_strip_nulls(jsonb_build_object(
        'ignored_columns', nullif(to_jsonb(array(select i.name from unnest(header.ignored_columns) i (name)
            where exists (select from pg_attribute a where a.attrelid in (header_found, line_found) and a.attname = i.name and not a.attisdropped))), '[]'),
        'system_user_id', header.system_user_id,
        'truncate', nullif(header.truncation, 'refuse'), 'replicated_history', nullif(header.replicated_history, false),
        'archive_after', header.archive_after, 'drop_after', header.drop_after)) || @extschema@.quote_chosen_relations(header, header_found);
    return format('select @extschema@.attach_quote_collaboration(%L, %L, %L);', header_found, line_found, options);
end $$;
create or replace function quote_attach_statement() returns text
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select coalesce(a.statement, @extschema@.quote_detach_statement(s)) from @extschema@.quote_collab_settings s
    cross join lateral (select @extschema@.quote_attach_statement(s)) a (statement)
    where s.entity = 'QUOTE'
    order by a.statement is null, s.attached_at, s.table_schema, s.table_name limit 1
$$;
create or replace function quote_collab_doctor_tables() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    s @extschema@.quote_collab_settings;
    target regclass;
    now_there regclass;
    name text;
    missing text;
    repair text;
    renames text;
    others text;
begin
    for s in select * from @extschema@.quote_collab_settings order by attached_at loop
        name := format('%I.%I', s.table_schema, s.table_name);
        target := @extschema@.quote_collab_table(s);
        now_there := @extschema@.quote_table_found(s);
        repair := @extschema@.quote_repair_statement(s);
        return next @extschema@.quote_collab_verdict('table exists: ' || name, now_there = target, 'error', case
            when now_there is null then 'the attached table is gone'
            else format('the attached table was renamed or moved to %s, where saves, lists and views do not find it', now_there) end, repair);
        continue when (now_there = target) is not true;
        -- Without its keys a table cannot be attached again, and a version would be counted anew.
        select string_agg(c.value, ', '),
            string_agg(format('alter table %s rename ... to %I;', name, c.value), ' ') filter (where c.key = any ('{id,tenant,quote,version}'::text[]))
        into missing, renames from jsonb_each_text(s.columns) c
        where not exists (select from pg_attribute a where a.attrelid = target and a.attname = c.value and a.attnum > 0 and not a.attisdropped);
        return next @extschema@.quote_collab_verdict('columns exist: ' || name, missing is null, 'error',
            format('columns are gone or were renamed: %s', missing), coalesce(renames, repair));
        select string_agg(a.name, ', ') into missing from @extschema@.quote_columns_altered(target, s.added_columns) a;
        return next @extschema@.quote_collab_verdict('added columns intact: ' || name, missing is null, 'error',
            format('columns that attach added lost their default, NOT NULL or comment: %s', missing), repair);
        return query select * from @extschema@.quote_collab_doctor_triggers(s, repair);
        return query select * from @extschema@.quote_collab_doctor_bypasses(s);
        return next @extschema@.quote_collab_verdict('row security on the table: ' || name,
            (select c.relrowsecurity and c.relforcerowsecurity from pg_class c where c.oid = target)
                and exists (select from pg_policy p where p.polrelid = target and p.polpermissive), 'warning',
            case when (select c.relrowsecurity from pg_class c where c.oid = target)
                then 'its policies let nobody see a row, or its owner sees all'
                else 'only the functions of the extension keep tenants apart here; SQL users with rights on the table see all' end,
            format('alter table %s enable row level security, force row level security; and a policy on the tenant', name));
        select string_agg(format('alter table %s set logged;', c.oid::regclass), ' ') into others from pg_class c
        where c.relpersistence = 'u' and (c.oid = target or c.oid in (select t.relid from pg_partition_tree(target) t));
        return next @extschema@.quote_collab_verdict('rows survive a crash: ' || name, others is null, 'warning',
            'the table is unlogged: a crash empties it, and nothing in the history says so', others);
        continue when s.entity <> 'QUOTE';
        select string_agg(format('%I.%I', x.key, x.value), ', ') into missing from (
            select x.value ->> 'schema', x.value ->> 'table' from jsonb_each(s.relations) x where not @extschema@.quote_relation_fits_still(x.key, x.value)) x (key, value);
        select string_agg(format('%I.%I', x.value ->> 'schema', x.value ->> 'table'), ', '),
            string_agg(format('alter table %I.%I owner to %I;', x.value ->> 'schema', x.value ->> 'table', pg_get_userbyid(c.relowner)), ' ')
        into others, repair
        from pg_class c cross join jsonb_each(s.relations) x
        where c.oid = target and missing is null and not @extschema@.quote_relation_trusted(x.value, c.relowner);
        return next @extschema@.quote_collab_verdict('names are read: ' || name, missing is null and others is null, 'warning',
            coalesce(format('tables of names, or columns of theirs, are gone: %s', missing),
                format('names are not read from tables that belong to another than the owner of the quotes: %s', others)),
            case when missing is null then repair else @extschema@.quote_repair_statement(s) end);
    end loop;
    select string_agg(t.relation::text, ', '), string_agg(t.statements, ' ') into missing, repair from @extschema@.quote_tables_unknown() t;
    return next @extschema@.quote_collab_verdict('history of attached tables only', missing is null, 'error',
        format('these tables are not attached, and their changes are told as changes of quotes that are: %s', missing), repair);
end $$;
create or replace function quote_collab_doctor_functions() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(f.function::text, ', '), string_agg(format('revoke execute on function %s from public;', f.function), ' ')
    into names, hints
    from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function
    where not f.is_public and exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) acl where acl.grantee = 0);
    return next @extschema@.quote_collab_verdict('functions open as installed', names is null, 'error',
        format('everybody may call: %s', names), hints);
    select string_agg(format('%s to %s', f.function, @extschema@.quote_grantee(acl.grantee)), ', '),
        string_agg(format('revoke execute on function %s from %s;', f.function, @extschema@.quote_grantee(acl.grantee)), ' ')
    into names, hints
    from @extschema@.quote_gateway_functions() f (function) join pg_proc p on p.oid = f.function cross join lateral aclexplode(p.proacl) acl
    join pg_roles r on r.oid = acl.grantee
    where f.function::text like '%quote_relay_%' and acl.grantee <> p.proowner and not r.rolsuper
        and exists (select from @extschema@.quote_gateway_functions() g (function) where not has_function_privilege(r.oid, g.function, 'execute'));
    return next @extschema@.quote_collab_verdict('relay run by gateways only', names is null, 'warning',
        format('these roles are no gateway and may disturb it: %s', names), hints);
    select string_agg(f.function::text, ', '), string_agg(format('alter function %s set search_path = pg_catalog, pg_temp;', f.function), ' ')
    into names, hints
    from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function
    where p.prosecdef and not exists (select from unnest(p.proconfig) c where replace(c, '"', '') = 'search_path=pg_catalog, pg_temp');
    return next @extschema@.quote_collab_verdict('definer functions pinned', names is null, 'error',
        format('security definer without a pinned search_path: %s', names), hints);
end $$;
create or replace function quote_collab_doctor_extension() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(f.problem, ', '), string_agg(f.repair, ' ') into names, hints from (
        select t.problem, t.repair from @extschema@.quote_extension_table_faults() t
        union all
        select g.told, g.revoke from (values ('@extschema@.quote_collab_settings'::regclass, false), ('@extschema@.quote_seal_anchor', false),
            ('@extschema@.quote_former_versions', true)) t (relation, is_private)
        cross join lateral @extschema@.quote_grants_on(t.relation) g where t.is_private or g.privilege <> 'SELECT') f;
    return next @extschema@.quote_collab_verdict('tables of the extension guarded', names is null, 'error',
        format('others may say what is attached, or what was sealed: %s', names), hints);
    select string_agg(w.told, ', '), string_agg(w.repair, ' ') into names, hints from @extschema@.quote_rights_withdrawn() w;
    return next @extschema@.quote_collab_verdict('functions open to who needs them', names is null, 'warning',
        format('saves, history or presence may be refused to these roles: %s', names), hints);
    return next @extschema@.quote_collab_doctor_functions_released();
end $$;
create function quote_release_script() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select replace(f.script, '@' || 'extschema@', quote_ident(n.nspname))
    from pg_extension e join pg_namespace n on n.oid = e.extnamespace cross join pg_config() c
    cross join unnest(array[current_setting('extension_destdir', true) || c.setting]
        || string_to_array(coalesce(current_setting('extension_control_path', true), '$system'), ':')) with ordinality p (path, place)
    cross join lateral (select pg_read_file(format('%s/extension/quote_collab_ext--%s.sql', replace(p.path, '$system', c.setting), e.extversion),
        0, 100000000, true)) f (script)
    where e.extname = 'quote_collab_ext' and c.name = 'SHAREDIR' and f.script is not null
    order by p.place limit 1
$$;
comment on function quote_release_script() is 'doctor: the script of the installed release';
revoke execute on function quote_release_script() from public;
create function quote_script_functions(script text) returns table (name text, header text, body text, statement text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select x.name, h.header, case when h.in_c then split_part(split_part(p.piece, format('%L, ''', k.library), 2), '''', 1)
            when h.is_parsed then '' else split_part(p.piece, '$' || '$', 2) end,
        case when h.in_c then replace(split_part(p.piece, ';', 1), k.library, '$libdir/quote_collab_ext')
            when h.is_parsed then split_part(p.piece, E'\nend;', 1) || E'\nend'
            else (string_to_array(p.piece, '$' || '$'))[1] || '$' || '$' || split_part(p.piece, '$' || '$', 2) || '$' || '$' end || ';'
    from regexp_split_to_table(script, E'\\ncreate +function +', 'i') with ordinality p (piece, place)
    cross join lateral (select substring(p.piece from E'\\w+')) x (name)
    cross join lateral (select split_part(p.piece, '$' || '$', 1), split_part(p.piece, ';', 1)) s (to_body, to_end)
    cross join lateral (select 'MODULE_' || 'PATHNAME') l (library)
    cross join lateral (select l.library, s.to_end like format('%%%L%%', l.library), s.to_end like E'%\nbegin atomic%') k (library, in_c, is_parsed)
    cross join lateral (select case when k.in_c or k.is_parsed then s.to_end else s.to_body end, k.in_c, k.is_parsed) h (header, in_c, is_parsed)
    where p.place > 1
$$;
comment on function quote_script_functions(text) is 'doctor: the functions that a script creates';
create function quote_functions_altered(script text) returns table (function regprocedure, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with released as materialized (select s.* from @extschema@.quote_script_functions(script) s)
    select f.function, case when owner.rolsuper then coalesce((
                select string_agg(format('set search_path = %I, pg_temp; create or replace function %s reset search_path;', n.nspname, r.statement), ' ')
                from released r where r.name = p.proname),
            format('alter extension quote_collab_ext drop function %s;', f.function))
        else format('alter function %s owner to %I;', f.function, installer.rolname) end
    from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function join pg_namespace n on n.oid = p.pronamespace
    join pg_roles owner on owner.oid = p.proowner
    join pg_extension e on e.extname = 'quote_collab_ext' join pg_roles installer on installer.oid = e.extowner
    cross join lateral (select '"' || replace(n.nspname, '"', '""') || '"', quote_ident(n.nspname)) s (quoted, plain)
    where p.prokind = 'f' and (not owner.rolsuper and installer.rolsuper or not exists (
        select from released r
        where r.name = p.proname and replace(r.body, s.quoted, s.plain) = replace(p.prosrc, s.quoted, s.plain)
            and coalesce(p.probin, '$libdir/quote_collab_ext') = '$libdir/quote_collab_ext'
            and p.prosecdef = (r.header ~* E'\\msecurity definer\\M') and p.proisstrict = (r.header ~* E'\\mstrict\\M')
            and p.provolatile = case when r.header ~* E'\\mimmutable\\M' then 'i' when r.header ~* E'\\mstable\\M' then 's' else 'v' end
            and array(select lower(split_part(c, '=', 1)) || replace(substr(c, strpos(c, '=')), '"', '') from unnest(p.proconfig) c order by 1)
                = array(select lower(m[1]) || '=' || translate(m[2], '''"', '') from regexp_matches(r.header, E'\\nset (\\w+) = ([^\\n]+)', 'g') m order by 1)
            and p.proparallel = case when r.header ~* E'\\mparallel safe\\M' then 's' when r.header ~* E'\\mparallel restricted\\M' then 'r' else 'u' end))
$$;
comment on function quote_functions_altered(text) is 'doctor: functions that are not as the release made them';
create function quote_functions_missing(script text) returns table (name text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with released as materialized (select r.* from @extschema@.quote_script_functions(script) r),
    own as (select p.proname, count(*) as functions from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function group by p.proname),
    missing as (select r.name from released r left join own o on o.proname = r.name group by r.name, o.functions having count(*) > coalesce(o.functions, 0))
    select m.name, coalesce((
            select string_agg(format('alter extension quote_collab_ext add function %s;', p.oid::regprocedure), ' ')
            from pg_proc p join pg_roles o on o.oid = p.proowner
            where p.pronamespace = e.extnamespace and p.proname = m.name and o.rolsuper and exists (
                    select from released r where r.name = m.name and replace(r.body, s.quoted, s.plain) = replace(p.prosrc, s.quoted, s.plain))
                and not exists (select from @extschema@.quote_extension_functions() f where f.function = p.oid)),
        format('set search_path = %s, pg_temp; ', s.plain)
            || (select string_agg(format('create or replace function %s ', r.statement), '') from released r where r.name = m.name)
            || (select string_agg(format('comment on function %s is %s; ', c[1], c[2]), '')
                from regexp_matches(script, format(E'\\ncomment on function (%s[(][^)]*[)]) is ([^\\n]*);', m.name), 'g') c)
            || coalesce((select string_agg(r[1] || ' ', '') from regexp_matches(script, format(E'\\n(revoke [^;]*\\m%s[(][^;]*;)', m.name), 'g') r), '')
            || (select string_agg(format('alter extension quote_collab_ext add function %s; ', c[1]), '')
                from regexp_matches(script, format(E'\\ncomment on function (%s[(][^)]*[)]) is ', m.name), 'g') c)
            || 'reset search_path;')
    from missing m cross join pg_extension e join pg_namespace n on n.oid = e.extnamespace
    cross join lateral (select '"' || replace(n.nspname, '"', '""') || '"', quote_ident(n.nspname)) s (quoted, plain)
    where e.extname = 'quote_collab_ext'
$$;
comment on function quote_functions_missing(text) is 'doctor: functions of the release that are not the extension''s';
create function quote_collab_doctor_functions_released() returns quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    script text;
    names text;
    hints text;
begin
    script := @extschema@.quote_release_script();
    if script is null or not exists (select from @extschema@.quote_script_functions(script)) then
        return @extschema@.quote_collab_unchecked('functions as released', 'the script of the installed release is not on this server any more, or cannot be read',
            'alter extension quote_collab_ext update;');
    end if;
    select string_agg(f.name, ', '), string_agg(f.repair, ' ') into names, hints from @extschema@.quote_functions_missing(script) f;
    if names is not null then
        return @extschema@.quote_collab_verdict('functions as released', false, 'error',
            format('these functions of the release are no longer the extension''s: %s', names), hints);
    end if;
    select string_agg(f.function::text, ', '), string_agg(f.repair, ' ') into names, hints from @extschema@.quote_functions_altered(script) f;
    return @extschema@.quote_collab_verdict('functions as released', names is null, 'error',
        format('these functions do something else than the release has them do, or as another role: %s', names), hints);
exception when insufficient_privilege then
    return @extschema@.quote_collab_unchecked('functions as released', sqlerrm, 'Run it as a superuser.');
end $$;
comment on function quote_collab_doctor_functions_released() is 'doctor: the extension''s functions against the script that made them';
create or replace function quote_month_statement(log regclass, at timestamptz) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
declare
    first timestamptz := @extschema@.quote_changes_month(at);
    detached regclass := (
        select m.oid from pg_class l join pg_class m on m.relnamespace = l.relnamespace and m.relname = @extschema@.quote_changes_month_name(log, first)
        where l.oid = log and m.relkind = 'r' and m.relowner = l.relowner and not m.relispartition);
begin
    if detached is null then
        return 'select @extschema@.quote_collab_maintenance();';
    end if;
    return format('alter table %s attach partition %s for values from (%L) to (%L);', log, detached, first, @extschema@.quote_changes_month(first + interval '32 days'));
end $$;
create or replace function quote_collab_doctor_positions(log regclass, target_schema name) returns quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    name text := format('%I.quote_changes_position_seq', target_schema);
    s record;
begin
    select q.*, c.relpersistence into s from pg_sequence q join pg_class c on c.oid = q.seqrelid join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = target_schema and c.relname = 'quote_changes_position_seq';
    if not found then
        return @extschema@.quote_collab_verdict('positions left', false, 'error', 'the sequence of positions is gone: no change can be written', null);
    elsif s.seqincrement <> 1 or s.seqcycle or s.seqcache <> 1 or s.seqmax < 9223372036854775807 or s.seqtypid <> 'bigint'::regtype then
        return @extschema@.quote_collab_verdict('positions left', false, 'error', 'the sequence of positions is not as attach made it',
            format('alter sequence %s as bigint increment 1 no maxvalue no cycle cache 1;', name));
    elsif s.relpersistence = 'u' then
        return @extschema@.quote_collab_verdict('positions left', false, 'error', 'the sequence of positions is unlogged: a crash sets it back',
            format('alter sequence %s set logged;', name));
    elsif not @extschema@.quote_positions_kept(log, target_schema) then
        return @extschema@.quote_collab_verdict('positions left', false, 'warning', 'the sequence of positions can be dropped: nothing depends on it', null);
    end if;
    return @extschema@.quote_collab_verdict('positions left',
        coalesce((select q.last_value from pg_sequences q where (q.schemaname, q.sequencename) = (target_schema, 'quote_changes_position_seq')), 0)
        < 4000000000000000000, 'error',
        'the sequence of positions nears its end', format('Look who set it: select last_value from %s;', name));
end $$;
create or replace function quote_collab_doctor_history(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    log regclass := (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = target_schema and c.relname = 'quote_changes');
    partitions name[] := array(select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = log);
    next_month timestamptz := @extschema@.quote_changes_month(@extschema@.quote_changes_month(now()) + interval '32 days');
    keep record;
    found record;
    copy regclass;
begin
    return next @extschema@.quote_collab_verdict('audit log present', log is not null, 'error', 'quote_changes is gone', null);
    if log is null then
        return;
    end if;
    return next @extschema@.quote_collab_verdict('partition of this month', @extschema@.quote_month_stands(log, now()), 'error',
        'rows go to the default partition', @extschema@.quote_month_statement(log, now()));
    return next @extschema@.quote_collab_verdict('partition of next month', @extschema@.quote_month_stands(log, next_month), 'warning',
        'nobody creates partitions ahead: the library is not preloaded and no cron calls maintenance, or the server''s log says what keeps it from it',
        @extschema@.quote_month_statement(log, next_month));
    return next @extschema@.quote_collab_verdict('default partition present', @extschema@.quote_changes_spare(log) is not null, 'error',
        'a change of a month without a partition is refused, and the save with it', null);
    select * into found from @extschema@.quote_log_repairs(log);
    return next @extschema@.quote_collab_verdict('log as attached', found.problems is null, 'error', found.problems, found.repair);
    copy := (select c.oid from pg_class c join pg_class l on l.relnamespace = c.relnamespace
        where l.oid = log and c.relname = 'quote_changes_archive' and c.relkind <> 'p' and @extschema@.quote_owner_trusted(c.relowner));
    return next @extschema@.quote_collab_verdict('archive made by archiving', copy is null, 'error',
        format('%s was made by hand: what is there is no part of the history, and nothing can be archived', copy),
        @extschema@.quote_copy_return(copy, format('alter table %s rename to earlier_quote_changes;', copy)));
    return next @extschema@.quote_collab_doctor_positions(log, target_schema);
    select string_agg(k.relation::text, ', ') as names, string_agg(k.repair, ' ') as repair into found from @extschema@.quote_keys_missing(target_schema) k;
    return next @extschema@.quote_collab_verdict('keys stand', found.names is null, 'error', format('these tables lost their key: %s', found.names), found.repair);
    select * into keep from @extschema@.quote_history_policy();
    return next @extschema@.quote_collab_verdict('history let go as it was sealed',
        not exists (select from @extschema@.quote_collab_settings s where s.drop_refused_at is not null), 'error',
        'archived history is kept although drop_after lets it go: it is not as it was sealed, or something depends on it',
        format('See what select * from verify_quote_history(); finds and select @extschema@.drop_archived_quote_changes(%L); says. Keep its findings, and take the partitions away by hand.',
            keep.drop_after));
    return next @extschema@.quote_collab_verdict('history archived when due', keep.archive_after is null or not exists (
            select from @extschema@.quote_changes_months_before(log, @extschema@.quote_archive_limit(keep.archive_after) - interval '2 days')), 'warning',
        'months that archive_after lets go are still in the log: maintenance is not called, or something keeps it from it',
        format('select @extschema@.archive_quote_changes(interval %L);', keep.archive_after));
    return next @extschema@.quote_collab_verdict('history bounded', cardinality(partitions) < 61, 'warning', 'the log holds more than 5 years',
        'select @extschema@.archive_quote_changes(interval ''24 months'');');
    if not has_function_privilege('@extschema@.quote_seal_key_problem()', 'execute') then
        return next @extschema@.quote_collab_unchecked('seals signed as configured', 'the key is kept from this role',
            format('grant execute on function @extschema@.quote_seal_key_problem() to %I;', current_user));
    else
        return next @extschema@.quote_collab_verdict('seals signed as configured', @extschema@.quote_seal_key_problem() is null, 'error',
            format('seals are not signed with quote_collab.seal_key: %s', @extschema@.quote_seal_key_problem()),
            'Set it to what openssl rand -base64 32 prints, preload the library and restart.');
    end if;
end $$;
create or replace function quote_collab_doctor_rows(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    hidden text;
    spare regclass := (select @extschema@.quote_changes_spare(c.oid::regclass) from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = target_schema and c.relname = 'quote_changes');
    found_rows boolean := false;
    at timestamptz;
    lag interval;
begin
    select string_agg(c.relname, ', ' order by c.relname) into hidden from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where not @extschema@.quote_rows_all_seen(c.oid::regclass) and (c.oid = spare or n.nspname = target_schema and c.relname in
        ('quote_changes', 'quote_changes_seals', 'quote_relay_batch', 'quote_relay_lease', 'active_quote_sessions', 'quote_changes_position_seq'));
    if hidden is not null then
        return query select (@extschema@.quote_collab_unchecked(c.name, format('rows of %s are hidden from %s', hidden, current_user),
            'Run it as a superuser.')).* from unnest(array['positions ascend', 'default partition empty', 'relay keeps up', 'a gateway is connected',
            'stale sessions swept', 'history sealed']) c (name);
        return;
    end if;
    return next @extschema@.quote_collab_verdict('positions ascend', not @extschema@.quote_positions_set_back(target_schema), 'error',
        'the sequence of positions was set back: new changes stand before older ones', @extschema@.quote_positions_statement(target_schema));
    -- Those of months that are archived wait until event feeds have read them.
    if spare is not null then
        execute format('select exists (select from (select distinct date_trunc(''month'', c.changed_at, ''UTC'') from %s c offset 0) m (month_start)
            where not exists (select from @extschema@.quote_archived_months($1) a
                where a.month_start <= m.month_start and a.month_end >= @extschema@.quote_changes_month(m.month_start + interval ''32 days'')))', spare)
        into found_rows using format('%I.quote_changes', target_schema)::regclass;
    end if;
    return next @extschema@.quote_collab_verdict('default partition empty', not found_rows, 'warning',
        'rows lie in the default partition: a month had no partition when they were written',
        format('select @extschema@.place_quote_strays(%L);', format('%I.quote_changes', target_schema)));
    execute format('select max(b.cur_at) from %I.quote_relay_batch b where b.no > 0', target_schema) into at;
    execute format('select now() - max(c.changed_at) from %I.quote_changes c
        where c.changed_at > now() - interval ''1 day'' and c.changed_at > $1 + interval ''30 seconds''
        and c.conflict_resolution is distinct from ''REJECTED''', target_schema) into lag using coalesce(at, '-infinity');
    return next @extschema@.quote_collab_verdict('relay keeps up', lag is null or lag < interval '30 seconds', 'warning',
        format('the newest change is %s old and no gateway has cut a batch since', lag), 'Look at the /health of the gateway.');
    execute format('select l.expires_at from %I.quote_relay_lease l', target_schema) into at;
    return next @extschema@.quote_collab_verdict('lease of the relay stands', at is not null, 'error',
        'quote_relay_lease has lost its row: no gateway can relay events', null);
    return next @extschema@.quote_collab_verdict('a gateway is connected', at > now(), 'warning',
        'no gateway holds the lease: events wait in quote_changes', 'Start the gateway.');
    -- Sessions are unlogged: a standby has none.
    found_rows := false;
    if not pg_is_in_recovery() then
        execute format('select exists (select from %I.active_quote_sessions x where x.last_heartbeat < now() - @extschema@.quote_session_ttl() * 3)',
            target_schema) into found_rows;
    end if;
    return next @extschema@.quote_collab_verdict('stale sessions swept', not found_rows, 'warning', 'nobody calls quote_collab_maintenance()',
        'Preload the library, run a gateway, or call select quote_collab_maintenance(); from cron.');
    execute format('select exists (select from %1$I.quote_changes c, (select s.cur, s.origin from %1$I.quote_changes_seals s order by s.no desc limit 1) s
        where c.changed_at between now() - interval ''1 day'' and now() - interval ''5 minutes'' and c.origin = @extschema@.quote_cluster_identifier()
        and (s.origin <> c.origin or not pg_visible_in_snapshot(c.xid, s.cur)))', target_schema) into found_rows;
    return next @extschema@.quote_collab_verdict('history sealed', not found_rows, 'warning', 'changes are older than 5 minutes and not sealed',
        'select @extschema@.seal_quote_history();');
end $$;
create or replace function quote_collab_doctor_objects(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    hints text;
    names text;
    item record;
    wrong text[] := '{}'::text[];
    changed text := @extschema@.quote_view_functions_changed(target_schema);
begin
    select string_agg(v.view_name, ', ') into names from @extschema@.quote_view_queries(target_schema) v
    where not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = target_schema and c.relname = v.view_name and c.relkind = 'v');
    return next @extschema@.quote_collab_verdict('views present', names is null, 'error', format('these views are missing: %s', names), null);
    select string_agg(c.oid::regclass::text, ', ') into names
    from @extschema@.quote_view_queries(target_schema) v join pg_class c on c.relname = v.view_name
    join pg_namespace n on n.oid = c.relnamespace and n.nspname = target_schema
    where c.relkind = 'v' and not coalesce(c.reloptions @> '{security_invoker=true}', false);
    return next @extschema@.quote_collab_verdict('views ask as the caller', names is null, 'error',
        format('these views show what their owner may see: %s', names), null);
    -- Sessions are unlogged: a standby cannot plan what reads them.
    begin
        for item in
            select c.oid::regclass as relation, v.query, coalesce(@extschema@.quote_view_strangers(c.oid::regclass), case
                when v.view_name in ('v_recent_quote_changes', 'v_active_quote_collaborators') then changed end) as strangers
            from @extschema@.quote_view_queries(target_schema) v join pg_class c on c.relname = v.view_name
            join pg_namespace n on n.oid = c.relnamespace and n.nspname = target_schema
            where c.relkind = 'v' and (v.view_name <> 'v_active_quote_collaborators' or not pg_is_in_recovery())
        loop
            if item.strangers is not null then
                wrong := wrong || format('%s (%s)', item.relation, item.strangers);
            elsif @extschema@.quote_view_differs(item.relation, item.query) then
                wrong := wrong || item.relation::text;
            end if;
        end loop;
        return next @extschema@.quote_collab_verdict('views as attached', wrong = '{}', 'error',
            format('these views show something else than those that attach creates: %s', array_to_string(wrong, ', ')), null);
    exception when insufficient_privilege then
        return next @extschema@.quote_collab_unchecked('views as attached', sqlerrm, 'Run it as a superuser.');
    end;
    -- Where the table is gone other checks say so.
    return next @extschema@.quote_collab_verdict('presence guarded',
        coalesce(@extschema@.quote_sessions_guarded(to_regclass(format('%I.active_quote_sessions', target_schema))), true), 'error',
        'who may write sessions may write those of others, and times that never come', null);
    select string_agg(format('%s on %s', r.rulename, c.oid::regclass), ', '), string_agg(format('drop rule %I on %s;', r.rulename, c.oid::regclass), ' ')
    into names, hints from pg_rewrite r join pg_class c on c.oid = r.ev_class join pg_namespace n on n.oid = c.relnamespace
    where r.rulename <> '_RETURN' and r.is_instead and (n.nspname = target_schema and c.relname in (select v.view_name from @extschema@.quote_view_queries(target_schema) v)
        or c.oid in (select l.relation from @extschema@.quote_own_relations(target_schema) l)
        or c.oid in (select t.oid from @extschema@.quote_collab_settings s cross join lateral (select @extschema@.quote_collab_table(s)::oid
            union select p.relid from pg_partition_tree(@extschema@.quote_collab_table(s)) p) t (oid)));
    return next @extschema@.quote_collab_verdict('no rules', names is null, 'error',
        format('these rules turn statements into others: %s', names), hints);
end $$;
create or replace function quote_collab_doctor_tenant_roles(verified boolean) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    gateways oid[] := array(select @extschema@.quote_gateway_roles());
    setters oid[] := '{}'::oid[];
    names text;
    hints text;
begin
    setters := array(select acl.grantee from pg_parameter_acl p cross join lateral aclexplode(p.paracl) acl
        left join pg_roles r on r.oid = acl.grantee
        where p.parname = 'app.current_tenant_id' and acl.privilege_type = 'SET' and r.rolsuper is not true);
    -- What is granted on a setting holds in every database of the cluster: a role that has functions granted in another one may be the
    -- gateway of that.
    select string_agg(s.name || coalesce(' (perhaps the gateway of ' || e.databases || ')', ''), ', ' order by s.name),
        concat_ws(' ', string_agg(r.revoke, ' ' order by s.name) filter (where e.databases is null),
            'Unless it is the gateway of another database: ' || string_agg(r.revoke, ' ' order by s.name) filter (where e.databases is not null))
    into names, hints
    from (select distinct u.setter, @extschema@.quote_grantee(u.setter) from unnest(setters) u (setter) where u.setter <> all (gateways)) s (setter, name)
    cross join lateral (select @extschema@.quote_databases_elsewhere(s.setter)) e (databases)
    cross join lateral (select format('revoke set on parameter app.current_tenant_id from %s;', s.name)) r (revoke);
    return next @extschema@.quote_collab_verdict('tenant set by gateways only', names is null, 'warning',
        format('these roles may set any tenant, in the whole cluster: %s', names), hints);
    -- quote_collab.notify decides how listeners are woken, and nothing about tenants or keys.
    select string_agg(format('%s on %s to %s', acl.privilege_type, p.parname, @extschema@.quote_grantee(acl.grantee)), ', '),
        string_agg(format('revoke %s on parameter %s from %s;', lower(acl.privilege_type), p.parname, @extschema@.quote_grantee(acl.grantee)), ' ')
    into names, hints from pg_parameter_acl p cross join lateral aclexplode(p.paracl) acl left join pg_roles r on r.oid = acl.grantee
    where (p.parname like E'quote\\_collab.%' and p.parname <> 'quote_collab.notify' or p.parname = 'app.current_tenant_id' and acl.privilege_type <> 'SET')
        and r.rolsuper is not true;
    return next @extschema@.quote_collab_verdict('settings changed by superusers only', names is null, 'error',
        format('whoever may set these chooses tenants, users or keys: %s', names), hints);
    select string_agg(@extschema@.quote_grantee(gateway), ', '),
        string_agg(format('select @extschema@.grant_quote_gateway(%L);', pg_get_userbyid(gateway)), ' ')
    into names, hints from unnest(gateways) gateway where gateway <> all (setters) and not 0::oid = any (setters);
    return next @extschema@.quote_collab_verdict('gateways may set the tenant', not verified or names is null, 'error',
        format('the gateway fails as: %s', names), hints);
    select string_agg(distinct coalesce(pg_get_userbyid(nullif(s.setrole, 0))::text, 'everybody'), ', ') into names
    from pg_db_role_setting s cross join lateral unnest(s.setconfig) setting
    where setting ~* '^(app[.]current_tenant_id|quote_collab[.]verified_)';
    return next @extschema@.quote_collab_verdict('no tenant by default', not verified or names is null
            and not exists (select from pg_settings s where s.name = 'app.current_tenant_id' and s.reset_val <> ''), 'warning',
        format('sessions begin with a tenant that no token vouches for: %s', coalesce(names, 'this one')),
        'alter role ... reset app.current_tenant_id; and look into postgresql.conf.');
end $$;
drop function quote_role_begins_read_only(oid);
create function quote_file_setting(option text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select f.setting from pg_file_settings f where f.name = option and f.applied order by f.seqno desc limit 1);
exception when insufficient_privilege then
    return null;
end $$;
comment on function quote_file_setting(text) is 'doctor: what the configuration of the server sets';
create function quote_role_default(role oid, option text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select split_part(c.setting, '=', 2) from pg_db_role_setting s cross join lateral unnest(s.setconfig) c (setting)
        where s.setrole in (role, 0) and (s.setdatabase = 0 or s.setdatabase = (select d.oid from pg_database d where d.datname = current_database()))
            and starts_with(c.setting, option || '=')
        order by s.setrole = 0, s.setdatabase = 0 limit 1), (
        select case when s.source in ('configuration file', 'command line', 'environment variable') then s.setting
            else coalesce(@extschema@.quote_file_setting(option), s.boot_val) end
        from pg_settings s where s.name = option))
$$;
comment on function quote_role_default(oid, text) is 'doctor: the setting with which sessions of a role begin';
create or replace function quote_collab_doctor_writers(preloaded boolean) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    gateways oid[] := array(select g.role from @extschema@.quote_gateway_roles() g (role) join pg_roles r on r.oid = g.role where r.rolcanlogin);
    names text;
    hints text;
begin
    select string_agg(quote_ident(r.rolname), ', '),
        string_agg(format('alter role %I in database %I set default_transaction_read_only = off;', r.rolname, current_database()), ' ')
    into names, hints from pg_roles r where r.oid = any (gateways) and @extschema@.quote_role_default(r.oid, 'default_transaction_read_only')::boolean;
    if gateways = '{}' and preloaded is not true and @extschema@.quote_role_default(0::oid, 'default_transaction_read_only')::boolean then
        names := 'whoever calls maintenance';
        hints := 'Preload the library, or call it from cron with begin read write; select @extschema@.quote_collab_maintenance(); commit;';
    end if;
    return next @extschema@.quote_collab_verdict('transactions may write', names is null, 'warning',
        format('default_transaction_read_only is on, so that maintenance, saves and the relay fail, for %s', names), hints);
end $$;
create function quote_collab_doctor_filters() returns quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    all_are boolean := not @extschema@.quote_role_default(0::oid, 'row_security')::boolean;
    names text;
    hints text;
begin
    select string_agg(quote_ident(r.rolname), ', '),
        string_agg(format('alter role %I in database %I set row_security = on;', r.rolname, current_database()), ' ')
    into names, hints from pg_roles r
    where r.oid in (select s.setrole from pg_db_role_setting s cross join lateral unnest(s.setconfig) c (setting) where starts_with(c.setting, 'row_security='))
        and r.rolcanlogin and not r.rolsuper and not r.rolbypassrls and not @extschema@.quote_role_default(r.oid, 'row_security')::boolean
        and exists (select from @extschema@.quote_collab_settings t
            where has_table_privilege(r.oid, to_regclass(format('%I.%I', t.table_schema, t.table_name)), 'select, insert, update, delete'));
    return @extschema@.quote_collab_verdict('rows are filtered', not all_are and names is null, 'warning',
        format('row_security is off, so that saves and history are refused, for %s', case when all_are then 'every role' else names end),
        concat_ws(' ', case when all_are then format('alter database %I set row_security = on;', current_database()) end, hints));
end $$;
comment on function quote_collab_doctor_filters() is 'doctor: whether row security filters rows, or refuses who asks';
create or replace function quote_collab_doctor_server() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    version integer := current_setting('server_version_num')::integer;
    oldest integer := case version / 10000 when 15 then 150014 when 16 then 160010 when 17 then 170006 when 18 then 180000 end;
    available text;
    installed text;
begin
    return next @extschema@.quote_collab_verdict('listeners are woken', current_setting('quote_collab.notify', true) is distinct from 'off', 'warning',
        'quote_collab.notify is off: readers only poll', 'alter system reset quote_collab.notify;');
    return next @extschema@.quote_collab_verdict('no old prepared transaction',
        not exists (select from pg_prepared_xacts x where x.prepared < now() - interval '1 hour'), 'warning',
        'a transaction was prepared an hour ago and holds its locks', 'commit prepared or rollback prepared; see pg_prepared_xacts.');
    return next @extschema@.quote_collab_verdict('notification queue', pg_notification_queue_usage() < 0.5, 'error',
        format('the queue of NOTIFY is %s %% full: a listener sits in an open transaction', round((pg_notification_queue_usage() * 100)::numeric)),
        'End the oldest transaction of a listening session; see pg_stat_activity.');
    return next @extschema@.quote_collab_verdict('server patch level', version >= coalesce(oldest, version), 'warning',
        format('PostgreSQL %s lacks fixes of row security', current_setting('server_version')), 'Install the latest minor release.');
    select e.extversion, v.default_version into installed, available from pg_extension e
    left join pg_available_extensions v on v.name = e.extname where e.extname = 'quote_collab_ext';
    return next @extschema@.quote_collab_verdict('extension up to date', installed = coalesce(available, installed), 'warning',
        format('version %s is installed, %s is available', installed, available), 'alter extension quote_collab_ext update; and, in the same transaction, select attach_quote_collaboration();');
    return next @extschema@.quote_collab_verdict('survives a power cut',
        current_setting('fsync') = 'on' and current_setting('full_page_writes') = 'on', 'error',
        'fsync or full_page_writes is off: a crash loses or corrupts prices', 'alter system set fsync = on; alter system set full_page_writes = on; select pg_reload_conf();');
    return next @extschema@.quote_collab_verdict('commits are durable', current_setting('synchronous_commit') <> 'off', 'warning',
        'synchronous_commit is off: a crash takes back what users saw saved', 'alter system set synchronous_commit = on; select pg_reload_conf();');
    return next @extschema@.quote_collab_verdict('transaction ids left', (select age(d.datfrozenxid) < 1500000000 from pg_database d where d.datname = current_database()),
        'error', 'this database is close to transaction id wraparound', 'vacuum freeze;');
    return next @extschema@.quote_collab_verdict('encoding', getdatabaseencoding() = 'UTF8', 'error', 'the database is not in UTF8', 'Create it anew in UTF8.');
    return query select * from @extschema@.quote_collab_doctor_writers(@extschema@.quote_library_preloaded());
    return next @extschema@.quote_collab_doctor_filters();
    return query select * from @extschema@.quote_collab_doctor_processes(@extschema@.quote_library_preloaded());
end $$;
create or replace function quote_collab_doctor_processes(preloaded boolean) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    notify text := coalesce(current_setting('quote_collab.notify', true), 'auto');
    -- Of the processes of others the rest see the number alone.
    sees_processes boolean := pg_has_role('pg_read_all_stats', 'usage');
    unseen text := format('processes of others are hidden from %s', current_user);
    see_processes text := format('grant pg_read_all_stats to %I;', current_user);
    -- One place is the keeper's, which comes and goes.
    is_woken boolean := exists (select from pg_stat_activity a where a.backend_type = 'quote_collab waker' and a.datname = current_database())
        or (select count(*) from pg_stat_activity a where a.backend_type <> all (array['client backend', 'autovacuum launcher', 'autovacuum worker',
                'logger', 'archiver', 'startup', 'checkpointer', 'background writer', 'walwriter', 'walsender', 'walreceiver', 'walsummarizer',
                'slotsync worker', 'io worker', 'standalone backend']))
            < current_setting('max_worker_processes')::integer - 1;
    names text;
begin
    if preloaded is null then
        return query select (@extschema@.quote_collab_unchecked(c.name, format('settings of the server are hidden from %s', current_user),
            format('grant pg_read_all_settings to %I;', current_user))).* from unnest(array['library preloaded', 'transactions can be prepared']) c (name);
    else
        return next @extschema@.quote_collab_verdict('library preloaded', preloaded, 'warning',
            'a NOTIFY inside each writing transaction holds a lock of the whole cluster through the flush',
            'shared_preload_libraries = ''quote_collab_ext'' in postgresql.conf, then restart.');
        return next @extschema@.quote_collab_verdict('transactions can be prepared',
            current_setting('max_prepared_transactions') = '0' or notify = 'off'
                or preloaded and (notify = 'worker' or notify = 'auto' and (is_woken or not sees_processes)), 'warning',
            'a transaction that notifies cannot be prepared', case
                when notify = 'transaction' and preloaded then 'alter system set quote_collab.notify = ''worker''; select pg_reload_conf();'
                else 'Preload the library; where it is, raise max_worker_processes, or set quote_collab.notify to worker.' end);
    end if;
    if preloaded is not false and not pg_is_in_recovery() and not sees_processes then
        return query select (@extschema@.quote_collab_unchecked(c.name, unseen, see_processes)).*
        from unnest(array['background worker alive', 'background worker free']) c (name);
    else
        return next @extschema@.quote_collab_verdict('background worker alive', not coalesce(preloaded, false) or pg_is_in_recovery()
                or exists (select from pg_stat_activity a where a.backend_type = 'quote_collab launcher'), 'error',
            'the library is preloaded and its launcher does not run', 'Look into the server''s log; raise max_worker_processes.');
        return next @extschema@.quote_collab_verdict('background worker free', not coalesce(preloaded, false) or pg_is_in_recovery()
                or notify in ('transaction', 'off') or is_woken, 'warning',
            'no background worker is left for this database: its transactions notify by themselves or, by quote_collab.notify, nobody',
            format('alter system set max_worker_processes = %s; then restart.', current_setting('max_worker_processes')::integer
                + greatest(current_setting('max_worker_processes')::integer, (select count(*) from pg_database d where d.datallowconn))));
    end if;
    if not sees_processes then
        return next @extschema@.quote_collab_unchecked('no hour-long writer', unseen, see_processes);
        return;
    end if;
    select string_agg(a.pid::text, ', ') into names from pg_stat_activity a
    where a.datname = current_database() and a.backend_xid is not null and a.xact_start < now() - interval '1 hour';
    return next @extschema@.quote_collab_verdict('no hour-long writer', names is null, 'warning',
        format('these sessions write in a transaction that is older than an hour: %s', names), 'select pg_terminate_backend(...);');
end $$;
create or replace function quote_collab_doctor_part(part text, home name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    case part
        when 'server' then return query select * from @extschema@.quote_collab_doctor_server();
        when 'tables' then return query select * from @extschema@.quote_collab_doctor_tables();
        when 'history' then return query select * from @extschema@.quote_collab_doctor_history(home);
        when 'rows' then return query select * from @extschema@.quote_collab_doctor_rows(home);
        when 'objects' then return query select * from @extschema@.quote_collab_doctor_objects(home);
        when 'security' then return query select * from @extschema@.quote_collab_doctor_security(home);
        when 'grants' then return query select * from @extschema@.quote_collab_doctor_grants(home);
        when 'tenants' then return query select * from @extschema@.quote_collab_doctor_tenants();
        else raise exception 'the doctor has no such part' using errcode = 'invalid_parameter_value',
            hint = 'Its parts are server, tables, history, rows, objects, security, grants and tenants.';
    end case;
exception
    when insufficient_privilege then
        return next @extschema@.quote_collab_unchecked(part || ' can be checked', sqlerrm, 'Run it as a superuser.');
    when undefined_table or undefined_column or undefined_function or wrong_object_type then
        return next @extschema@.quote_collab_unchecked(part || ' can be checked', sqlerrm, @extschema@.quote_attach_statement());
    when insufficient_resources then
        return next @extschema@.quote_collab_unchecked(part || ' can be checked', sqlerrm, 'Raise what the message names, and ask again.');
end $$;
create or replace function quote_collab_doctor() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
set quote_all_identifiers = off
as $$
declare
    home name := (select s.log_schema from @extschema@.quote_collab_settings s limit 1);
    part text;
    strange text;
    astray text;
    hints text;
    is_noted boolean;
begin
    return next @extschema@.quote_collab_verdict('attached', home is not null, 'error', 'quote collaboration is not attached',
        'select @extschema@.attach_quote_collaboration();');
    if home is not null then
        select string_agg(format('%s of %s', t.relation, pg_get_userbyid(c.relowner)), ', ' order by c.relname),
            string_agg(@extschema@.quote_stranger_hint(t.relation), ' ' order by c.relname)
        into strange, hints from @extschema@.strange_quote_tables() t (relation) join pg_class c on c.oid = t.relation;
        if strange is not null and @extschema@.quote_settings_restored() then
            hints := @extschema@.quote_attach_statement();
        end if;
        return next @extschema@.quote_collab_verdict('tables are those of attach', strange is null, 'error',
            format('these took the names of attached tables or of the history, and nothing more is checked: %s', strange), hints);
        select string_agg(a.relation::text, ', '), string_agg(@extschema@.quote_relation_return(a.relation, home, a.name), ' ')
        into astray, hints from @extschema@.quote_relations_astray(home) a;
        return next @extschema@.quote_collab_verdict('history in its place', astray is null, 'error',
            format('these were renamed or moved, where nothing finds them: %s', astray), hints);
        is_noted := not exists (select from @extschema@.quote_collab_settings s where s.owners = '{}');
        return next @extschema@.quote_collab_verdict('owners are noted', is_noted, 'warning', 'the settings come from a release that did not note to whom the tables belong',
            case when not is_noted then @extschema@.quote_attach_statement() end);
    end if;
    foreach part in array '{server,tables,history,rows,objects,security,grants,tenants}'::text[] loop
        if home is not null and strange is null or part = 'server' then
            return query select p.check_name, p.severity, p.message, coalesce(p.hint, @extschema@.quote_attach_statement())
                from @extschema@.quote_collab_doctor_part(part, home) p;
        end if;
    end loop;
end $$;
comment on column @extschema@.quote_collab_settings.columns is 'role of a column -> its name in this table, e.g. {"unit_price": "price_each"}';
create or replace function quote_gateway_functions() returns setof regprocedure
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select f.function from (values
        (to_regprocedure('@extschema@.cleanup_stale_quote_sessions()')),
        (to_regprocedure('@extschema@.quote_collab_maintenance()')),
        (to_regprocedure('@extschema@.quote_presence_snapshot()')),
        (to_regprocedure('@extschema@.quote_relay_identity()')),
        (to_regprocedure('@extschema@.quote_relay_lease(text, interval)')),
        (to_regprocedure('@extschema@.quote_relay_next_batch(bigint, bigint, text, integer, integer, bigint)')),
        (to_regprocedure('@extschema@.quote_relay_open_batch(bigint)')),
        (to_regprocedure('@extschema@.quote_relay_last_batch()')),
        (to_regprocedure('@extschema@.quote_relay_first_batch()')),
        (to_regprocedure('@extschema@.quote_relay_read(bigint, bigint, integer)')),
        (to_regprocedure('@extschema@.quote_relay_checkpoint(bigint, bigint, bigint, bigint)')),
        (to_regprocedure('@extschema@.quote_relay_position()')),
        (to_regprocedure('@extschema@.quote_events_between(uuid, bigint, bigint, bigint, bigint, integer)'))) f (function)
    where f.function is not null
$$;
