-- doctor: the audit log and what delivers it.

-- Does the caller see every row of a table? The owner of the log does not: its row security is forced.
create function quote_rows_all_seen(target regclass) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select coalesce(has_table_privilege(target, 'select') and not row_security_active(target), false) $$;
comment on function quote_rows_all_seen(regclass) is 'true when the caller may read a table and no row security hides a row from him';

-- What gives a log a partition for a month: one that was made for it and detached, with what was written since, else a new one, or one that
-- maintenance takes back from the archive.
create function quote_month_statement(log regclass, at timestamptz) returns text
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
comment on function quote_month_statement(regclass, timestamptz) is 'doctor: statement that gives an audit log a partition for a month';

-- Keys without which saves, sealing, joining or the relay fail, or rows come twice; logs of earlier releases have theirs over other columns.
create function quote_keys_missing(target_schema name) returns table (relation regclass, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select s.oid::regclass, k.repair from pg_class s join pg_namespace n on n.oid = s.relnamespace
    cross join lateral @extschema@.quote_session_keys_missing(s.oid) k
    where n.nspname = target_schema and s.relname = 'active_quote_sessions' and s.relkind = 'r' and k.is_key
    union all
    select c.oid::regclass, format('alter table %s add constraint %I primary key (%s);', c.oid::regclass, c.relname || '_pkey', k.key)
    from (
        select c.oid, h.key from @extschema@.quote_home_tables() h join pg_class c on c.relname = h.name and c.relkind = h.kind
        where h.name <> 'active_quote_sessions' and c.relnamespace = (select n.oid from pg_namespace n where n.nspname = target_schema)
        union all
        values ('@extschema@.quote_former_versions'::regclass::oid, 'row_id, is_line')) k (oid, key)
    join pg_class c on c.oid = k.oid
    where not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary and i.indisvalid)
$$;
comment on function quote_keys_missing(name) is 'doctor: tables of the history that lost their key';

-- What helps where the sequence was set back.
create function quote_positions_hint(target_schema name) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    newest bigint;
begin
    execute format('select max(c.position) from %I.quote_changes c', target_schema) into newest;
    if newest < 4000000000000000000 then
        return @extschema@.quote_positions_statement(target_schema);
    end if;
    return 'Changes were numbered near the end of the sequence: behind them no change could be written. '
        || format('Have it go on behind all others: %s ', @extschema@.quote_positions_statement(target_schema))
        || 'Those changes stay as they were sealed, after newer ones in histories, and are told here until they are a day old.';
end $$;
comment on function quote_positions_hint(name) is 'doctor: what helps where the sequence of positions was set back';

-- The sequence that numbers what the log tells.
create function quote_collab_doctor_positions(log regclass, target_schema name) returns quote_collab_check
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
        'the sequence of positions nears its end: after the last one no change can be written',
        format('Somebody set it. Have it go on behind what was numbered before: %s', @extschema@.quote_positions_statement(target_schema)));
end $$;
comment on function quote_collab_doctor_positions(regclass, name) is 'doctor: the sequence of positions';

-- What others have that depends on months of the archive, by their rows or the type of these: no month is dropped before it.
create function quote_archive_dependents(target_schema name) returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select distinct case when d.classid = 'pg_rewrite'::regclass then r.ev_class::regclass::text else pg_describe_object(d.classid, d.objid, 0) end
    from pg_class a join pg_namespace n on n.oid = a.relnamespace cross join lateral pg_partition_tree(a.oid) p join pg_class c on c.oid = p.relid
    join pg_depend d on d.deptype = 'n' and ((d.refclassid, d.refobjid) = ('pg_class'::regclass, c.oid) or (d.refclassid, d.refobjid) = ('pg_type'::regclass, c.reltype))
    left join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
    where n.nspname = target_schema and a.relname = 'quote_changes_archive' and p.level > 0 and d.classid in ('pg_rewrite'::regclass, 'pg_proc'::regclass, 'pg_constraint'::regclass)
$$;
comment on function quote_archive_dependents(name) is 'doctor: what depends on months of the archive';

