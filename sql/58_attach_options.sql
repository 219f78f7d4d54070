-- What attach is told, beside the tables.

create function check_quote_options(options jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    archive_after interval;
    drop_after interval;
begin
    if jsonb_typeof(options) is distinct from 'object' then
        raise exception 'options must be a json object' using errcode = 'invalid_parameter_value';
    elsif options ->> 'truncate' not in ('refuse', 'record') then
        raise exception 'unknown option for truncate' using errcode = 'invalid_parameter_value', hint = 'Use "refuse" or "record".';
    elsif jsonb_typeof(options -> 'replicated_history') not in ('boolean', 'null') then
        raise exception 'replicated_history must be true or false' using errcode = 'invalid_parameter_value';
    end if;
    archive_after := (options ->> 'archive_after')::interval;
    drop_after := (options ->> 'drop_after')::interval;
    if archive_after <= interval '0' or drop_after < archive_after or drop_after is not null and archive_after is null then
        raise exception 'history cannot be kept like this' using errcode = 'invalid_parameter_value',
            detail = 'It is archived first and dropped later.', hint = 'For example {"archive_after": "24 months", "drop_after": "10 years"}.';
    end if;
end $$;
comment on function check_quote_options(jsonb) is 'refuses options that attach cannot follow';
