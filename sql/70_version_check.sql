-- Saving with the version one has seen. A conflict is an answer, not an error: it returns success = false with what
-- the others changed, and leaves a REJECTED row in the audit log.

-- The row of an attached table, for the caller's rights and tenant; null when it does not exist for him.
create function find_quote_row(target quote_collab_settings, row_id uuid, locking text default '') returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    found_row jsonb;
begin
    execute format('select to_jsonb(t.*) from %I.%I t where t.%s = $1 and ($3 or t.%s = $2) %s',
        target.table_schema, target.table_name, @extschema@.quote_collab_column(target, 'id'),
        @extschema@.quote_collab_column(target, 'tenant'),
        case locking when 'for no key update' then 'for no key update' when 'for update' then 'for update' else '' end)
    into found_row using row_id, @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
    return found_row;
end $$;
comment on function find_quote_row(quote_collab_settings, uuid, text) is 'one row of an attached table as jsonb, under the caller''s rights and tenant';

create function require_quote_row(target quote_collab_settings, row_id uuid, locking text default '') returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    found_row jsonb;
    noun text := case target.entity when 'QUOTE' then 'quote' else 'quote line' end;
begin
    if row_id is null then
        raise exception 'the % id must not be null', noun using errcode = 'null_value_not_allowed';
    end if;
    found_row := @extschema@.find_quote_row(target, row_id, locking);
    if found_row is null then
        raise exception 'unknown %', noun using errcode = 'no_data_found',
            detail = format('There is no %s with id %s for the current tenant.', noun, row_id),
            hint = 'Check the id and app.current_tenant_id.';
    end if;
    return found_row;
end $$;
comment on function require_quote_row(quote_collab_settings, uuid, text) is 'like find_quote_row, but raises P0002 when there is none';

create function require_quote_version(expected_version integer) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if expected_version is null then
        raise exception 'the expected version must not be null' using errcode = 'null_value_not_allowed';
    elsif expected_version < 0 then
        raise exception 'the expected version must not be negative' using errcode = 'invalid_parameter_value',
            detail = format('%s was given; versions only count up.', expected_version);
    end if;
end $$;
comment on function require_quote_version(integer) is 'refuses a null or negative version';

-- The version of a row as everybody counts it: 0 where it has none yet, as the trigger counts it. SQLSTATE 22003 beyond integer, of
-- which versions are in functions and history.
create function quote_row_version(target quote_collab_settings, found_row jsonb) returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    version numeric := coalesce((found_row ->> (target.columns ->> 'version'))::numeric, 0);
begin
    if version not between -2147483648 and 2147483647 then
        raise exception 'the version of the row is out of range' using errcode = 'numeric_value_out_of_range',
            detail = format('It is %s; saves compare versions of type integer.', version), hint = 'Let the versions of this table begin again at 1.';
    end if;
    return version;
end $$;
comment on function quote_row_version(quote_collab_settings, jsonb) is 'version of a row of an attached table';

