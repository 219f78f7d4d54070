-- From 0.20.0 to 0.21.0.

-- Whatever default privileges gave of what this release made.
select @extschema@.close_quote_extension();
