-- Sums the lines into the header, in a statement of its own: its snapshot is taken after the header was locked, so it
-- sees every line that a faster transaction saved. Returns the header.
create function recalculate_quote_totals(header quote_collab_settings, line quote_collab_settings, quote_id uuid, path text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if not ((@extschema@.present_quote_columns(header)).columns ? 'subtotal' and (@extschema@.present_quote_columns(line)).columns ? 'line_amount') then
        return @extschema@.find_quote_row(header, quote_id, '');
    end if;
    return @extschema@.apply_quote_changes(header, quote_id, '{}'::jsonb, '{}'::jsonb, 'lines'::text, path);
end $$;
comment on function recalculate_quote_totals(quote_collab_settings, quote_collab_settings, uuid, text) is 'subtotal and total of a quote from its lines';

-- Saves fields of a line based on the version seen, and the header's totals with it. Header before line, always: two
-- people never deadlock.
create function save_quote_line(
    line_id uuid, expected_version integer, changes jsonb, session_id uuid, on_conflict text, path text,
    out success boolean, out quote_line jsonb, out previous_version integer, out new_version integer, out conflicts jsonb, out quote jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    line @extschema@.quote_collab_settings := @extschema@.find_quote_target('QUOTE_LINE', line_id);
    header @extschema@.quote_collab_settings := @extschema@.quote_collab_partner(line);
    parent uuid;
    fields jsonb;
    former text := coalesce(current_setting('app.current_session_id', true), '');
begin
    perform @extschema@.require_conflict_policy(on_conflict), @extschema@.require_quote_version(expected_version);
    fields := @extschema@.coerce_quote_changes(line, @extschema@.normalise_quote_changes(line, changes));
    perform @extschema@.set_quote_option('app.current_session_id', coalesce(session_id::text, former));
    parent := (@extschema@.require_quote_row(line, line_id, '') ->> (line.columns ->> 'quote'))::uuid;
    quote := @extschema@.find_quote_row(header, parent, 'for no key update');
    quote_line := @extschema@.require_quote_row(line, line_id, 'for no key update');
    if (quote_line ->> (line.columns ->> 'quote'))::uuid is distinct from parent then
        raise exception 'the line moved to another quote' using errcode = 'serialization_failure',
            detail = 'It did so between being found and being locked.', hint = 'Try again.';
    elsif quote is null then
        quote := @extschema@.require_quote_row(header, parent, 'for no key update');
    end if;
    previous_version := @extschema@.quote_row_version(line, quote_line);
    new_version := previous_version;
    if previous_version = expected_version and @extschema@.leave_quote_former_life(line, line_id, previous_version, path) then
        -- Based on this life or on an earlier one: nobody knows, so that it is read again.
        quote_line := @extschema@.require_quote_row(line, line_id, 'for no key update');
        new_version := @extschema@.quote_row_version(line, quote_line);
    end if;
    if new_version <> expected_version then
        success := false;
        fields := @extschema@.quote_changes_told(line, fields);
        conflicts := @extschema@.quote_conflicts(line, quote_line, expected_version, fields);
        perform @extschema@.record_rejected_quote_change('QUOTE_LINE', line_id, expected_version, fields);
        perform @extschema@.set_quote_option('app.current_session_id', former);
        return;
    end if;
    if fields <> '{}' then
        quote_line := @extschema@.apply_quote_changes(line, line_id, quote_line, fields, 'save'::text, path);
    end if;
    new_version := @extschema@.quote_row_version(line, quote_line);
    quote := @extschema@.recalculate_quote_totals(header, line, parent, path);
    perform @extschema@.set_quote_option('app.current_session_id', former);
    success := true;
    conflicts := '[]';
end $$;
comment on function save_quote_line(uuid, integer, jsonb, uuid, text, text) is 'saves fields of a line for a caller with that search path';

-- As update_quote_with_version_check.
create function update_quote_line_with_version_check(
    line_id uuid, expected_version integer, changes jsonb, session_id uuid default null, on_conflict text default 'reject',
    out success boolean, out quote_line jsonb, out previous_version integer, out new_version integer, out conflicts jsonb, out quote jsonb)
language sql
begin atomic
    select s.success, s.quote_line, s.previous_version, s.new_version, s.conflicts, s.quote
    from @extschema@.save_quote_line(line_id, expected_version, changes, session_id, on_conflict, pg_catalog.current_setting('search_path')) s;
end;
comment on function update_quote_line_with_version_check(uuid, integer, jsonb, uuid, text) is
    'saves fields of a line based on the version seen, and the totals of its quote';
