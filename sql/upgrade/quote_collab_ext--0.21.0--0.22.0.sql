-- From 0.21.0 to 0.22.0.

-- Whatever default privileges gave of what this release made.
select @extschema@.close_quote_extension();
