-- From 0.16.0 to 0.17.0.
-- Functions.
drop function quote_functions_altered(text);
drop function quote_functions_missing(text);
drop function quote_script_functions(text);
create type @extschema@.quote_released_function as (name text, header text, body text, statement text);
comment on type @extschema@.quote_released_function is 'a function as a script makes it';
create or replace function quote_extension_table_faults() returns table (relation regclass, problem text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass, format('%s belongs to %s', c.oid::regclass, pg_get_userbyid(c.relowner)),
        format('alter table %s owner to %I;', c.oid::regclass, @extschema@.quote_extension_owner())
    from pg_class c
    where c.oid in (select t.relation from @extschema@.quote_extension_tables() t) and pg_get_userbyid(c.relowner) <> @extschema@.quote_extension_owner()
    union all
    select t.relation, format('row security of %s is off', t.relation), format('select @extschema@.seclude_quote_table(%L);', t.relation)
    from unnest(@extschema@.quote_tables_to_seclude()) t (relation)
    union all
    -- It would run with the rights of whoever attaches, seals or changes a quote.
    select g.tgrelid::regclass, format('trigger %I of %s is not of the extension', g.tgname, g.tgrelid::regclass),
        format('drop trigger %I on %s;', g.tgname, g.tgrelid::regclass)
    from @extschema@.quote_extension_tables() t join pg_trigger g on g.tgrelid = t.relation
    where not g.tgisinternal and g.tgfoid not in ('@extschema@.guard_quote_settings()'::regprocedure, '@extschema@.quote_settings_changed()'::regprocedure)
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
comment on function quote_tenant_rule() is 'condition under which a row of history or presence is a tenant''s';
create function quote_policy_command(policy name) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select case when policy = 'quote_changes_tenant_isolation' then 'select' else 'all' end $$;
comment on function quote_policy_command(name) is 'the command that a policy of ours is for';
create or replace function protect_quote_table(target regclass, policy name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
begin
    execute format('alter table %s enable row level security', target);
    execute format('alter table %s force row level security', target);
    execute format('drop policy if exists %I on %s', policy, target);
    execute format('create policy %I on %s for %s using %s', policy, target, @extschema@.quote_policy_command(policy), @extschema@.quote_tenant_rule());
    execute format('comment on policy %I on %s is %L', policy, target,
        'a row is its own tenant''s only, and nobody''s when no tenant is set');
end $$;
create or replace function quote_table_is_protected(target regclass, policy name) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
as $$
    select c.relrowsecurity and c.relforcerowsecurity and exists (
        select from pg_policy p
        where p.polrelid = c.oid and p.polname = policy and p.polpermissive
            and p.polcmd = case @extschema@.quote_policy_command(policy) when 'select' then 'r' else '*' end and p.polroles = '{0}'
            and p.polwithcheck is null and pg_get_expr(p.polqual, p.polrelid) = @extschema@.quote_tenant_rule())
    from pg_class c where c.oid = target
$$;
create function seclude_quote_table(target regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from pg_class c where c.oid = target and not (c.relrowsecurity and c.relforcerowsecurity)) then
        execute format('alter table %s enable row level security, force row level security', target);
    end if;
end $$;
comment on function seclude_quote_table(regclass) is 'enables and forces row security without a policy on one table';
create function quote_tables_to_seclude() returns regclass[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select array(select t.relation from @extschema@.quote_extension_tables() t join pg_class c on c.oid = t.relation where t.is_private and not (c.relrowsecurity and c.relforcerowsecurity))
$$;
comment on function quote_tables_to_seclude() is 'private tables of the extension whose row security is off';
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
    perform @extschema@.seclude_quote_table(batch::regclass), @extschema@.seclude_quote_table(lease::regclass);
    -- Also where a dump without data brought the tables.
    execute format('insert into %1$s (no, prev, cur, prev_at, cur_at, floor_at, origin)
        select 0, s, s, now(), now(), now(), @extschema@.quote_cluster_identifier()
        from pg_current_snapshot() s where not exists (select from %1$s)', batch);
    execute format('insert into %1$s select true, 0, '''', ''-infinity'', 0, 0, 0 where not exists (select from %1$s)', lease);
end $$;
create or replace function begin_quote_changes_seals(target_schema name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- An anchor that holds on to nothing but the beginning follows it.
    execute format('with begun as (insert into %1$I.quote_changes_seals (no, prev, cur, floor_at, prev_at, cur_at, origin, rows, root, hash, sealed_at, form)
        select b.*, @extschema@.quote_seal_hash(sha256(convert_to(''quote_changes'', ''UTF8'')), b.no, b.prev, b.cur, b.floor_at, b.prev_at, b.cur_at, b.origin,
            b.rows, b.root, n.sealed_at, 2::smallint), n.sealed_at, 2
        from (select 0::bigint, ''3:3:''::pg_snapshot, ''3:3:''::pg_snapshot, ''-infinity''::timestamptz, ''-infinity''::timestamptz, ''-infinity''::timestamptz,
            @extschema@.quote_cluster_identifier(), 0::bigint, sha256('''')) b (no, prev, cur, floor_at, prev_at, cur_at, origin, rows, root)
        cross join (select clock_timestamp()) n (sealed_at)
        where not exists (select from %1$I.quote_changes_seals) returning hash)
        update @extschema@.quote_seal_anchor a set hash = b.hash from begun b where a.log_schema = %1$L and a.no = 0', target_schema);
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
    perform @extschema@.seclude_quote_table(seals::regclass);
end $$;
create function quote_names_standing(settings quote_collab_settings, kind text) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select r.relation from (select settings.relations -> kind) r (relation)
    where exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = r.relation ->> 'schema' and c.relname = r.relation ->> 'table')
$$;
comment on function quote_names_standing(quote_collab_settings, text) is 'the table that names users or customers of a pair; null where it is gone';
create or replace function recent_quote_changes_query(header quote_collab_settings, line quote_collab_settings) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    users jsonb := @extschema@.quote_names_standing(header, 'users');
begin
    return format($query$
        select c.id, c.tenant_id, c.quote_id, q.late_1::pg_catalog.text, c.quote_line_id, l.late_1::pg_catalog.text, c.changed_by,
               %s::pg_catalog.text, c.changed_at, c.entity_type, c.field_name, c.old_value, c.new_value, c.change_type, c.was_conflict,
               c.conflict_resolution, c.entity_version_before, c.entity_version_after
        from %I.quote_changes c
        left join %s q on q.key_1 operator(pg_catalog.=) c.quote_id and q.key_2 operator(pg_catalog.=) c.tenant_id
        left join %s l on l.key_1 operator(pg_catalog.=) c.quote_line_id and l.key_2 operator(pg_catalog.=) c.tenant_id
        %s
        where c.changed_at operator(pg_catalog.>) (pg_catalog.now() operator(pg_catalog.-) interval '24 hours')$query$,
        case when users is null then 'null' else 'u.late_1' end, header.log_schema,
        @extschema@.quote_late_rows(header.table_schema, header.table_name, array[header.columns ->> 'id', header.columns ->> 'tenant'],
            array[coalesce(header.columns ->> 'quote_number', header.columns ->> 'id')], '{pg_catalog.text}'::text[]),
        @extschema@.quote_late_rows(line.table_schema, line.table_name, array[line.columns ->> 'id', line.columns ->> 'tenant'],
            array[coalesce(line.columns ->> 'line_number', line.columns ->> 'version')], '{pg_catalog.text}'::text[]),
        case when users is null then '' else format('left join %s u on u.key_1 operator(pg_catalog.=) c.changed_by',
            @extschema@.quote_late_names(users, null::name)) end);
end $$;
create or replace function active_quote_collaborators_query(header quote_collab_settings) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    customers jsonb := @extschema@.quote_names_standing(header, 'customers');
    customer_column text := header.columns ->> 'customer';
    -- Named whole: who reads the view has a search path of his own.
    customer_type text := (select format('%I.%I', n.nspname, t.typname) from pg_attribute a join pg_type t on t.oid = a.atttypid
        join pg_namespace n on n.oid = t.typnamespace
        where a.attrelid = @extschema@.quote_collab_table(header) and a.attname = customer_column and not a.attisdropped);
    named boolean := customers is not null and customer_type is not null;
    customer_tenant name := @extschema@.quote_customer_tenant(header, customers);
begin
    return format('%s from %I.active_quote_sessions s
        join %s q on q.key_1 operator(pg_catalog.=) s.quote_id and q.key_2 operator(pg_catalog.=) s.tenant_id
        %s
        %s',
        @extschema@.active_quote_collaborators_columns('q.late_1'::text, case when customer_type is null then 'null' else 'q.late_2' end,
            case when named then 'c.late_1' else 'null' end),
        header.log_schema,
        @extschema@.quote_late_rows(header.table_schema, header.table_name, array[header.columns ->> 'id', header.columns ->> 'tenant'],
            array_remove(array[coalesce(header.columns ->> 'quote_number', header.columns ->> 'id'), customer_column], null),
            array_remove(array['pg_catalog.text', customer_type], null)),
        case when named then format('left join %s c on c.key_1 operator(pg_catalog.=) q.late_2%s', @extschema@.quote_late_names(customers, customer_tenant),
            case when customer_tenant is not null then ' and (c.late_2 operator(pg_catalog.=) q.key_2 or c.late_2 is null)' else '' end) else '' end,
        @extschema@.active_quote_collaborators_condition());
end $$;
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
    patience text := @extschema@.bound_quote_patience();
begin
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
        select @extschema@.quote_collab_table(s) from @extschema@.quote_tables_elsewhere(home) s) || @extschema@.quote_tables_to_seclude());
    perform @extschema@.seclude_quote_table(t.relation) from unnest(@extschema@.quote_tables_to_seclude()) t (relation);
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
    perform @extschema@.set_quote_option('lock_timeout', patience);
    return pg_catalog.format('quote collaboration is attached to %s and %s', header, lines);
end $$;
create or replace function release_quote_history(target_schema name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    part regclass;
    rule text := case when current_setting('quote_collab.tenant_source', true) = 'verified' then 'false'
        else 'tenant_id = (select nullif(current_setting(''app.current_tenant_id'', true), '''')::uuid)' end;
begin
    for part in
        select t.relid from unnest(array['quote_changes', 'quote_changes_archive']) log (name)
        cross join lateral pg_partition_tree(to_regclass(format('%I.%I', target_schema, log.name))) t
    loop
        execute format('drop policy if exists quote_changes_tenant_isolation on %s', part);
        execute format('create policy quote_changes_tenant_isolation on %s for select using (%s)', part, rule);
        execute format('comment on policy quote_changes_tenant_isolation on %s is %L', part,
            'a row is visible to its own tenant only; nobody when no tenant is set');
    end loop;
end $$;
create function quote_type_is_told_otherwise(type oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive parts (oid) as (
        select type
        union
        select x.oid from parts p join pg_type t on t.oid = p.oid
        cross join lateral (
            select t.typbasetype union all select t.typelem
            union all select a.atttypid from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped) x (oid)
        where x.oid >= 16384)
    select exists (select from parts p join pg_cast k on k.castsource = p.oid and k.casttarget = 'json'::regtype)
$$;
comment on function quote_type_is_told_otherwise(oid) is 'whether to_jsonb gives of a type what a cast of its own makes of it';
create function quote_values_printed(target quote_collab_settings, changes jsonb) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    relation regclass := format('%I.%I', target.table_schema, target.table_name)::regclass;
begin
    return (select string_agg(format('%L, case when num_nulls(r.%2$I) = 0 then concat(r.%2$I) end', a.attname, a.attname), ', ')
        from pg_attribute a
        where a.attrelid = relation and a.attnum > 0 and not a.attisdropped and changes ? a.attname::text and a.atttypid >= 16384
            and @extschema@.quote_type_is_told_otherwise(a.atttypid));
end $$;
comment on function quote_values_printed(quote_collab_settings, jsonb) is 'values of a change set that are saved as their types print them';
create or replace function coerce_quote_changes(target quote_collab_settings, changes jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set intervalstyle = 'postgres'
set extra_float_digits = 1
set bytea_output = 'hex'
as $$
declare
    record_definition text := @extschema@.quote_changes_record(target, changes);
    printed text := @extschema@.quote_values_printed(target, changes);
    coerced jsonb := '{}'::jsonb;
begin
    if record_definition is not null then
        begin
            execute format('select to_jsonb(r.*)%s from jsonb_to_record($1) as r(%s)', ' || jsonb_build_object(' || printed || ')', record_definition)
            into coerced using changes;
        exception when others then
            perform @extschema@.refuse_quote_value(target, changes);
            raise;
        end;
        perform @extschema@.refuse_quote_amounts(target, coerced);
    end if;
    return coerced;
end $$;
create function quote_changes_told(target quote_collab_settings, fields jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set intervalstyle = 'postgres'
set extra_float_digits = 1
set bytea_output = 'hex'
as $$
declare
    told jsonb := fields;
begin
    if @extschema@.quote_values_printed(target, fields) is not null then
        execute format('select to_jsonb(r.*) from jsonb_to_record($1) as r(%s)', @extschema@.quote_changes_record(target, fields)) into told using fields;
    end if;
    return told;
end $$;
comment on function quote_changes_told(quote_collab_settings, jsonb) is 'values of a change set in the form in which rows are told';
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
        fields := @extschema@.quote_changes_told(header, fields);
        conflicts := @extschema@.quote_conflicts(header, quote, expected_version, fields);
        perform @extschema@.record_rejected_quote_change('QUOTE', quote_id, expected_version, fields);
        perform @extschema@.set_quote_option('app.current_session_id', former);
        return;
    end if;
    if fields <> '{}' then
        quote := @extschema@.apply_quote_changes(header, quote_id, quote, fields, 'save'::text, path);
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
    quote := @extschema@.find_quote_row(header, parent, 'for no key update');
    quote_line := @extschema@.require_quote_row(line, line_id, 'for no key update');
    if (quote_line ->> (line.columns ->> 'quote'))::uuid <> parent then
        raise exception 'the line moved to another quote' using errcode = 'serialization_failure', hint = 'Try again.';
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
create or replace function quote_relay_lease(holder text, ttl interval) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    granted bigint;
begin
    perform @extschema@.require_quote_home('{quote_relay_lease}'::text[]);
    execute format('update %s l set holder = $1, expires_at = clock_timestamp() + $2,
            epoch = case when l.holder = $1 then l.epoch else l.epoch + 1 end
        where l.holder = $1 or l.expires_at not between clock_timestamp() and clock_timestamp() + greatest(10 * $2, interval ''1 minute'') returning l.epoch', @extschema@.quote_relay_table('quote_relay_lease'))
    into granted using holder, ttl;
    return granted;
end $$;
create or replace function quote_relay_state_query() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_relay_batch,quote_relay_lease}'::text[]);
    return format('select l.epoch = $1, b.no, b.prev, b.cur, b.prev_at, b.cur_at, b.floor_at, b.origin, b.xmin
        from %1$I.quote_relay_lease l left join lateral (select n.*, n.xmin from %1$I.quote_relay_batch n order by n.no desc limit 1) b on true', @extschema@.quote_collab_home());
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
    if @extschema@.quote_database_identity() <> system_identifier or @extschema@.quote_feed_timeline() <> timeline or last.no < known then
        raise exception 'the log has another history' using errcode = 'QC001',
            hint = 'Take the lease again, and find out where to go on.';
    end if;
    if last.held is not true then
        perform @extschema@.refuse_lost_quote_lease();
    elsif last.no is null then
        raise exception 'the relay has no batch to go on from' using errcode = 'object_not_in_prerequisite_state',
            detail = 'Somebody has emptied quote_relay_batch.', hint = @extschema@.quote_attach_statement();
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
create or replace function examine_quote_seal(before quote_seal, b quote_seal, signed_from bigint, out finding text, out detail text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    began bytea := sha256(convert_to('quote_changes', 'UTF8'));
begin
    if num_nulls(b.no, b.prev, b.cur, b.floor_at, b.prev_at, b.cur_at, b.origin, b.rows, b.root, b.hash, b.sealed_at, b.form) > 0 then
        finding := 'block'; detail := 'this block is not whole any more';
    elsif before.no is null then
        if b.no <> 0 or num_nonnulls(b.signature, b.signed_by, b.released) > 0 or b.rows <> 0 or b.prev::text <> '3:3:' or b.cur::text <> '3:3:'
            or b.hash not in (began, @extschema@.quote_seal_hash(began, b.no, b.prev, b.cur, b.floor_at, b.prev_at, b.cur_at, b.origin, b.rows, b.root, b.sealed_at, b.form))
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
        -- Without its keys a table cannot be attached again, and beside a version that was renamed another is added.
        select string_agg(c.value, ', '),
            string_agg(format('alter table %s rename ... to %I;', name, c.value), ' ') filter (where c.key = any ('{id,tenant,quote,version}'::text[]))
        into missing, renames from jsonb_each_text(s.columns) c
        where not exists (select from pg_attribute a where a.attrelid = target and a.attname = c.value and a.attnum > 0 and not a.attisdropped);
        return next @extschema@.quote_collab_verdict('columns exist: ' || name, missing is null, 'error',
            format('columns are gone or were renamed: %s', missing),
            case when renames is null then repair else format('If it was renamed: %s If it was a version, and dropped: %s', renames, repair) end);
        begin
            others := null;
            perform @extschema@.check_quote_column_types(target, s.columns);
        exception when datatype_mismatch or generated_always then
            get stacked diagnostics others = pg_exception_hint;
            others := concat_ws(' ', 'Give the column a type that can be one, or attach anew.', others);
            missing := sqlerrm;
        end;
        return next @extschema@.quote_collab_verdict('columns can play their roles: ' || name, others is null, 'error', missing, others);
        select string_agg(a.name, ', ') into missing from @extschema@.quote_columns_altered(target, s.added_columns) a;
        return next @extschema@.quote_collab_verdict('added columns intact: ' || name, missing is null, 'error',
            format('columns that attach added lost their default, NOT NULL or comment: %s', missing), repair);
        select string_agg(c.column_name, ', '), string_agg(format('create index on %s (%I);', name, c.column_name), ' ')
        into missing, others from @extschema@.quote_columns_unindexed(s) c (column_name);
        return next @extschema@.quote_collab_verdict('rows found by an index: ' || name, missing is null, 'warning',
            format('every save and every list reads the whole table, since no index begins with: %s', missing), others);
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
            coalesce('tables of names, or columns of theirs, are gone: ' || missing,
                format('names are not read from tables that belong to another than the owner of the quotes: %s', others)),
            case when missing is null then repair else @extschema@.quote_repair_statement(s) end);
    end loop;
    select string_agg(t.relation::text, ', '), string_agg(t.statements, ' ') into missing, repair from @extschema@.quote_tables_unknown() t;
    return next @extschema@.quote_collab_verdict('history of attached tables only', missing is null, 'error',
        format('these tables are not attached, and their changes are told as changes of quotes that are: %s', missing), repair);
end $$;
create function quote_columns_unindexed(settings quote_collab_settings) returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.column_name from unnest('{id,quote}'::text[]) r (role) cross join lateral (select settings.columns ->> r.role) c (column_name)
    where c.column_name is not null and not exists (
        select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
        join pg_class x on x.oid = i.indexrelid join pg_am m on m.oid = x.relam
        where i.indrelid = @extschema@.quote_collab_table(settings) and i.indisvalid and i.indpred is null and a.attname = c.column_name
            and m.amname in ('btree', 'hash', 'gist'))
$$;
comment on function quote_columns_unindexed(quote_collab_settings) is 'doctor: columns by which rows are found, and no index has them first';
create function quote_script_functions(script text) returns setof quote_released_function
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select x.name, h.header, case when h.in_c then split_part(split_part(p.piece, format('%L, ''', k.library), 2), '''', 1)
            when h.is_parsed then '' else split_part(p.piece, '$' || '$', 2) end,
        case when h.in_c then replace(split_part(p.piece, ';', 1), k.library, '$libdir/quote_collab_ext')
            when h.is_parsed then split_part(p.piece, E'\nend;', 1) || E'\nend'
            else (string_to_array(p.piece, '$' || '$'))[1] || '$' || '$' || split_part(p.piece, '$' || '$', 2) || '$' || '$' end || ';'
    from string_to_table(replace(script, E'\nCREATE  FUNCTION ', E'\ncreate function '), E'\ncreate function ') with ordinality p (piece, place)
    cross join lateral (select substring(p.piece from E'\\w+')) x (name)
    cross join lateral (select split_part(p.piece, '$' || '$', 1), split_part(p.piece, ';', 1)) s (to_body, to_end)
    cross join lateral (select 'MODULE_' || 'PATHNAME') l (library)
    cross join lateral (select l.library, s.to_end like format('%%%L%%', l.library), s.to_end like E'%\nbegin atomic%') k (library, in_c, is_parsed)
    cross join lateral (select case when k.in_c or k.is_parsed then s.to_end else s.to_body end, k.in_c, k.is_parsed) h (header, in_c, is_parsed)
    where p.place > 1
$$;
comment on function quote_script_functions(text) is 'doctor: the functions that a script creates';
create function quote_functions_altered(released quote_released_function[]) returns table (function regprocedure, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with own as (
        select f.function, p.*, n.nspname, owner.rolsuper as is_trusted, installer.rolsuper and not owner.rolsuper as is_lost, installer.rolname as installer
        from @extschema@.quote_extension_functions() f join pg_proc p on p.oid = f.function join pg_namespace n on n.oid = p.pronamespace
        join pg_roles owner on owner.oid = p.proowner
        join pg_extension e on e.extname = 'quote_collab_ext' join pg_roles installer on installer.oid = e.extowner
        where p.prokind = 'f'),
    as_released as (
        select p.function from own p join unnest(released) r on r.name = p.proname
        cross join lateral (select '"' || replace(p.nspname, '"', '""') || '"', quote_ident(p.nspname)) s (quoted, plain)
        where replace(r.body, s.quoted, s.plain) = replace(p.prosrc, s.quoted, s.plain)
            and coalesce(p.probin, '$libdir/quote_collab_ext') = '$libdir/quote_collab_ext'
            and p.prosecdef = (r.header ~* E'\\msecurity definer\\M') and p.proisstrict = (r.header ~* E'\\mstrict\\M')
            and p.provolatile = case when r.header ~* E'\\mimmutable\\M' then 'i' when r.header ~* E'\\mstable\\M' then 's' else 'v' end
            and array(select lower(split_part(c, '=', 1)) || replace(substr(c, strpos(c, '=')), '"', '') from unnest(p.proconfig) c order by 1)
                = array(select lower(m[1]) || '=' || translate(m[2], '''"', '') from regexp_matches(r.header, E'\\nset (\\w+) = ([^\\n]+)', 'g') m order by 1)
            and p.proparallel = case when r.header ~* E'\\mparallel safe\\M' then 's' when r.header ~* E'\\mparallel restricted\\M' then 'r' else 'u' end)
    select p.function, case when p.is_trusted then coalesce((
                select string_agg(format('set search_path = %I, pg_temp; create or replace function %s reset search_path;', p.nspname, r.statement), ' ')
                from unnest(released) r where r.name = p.proname),
            format('alter extension quote_collab_ext drop function %s;', p.function))
        else format('alter function %s owner to %I;', p.function, p.installer) end
    from own p where p.is_lost or not exists (select from as_released r where r.function = p.function)
