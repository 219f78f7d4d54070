-- What attach is told, beside the tables.

create function check_quote_options(options jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    known text[] := '{columns,line_columns,ignored_columns,users,customers,system_user_id,truncate,replicated_history,archive_after,drop_after}'::text[];
    unknown text;
begin
    if jsonb_typeof(options) is distinct from 'object' then
        raise exception 'options must be a json object' using errcode = 'invalid_parameter_value', detail = format('It may have: %s.', array_to_string(known, ', ')),
            hint = 'Pass {"option": value, ...}.';
    end if;
    select k.name into unknown from jsonb_object_keys(options) k (name) where k.name <> all (known) limit 1;
    if found then
        raise exception 'attach has no option "%"', unknown
            using errcode = 'invalid_parameter_value',
            detail = 'An option that is not known could be a known one mistyped.', hint = format('Use one of: %s.', array_to_string(known, ', '));
    elsif options ->> 'truncate' not in ('refuse', 'record') then
        raise exception 'unknown option for truncate' using errcode = 'invalid_parameter_value',
            detail = format('"%s" was given.', left(options ->> 'truncate', 63)), hint = 'Use "refuse" or "record".';
    elsif jsonb_typeof(options -> 'replicated_history') not in ('boolean', 'null') then
        raise exception 'replicated_history must be true or false' using errcode = 'invalid_parameter_value',
            detail = format('A json %s was given.', jsonb_typeof(options -> 'replicated_history')),
            hint = 'Pass {"replicated_history": true}, or leave it out.';
    elsif options ->> 'system_user_id' !~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then
        raise exception 'system_user_id must be a uuid' using errcode = 'invalid_parameter_value',
            detail = format('"%s" was given.', left(options ->> 'system_user_id', 63)),
            hint = 'Name a user by his id: {"system_user_id": "00000000-0000-4000-8000-000000000001"}.';
    end if;
    perform @extschema@.check_quote_column_option(options, 'columns', 'QUOTE'), @extschema@.check_quote_column_option(options, 'line_columns', 'QUOTE_LINE'),
        @extschema@.check_quote_relation_option(options, 'users'), @extschema@.check_quote_relation_option(options, 'customers'),
        @extschema@.check_quote_ages(options);
end $$;
comment on function check_quote_options(jsonb) is 'refuses options that attach cannot follow';

-- {role: column}, of roles that there are; null where none shall play the role, for roles that need not be played.
create function check_quote_column_option(options jsonb, option text, entity text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    roles text[] := array(select r.role from @extschema@.quote_column_roles('{}'::text[]) r where r.entity = check_quote_column_option.entity);
    free text[] := array(select r.role from @extschema@.quote_column_roles('{}'::text[]) r
        where r.entity = check_quote_column_option.entity and not r.required and r.role <> 'version');
    wrong record;
begin
    if jsonb_typeof(options -> option) <> 'object' then
        raise exception 'option "%" must be a json object', option
            using errcode = 'invalid_parameter_value',
            detail = format('A json %s was given.', jsonb_typeof(options -> option)), hint = format('Name columns by role: {"%s": {"tenant": "..."}}.', option);
    end if;
    select e.key, e.value into wrong from jsonb_each(options -> option) e
    where e.key <> all (roles) or jsonb_typeof(e.value) <> case when e.key = any (free) and e.value = 'null' then 'null' else 'string' end limit 1;
    if found and wrong.key = any (roles) then
        raise exception 'option "%" must name a column for the role "%"', option, wrong.key using errcode = 'invalid_parameter_value',
            detail = format('A json %s was given.', jsonb_typeof(wrong.value)),
            hint = format('Give its name as text%s.', case when wrong.key = any (free) then ', or null where no column shall play the role' else '' end);
    elsif found then
        raise exception 'option "%" knows no role "%"', option, wrong.key
            using errcode = 'invalid_parameter_value',
            detail = 'A role is what a column is to the extension.', hint = format('Use one of: %s.', array_to_string(roles, ', '));
    end if;
end $$;
comment on function check_quote_column_option(jsonb, text, text) is 'refuses roles that there are not';

-- {"schema", "table", "id", "name", "email"}; null or false for no table.
create function check_quote_relation_option(options jsonb, option text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    chosen jsonb := options -> option;
    shape text := format('For example {"%s": {"schema": "...", "table": "...", "id": "...", "name": "...", "email": "..."}}, or null for none.', option);
begin
    if chosen is null or chosen in ('null'::jsonb, 'false'::jsonb) then
        return;
    elsif jsonb_typeof(chosen) <> 'object' then
        raise exception 'option "%" must be a json object or null', option using errcode = 'invalid_parameter_value',
            detail = format('A json %s was given.', jsonb_typeof(chosen)), hint = shape;
    elsif exists (select from jsonb_each(chosen) e where e.key not in ('schema', 'table', 'id', 'name', 'email') or jsonb_typeof(e.value) <> 'string') then
        raise exception 'option "%" does not name a table and its columns', option using errcode = 'invalid_parameter_value',
            detail = 'It may have schema, table, id, name and email, each a text.', hint = shape;
    end if;
end $$;
comment on function check_quote_relation_option(jsonb, text) is 'refuses what does not name a table of users or customers';

-- Columns whose change is no change: of the header, the lines or both.
create function check_quote_option_columns(header regclass, lines regclass, options jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    ignored jsonb := options -> 'ignored_columns';
    unknown text;
begin
    if jsonb_typeof(ignored) <> 'array' or jsonb_path_exists(ignored, 'strict $[*] ? (@.type() != "string")') then
        raise exception 'option "ignored_columns" must be a list of columns'
            using errcode = 'invalid_parameter_value',
            detail = 'It is a json array of texts, each the name of a column.', hint = 'For example {"ignored_columns": ["last_viewed_at"]}.';
    end if;
    select i.name into unknown from jsonb_array_elements_text(ignored) i (name)
    where not exists (select from pg_attribute a where a.attrelid in (header, lines) and a.attname = i.name and a.attnum > 0 and not a.attisdropped)
    limit 1;
    if found then
        raise exception 'neither % nor % has a column "%" to ignore', header, lines, unknown using errcode = 'undefined_column',
            detail = 'It was named in the option "ignored_columns".', hint = 'Name columns as they are in the catalog.';
    end if;
end $$;
comment on function check_quote_option_columns(regclass, regclass, jsonb) is 'refuses to ignore columns that there are not';

-- How long history is kept.
create function check_quote_ages(options jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    example text := 'For example {"archive_after": "24 months", "drop_after": "10 years"}.';
    archive_after interval;
    drop_after interval;
begin
    if jsonb_typeof(options -> 'archive_after') not in ('string', 'null') or jsonb_typeof(options -> 'drop_after') not in ('string', 'null') then
        raise exception 'ages of history must be intervals' using errcode = 'invalid_parameter_value',
            detail = 'Each is a text that can be read as an interval, or null.', hint = example;
    end if;
    begin
        archive_after := (options ->> 'archive_after')::interval;
        drop_after := (options ->> 'drop_after')::interval;
    exception when data_exception then
        raise exception 'ages of history must be intervals' using errcode = 'invalid_parameter_value',
            detail = 'Each is a text that can be read as an interval, or null.', hint = example;
    end;
    if archive_after <= interval '0' or drop_after <= interval '0' then
        raise exception 'ages of history must be positive' using errcode = 'invalid_parameter_value',
            detail = 'What is younger than nothing cannot be archived or dropped.', hint = example;
    elsif drop_after < archive_after or drop_after is not null and archive_after is null then
        raise exception 'history cannot be kept like this' using errcode = 'invalid_parameter_value',
            detail = 'It is archived first and dropped later.', hint = example;
    elsif greatest(archive_after, drop_after) > interval '1000 years' then
        raise exception 'history cannot be kept like this' using errcode = 'invalid_parameter_value',
            detail = 'The longest age is 1000 years.', hint = 'Leave the option out to keep history for ever.';
    end if;
end $$;
comment on function check_quote_ages(jsonb) is 'refuses ages at which history cannot be archived or dropped';
