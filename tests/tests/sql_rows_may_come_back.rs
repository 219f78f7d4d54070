//! A row that was deleted and is inserted again under its id is in its next life. A save that is based on a version which it had in an earlier one
//! may be based on either: it is refused, and the row given a version that it never had.

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

/// Ways in which the line comes back at version 1.
const WAYS: [&str; 9] = [
    "delete from quote_lines where id = 'LINE'; AGAIN",
    "begin; delete from quote_lines where id = 'LINE'; AGAIN; commit",
    "begin; delete from quote_lines where id = 'LINE'; savepoint a; AGAIN; rollback to a; AGAIN; commit",
    "begin; savepoint a; delete from quote_lines where id = 'LINE'; release a; savepoint b; AGAIN; release b; commit",
    "begin isolation level repeatable read; select 1; delete from quote_lines where id = 'LINE'; AGAIN; commit",
    "with gone as (delete from quote_lines where id = 'LINE' returning *) insert into quote_lines
         (id, tenant_id, quote_id, line_number, quantity, unit_price, line_amount) select id, tenant_id, quote_id, line_number, 99, 2, 198 from gone",
    "do $$ begin delete from quote_lines where id = 'LINE'; begin AGAIN; exception when others then raise; end; end $$",
    "begin; set local session_replication_role = replica; delete from quote_lines where id = 'LINE'; AGAIN; commit",
    "update quote_lines set id = gen_random_uuid() where id = 'LINE'; AGAIN_AS_ANOTHER",
];

#[tokio::test]
async fn a_save_of_an_earlier_life_is_refused() {
    for way in WAYS {
        let (erp, admin, _, line) = scene().await;
        let another = AGAIN.replace("line_number, 99", "line_number + 900, 99");
        run(
            &admin,
            &way.replace("AGAIN_AS_ANOTHER", &another).replace("AGAIN", AGAIN).replace("LINE", &line),
        )
        .await;
        assert_eq!(version(&admin, &line).await, "1", "{way}");
        let app = erp.client("erp_app").await;
        run(
            &app,
            &format!(
                "set app.current_tenant_id = '{}'",
                text(&admin, "select tenant_id::text from kept").await
            ),
        )
        .await;
        assert_eq!(saved(&app, &line, 1).await, "false", "{way}");
        assert_eq!(version(&admin, &line).await, "2", "{way}");
        assert_eq!(
            text(&admin, "select quantity::integer::text from quote_lines where id = (select id from kept)")
                .await,
            "99",
            "{way}"
        );
        assert_eq!(saved(&app, &line, 1).await, "false", "{way}");
        assert_eq!(saved(&app, &line, 2).await, "true", "{way}");
        assert_eq!(saved(&app, &line, 3).await, "true", "once only: {way}");
        let rejected = "select string_agg(concat_ws(' ', entity_version_before, entity_version_after), '; ' order by position) from quote_changes where was_conflict";
        assert_eq!(text(&admin, rejected).await, "1 2; 1 2", "{way}");
        assert_eq!(text(&admin, "select count(*)::text from verify_quote_history()").await, "0");
    }
}

#[tokio::test]
async fn each_life_is_told_from_the_ones_before() {
    let (_erp, admin, _, line) = scene().await;
    let edit = format!("update quote_lines set quantity = quantity + 1 where id = '{line}'");
    run(&admin, &format!("{edit}; {edit}; delete from quote_lines where id = '{line}'; {AGAIN}; {edit}"))
        .await;
    assert_eq!(version(&admin, &line).await, "2");
    let told = format!(
        "select concat_ws(' ', s.success, s.previous_version, s.new_version, c ->> 'actualVersion', c ->> 'baseValue', c ->> 'currentValue')
         from update_quote_line_with_version_check('{line}', 2, '{{\"quantity\": 5}}') s, jsonb_array_elements(s.conflicts) c"
    );
    assert_eq!(text(&admin, &told).await, "f 2 4 4 1501.0000 100.0000");
    run(
        &admin,
        &format!(
            "delete from quote_lines where id = '{line}'; {}",
            AGAIN.replace("line_amount)", "line_amount, version)").replace("198", "198, 40")
        ),
    )
    .await;
    assert_eq!(
        saved(&admin, &line, 40).await,
        "true",
        "a version of the ERP's own that is ahead is of this life"
    );
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
    let save = |version: i32| {
        format!(
            "select success::text from update_quote_with_version_check('{quote}', {version}, '{{\"notes\": \"mine\"}}')"
        )
    };
    assert_eq!(text(&admin, &save(1)).await, "false");
    assert_eq!(text(&admin, &save(4)).await, "true");
    // The lines went with their header.
    run(&admin, AGAIN).await;
    assert_eq!(saved(&admin, &line, 1).await, "false");
    run(&admin, &format!("select attach_quote_collaboration(options => '{{\"truncate\": \"record\"}}'); truncate quote_lines; {AGAIN}")).await;
    assert_eq!(saved(&admin, &line, 1).await, "false");
    assert_eq!(version(&admin, &line).await, "3");
}

