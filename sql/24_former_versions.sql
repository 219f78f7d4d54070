-- Which version a deleted row had: one that comes back under its id goes on behind it, or a save that is based on its earlier life would be
-- taken for one that is based on this. A member of the extension, which its triggers alone write and read. In no dump: what was deleted before
-- one is known to nobody who works on what is restored from it.
create table @extschema@.quote_former_versions (
    row_id   uuid        not null,
    is_line  boolean     not null,
    version  bigint      not null,
    ended_at timestamptz not null,
    constraint quote_former_versions_pkey primary key (row_id, is_line)
);
comment on table @extschema@.quote_former_versions is 'the last version of each row that was deleted';
comment on column @extschema@.quote_former_versions.row_id is 'id of the quote or the line';
comment on column @extschema@.quote_former_versions.is_line is 'true for a line';
comment on column @extschema@.quote_former_versions.version is 'the last version that the row had in any of its lives';
comment on column @extschema@.quote_former_versions.ended_at is 'when it was deleted last';
comment on constraint quote_former_versions_pkey on @extschema@.quote_former_versions is 'a row has one last version';

-- What the trigger does with the rows of a statement, for TRUNCATE, which has no triggers for rows.
create function remember_quote_versions(settings quote_collab_settings, part regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('insert into @extschema@.quote_former_versions as f select t.%1$s, %2$L, max(t.%3$s), now() from only %4$s t where t.%1$s is not null group by 1
        on conflict (row_id, is_line) do update set version = greatest(f.version, excluded.version), ended_at = excluded.ended_at',
        @extschema@.quote_collab_column(settings, 'id'), settings.entity = 'QUOTE_LINE', @extschema@.quote_collab_column(settings, 'version'), part);
end $$;
comment on function remember_quote_versions(quote_collab_settings, regclass) is 'keeps the last versions of all rows of a table';
revoke execute on function remember_quote_versions(quote_collab_settings, regclass) from public;
