-- The columns that attach adds: a version to both tables, and to lines who changed them last.

-- By this a column is known as added, under whatever name it has later.
create function quote_added_column_comment(role text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select case role when 'version' then 'optimistic-lock token: +1 per change of the row' when 'updated_by' then 'who changed the row last' end $$;
comment on function quote_added_column_comment(text) is 'the comment that attach gives a column that it adds';

-- Has a table a column of this name? SQLSTATE 42703 for a name that no column can have.
create function quote_column_exists(target regclass, column_name text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if column_name = '' or octet_length(column_name) > 63 then
        raise exception 'no column can have the name "%"', column_name using errcode = 'undefined_column', detail = 'Names have 1 to 63 bytes.', hint = 'Name another.';
    end if;
    return exists (select from pg_attribute a where a.attrelid = target and a.attname = column_name and not a.attisdropped);
end $$;
comment on function quote_column_exists(regclass, text) is 'whether a table has a column of this name';

-- Roles that the options give to columns, without a version that attach will add under that name.
create function quote_columns_chosen(target regclass, chosen jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return case when @extschema@.quote_column_exists(target, chosen ->> 'version') then chosen else chosen - 'version' end;
end $$;
comment on function quote_columns_chosen(regclass, jsonb) is 'roles that are given to columns that are there';

-- The first version for the rows that are there when a table gets a version column: one more than any of which the history tells, that of
-- an earlier attach too, so that a version never means two states of a row. Reads the whole history, where a column is missing.
create function first_quote_version(home name, header regclass, lines regclass, options jsonb) returns integer
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    first integer;
begin
    if to_regclass(format('%I.quote_changes', home)) is null
            or @extschema@.quote_column_exists(header, coalesce(options -> 'columns' ->> 'version', 'version'))
            and @extschema@.quote_column_exists(lines, coalesce(options -> 'line_columns' ->> 'version', 'version')) then
        return 1;
    end if;
    execute format('select coalesce(max(greatest(c.entity_version_before, c.entity_version_after)), 0) + 1 from (%s) c
        where c.conflict_resolution is distinct from ''REJECTED''', @extschema@.quote_changes_all_query(home)) into first;
    return first;
end $$;
comment on function first_quote_version(name, regclass, regclass, jsonb) is 'version that rows are given with the column';

-- What has the comments that attach gives: it stands there since an attach that nothing tells of any more, when the extension was dropped
-- while it was attached, or the table alone came out of a dump.
create function quote_columns_left(target regclass, entity text) returns table (name name, role text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select a.attname, k.role
    from (values ('version', '{smallint,integer,bigint}'::regtype[]), ('updated_by', '{uuid}')) k (role, types)
    join pg_attribute a on a.attrelid = target and a.atttypid = any (k.types) and a.attnum > 0 and not a.attisdropped
    where col_description(target, a.attnum) = @extschema@.quote_added_column_comment(k.role) and (k.role = 'version' or entity = 'QUOTE_LINE')
    order by a.attnum
$$;
comment on function quote_columns_left(regclass, text) is 'columns of a table with the comments of those that attach adds';

-- Which of them attach takes for its own. An ERP may describe an updated_by of its own in these words: alone it is left.
create function adopt_quote_columns(target regclass, entity text) returns name[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    adopted name[];
begin
    if exists (select from @extschema@.quote_collab_settings s where @extschema@.quote_collab_table(s) = target and s.added_columns <> '{}') then
        return '{}'::name[];
    end if;
    adopted := array(select l.name from @extschema@.quote_columns_left(target, entity) l
        where exists (select from @extschema@.quote_columns_left(target, entity) v where v.role = 'version'));
    if adopted <> '{}' then
        raise notice 'columns of % are taken for those of an earlier attach: %', target, array_to_string(adopted, ', ')
            using detail = 'They have its comments. Detach drops them. What was changed since that attach is in no history, and has raised no version.',
                  hint = format('Before attach, give a column that is the ERP''s another comment. If rows were changed meanwhile, give them new versions after it: update %s set %I = %2$I + 1.',
                      target, (select l.name from @extschema@.quote_columns_left(target, entity) l where l.role = 'version' limit 1));
    end if;
    return adopted;
end $$;
comment on function adopt_quote_columns(regclass, text) is 'the columns that an earlier attach added, with a notice';

-- SQLSTATE 0A000 where it would not be there on the servers of foreign partitions, and what PostgreSQL refuses with what helps.
create function add_quote_column(target regclass, column_name name, definition text, role text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    foreign_part regclass := (select f from @extschema@.quote_foreign_partitions(target) f limit 1);
    by_hand text := (
        select case c.reloftype when 0 then format('alter table %s add column %I %s;', target, column_name, k.type)
            else format('alter type %s add attribute %I %s cascade;', c.reloftype::regtype, column_name, k.type) end
        from pg_class c cross join lateral (select split_part(definition, ' ', 1)) k (type) where c.oid = target);
begin
    if foreign_part is not null then
        raise exception 'table % has a foreign partition and no column "%"', target, column_name using errcode = 'feature_not_supported',
            detail = format('The server of %s would not have the column that attach adds.', foreign_part),
            hint = format('Add it there, then here, and attach then: %s', by_hand);
    end if;
    begin
        execute format('alter table %s add column %I %s', target, column_name, definition);
    exception when feature_not_supported or wrong_object_type then
        raise exception '%', sqlerrm using errcode = sqlstate,
            detail = format('PostgreSQL does not add column %I to %s as it stands.', column_name, target),
            hint = format('Add the column by hand, as far as it takes, and attach then: %s', by_hand);
    end;
    execute format('comment on column %s.%I is %L', target, column_name, @extschema@.quote_added_column_comment(role));
end $$;
comment on function add_quote_column(regclass, name, text, text) is 'adds one column to an ERP table, with the comment by which it is known';
revoke execute on function add_quote_column(regclass, name, text, text) from public;

-- Adds the version column, under the name that was chosen for it (and updated_by to lines), where the table has none; returns the names
-- it added, or that an earlier attach did. columns: role -> column, as far as they were named. Rows that are there have first_version; rows
-- to come begin at 1.
create function add_quote_columns(target regclass, entity text, columns jsonb, first_version integer) returns name[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    version text := coalesce(columns ->> 'version', 'version');
    added name[] := @extschema@.adopt_quote_columns(target, entity);
begin
    if not @extschema@.quote_column_exists(target, version) then
        perform @extschema@.add_quote_column(target, version::name, format('integer not null default %s', first_version), 'version');
        execute format('alter table %s alter column %I set default 1', target, version);
        added := added || version::name;
    end if;
    if entity = 'QUOTE_LINE' and not columns ? 'updated_by' and not @extschema@.quote_column_exists(target, 'updated_by'::text) then
        perform @extschema@.add_quote_column(target, 'updated_by'::name, 'uuid', 'updated_by');
        added := added || 'updated_by'::name;
    end if;
    return added;
end $$;
comment on function add_quote_columns(regclass, text, jsonb, integer) is 'adds the columns that collaboration needs to an ERP table';

-- Does a version column show that attach made it? By its default, or by the value that PostgreSQL remembers for rows that were there
-- before it: a tool that takes the default away leaves that.
create function quote_version_shows_origin(target regclass, column_name name) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from (select target::oid union select t.relid from pg_partition_tree(target) t) part (oid)
        join pg_attribute a on a.attrelid = part.oid and a.attname = column_name and not a.attisdropped
        left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        where pg_get_expr(d.adbin, d.adrelid) = '1' or a.atthasmissing and (a.attmissingval::text = '{1}'
            or d.oid is null and a.attmissingval::text ~ '^[{][1-9]'))
$$;
comment on function quote_version_shows_origin(regclass, name) is 'whether a version column can be known as added without its comment';

-- Which columns of a table attach added: those with the comment that it gave them, under whatever name they have now, or of
-- these names, where a table lost the comments. noted: what it added as far as we know; nothing else is ours.
create function quote_added_columns(target regclass, noted name[]) returns name[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with added (attnum, name, role, described) as (
        select a.attnum, a.attname, k.role, coalesce(col_description(target, a.attnum) = k.description, false)
        from (values
            ('version', '{smallint,integer,bigint}'::regtype[], @extschema@.quote_added_column_comment('version'), array_length(array_remove(noted, 'updated_by'::name), 1) > 0),
            ('updated_by', '{uuid}', @extschema@.quote_added_column_comment('updated_by'), cardinality(noted) > 1 or 'updated_by' = any (noted))
        ) k (role, types, description, is_noted)
        join pg_attribute a on a.attrelid = target and a.atttypid = any (k.types) and a.attnum > 0 and not a.attisdropped
        where k.is_noted and (col_description(target, a.attnum) = k.description
            or a.attname = any (noted) and exists (select from @extschema@.quote_carriers() c where c.relation = target)
                and (k.role = 'updated_by' or a.atttypid = 'integer'::regtype and @extschema@.quote_version_shows_origin(target, a.attname))))
    select array(
        select a.name from added a where a.described or not exists (select from added o where o.role = a.role and o.described)
        order by a.attnum)
$$;
comment on function quote_added_columns(regclass, name[]) is 'the columns of a table that attach added and detach takes away';

-- Those that are not as attach made them: a tool that makes a table after its own model takes away what that does not have, and the
-- next row that does not name a version is refused.
create function quote_columns_altered(target regclass, added name[]) returns table (name name, is_version boolean, is_nullable boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select a.attname, k.is_version, not a.attnotnull from pg_attribute a
    cross join lateral (select a.atttypid <> 'uuid'::regtype) k (is_version)
    left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
    where a.attrelid = target and a.attname = any (added) and not a.attisdropped and (
        col_description(target, a.attnum) is distinct from @extschema@.quote_added_column_comment(case when k.is_version then 'version' else 'updated_by' end)
        or k.is_version and a.attidentity = '' and (not a.attnotnull or pg_get_expr(d.adbin, d.adrelid) !~ '^''?1''?(::[a-z]+)?$' is distinct from false))
$$;
comment on function quote_columns_altered(regclass, name[]) is 'added columns without the default, NOT NULL or comment that attach gave them';

-- Rows without a version are given one without triggers of the ERP: it is no change of theirs.
create function restore_quote_columns(target regclass, added name[]) returns void
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
comment on function restore_quote_columns(regclass, name[]) is 'gives added columns back their default, NOT NULL and comment';
