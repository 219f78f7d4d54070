-- What attach decided, one row per attached table. Names, never OIDs: a dump restores into another cluster.
create table quote_collab_settings (
    table_schema    name        not null,
    table_name      name        not null,
    entity          text        not null,
    columns         jsonb       not null,
    ignored_columns name[]      not null,
    added_columns   name[]      not null,
    relations       jsonb       not null default '{}',
    system_user_id  uuid,
    attached_at     timestamptz not null default now(),
    constraint quote_collab_settings_pkey primary key (table_schema, table_name),
    constraint quote_collab_settings_entity check (entity in ('QUOTE', 'QUOTE_LINE'))
);

select pg_extension_config_dump('quote_collab_settings', '');

comment on table quote_collab_settings is 'one row per table attached to quote collaboration; written by attach_quote_collaboration()';
comment on column quote_collab_settings.table_schema is 'schema of the attached table; quote_changes and active_quote_sessions live in the schema of the quotes';
comment on column quote_collab_settings.table_name is 'name of the attached table';
comment on column quote_collab_settings.entity is 'QUOTE (the header) or QUOTE_LINE';
comment on column quote_collab_settings.columns is 'role of a column → its name in this table, e.g. {"unit_price": "price_each"}';
comment on column quote_collab_settings.ignored_columns is 'columns whose change is no change: they raise no version and leave no history';
comment on column quote_collab_settings.added_columns is 'columns that attach added and detach takes away again';
comment on column quote_collab_settings.relations is 'users and customers tables for names in views: {"users": {"schema", "table", "id", "name", "email"}}';
comment on column quote_collab_settings.system_user_id is 'who is named as author when neither app.current_user_id nor updated_by says';
comment on column quote_collab_settings.attached_at is 'when the table was first attached';

-- The settings of the attached header or line table. SQLSTATE 55000 when nothing is attached.
create function quote_collab_target(entity text) returns quote_collab_settings
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings;
begin
    select s.* into target from @extschema@.quote_collab_settings s
    where s.entity = quote_collab_target.entity
    order by s.attached_at, s.table_schema, s.table_name limit 1;
    if not found then
        raise exception 'quote collaboration is not attached to any table'
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Run select attach_quote_collaboration() as the owner of the database.';
    end if;
    return target;
end $$;
comment on function quote_collab_target(text) is 'settings of the attached QUOTE or QUOTE_LINE table';

-- Column a role is played by, quoted for use in dynamic SQL; null when the table has no such column.
create function quote_collab_column(settings quote_collab_settings, role text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select quote_ident(settings.columns ->> role) $$;
comment on function quote_collab_column(quote_collab_settings, text) is 'quoted name of the column that plays a role in an attached table';

grant select on quote_collab_settings to public;
