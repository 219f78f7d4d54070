-- What set_config(name, value, true) does, of the few settings that functions of the extension set: extensions that keep sessions in another role
-- forbid set_config() altogether. SQLSTATE 22023 for others.
create function set_quote_option(name text, value text) returns void
language c strict as 'MODULE_PATHNAME', 'set_quote_option';
comment on function set_quote_option(text, text) is 'sets a setting that the extension needs to the end of the transaction';
