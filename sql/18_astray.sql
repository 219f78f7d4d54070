-- Tables of the history that are not in their place, where alone the functions find them, and others that are.

-- The tables of a history, each with its kind, its key and what is said of it.
create function quote_home_tables() returns table (name name, kind "char", key text, said text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    values ('quote_changes'::name, 'p'::"char", 'xid, position, id, changed_at', 'audit log of quotes and their lines, one row per changed field; append-only'),
        ('quote_changes_archive', 'p', 'xid, position, id, changed_at', 'audit log of earlier months, moved here by archive_quote_changes(); append-only'),
        ('quote_changes_seals', 'r', 'no', 'chain of seals over quote_changes; verify_quote_history() checks it'),
        ('active_quote_sessions', 'r', 'id', 'who has which quote open; rows without a heartbeat for 30 seconds are gone from every list'),
        ('quote_relay_batch', 'r', 'no', 'batches of the event feed: what is visible in cur and was not in prev'),
        ('quote_relay_lease', 'r', 'singleton', 'who relays events now, and a lazy copy of the position in the stream')
$$;
comment on function quote_home_tables() is 'the tables of a history';

create function quote_table_comment(table_name name) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select k.said from @extschema@.quote_home_tables() k where k.name = table_name $$;
comment on function quote_table_comment(name) is 'the comment that a table of a history is given';

-- Of the history that is attached now. The log is known as attach saw it; the others by their keys, which keep their names, and by what is said of
-- them: a copy, or what an ERP calls by such a name, is said to be something else. Beside another log they belong to that one. A schema that was renamed
-- took all of them along.
create function quote_relations_astray(home name) returns table (name name, relation regclass)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with logs as (
        select distinct a.oid from @extschema@.quote_collab_settings s cross join lateral unnest(s.anchors) a (oid)
        where s.settled_in = '@extschema@.quote_collab_settings'::regclass and s.log_schema = home)
    select k.name, c.oid
    from @extschema@.quote_home_tables() k join pg_class c on c.relkind = k.kind and not c.relispartition
    join pg_namespace n on n.oid = c.relnamespace
    where exists (select from @extschema@.quote_collab_settings s where s.log_schema = home)
        and exists (select from pg_namespace h where h.nspname = home) and to_regclass(format('%I.%I', home, k.name)) is null
        and @extschema@.quote_owner_trusted(c.relowner)
        and exists (select from pg_constraint p where p.conrelid = c.oid and p.contype = 'p' and p.conname = k.name || '_pkey')
        and case k.name when 'quote_changes' then c.oid in (select l.oid from logs l) else obj_description(c.oid, 'pg_class') = k.said
            and not exists (select from pg_class l where l.relnamespace = n.oid and n.nspname <> home and l.relname = 'quote_changes' and l.relkind = 'p'
                and l.oid not in (select o.oid from logs o)) end
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
            detail = format('They are expected in schema %s, under the names that attach gave them.', home), hint = format('Put them back: %s', hints);
    end if;
end $$;
comment on function require_quote_relations(name) is 'refuses to go on without a table of the history that was renamed or moved';

-- What stands under the name of an attached table or of one of the home, and came after attach by somebody else. An archive of others is none of the history.
create function strange_quote_tables() returns setof regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select distinct c.oid::regclass
    from @extschema@.quote_collab_settings s
    cross join lateral (
        select s.table_schema, s.table_name union all
        select s.log_schema, h.name from @extschema@.quote_home_tables() h where h.name <> 'quote_changes_archive') k (schema, name)
    join pg_namespace n on n.nspname = k.schema join pg_class c on c.relnamespace = n.oid and c.relname = k.name
    where not @extschema@.quote_owner_trusted(c.relowner)
$$;
comment on function strange_quote_tables() is 'relations under names of ours that belong to somebody whom attach did not trust';
