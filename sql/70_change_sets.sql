-- Change sets: new values by field, as a save brings them, checked and applied to a row.

-- unitPrice -> unit_price: the way back from the gateway's spelling, for every name without upper-case letters. A name that is
-- snake_case already stays as it is.
create function quote_field_name(field text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select lower(regexp_replace(field, '(?<!^)([A-Z])', E'_\\1', 'g') collate "C") $$;
comment on function quote_field_name(text) is 'column name of a field given in camelCase';

-- Field names of a change set -> column names, checked: unknown 42703, read-only 42501, not an object 22023, over 1 MiB 54000.
create function normalise_quote_changes(target quote_collab_settings, changes jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    normal jsonb := '{}'::jsonb;
    relation regclass := format('%I.%I', target.table_schema, target.table_name)::regclass;
    item record;
    column_name name;
    generated boolean;
    is_text boolean;
begin
    if changes is null then
        raise exception 'the changes must not be null' using errcode = 'null_value_not_allowed',
            detail = 'A save without changes is an empty object.', hint = 'Pass {"field": value, ...}.';
    elsif jsonb_typeof(changes) <> 'object' then
        raise exception 'the changes must be a json object' using errcode = 'invalid_parameter_value',
            detail = format('A json %s was given.', jsonb_typeof(changes)), hint = 'Pass {"field": value, ...}.';
    elsif jsonb_path_exists(changes, '$.** ? (@ > 1e300 || @ < -1e300)') or exists (
            select from jsonb_path_query(changes, '$.** ? (@.type() == "number")') n (value) where scale(n.value::numeric) > 300) then
        -- A few bytes name a number that takes a hundred thousand to write down.
        raise exception 'a number is too long' using errcode = 'numeric_value_out_of_range', detail = 'It has more than 300 digits before or after the point.',
            hint = 'Give a number that fits its column.';
    elsif octet_length(changes::text) > 1048576 then
        raise exception 'the changes are too large' using errcode = 'program_limit_exceeded',
            detail = 'At most 1 MiB of changes is accepted at once.', hint = 'Save fewer fields at a time.';
    end if;
    for item in select key, value from jsonb_each(changes) loop
        select a.attname, a.attgenerated <> '' or a.attidentity = 'a', t.typcategory = 'S' into column_name, generated, is_text
        from pg_attribute a join pg_type t on t.oid = a.atttypid
        where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
          and a.attname in (item.key, @extschema@.quote_field_name(item.key))
        order by a.attname = item.key desc limit 1;
        if not found then
            raise exception 'unknown field "%"', left(item.key, 63) using errcode = 'undefined_column',
                detail = format('%s has no such column.', relation),
                hint = format('Fields are the columns of %s, as they are named or in camelCase.', relation);
        elsif generated or column_name in (select target.columns ->> r from unnest('{id,tenant,version,quote,updated_at,updated_by,created_by}'::text[]) r)
                or column_name = 'created_at' then
            raise exception 'field "%" is read-only', column_name using errcode = 'insufficient_privilege',
                detail = 'It is generated, or a key, a version, or a note of who wrote the row and when.',
                hint = 'Leave it out of the changes: it is set by the database.';
        elsif is_text and jsonb_typeof(item.value) in ('object', 'array') then
            raise exception 'the value of field "%" does not fit its column', column_name using errcode = 'invalid_text_representation',
                detail = 'The column is a text.', hint = 'Give it as text.';
        elsif normal ? column_name::text then
            raise exception 'field "%" is given twice', column_name using errcode = 'invalid_parameter_value',
                detail = 'Once in camelCase and once in snake_case.', hint = 'Name it once.';
        end if;
        normal := normal || jsonb_build_object(column_name, item.value);
    end loop;
    return normal;
end $$;
comment on function normalise_quote_changes(quote_collab_settings, jsonb) is 'checks the fields of a change set and gives them their column names';

-- Column definition list of the changed columns, for jsonb_to_record; null for an empty change set.
create function quote_changes_record(target quote_collab_settings, changes jsonb) returns text
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

-- Refuses the field whose value is not of its column's type, without saying the value: messages go to logs that others read. Types
-- refuse what they do not take with errors of any kind; those of the server stay as they are.
create function refuse_quote_value(target quote_collab_settings, changes jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    field text;
    record_definition text;
begin
    for field in select key from jsonb_object_keys(changes) key order by key loop
        record_definition := @extschema@.quote_changes_record(target, jsonb_build_object(field, null));
        begin
            execute format('select from jsonb_to_record($1) as r(%s)', record_definition) using changes;
        exception when others then
            if left(sqlstate, 2) in ('40', '53', '54', '57', '58') then
                raise;
            end if;
            raise exception 'the value of field "%" does not fit its column', field
                using errcode = case when left(sqlstate, 2) in ('22', '23') then sqlstate else '22P02' end,
                    detail = format('The column is: %s.', record_definition), hint = 'Give it as text of that type.';
        end;
    end loop;
end $$;
comment on function refuse_quote_value(quote_collab_settings, jsonb) is 'refuses the field of a change set whose value is of another type';

-- NaN and Infinity are numerics to PostgreSQL, and no amount: every total that they come into is one of them. coerced: values as the columns' own
-- types print them.
create function refuse_quote_amounts(target quote_collab_settings, coerced jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    field text := (
        select c.key from jsonb_each_text(coerced) c join pg_attribute a on a.attrelid = @extschema@.quote_collab_table(target) and a.attname = c.key
        join pg_type t on t.oid = a.atttypid and t.typcategory = 'N'
        where c.value in ('NaN', 'Infinity', '-Infinity') order by c.key limit 1);
begin
    if field is not null then
        raise exception 'the value of field "%" is no amount', field using errcode = 'numeric_value_out_of_range',
            detail = 'NaN and infinities have no total.', hint = 'Give it as a number with an end, or null.';
    end if;
end $$;
comment on function refuse_quote_amounts(quote_collab_settings, jsonb) is 'refuses amounts that are not finite numbers';

-- Whether a type, or one that it is made of, has a cast to json of its own: what that gives is for readers.
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

-- Values r of a change set whose types have a cast to json of their own, as their types print them, for jsonb_build_object: what such a cast gives is no
-- input of its type, or of another value. Null where there are none.
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

-- A change set as the table's own types print it ("12.5" for a numeric(18,4) becomes 12.5000), whatever the session is set to: comparable with a row, save
-- for types that are told otherwise.
create function coerce_quote_changes(target quote_collab_settings, changes jsonb) returns jsonb
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
comment on function coerce_quote_changes(quote_collab_settings, jsonb) is 'values of a change set in the types of their columns';

-- A coerced change set as rows, history and conflicts tell it.
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

-- The settings of this table as attach noted them, and not as a caller may have made them up: names of columns that are none are names of functions
-- to PostgreSQL. SQLSTATE 55000 where it is not attached.
create function require_quote_settings(claimed quote_collab_settings) returns quote_collab_settings
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    settings @extschema@.quote_collab_settings;
begin
    select s.* into settings from @extschema@.quote_collab_settings s where (s.table_schema, s.table_name) = (claimed.table_schema, claimed.table_name);
    if not found then
        raise exception 'the table is not attached' using errcode = 'object_not_in_prerequisite_state',
            detail = format('There are no settings for "%s" in schema "%s".', claimed.table_name, claimed.table_schema), hint = 'Attach it first.';
    end if;
    return @extschema@.present_quote_columns(settings);
end $$;
comment on function require_quote_settings(quote_collab_settings) is 'the settings of an attached table as attach noted them, as far as its columns are there';

-- Updates one row from a normalised change set, and what follows from it by its cause, save of what PostgreSQL generates itself; amounts: of the column that
-- follows from others the number that it is, where that is known. The ERP's triggers find
-- what they name on the caller's search path, as in an UPDATE of his own, while the statement itself names everything whole: what others
-- put on that path is not run in it. The row as triggers left it; null where nothing is to be set.
create function update_quote_row(claimed quote_collab_settings, row_id uuid, changes jsonb, cause text, amounts jsonb, path text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.require_quote_settings(claimed);
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
        union all
        select format('%I = %s', d.key, case when amounts ? d.key then format('%L::pg_catalog.numeric', (amounts ->> d.key)::numeric) else d.value end)
        from jsonb_each_text(@extschema@.quote_derived_columns(target, row_id, changes, cause)) d
        where not changes ? d.key and not exists (
            select from pg_attribute g where g.attrelid = relation and g.attname = d.key and g.attgenerated <> '')) x (a);
    if assignments is null then
        return null;
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
    elsif updated is null then
        raise exception 'the % cannot be changed', lower(replace(target.entity, '_', ' ') collate "C") using errcode = 'insufficient_privilege',
            detail = format('The UPDATE of %s changed no row.', relation),
            hint = 'A row security policy hides it from updates by this role, or a trigger skips them.';
    end if;
    return updated;
end $$;
comment on function update_quote_row(quote_collab_settings, uuid, jsonb, text, jsonb, text) is 'updates one row of an attached table';

-- What follows from generated columns: PostgreSQL works those out when a row is put together, by their types, collations, partitions and what triggers of the
-- ERP have changed. So the row is updated, looked at, and put back before it is updated. Numbers that triggers took from sequences are gone.
create function quote_amounts_tried(claimed quote_collab_settings, row_id uuid, changes jsonb, cause text, path text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.require_quote_settings(claimed);
    tried jsonb;
begin
    begin
        tried := @extschema@.update_quote_row(target, row_id, changes, cause, '{}'::jsonb, path);
        raise exception 'the row is put back' using errcode = 'QC004',
            detail = 'It was changed to learn its amount.', hint = 'Nobody is told of this.';
    exception when sqlstate 'QC004' then
        return jsonb_build_object(target.columns ->> case target.entity when 'QUOTE' then 'total_amount' else 'line_amount' end,
            @extschema@.quote_amount_of_row(target, tried));
    end;
end $$;
comment on function quote_amounts_tried(quote_collab_settings, uuid, jsonb, text, text) is 'the amount that follows from generated columns of a row once it is updated';

-- Applies a normalised change set, and what follows from it by its cause. seen: the row as it was locked; its id, and to whom it belongs, do not change.
create function apply_quote_changes(target quote_collab_settings, row_id uuid, seen jsonb, changes jsonb, cause text, path text) returns jsonb
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
comment on function apply_quote_changes(quote_collab_settings, uuid, jsonb, jsonb, text, text) is 'updates one row of an attached table from a change set';