#[tokio::test]
async fn who_waits_for_the_deletion_comes_back_behind_it() {
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
    assert_eq!(saved(&admin, &line, 1).await, "false");
    assert_eq!(saved(&admin, &line, 2).await, "true");
}

#[tokio::test]
async fn what_is_kept_of_former_lives_may_change_hands() {
    let (erp, admin, _, _) = scene().await;
    let owner = format!("{}_former_owner", erp.database());
    run(
        &admin,
        &format!("create role {owner} superuser; alter table quote_former_versions owner to {owner}"),
    )
    .await;
    let app = erp.client("postgres").await;
    let delete = "delete from quote_lines where id = (select min(id::text)::uuid from quote_lines)";
    run(&app, delete).await;
    run(&admin, &format!("reassign owned by {owner} to postgres; drop owned by {owner}; drop role {owner}"))
        .await;
    run(&app, delete).await;
    let next = format!("{owner}_next");
    run(
        &admin,
        &format!(
            "create role {owner}; create role {next}; alter table quote_former_versions owner to {owner}"
        ),
    )
    .await;
    run(&admin, &format!("begin; alter table quote_former_versions owner to {next}")).await;
    let (deleted, ()) = tokio::join!(app.batch_execute(delete), async {
        erp.wait_until("select exists (select from pg_locks where not granted and relation = 'quote_former_versions'::regclass)").await;
        run(&admin, "commit").await;
    });
    deleted.expect("the next owner's");
    run(
        &admin,
        &format!(
            "reassign owned by {next} to postgres; drop owned by {owner}, {next}; drop role {owner}, {next}"
        ),
    )
    .await;
    assert_eq!(erp.count("select count(*) from quote_former_versions").await, 3);
}

#[tokio::test]
async fn only_what_was_deleted_has_a_former_life() {
    let (_erp, admin, _, line) = scene().await;
    run(&admin, &format!("begin; delete from quote_lines where id = '{line}'; rollback")).await;
    assert_eq!(saved(&admin, &line, 1).await, "true");
    // Nobody raises a version as he likes.
    run(&admin, &format!("update quote_lines set version = 7 where id = '{line}'")).await;
    assert_eq!(version(&admin, &line).await, "2");
    run(&admin, &format!("delete from quote_lines where id = '{line}'; select detach_quote_collaboration(drop_history => true)")).await;
    assert_eq!(text(&admin, "select count(*)::text from quote_former_versions").await, "0");
}

#[tokio::test]
async fn nobody_learns_of_a_former_life_but_who_may_change_the_row() {
    let (erp, admin, _, line) = scene().await;
    run(&admin, &format!("delete from quote_lines where id = '{line}'; {AGAIN}")).await;
    let app = erp.client("erp_app").await;
    let asks = format!(
        "select coalesce(f.version::text, 'nothing') from quote_former_life('QUOTE_LINE', '{line}') f"
    );
    let foreign =
        text(&admin, "select id::text from tenants where id <> (select tenant_id from kept) limit 1").await;
    run(&app, &format!("begin; set local app.current_tenant_id = '{foreign}'")).await;
    assert_eq!(text(&app, &asks).await, "nothing");
    run(
        &app,
        &format!(
            "rollback; begin; set local app.current_tenant_id = '{}'",
            text(&admin, "select tenant_id::text from kept").await
        ),
    )
    .await;
    assert_eq!(text(&app, &asks).await, "nothing");
    run(&app, &format!("select from quote_lines where id = '{line}' for no key update")).await;
    assert_eq!(text(&app, &asks).await, "1");
    run(&app, "rollback").await;
}

#[tokio::test]
async fn a_trigger_of_the_erp_that_changes_each_row_does_not_hold_it_back() {
    let (_erp, admin, _, line) = scene().await;
    run(
        &admin,
        "alter table quote_lines add modified_at timestamptz;
         create function touch() returns trigger language plpgsql as $$ begin new.modified_at := clock_timestamp(); return new; end $$;
         create trigger a_touch before update on quote_lines for each row execute function touch();
         select attach_quote_collaboration()",
    )
    .await;
    for _ in 0..5 {
        run(&admin, &format!("update quote_lines set quantity = quantity + 1 where id = '{line}'")).await;
    }
    run(&admin, &format!("delete from quote_lines where id = '{line}'; {AGAIN}")).await;
    run(&admin, "select set_config('app.current_tenant_id', tenant_id::text, false) from kept").await;
    assert_eq!(saved(&admin, &line, 1).await, "false");
    assert_eq!(version(&admin, &line).await, "7");
    assert_eq!(saved(&admin, &line, 7).await, "true");
}