$$;
comment on function quote_functions_altered(quote_released_function[]) is 'doctor: functions that are not as the release made them';
create function quote_functions_missing(script text, functions quote_released_function[]) returns table (name text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with released as materialized (select r.* from unnest(functions) r),
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
comment on function quote_functions_missing(text, quote_released_function[]) is 'doctor: functions of the release that are not the extension''s';
create or replace function quote_collab_doctor_functions_released() returns quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    script text;
    released @extschema@.quote_released_function[];
    names text;
    hints text;
begin
    script := @extschema@.quote_release_script();
    released := array(select f from @extschema@.quote_script_functions(script) f);
    if cardinality(released) = 0 then
        return @extschema@.quote_collab_unchecked('functions as released', 'the script of the installed release is not on this server any more, or cannot be read',
            'alter extension quote_collab_ext update;');
    end if;
    select string_agg(f.name, ', '), string_agg(f.repair, ' ') into names, hints from @extschema@.quote_functions_missing(script, released) f;
    if names is not null then
        return @extschema@.quote_collab_verdict('functions as released', false, 'error',
            format('these functions of the release are no longer the extension''s: %s', names), hints);
    end if;
    select string_agg(f.function::text, ', '), string_agg(f.repair, ' ') into names, hints from @extschema@.quote_functions_altered(released) f;
    return @extschema@.quote_collab_verdict('functions as released', names is null, 'error',
        format('these functions do something else than the release has them do, or as another role: %s', names), hints);
exception when insufficient_privilege then
    return @extschema@.quote_collab_unchecked('functions as released', sqlerrm, 'Run it as a superuser.');
end $$;
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
create or replace function quote_log_repairs(log regclass, out problems text, out repair text)
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
        select format('column %s is gone', k.column_name),
            format('If it was renamed: alter table %s rename ... to %I; if it was dropped, bring it back from a dump.', log, k.column_name)
        from @extschema@.quote_history_columns('quote_changes') k
        where not exists (select from pg_attribute a where a.attrelid = log and a.attname = k.column_name and not a.attisdropped)
        union all
        select * from @extschema@.quote_log_constraints(log)) f (problem, repair)
