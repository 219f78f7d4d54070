//! What an ERP puts in the way of one job of maintenance keeps no other from being done, and the doctor tells of it.

use quote_collab_tests::Erp;
use quote_collab_tests::doctor::consult;
use quote_collab_tests::history::PAST;
use quote_collab_tests::statement::{count, run, text};

/// What keeps old months where they are, and what takes it away again.
const OBSTACLES: [(&str, &str); 3] = [
    ("create view of_a_month as select * from quote_changes_past_0", "drop view of_a_month"),
    (
        "create function keep() returns event_trigger language plpgsql as 'begin raise exception ''nothing is dropped in production''; end';
         create event trigger keep on sql_drop execute function keep()",
        "drop event trigger keep",
    ),
    (
        "create function keep() returns event_trigger language plpgsql as 'begin raise exception ''no ddl today''; end';
         create event trigger keep on ddl_command_start when tag in ('ALTER TABLE') execute function keep()",
        "drop event trigger keep",
    ),
];

#[tokio::test]
async fn what_keeps_months_from_going_keeps_nothing_else() {
    for (obstacle, end) in OBSTACLES {
        let erp = Erp::attached().await;
        let admin = erp.client("postgres").await;
        run(&admin, PAST).await;
        run(
            &admin,
            "select attach_quote_collaboration(options => '{\"archive_after\": \"6 months\", \"drop_after\": \"7 months\"}')",
        )
        .await;
        run(&admin, obstacle).await;
        for round in ["first", "second", "third"] {
            let changes = erp.count("select count(*) from quote_changes").await;
            run(&admin, &format!("update quotes set notes = '{round}'")).await;
            let written = erp.count("select count(*) from quote_changes").await - changes;
            let sealed = erp.count("select (quote_collab_maintenance() ->> 'rows_sealed')::bigint").await;
            assert!(sealed >= written && written > 0, "{obstacle}: {sealed} of {written} rows are sealed");
        }
        let told = consult(&admin).await;
        let is_told = ["history let go as it was sealed", "history archived when due"];
        assert!(is_told.iter().any(|check| told[*check] != "ok"), "{obstacle}");
        // Without it the months go: what could not be dropped is tried again a day later.
        run(&admin, &format!("{end}; update quote_collab_settings set drop_refused_at = null")).await;
        for _ in 0..4 {
            run(&admin, "select quote_collab_maintenance()").await;
        }
        let left = "select count(*)::text from pg_class where relname ~ '^quote_changes_past_[01]$'";
        assert_eq!(text(&admin, left).await, "0", "{obstacle}");
        let told = consult(&admin).await;
        assert!(is_told.iter().all(|check| told[*check] == "ok"), "{obstacle}");
    }
}

#[tokio::test]
async fn presence_that_is_gone_keeps_nobody_from_sealing() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, "alter table active_quote_sessions rename to away; update quotes set notes = 'sealed'").await;
    assert!(erp.count("select (quote_collab_maintenance() ->> 'rows_sealed')::bigint").await > 0);
}

#[tokio::test]
async fn months_that_nobody_can_build_now_hold_up_nothing() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, "update quotes set notes = 'stray'").await;
    run(
        &admin,
        "insert into quote_changes select (jsonb_populate_record(null::quote_changes, to_jsonb(c) || jsonb_build_object('id', gen_random_uuid(), 'changed_at', now() - make_interval(years => 5, months => n)))).*
         from (select * from quote_changes limit 1) c, generate_series(1, 12) n",
    )
    .await;
    assert!(count(&admin, "select count(*) from quote_changes_default").await >= 12);
    let another = erp.client("postgres").await;
    run(&another, "begin; lock table quote_changes_seals in share update exclusive mode").await;
    // Sealing waits once, for five seconds.
    run(&admin, "set statement_timeout = '25s'; select quote_collab_maintenance()").await;
    run(&another, "rollback").await;
}

#[tokio::test]
async fn batches_that_stay_are_kept_from_others_all_the_same() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create function keep() returns trigger language plpgsql as 'begin raise exception ''nothing is deleted''; end';
         create trigger keep before delete on quote_relay_batch for each row execute function keep();
         insert into quote_relay_batch (no, prev, cur, prev_at, cur_at, floor_at, origin)
         select b.no + n, b.prev, b.cur, b.prev_at, now() - interval '2 days', b.floor_at, b.origin from quote_relay_batch b, generate_series(1, 2) n where b.no = 0;
         update quote_relay_lease set batch = 2; update quotes set notes = 'sealed'",
    )
    .await;
    run(&admin, "begin").await;
    assert!(count(&admin, "select (quote_collab_maintenance() ->> 'rows_sealed')::bigint").await > 0);
    let held = "select count(*) from pg_locks where pid = pg_backend_pid() and relation = 'quote_relay_batch'::regclass and mode = 'ShareUpdateExclusiveLock'";
    assert_eq!(count(&admin, held).await, 1, "nobody else maintains meanwhile");
    run(&admin, "rollback").await;
}