-- Constraints on a log that attach did not make: what they refuse fails the ERP's own statement. And those that it made and that are gone.
create function quote_log_constraints(log regclass) returns table (problem text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('constraint %I of %s is not of the extension', k.conname, k.conrelid::regclass), format('alter table %s drop constraint %I;', k.conrelid::regclass, k.conname)
    from pg_partition_tree(log) p join pg_constraint k on k.conrelid = p.relid
    where k.contype in ('c', 'f', 'u', 'x') and k.coninhcount = 0 and k.conparentid = 0 and k.conname <> 'quote_changes_month'
    union all
    select format('index %s allows nothing twice', i.indexrelid::regclass), format('drop index %s;', i.indexrelid::regclass)
    from pg_partition_tree(log) p join pg_index i on i.indrelid = p.relid
    where i.indisunique and not i.indisprimary and not exists (select from pg_constraint k where k.conindid = i.indexrelid)
        and not exists (select from pg_inherits h where h.inhrelid = i.indexrelid)
    union all
    (select format('column %s of %s is %s', a.attname, p.relid, case when a.attnotnull then 'never null' else 'null' end),
        format('alter table %s alter column %I %s not null;', p.relid, a.attname, case when a.attnotnull then 'drop' else 'set' end)
    from pg_partition_tree(log) p join pg_attribute a on a.attrelid = p.relid join @extschema@.quote_history_columns('quote_changes') k on k.column_name = a.attname
    where a.attnotnull = (a.attname in ('quote_line_id', 'changed_by', 'old_value', 'new_value', 'session_id', 'conflict_resolution',
        'entity_version_before', 'entity_version_after', 'context'))
    order by p.level)
$$;
comment on function quote_log_constraints(regclass) is 'doctor: constraints of an audit log that are not as attach made them';

-- Months as attach makes them: kept through a crash, by the owner of the log, whose row security nobody else switches off; and the indexes
-- that every month gets.
create function quote_log_repairs(log regclass, out problems text, out repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(f.problem, ', '), string_agg(f.repair, ' ') from (
        select format('%s is unlogged', c.oid::regclass), format('alter table %s set logged;', c.oid::regclass)
        from pg_partition_tree(log) p join pg_class c on c.oid = p.relid where c.relpersistence = 'u'
        union all
        select format('%s belongs to %I', c.oid::regclass, pg_get_userbyid(c.relowner)), format('alter table %s owner to %I;', c.oid::regclass, pg_get_userbyid(l.relowner))
        from pg_class l, pg_partition_tree(log) p join pg_class c on c.oid = p.relid where l.oid = log and c.relowner <> l.relowner
        union all
        select 'no index serves the history of a quote', format('create index on %s (quote_id, position) with (deduplicate_items = off);', log)
        where not exists (
            select from pg_index i where i.indrelid = log and i.indisvalid and i.indnkeyatts >= 2 and i.indpred is null
                and (select array_agg(a.attname order by k.place) from unnest(i.indkey::smallint[]) with ordinality k (attnum, place)
                    join pg_attribute a on (a.attrelid, a.attnum) = (log, k.attnum) where k.place <= 2) = '{quote_id,position}'::name[])
        union all
        select 'no index serves spans of time', format('create index on %s using brin (changed_at);', log)
        where not exists (select from pg_index i join pg_attribute a on (a.attrelid, a.attnum) = (log, i.indkey[0])
            where i.indrelid = log and i.indisvalid and i.indpred is null and a.attname = 'changed_at')
        union all
        select format('it lacks %s', m.names), m.repair from pg_class l join pg_namespace n on n.oid = l.relnamespace
        cross join lateral @extschema@.quote_columns_missing(n.nspname, pg_get_userbyid(l.relowner)) m where l.oid = log and m.relation = log
        union all
        select * from @extschema@.quote_log_constraints(log)) f (problem, repair)
$$;
comment on function quote_log_repairs(regclass, out text, out text) is 'doctor: what is not as attach made it with the tables of an audit log';

-- Tables beside the log whose rows a crash takes away, and with them seals, what was archived, or what is attached. Presence is meant to be.
create function quote_history_unlogged(target_schema name) returns table (relation regclass, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass, format('alter table %s set logged;', c.oid::regclass) from pg_class c
    where c.relpersistence = 'u' and c.relkind = 'r' and c.oid in (
            select r.relation from @extschema@.quote_own_relations(target_schema) r where not r.is_presence
            union select t.relation from @extschema@.quote_extension_tables() t)
        and c.oid not in (select p.relid from pg_class l join pg_namespace n on n.oid = l.relnamespace cross join lateral pg_partition_tree(l.oid) p
            where n.nspname = target_schema and l.relname = 'quote_changes')
$$;
comment on function quote_history_unlogged(name) is 'doctor: tables beside the log that a crash empties';

-- What is a member of an extension is made by that, says pg_dump, and leaves out what it is and holds.
create function quote_relations_in_extensions(target_schema name) returns table (told text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('%s in %I', c.oid::regclass, e.extname), format('alter extension %I drop %s %s;', e.extname,
        case c.relkind when 'S' then 'sequence' when 'v' then 'view' when 'f' then 'foreign table' else 'table' end, c.oid::regclass)
    from pg_depend d join pg_extension e on e.oid = d.refobjid join pg_class c on c.oid = d.objid
    where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e' and c.oid in (
        select r.relation from @extschema@.quote_own_relations(target_schema) r
        union select @extschema@.quote_collab_table(s) from @extschema@.quote_collab_settings s
        union select p.relid from @extschema@.quote_collab_settings s cross join lateral pg_partition_tree(@extschema@.quote_collab_table(s)) p
        union select v.oid from @extschema@.quote_view_queries(target_schema) q join pg_class v on v.relname = q.view_name
            join pg_namespace n on n.oid = v.relnamespace and n.nspname = target_schema)
$$;
comment on function quote_relations_in_extensions(name) is 'doctor: tables and views of quotes and history that dumps leave out';

create function quote_collab_doctor_history(target_schema name) returns setof quote_collab_check
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
comment on function quote_collab_doctor_history(name) is 'doctor: the audit log';

-- What only the rows tell.
create function quote_collab_doctor_rows(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    hidden text;
    spare regclass := (select @extschema@.quote_changes_spare(c.oid::regclass) from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = target_schema and c.relname = 'quote_changes');
    set_back boolean;
    found_rows boolean := false;
    at timestamptz;
    lag interval;
    sealed pg_snapshot;
    origin bigint;
begin
    select string_agg(c.relname, ', ' order by c.relname) into hidden from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where not @extschema@.quote_rows_all_seen(c.oid::regclass) and (c.oid = spare or n.nspname = target_schema and c.relname in
        ('quote_changes', 'quote_changes_seals', 'quote_relay_batch', 'quote_relay_lease', 'active_quote_sessions', 'quote_changes_position_seq'));
    if hidden is not null then
        return query select (@extschema@.quote_collab_unchecked(c.name, format('rows of %s are hidden from %s', hidden, current_user),
            'Run it as a superuser.')).* from unnest(array['positions ascend', 'default partition empty', 'relay keeps up', 'lease of the relay stands', 'a gateway is connected',
            'stale sessions swept', 'history sealed']) c (name);
        return;
    end if;
    set_back := @extschema@.quote_positions_set_back(target_schema);
    return next @extschema@.quote_collab_verdict('positions ascend', not set_back, 'error', 'the sequence of positions was set back: new changes stand before older ones',
        case when set_back then @extschema@.quote_positions_hint(target_schema) end);
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
    execute format('select exists (select from %I.quote_relay_batch)', target_schema) into found_rows;
    return next @extschema@.quote_collab_verdict('lease of the relay stands', at is not null and found_rows, 'error',
        'quote_relay_lease or quote_relay_batch has lost its rows: no gateway can relay events', null);
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
    execute format('select s.cur, s.origin from %I.quote_changes_seals s order by s.no desc limit 1', target_schema) into sealed, origin;
    found_rows := origin is not null and @extschema@.quote_rows_behind(format('%I.quote_changes', target_schema)::regclass,
        case origin when @extschema@.quote_cluster_identifier() then sealed end, now() - interval '1 day', now() - interval '5 minutes');
    return next @extschema@.quote_collab_verdict('history sealed', not found_rows, 'warning', 'changes are older than 5 minutes and not sealed',
        'select @extschema@.seal_quote_history();');
end $$;
comment on function quote_collab_doctor_rows(name) is 'doctor: what the rows of history, presence and relay tell';
