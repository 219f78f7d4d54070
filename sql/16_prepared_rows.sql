-- The rows of a query over tables whose names are known at run time only, planned once in a session, where EXECUTE plans each time:
-- for what runs many times a second. The fields of a row are its parameters; it has the caller's rights, and one plan for all of them.
create function quote_prepared_rows(query text, parameters record) returns setof record
language c as 'MODULE_PATHNAME', 'prepared_rows';
comment on function quote_prepared_rows(text, record) is 'rows of a query that is planned once in a session';
revoke execute on function quote_prepared_rows(text, record) from public;
