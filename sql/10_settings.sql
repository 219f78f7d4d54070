-- What attach decided, one row per attached table. Names, never OIDs: a dump restores into another cluster.
create table @extschema@.quote_collab_settings (
    table_schema       name        not null,
    table_name         name        not null,
    entity             text        not null,
    header_schema      name        not null,
    header_table       name        not null,
    log_schema         name        not null,
    columns            jsonb       not null,
    ignored_columns    name[]      not null,
    added_columns      name[]      not null,
    relations          jsonb       not null default '{}',
    system_user_id     uuid,
    truncation         text        not null default 'refuse',
    replicated_history boolean     not null default false,
    archive_after      interval,
    drop_after         interval,
    usage_granted      name[]      not null default '{}',
    readers_granted    name[]      not null default '{}',
    writers_granted    name[]      not null default '{}',
    attached_at        timestamptz not null default pg_catalog.clock_timestamp(),
    drop_refused_at    timestamptz,
    owners             name[]      not null default '{}',
    anchors            oid[]       not null default '{}',
    settled_in         oid,
    constraint quote_collab_settings_pkey primary key (table_schema, table_name),
    constraint quote_collab_settings_pair unique (header_schema, header_table, entity),
    constraint quote_collab_settings_entity check (entity operator(pg_catalog.=) any (array['QUOTE', 'QUOTE_LINE'])),
    constraint quote_collab_settings_truncation check (truncation operator(pg_catalog.=) any (array['refuse', 'record']))
);

select pg_catalog.pg_extension_config_dump('@extschema@.quote_collab_settings', '');

comment on table @extschema@.quote_collab_settings is 'one row per table attached to quote collaboration; written by attach_quote_collaboration()';
comment on column @extschema@.quote_collab_settings.table_schema is 'schema of the attached table';
comment on column @extschema@.quote_collab_settings.table_name is 'name of the attached table';
comment on column @extschema@.quote_collab_settings.entity is 'QUOTE (the header) or QUOTE_LINE';
comment on column @extschema@.quote_collab_settings.header_schema is 'schema of the header of this pair of tables; the header''s own row names itself';
comment on column @extschema@.quote_collab_settings.header_table is 'name of the header of this pair of tables';
comment on column @extschema@.quote_collab_settings.log_schema is 'schema of quote_changes and all that is one per database: that of the header that was attached first';
comment on column @extschema@.quote_collab_settings.columns is 'role of a column -> its name in this table, e.g. {"unit_price": "price_each"}';
comment on column @extschema@.quote_collab_settings.ignored_columns is 'columns whose change is no change: they raise no version and leave no history';
comment on column @extschema@.quote_collab_settings.added_columns is 'columns that attach added and detach takes away again';
comment on column @extschema@.quote_collab_settings.relations is 'users and customers tables for names in views: {"users": {"schema", "table", "id", "name", "email"}}';
comment on column @extschema@.quote_collab_settings.system_user_id is 'who is named as author when neither app.current_user_id nor updated_by says';
comment on column @extschema@.quote_collab_settings.truncation is 'what becomes of a TRUNCATE: refuse, or record every row as deleted';
comment on column @extschema@.quote_collab_settings.replicated_history is 'rows that logical replication applies bring their history along: the triggers leave them alone';
comment on column @extschema@.quote_collab_settings.archive_after is 'age at which maintenance archives whole months; null: never';
comment on column @extschema@.quote_collab_settings.drop_after is 'age at which maintenance drops archived months; null: never';
comment on column @extschema@.quote_collab_settings.usage_granted is 'roles that attach gave USAGE on the schema of the log';
comment on column @extschema@.quote_collab_settings.readers_granted is 'roles that attach gave the history, because they may read this header';
comment on column @extschema@.quote_collab_settings.writers_granted is 'roles that attach gave presence, because they may change this header';
comment on column @extschema@.quote_collab_settings.attached_at is 'when the table was first attached';
comment on column @extschema@.quote_collab_settings.drop_refused_at is 'when maintenance last found that what drop_after lets go is not as it was sealed; it tries again a day later';
comment on column @extschema@.quote_collab_settings.owners is 'to whom the table and the log belonged when attach saw them';
comment on column @extschema@.quote_collab_settings.anchors is 'the table and the log that attach saw, whatever became of their names and owners';
comment on column @extschema@.quote_collab_settings.settled_in is 'this table, as far as anchors are of this database: in a restored dump it is another';
comment on constraint quote_collab_settings_pkey on @extschema@.quote_collab_settings is 'a table is attached once';
comment on constraint quote_collab_settings_pair on @extschema@.quote_collab_settings is 'a header has one table of lines';
comment on constraint quote_collab_settings_entity on @extschema@.quote_collab_settings is 'what there is to attach: headers and lines';
comment on constraint quote_collab_settings_truncation on @extschema@.quote_collab_settings is 'what may become of a TRUNCATE';

-- Column a role is played by, quoted for use in dynamic SQL; null when the table has no such column.
create function quote_collab_column(settings quote_collab_settings, role text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select quote_ident(settings.columns ->> role) $$;
comment on function quote_collab_column(quote_collab_settings, text) is 'quoted name of the column that plays a role in an attached table';

grant select on @extschema@.quote_collab_settings to public;
