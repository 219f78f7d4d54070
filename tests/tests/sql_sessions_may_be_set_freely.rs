//! A session is set as its client likes: what is recorded and answered does not depend on it.

use quote_collab_tests::Erp;
use quote_collab_tests::history::PAST;
use quote_collab_tests::statement::{run, text};

const OTHER_STYLES: &str = "set datestyle = 'German'; set intervalstyle = 'sql_standard'; set extra_float_digits = -10; set bytea_output = 'escape'";

/// A value of each type that a session's settings write in different ways, as a default session reads it back.
const VALUES: [(&str, &str, &str); 7] = [
    ("f8", "float8", "0.30000000000000004"),
    ("f4s", "float4[]", "{1.1,-2.5}"),
    ("len", "interval", "1 year 2 mons -3 days +04:05:06.789"),
    ("lens", "interval[]", "{\"-3 days\"}"),
    ("raw", "bytea", "\\xdeadbeef00"),
    ("days", "daterange", "[2026-01-02,2026-02-03)"),
    ("span", "tsrange", "[\"2026-01-02 03:04:05\",\"2026-02-03 04:05:06\")"),
];

#[tokio::test]
async fn values_are_recorded_and_saved_alike() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let quote = erp.quote(0).await;
    let columns: Vec<String> =
        VALUES.iter().map(|(name, kind, _)| format!("add column {name} {kind}")).collect();
    run(&admin, &format!("alter table quotes {}", columns.join(", "))).await;
    run(
        &admin,
        &format!(
            "select set_config('app.current_tenant_id', tenant_id::text, false), set_config('app.current_user_id', created_by::text, false)
             from quotes where id = '{quote}'"
        ),
    )
    .await;
    let assignments: Vec<String> =
        VALUES.iter().map(|(name, kind, value)| format!("{name} = '{value}'::{kind}")).collect();
    let cleared: Vec<String> = VALUES.iter().map(|(name, ..)| format!("{name} = null")).collect();
    let last = "select jsonb_object_agg(field_name, new_value)::text from quote_changes where entity_version_after = (select max(entity_version_after) from quote_changes)";
    let update = format!("update quotes set {} where id = '{quote}'", assignments.join(", "));
    run(&admin, &update).await;
    let recorded = text(&admin, last).await;
    run(&admin, &format!("update quotes set {} where id = '{quote}'", cleared.join(", "))).await;
    // Written by the defaults, since the texts of the statement are theirs; told by the other styles.
    run(&admin, &format!("create function pg_temp.write() returns void language sql set datestyle = 'ISO' set intervalstyle = 'postgres' as $$ {update} $$; {OTHER_STYLES}"))
        .await;
    run(&admin, &format!("select pg_temp.write(); {OTHER_STYLES}")).await;
    assert_eq!(text(&admin, last).await, recorded);
    run(
        &admin,
        &format!(
            "update quotes set notes = 'x' where id = '{quote}'; {}",
            update.replace("'1 year", "'2 years")
        ),
    )
    .await;
    let chain = "select count(*)::text from quote_changes c join quote_changes n on n.field_name = c.field_name and n.quote_id = c.quote_id
        and n.position = (select min(position) from quote_changes x where x.field_name = c.field_name and x.quote_id = c.quote_id and x.position > c.position)
        where n.old_value is distinct from c.new_value";
    assert_eq!(text(&admin, chain).await, "0", "each old value is the new one before it");
    // What one session is shown another may save, and it is the same.
    let shown = format!("select (get_quote('{quote}') -> 'quote')::text");
    let here = text(&admin, &shown).await;
    run(&admin, "reset all").await;
    run(
        &admin,
        &format!("select set_config('app.current_tenant_id', tenant_id::text, false) from quotes where id = '{quote}'"),
    )
    .await;
    assert_eq!(text(&admin, &shown).await, here);
    let again = format!(
        "{OTHER_STYLES}; do $$ declare r record; begin
            select * into r from update_quote_with_version_check('{quote}', (select version from quotes where id = '{quote}'),
                (select jsonb_object_agg(k, $q${here}$q$::jsonb -> k) from unnest(array['f8', 'f4s', 'len', 'lens', 'raw', 'days', 'span']) k));
            if not r.success then raise 'not saved'; end if; end $$; reset all"
    );
    let before = text(&admin, "select count(*)::text from quote_changes").await;
    run(&admin, &again).await;
    assert_eq!(text(&admin, "select count(*)::text from quote_changes").await, before, "nothing changed");
}

#[tokio::test]
async fn backslashes_in_strings_are_what_the_session_says_and_change_nothing() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, PAST).await;
    run(&admin, "select seal_quote_history()").await;
    let app = erp.client("postgres").await;
    run(
        &app,
        "set standard_conforming_strings = off; set escape_string_warning = off; set backslash_quote = off",
    )
    .await;
    assert_eq!(text(&app, "select archive_quote_changes('3 months')::text").await, "2");
    assert_eq!(
        text(&app, "select count(*)::text from verify_quote_history(quote_history_digest())").await,
        "0"
    );
    let quote = erp.quote(0).await;
    run(
        &app,
        &format!("select set_config('app.current_tenant_id', tenant_id::text, false) from quotes where id = '{quote}'"),
    )
    .await;
    let saved = format!(
        "select success::text from update_quote_with_version_check('{quote}', 1, '{{\"contactName\": \"x\"}}')"
    );
    assert_eq!(text(&app, &saved).await, "true");
    assert_ne!(text(&app, "select count(*)::text from quote_collab_doctor()").await, "0");
    run(&app, "select attach_quote_collaboration(); select detach_quote_collaboration()").await;
}

/// What json takes and jsonb does not: escapes that are no character, numbers without end.
const NOT_FOR_JSONB: [&str; 5] =
    [r#"{"a": "\u0000"}"#, r#""\ud800""#, "1e999999", "[1e-999999]", r#""\ud83d x""#];

#[tokio::test]
async fn json_that_jsonb_does_not_hold_is_told_as_text() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, "alter table quote_lines add column extra json").await;
    let line = text(&admin, "select id::text from quote_lines limit 1").await;
    for value in NOT_FOR_JSONB {
        run(&admin, &format!("update quote_lines set extra = $j${value}$j$ where id = '{line}'")).await;
        let told = "select new_value #>> '{}' from quote_changes where field_name = 'extra' order by position desc limit 1";
        assert_eq!(text(&admin, told).await, value);
    }
    run(&admin, &format!("update quote_lines set extra = '{{\"a\": 1}}' where id = '{line}'")).await;
    let told = "select old_value #>> '{}' || (new_value -> 'a')::text from quote_changes where field_name = 'extra' order by position desc limit 1";
    assert_eq!(text(&admin, told).await, format!("{}1", NOT_FOR_JSONB[4]));
    run(
        &admin,
        &format!("update quote_lines set extra = $j${}$j$ where id = '{line}'; delete from quote_lines where id = '{line}'", NOT_FOR_JSONB[0]),
    )
    .await;
    let told = "select old_value ->> 'extra' from quote_changes where change_type = 'DELETE'";
    assert_eq!(text(&admin, told).await, NOT_FOR_JSONB[0]);
}
