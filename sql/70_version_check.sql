-- Saving with the version one has seen. A conflict is an answer, not an error: it returns success = false with what
-- the others changed, and leaves a REJECTED row in the audit log.

-- The row of an attached table, for the caller's rights and tenant, as it is written whatever the session is set to; null when it does
-- not exist for him.
create function find_quote_row(target quote_collab_settings, row_id uuid, locking text default '') returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set intervalstyle = 'postgres'
set extra_float_digits = 1
set bytea_output = 'hex'
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
        raise exception 'the % id must not be null', noun using errcode = 'null_value_not_allowed',
            detail = 'No row has a null for its id.', hint = 'Name the row to work on.';
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
        raise exception 'the version must not be null' using errcode = 'null_value_not_allowed',
            detail = 'A save says which version of the row it is based on.', hint = 'Pass the version that you read, 0 for null.';
    elsif expected_version < 0 then
        raise exception 'the version must not be negative' using errcode = 'invalid_parameter_value',
            detail = format('%s was given; versions only count up.', expected_version), hint = 'Pass the version that you read, 0 for null.';
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
set jit = off
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
set jit = off
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE_LINE', line_id);
begin
    perform @extschema@.require_quote_version(expected_version);
    return @extschema@.quote_row_version(target, @extschema@.require_quote_row(target, line_id, '')) = expected_version;
end $$;
comment on function check_quote_line_version(uuid, integer) is 'true when the line still has that version; raises P0002 for an unknown line';

create function require_conflict_policy(on_conflict text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if on_conflict in ('merge', 'overwrite') then
        raise exception 'on_conflict => ''%'' is not available in this release', on_conflict
            using errcode = 'feature_not_supported',
            detail = 'The name is kept for it.', hint = 'Use on_conflict => ''reject''.';
    elsif on_conflict is distinct from 'reject' then
        raise exception 'unknown on_conflict policy' using errcode = 'invalid_parameter_value',
            detail = format('"%s" was given.', left(coalesce(on_conflict, 'null'), 63)), hint = 'Use on_conflict => ''reject''.';
    end if;
end $$;
comment on function require_conflict_policy(text) is 'refuses what on_conflict does not know';
