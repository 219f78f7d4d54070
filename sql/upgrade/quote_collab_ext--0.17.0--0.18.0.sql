-- From 0.17.0 to 0.18.0.
-- Whatever default privileges gave of what this or an earlier release made.
select @extschema@.close_quote_extension();
