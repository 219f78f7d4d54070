//! The hand-written SQL, in the order of its file names.

use pgrx::extension_sql_file;

extension_sql_file!("../../sql/05_extension_schema.sql", name = "extension_schema", bootstrap);
extension_sql_file!(
    "../../sql/10_settings.sql",
    name = "settings",
    requires = [
        "identifier_comments",
        "clock_comments",
        "cluster_comments",
        "wakeup_comments",
        "library_comments",
        "release_right_comments",
        "authentication_comments",
        "signature_comments"
    ]
);
extension_sql_file!("../../sql/11_session_type.sql", name = "session_type", requires = ["settings"]);
extension_sql_file!("../../sql/12_local_settings.sql", name = "local_settings", requires = ["session_type"]);
extension_sql_file!("../../sql/12_session_ttl.sql", name = "session_ttl", requires = ["local_settings"]);
extension_sql_file!("../../sql/13_pairs.sql", name = "pairs", requires = ["session_ttl"]);
extension_sql_file!("../../sql/14_users.sql", name = "users", requires = ["pairs"]);
extension_sql_file!("../../sql/15_seal_anchor.sql", name = "seal_anchor", requires = ["users"]);
extension_sql_file!("../../sql/16_prepared_rows.sql", name = "prepared_rows", requires = ["seal_anchor"]);
extension_sql_file!("../../sql/17_trust.sql", name = "trust", requires = ["prepared_rows"]);
extension_sql_file!("../../sql/18_astray.sql", name = "astray", requires = ["trust"]);
extension_sql_file!("../../sql/19_safe_columns.sql", name = "safe_columns", requires = ["astray"]);
extension_sql_file!("../../sql/20_quote_changes.sql", name = "quote_changes", requires = ["safe_columns"]);
extension_sql_file!(
    "../../sql/20_truncate_guards.sql",
    name = "truncate_guards",
    requires = ["quote_changes"]
);
extension_sql_file!(
    "../../sql/21_quote_changes_months.sql",
    name = "quote_changes_months",
    requires = ["truncate_guards"]
);
extension_sql_file!(
    "../../sql/22_quote_changes_summaries.sql",
    name = "quote_changes_summaries",
    requires = ["quote_changes_months"]
);
extension_sql_file!(
    "../../sql/23_archived_months.sql",
    name = "archived_months",
    requires = ["quote_changes_summaries"]
);
extension_sql_file!("../../sql/23_log_cuts.sql", name = "log_cuts", requires = ["archived_months"]);
extension_sql_file!("../../sql/24_former_versions.sql", name = "former_versions", requires = ["log_cuts"]);
extension_sql_file!("../../sql/28_session_guard.sql", name = "session_guard", requires = ["former_versions"]);
extension_sql_file!(
    "../../sql/30_presence_tables.sql",
    name = "presence_tables",
    requires = ["session_guard"]
);
extension_sql_file!("../../sql/40_relay_tables.sql", name = "relay_tables", requires = ["presence_tables"]);
extension_sql_file!("../../sql/42_seal_table.sql", name = "seal_table", requires = ["relay_tables"]);
extension_sql_file!("../../sql/50_views.sql", name = "views", requires = ["seal_table"]);
extension_sql_file!("../../sql/51_archive_view.sql", name = "archive_view", requires = ["views"]);
extension_sql_file!("../../sql/52_pair_names.sql", name = "pair_names", requires = ["archive_view"]);
extension_sql_file!("../../sql/53_view_functions.sql", name = "view_functions", requires = ["pair_names"]);
extension_sql_file!("../../sql/54_pair_views.sql", name = "pair_views", requires = ["view_functions"]);
extension_sql_file!("../../sql/55_triggers.sql", name = "triggers", requires = ["pair_views"]);
extension_sql_file!("../../sql/56_truncate.sql", name = "truncate", requires = ["triggers"]);
extension_sql_file!("../../sql/57_carriers.sql", name = "carriers", requires = ["truncate"]);
extension_sql_file!("../../sql/57_line_reference.sql", name = "line_reference", requires = ["carriers"]);
extension_sql_file!("../../sql/57_locks.sql", name = "locks", requires = ["line_reference"]);
extension_sql_file!("../../sql/58_added_columns.sql", name = "added_columns", requires = ["locks"]);
extension_sql_file!("../../sql/58_attach_checks.sql", name = "attach_checks", requires = ["added_columns"]);
extension_sql_file!("../../sql/58_attach_options.sql", name = "attach_options", requires = ["attach_checks"]);
extension_sql_file!("../../sql/58_columns.sql", name = "columns", requires = ["attach_options"]);
extension_sql_file!("../../sql/58_descriptions.sql", name = "descriptions", requires = ["columns"]);
extension_sql_file!(
    "../../sql/58_locking_indexes.sql",
    name = "locking_indexes",
    requires = ["descriptions"]
);
extension_sql_file!("../../sql/58_made_keys.sql", name = "made_keys", requires = ["locking_indexes"]);
extension_sql_file!("../../sql/58_people.sql", name = "people", requires = ["made_keys"]);
extension_sql_file!("../../sql/59_privileges.sql", name = "privileges", requires = ["people"]);
extension_sql_file!("../../sql/60_attach.sql", name = "attach", requires = ["privileges"]);
extension_sql_file!("../../sql/65_detach.sql", name = "detach", requires = ["attach"]);
extension_sql_file!("../../sql/69_rejection.sql", name = "rejection", requires = ["detach"]);
extension_sql_file!("../../sql/70_change_sets.sql", name = "change_sets", requires = ["rejection"]);
extension_sql_file!("../../sql/70_derived_columns.sql", name = "derived_columns", requires = ["change_sets"]);
extension_sql_file!("../../sql/70_conflicts.sql", name = "conflicts", requires = ["derived_columns"]);
extension_sql_file!("../../sql/70_version_check.sql", name = "version_check", requires = ["conflicts"]);
extension_sql_file!("../../sql/71_update_quote.sql", name = "update_quote", requires = ["version_check"]);
extension_sql_file!(
    "../../sql/72_update_quote_line.sql",
    name = "update_quote_line",
    requires = ["update_quote"]
);
extension_sql_file!("../../sql/75_sessions.sql", name = "sessions", requires = ["update_quote_line"]);
extension_sql_file!("../../sql/77_history.sql", name = "history", requires = ["sessions"]);
extension_sql_file!("../../sql/79_feed_bounds.sql", name = "feed_bounds", requires = ["history"]);
extension_sql_file!("../../sql/80_events.sql", name = "events", requires = ["feed_bounds"]);
extension_sql_file!("../../sql/85_relay.sql", name = "relay", requires = ["events"]);
extension_sql_file!("../../sql/86_resume.sql", name = "resume", requires = ["relay"]);
extension_sql_file!("../../sql/87_digests.sql", name = "digests", requires = ["resume"]);
extension_sql_file!("../../sql/87_seals.sql", name = "seals", requires = ["digests"]);
extension_sql_file!("../../sql/87_verify.sql", name = "verify", requires = ["seals"]);
extension_sql_file!("../../sql/88_release.sql", name = "release", requires = ["verify"]);
extension_sql_file!("../../sql/89_retention.sql", name = "retention", requires = ["release"]);
extension_sql_file!("../../sql/90_maintenance.sql", name = "maintenance", requires = ["retention"]);
extension_sql_file!("../../sql/91_archive.sql", name = "archive", requires = ["maintenance"]);
extension_sql_file!("../../sql/92_doctor.sql", name = "doctor", requires = ["archive"]);
extension_sql_file!("../../sql/93_doctor_extension.sql", name = "doctor_extension", requires = ["doctor"]);
extension_sql_file!(
    "../../sql/93_doctor_functions.sql",
    name = "doctor_functions",
    requires = ["doctor_extension"]
);
extension_sql_file!(
    "../../sql/93_doctor_grants.sql",
    name = "doctor_grants",
    requires = ["doctor_functions"]
);
extension_sql_file!("../../sql/93_doctor_history.sql", name = "doctor_history", requires = ["doctor_grants"]);
extension_sql_file!(
    "../../sql/93_doctor_objects.sql",
    name = "doctor_objects",
    requires = ["doctor_history"]
);
extension_sql_file!(
    "../../sql/93_doctor_security.sql",
    name = "doctor_security",
    requires = ["doctor_objects"]
);
extension_sql_file!(
    "../../sql/93_doctor_tenants.sql",
    name = "doctor_tenants",
    requires = ["doctor_security"]
);
extension_sql_file!(
    "../../sql/94_doctor_library.sql",
    name = "doctor_library",
    requires = ["doctor_tenants"]
);
extension_sql_file!("../../sql/94_doctor_server.sql", name = "doctor_server", requires = ["doctor_library"]);
extension_sql_file!(
    "../../sql/94_rights_by_default.sql",
    name = "rights_by_default",
    requires = ["doctor_server"]
);
extension_sql_file!("../../sql/95_grants.sql", name = "grants", requires = ["rights_by_default"], finalize);