create function check_quote_version(quote_id uuid, expected_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
begin
    perform @extschema@.require_quote_version(expected_version);
    return @extschema@.quote_row_version(target, @extschema@.require_quote_row(target, quote_id, '')) = expected_version;
end $$;
comment on function check_quote_version(uuid, integer) is 'true when the quote still has that version; raises P0002 for an unknown quote';

create function check_quote_line_version(line_id uuid, expected_version integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE_LINE', line_id);
begin
    perform @extschema@.require_quote_version(expected_version);
    return @extschema@.quote_row_version(target, @extschema@.require_quote_row(target, line_id, '')) = expected_version;
end $$;
comment on function check_quote_line_version(uuid, integer) is 'true when the line still has that version; raises P0002 for an unknown line';

-- unitPrice → unit_price: the way back from the gateway's spelling, for every name without upper-case letters. A name that is
-- snake_case already stays as it is.
create function quote_field_name(field text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select lower(regexp_replace(field, '(?<!^)([A-Z])', '_\1', 'g') collate "C") $$;
comment on function quote_field_name(text) is 'column name of a field given in camelCase';

-- Field names of a change set → column names, checked: unknown 42703, read-only 42501, not an object 22023, over 1 MiB 54000.
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
begin
    if changes is null then
        raise exception 'the changes must not be null' using errcode = 'null_value_not_allowed';
    elsif jsonb_typeof(changes) <> 'object' then
        raise exception 'the changes must be a json object' using errcode = 'invalid_parameter_value',
            hint = 'Pass {"field": value, ...}.';
    elsif octet_length(changes::text) > 1048576 then
        raise exception 'the changes are too large' using errcode = 'program_limit_exceeded',
            detail = 'At most 1 MiB of changes is accepted at once.';
    end if;
    for item in select key, value from jsonb_each(changes) loop
        select a.attname, a.attgenerated <> '' or a.attidentity = 'a' into column_name, generated
        from pg_attribute a
        where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
          and a.attname in (item.key, @extschema@.quote_field_name(item.key))
        order by a.attname = item.key desc limit 1;
        if not found then
            raise exception 'unknown field "%"', left(item.key, 63) using errcode = 'undefined_column',
                hint = format('Fields are the columns of %s, in camelCase or snake_case.', relation);
        elsif generated or column_name in (select target.columns ->> r from unnest('{id,tenant,version,quote,updated_at,updated_by,created_by}'::text[]) r)
                or column_name = 'created_at' then
            raise exception 'field "%" is read-only', column_name using errcode = 'insufficient_privilege',
                hint = 'Leave it out of the changes: it is set by the database.';
        elsif normal ? column_name::text then
            raise exception 'field "%" is given twice', column_name using errcode = 'invalid_parameter_value';
        end if;
        normal := normal || jsonb_build_object(column_name, item.value);
    end loop;
    return normal;
end $$;
comment on function normalise_quote_changes(quote_collab_settings, jsonb) is 'checks the fields of a change set and gives them their column names';

-- Column definition list of the changed columns, for jsonb_to_record; null for an empty change set.
create function quote_changes_record(target quote_collab_settings, changes jsonb) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ')
    from pg_attribute a
    where a.attrelid = format('%I.%I', target.table_schema, target.table_name)::regclass
      and a.attnum > 0 and not a.attisdropped and changes ? a.attname::text
$$;
comment on function quote_changes_record(quote_collab_settings, jsonb) is 'names and types of the columns of a change set';

-- Refuses the field whose value is not of its column's type, without saying the value: messages go to logs that others read.
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
        exception when data_exception then
            raise exception 'the value of field "%" does not fit its column', field using errcode = sqlstate,
                detail = format('The column is: %s.', record_definition);
        end;
    end loop;
end $$;
comment on function refuse_quote_value(quote_collab_settings, jsonb) is 'refuses the field of a change set whose value is of another type';

-- A change set as the table's own types print it ("12.5" for a numeric(18,4) becomes 12.5000): comparable with a row.
create function coerce_quote_changes(target quote_collab_settings, changes jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    record_definition text := @extschema@.quote_changes_record(target, changes);
    coerced jsonb := '{}'::jsonb;
begin
    if record_definition is not null then
        begin
            execute format('select to_jsonb(r.*) from jsonb_to_record($1) as r(%s)', record_definition) into coerced using changes;
        exception when data_exception then
            perform @extschema@.refuse_quote_value(target, changes);
            raise;
        end;
    end if;
    return coerced;
end $$;
comment on function coerce_quote_changes(quote_collab_settings, jsonb) is 'values of a change set in the types of their columns';

-- What stands against a save based on an older version, a jsonb array with one object per attempted field: the value at
-- the expected version, the value now, the attempted value, who changed it last and when. A row that moved between partitions was
-- deleted and created meanwhile; one that had the version twice, in two lives, is meant as it had it last.
create function quote_conflicts(target quote_collab_settings, current_row jsonb, expected_version integer, changes jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    conflicts jsonb;
    author record;
begin
    select * into author from @extschema@.quote_user_join('last.changed_by');
    execute format($query$
        with whole as materialized (
            select c.* from %1$I.quote_changes c
            where c.quote_id = $1 and c.quote_line_id is not distinct from $2 and c.conflict_resolution is distinct from 'REJECTED'),
        log as materialized (
            select w.field_name, w.change_type, w.old_value, w.changed_by, w.changed_at, w.position from whole w
            where w.position > coalesce((select max(b.position) from whole b where b.entity_version_after = $3), 0)
                and (w.entity_version_after > $3 or w.change_type = 'DELETE' and w.entity_version_before >= $3))
        select jsonb_agg(jsonb_build_object(
            'field', f.key, 'expectedVersion', $3, 'actualVersion', $5 -> $6,
            'baseValue', case when base.position is null then $5 -> f.key else base.old_value end,
            'currentValue', $5 -> f.key, 'attemptedValue', f.value,
            'lastChangedBy', last.changed_by, 'lastChangedByName', %2$s, 'lastChangedAt', last.changed_at) order by f.key)
        from jsonb_each($4) f
        left join lateral (select l.position, case l.field_name when '*' then l.old_value -> f.key else l.old_value end as old_value from log l
                           where l.change_type <> 'CREATE' and l.field_name in (f.key, '*') order by l.position limit 1) base on true
        left join lateral (select l.changed_by, l.changed_at from log l
                           order by l.field_name = f.key desc, l.position desc limit 1) last on true
        %3$s$query$, target.log_schema, author.name_expression, author.join_clause)
    into conflicts
    using coalesce(current_row ->> (target.columns ->> 'quote'), current_row ->> (target.columns ->> 'id'))::uuid,
          case target.entity when 'QUOTE_LINE' then (current_row ->> (target.columns ->> 'id'))::uuid end,
          expected_version, changes, current_row, target.columns ->> 'version';
    return coalesce(conflicts, '[]');
end $$;
comment on function quote_conflicts(quote_collab_settings, jsonb, integer, jsonb) is 'what stands against a save based on an older version';

create function require_conflict_policy(on_conflict text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if on_conflict in ('merge', 'overwrite') then
        raise exception 'on_conflict => ''%'' is not available in this release', on_conflict
            using errcode = 'feature_not_supported', hint = 'Use on_conflict => ''reject''.';
    elsif on_conflict is distinct from 'reject' then
        raise exception 'unknown on_conflict policy' using errcode = 'invalid_parameter_value',
            hint = 'Use on_conflict => ''reject''.';
    end if;
end $$;
comment on function require_conflict_policy(text) is 'refuses what on_conflict does not know';

-- Applies a normalised change set, plus derived columns as SQL expressions (t: the row before, r: the new values), save those that
-- PostgreSQL generates itself. The ERP's
-- triggers find what they name on the caller's search path, as in an UPDATE of his own; and what they change in the row is in the
-- answer.
create function apply_quote_changes(target quote_collab_settings, row_id uuid, changes jsonb, derived jsonb, path text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    record_definition text := @extschema@.quote_changes_record(target, changes);
    relation regclass := format('%I.%I', target.table_schema, target.table_name)::regclass;
    assignments text;
    updated jsonb;
begin
    select string_agg(a, ', ') into assignments from (
        select format('%I = r.%I', key, key) from jsonb_object_keys(changes) key
        union all select format('%I = %s', d.key, d.value) from jsonb_each_text(derived) d
        where not changes ? d.key and not exists (
            select from pg_attribute g where g.attrelid = relation and g.attname = d.key and g.attgenerated <> '')) x (a);
    if assignments is null then
        return @extschema@.require_quote_row(target, row_id, '');
    end if;
    perform set_config('search_path', concat_ws(', ', 'pg_catalog', nullif(path, '')), true);
    execute format('update %I.%I t set %s %s where t.%s = $1 returning to_jsonb(t.*)',
        target.table_schema, target.table_name, assignments,
        case when record_definition is null then '' else format('from jsonb_to_record($2) as r(%s)', record_definition) end,
        @extschema@.quote_collab_column(target, 'id'))
    into updated using row_id, changes;
    perform set_config('search_path', 'pg_catalog, pg_temp', true);
    if updated is null then
        raise exception 'the % cannot be changed', lower(replace(target.entity, '_', ' ')) using errcode = 'insufficient_privilege',
            hint = 'A row security policy hides it from updates by this role, or a trigger skips them.';
    end if;
    return coalesce(@extschema@.find_quote_row(target, row_id, ''), updated);
end $$;
comment on function apply_quote_changes(quote_collab_settings, uuid, jsonb, jsonb, text) is 'updates one row of an attached table from a change set';

-- Value of a column after a change set is applied: r.column when it is in the set, else t.column.
create function quote_new_value(target quote_collab_settings, role text, changes jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case when target.columns ? role
        then format('%s.%I', case when changes ? (target.columns ->> role) then 'r' else 't' end, target.columns ->> role)
        else '0' end
$$;
comment on function quote_new_value(quote_collab_settings, text, jsonb) is 'expression for a column after a change set';

-- total = subtotal + tax + shipping - discount, over the values after a change set.
create function quote_total_expression(header quote_collab_settings, subtotal text, changes jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format('coalesce(%s, 0) + coalesce(%s, 0) + coalesce(%s, 0) - coalesce(%s, 0)', subtotal,
        @extschema@.quote_new_value(header, 'tax_amount', changes),
        @extschema@.quote_new_value(header, 'shipping_amount', changes),
        @extschema@.quote_new_value(header, 'discount_amount', changes))
$$;
comment on function quote_total_expression(quote_collab_settings, text, jsonb) is 'the total of a quote from its parts, in SQL';
