//! What was sealed and then changed is found, whatever was changed.

use std::sync::Arc;

use quote_collab_tests::statement::{run, text};
use quote_collab_tests::{Erp, Postgres};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::watch;
use tokio_postgres::Client;

const TAMPERINGS: usize = 500;
const SEED: u64 = 20_260_101;

/// Ways to forge one row, `ROW` standing for it.
const ROWS: [&str; 27] = [
    "update quote_changes set id = gen_random_uuid() where ROW",
    "update quote_changes set tenant_id = gen_random_uuid() where ROW",
    "update quote_changes set quote_id = gen_random_uuid() where ROW",
    "update quote_changes set quote_line_id = gen_random_uuid() where ROW",
    "update quote_changes set changed_by = gen_random_uuid() where ROW",
    "update quote_changes set changed_at = changed_at + interval '1 microsecond' where ROW",
    "update quote_changes set changed_at = changed_at - interval '5 years' where ROW",
    "update quote_changes set entity_type = entity_type || ' ' where ROW",
    "update quote_changes set field_name = field_name || 's' where ROW",
    "update quote_changes set old_value = case when old_value is null then 'null'::jsonb end where ROW",
    "update quote_changes set old_value = jsonb_build_array(old_value) where ROW",
    "update quote_changes set new_value = jsonb_build_array(new_value) where ROW",
    "update quote_changes set old_value = new_value, new_value = '\"forged\"' where ROW",
    "update quote_changes set change_type = 'FORGED' where ROW",
    "update quote_changes set session_id = gen_random_uuid() where ROW",
    "update quote_changes set was_conflict = not was_conflict where ROW",
    "update quote_changes set conflict_resolution = coalesce(conflict_resolution, '') || 'MERGED' where ROW",
    "update quote_changes set entity_version_before = coalesce(entity_version_before, 0) + 1 where ROW",
    "update quote_changes set entity_version_after = coalesce(entity_version_after, 0) + 1 where ROW",
    "update quote_changes set event_id = gen_random_uuid() where ROW",
    "update quote_changes set position = position + 1000000 where ROW",
    "update quote_changes set xid = (xid::text::bigint - 1)::text::xid8 where ROW",
    "update quote_changes set xid = (xid::text::bigint + 1000000)::text::xid8 where ROW",
    "update quote_changes set origin = origin + 1 where ROW",
    "update quote_changes set context = coalesce(context, '{}') || '{\"forged\": true}' where ROW",
    "delete from quote_changes where ROW",
    "insert into quote_changes select gen_random_uuid(), tenant_id, quote_id, quote_line_id, changed_by, changed_at, entity_type, field_name,
        old_value, new_value, change_type, session_id, was_conflict, conflict_resolution, entity_version_before, entity_version_after,
        event_id, position, xid, origin, context from quote_changes where ROW",
];

/// Ways to forge the chain or more than one row, `NO` standing for a block.
const CHAIN: [&str; 16] = [
    "update quote_changes set position = 1000000 - position",
    "delete from quote_changes",
    "delete from quote_changes where position > (select max(position) - 5 from quote_changes)",
    "update quote_changes_seals set rows = rows + 1 where no = NO",
    "update quote_changes_seals set root = sha256(root) where no = NO",
    "update quote_changes_seals set hash = sha256(hash) where no = NO",
    "update quote_changes_seals set sealed_at = sealed_at + interval '1 second' where no = NO",
    "update quote_changes_seals set cur = '3:9:' where no = NO",
    "update quote_changes_seals set origin = origin + 1 where no = NO",
    "delete from quote_changes_seals where no = NO",
    "delete from quote_changes_seals where no >= NO",
    "update quote_changes_seals set no = -no - 1 where no = NO",
    "delete from quote_changes_seals",
    "update quote_changes_seals set form = 3 - form where no = NO",
    "update quote_changes_seals set signature = hash || hash, signed_by = hash where no = NO",
    "update quote_changes_seals set signed_by = hash where no = NO",
];

async fn number(client: &Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.unwrap_or_else(|error| panic!("{query}: {error:?}")).get(0)
}