$$;
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
    locks bigint;
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
            'Run it as a superuser.')).* from unnest(array['positions ascend', 'default partition empty', 'relay keeps up', 'lease of the relay stands', 'a gateway is connected',
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
    execute format('select exists (select from %1$I.quote_changes c, (select s.cur, s.origin from %1$I.quote_changes_seals s order by s.no desc limit 1) s
        where c.changed_at between now() - interval ''1 day'' and now() - interval ''5 minutes'' and c.origin = @extschema@.quote_cluster_identifier()
        and (s.origin <> c.origin or not pg_visible_in_snapshot(c.xid, s.cur)))', target_schema) into found_rows;
    return next @extschema@.quote_collab_verdict('history sealed', not found_rows, 'warning', 'changes are older than 5 minutes and not sealed',
        'select @extschema@.seal_quote_history();');
end $$;
create or replace function quote_view_differs(target regclass, query text) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    names text := (select string_agg(format('x.%I', a.attname), ', ' order by a.attnum) from pg_attribute a
        where a.attrelid = target and a.attnum > 0 and not a.attisdropped);
begin
    for attempt in 1 .. 3 loop
        if @extschema@.explain_quote_query(format('select %s, x.* from (%s) x', names, rtrim(pg_get_viewdef(target), ';')))
            = @extschema@.explain_quote_query(format('select %s, x.* from (%s) x', names, query))
        then
            return false;
        end if;
    end loop;
    return true;
-- A syntax error where the view was dropped in between, an invalid definition where it reads itself.
exception when undefined_column or ambiguous_column or undefined_function or undefined_table or syntax_error or invalid_object_definition or statement_too_complex then
    return true;
end $$;
create or replace function quote_collab_doctor_security(target_schema name) returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(c.oid::regclass::text, ', '),
        string_agg(format('alter table %s enable row level security, force row level security;', c.oid::regclass), ' ')
    into names, hints from pg_class c
    where c.oid in (select t.relation from @extschema@.quote_tenant_tables(target_schema) t
            union select s.oid from pg_class s join pg_namespace n on n.oid = s.relnamespace
            where n.nspname = target_schema and s.relname in ('quote_changes_seals', 'quote_relay_batch', 'quote_relay_lease'))
        and not (c.relrowsecurity and c.relforcerowsecurity);
    return next @extschema@.quote_collab_verdict('row security forced everywhere', names is null, 'error',
        format('not enabled and forced on: %s', names), hints);
    select string_agg(t.relation::text, ', '), string_agg(format('select @extschema@.protect_quote_table(%L, %L);', t.relation, t.policy), ' ')
    into names, hints from @extschema@.quote_tenant_tables(target_schema) t
    where not @extschema@.quote_table_is_protected(t.relation, t.policy);
    return next @extschema@.quote_collab_verdict('tenant policies present', names is null, 'error',
        format('the policy that compares the tenant is missing or altered on: %s', names), hints);
    select string_agg(format('%s on %s', p.polname, p.polrelid::regclass), ', '),
        string_agg(format('drop policy %I on %s;', p.polname, p.polrelid::regclass), ' ')
    into names, hints from pg_policy p join @extschema@.quote_own_relations(target_schema) r on r.relation = p.polrelid
    where p.polpermissive and not exists (
        select from @extschema@.quote_tenant_tables(target_schema) t where t.relation = p.polrelid and t.policy = p.polname);
    return next @extschema@.quote_collab_verdict('no other policy', names is null, 'warning',
        format('permissive policies of others let rows through: %s', names), hints);
    select string_agg(format('%s on %s', g.tgname, g.tgrelid::regclass), ', '),
        string_agg(format('drop trigger %I on %s;', g.tgname, g.tgrelid::regclass), ' ')
    into names, hints from pg_trigger g join @extschema@.quote_own_relations(target_schema) r on r.relation = g.tgrelid
    where not g.tgisinternal and g.tgparentid = 0 and g.tgfoid <> '@extschema@.guard_quote_session()'::regprocedure;
    return next @extschema@.quote_collab_verdict('no trigger on the log', names is null, 'warning',
        format('these run with the rights of the extension''s owner, and cost the fast way into the log, where events would tell as much: %s', names), hints);
    return query select * from @extschema@.quote_collab_doctor_caller(target_schema);
end $$;
create function quote_gateway_rights_missing() returns table (role name, told text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select r.rolname, format('%s on %s', g.privilege, g.told)
    from @extschema@.quote_gateway_roles() w (role) join pg_roles r on r.oid = w.role cross join @extschema@.quote_gateway_rights() g
    where not case when g.kind = 'schema' then has_schema_privilege(w.role, g.object, g.privilege)
        when g.kind = 'function' then has_function_privilege(w.role, g.object, g.privilege)
        when g.privilege = 'delete' then has_table_privilege(w.role, g.object, g.privilege)
        else has_any_column_privilege(w.role, g.object, g.privilege) end
$$;
comment on function quote_gateway_rights_missing() is 'doctor: rights that gateways lack';
create function quote_gateway_candidates(gateways oid[]) returns table (told text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('%I can become %I', m.rolname, g.rolname), format('revoke %I from %I;', g.rolname, m.rolname)
    from @extschema@.quote_role_members() a join pg_roles g on g.oid = a.roleid join pg_roles m on m.oid = a.member
    where a.roleid = any (gateways) and a.member <> all (gateways) and not m.rolsuper
    union
    select format('%I can become %I, since he may create roles', m.rolname, g.rolname), format('alter role %I nocreaterole;', m.rolname)
    from pg_roles m join pg_roles g on g.oid = any (gateways)
    where m.rolcreaterole and not m.rolsuper and m.oid <> all (gateways) and current_setting('server_version_num')::integer < 160000
    union
    select format('%I can become %I, which he may grant', m.rolname, g.rolname),
        format('revoke admin option for %I from %I granted by %I;', g.rolname, m.rolname, pg_get_userbyid(a.grantor))
    from pg_auth_members a join pg_roles g on g.oid = a.roleid join pg_roles m on m.oid = a.member
    where a.admin_option and a.roleid = any (gateways) and a.member <> all (gateways) and not m.rolsuper and current_setting('server_version_num')::integer >= 160000
$$;
comment on function quote_gateway_candidates(oid[]) is 'doctor: who can become a gateway';
create or replace function quote_collab_doctor_gateway_roles() returns setof quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    gateways oid[] := array(select @extschema@.quote_gateway_logins());
    names text;
    hints text;
begin
    select string_agg(quote_ident(r.rolname), ', ' order by r.rolname),
        string_agg(format('alter role %I %s;', r.rolname, case when r.rolsuper then 'nosuperuser nobypassrls' else 'nobypassrls' end), ' ' order by r.rolname)
    into names, hints from pg_roles r where r.oid = any (gateways) and (r.rolsuper or r.rolbypassrls);
    return next @extschema@.quote_collab_verdict('row security holds gateways', names is null, 'error',
        format('a gateway that runs as one of these roles is held to no tenant: %s', names), hints);
    select string_agg(c.told, ', ' order by c.told), string_agg(c.repair, ' ' order by c.told) into names, hints
    from @extschema@.quote_gateway_candidates(gateways) c;
    return next @extschema@.quote_collab_verdict('nobody becomes a gateway', names is null, 'warning',
        format('who is a gateway reads the events of every tenant: %s', names), hints);
    select string_agg(m.told, ', ' order by m.role, m.told), string_agg(distinct format('select @extschema@.grant_quote_gateway(%L);', m.role), ' ')
    into names, hints from (select m.role, format('%I lacks %s', m.role, string_agg(m.told, ', ' order by m.told))
        from @extschema@.quote_gateway_rights_missing() m group by m.role) m (role, told);
    return next @extschema@.quote_collab_verdict('gateways have their rights', names is null, 'warning',
        format('the gateway cannot do all that it does: %s', names), hints);
    select string_agg(quote_ident(r.rolname), ', ' order by r.rolname), string_agg(format('alter role %I login;', r.rolname), ' ' order by r.rolname)
    into names, hints from @extschema@.quote_gateway_roles() w (role) join pg_roles r on r.oid = w.role
    where gateways = '{}'::oid[];
    return next @extschema@.quote_collab_verdict('a gateway may log in', names is null, 'warning',
        format('nobody who was made a gateway may log in: %s', names), hints);
end $$;
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
        'quote_collab.notify is off: readers only poll', coalesce((
            select string_agg(format('alter %s reset quote_collab.notify;', concat_ws(' in ', 'role ' || quote_ident(r.rolname), 'database ' || quote_ident(d.datname))), ' ')
            from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole left join pg_database d on d.oid = s.setdatabase
            where (s.setrole = 0 or r.rolname = session_user) and (s.setdatabase = 0 or d.datname = current_database()) and 'quote_collab.notify=off' = any (lower(s.setconfig::text)::text[])),
            'alter system reset quote_collab.notify; select pg_reload_conf();'));
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
create function quote_gateway_rights() returns table (privilege text, kind text, object oid, told text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with attached as (
        select t.relation, t.privileges from @extschema@.quote_collab_pairs() p
        cross join lateral (
            select @extschema@.quote_collab_table(s)::oid, '{select,update}'::text[] from unnest(array[p.header, p.line]) s
            union all
            select c.oid, '{select}'::text[] from jsonb_each((p.header).relations) r join pg_namespace n on n.nspname = r.value ->> 'schema'
            join pg_class c on c.relnamespace = n.oid and c.relname = r.value ->> 'table') t (relation, privileges)
        union all
        select c.oid, k.privileges from (values
            ('quote_changes', '{select}'::text[]), ('v_quote_changes_all', '{select}'::text[]), ('v_quote_change_events', '{select}'::text[]),
            ('v_recent_quote_changes', '{select}'::text[]), ('v_active_quote_collaborators', '{select}'::text[]),
            ('active_quote_sessions', '{select,insert,update,delete}'::text[]), ('quote_changes_archive', '{select}'::text[])) k (name, privileges)
        join pg_namespace n on n.nspname = @extschema@.quote_collab_home() join pg_class c on c.relnamespace = n.oid and c.relname = k.name
        where k.name <> 'quote_changes_archive' or @extschema@.quote_archive_stands(n.nspname))
    select 'usage', 'schema', n.oid, quote_ident(n.nspname) from pg_namespace n
    where n.oid = '@extschema@'::regnamespace or n.oid in (select c.relnamespace from attached a join pg_class c on c.oid = a.relation)
    union all
    select 'execute', 'function', f::oid, f::text from @extschema@.quote_gateway_functions() f
    union all
    select distinct p.privilege, 'table', a.relation, a.relation::regclass::text from attached a cross join lateral unnest(a.privileges) p (privilege)
    where a.relation is not null
$$;
comment on function quote_gateway_rights() is 'what the role of the gateway needs';
create or replace function grant_quote_gateway(role name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    needed record;
begin
    if role is null then
        raise exception 'the role must not be null' using errcode = 'null_value_not_allowed', hint = 'Name the role of the gateway.';
    elsif not exists (select from pg_roles r where r.rolname = role) then
        raise exception 'there is no role "%"', role using errcode = 'undefined_object', hint = 'Create it first: create role ... login.';
    end if;
    perform @extschema@.quote_collab_home();
    for needed in select r.privilege, r.kind, string_agg(r.told, ', ') as objects from @extschema@.quote_gateway_rights() r group by r.privilege, r.kind loop
        execute format('grant %s on %s %s to %I', needed.privilege, needed.kind, needed.objects, role);
    end loop;
    -- The gateway verifies tokens itself and then sets the tenant. PostgreSQL 14 has no such grant.
    if current_setting('quote_collab.tenant_source', true) = 'verified' and current_setting('server_version_num')::integer >= 150000 then
        execute format('grant set on parameter app.current_tenant_id to %I', role);
    end if;
end $$;
-- Where something is attached, attach does it: writers hold that table.
select @extschema@.seclude_quote_table(t.relation) from pg_catalog.unnest(@extschema@.quote_tables_to_seclude()) t (relation)
where not exists (select from @extschema@.quote_collab_settings);
-- Whatever default privileges gave of what this or an earlier release made.
select @extschema@.close_quote_extension();
