-- Whom attach trusted. What runs as a superuser or as the gateway finds tables by name; where one is gone, whoever may create something in
-- its schema could put another there, whose triggers, policies and columns run his code with those rights.

-- Does a relation of this owner come from attach? It belongs to a superuser, to somebody to whom a table or the log belonged then, or to whom
-- one of them belongs now. Settings of a release that noted nobody, in a dump: to whom the table of that name belongs, if it
-- has our triggers.
create function quote_owner_trusted(owner oid) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (select from pg_roles r where r.oid = owner and r.rolsuper) or exists (
        select from @extschema@.quote_collab_settings s
        where pg_get_userbyid(owner) = any (s.owners)
            or s.settled_in = '@extschema@.quote_collab_settings'::regclass and exists (
                select from pg_class c where c.oid = any (s.anchors) and c.relowner = owner)
            or s.owners = '{}' and exists (
                select from pg_class c join @extschema@.quote_carriers() k on k.relation = c.oid
                where c.oid = @extschema@.quote_collab_table(s) and c.relowner = owner));
end $$;
comment on function quote_owner_trusted(oid) is 'whether attach trusted the owner of a relation';

-- Is the attached table here, and that of attach? Where its name is free, anybody might take it in the next moment.
create function quote_table_trusted(target quote_collab_settings) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(@extschema@.quote_owner_trusted((select c.relowner from pg_class c where c.oid = @extschema@.quote_collab_table(target))), false);
end $$;
comment on function quote_table_trusted(quote_collab_settings) is 'whether the table that is attached under a name is the one that stands there';

-- Whether the settings came here in a dump, and attach has not run since: the tables may belong to others than where it was taken.
create function quote_settings_restored() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select not exists (select from @extschema@.quote_collab_settings s where s.settled_in = '@extschema@.quote_collab_settings'::regclass) $$;
comment on function quote_settings_restored() is 'whether the settings came in a dump, and attach has not run since';

