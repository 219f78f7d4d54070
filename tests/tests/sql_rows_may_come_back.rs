//! A row that was deleted and is inserted again under its id is in its next life: no version of the one before is one of this, so that a
//! save based on what was read then is refused.

use quote_collab_tests::Erp;
use quote_collab_tests::statement::{run, text};
use tokio_postgres::Client;
use uuid::Uuid;

async fn scene() -> (Erp, Client, Uuid, String) {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let quote = erp.quote(0).await;
    let line =
        format!("select id::text from quote_lines where quote_id = '{quote}' order by line_number limit 1");
    let line = text(&admin, &line).await;
    run(&admin, &format!("create table kept as select * from quote_lines where id = '{line}'")).await;
    (erp, admin, quote, line)
}

/// As an ERP copies rows: without the columns that it does not know.
const AGAIN: &str =
    "insert into quote_lines (id, tenant_id, quote_id, line_number, quantity, unit_price, line_amount)
    select id, tenant_id, quote_id, line_number, 99, 2, 198 from kept";

async fn version(admin: &Client, line: &str) -> String {
    text(admin, &format!("select version::text from quote_lines where id = '{line}'")).await
}

async fn saved(admin: &Client, line: &str, version: i32) -> String {
    text(
        admin,
        &format!("select success::text from update_quote_line_with_version_check('{line}', {version}, '{{\"quantity\": 5}}')"),
    )
    .await
}

#[tokio::test]
async fn a_save_of_an_earlier_life_is_refused() {
    for way in [
        "delete from quote_lines where id = 'LINE'; AGAIN",
        "begin; delete from quote_lines where id = 'LINE'; AGAIN; commit",
        "begin; delete from quote_lines where id = 'LINE'; savepoint a; AGAIN; rollback to a; AGAIN; commit",
        "begin; savepoint a; delete from quote_lines where id = 'LINE'; release a; savepoint b; AGAIN; release b; commit",
        "begin isolation level repeatable read; select 1; delete from quote_lines where id = 'LINE'; AGAIN; commit",
        "with gone as (delete from quote_lines where id = 'LINE' returning *) insert into quote_lines
             (id, tenant_id, quote_id, line_number, quantity, unit_price, line_amount) select id, tenant_id, quote_id, line_number, 99, 2, 198 from gone",
        "do $$ begin delete from quote_lines where id = 'LINE'; begin AGAIN; exception when others then raise; end; end $$",
        "alter table quote_lines enable row level security, force row level security; delete from quote_lines where id = 'LINE'; AGAIN",
        "begin; set local session_replication_role = replica; delete from quote_lines where id = 'LINE'; AGAIN; commit",
    ] {
        let (_erp, admin, _, line) = scene().await;
        run(&admin, &way.replace("AGAIN", AGAIN).replace("LINE", &line)).await;
        assert_eq!(version(&admin, &line).await, "2", "{way}");
        assert_eq!(saved(&admin, &line, 1).await, "false", "{way}");
        assert_eq!(saved(&admin, &line, 2).await, "true", "{way}");
        let told = "select string_agg(concat_ws(' ', change_type, entity_version_before, entity_version_after, new_value ->> 'version'), '; ' order by position)
            from quote_changes where quote_line_id is not null and field_name = '*'";
        assert_eq!(text(&admin, told).await, "DELETE 1; CREATE 2 2", "{way}");
    }
}

#[tokio::test]
async fn each_life_goes_on_behind_the_one_before() {
    let (_erp, admin, _, line) = scene().await;
    for life in 1..4 {
        run(&admin, &format!("update quote_lines set quantity = quantity + 1 where id = '{line}'; delete from quote_lines where id = '{line}'; {AGAIN}")).await;
        assert_eq!(version(&admin, &line).await, (1 + 2 * life).to_string());
    }
    run(
        &admin,
        &format!(
            "delete from quote_lines where id = '{line}'; {}",
            AGAIN.replace("line_amount)", "line_amount, version)").replace("198", "198, 40")
        ),
    )
    .await;
    assert_eq!(version(&admin, &line).await, "40", "a version of the ERP's own that is ahead stays");
}

#[tokio::test]
async fn a_header_and_a_truncated_table_come_back_alike() {
    let (_erp, admin, quote, line) = scene().await;
    run(
        &admin,
        &format!(
            "create table kept_quote as select * from quotes where id = '{quote}';
             update quotes set notes = 'two' where id = '{quote}'; update quotes set notes = 'three' where id = '{quote}'; delete from quotes where id = '{quote}';
             insert into quotes select * from kept_quote"
        ),
    )
    .await;
    assert_eq!(text(&admin, &format!("select version::text from quotes where id = '{quote}'")).await, "4");
    // The lines went with their header.
    run(&admin, AGAIN).await;
    assert_eq!(version(&admin, &line).await, "2");
    run(&admin, &format!("select attach_quote_collaboration(options => '{{\"truncate\": \"record\"}}'); truncate quote_lines; {AGAIN}")).await;
    assert_eq!(version(&admin, &line).await, "3");
}

#[tokio::test]
async fn who_waits_for_the_deletion_learns_of_it() {
    let (erp, admin, _, line) = scene().await;
    let other = erp.client("postgres").await;
    run(&admin, &format!("begin; delete from quote_lines where id = '{line}'")).await;
    let waits = other.batch_execute(AGAIN);
    let commits = async {
        erp.wait_until("select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')").await;
        run(&admin, "commit").await;
    };
    let (inserted, ()) = tokio::join!(waits, commits);
    inserted.expect("the key is free");
    assert_eq!(version(&admin, &line).await, "2");
}

#[tokio::test]
async fn what_comes_back_for_the_first_time_begins_at_one() {
    let (_erp, admin, _, line) = scene().await;
    run(&admin, &format!("begin; delete from quote_lines where id = '{line}'; rollback")).await;
    assert_eq!(version(&admin, &line).await, "1");
    run(
        &admin,
        "insert into quote_lines (id, tenant_id, quote_id, line_number, quantity, unit_price, line_amount)
        select gen_random_uuid(), tenant_id, quote_id, 4711, 1, 1, 1 from kept",
    )
    .await;
    assert_eq!(text(&admin, "select version::text from quote_lines where line_number = 4711").await, "1");
    run(&admin, "begin; delete from quote_lines where line_number = 4711; commit; select detach_quote_collaboration(drop_history => true)").await;
    assert_eq!(text(&admin, "select count(*)::text from quote_former_versions").await, "0");
}
