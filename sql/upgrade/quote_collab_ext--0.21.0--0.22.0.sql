-- From 0.21.0 to 0.22.0.
create or replace function quote_author_column(target quote_collab_settings) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    who uuid := @extschema@.current_quote_user(null::uuid);
    users jsonb := @extschema@.quote_names(target, 'users'::text);
begin
    if who is null or target.relations ? 'users'
                and (users is null or not (select u.known from @extschema@.find_quote_user_in(users, who) u))
            or not exists (select from pg_attribute a where a.attrelid = @extschema@.quote_collab_table(target)
                and a.attname = target.columns ->> 'updated_by' and not a.attisdropped) then
        return '{}'::jsonb;
    end if;
    return jsonb_build_object(target.columns ->> 'updated_by', format('%L::pg_catalog.uuid', who));
end $$;
create function quote_month_ahead(at timestamptz, months integer) returns timestamptz
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ begin return (date_trunc('month', at at time zone 'UTC') + make_interval(months => months)) at time zone 'UTC'; end $$;
comment on function quote_month_ahead(timestamptz, integer) is 'start of a monthly partition behind that of a time';
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
create or replace function remember_quote_versions(settings quote_collab_settings, part regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('insert into @extschema@.quote_former_versions as f select t.%1$s, %2$L, coalesce(max(t.%3$s), 0), now() from only %4$s t where num_nulls(t.%1$s, t.%5$s, t.%6$s) = 0 group by 1
        on conflict (row_id, is_line) do update set version = greatest(f.version, excluded.version), ended_at = excluded.ended_at',
        @extschema@.quote_collab_column(settings, 'id'), settings.entity = 'QUOTE_LINE', @extschema@.quote_collab_column(settings, 'version'), part,
        @extschema@.quote_collab_column(settings, 'tenant'), @extschema@.quote_collab_column(settings, case settings.entity when 'QUOTE_LINE' then 'quote' else 'id' end));
end $$;
create or replace function quote_changes_record(target quote_collab_settings, changes jsonb) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    relation regclass := format('%I.%I', target.table_schema, target.table_name)::regclass;
begin
    -- What has a modifier is spelled by the grammar, which looks nowhere.
    return (select string_agg(format('%I %s', a.attname, case when t.typnamespace = 'pg_catalog'::regnamespace and a.atttypmod = -1
            then format('pg_catalog.%I', t.typname) else format_type(a.atttypid, a.atttypmod) end), ', ')
        from pg_attribute a join pg_type t on t.oid = a.atttypid
        where a.attrelid = relation and a.attnum > 0 and not a.attisdropped and changes ? a.attname::text);
end $$;
comment on function quote_changes_record(quote_collab_settings, jsonb) is 'names and types of the columns of a change set, for any search path';
create or replace function apply_quote_changes(target quote_collab_settings, row_id uuid, seen jsonb, changes jsonb, cause text, path text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    amounts jsonb := '{}'::jsonb;
    updated jsonb;
begin
    if @extschema@.quote_amounts_follow(target, changes, cause) then
        amounts := @extschema@.quote_amounts_tried(target, row_id, changes, cause, path);
    end if;
    updated := @extschema@.update_quote_row(target, row_id, changes, cause, amounts, path);
    if updated is null then
        return @extschema@.require_quote_row(target, row_id, '');
    end if;
    updated := coalesce(@extschema@.find_quote_row(target, row_id, ''), updated);
    if exists (select from unnest('{id,tenant,quote}'::text[]) key (role)
            where seen ? (target.columns ->> key.role) and updated ->> (target.columns ->> key.role) is distinct from seen ->> (target.columns ->> key.role)) then
        raise exception 'the % cannot be moved by a save', lower(replace(target.entity, '_', ' ') collate "C") using errcode = 'insufficient_privilege',
            detail = 'A column that says which it is, or to whom it belongs, follows from a changed one.', hint = 'Move it by an update of the table, as a role that may.';
    end if;
    return updated;
end $$;
create or replace function save_quote_line(
    line_id uuid, expected_version integer, changes jsonb, session_id uuid, on_conflict text, path text,
    out success boolean, out quote_line jsonb, out previous_version integer, out new_version integer, out conflicts jsonb, out quote jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
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
    quote := @extschema@.find_quote_row(header, parent, 'for no key update');
    quote_line := @extschema@.require_quote_row(line, line_id, 'for no key update');
    if (quote_line ->> (line.columns ->> 'quote'))::uuid is distinct from parent then
        raise exception 'the line moved to another quote' using errcode = 'serialization_failure',
            detail = 'It did so between being found and being locked.', hint = 'Try again.';
    elsif quote is null then
        quote := @extschema@.require_quote_row(header, parent, 'for no key update');
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
        fields := @extschema@.quote_changes_told(line, fields);
        conflicts := @extschema@.quote_conflicts(line, quote_line, expected_version, fields);
        perform @extschema@.record_rejected_quote_change('QUOTE_LINE', line_id, expected_version, fields);
        perform @extschema@.set_quote_option('app.current_session_id', former);
        return;
    end if;
    if fields <> '{}' then
        quote_line := @extschema@.apply_quote_changes(line, line_id, quote_line, fields, 'save'::text, path);
    end if;
    new_version := @extschema@.quote_row_version(line, quote_line);
    quote := @extschema@.recalculate_quote_totals(header, line, parent, path);
    perform @extschema@.set_quote_option('app.current_session_id', former);
    success := true;
    conflicts := '[]';
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
    leads boolean;
    advice text;
    patience text;
begin
    if pg_is_in_recovery() then
        return '{}'::jsonb;
    elsif current_setting('transaction_read_only')::boolean then
        raise exception 'maintenance cannot be done in a read-only transaction' using errcode = 'read_only_sql_transaction',
            detail = 'It makes months ahead, ends stale sessions and seals.', hint = 'Begin one that may write: begin read write.';
    end if;
    patience := @extschema@.bound_quote_patience();
    -- Asked for what it does on the way: a queue of NOTIFY that was full stays full, when all have read it, until somebody asks.
    perform pg_notification_queue_usage();
    begin
        perform @extschema@.note_quote_owners();
    exception when others then
        raise warning 'owners of tables are not noted: %', sqlerrm;
    end;
    -- Whoever may write presence may lock it.
    begin
        swept := @extschema@.cleanup_stale_quote_sessions();
    exception when others then
        raise warning 'stale sessions are not swept: %', sqlerrm;
    end;
    alone := @extschema@.lock_quote_batches();
    -- Before sealing reads the log.
    leads := alone and @extschema@.try_quote_turn();
    if alone then
        dropped := @extschema@.drop_old_quote_batches();
    end if;
    begin
        sealed := @extschema@.seal_quote_history();
    exception when others then
        get stacked diagnostics advice = pg_exception_hint;
        raise warning 'the history is not sealed: %', sqlerrm using hint = @extschema@.quote_seal_advice(sqlstate, advice);
    end;
    -- What locks the log keeps it locked to the end of the transaction: once it has changed something, the rest waits for another time.
    if alone then
        perform @extschema@.require_quote_home('{quote_changes}'::text[]);
        log := @extschema@.quote_relay_table('quote_changes')::regclass;
        begin
            if leads then
                made := @extschema@.extend_quote_log(log);
                if made = 0 then
                    select k.archived, k.dropped into archived, released from @extschema@.keep_quote_history() k;
                end if;
            elsif not @extschema@.quote_month_stands(log, @extschema@.quote_month_ahead(now(), 1)) then
                raise warning 'months of the audit log are not made' using detail = 'Another attaches, detaches, or moves months, or keeps quote_collab_settings locked.',
                    hint = 'The default partition takes the rows until the next attempt.';
            end if;
        exception when others then
            raise warning 'months of the audit log are neither made nor moved: %', sqlerrm;
        end;
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
create or replace function quote_month_statement(log regclass, at timestamptz) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
declare
    first timestamptz := @extschema@.quote_changes_month(at);
    ends timestamptz := @extschema@.quote_month_ahead(first, 1);
    detached regclass := @extschema@.detached_quote_changes_month(log, @extschema@.quote_changes_month_name(log, first));
begin
    if detached is null then
        return 'select @extschema@.quote_collab_maintenance();';
    elsif @extschema@.quote_strays_exist(@extschema@.quote_changes_spare(log), first, ends) then
        return format('select @extschema@.place_quote_strays(%L);', log);
    end if;
    return format('alter table %s attach partition %s for values from (%L) to (%L);', log, detached, first, ends);
end $$;
create or replace function quote_collab_doctor_history(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    log regclass := (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = target_schema and c.relname = 'quote_changes');
    partitions name[] := array(select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = log);
    next_month timestamptz := @extschema@.quote_month_ahead(now(), 1);
    keep record;
    found record;
    copy regclass;
    locks bigint;
    -- Who can hold locks: PostgreSQL has room for max_locks_per_transaction of each, and for all of them together.
    holders integer := current_setting('max_connections')::integer + current_setting('max_prepared_transactions')::integer
        + coalesce(current_setting('autovacuum_worker_slots', true), current_setting('autovacuum_max_workers'))::integer + 1
        + current_setting('max_worker_processes')::integer + current_setting('max_wal_senders')::integer;
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
    select count(distinct i.inhrelid) + count(x.indexrelid) into locks from pg_inherits i left join pg_index x on x.indrelid = i.inhrelid
    where i.inhparent in (select a.oid from pg_class l join pg_class a on a.relnamespace = l.relnamespace
        where l.oid = log and a.relname in ('quote_changes', 'quote_changes_archive'));
    return next @extschema@.quote_collab_verdict('locks suffice for the history', locks <= 4 * current_setting('max_locks_per_transaction')::integer, 'warning',
        format('whoever reads a page of the history locks %s tables and indexes: where a quarter of all sessions do so at once, PostgreSQL may be out of shared memory', locks),
        format('alter system set max_locks_per_transaction = %s; then restart. Or keep fewer months: archive_after and drop_after.', (locks + 255) / 256 * 128));
    return next @extschema@.quote_collab_verdict('locks suffice for sealing', locks < holders * current_setting('max_locks_per_transaction')::integer, 'error',
        format('sealing and verifying lock the %s tables and indexes of the history at once, and the server has %s locks in all: they fail',
            locks, holders * current_setting('max_locks_per_transaction')::integer),
        format('alter system set max_locks_per_transaction = %s; then restart.', (locks + 255) / 256 * 128));
    select * into found from @extschema@.quote_log_repairs(log);
    return next @extschema@.quote_collab_verdict('log as attached', found.problems is null, 'error', found.problems, found.repair);
    select string_agg(format('%s lacks %s', m.relation, m.names), '; ') as names, string_agg(m.repair, ' ') as repair into found
    from @extschema@.quote_columns_missing(target_schema, null) m where m.relation <> log;
    return next @extschema@.quote_collab_verdict('tables beside the log as attached', found.names is null, 'error', found.names, found.repair);
    select string_agg(u.relation::text, ', ') as names, string_agg(u.repair, ' ') as repair into found from @extschema@.quote_history_unlogged(target_schema) u;
    return next @extschema@.quote_collab_verdict('history survives a crash', found.names is null, 'error',
        format('these tables are unlogged: a crash empties them, and no standby has them: %s', found.names), found.repair);
    select string_agg(r.told, ', ') as names, string_agg(r.repair, ' ') as repair into found from @extschema@.quote_relations_in_extensions(target_schema) r;
    return next @extschema@.quote_collab_verdict('dumps hold the history', found.names is null, 'error',
        format('these are members of an extension, which pg_dump leaves out with all their rows: %s', found.names), found.repair);
    select string_agg(distinct o.problem, ', ') as names, string_agg(distinct o.repair, ' ') as repair into found from @extschema@.quote_history_obstacles() o;
    return next @extschema@.quote_collab_verdict('history can be sealed', found.names is null, 'error',
        format('nothing is sealed, archived or verified: %s', found.names), found.repair);
    copy := (select c.oid from pg_class c join pg_class l on l.relnamespace = c.relnamespace
        where l.oid = log and c.relname = 'quote_changes_archive' and c.relkind <> 'p' and @extschema@.quote_owner_trusted(c.relowner));
    return next @extschema@.quote_collab_verdict('archive made by archiving', copy is null, 'error',
        format('%s was made by hand: what is there is no part of the history, and nothing can be archived', copy),
        @extschema@.quote_copy_return(copy, format('alter table %s rename to earlier_quote_changes;', copy)));
    return next @extschema@.quote_collab_doctor_positions(log, target_schema);
    select string_agg(distinct k.relation::text, ', ') as names, string_agg(k.repair, ' ') as repair into found from @extschema@.quote_keys_missing(target_schema) k;
    return next @extschema@.quote_collab_verdict('keys stand', found.names is null, 'error', format('these tables lost their key: %s', found.names), found.repair);
    select * into keep from @extschema@.quote_history_policy();
    return next @extschema@.quote_collab_verdict('history let go as it was sealed',
        not exists (select from @extschema@.quote_collab_settings s where s.drop_refused_at is not null), 'error',
        concat('archived history is kept although drop_after lets it go: it is not as it was sealed, or something depends on it',
            ': ' || (select string_agg(d.name, ', ') from @extschema@.quote_archive_dependents(target_schema) d (name))),
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
-- Whatever default privileges gave of what this release made.
select @extschema@.close_quote_extension();
