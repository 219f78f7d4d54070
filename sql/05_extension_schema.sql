-- The schema's name becomes part of functions, also of formats there; PostgreSQL itself refuses quotes, dollars and backslashes in it.
do $$
begin
    if '@extschema@' operator(pg_catalog.~) '%' then
        raise exception 'quote_collab_ext cannot be in a schema with a percent sign in its name' using errcode = 'feature_not_supported',
            detail = 'The schema''s name becomes part of functions and of formats in them.',
            hint = 'Name another: create extension quote_collab_ext schema collab.';
    end if;
end $$;
