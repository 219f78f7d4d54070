-- The rows of a query over tables whose names are known at run time only, planned once in a session, where EXECUTE plans each time:
-- for what runs many times a second. The fields of a row are its parameters; it has the caller's rights, and one plan for all of them.
create function quote_prepared_rows(query text, parameters record) returns setof record
language c as 'MODULE_PATHNAME', 'prepared_rows';
comment on function quote_prepared_rows(text, record) is 'rows of a query that is planned once in a session';
revoke execute on function quote_prepared_rows(text, record) from public;

-- The same as of now, whatever the transaction looks back at; for queries that only read.
create function quote_latest_rows(query text, parameters record) returns setof record
language c as 'MODULE_PATHNAME', 'latest_rows';
comment on function quote_latest_rows(text, record) is 'rows of a query over what is committed by now';
revoke execute on function quote_latest_rows(text, record) from public;

-- What a function without parameters writes of a query, as long as no table, right, role or function has changed, and no setting of an
-- attached table: for queries whose text takes as long to work out as they take to run.
create function quote_kept_query(writer oid) returns text
strict language c as 'MODULE_PATHNAME', 'quote_kept_query';
comment on function quote_kept_query(oid) is 'text of a query that is worked out once in a session, until a catalog changes';
revoke execute on function quote_kept_query(oid) from public;

create function quote_settings_changed() returns trigger
language c as 'MODULE_PATHNAME', 'quote_settings_changed';
comment on function quote_settings_changed() is 'after-statement trigger: tells all sessions that what they keep of the settings is over';
revoke execute on function quote_settings_changed() from public;

create trigger quote_settings_changed after insert or update or delete or truncate on @extschema@.quote_collab_settings
for each statement execute function @extschema@.quote_settings_changed();
alter table @extschema@.quote_collab_settings enable always trigger quote_settings_changed;
comment on trigger quote_settings_changed on @extschema@.quote_collab_settings is 'what sessions keep of the settings ends with them';
