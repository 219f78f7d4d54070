-- The attached pairs of tables, a header and its lines each. They share one audit log, one presence table, one relay and
-- one chain of seals: those of the home, the schema of the pair that was attached first.

-- The settings of the header or the lines that were attached first. SQLSTATE 55000 when nothing is attached.
create function quote_collab_target(entity text) returns quote_collab_settings
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings;
begin
    select s.* into target from @extschema@.quote_collab_settings s
    where s.entity = quote_collab_target.entity
    order by s.attached_at, s.table_schema, s.table_name limit 1;
    if not found then
        raise exception 'quote collaboration is not attached to any table'
            using errcode = 'object_not_in_prerequisite_state',
                  detail = 'This function works on the tables that attach_quote_collaboration() was given, and there are none.',
                  hint = 'Run select attach_quote_collaboration() as a superuser.';
    end if;
    return target;
end $$;
comment on function quote_collab_target(text) is 'settings of the QUOTE or QUOTE_LINE table that was attached first';

-- Schema of the audit log and all that is one per database. SQLSTATE 55000 when nothing is attached.
create function quote_collab_home() returns name
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- All pairs have the same; where there is none, the second says so.
    return coalesce((select s.log_schema from @extschema@.quote_collab_settings s where s.entity = 'QUOTE' limit 1),
        (@extschema@.quote_collab_target('QUOTE')).log_schema);
end $$;
comment on function quote_collab_home() is 'schema of the audit log, the presence table and the relay';

create function quote_collab_pairs() returns table (header quote_collab_settings, line quote_collab_settings)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select h, l from @extschema@.quote_collab_settings h
    join @extschema@.quote_collab_settings l on (l.header_schema, l.header_table, l.entity) = (h.header_schema, h.header_table, 'QUOTE_LINE')
    where h.entity = 'QUOTE'
    order by h.attached_at, h.table_schema, h.table_name
$$;
comment on function quote_collab_pairs() is 'the attached pairs of tables in the order of attaching';

create function quote_collab_partner(target quote_collab_settings) returns quote_collab_settings
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select s.* from @extschema@.quote_collab_settings s
    where (s.header_schema, s.header_table) = (target.header_schema, target.header_table) and s.entity <> target.entity
$$;
comment on function quote_collab_partner(quote_collab_settings) is 'settings of the lines of a header, or of the header of lines';

-- Asked of the catalogs, since to_regclass() refuses whoever may not use the schema. Null when the table is gone.
create function quote_collab_table(settings quote_collab_settings) returns regclass
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select c.oid::regclass from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = settings.table_schema and c.relname = settings.table_name);
end $$;
comment on function quote_collab_table(quote_collab_settings) is 'an attached table; null when it is gone';

-- The settings of a table without the roles of columns that are gone since attach: those play none, and nothing is refused for it. Without
-- those that say which row it is nothing goes on.
create function present_quote_columns(settings quote_collab_settings) returns quote_collab_settings
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    relation oid := @extschema@.quote_collab_table(settings);
    gone text[] := array(
        select c.role from jsonb_each_text(settings.columns) c (role, column_name)
        where c.role not in ('id', 'tenant', 'version', 'quote') and not exists (
            select from pg_attribute a where a.attrelid = relation and a.attname = c.column_name and not a.attisdropped));
begin
    return case when gone = '{}' then settings else jsonb_populate_record(settings, jsonb_build_object('columns', settings.columns - gone)) end;
end $$;
comment on function present_quote_columns(quote_collab_settings) is 'settings of a table without the columns that are gone';

-- May the caller read the columns that play these roles? Roles without a column do not count; a column that is gone since
-- attach says no.
create function quote_columns_readable(settings quote_collab_settings, roles text[]) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select count(*) = (select count(distinct settings.columns ->> r) from unnest(roles) r)
        and coalesce(bool_and(has_schema_privilege(c.relnamespace, 'usage') and has_column_privilege(c.oid, a.attnum, 'select')), false)
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.oid = @extschema@.quote_collab_table(settings) and a.attname in (select settings.columns ->> r from unnest(roles) r)
$$;
comment on function quote_columns_readable(quote_collab_settings, text[]) is 'true when the caller may read the columns that play these roles';

-- May this session see every tenant because none is set? Where tenants are set by whoever likes, yes: it could set each in turn. Where
-- they are verified, or the library keeps the setting because it cannot know, only a session whose own role no row security
-- holds. Its own, since inside of our functions the current role may be the extension's owner.
create function sees_every_quote_tenant() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select @extschema@.current_quote_tenant() is null and (
        exists (select from pg_roles r where r.rolname = session_user and (r.rolsuper or r.rolbypassrls))
        or current_setting('quote_collab.tenant_source', true) = 'setting'
            and not exists (select from pg_settings s where s.name = 'app.current_tenant_id' and s.context = 'superuser'))
$$;
comment on function sees_every_quote_tenant() is 'true when no tenant is set and the session need not name one';

-- Does the table hold this row for the caller and the current tenant? No where the caller, or a policy that acts as him, has
-- no right to ask, and where the table is not as attach left it. Asked without looking into the catalogs first: every call
-- that names a row pays for it.
create function quote_table_holds(target quote_collab_settings, row_id uuid) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    holds boolean;
begin
    execute format('select exists (select from %I.%I t where t.%I = $1 and ($3 or t.%I = $2))',
        target.table_schema, target.table_name, target.columns ->> 'id', target.columns ->> 'tenant')
    into holds using row_id, @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
    return holds;
exception when insufficient_privilege or undefined_table or undefined_column or invalid_schema_name then
    return false;
end $$;
comment on function quote_table_holds(quote_collab_settings, uuid) is 'true when an attached table has this row for the caller';

-- The attached table that holds a row, in the order of attaching, under the caller's rights: an id names its row. Where
-- none does, a table that the caller may read, so that what follows says that the row is unknown. Never one that took the name of another.
create function find_quote_target(entity text, row_id uuid) returns quote_collab_settings
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings;
    targets @extschema@.quote_collab_settings[] := array(
        select s from @extschema@.quote_collab_settings s where s.entity = find_quote_target.entity
        order by s.attached_at, s.table_schema, s.table_name);
begin
    if cardinality(targets) < 2 then
        target := coalesce(targets[1], @extschema@.quote_collab_target(entity));
        perform @extschema@.require_quote_table(target);
        return target;
    elsif row_id is null then
        return targets[1];
    end if;
    foreach target in array targets loop
        if @extschema@.quote_table_trusted(target) and @extschema@.quote_table_holds(target, row_id) then
            return target;
        end if;
    end loop;
    foreach target in array targets loop
        if @extschema@.quote_table_trusted(target) and @extschema@.quote_columns_readable(target, '{id,tenant}'::text[]) then
            return target;
        end if;
    end loop;
    perform @extschema@.require_quote_table(targets[1]);
    return targets[1];
end $$;
comment on function find_quote_target(text, uuid) is 'settings of the attached table that holds a row';
