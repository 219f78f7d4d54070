-- What set_config(name, value, true) does, of the few settings that functions of the extension set: extensions that keep sessions in another role
-- forbid set_config() altogether. SQLSTATE 22023 for others.
create function set_quote_option(name text, value text) returns void
language c strict as 'MODULE_PATHNAME', 'set_quote_option';
comment on function set_quote_option(text, text) is 'sets a setting that the extension needs to the end of the transaction';

-- Has the caller wait at most 5 seconds for a lock, unless lock_timeout says otherwise; returns what it said. Who asked for it puts that back.
create function bound_quote_patience() returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    patience text := current_setting('lock_timeout');
begin
    if patience = '0' then
        perform @extschema@.set_quote_option('lock_timeout', '5s');
    end if;
    return patience;
end $$;
comment on function bound_quote_patience() is 'bounds how long the caller waits for locks; returns how long that was before';
