-- doctor: the library that a session has loaded against the release that is installed.

-- A library of before does not have every function of a newer release.
create function quote_library_loaded() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return @extschema@.quote_library_release();
exception when undefined_function then
    return 'an earlier release';
end $$;
comment on function quote_library_loaded() is 'doctor: the release of the library of this session';

create function quote_collab_doctor_library() returns quote_collab_check
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    loaded text := @extschema@.quote_library_loaded();
    installed text := (select e.extversion from pg_extension e where e.extname = 'quote_collab_ext');
begin
    return @extschema@.quote_collab_verdict('library of this release', loaded = installed, 'error',
        format('the functions are those of %s, and this session has loaded the library of %s: what only one of them knows fails', installed, loaded),
        'Put the files of this release in place, then restart the server. Where the library is not preloaded, ending the sessions that began before is enough.');
end $$;
comment on function quote_collab_doctor_library() is 'doctor: whether functions and library are of one release';
