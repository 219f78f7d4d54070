//! A role that was given everything by a grant on all, as ERPs do it for their application, and what it may do with what the extension keeps
//! to itself.

/// Makes the role, once in a cluster.
pub const CLERK: &str = "do $$ begin create role clerk_of_all; exception when duplicate_object or unique_violation then null; end $$";

/// Gives it all functions and tables.
pub const GIVE: &str = "grant execute on all functions in schema public to clerk_of_all; grant all on all tables in schema public to clerk_of_all";

/// How many rights it has: on functions that are not for PUBLIC, and to write, or to read what nobody else reads, in the extension's tables.
pub const GIVEN: &str = "select (select count(*) from quote_extension_functions() f join pg_proc p on p.oid = f.function cross join lateral aclexplode(p.proacl) a
        where not f.is_public and a.grantee = 'clerk_of_all'::regrole and p.proname <> 'cleanup_stale_quote_sessions')
    + (select count(*) from unnest(array['quote_collab_settings', 'quote_seal_anchor', 'quote_former_versions', 'quote_log_cuts']) t cross join unnest(array['insert', 'update', 'trigger']) p
        where has_table_privilege('clerk_of_all', t, p))
    + has_table_privilege('clerk_of_all', 'quote_former_versions', 'select')::integer + has_table_privilege('clerk_of_all', 'quote_log_cuts', 'select')::integer";
