-- From 0.11.0 to 0.12.0.
-- Functions.
create function quote_positions_set_back(target_schema name) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    is_back boolean;
begin
    execute format('select coalesce((select max(c.position) from %1$I.quote_changes c
            where c.changed_at > now() - interval ''1 day'' and c.origin = @extschema@.quote_cluster_identifier()), 0)
        > coalesce((select q.last_value from pg_sequences q where (q.schemaname, q.sequencename) = (%1$L, ''quote_changes_position_seq'')), 0)', target_schema)
    into is_back;
    return is_back;
end $$;
comment on function quote_positions_set_back(name) is 'whether positions of an audit log would be given again';
create function quote_positions_statement(target_schema name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('select setval(%L, (select max(c.position) from %I.quote_changes c));', format('%I.quote_changes_position_seq', target_schema), target_schema)
$$;
comment on function quote_positions_statement(name) is 'statement that has positions of an audit log go on';
create function continue_quote_positions(target_schema name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if to_regclass(format('%I.quote_changes', target_schema)) is not null and @extschema@.quote_positions_set_back(target_schema) then
        execute @extschema@.quote_positions_statement(target_schema);
    end if;
end $$;
comment on function continue_quote_positions(name) is 'has positions of an audit log go on where they were set back';
create function archive_quote_strays(log regclass, spare regclass, month_start timestamptz, month_end timestamptz) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := (select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = log);
    archived regclass;
begin
    if @extschema@.quote_archive_stands(home) then
        select m.month into archived from @extschema@.quote_changes_months_before(to_regclass(format('%I.quote_changes_archive', home)), 'infinity'::timestamptz) m
        where m.month_start <= archive_quote_strays.month_start and m.month_end >= archive_quote_strays.month_end limit 1;
    end if;
    if archived is null then
        return false;
    elsif @extschema@.quote_log_is_published(log) then
        raise exception 'their month is archived, and the log is published' using errcode = 'object_not_in_prerequisite_state';
    end if;
    execute format('lock table %I.quote_changes_seals in share update exclusive mode', home);
    perform @extschema@.move_quote_strays(spare, archived, month_start, month_end);
    return true;
end $$;
comment on function archive_quote_strays(regclass, regclass, timestamptz, timestamptz) is 'moves rows of an archived month out of the default partition of an audit log';
create or replace function place_quote_strays(log regclass, at_most integer default 120, largest bigint default null) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    spare regclass := @extschema@.quote_changes_spare(log);
    first timestamptz;
    ends timestamptz;
    months regclass[] := array[]::regclass[];
    starts timestamptz[] := array[]::timestamptz[];
    month regclass;
    archived integer := 0;
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
            if @extschema@.archive_quote_strays(log, spare, first, ends) then
                archived := archived + 1;
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
create or replace function find_quote_relations(header regclass, entity text, columns jsonb, options jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    header_schema name := (select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = header);
    former jsonb := (select s.relations from @extschema@.quote_collab_settings s where @extschema@.quote_collab_table(s) = header);
    relations jsonb;
    kind text;
begin
    if entity <> 'QUOTE' then
        return former;
    end if;
    relations := jsonb_strip_nulls(jsonb_build_object(
        'users', @extschema@.find_quote_users(header_schema, options -> 'users', header),
        'customers', @extschema@.find_quote_customers(header_schema, options -> 'customers', header, columns)));
    -- A header that was moved away from them does not find them beside itself any more.
    for kind in select f.kind from jsonb_object_keys(former) f (kind) where not relations ? f.kind and not options ? f.kind order by 1 loop
        raise notice 'names of % are no longer read', kind
            using detail = format('They were read from %I.%I, and %I has no such table.', former -> kind ->> 'schema', former -> kind ->> 'table', header_schema),
                  hint = format('Name it: {"%s": {"schema": "...", "table": "..."}}, or null for none.', kind);
    end loop;
    return relations;
end $$;
create or replace function attach_quote_collaboration(
    quotes regclass default pg_catalog.to_regclass('quotes'), quote_lines regclass default pg_catalog.to_regclass('quote_lines'),
    options jsonb default '{}')
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
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
        perform set_config('lock_timeout', '5s', true);
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
create or replace function seal_quote_history() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
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
    execute format('select exists (select from %s)', coalesce(spare::text, 'unnest(''{}''::integer[])')) into found_rows;
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
        'quote_relay_lease has lost its row: no gateway can relay events', @extschema@.quote_attach_statement());
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
create or replace function quote_collab_doctor() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
as $$
declare
    home name := (select s.log_schema from @extschema@.quote_collab_settings s limit 1);
    part text;
    strange text;
    astray text;
    hints text;
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
        return next @extschema@.quote_collab_verdict('owners are noted', not exists (select from @extschema@.quote_collab_settings s where s.owners = '{}'), 'warning',
            'the settings come from a release that did not note to whom the tables belong', @extschema@.quote_attach_statement());
    end if;
    foreach part in array '{server,tables,history,rows,objects,security,grants,tenants}'::text[] loop
        if home is not null and strange is null or part = 'server' then
            return query select * from @extschema@.quote_collab_doctor_part(part, home);
        end if;
    end loop;
end $$;