#[tokio::test]
async fn every_tampering_is_found() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    for round in 0..6 {
        admin
            .batch_execute(&format!(
                "update quotes set notes = 'round {round}', contact_name = null where id in (select id from quotes order by id offset {round} * 3 limit 6);
                 update quote_lines set description = 'line {round}' where id in (select id from quote_lines order by id limit 4)"
            ))
            .await
            .unwrap();
        admin.batch_execute("select seal_quote_history()").await.unwrap();
    }
    let digest: String = admin.query_one("select quote_history_digest()", &[]).await.unwrap().get(0);
    let found = format!("select count(*) from verify_quote_history('{digest}')");
    assert_eq!(number(&admin, &found).await, 0);
    let (rows, blocks) = (
        number(&admin, "select count(*) from quote_changes").await,
        number(&admin, "select max(no) from quote_changes_seals").await,
    );
    println!("seed {SEED}: {TAMPERINGS} tamperings with {rows} rows in {blocks} blocks");
    let mut random = StdRng::seed_from_u64(SEED);
    for _ in 0..TAMPERINGS {
        let way = random.random_range(0..ROWS.len() + CHAIN.len());
        let row = random.random_range(0..rows);
        let statement = match ROWS.get(way) {
            Some(way) => way.replace(
                "ROW",
                &format!("id = (select id from quote_changes order by position, id offset {row} limit 1)"),
            ),
            None => CHAIN[way - ROWS.len()].replace("NO", &random.random_range(0..=blocks).to_string()),
        };
        admin
            .batch_execute(&format!("begin; {statement}"))
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        assert!(number(&admin, &found).await > 0, "not found: {statement}");
        admin.batch_execute("rollback").await.unwrap();
    }
    assert_eq!(number(&admin, &found).await, 0);
}

#[tokio::test]
async fn every_row_is_sealed_once_however_transactions_overlap() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    // Writes first, commits last.
    let slow = erp.client("postgres").await;
    slow.batch_execute(
        "begin; update quotes set notes = 'slow' where id = (select id from quotes order by id limit 1)",
    )
    .await
    .unwrap();
    let (sealed, blocks) = watch::channel(0);
    let mut writers = Vec::new();
    for writer in 1..=4 {
        let client = erp.client("postgres").await;
        let mut blocks = blocks.clone();
        writers.push(tokio::spawn(async move {
            for turn in 0..60 {
                // Somebody seals meanwhile, however slow he is.
                blocks.wait_for(|blocks| *blocks >= turn / 15).await.expect("somebody seals");
                let statement = format!(
                    "begin; update quotes set notes = '{turn}' where id = (select id from quotes order by id offset {writer} limit 1);
                     savepoint a; update quotes set notes = 'b{turn}' where id = (select id from quotes order by id offset {writer} + 10 limit 1); {}",
                    if turn % 7 == 0 { "rollback" } else { "commit" }
                );
                client.batch_execute(&statement).await.expect("a writer writes");
            }
        }));
    }
    while writers.iter().any(|writer| !writer.is_finished()) {
        admin.batch_execute("select seal_quote_history()").await.unwrap();
        sealed.send_replace(number(&admin, "select max(no) from quote_changes_seals").await);
    }
    for writer in writers {
        writer.await.expect("a writer ends");
    }
    slow.batch_execute("commit").await.unwrap();
    admin.batch_execute("select seal_quote_history()").await.unwrap();
    assert_eq!(number(&admin, "select count(*) from verify_quote_history()").await, 0);
    assert!(number(&admin, "select max(no) from quote_changes_seals").await > 3);
    assert_eq!(number(&admin, "select (select sum(rows) from quote_changes_seals)::bigint - (select count(*) from quote_changes)").await, 0);
    assert_eq!(number(&admin, "select count(*) from quote_changes").await, 4 * 51 * 2 + 1);
}

#[tokio::test]
async fn nobody_but_the_owner_reads_or_writes_the_chain() {
    let erp = Erp::attached().await;
    for role in ["erp_app", "quote_gateway"] {
        let client = erp.client(role).await;
        for statement in [
            "select * from quote_changes_seals",
            "delete from quote_changes_seals",
            "select seal_quote_history()",
            "select verify_quote_history()",
            "select quote_history_digest()",
        ] {
            let error = client.batch_execute(statement).await.expect_err(statement);
            assert_eq!(error.as_db_error().unwrap().code().code(), "42501", "{role}: {statement}");
        }
    }
}

/// A log with a month three months ago, and the first day of that month.
const LONG_AGO: &str = "select create_quote_changes_month('quote_changes', to_char(m, '\"quote_changes_\"YYYY_MM')::name, m, m + interval '1 month')
    from (select date_trunc('month', now(), 'UTC') - interval '3 months') x (m)";

