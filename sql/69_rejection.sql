-- Notes a refused save in the audit log. Runs with the extension owner's rights, since nobody may write the log, and
-- therefore believes nothing: it finds the row itself, for the current tenant, and does nothing unless the version
-- really differs. Where tenants are verified, no tenant means no row, unless row security does not hold the session.
create function record_rejected_quote_change(entity text, row_id uuid, expected_version integer, changes jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    target @extschema@.quote_collab_settings := @extschema@.find_quote_target(entity, row_id);
    current_row jsonb := @extschema@.find_quote_row(target, row_id);
    actual_version integer := (current_row ->> (target.columns ->> 'version'))::integer;
begin
    if @extschema@.current_quote_tenant() is null and current_setting('quote_collab.tenant_source') = 'verified'
            and exists (select from pg_roles r where r.rolname = session_user and not (r.rolsuper or r.rolbypassrls)) then
        return;
    end if;
    if current_row is null or actual_version = expected_version then
        return;
    end if;
    execute format($query$
        insert into %1$I.quote_changes (id, tenant_id, quote_id, quote_line_id, changed_by, changed_at, entity_type,
            field_name, old_value, new_value, change_type, session_id, was_conflict, conflict_resolution,
            entity_version_before, entity_version_after, event_id, position, xid, origin)
        select @extschema@.uuid_generate_v7(), $1, $2, $3, $4, clock_timestamp(), $5, f.key, $6 -> f.key, f.value, 'UPDATE',
            $7, true, 'REJECTED', $8, $9, e.event_id, e.position, pg_current_xact_id(), @extschema@.quote_cluster_identifier()
        from jsonb_each($10) f,
            (select @extschema@.uuid_generate_v7(), nextval('%1$I.quote_changes_position_seq')) e (event_id, position)$query$, target.log_schema)
    using (current_row ->> (target.columns ->> 'tenant'))::uuid,
          coalesce(current_row ->> (target.columns ->> 'quote'), current_row ->> (target.columns ->> 'id'))::uuid,
          case entity when 'QUOTE_LINE' then row_id end,
          coalesce(@extschema@.current_quote_user(), target.system_user_id),
          entity, current_row, nullif(current_setting('app.current_session_id', true), '')::uuid,
          expected_version, actual_version, changes;
end $$;
comment on function record_rejected_quote_change(text, uuid, integer, jsonb) is 'notes a save that was refused because of its version';
