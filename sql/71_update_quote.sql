-- Saves fields of a header based on the version seen. Locks the header first. total_amount follows its parts.
create function save_quote(
    quote_id uuid, expected_version integer, changes jsonb, session_id uuid, on_conflict text, path text,
    out success boolean, out quote jsonb, out previous_version integer, out new_version integer, out conflicts jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    header @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE', quote_id);
    fields jsonb;
    former text := coalesce(current_setting('app.current_session_id', true), '');
begin
    perform @extschema@.require_conflict_policy(on_conflict), @extschema@.require_quote_version(expected_version);
    fields := @extschema@.coerce_quote_changes(header, @extschema@.normalise_quote_changes(header, changes));
    perform @extschema@.set_quote_option('app.current_session_id', coalesce(session_id::text, former));
    quote := @extschema@.require_quote_row(header, quote_id, 'for no key update');
    previous_version := @extschema@.quote_row_version(header, quote);
    new_version := previous_version;
    if previous_version = expected_version and @extschema@.leave_quote_former_life(header, quote_id, previous_version, path) then
        -- Based on this life or on an earlier one: nobody knows, so that it is read again.
        quote := @extschema@.require_quote_row(header, quote_id, 'for no key update');
        new_version := @extschema@.quote_row_version(header, quote);
    end if;
    if new_version <> expected_version then
        success := false;
        fields := @extschema@.quote_changes_told(header, fields);
        conflicts := @extschema@.quote_conflicts(header, quote, expected_version, fields);
        perform @extschema@.record_rejected_quote_change('QUOTE', quote_id, expected_version, fields);
        perform @extschema@.set_quote_option('app.current_session_id', former);
        return;
    end if;
    if fields <> '{}' then
        quote := @extschema@.apply_quote_changes(header, quote_id, quote, fields, 'save'::text, path);
    end if;
    new_version := @extschema@.quote_row_version(header, quote);
    perform @extschema@.set_quote_option('app.current_session_id', former);
    success := true;
    conflicts := '[]';
end $$;
comment on function save_quote(uuid, integer, jsonb, uuid, text, text) is 'saves fields of a quote for a caller with that search path';

-- Without a search path of its own, so that it knows the caller's; its names are looked up when it is created.
create function update_quote_with_version_check(
    quote_id uuid, expected_version integer, changes jsonb, session_id uuid default null, on_conflict text default 'reject',
    out success boolean, out quote jsonb, out previous_version integer, out new_version integer, out conflicts jsonb)
language sql
begin atomic
    select s.success, s.quote, s.previous_version, s.new_version, s.conflicts
    from @extschema@.save_quote(quote_id, expected_version, changes, session_id, on_conflict, pg_catalog.current_setting('search_path')) s;
end;
comment on function update_quote_with_version_check(uuid, integer, jsonb, uuid, text) is
    'saves fields of a quote based on the version seen; success = false with the conflicts when somebody was faster';