#[tokio::test]
async fn a_block_that_is_let_go_whole_is_no_tampering() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    for statement in [
        LONG_AGO,
        "update quotes set notes = 'old'",
        "update quote_changes set changed_at = date_trunc('month', now(), 'UTC') - interval '3 months' + interval '3 days'",
        "select seal_quote_history()",
        "update quotes set notes = 'new'",
        "select seal_quote_history()",
    ] {
        admin.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
    let findings =
        "select coalesce(string_agg(v.finding, ' ' order by v.block), '') from verify_quote_history() v";
    let found = async || admin.query_one(findings, &[]).await.unwrap().get::<_, String>(0);
    assert_eq!(found().await, "");
    admin
        .batch_execute("select archive_quote_changes('1 month'), drop_archived_quote_changes('1 month')")
        .await
        .unwrap();
    assert_eq!(found().await, "released");
    admin.batch_execute("update quotes set notes = 'newer'; select seal_quote_history()").await.unwrap();
    assert_eq!(found().await, "released");
}

#[tokio::test]
async fn a_clock_that_was_set_is_no_tampering() {
    // On a server of its own: a transaction that runs somewhere else would leave the floor of the blocks where it is.
    let erp = Erp::attached_on(Arc::new(Postgres::start().await)).await;
    let admin = erp.client("postgres").await;
    let findings =
        "select coalesce(string_agg(v.finding || ' ' || v.detail, ', '), '') from verify_quote_history() v";
    for (note, step) in
        [("now", "0"), ("ahead", "2 days"), ("behind", "-40 days"), ("far", "40 days"), ("again", "0")]
    {
        admin.batch_execute("select seal_quote_history()").await.unwrap();
        // What a clock that is set meanwhile does to a row.
        admin
            .batch_execute(&format!(
                "begin; update quotes set notes = '{note}';
                 update quote_changes set changed_at = changed_at + interval '{step}' where new_value = to_jsonb('{note}'::text); commit"
            ))
            .await
            .unwrap();
        let sealed: i64 = admin.query_one("select seal_quote_history()", &[]).await.unwrap().get(0);
        assert_eq!(sealed, erp.count("select count(*) from quotes").await, "{note}");
        assert_eq!(admin.query_one(findings, &[]).await.unwrap().get::<_, String>(0), "", "{note}");
    }
    let forms = "select string_agg(form::text, '' order by no) from quote_changes_seals where rows > 0";
    assert_eq!(admin.query_one(forms, &[]).await.unwrap().get::<_, String>(0), "23332");
    admin
        .batch_execute(
            "update quote_changes set field_name = 'other' where new_value = to_jsonb('far'::text)",
        )
        .await
        .unwrap();
    assert!(admin.query_one(findings, &[]).await.unwrap().get::<_, String>(0).starts_with("content"));
}

#[tokio::test]
async fn floors_are_the_same_in_every_time_zone() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    // Also where a day has 23 or 25 hours.
    for zone in ["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati"] {
        run(&admin, &format!("set timezone = '{zone}'")).await;
        for (before, floor) in [
            ("2026-11-28 04:43Z", "2026-11-02 00:00Z"),
            ("2026-11-02 00:00Z", "2026-11-02 00:00Z"),
            ("2026-11-01 23:59Z", "2026-10-02 00:00Z"),
            ("2026-03-09 12:00Z", "2026-03-02 00:00Z"),
            ("-infinity", "-infinity"),
        ] {
            for (prev, cur) in [("5:5:", "7:9:"), ("5:8:", "7:9:")] {
                let (prev_at, floor_at) =
                    if prev == "5:5:" { (before, "infinity") } else { ("infinity", before) };
                let is_floor = format!(
                    "select (quote_block_floor('{prev}', '{cur}', '{prev_at}', '{floor_at}') = '{floor}'::timestamptz)::text"
                );
                assert_eq!(text(&admin, &is_floor).await, "true", "{zone}: {before} of {prev} {cur}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_written_and_sealed_meanwhile_is_no_tampering() {
    let erp = Erp::attached_on(Arc::new(Postgres::start().await)).await;
    let admin = erp.client("postgres").await;
    let writer = erp.client("postgres").await;
    let writing = tokio::spawn(async move {
        run(
            &writer,
            "do $$ begin for i in 1 .. 400 loop
                 update quotes set notes = 'meanwhile ' || i where id = (select id from quotes limit 1); commit; perform seal_quote_history(); commit;
             end loop; end $$",
        )
        .await;
    });
    let findings =
        "select coalesce(string_agg(v.finding || ' ' || v.detail, ', '), '') from verify_quote_history() v";
    let mut verified = 0;
    while !writing.is_finished() || verified < 3 {
        assert_eq!(text(&admin, findings).await, "");
        verified += 1;
    }
    writing.await.unwrap();
    run(&admin, "begin; update quotes set notes = 'my own'").await;
    assert_eq!(text(&admin, findings).await, "", "in the transaction that wrote");
    run(&admin, "savepoint a; update quotes set notes = 'in a savepoint'").await;
    assert_eq!(text(&admin, findings).await, "", "in its savepoint");
    run(&admin, "rollback").await;
}
