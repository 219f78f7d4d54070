-- Has this transaction locked the row of an attached table, in a mode that only who may change it gets? Whoever may not, or from whom row
-- security hides it, does not get that far, in whatever role he does it; a definer function cannot ask for its caller's rights otherwise. The
-- lock that a reference to the row takes is none.
create function quote_place_is_locked(relation oid, place tid) returns boolean
strict language c as 'MODULE_PATHNAME', 'quote_place_is_locked';
comment on function quote_place_is_locked(oid, tid) is 'true when this transaction has locked a row version for a change';
revoke execute on function quote_place_is_locked(oid, tid) from public;

create function quote_row_is_locked(target quote_collab_settings, row_id uuid) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    is_locked boolean;
begin
    execute format('select @extschema@.quote_place_is_locked(t.tableoid, t.ctid) from %I.%I t where t.%s = $1', target.table_schema, target.table_name,
        @extschema@.quote_collab_column(target, 'id')) into is_locked using row_id;
    return coalesce(is_locked, false);
end $$;
comment on function quote_row_is_locked(quote_collab_settings, uuid) is 'true when this transaction has locked a row of an attached table';

-- The row of an attached table as jsonb, for a definer function.
create function find_quote_row_safely(target quote_collab_settings, row_id uuid) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set intervalstyle = 'postgres'
set extra_float_digits = 1
set bytea_output = 'hex'
as $$
declare
    found_row jsonb;
begin
    execute format('select to_jsonb(x.*) from (select %s from %I.%I t where t.%s = $1 and ($3 or t.%s = $2)) x',
        @extschema@.quote_safe_columns(@extschema@.quote_collab_table(target)), target.table_schema, target.table_name,
        @extschema@.quote_collab_column(target, 'id'), @extschema@.quote_collab_column(target, 'tenant'))
    into found_row using row_id, @extschema@.current_quote_tenant(), @extschema@.sees_every_quote_tenant();
    return found_row;
end $$;
comment on function find_quote_row_safely(quote_collab_settings, uuid) is 'one row of an attached table as jsonb, without running what owners of types wrote';

-- Notes a refused save in the audit log. Runs with the extension owner's rights, since nobody may write the log, and
-- therefore believes nothing: it finds the row itself, for the current tenant, and does nothing unless this transaction
-- has locked it and the version really differs. A row of somebody else is as unknown as one that is not there.
create function record_rejected_quote_change(entity text, row_id uuid, expected_version integer, changes jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.find_quote_target(entity, row_id);
    current_row jsonb := @extschema@.find_quote_row_safely(target, row_id);
    actual_version integer := @extschema@.quote_row_version(target, current_row);
    fields jsonb;
begin
    perform @extschema@.require_quote_home('{quote_changes,quote_changes_position_seq}'::text[]);
    if current_row is null or actual_version = expected_version or expected_version is null or not @extschema@.quote_row_is_locked(target, row_id) then
        return;
    end if;
    fields := @extschema@.normalise_quote_changes(target, changes);
    execute format($query$
        insert into %1$I.quote_changes (id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, entity_type,
            field_name, old_value, new_value, change_type, session_id, was_conflict, conflict_resolution,
            entity_version_before, entity_version_after, event_id, position, xid, origin)
        select @extschema@.uuid_generate_v7(), $1, $2, $3, $4, clock_timestamp(), $5, f.key, nullif($6 -> f.key, 'null'), nullif(f.value, 'null'), 'UPDATE',
            $7, true, 'REJECTED', $8, $9, e.event_id, e.position, pg_current_xact_id(), @extschema@.quote_cluster_identifier()
        from jsonb_each($10) f,
            (select @extschema@.uuid_generate_v7(), nextval(%2$L)) e (event_id, position)$query$,
        target.log_schema, format('%I.quote_changes_position_seq', target.log_schema))
    using (current_row ->> (target.columns ->> 'tenant'))::uuid,
          coalesce(current_row ->> (target.columns ->> 'quote'), current_row ->> (target.columns ->> 'id'))::uuid,
          case entity when 'QUOTE_LINE' then row_id end,
          coalesce(@extschema@.current_quote_user(null::uuid), target.system_user_id),
          entity, current_row, nullif(current_setting('app.current_session_id', true), '')::uuid,
          expected_version, actual_version, fields;
end $$;
comment on function record_rejected_quote_change(text, uuid, integer, jsonb) is 'notes a save that was refused because of its version';