-- What helps where tables belong to others than attach saw.
create function quote_strangers_hint(otherwise text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when @extschema@.quote_settings_restored()
        then 'In a restored dump whose tables belong to others now, run attach_quote_collaboration() once, as a superuser.' else otherwise end
$$;
comment on function quote_strangers_hint(text) is 'hint about tables of others than attach saw';

-- SQLSTATE 55000 for a table that took the name of an attached one, 42P01 where the name is free.
create function require_quote_table(target quote_collab_settings) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if @extschema@.quote_table_trusted(target) then
        return;
    elsif @extschema@.quote_collab_table(target) is null then
        raise exception 'there is no table %.%', target.table_schema, target.table_name using errcode = 'undefined_table',
            detail = 'It was attached under this name, and no table of this name is there now.',
            hint = 'It was renamed or dropped: attach the table anew, as a superuser.';
    end if;
    raise exception 'table %.% is not the one that was attached', target.table_schema, target.table_name
        using errcode = 'object_not_in_prerequisite_state', detail = 'It belongs to somebody who owned neither that one nor the history.',
              hint = @extschema@.quote_strangers_hint('Attach it anew, as a superuser, if it took the place of the other.');
end $$;
comment on function require_quote_table(quote_collab_settings) is 'refuses what is not the attached table';

-- SQLSTATE 55000 where one of these tables of the home is gone, or belongs to somebody who came after attach. Those that are here and belong to
-- the right one cannot be taken away or replaced by others while what follows runs.
create function require_quote_home(names text[]) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    missing text := (
        select string_agg(format('%I.%I', home, k.name), ', ') from unnest(names) k (name)
        left join pg_class c on c.relname = k.name and c.relnamespace = (select n.oid from pg_namespace n where n.nspname = home)
        where c.oid is null or not @extschema@.quote_owner_trusted(c.relowner));
begin
    if missing is not null then
        raise exception 'the history is not as attach left it' using errcode = 'object_not_in_prerequisite_state',
            detail = format('Gone, or of somebody to whom nothing of it belonged: %s.', missing),
            hint = @extschema@.quote_strangers_hint('Rename what is not of quote collaboration, and attach anew, as a superuser.');
    end if;
end $$;
comment on function require_quote_home(text[]) is 'refuses to work on tables that are not those of attach';

-- Notes to whom the tables belong now, as long as they are known by more than that: a dump takes names along and nothing else.
create function note_quote_owners() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    noted record;
begin
    -- An update of no row at all would have all sessions forget what they keep of the settings.
    for noted in
        select n.* from (
            select s.table_schema, s.table_name, s.owners as before, array_agg(distinct pg_get_userbyid(c.relowner)) as owners
            from @extschema@.quote_collab_settings s join pg_class c on c.oid = any (s.anchors)
            where s.settled_in = '@extschema@.quote_collab_settings'::regclass group by s.table_schema, s.table_name) n
        where not (n.owners <@ n.before and n.before <@ n.owners)
    loop
        update @extschema@.quote_collab_settings s set owners = noted.owners where (s.table_schema, s.table_name) = (noted.table_schema, noted.table_name);
    end loop;
end $$;
comment on function note_quote_owners() is 'keeps the names of those to whom the attached tables belong';
revoke execute on function note_quote_owners() from public;

create function quote_extension_owner() returns name
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select pg_get_userbyid(e.extowner) from pg_extension e where e.extname = 'quote_collab_ext' $$;
comment on function quote_extension_owner() is 'the role that owns the extension';

-- Whose what is the extension's should be. Who owns it may have been made an ordinary role since; where nobody is a superuser it stays his.
create function quote_superuser() returns name
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select r.rolname from pg_roles r where r.rolsuper or r.rolname = @extschema@.quote_extension_owner()
    order by r.rolsuper desc, r.rolname <> @extschema@.quote_extension_owner(), r.oid limit 1
$$;
comment on function quote_superuser() is 'the superuser to whom the extension belongs, else the first one';

-- The settings decide which tables that is: whoever may write every table (pg_write_all_data) may not write these, nor may whom they were given to
-- with all others of their schema.
create function guard_quote_settings() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if not pg_has_role(current_user, @extschema@.quote_extension_owner(), 'member') then
        raise exception 'table % is written by functions of the extension alone', tg_relid::regclass using errcode = 'insufficient_privilege',
            detail = format('Role %s does not own the extension, and is no member of its owner.', current_user),
            hint = 'Settings are given to attach_quote_collaboration(), by a superuser; the anchor of the seals is kept by sealing.';
    end if;
    return null;
end $$;
comment on function guard_quote_settings() is 'before-statement trigger: refuses all but the owner of the extension';
revoke execute on function guard_quote_settings() from public;

create trigger guard_quote_settings before insert or update or delete or truncate on @extschema@.quote_collab_settings
for each statement execute function @extschema@.guard_quote_settings();
alter table @extschema@.quote_collab_settings enable always trigger guard_quote_settings;
comment on trigger guard_quote_settings on @extschema@.quote_collab_settings is 'written by attach and detach alone';
create trigger guard_quote_settings before insert or update or delete or truncate on @extschema@.quote_seal_anchor
for each statement execute function @extschema@.guard_quote_settings();
alter table @extschema@.quote_seal_anchor enable always trigger guard_quote_settings;
comment on trigger guard_quote_settings on @extschema@.quote_seal_anchor is 'written by the owner of the extension alone';

-- What is not as the extension made it with its own tables, and what mends it. Who owns one may take its guard away: any superuser, who may
-- do so anyway, and nobody else.
create function quote_extension_table_faults() returns table (relation regclass, problem text, repair text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass, format('%s belongs to %s', c.oid::regclass, pg_get_userbyid(c.relowner)),
        format('alter table %s owner to %I;', c.oid::regclass, @extschema@.quote_superuser())
    from pg_class c join pg_roles r on r.oid = c.relowner and not r.rolsuper
    where c.oid in (select t.relation from @extschema@.quote_extension_tables() t)
    union all
    select t.relation, format('row security of %s is off', t.relation), format('select @extschema@.seclude_quote_table(%L);', t.relation)
    from unnest(@extschema@.quote_tables_to_seclude()) t (relation)
    union all
    -- It would run with the rights of whoever attaches, seals or changes a quote.
    select g.tgrelid::regclass, format('trigger %I of %s is not of the extension', g.tgname, g.tgrelid::regclass),
        format('drop trigger %I on %s;', g.tgname, g.tgrelid::regclass)
    from @extschema@.quote_extension_tables() t join pg_trigger g on g.tgrelid = t.relation
    where not g.tgisinternal and g.tgfoid not in ('@extschema@.guard_quote_settings()'::regprocedure, '@extschema@.quote_settings_changed()'::regprocedure)
    union all
    select k.relation, format('trigger %s of %s is gone or altered', k.name, k.relation),
        format('create or replace trigger %1$I %2$s insert or update or delete or truncate on %3$s for each statement execute function %4$s; '
            'alter table %3$s enable always trigger %1$I;', k.name, case k.type when 62 then 'before' else 'after' end, k.relation, k.called)
    from (values ('guard_quote_settings'::name, '@extschema@.quote_collab_settings'::regclass, '@extschema@.guard_quote_settings()'::regprocedure, 62),
        ('guard_quote_settings', '@extschema@.quote_seal_anchor', '@extschema@.guard_quote_settings()', 62),
        ('quote_settings_changed', '@extschema@.quote_collab_settings', '@extschema@.quote_settings_changed()', 60)) k (name, relation, called, type)
    where not exists (select from pg_trigger t where t.tgrelid = k.relation and t.tgname = k.name and t.tgfoid = k.called and t.tgtype = k.type
        and t.tgenabled = 'A' and t.tgqual is null)
$$;
comment on function quote_extension_table_faults() is 'what is not as the extension made it with its own tables';
