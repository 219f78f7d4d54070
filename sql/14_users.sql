-- Name and e-mail of a user from the ERP's users table, as far as the caller may read it; known is null when he may not.
create function find_quote_user(user_id uuid, out user_name text, out user_email text, out known boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    users jsonb := (@extschema@.quote_collab_target('QUOTE')).relations -> 'users';
begin
    if users is not null and has_table_privilege(format('%I.%I', users ->> 'schema', users ->> 'table'), 'select') then
        execute format('select u.%I::text, %s, true from %I.%I u where u.%I = $1', users ->> 'name',
            coalesce(format('u.%I::text', users ->> 'email'), 'null'), users ->> 'schema', users ->> 'table', users ->> 'id')
        into user_name, user_email, known using user_id;
        known := coalesce(known, false);
    end if;
end $$;
comment on function find_quote_user(uuid) is 'name and e-mail of a user, nulls when unknown or not readable';

-- updated_by as a derived column of a save: the acting user, unless the ERP knows no such user.
create function quote_author_column(target quote_collab_settings) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    who uuid := @extschema@.current_quote_user();
begin
    if who is null or not target.columns ? 'updated_by'
            or target.relations ? 'users' and (select u.known from @extschema@.find_quote_user(who) u) is not true then
        return '{}';
    end if;
    return jsonb_build_object(target.columns ->> 'updated_by', format('%L::uuid', who));
end $$;
comment on function quote_author_column(quote_collab_settings) is 'who saves, as an assignment to updated_by';
