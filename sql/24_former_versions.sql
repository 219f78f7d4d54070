-- Which version a deleted row had. One that comes back under its id begins anew, and where its version is one that it had before, a save does not
-- say which life it is based on. A member of the extension, which its triggers alone write. In no dump: what was deleted before one is known
-- to nobody who works on what is restored from it.
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
create index quote_former_versions_ended on @extschema@.quote_former_versions using brin (ended_at);
comment on index @extschema@.quote_former_versions_ended is 'finds those that are older than what is kept of the history';

-- Nor do those read or write it who may read or write every table.
alter table @extschema@.quote_former_versions enable row level security, force row level security;

create function quote_extension_tables() returns table (relation regclass, is_private boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    values ('@extschema@.quote_collab_settings'::regclass, false), ('@extschema@.quote_seal_anchor'::regclass, false),
        ('@extschema@.quote_former_versions'::regclass, true), ('@extschema@.quote_log_cuts'::regclass, true)
$$;
comment on function quote_extension_tables() is 'tables of the extension, and whether nobody else reads them';

-- Tables of the extension that an earlier release made without that: attach locks them together with what it attaches, since writers hold them.
create function quote_tables_to_seclude() returns regclass[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select array(select t.relation from @extschema@.quote_extension_tables() t join pg_class c on c.oid = t.relation where t.is_private and not (c.relrowsecurity and c.relforcerowsecurity))
$$;
comment on function quote_tables_to_seclude() is 'private tables of the extension whose row security is off';

-- What the trigger does with the rows of a statement, for TRUNCATE, which has no triggers for rows.
create function remember_quote_versions(settings quote_collab_settings, part regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('insert into @extschema@.quote_former_versions as f select t.%1$s, %2$L, coalesce(max(t.%3$s), 0), now() from only %4$s t where num_nulls(t.%1$s, t.%5$s, t.%6$s) = 0 group by 1
        on conflict (row_id, is_line) do update set version = greatest(f.version, excluded.version), ended_at = excluded.ended_at',
        @extschema@.quote_collab_column(settings, 'id'), settings.entity = 'QUOTE_LINE', @extschema@.quote_collab_column(settings, 'version'), part,
        @extschema@.quote_collab_column(settings, 'tenant'), @extschema@.quote_collab_column(settings, case settings.entity when 'QUOTE_LINE' then 'quote' else 'id' end));
end $$;
comment on function remember_quote_versions(quote_collab_settings, regclass) is 'keeps the last versions of all rows of a table';
revoke execute on function remember_quote_versions(quote_collab_settings, regclass) from public;

-- Told to who has locked the row, as a save does, and to nobody else: what versions an id had, and that it was deleted, is its tenant's.
-- ended_at: when the transaction began that deleted it.
create function quote_former_life(entity text, row_id uuid, out version bigint, out ended_at timestamptz)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    select f.version, f.ended_at into version, ended_at from @extschema@.quote_former_versions f
    where (f.row_id, f.is_line) = (quote_former_life.row_id, quote_former_life.entity = 'QUOTE_LINE');
    if version is not null and not @extschema@.quote_row_is_locked(@extschema@.find_quote_target(entity, row_id), row_id) then
        version := null;
        ended_at := null;
    end if;
end $$;
comment on function quote_former_life(text, uuid) is 'the last version that a locked row had before it was deleted, and when that was; nulls where it was not';

-- Raises a row behind every version that it had in an earlier life, as the caller's own update: from then on a version says which life it is of.
-- False where it never had one of its versions before. The trigger that stamps versions lets exactly this one through.
create function leave_quote_former_life(target quote_collab_settings, row_id uuid, version integer, path text) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if (select f.version >= leave_quote_former_life.version from @extschema@.quote_former_life(target.entity, row_id) f) then
        perform @extschema@.apply_quote_changes(target, row_id, '{}'::jsonb, '{}'::jsonb, 'former life'::text, path);
        return true;
    end if;
    return false;
end $$;
comment on function leave_quote_former_life(quote_collab_settings, uuid, integer, text) is 'gives a row that came back a version that it never had';
