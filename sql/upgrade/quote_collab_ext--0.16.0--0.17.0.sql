-- From 0.16.0 to 0.17.0.
-- Functions.
drop function quote_functions_altered(text);
drop function quote_functions_missing(text);
drop function quote_script_functions(text);
create type @extschema@.quote_released_function as (name text, header text, body text, statement text);
comment on type @extschema@.quote_released_function is 'a function as a script makes it';
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
        select from pg_index i cross join lateral (
            select array_agg(a.attname::text order by k.place) from unnest(i.indkey::smallint[]) with ordinality k (number, place)
            left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number) n (names)
        where i.indrelid = @extschema@.quote_collab_table(settings) and i.indisvalid and i.indpred is null
            and (n.names[1] = c.column_name or n.names[1] = settings.columns ->> 'tenant' and n.names[2] = c.column_name))
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
    select string_agg(format('%I can become %I', m.rolname, g.rolname), ', ' order by m.rolname, g.rolname),
        string_agg(format('revoke %I from %I;', g.rolname, m.rolname), ' ' order by m.rolname, g.rolname)
    into names, hints
    from @extschema@.quote_role_members() a join pg_roles g on g.oid = a.roleid join pg_roles m on m.oid = a.member
    where a.roleid = any (gateways) and a.member <> all (gateways) and not m.rolsuper;
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
-- Whatever default privileges gave of what this or an earlier release made.
select @extschema@.close_quote_extension();
