-- What is recorded stays: no table of a history is emptied.

-- Row security is not asked about TRUNCATE: whoever owns the history, which may be the ERP's own login, would take that of every tenant away, and nothing
-- would say so.
create function refuse_history_truncate() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op <> 'TRUNCATE' then
        raise exception 'trigger % of % is none of the extension', quote_ident(tg_name), tg_relid::regclass using errcode = 'triggered_action_exception',
            detail = 'Its function refuses TRUNCATE, and is called for nothing else.', hint = 'Drop it.';
    end if;
    raise exception 'truncate of % is refused', tg_relid::regclass using errcode = 'feature_not_supported',
        detail = 'History, its seals and the place of the relay stay as long as quote collaboration is attached.',
        hint = 'History goes by months: archive_quote_changes() and drop_archived_quote_changes(); all of it by detach_quote_collaboration(drop_history => true).';
end $$;
comment on function refuse_history_truncate() is 'before-truncate trigger of the history: refuses';

-- Triggers that do nothing but that. Any other is somebody else's, whatever function it calls: a condition of it would run with the rights of whoever seals
-- or writes.
create function quote_truncate_guards() returns table (guard oid, relation regclass, is_on boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select g.oid, g.tgrelid, g.tgenabled = 'A' from pg_trigger g
    where g.tgfoid = '@extschema@.refuse_history_truncate()'::regprocedure and g.tgname = 'trg_refuse_history_truncate' and g.tgtype = 34
        and g.tgqual is null and g.tgnargs = 0 and g.tgconstraint = 0
$$;
comment on function quote_truncate_guards() is 'triggers that refuse TRUNCATE as guard_quote_history() makes them';

create function quote_truncate_refused(target regclass) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select exists (select from @extschema@.quote_truncate_guards() g where g.relation = target and g.is_on) $$;
comment on function quote_truncate_refused(regclass) is 'whether a table of the history is as guard_quote_history() leaves it';

-- Statement triggers are not inherited: each month has its own.
create function guard_quote_history(target regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
begin
    if not @extschema@.quote_truncate_refused(target) then
        execute format('drop trigger if exists trg_refuse_history_truncate on %s', target);
        execute format('create trigger trg_refuse_history_truncate before truncate on %s for each statement execute function @extschema@.refuse_history_truncate()', target);
        execute format('alter table %s enable always trigger trg_refuse_history_truncate', target);
        execute format('comment on trigger trg_refuse_history_truncate on %s is %L', target, 'what is recorded stays');
    end if;
end $$;
comment on function guard_quote_history(regclass) is 'has a table of the history refuse TRUNCATE';

-- Tables of a history that TRUNCATE must not empty: all but presence.
create function quote_tables_kept(target_schema name) returns setof regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select r.relation from @extschema@.quote_own_relations(target_schema) r join pg_class c on c.oid = r.relation
    where not r.is_presence and c.relkind in ('r', 'p')
$$;
comment on function quote_tables_kept(name) is 'tables of a history that refuse TRUNCATE';
