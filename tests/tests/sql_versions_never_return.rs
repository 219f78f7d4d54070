//! A version that a row once had is never given to it again, so that a save based on it means one state and no other.

use quote_collab_tests::Erp;
use quote_collab_tests::history::PAST;
use quote_collab_tests::statement::{run, text};
use tokio_postgres::Client;

/// Ways in which the tables lose their versions while the history stays.
const LOST: [&str; 3] = [
    "select detach_quote_collaboration()",
    "select detach_quote_collaboration(); drop extension quote_collab_ext; create extension quote_collab_ext",
    "alter table quotes drop column version; alter table quote_lines drop column version",
];

/// A save of somebody who read the quote at version BASE, which is refused when the field was changed since.
async fn save(client: &Client, quote: &str, base: &str, field: &str) -> String {
    let save = format!(
        "select case when success then 'saved' else (select string_agg(c ->> 'field', ',') from jsonb_array_elements(conflicts) c) end
        from update_quote_with_version_check('{quote}', {base}, '{{\"{field}\": \"mine\"}}')"
    );
    text(client, &save).await
}

#[tokio::test]
async fn rows_go_on_behind_their_history() {
    for lost in LOST {
        let erp = Erp::attached().await;
        let admin = erp.client("postgres").await;
        let quote = erp.quote(0).await.to_string();
        let of_quote = |query: &str| query.replace("QUOTE", &quote);
        let tenant = "select set_config('app.current_tenant_id', tenant_id::text, false), set_config('app.current_user_id', created_by::text, false)
            from quotes where id = 'QUOTE'";
        run(&admin, &of_quote(tenant)).await;
        for round in 0..3 {
            run(&admin, &of_quote(&format!("update quotes set notes = 'before {round}', contact_name = 'before {round}' where id = 'QUOTE'"))).await;
        }
        run(&admin, &of_quote("update quote_lines set description = 'before' where quote_id = 'QUOTE'"))
            .await;
        // A save that was refused tells of a version that never was.
        assert_eq!(save(&admin, &quote, "1", "notes").await, "notes", "{lost}");
        run(&admin, lost).await;
        run(&admin, "select attach_quote_collaboration()").await;
        let version = text(&admin, &of_quote("select version::text from quotes where id = 'QUOTE'")).await;
        assert_eq!(version, "5", "{lost}");
        assert_eq!(
            text(&admin, "select string_agg(distinct version::text, ',') from quote_lines").await,
            "5",
            "{lost}"
        );
        run(&admin, &of_quote("update quotes set contact_name = 'since' where id = 'QUOTE'")).await;
        assert_eq!(save(&admin, &quote, &version, "contact_name").await, "contact_name", "{lost}");
        // Whoever read the quote before is told of everything; what was not written down meanwhile may have changed, too.
        let twice = "select count(*)::text from (select from quote_changes where quote_id = 'QUOTE' and conflict_resolution is distinct from 'REJECTED'
            group by quote_line_id, field_name, entity_version_after having count(*) > 1) twice";
        assert_eq!(text(&admin, &of_quote(twice)).await, "0", "{lost}");
        let born = "insert into quotes select (jsonb_populate_record(q, jsonb_build_object('id', gen_random_uuid(), 'quote_number', 'BORN', 'version', 1))).*
            from quotes q where id = 'QUOTE'; select 1";
        run(&admin, &of_quote(born)).await;
        assert_eq!(
            text(&admin, "select version::text from quotes where quote_number = 'BORN'").await,
            "1",
            "{lost}"
        );
        let default = "select string_agg(column_default, ',') from information_schema.columns where column_name = 'version' and table_name in ('quotes', 'quote_lines')";
        assert_eq!(text(&admin, default).await, "1,1", "{lost}");
        run(&admin, "comment on column quotes.version is null; select detach_quote_collaboration()").await;
        let left = "select count(*)::text from information_schema.columns where column_name = 'version' and table_name in ('quotes', 'quote_lines')";
        assert_eq!(text(&admin, left).await, "0", "{lost}");
    }
}

#[tokio::test]
async fn the_archive_counts() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, PAST).await;
    run(&admin, "update quote_changes set entity_version_after = 40 where position = (select min(position) from quote_changes)").await;
    run(&admin, "select archive_quote_changes('3 months'); select detach_quote_collaboration(); select attach_quote_collaboration()").await;
    assert_eq!(text(&admin, "select string_agg(distinct version::text, ',') from quotes").await, "41");
}

#[tokio::test]
async fn a_version_may_become_a_wider_number_and_is_taken_away_all_the_same() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    for number in ["bigint", "smallint", "integer"] {
        run(&admin, &format!("alter table quotes alter version type {number}; update quotes set notes = 'counted as {number}'")).await;
        let intact = "select severity from quote_collab_doctor() where check_name = 'added columns intact: public.quotes'";
        assert_eq!(text(&admin, intact).await, "ok", "{number}");
        run(&admin, "select attach_quote_collaboration()").await;
        let added = "select added_columns::text from quote_collab_settings where entity = 'QUOTE'";
        assert_eq!(text(&admin, added).await, "{version}", "{number}");
    }
    run(&admin, "alter table quotes alter version type bigint; select detach_quote_collaboration()").await;
    let left = "select count(*) from pg_attribute where attrelid = 'quotes'::regclass and attname = 'version' and not attisdropped";
    assert_eq!(erp.count(left).await, 0);
}

#[tokio::test]
async fn the_table_of_former_versions_may_have_more_columns() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let columns: Vec<String> =
        (0..300).map(|number| format!("add column more_{number} text default 'x'")).collect();
    run(&admin, &format!("alter table quote_former_versions {}", columns.join(", "))).await;
    let again = "create temp table line as select * from quote_lines order by id limit 1;
        update quote_lines set description = 'a' where id = (select id from line); delete from quote_lines where id = (select id from line);
        insert into quote_lines select * from line";
    run(&admin, again).await;
    let raised = "update quote_lines set version = version + 7 where id = (select id from line)";
    assert_eq!(text(&admin, "select version::text from quote_former_versions").await, "2");
    run(&admin, raised).await;
}

/// History goes month by month, and so does what is known of the rows that were deleted in it.
#[tokio::test]
async fn versions_of_deleted_rows_are_kept_as_long_as_their_month() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, "select attach_quote_collaboration(options => '{\"archive_after\": \"3 months\", \"drop_after\": \"8 months\"}')").await;
    let month = "date_trunc('month', now() - interval '8 months', 'UTC')";
    run(&admin, &format!("insert into quote_former_versions values (gen_random_uuid(), false, 1, {month} - interval '1 second'), (gen_random_uuid(), false, 2, {month})")).await;
    let kept = "select string_agg(version::text, ',' order by version) from quote_former_versions";
    run(&admin, "select quote_collab_maintenance()").await;
    assert_eq!(text(&admin, kept).await, "2");
    // Where months stay longer, so does this.
    run(&admin, PAST).await;
    run(&admin, "update quote_former_versions set ended_at = ended_at - interval '2 months'; begin; update quote_collab_settings set archive_after = '90 years'; select quote_collab_maintenance()").await;
    assert_eq!(text(&admin, kept).await, "2");
    run(&admin, "commit").await;
}
