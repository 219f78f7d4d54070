-- Attach, detach, and whatever makes, moves or drops months take turns, before they read anything of the log: two of them would each keep locked what
-- they have read, and wait for the other to let go. Whoever may not lock the settings, an owner who makes months of his own log, takes none. Waits at
-- most 5 seconds, unless lock_timeout says otherwise, and not at all in a transaction that has the log locked already: SQLSTATE 55P03.
create function take_quote_turn() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    patience text;
begin
    if not has_table_privilege('@extschema@.quote_collab_settings'::regclass, 'update') then
        return;
    end if;
    patience := @extschema@.bound_quote_patience();
    if exists (select from pg_locks l where l.pid = pg_backend_pid() and l.locktype = 'relation'
            and l.relation in (select to_regclass(format('%I.quote_changes', s.log_schema)) from @extschema@.quote_collab_settings s)) then
        lock table @extschema@.quote_collab_settings in share row exclusive mode nowait;
    else
        lock table @extschema@.quote_collab_settings in share row exclusive mode;
    end if;
    perform @extschema@.set_quote_option('lock_timeout', patience);
exception when lock_not_available then
    raise exception 'another attaches, detaches, or moves months of the audit log' using errcode = 'lock_not_available',
        detail = format('It was not over within %s, or at once where this transaction has read the log.', coalesce(nullif(current_setting('lock_timeout'), '0'), '5s')),
        hint = 'Try again when it is over, in a transaction of its own.';
end $$;
comment on function take_quote_turn() is 'keeps others from attaching, detaching, and moving months of the audit log until the transaction ends';

-- The same for maintenance, which has another time.
create function try_quote_turn() returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    lock table @extschema@.quote_collab_settings in share row exclusive mode nowait;
    return true;
exception when lock_not_available then
    return false;
end $$;
comment on function try_quote_turn() is 'as take_quote_turn(), unless another has it: then false';

-- Locks on several relations at once. Whoever holds one of them and wants another must not find attach holding that one and
-- waiting for his.

create function try_lock_quote_tables(tables regclass[]) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('lock table only %s in access exclusive mode nowait', array_to_string(tables, ', only '));
    return true;
exception when lock_not_available then
    return false;
end $$;
comment on function try_lock_quote_tables(regclass[]) is 'locks tables if all of them are free';

-- Refuses, with 25000, what looks at months before it locks them to a transaction that looks back.
create function require_quote_months_seen() returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'a transaction that looks back cannot archive or drop history' using errcode = 'invalid_transaction_state',
            detail = 'It does not see what is written to a month before it is locked.', hint = 'Begin another: begin isolation level read committed.';
    end if;
end $$;
comment on function require_quote_months_seen() is 'refuses a transaction that does not see all of a month once it is locked';

-- LOCK TABLE would lock all that the view reads. This locks the view alone, and changes nothing: all of ours have the option.
create function try_lock_quote_view(view regclass) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.set_quote_option('lock_timeout', '10ms');
    execute format('alter view %s set (security_invoker = true)', view);
    return true;
exception when lock_not_available then
    return false;
end $$;
comment on function try_lock_quote_view(regclass) is 'locks a view if it is free';

-- Waits for the first in the queue, as everybody does, and asks for the others without waiting for them: for a tenth of a second,
-- in which those who hold them may finish, since nobody new comes past the first. One that is not free, or null.
create function try_lock_quote_relations(first regclass, tables regclass[], views regclass[]) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    deadline timestamptz;
    relation regclass;
begin
    execute format('lock table only %s in access exclusive mode', first);
    deadline := clock_timestamp() + interval '100 ms';
    while not @extschema@.try_lock_quote_tables(tables) loop
        if clock_timestamp() > deadline then
            foreach relation in array tables loop
                exit when not @extschema@.try_lock_quote_tables(array[relation]);
            end loop;
            return relation;
        end if;
        perform pg_sleep(0.005);
    end loop;
    foreach relation in array views loop
        if not @extschema@.try_lock_quote_view(relation) then
            return relation;
        end if;
    end loop;
    return null;
end $$;
comment on function try_lock_quote_relations(regclass, regclass[], regclass[]) is 'locks relations, waiting for the first of them only';

-- All of them and their partitions, or none, for as long as lock_timeout allows. What is locked is given back before it waits again,
-- so that nobody waits for half of a pair. SQLSTATE 55P03.
create function lock_quote_relations(relations regclass[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    patience text := current_setting('lock_timeout');
    deadline timestamptz := clock_timestamp() + patience::interval;
    tables regclass[] := array(
        select p.relid from unnest(relations) with ordinality r (relation, place)
        cross join lateral (select r.relation union select t.relid from pg_partition_tree(r.relation) t) p (relid)
        join pg_class c on c.oid = p.relid where c.relkind in ('r', 'p') order by r.place, c.relispartition, p.relid);
    views regclass[] := array(select c.oid::regclass from pg_class c where c.oid = any (relations) and c.relkind = 'v');
    first regclass := tables[1];
    busy regclass;
    pause double precision := 0.02;
begin
    while first is not null loop
        begin
            perform @extschema@.set_quote_option('lock_timeout', greatest(1, ceil(extract(epoch from deadline - clock_timestamp()) * 1000))::bigint::text);
            busy := first;
            busy := @extschema@.try_lock_quote_relations(first, tables, views);
            perform @extschema@.set_quote_option('lock_timeout', patience);
            exit when busy is null;
            raise lock_not_available;
        exception when lock_not_available then
            first := case when busy = any (tables) then busy else first end;
        end;
        if clock_timestamp() >= deadline then
            raise exception 'relation % is in use', busy
                using errcode = 'lock_not_available', detail = format('It was not free within %s.', patience),
                      hint = 'Try again when no long transaction uses it, or set lock_timeout to wait longer.';
        end if;
        perform pg_sleep(pause * (0.5 + random()));
        pause := least(pause * 2, 0.2);
    end loop;
end $$;
comment on function lock_quote_relations(regclass[]) is 'locks relations that attach or detach will change, all or none';

create function quote_home_relations(home name) returns regclass[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select array(
        select c.oid::regclass from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = home and c.relkind in ('r', 'p', 'v') and (c.relname in (select h.name from @extschema@.quote_home_tables() h)
            or c.relname in ('v_quote_change_events', 'v_quote_changes_all', 'v_recent_quote_changes', 'v_active_quote_collaborators'))
        order by c.relkind = 'v', c.relname)
$$;
comment on function quote_home_relations(name) is 'what belongs to an audit log, as far as it is there';

-- Statements that give what has the owner of one relation of a home, and belongs to the home with it, to another owner.
create function quote_home_handover(given regclass, new_owner name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(format('alter table %s owner to %I;', c.oid::regclass, new_owner), ' ' order by c.relname)
    from pg_class g cross join lateral (select @extschema@.quote_home_relations(g.relnamespace::regnamespace::name)) h (relations)
    join pg_class c on c.relowner = g.relowner and (c.oid = any (h.relations) or c.relispartition and pg_partition_root(c.oid) = any (h.relations))
    where g.oid = given
$$;
comment on function quote_home_handover(regclass, name) is 'statements that give the tables of a history to another owner';
