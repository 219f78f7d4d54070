-- Tables of the history that were renamed or moved. The functions find them in their place only.

-- Known by their keys, which keep their names. A schema that has a sequence of positions of its own is the place of another history, which was kept
-- when its tables were detached.
create function quote_relations_astray(home name) returns table (name name, relation regclass)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select k.name, c.oid
    from unnest('{quote_changes,quote_changes_archive,quote_changes_seals,active_quote_sessions,quote_relay_batch,quote_relay_lease}'::name[]) k (name)
    join pg_constraint p on p.conname = k.name || '_pkey' and p.contype = 'p'
    join pg_class c on c.oid = p.conrelid join pg_namespace n on n.oid = c.relnamespace
    where to_regclass(format('%I.%I', home, k.name)) is null and not c.relispartition and @extschema@.quote_owner_trusted(c.relowner)
        and (n.nspname = home or not exists (select from pg_class s where s.relnamespace = n.oid and s.relname = 'quote_changes_position_seq'))
$$;
comment on function quote_relations_astray(name) is 'tables of a history that were renamed or moved, each with the name that it should have';

-- What puts a table that went astray back in its place.
create function quote_relation_return(astray regclass, home name, name name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select concat_ws(' ',
        case when c.relname <> quote_relation_return.name then format('alter table %s rename to %I;', astray, quote_relation_return.name) end,
        case when n.nspname <> home then format('alter table %I.%I set schema %I;', n.nspname, quote_relation_return.name, home) end)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = astray
$$;
comment on function quote_relation_return(regclass, name, name) is 'statements that put a table of the history back in its place';

-- SQLSTATE 55000 for tables that went astray: others in their place would begin a history anew, and what it was would look taken away.
create function require_quote_relations(home name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
    hints text;
begin
    select string_agg(a.relation::text, ', '), string_agg(@extschema@.quote_relation_return(a.relation, home, a.name), ' ')
    into names, hints from @extschema@.quote_relations_astray(home) a;
    if names is not null then
        raise exception 'tables of the history were moved away: %', names using errcode = 'object_not_in_prerequisite_state',
            hint = format('Put them back: %s', hints);
    end if;
end $$;
comment on function require_quote_relations(name) is 'refuses to go on without a table of the history that was renamed or moved';
