//! Each change has a position of its own, behind those before it, whatever happens to the server; and the ERP's `lastval()` is not of them.

use futures_util::future::join_all;
use quote_collab_tests::statement::{WRITE, count, run, sqlstate, text};
use quote_collab_tests::{Erp, Postgres, Settings};

const COLLISIONS: &str = "select count(*) from (select from quote_changes group by position having count(distinct event_id) > 1) p";

/// An ERP, or the driver below it, asks that for the id of the row it has just inserted.
#[tokio::test]
async fn lastval_is_that_of_the_erp() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create table counted (id bigserial, note text); grant all on counted, counted_id_seq to erp_app",
    )
    .await;
    let app = erp.client("erp_app").await;
    let lastval = "select lastval()::text";
    run(&app, WRITE).await;
    assert_eq!(sqlstate(&app, lastval).await, "55000", "nothing of the session's own was counted");
    run(&app, "insert into counted (note) values ('first'), ('second')").await;
    for change in [
        WRITE,
        "update quotes set notes = 'many'",
        "insert into quote_lines (tenant_id, quote_id, line_number, quantity, unit_price, line_amount) select tenant_id, id, 77, 1, 1, 1 from quotes limit 1",
        "delete from quote_lines where line_number = 77",
        "do $$ begin update quotes set notes = 'undone'; raise 'undone'; exception when others then null; end $$",
    ] {
        run(&app, change).await;
        assert_eq!(text(&app, lastval).await, "2", "{change}");
    }
    assert_eq!(erp.count(COLLISIONS).await, 0);
}

/// What was given is not given again, with all that a checkpoint, a rollback or a crash in between makes of a sequence.
#[tokio::test]
async fn a_crash_gives_no_position_again() {
    for wal_level in ["replica", "minimal"] {
        let settings = Settings {
            // Recovery compares each page of a sequence with the page that was logged.
            extra: [
                ("wal_level", wal_level),
                ("max_wal_senders", "0"),
                ("wal_consistency_checking", "sequence"),
            ]
            .map(|(name, value)| (name, value.to_owned()))
            .to_vec(),
            ..Settings::default()
        };
        let mut server = Postgres::start_with(settings).await;
        let mut given = 0;
        for round in 0..8_u32 {
            let admin = server.client("erp", "postgres").await;
            for turn in 0..=round * 9 {
                run(&admin, WRITE).await;
                if round % 3 == 1 && turn % 20 == 5 {
                    run(&admin, "checkpoint").await;
                }
            }
            let written = round * 9 + 1;
            let first = format!(
                "select min(position) from (select position from quote_changes order by position desc limit {written}) n"
            );
            let first = count(&admin, &first).await;
            assert!(first > given, "{wal_level}, round {round}: {first} behind {given}");
            run(&admin, "begin; update quotes set notes = 'undone'").await;
            run(&admin, "rollback").await;
            given = count(&admin, "select max(position) from quote_changes").await;
            let last = count(&admin, "select last_value from quote_changes_position_seq").await;
            assert!(last >= given, "{last} behind {given}");
            drop(admin);
            server.stop_hard();
            server.restart().await;
        }
        let admin = server.client("erp", "postgres").await;
        assert_eq!(count(&admin, COLLISIONS).await, 0);
    }
}

#[tokio::test]
async fn sessions_at_once_share_no_position() {
    let erp = Erp::attached().await;
    let writers = (0..8).map(|writer| {
        let erp = &erp;
        async move {
            let app = erp.client("erp_app").await;
            for turn in 0..100 {
                run(
                    &app,
                    &format!(
                        "update quotes set notes = '{writer} {turn}' where quote_number like '%{writer}'"
                    ),
                )
                .await;
                // The default of the column asks the sequence by itself, as a release before did.
                if turn % 10 == writer {
                    let admin = erp.client("postgres").await;
                    run(&admin, "select nextval('quote_changes_position_seq')").await;
                }
            }
        }
    });
    join_all(writers).await;
    assert_eq!(erp.count(COLLISIONS).await, 0);
    let counted = "select count(*) from (select position, lag(position) over (partition by quote_id order by entity_version_after) as before from quote_changes) v where before >= position";
    assert_eq!(erp.count(counted).await, 0);
}

/// Somebody has declared the sequence as another: PostgreSQL counts it, and says when it is at its end.
#[tokio::test]
async fn a_sequence_that_was_declared_anew_is_counted_as_it_says() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let last = "select max(position) from quote_changes";
    run(&admin, WRITE).await;
    let before = count(&admin, last).await;
    run(&admin, "alter sequence quote_changes_position_seq increment 5").await;
    run(&admin, WRITE).await;
    run(&admin, WRITE).await;
    assert!(count(&admin, last).await >= before + 10);
    run(&admin, "alter sequence quote_changes_position_seq increment 1 cache 7").await;
    run(&admin, WRITE).await;
    run(&admin, "alter sequence quote_changes_position_seq cache 1").await;
    let end = count(&admin, "select last_value from quote_changes_position_seq").await + 2;
    run(&admin, &format!("alter sequence quote_changes_position_seq maxvalue {end}")).await;
    run(&admin, WRITE).await;
    run(&admin, WRITE).await;
    assert_eq!(count(&admin, last).await, end);
    assert_eq!(sqlstate(&admin, WRITE).await, "2200H");
    run(&admin, "alter sequence quote_changes_position_seq no maxvalue").await;
    run(&admin, WRITE).await;
    assert_eq!(erp.count(COLLISIONS).await, 0);
}
