-- From 0.9.0 to 0.10.0.
drop function quote_archive_astray(name);
drop function quote_archive_return(regclass, name);
drop function check_quote_archive(name);
drop function quote_archive_comment();
create function quote_extension_owner() returns name
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select pg_get_userbyid(e.extowner) from pg_extension e where e.extname = 'quote_collab_ext' $$;
comment on function quote_extension_owner() is 'the role that owns the extension';
create or replace function guard_quote_settings() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if not pg_has_role(current_user, @extschema@.quote_extension_owner(), 'member') then
        raise exception 'table % is written by functions of the extension alone', tg_relid::regclass using errcode = 'insufficient_privilege',
            hint = 'Settings are given to attach_quote_collaboration(), by a superuser; the anchor of the seals is kept by sealing.';
    end if;
    return null;
end $$;
create function quote_extension_table_faults() returns table (relation regclass, problem text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass, format('%s belongs to %s', c.oid::regclass, pg_get_userbyid(c.relowner)),
        format('alter table %s owner to %I;', c.oid::regclass, @extschema@.quote_extension_owner())
    from pg_class c
    where c.oid = any (array['@extschema@.quote_collab_settings', '@extschema@.quote_seal_anchor', '@extschema@.quote_former_versions']::regclass[])
        and pg_get_userbyid(c.relowner) <> @extschema@.quote_extension_owner()
    union all
    select k.relation, format('trigger %s of %s is gone or altered', k.name, k.relation),
        format('create or replace trigger %1$I %2$s insert or update or delete or truncate on %3$s for each statement execute function %4$s; '
            'alter table %3$s enable always trigger %1$I;', k.name, case k.type when 62 then 'before' else 'after' end, k.relation, k.called)
    from (values ('guard_quote_settings'::name, '@extschema@.quote_collab_settings'::regclass, '@extschema@.guard_quote_settings()'::regprocedure, 62),
        ('guard_quote_settings', '@extschema@.quote_seal_anchor', '@extschema@.guard_quote_settings()', 62),
        ('quote_settings_changed', '@extschema@.quote_collab_settings', '@extschema@.quote_settings_changed()', 60)) k (name, relation, called, type)
    where not exists (select from pg_trigger t where t.tgrelid = k.relation and t.tgname = k.name and t.tgfoid = k.called and t.tgtype = k.type
        and t.tgenabled = 'A' and t.tgqual is null)
$$;
comment on function quote_extension_table_faults() is 'what is not as the extension made it with its own tables';
create function quote_home_tables() returns table (name name, kind "char", key text, said text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    values ('quote_changes'::name, 'p'::"char", 'xid, position, id, changed_at', 'audit log of quotes and their lines, one row per changed field; append-only'),
        ('quote_changes_archive', 'p', 'xid, position, id, changed_at', 'audit log of earlier months, moved here by archive_quote_changes(); append-only'),
        ('quote_changes_seals', 'r', 'no', 'chain of seals over quote_changes; verify_quote_history() checks it'),
        ('active_quote_sessions', 'r', 'id', 'who has which quote open; rows without a heartbeat for 30 seconds are gone from every list'),
        ('quote_relay_batch', 'r', 'no', 'batches of the event feed: what is visible in cur and was not in prev'),
        ('quote_relay_lease', 'r', 'singleton', 'who relays events now, and a lazy copy of the position in the stream')
$$;
comment on function quote_home_tables() is 'the tables of a history';
create function quote_table_comment(table_name name) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select k.said from @extschema@.quote_home_tables() k where k.name = table_name $$;
comment on function quote_table_comment(name) is 'the comment that a table of a history is given';
create function quote_relations_astray(home name) returns table (name name, relation regclass)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with logs as (
        select distinct a.oid from @extschema@.quote_collab_settings s cross join lateral unnest(s.anchors) a (oid)
        where s.settled_in = '@extschema@.quote_collab_settings'::regclass and s.log_schema = home)
    select k.name, c.oid
    from @extschema@.quote_home_tables() k join pg_class c on c.relkind = k.kind and not c.relispartition
    join pg_namespace n on n.oid = c.relnamespace
    where exists (select from @extschema@.quote_collab_settings s where s.log_schema = home)
        and exists (select from pg_namespace h where h.nspname = home) and to_regclass(format('%I.%I', home, k.name)) is null
        and @extschema@.quote_owner_trusted(c.relowner)
        and exists (select from pg_constraint p where p.conrelid = c.oid and p.contype = 'p' and p.conname = k.name || '_pkey')
        and case k.name when 'quote_changes' then c.oid in (select l.oid from logs l) else obj_description(c.oid, 'pg_class') = k.said
            and not exists (select from pg_class l where l.relnamespace = n.oid and n.nspname <> home and l.relname = 'quote_changes' and l.relkind = 'p'
                and l.oid not in (select o.oid from logs o)) end
$$;
comment on function quote_relations_astray(name) is 'tables of a history that were renamed or moved, each with the name that it should have';
create function quote_relation_return(astray regclass, home name, name name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select concat_ws(' ',
        case when c.relname <> quote_relation_return.name then format('alter table %s rename to %I;', astray, quote_relation_return.name) end,
        case when n.nspname <> home then format('alter table %I.%I set schema %I;', n.nspname, quote_relation_return.name, home) end)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = astray
$$;
comment on function quote_relation_return(regclass, name, name) is 'statements that put a table of the history back in its place';
create function require_quote_relations(home name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(a.relation::text, ', '), string_agg(@extschema@.quote_relation_return(a.relation, home, a.name), ' ')
    into names, hints from @extschema@.quote_relations_astray(home) a;
    if names is not null then
        raise exception 'tables of the history were moved away: %', names using errcode = 'object_not_in_prerequisite_state',
            hint = format('Put them back: %s', hints);
    end if;
end $$;
comment on function require_quote_relations(name) is 'refuses to go on without a table of the history that was renamed or moved';
create or replace function strange_quote_tables() returns setof regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select distinct c.oid::regclass
    from @extschema@.quote_collab_settings s
    cross join lateral (
        select s.table_schema, s.table_name union all
        select s.log_schema, h.name from @extschema@.quote_home_tables() h where h.name <> 'quote_changes_archive') k (schema, name)
    join pg_namespace n on n.nspname = k.schema join pg_class c on c.relnamespace = n.oid and c.relname = k.name
    where not @extschema@.quote_owner_trusted(c.relowner)
$$;
create or replace function comment_quote_changes(log regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
begin
    for item in select * from (values
        ('id', 'key of the row, UUIDv7: sorts by time'),
        ('tenant_id', 'tenant of the quote; row security compares it'),
        ('quote_id', 'the quote; no foreign key: the log outlives a deleted quote'),
        ('quote_line_id', 'the line, null when the header changed'),
        ('changed_by', 'who: the verified user, else app.current_user_id, else the row''s updated_by, else the configured system user'),
        ('changed_at', 'when, by the database''s clock; partition key'),
        ('entity_type', 'QUOTE or QUOTE_LINE'),
        ('field_name', 'changed column; * for a whole row'),
        ('old_value', 'value before, exactly as to_jsonb gives it; null on CREATE'),
        ('new_value', 'value after, exactly as to_jsonb gives it; null on DELETE'),
        ('change_type', 'CREATE, UPDATE or DELETE'),
        ('session_id', 'editing session, from app.current_session_id'),
        ('was_conflict', 'true when the row tells of a conflict'),
        ('conflict_resolution', 'ACCEPTED, REJECTED or MERGED; a REJECTED row was never applied'),
        ('entity_version_before', 'version the change started from'),
        ('entity_version_after', 'version the change produced'),
        ('event_id', 'shared by the rows of one row change; message id on the way to NATS'),
        ('position', 'order of row changes: within one snapshot of the log it is version order per row'),
        ('xid', 'top-level transaction that wrote it; readers batch by it'),
        ('origin', 'system identifier of the cluster whose xid it is'),
        ('context', 'what a reader needs beside the change: line_number, the totals after it, roles of columns that are called otherwise')
    ) as c (name, text) loop
        execute format('comment on column %s.%I is %L', log, item.name, item.text);
    end loop;
    execute format('comment on table %s is %L', log, @extschema@.quote_table_comment('quote_changes'::name));
end $$;
create or replace function comment_active_quote_sessions(sessions regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
begin
    for item in select * from (values
        ('id', 'key of the row, UUIDv7'),
        ('tenant_id', 'tenant of the quote; row security compares it'),
        ('session_id', 'one browser tab or client; joining again with it moves the session'),
        ('quote_id', 'the quote that is open'),
        ('user_id', 'who'),
        ('user_name', 'name to show'),
        ('user_email', 'address to show'),
        ('joined_at', 'when the session joined'),
        ('last_heartbeat', 'last sign of life by the database''s clock; stale after 30 seconds'),
        ('current_line_id', 'line that has the focus'),
        ('current_field', 'field that has the focus'),
        ('cursor_position', 'caret in the field, in UTF-16 code units'),
        ('is_editing', 'true while something is being typed'),
        ('status', 'VIEWING, EDITING or IDLE')
    ) as c (name, text) loop
        execute format('comment on column %s.%I is %L', sessions, item.name, item.text);
    end loop;
    execute format('comment on table %s is %L', sessions, @extschema@.quote_table_comment('active_quote_sessions'::name));
end $$;
create or replace function create_quote_relay_tables(target_schema name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    batch text := format('%I.quote_relay_batch', target_schema);
    lease text := format('%I.quote_relay_lease', target_schema);
begin
    if not @extschema@.quote_relation_stands(batch, 'r'::"char", target_owner) then
        execute format($ddl$
            create table %s (
                no        bigint      not null,
                prev      pg_snapshot not null,
                cur       pg_snapshot not null,
                prev_at   timestamptz not null,
                cur_at    timestamptz not null,
                floor_at  timestamptz not null,
                origin    bigint      not null,
                cur_xmax  xid8        not null generated always as (pg_snapshot_xmax(cur)) stored,
                constraint quote_relay_batch_pkey primary key (no)
            )$ddl$, batch);
        execute format('create index quote_relay_batch_xmax on %s (cur_xmax, no)', batch);
        execute format('comment on table %s is %L', batch, @extschema@.quote_table_comment('quote_relay_batch'::name));
        execute format('comment on column %s.floor_at is %L', batch, 'no change of this or a later batch was made before, save for steps of the clock');
        execute format('alter table %s owner to %I', batch, target_owner);
        perform @extschema@.close_quote_table(batch::regclass);
    end if;
    if not @extschema@.quote_relation_stands(lease, 'r'::"char", target_owner) then
        execute format($ddl$
            create table %s (
                singleton  boolean     not null default true,
                epoch      bigint      not null,
                holder     text        not null,
                expires_at timestamptz not null,
                batch      bigint      not null,
                position   bigint      not null,
                stream_seq bigint      not null,
                constraint quote_relay_lease_pkey primary key (singleton),
                constraint quote_relay_lease_singleton check (singleton)
            )$ddl$, lease);
        execute format('comment on table %s is %L', lease, @extschema@.quote_table_comment('quote_relay_lease'::name));
        execute format('alter table %s owner to %I', lease, target_owner);
        perform @extschema@.close_quote_table(lease::regclass);
    end if;
    -- Also where a dump without data brought the tables.
    execute format('insert into %1$s (no, prev, cur, prev_at, cur_at, floor_at, origin)
        select 0, s, s, now(), now(), now(), @extschema@.quote_cluster_identifier()
        from pg_current_snapshot() s where not exists (select from %1$s)', batch);
    execute format('insert into %1$s select true, 0, '''', ''-infinity'', 0, 0, 0 where not exists (select from %1$s)', lease);
end $$;
create or replace function create_quote_changes_seals(target_schema name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seals text := format('%I.quote_changes_seals', target_schema);
    item record;
begin
    if @extschema@.quote_relation_stands(seals, 'r'::"char", target_owner) then
        perform @extschema@.begin_quote_changes_seals(target_schema);
        return;
    end if;
    execute format($ddl$
        create table %s (
            no        bigint      not null,
            prev      pg_snapshot not null,
            cur       pg_snapshot not null,
            floor_at  timestamptz not null,
            prev_at   timestamptz not null,
            cur_at    timestamptz not null,
            origin    bigint      not null,
            rows      bigint      not null,
            root      bytea       not null,
            hash      bytea       not null,
            sealed_at timestamptz not null,
            form      smallint    not null,
            signature bytea,
            signed_by bytea,
            released  jsonb,
            constraint quote_changes_seals_pkey primary key (no)
        )$ddl$, seals);
    for item in select * from (values
        ('no', 'number of the block, without gaps; 0 begins the chain'),
        ('prev', 'the block holds what was not visible in this snapshot'),
        ('cur', 'and is visible in this one'),
        ('floor_at', 'no change of this or a later block was made before, save for steps of the clock'),
        ('prev_at', 'when prev was taken'),
        ('cur_at', 'when cur was taken'),
        ('origin', 'system identifier of the cluster whose transactions the snapshots speak of'),
        ('rows', 'how many rows of quote_changes'),
        ('root', 'SHA-256 over its rows, as quote_block_query() has it'),
        ('hash', 'SHA-256 over the hash of the block before and all of this block'),
        ('sealed_at', 'when the block was made'),
        ('form', 'how its rows are hashed: 1 as 0.2.0 did, 2 by quote_changes_digest()'),
        ('signature', 'Ed25519 signature of the hash; null when no key was configured'),
        ('signed_by', 'public key that it holds under'),
        ('released', 'in a block that lets rows go: how many, blocks of which none is left, rows and root of what is left of others')
    ) as c (name, text) loop
        execute format('comment on column %s.%I is %L', seals, item.name, item.text);
    end loop;
    execute format('comment on table %s is %L', seals, @extschema@.quote_table_comment('quote_changes_seals'::name));
    perform @extschema@.begin_quote_changes_seals(target_schema);
    execute format('alter table %s owner to %I', seals, target_owner);
    perform @extschema@.close_quote_table(seals::regclass);
    execute format('alter table %s enable row level security', seals);
    execute format('alter table %s force row level security', seals);
end $$;
create or replace function active_quote_names() returns table (quote_id uuid, tenant_id uuid, quote_number text, customer_id text, customer_name text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    pair record;
    customers jsonb;
    customer_column text;
begin
    perform @extschema@.require_quote_home('{active_quote_sessions}'::text[]);
    for pair in select * from @extschema@.quote_collab_pairs() loop
        continue when not (@extschema@.quote_table_trusted(pair.header)
            and @extschema@.quote_columns_readable(pair.header, '{id,tenant,quote_number,customer}'::text[]));
        customer_column := @extschema@.quote_collab_column(pair.header, 'customer');
        customers := case when customer_column is not null then @extschema@.quote_names(pair.header, 'customers'::text) end;
        return query execute format('select q.%1$s, q.%2$s, q.%3$s::text, %4$s::text, %5$s::text from %6$I.%7$I q %8$s
            where q.%1$s in (select s.quote_id from %9$I.active_quote_sessions s
                where @extschema@.quote_session_lives(s.last_heartbeat))',
            @extschema@.quote_collab_column(pair.header, 'id'), @extschema@.quote_collab_column(pair.header, 'tenant'),
            coalesce(@extschema@.quote_collab_column(pair.header, 'quote_number'), @extschema@.quote_collab_column(pair.header, 'id')),
            coalesce('q.' || customer_column, 'null'), coalesce('c.' || quote_ident(customers ->> 'name'), 'null'),
            (pair.header).table_schema, (pair.header).table_name,
            case when customers is null then '' else @extschema@.quote_customer_join(pair.header, customers, 'q.' || customer_column,
                'q.' || @extschema@.quote_collab_column(pair.header, 'tenant')) end, (pair.header).log_schema);
    end loop;
end $$;
create or replace function record_quote_truncate() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set row_security = off
set datestyle = 'ISO'
set intervalstyle = 'postgres'
set extra_float_digits = 1
set bytea_output = 'hex'
as $$
declare
    settings @extschema@.quote_collab_settings := @extschema@.quote_collab_settings_of(tg_relid::regclass);
    part regclass;
    noted bigint;
begin
    if settings.entity is null then
        return null;
    elsif current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'truncate of % is recorded under read committed only', tg_relid::regclass
            using errcode = 'feature_not_supported',
                  detail = 'An older snapshot may not show every row that it removes.',
                  hint = 'Begin the transaction with isolation level read committed.';
    end if;
    perform @extschema@.require_quote_table(settings), @extschema@.require_quote_home('{quote_changes}'::text[]);
    -- Positions are given to whoever has a number: readers of the feed rely on that order.
    perform pg_current_xact_id();
    for part in
        select t.relid from pg_partition_tree(tg_relid) t join pg_class c on c.oid = t.relid
        where t.isleaf and c.relkind = 'r' and (t.relid = tg_relid or not exists (
            select from pg_trigger g where g.tgrelid = t.relid and g.tgfoid = '@extschema@.record_quote_truncate()'::regprocedure))
        union select tg_relid where not (select c.relispartition or c.relkind = 'p' from pg_class c where c.oid = tg_relid)
    loop
        execute @extschema@.quote_truncate_statement(settings, part) using
            coalesce(@extschema@.current_quote_user(null::uuid), settings.system_user_id),
            nullif(current_setting('app.current_session_id', true), '')::uuid;
        get diagnostics noted = row_count;
        perform @extschema@.remember_quote_versions(settings, part);
        if noted > 0 then
            perform @extschema@.wake_quote_listeners();
        end if;
    end loop;
    return null;
end $$;
create or replace function attach_quote_collaboration(
    quotes regclass default pg_catalog.to_regclass('quotes'), quote_lines regclass default pg_catalog.to_regclass('quote_lines'),
    options jsonb default '{}')
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
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
set client_min_messages = warning
as $$
declare
    headers @extschema@.quote_collab_settings[];
    leaving @extschema@.quote_collab_settings[];
    header @extschema@.quote_collab_settings;
    is_last boolean;
begin
    if current_setting('lock_timeout') = '0' then
        perform set_config('lock_timeout', '5s', true);
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
create or replace function require_quote_version(expected_version integer) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if expected_version is null then
        raise exception 'the version must not be null' using errcode = 'null_value_not_allowed',
            hint = 'Pass the version that you read, 0 for null.';
    elsif expected_version < 0 then
        raise exception 'the version must not be negative' using errcode = 'invalid_parameter_value',
            detail = format('%s was given; versions only count up.', expected_version), hint = 'Pass the version that you read, 0 for null.';
    end if;
end $$;
create or replace function recalculate_quote_totals(header quote_collab_settings, line quote_collab_settings, quote_id uuid, path text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    sum_expression text;
    derived jsonb := '{}'::jsonb;
begin
    if not (header.columns ? 'subtotal' and line.columns ? 'line_amount') then
        return @extschema@.find_quote_row(header, quote_id, '');
    end if;
    -- Lines that another tenant put below the quote are not the quote's, whether row security shows them or not.
    sum_expression := format('(select coalesce(pg_catalog.sum(l.%s), 0) from %I.%I l where l.%s operator(pg_catalog.=) t.%s and l.%s operator(pg_catalog.=) t.%s)',
        @extschema@.quote_collab_column(line, 'line_amount'), line.table_schema, line.table_name,
        @extschema@.quote_collab_column(line, 'quote'), @extschema@.quote_collab_column(header, 'id'),
        @extschema@.quote_collab_column(line, 'tenant'), @extschema@.quote_collab_column(header, 'tenant'));
    derived := jsonb_build_object(header.columns ->> 'subtotal', sum_expression);
    if header.columns ? 'total_amount' then
        derived := derived || jsonb_build_object(header.columns ->> 'total_amount', @extschema@.quote_total_expression(header, sum_expression, '{}'::jsonb));
    end if;
    return @extschema@.apply_quote_changes(header, quote_id, '{}'::jsonb, '{}'::jsonb, derived, path);
end $$;
create or replace function join_quote_session(
    quote_id uuid, session_id uuid default null, user_id uuid default null, user_name text default null,
    user_email text default null, status text default 'VIEWING')
returns setof quote_session
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
    quote jsonb := @extschema@.require_quote_row(header, quote_id, '');
    who uuid := @extschema@.current_quote_user(user_id);
    known record;
    session @extschema@.quote_session;
begin
    perform @extschema@.require_quote_session_status(status);
    if @extschema@.current_quote_tenant() is null and row_security_active(@extschema@.quote_session_target()) then
        raise exception 'no tenant is set' using errcode = 'insufficient_privilege',
            hint = 'Set app.current_tenant_id for the transaction, or where tenants are verified, call authenticate_quote_user(token).';
    elsif who is null then
        raise exception 'the user id must not be null' using errcode = 'null_value_not_allowed',
            hint = 'Pass user_id or set app.current_user_id.';
    end if;
    select * into known from @extschema@.find_quote_user(who);
    if known.known and current_setting('quote_collab.verified_user', true) = who::text then
        user_name := null;
        user_email := null;
    end if;
    perform @extschema@.require_quote_session_texts(user_name, user_email);
    begin
        execute format($query$
        insert into %s as s (id, tenant_id, session_id, quote_id, user_id, user_name, user_email, joined_at, last_heartbeat, is_editing, status)
        values (@extschema@.uuid_generate_v7(), $1, $2, $3, $4, $5, $6, clock_timestamp(), clock_timestamp(), false, $7)
        on conflict on constraint active_quote_sessions_session do update set
            quote_id = excluded.quote_id, user_id = excluded.user_id, user_name = excluded.user_name, user_email = excluded.user_email,
            last_heartbeat = excluded.last_heartbeat, status = excluded.status, is_editing = false,
            joined_at = case when s.quote_id = excluded.quote_id and @extschema@.quote_session_lives(s.last_heartbeat) then s.joined_at else excluded.joined_at end,
            current_line_id = null, current_field = null, cursor_position = null
        where (s.user_id = excluded.user_id or not @extschema@.quote_session_lives(s.last_heartbeat)) and s.tenant_id = excluded.tenant_id
        returning s.*$query$, @extschema@.quote_session_target())
        into session
        using (quote ->> (header.columns ->> 'tenant'))::uuid, coalesce(session_id, @extschema@.uuid_generate_v7()), quote_id, who,
            coalesce(user_name, left(known.user_name, 255)), coalesce(user_email, left(known.user_email, 255)), coalesce(status, 'VIEWING');
    exception when insufficient_privilege then
        -- Row security says no to a session of another tenant, and names the table; a right that is missing it leaves alone.
        if not has_table_privilege(@extschema@.quote_session_target(), 'insert') or not has_table_privilege(@extschema@.quote_session_target(), 'update') then
            raise;
        end if;
    end;
    if session.session_id is null then
        raise exception 'the session belongs to another user' using errcode = 'insufficient_privilege',
            hint = 'Join with a session id of your own, or with none to get one.';
    end if;
    perform pg_notify('quote_presence', '');
    return next session;
end $$;
create or replace function heartbeat_quote_session(
    session_id uuid, current_line_id uuid default null, current_field text default null, cursor_position integer default null,
    is_editing boolean default null, status text default null)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    moved boolean;
begin
    if session_id is null then
        raise exception 'the session id must not be null' using errcode = 'null_value_not_allowed',
            hint = 'Pass the session_id that join_quote_session gave.';
    end if;
    perform @extschema@.require_quote_session_status(status);
    if cursor_position < 0 then
        raise exception 'the cursor position must not be negative' using errcode = 'invalid_parameter_value',
            hint = 'Count from 0, in UTF-16 code units.';
    elsif char_length(current_field) > 63 then
        raise exception 'the field name is too long' using errcode = 'string_data_right_truncation', hint = 'Pass the name of a column.';
    end if;
    execute format($query$
        with before as (
            select s.* from %1$s s
            where s.session_id = $1 and @extschema@.quote_session_lives(s.last_heartbeat)
              and ($7 is null or s.user_id = $7) and ($9 or s.tenant_id = $8)
            for no key update)
        update %1$s s set last_heartbeat = clock_timestamp(), current_line_id = $2, current_field = $3, cursor_position = $4,
            is_editing = coalesce($5, s.is_editing), status = coalesce($6, s.status)
        from before b where s.id = b.id
        returning (b.current_line_id, b.current_field, b.cursor_position, b.is_editing, b.status)
            is distinct from (s.current_line_id, s.current_field, s.cursor_position, s.is_editing, s.status)$query$,
        @extschema@.quote_session_target())
    into moved using session_id, current_line_id, current_field, cursor_position, is_editing, status,
        @extschema@.current_quote_user(null::uuid), @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
    if moved then
        perform pg_notify('quote_presence', '');
    end if;
    return moved is not null;
end $$;
create or replace function get_active_quote_sessions(quote_id uuid) returns setof quote_session
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.require_quote_row(@extschema@.find_quote_target('QUOTE', quote_id), quote_id, '');
    if pg_is_in_recovery() then
        raise exception 'sessions are not known on a standby' using errcode = 'feature_not_supported',
            detail = 'Their table is unlogged.', hint = 'Ask the primary.';
    end if;
    return query execute format('select s.* from %s s where s.quote_id = $1 and ($3 or s.tenant_id = $2)
        and @extschema@.quote_session_lives(s.last_heartbeat) order by s.joined_at, s.session_id',
        @extschema@.quote_session_target())
    using quote_id, @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
end $$;
create or replace function has_quote_been_updated(quote_id uuid, since_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
begin
    perform @extschema@.require_quote_version(since_version);
    return @extschema@.quote_row_version(header, @extschema@.require_quote_row(header, quote_id, '')) > since_version;
end $$;
create or replace function parse_quote_cursor(cursor text) returns quote_cursor
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    part text[] := string_to_array(cursor, '/');
    place text[];
    parsed @extschema@.quote_cursor;
begin
    if cursor is null then
        return row(@extschema@.quote_cluster_identifier(), '3:3:'::pg_snapshot, 0, 0, null, null, null, null, null, null)::@extschema@.quote_cursor;
    end if;
    if part[1] = '3' then
        place := part[3:5];
        part := part[1:2] || part[6:];
    elsif part[1] = '2' then
        place := null::text || part[3:4];
        part := part[1:2] || part[5:];
    elsif part[1] <> '1' then
        raise invalid_text_representation;
    end if;
    if cardinality(part) not in (5, 8) then
        raise invalid_text_representation;
    end if;
    parsed := row(part[2]::bigint, part[3]::pg_snapshot, part[4]::numeric, part[5]::numeric,
        part[6]::pg_snapshot, part[7]::numeric, part[8]::bigint, place[2]::integer, place[3]::bigint, place[1])::@extschema@.quote_cursor;
    -- Times that are none, or that no timestamp holds.
    if not (parsed.prev_at between 0 and 1e11 and parsed.floor_at between 0 and 1e11 and coalesce(parsed.cur_at, 0) between 0 and 1e11) then
        raise invalid_text_representation;
    end if;
    return parsed;
exception when data_exception then
    raise exception 'the cursor is malformed' using errcode = 'invalid_parameter_value',
        hint = 'Pass a cursor that quote_events_since or quote_events_cursor gave.';
end $$;
comment on function parse_quote_cursor(text) is 'reads a cursor; 22023 when malformed';
create function require_quote_cursor(cursor quote_cursor) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    newest pg_snapshot := coalesce(cursor.cur, cursor.prev);
    here integer := @extschema@.quote_feed_timeline();
    ahead bigint := pg_snapshot_xmax(newest)::text::bigint - @extschema@.next_quote_transaction();
    reason text;
begin
    if cursor.origin <> @extschema@.quote_cluster_identifier() then
        reason := 'It was given by another cluster.';
    elsif cursor.log <> @extschema@.quote_log_identity() then
        reason := 'It was given before this history came out of a dump.';
    -- After a failover others get the numbers of what was lost. Where this server left the timeline of the cursor behind all that the
    -- cursor counts as over, nothing of that is lost. A file has to be read for it, so only where the timelines differ.
    elsif cursor.timeline <> here and (cursor.reached <= @extschema@.quote_timeline_end(here, cursor.timeline)) is not true then
        reason := 'It counts on what this cluster lost in a failover.';
    -- Where the timeline shows that nothing is lost, only numbers can be ahead whose owners were running and had written nothing.
    elsif ahead > 0 and (cursor.timeline is null or ahead > (select count(*) from pg_snapshot_xip(newest) x
            where x::text::bigint >= pg_snapshot_xmax(newest)::text::bigint - ahead)) then
        reason := 'It is ahead of this cluster, which lost its end in a failover.';
    end if;
    if reason is not null then
        raise exception 'the cursor is no longer known' using errcode = 'QC001', detail = reason,
            hint = 'Read the quotes again and start with quote_events_cursor().';
    end if;
end $$;
comment on function require_quote_cursor(quote_cursor) is 'refuses a cursor of another cluster, or of what this one lost';
create or replace function quote_events_since(cursor text, max integer default 100) returns setof quote_event
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seen pg_snapshot := @extschema@.quote_feed_snapshot();
    c @extschema@.quote_cursor := @extschema@.parse_quote_cursor(cursor);
    given integer := 0;
    got integer;
begin
    if max is null or max not between 1 and 10000 then
        raise exception 'max must be between 1 and 10000' using errcode = 'invalid_parameter_value';
    end if;
    perform @extschema@.require_quote_cursor(c), @extschema@.require_quote_home('{quote_changes}'::text[]), @extschema@.require_quote_cursor_seen(c), @extschema@.flush_quote_feed();
    loop
        if c.cur is null then
            exit when c.prev::text = seen::text;
            -- The clock may have been set back since: changes were then made before the floor.
            c := row(c.origin, c.prev, c.prev_at, least(c.floor_at, extract(epoch from clock_timestamp())), seen,
                extract(epoch from clock_timestamp()), 0, @extschema@.quote_feed_timeline(),
                pg_current_wal_flush_lsn() - '0/0'::pg_lsn, @extschema@.quote_log_identity())::@extschema@.quote_cursor;
        end if;
        return query select * from @extschema@.read_quote_events(c, max - given);
        get diagnostics got = row_count;
        given := given + got;
        -- A batch begun at its first event is the newest there is; one begun in the middle has newer ones behind it.
        exit when given >= max or c.position = 0;
        c := @extschema@.next_quote_cursor(c);
    end loop;
end $$;
create function quote_places_behind_query() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format($query$
        select coalesce(array_agg(w.xid), '{}') as xids, coalesce(array_agg(w.position), '{}') as positions from (
            select c.xid, c.position from %s c
            where c.quote_id = $1 and ($7 or c.tenant_id = $2) and c.position > $6 and c.origin = $3 and c.changed_at >= $4
                and not pg_visible_in_snapshot(c.xid, $5) and c.conflict_resolution is distinct from 'REJECTED'
            group by c.position, c.xid order by c.position limit $8) w$query$, @extschema@.quote_relay_table('quote_changes'))
$$;
comment on function quote_places_behind_query() is 'query for the next places of a quote that a snapshot does not show';
create function quote_position_shown(quote_id uuid, origin bigint, since timestamptz, seen pg_snapshot) returns bigint
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_position bigint;
begin
    execute format('select c.position from %s c where c.quote_id = $1 and c.origin = $2 and c.changed_at >= $3 and pg_visible_in_snapshot(c.xid, $4)
        order by c.position desc limit 1', @extschema@.quote_relay_table('quote_changes'))
    into found_position using quote_id, origin, since, seen;
    return coalesce(found_position, 0);
end $$;
comment on function quote_position_shown(uuid, bigint, timestamptz, pg_snapshot) is 'the last position of a quote that a snapshot shows';
create or replace function quote_later_batches_query() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    author record;
begin
    select * into author from @extschema@.quote_user_join('v.changed_by');
    return format($query$
        with c as materialized (
            select * from unnest($8, $9) p (xid, position)
            union all
            select distinct c.xid, c.position from %1$s c
            where c.xid = any (array(select pg_snapshot_xip($5))) and c.quote_id = $1 and ($7 or c.tenant_id = $2) and c.position <= $6
                and c.origin = $3 and c.changed_at >= $4 and c.conflict_resolution is distinct from 'REJECTED')
        select p.no, v.position, v.event || jsonb_build_object('actor_name', %4$s)
        from (
            select b.no, c.xid, c.position from (
                select t.xid, x.no from (select distinct c.xid from c) t
                cross join lateral (
                    select x.no, x.cur_xmax from %2$s x where x.cur_xmax > t.xid and pg_visible_in_snapshot(t.xid, x.cur) and x.no > 0 and x.origin = $3
                    order by x.cur_xmax, x.no limit 1) x
                where $10 is null or x.cur_xmax <= $10 offset 0) b
            join c on c.xid = b.xid
            where (b.no, c.position) <= ($11, $12)
            order by b.no, c.position limit $13 offset $14) p
        cross join lateral (
            select w.* from (%5$s) w
            where w.xid = p.xid and w.position = p.position and w.origin = $3 and w.changed_at >= $4 offset 0) v
        %3$s
        order by p.no, v.position$query$,
        @extschema@.quote_relay_table('quote_changes'), @extschema@.quote_relay_table('quote_relay_batch'),
        author.join_clause, author.name_expression, @extschema@.quote_change_events_query(@extschema@.quote_collab_home()));
end $$;
create function quote_events_behind(
    quote_id uuid, origin bigint, since timestamptz, behind pg_snapshot, shown bigint, until_batch bigint, until_position bigint, max integer)
returns table (batch bigint, "position" bigint, event jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    tenant uuid := @extschema@.current_quote_tenant();
    any_tenant boolean := @extschema@.sees_every_quote_tenant();
    batches text := @extschema@.quote_relay_table('quote_relay_batch');
    width bigint := 4 * max::bigint;
    xids xid8[];
    positions bigint[];
    newest xid8;
    is_any boolean;
    is_all boolean;
    given integer := 0;
    got integer;
begin
    loop
        execute @extschema@.quote_places_behind_query() into xids, positions using quote_id, tenant, origin, since, behind, shown, any_tenant, width;
        newest := case when cardinality(positions) = width then (select x from unnest(xids) x order by x desc limit 1) end;
        -- A transaction that changed many rows may fill all of it, and none of its batches be whole.
        execute format('select coalesce(bool_or(x.cur_xmax > pg_snapshot_xmax($1)), false), coalesce(bool_or(x.no >= $2), false) from %s x
            where x.cur_xmax >= pg_snapshot_xmax($1) and x.cur_xmax <= $3', batches)
        into is_any, is_all using behind, until_batch, newest;
        if newest is null or is_any or is_all then
            return query execute @extschema@.quote_later_batches_query()
            using quote_id, tenant, origin, since, behind, shown, any_tenant, xids, positions, newest, until_batch, until_position,
                max - given, given;
            get diagnostics got = row_count;
            given := given + got;
            exit when given = max or newest is null or is_all;
        end if;
        width := width * 8;
    end loop;
end $$;
comment on function quote_events_behind(uuid, bigint, timestamptz, pg_snapshot, bigint, bigint, bigint, integer) is 'events of a quote in the batches behind a snapshot';
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
    execute format('select b.*, exists (select from %1$s x where x.no between b.no and greatest(b.no, $3) and x.origin <> $2) as is_elsewhere
        from %1$s b where b.no >= $1 order by b.no limit 1', @extschema@.quote_relay_table('quote_relay_batch'))
    into start using after_batch, @extschema@.quote_cluster_identifier(), until_batch;
    if after_batch is null or start.no is null or (start.no > after_batch and after_batch > 0) or start.is_elsewhere then
        raise exception 'the cursor is no longer known' using errcode = 'QC001',
            hint = 'Read the quote again and subscribe without a cursor.';
    end if;
    is_begun := start.no = after_batch;
    if is_begun and after_batch <= until_batch then
        return query execute format('select $12, r.position, r.event from (%s) r order by r.position', @extschema@.quote_rest_of_batch_query())
        using quote_id, tenant, after_position, start.origin, start.floor_at - interval '1 day', 'infinity'::timestamptz, max, any_tenant,
            start.prev, start.cur, case when after_batch = until_batch then until_position else last end, after_batch;
        get diagnostics given = row_count;
    end if;
    if given < max and after_batch < until_batch then
        if is_begun then
            shown := case when after_position < last then after_position
                else @extschema@.quote_position_shown(quote_id, start.origin, start.floor_at - interval '1 day', start.cur) end;
        end if;
        return query select * from @extschema@.quote_events_behind(quote_id, start.origin, start.floor_at - interval '1 day',
            case when is_begun then start.cur else start.prev end, shown, until_batch, until_position, max - given);
    end if;
end $$;
create or replace function quote_history_faults() returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with expected (name, kind, relation) as (
        select r.name, r.kind, c.oid from (
            select k.* from (values ('quote_changes', 'p'), ('quote_changes_archive', 'p'), ('quote_changes_seals', 'r')) k (name, kind)
            where k.name <> 'quote_changes_archive' or @extschema@.quote_archive_stands(@extschema@.quote_collab_home())) r
        left join pg_class c on c.relname = r.name and c.relnamespace = (select n.oid from pg_namespace n where n.nspname = @extschema@.quote_collab_home()))
    select format('there is no table %s', e.name) from expected e where e.relation is null and e.name <> 'quote_changes_archive'
    union all
    select format('%s belongs to %s, whom attach did not know', c.oid::regclass, pg_get_userbyid(c.relowner)) from expected e
    join pg_class c on c.oid = e.relation where not @extschema@.quote_owner_trusted(c.relowner)
    union all
    select f.problem from @extschema@.quote_extension_table_faults() f where f.relation = '@extschema@.quote_seal_anchor'::regclass
    union all
    select format('%s is not a table as attach made it', c.oid::regclass) from expected e
    cross join lateral (
        select e.relation, e.kind union
        select p.relid, 'r' from pg_partition_tree(e.relation) p where e.kind = 'p' and p.level > 0) t (relid, kind)
    join pg_class c on c.oid = t.relid
    where c.relkind::text <> t.kind
    union all
    select format('%s has no column %s of type %s', e.relation::regclass, k.column_name, k.column_type) from expected e
    cross join lateral @extschema@.quote_history_columns(e.name) k
    where e.relation is not null and not exists (
        select from pg_attribute a where a.attrelid = e.relation and a.attname = k.column_name and not a.attisdropped
            and (a.atttypid = k.column_type or a.atttypid = 'varchar'::regtype and k.column_type = 'text'::regtype))
    union all
    select format('%s has a trigger, rule, check or expression that attach did not make', e.relation::regclass) from expected e
    where e.name = 'quote_changes_seals' and (exists (select from pg_trigger t where t.tgrelid = e.relation and not t.tgisinternal)
        or exists (select from pg_rewrite r where r.ev_class = e.relation)
        or exists (select from pg_constraint k where k.conrelid = e.relation and k.contype in ('c', 'x'))
        or exists (select from pg_index i where i.indrelid = e.relation and (i.indexprs is not null or i.indpred is not null))
        or exists (select from pg_attribute a where a.attrelid = e.relation and a.atthasdef))
    union all
    select format('%s has a check, default or index that calls a function of %s', c.oid::regclass, pg_get_userbyid(p.proowner)) from expected e
    cross join lateral (select e.relation union select t.relid from pg_partition_tree(e.relation) t) t (relid)
    join pg_class c on c.oid = t.relid
    cross join lateral (
        select 'pg_constraint'::regclass::oid, k.oid from pg_constraint k where k.conrelid = t.relid
        union all select 'pg_attrdef'::regclass, f.oid from pg_attrdef f where f.adrelid = t.relid
        union all select 'pg_class'::regclass, i.indexrelid from pg_index i where i.indrelid = t.relid) made (classid, objid)
    join pg_depend d on d.classid = made.classid and d.objid = made.objid
    left join pg_operator o on d.refclassid = 'pg_operator'::regclass and o.oid = d.refobjid
    join pg_proc p on p.oid = coalesce(o.oprcode::oid, case when d.refclassid = 'pg_proc'::regclass then d.refobjid end)
    join pg_roles r on r.oid = p.proowner and not r.rolsuper
$$;
create or replace function examine_quote_seal(before quote_seal, b quote_seal, signed_from bigint, out finding text, out detail text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if num_nulls(b.no, b.prev, b.cur, b.floor_at, b.prev_at, b.cur_at, b.origin, b.rows, b.root, b.hash, b.sealed_at, b.form) > 0 then
        finding := 'block'; detail := 'this block is not whole any more';
    elsif before.no is null then
        if b.no <> 0 or b.hash <> sha256(convert_to('quote_changes', 'UTF8')) or b.rows <> 0 or b.prev::text <> '3:3:' or b.cur::text <> '3:3:'
            or b.root <> sha256('') or array[b.floor_at, b.prev_at, b.cur_at] <> array_fill('-infinity'::timestamptz, '{3}') then
            finding := 'chain'; detail := 'the chain does not begin with its first block';
        end if;
    elsif b.no <> before.no + 1 then
        finding := 'chain'; detail := format('%s blocks are missing before this one', b.no - before.no - 1);
    elsif b.hash is distinct from @extschema@.quote_seal_hash(before.hash, b.no, b.prev, b.cur, b.floor_at, b.prev_at, b.cur_at, b.origin, b.rows, b.root,
            b.sealed_at, b.form) then
        finding := 'block'; detail := 'this block or the one before it was changed';
    elsif (b.signature is null) <> (b.signed_by is null) or @extschema@.quote_seal_signature_holds(b.hash, b.signature, b.signed_by) is false then
        finding := 'signature'; detail := 'the signature of this block does not hold';
    elsif b.signature is null and (before.signature is not null or b.no = signed_from) then
        finding := 'signature'; detail := 'from this block on the chain is not signed any more';
    end if;
end $$;
create function lock_quote_batches() returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.require_quote_home('{quote_relay_batch,quote_relay_lease}'::text[]);
    execute format('lock table %s in share update exclusive mode nowait', @extschema@.quote_relay_table('quote_relay_batch'));
    return true;
exception
    when lock_not_available then
        return false;
    when others then
        raise warning 'the batches of the event feed are not locked: %', sqlerrm;
        return true;
end $$;
comment on function lock_quote_batches() is 'takes the batches of the event feed, unless another has them';
create function drop_old_quote_batches() returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    dropped integer;
begin
    perform @extschema@.require_quote_home('{quote_relay_batch,quote_relay_lease}'::text[]);
    execute format('delete from %1$s b where b.cur_at < now() - interval ''24 hours''
        and b.no < (select max(m.no) from %1$s m) and b.no < (select l.batch from %2$s l)',
        @extschema@.quote_relay_table('quote_relay_batch'), @extschema@.quote_relay_table('quote_relay_lease'));
    get diagnostics dropped = row_count;
    return dropped;
exception when others then
    raise warning 'old batches are not dropped: %', sqlerrm;
    return 0;
end $$;
comment on function drop_old_quote_batches() is 'deletes the batches of the event feed that are older than a day';
create function extend_quote_log(log regclass) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    made integer := @extschema@.create_quote_changes_partitions(log, 3);
begin
    begin
        if made = 0 then
            made := @extschema@.place_quote_strays(log, 1, 1073741824::bigint);
        end if;
    exception
        when lock_not_available or check_violation then
            -- In use, or somebody added to a month that was over: another time.
            made := 0;
        when others then
            made := 0;
            raise warning 'rows stay in the default partition of the audit log: %', sqlerrm;
    end;
    return made;
end $$;
comment on function extend_quote_log(regclass) is 'creates the months of the audit log that are needed next';
create or replace function quote_collab_maintenance() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
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
        perform set_config('lock_timeout', '5s', true);
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
    perform set_config('lock_timeout', patience, true);
    return jsonb_build_object('stale_sessions', swept, 'partitions_created', made, 'batches_dropped', dropped,
        'months_archived', archived, 'months_dropped', released, 'rows_sealed', sealed);
end $$;
create or replace function create_quote_changes_archive(log regclass) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    log_schema name;
    log_owner name;
    archive text;
    privilege record;
begin
    select n.nspname, r.rolname into log_schema, log_owner
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles r on r.oid = c.relowner where c.oid = log;
    archive := format('%I.quote_changes_archive', log_schema);
    perform @extschema@.require_quote_relations(log_schema);
    if not @extschema@.quote_relation_stands(archive, 'p'::"char", log_owner) then
        execute format('create table %s (like %s including all excluding defaults) partition by range (changed_at)', archive, log);
        execute format('comment on table %s is %L', archive, @extschema@.quote_table_comment('quote_changes_archive'::name));
        execute format('alter table %s owner to %I', archive, log_owner);
        perform @extschema@.close_quote_table(archive::regclass);
        perform @extschema@.protect_quote_table(archive::regclass, 'quote_changes_tenant_isolation'::name);
        for privilege in
            select @extschema@.quote_grantee(acl.grantee) as role
            from pg_class c cross join lateral aclexplode(c.relacl) acl
            where c.oid = log and acl.privilege_type = 'SELECT' and acl.grantee <> c.relowner
        loop
            execute format('grant select on %s to %s', archive, privilege.role);
        end loop;
        perform @extschema@.create_quote_changes_all_view(log_schema, log_owner);
        perform @extschema@.describe_quote_objects(log_schema);
    end if;
    return archive::regclass;
end $$;
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
            string_agg(format('alter table %s rename … to %I;', name, c.value), ' ') filter (where c.key = any ('{id,tenant,quote,version}'::text[]))
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
create or replace function quote_collab_doctor_grants(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(distinct r.role, ', '), string_agg(distinct format('grant usage on schema @extschema@ to %s;', r.role), ' ') into names, hints
    from @extschema@.quote_collab_pairs() p
    join pg_class c on c.oid = @extschema@.quote_collab_table(p.header)
    cross join lateral aclexplode(c.relacl) acl
    cross join lateral (select @extschema@.quote_grantee(acl.grantee)) r (role)
    where acl.privilege_type = 'UPDATE' and not has_schema_privilege(acl.grantee, '@extschema@'::regnamespace, 'usage');
    return next @extschema@.quote_collab_verdict('functions within reach', names is null, 'warning',
        format('these roles may change quotes and find no function of the extension, whose schema they may not use: %s', names), hints);
    -- The owner of a schema can rename it, and put another with functions of his own in its place.
    select r.rolname into names from pg_namespace n join pg_database d on d.datname = current_database()
    join pg_roles r on r.oid = case n.nspowner when to_regrole('pg_database_owner') then d.datdba else n.nspowner end
    where n.oid = '@extschema@'::regnamespace and not r.rolsuper;
    return next @extschema@.quote_collab_verdict('schema of a superuser', names is null, 'warning',
        format('%s owns the schema of the extension, and may put functions of his own in its place, which superusers would run', names),
        format('alter schema @extschema@ owner to %I;', (select r.rolname from pg_roles r where r.rolsuper order by r.oid limit 1)));
    select string_agg(g.told, ', '), string_agg(g.revoke, ' ') into names, hints
    from @extschema@.quote_own_relations(target_schema) r cross join lateral @extschema@.quote_grants_on(r.relation) g
    where not r.is_presence and g.privilege in ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'USAGE');
    return next @extschema@.quote_collab_verdict('log written by triggers only', names is null, 'error',
        format('somebody may write the log: %s', names), hints);
    select string_agg(g.told, ', '), string_agg(g.revoke, ' ') into names, hints
    from @extschema@.quote_own_relations(target_schema) r cross join lateral @extschema@.quote_grants_on(r.relation) g
    where r.is_private and g.privilege = 'SELECT';
    return next @extschema@.quote_collab_verdict('private tables read by nobody', names is null, 'warning',
        format('relay and seals are for the functions of the extension alone: %s', names), hints);
    select string_agg(g.told, ', '), string_agg(g.revoke, ' ') into names, hints
    from @extschema@.quote_collab_settings s
    cross join lateral @extschema@.quote_grants_on(@extschema@.quote_collab_table(s)) g
    where s.truncation = 'refuse' and g.privilege = 'TRUNCATE';
    return next @extschema@.quote_collab_verdict('truncate granted to nobody', names is null, 'warning',
        format('the trigger alone refuses what these roles may do: %s', names), hints);
    return query select * from @extschema@.quote_collab_doctor_functions();
    return query select * from @extschema@.quote_collab_doctor_extension();
    return query select * from @extschema@.quote_collab_doctor_schemas(target_schema);
    return query select * from @extschema@.quote_collab_doctor_readers(target_schema);
end $$;
create function quote_public_functions() returns setof regprocedure
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select f.oid::regprocedure
    from pg_extension e join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e' and d.classid = 'pg_proc'::regclass
    join pg_proc f on f.oid = d.objid
    where e.extname = 'quote_collab_ext' and not exists (select from pg_init_privs i where i.classoid = 'pg_proc'::regclass and i.objoid = f.oid)
$$;
comment on function quote_public_functions() is 'functions that everybody may call after CREATE EXTENSION';
create function grant_quote_functions(role name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    function regprocedure;
begin
    for function in select f from @extschema@.quote_public_functions() f loop
        execute format('grant execute on function %s to %I', function, role);
    end loop;
    execute format('grant select on @extschema@.quote_collab_settings to %I', role);
end $$;
comment on function grant_quote_functions(name) is 'lets a role call what PUBLIC may call after CREATE EXTENSION';
create function quote_rights_withdrawn() returns table (told text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with writers as (
        select distinct acl.grantee from @extschema@.quote_collab_settings s join pg_class c on c.oid = @extschema@.quote_collab_table(s)
        cross join lateral (
            select a.* from aclexplode(c.relacl) a union all
            select a.* from pg_attribute t cross join lateral aclexplode(t.attacl) a where t.attrelid = c.oid) acl
        where acl.privilege_type = 'UPDATE' and acl.grantee not in (0, c.relowner))
    select format('%s may not call %s, or not read %s', pg_get_userbyid(w.grantee), f.told, '@extschema@.quote_collab_settings'::regclass),
        format('select @extschema@.grant_quote_functions(%L);', pg_get_userbyid(w.grantee))
    from writers w
    cross join lateral (
        select format('%s functions, %s among them', count(*), min(f::text)) as told, count(*) as functions from @extschema@.quote_public_functions() f
        where not has_function_privilege(w.grantee, f::oid, 'execute')) f
    where f.functions > 0 or not has_table_privilege(w.grantee, '@extschema@.quote_collab_settings'::regclass, 'select')
$$;
comment on function quote_rights_withdrawn() is 'doctor: rights on the extension that were withdrawn from roles which change quotes';
create function quote_collab_doctor_extension() returns setof quote_collab_check
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
end $$;
comment on function quote_collab_doctor_extension() is 'doctor: the extension''s own tables and functions';
create function quote_keys_missing(target_schema name) returns table (relation regclass, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass, format('alter table %s add constraint %I primary key (%s);', c.oid::regclass, c.relname || '_pkey', k.key)
    from (
        select c.oid, h.key from @extschema@.quote_home_tables() h join pg_class c on c.relname = h.name and c.relkind = h.kind
        where c.relnamespace = (select n.oid from pg_namespace n where n.nspname = target_schema)
        union all
        values ('@extschema@.quote_former_versions'::regclass::oid, 'row_id, is_line')) k (oid, key)
    join pg_class c on c.oid = k.oid
    where not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary and i.indisvalid)
$$;
comment on function quote_keys_missing(name) is 'doctor: tables of the history that lost their key';
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
        return @extschema@.quote_collab_verdict('positions left', false, 'error', 'the sequence of positions is gone: no change can be written',
            @extschema@.quote_attach_statement());
    elsif s.seqincrement <> 1 or s.seqcycle or s.seqcache <> 1 or s.seqmax < 9223372036854775807 or s.seqtypid <> 'bigint'::regtype then
        return @extschema@.quote_collab_verdict('positions left', false, 'error', 'the sequence of positions is not as attach made it',
            format('alter sequence %s as bigint increment 1 no maxvalue no cycle cache 1;', name));
    elsif s.relpersistence = 'u' then
        return @extschema@.quote_collab_verdict('positions left', false, 'error', 'the sequence of positions is unlogged: a crash sets it back',
            format('alter sequence %s set logged;', name));
    elsif not @extschema@.quote_positions_kept(log, target_schema) then
        return @extschema@.quote_collab_verdict('positions left', false, 'warning', 'the sequence of positions can be dropped: nothing depends on it',
            @extschema@.quote_attach_statement());
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
    repair text := @extschema@.quote_attach_statement();
    next_month timestamptz := @extschema@.quote_changes_month(@extschema@.quote_changes_month(now()) + interval '32 days');
    keep record;
    found record;
begin
    return next @extschema@.quote_collab_verdict('audit log present', log is not null, 'error', 'quote_changes is gone', repair);
    if log is null then
        return;
    end if;
    return next @extschema@.quote_collab_verdict('partition of this month', @extschema@.quote_month_stands(log, now()), 'error',
        'rows go to the default partition', @extschema@.quote_month_statement(log, now()));
    return next @extschema@.quote_collab_verdict('partition of next month', @extschema@.quote_month_stands(log, next_month), 'warning',
        'nobody creates partitions ahead: the library is not preloaded, or no cron calls maintenance', @extschema@.quote_month_statement(log, next_month));
    return next @extschema@.quote_collab_verdict('default partition present', @extschema@.quote_changes_spare(log) is not null, 'error',
        'a change of a month without a partition is refused, and the save with it', repair);
    select * into found from @extschema@.quote_log_repairs(log);
    return next @extschema@.quote_collab_verdict('log as attached', found.problems is null, 'error', found.problems, found.repair);
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
    execute format('select coalesce((select max(c.position) from %1$I.quote_changes c
            where c.changed_at > now() - interval ''1 day'' and c.origin = @extschema@.quote_cluster_identifier()), 0)
        > coalesce((select q.last_value from pg_sequences q where (q.schemaname, q.sequencename) = (%1$L, ''quote_changes_position_seq'')), 0)', target_schema)
    into found_rows;
    return next @extschema@.quote_collab_verdict('positions ascend', not found_rows, 'error',
        'the sequence of positions was set back: new changes stand before older ones', format('select setval(%L, (select max(c.position) from %I.quote_changes c));',
            format('%I.quote_changes_position_seq', target_schema), target_schema));
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
create function quote_stranger_hint(stranger regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'p' and k.conname = c.relname || '_pkey'
            and c.relname in (select h.name from @extschema@.quote_home_tables() h))
        then format('If an administrator gave it away: alter table %s owner to %I; if not: ', stranger, coalesce((
            select s.owners[1] from @extschema@.quote_collab_settings s where s.entity = 'QUOTE' and s.owners <> '{}' order by s.attached_at limit 1), current_user)) else '' end
        || format('alter table %s rename to %I;', stranger, left('not_ours_' || c.relname, 63))
    from pg_class c where c.oid = stranger
$$;
comment on function quote_stranger_hint(regclass) is 'doctor: what to do about a relation of a stranger under a name of ours';
create or replace function quote_collab_doctor() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
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
revoke execute on function quote_events_behind(uuid, bigint, timestamptz, pg_snapshot, bigint, bigint, bigint, integer) from public;
revoke execute on function quote_position_shown(uuid, bigint, timestamptz, pg_snapshot) from public;
revoke execute on function grant_quote_functions(name) from public;
