//! `quote_events_since`: commits that overtake each other, rollbacks and savepoints lose and repeat nothing.

use quote_collab_tests::history::UPDATED;
use quote_collab_tests::statement::{run, text};
use quote_collab_tests::{Erp, Postgres, ledger};
use tokio_postgres::Client;

const WRITERS: usize = 8;
const TRANSACTIONS: usize = 150;

#[tokio::test]
async fn a_reader_beside_eight_writers_gets_every_event_once_and_in_version_order() {
    let erp = Erp::attached().await;
    let reader = erp.client("postgres").await;
    let mut cursor: String = reader.query_one("select quote_events_cursor()", &[]).await.unwrap().get(0);
    // A transaction that took its id and its positions first and commits last.
    let mut slow = erp.client("erp_app").await;
    let last = erp.quote(150).await;
    let slow = slow.transaction().await.unwrap();
    slow.execute("update quotes set notes = 'slow' where id = $1", &[&last]).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let client = erp.client("erp_app").await;
        let quotes = [erp.quote(writer).await, erp.quote(writer + 1).await];
        writers.spawn(async move {
            for turn in 0..TRANSACTIONS {
                let quote = quotes[turn % 2];
                let end = if turn % 20 == 19 { "rollback" } else { "commit" };
                let statement = format!(
                    "begin; update quotes set notes = '{writer}.{turn}' where id = '{quote}'; savepoint s;
                     update quotes set contact_name = '{turn}' where id = '{quote}'; {} {end}",
                    if turn % 5 == 0 { "rollback to s;" } else { "release s;" }
                );
                client.batch_execute(&statement).await.unwrap();
            }
        });
    }
    let mut seen = Vec::new();
    let mut done = false;
    let mut slow = Some(slow);
    loop {
        let rows =
            reader.query("select cursor, event from quote_events_since($1, 7)", &[&cursor]).await.unwrap();
        if let Some(row) = rows.last() {
            cursor = row.get(0);
        }
        seen.extend(rows.iter().map(|row| row.get::<_, serde_json::Value>(1)));
        if rows.is_empty() && done {
            match slow.take() {
                Some(slow) => slow.commit().await.unwrap(),
                None => break,
            }
        }
        done = done || {
            while writers.try_join_next().is_some() {}
            writers.is_empty()
        };
    }
    ledger::must_be_whole(&seen, erp.count("select count(distinct event_id) from quote_changes").await);
}

#[tokio::test]
async fn a_tenant_reads_its_own_events_only() {
    let erp = Erp::attached().await;
    erp.client("postgres").await.batch_execute("update quotes set notes = 'x'").await.unwrap();
    let app = erp.client("erp_app").await;
    assert!(app.query("select * from quote_events_since(null, 1000)", &[]).await.unwrap().is_empty());
    for tenant in erp.tenants().await {
        app.batch_execute(&format!("set app.current_tenant_id = '{tenant}'")).await.unwrap();
        let rows =
            app.query("select event ->> 'tenant_id' from quote_events_since(null, 1000)", &[]).await.unwrap();
        assert!(!rows.is_empty() && rows.iter().all(|row| row.get::<_, String>(0) == tenant.to_string()));
    }
}

async fn cursor(client: &Client) -> String {
    client.query_one("select quote_events_cursor()", &[]).await.expect("a cursor").get(0)
}

/// What the events after a cursor put into notes; the cursor moves behind them.
async fn told(client: &Client, cursor: &mut String) -> Vec<String> {
    let rows =
        client.query("select cursor, event from quote_events_since($1)", &[&*cursor]).await.expect("events");
    if let Some(row) = rows.last() {
        *cursor = row.get(0);
    }
    let note = |event: serde_json::Value| event["fields"][0]["new"].as_str().unwrap_or_default().to_owned();
    rows.iter().map(|row| note(row.get(1))).collect()
}

async fn write(client: &Client, note: &str) {
    let statement = format!(
        "update quotes set notes = '{note}' where id = (select id from quotes order by quote_number limit 1)"
    );
    client.batch_execute(&statement).await.unwrap_or_else(|error| panic!("{note}: {error:?}"));
}

#[tokio::test]
async fn a_transaction_that_reads_events_is_not_over_itself() {
    let erp = Erp::attached().await;
    let (writer, other) = (erp.client("postgres").await, erp.client("postgres").await);
    let second = "update quotes set notes = 'between' where id = (select id from quotes order by quote_number desc limit 1)";
    writer.batch_execute("begin").await.unwrap();
    write(&writer, "before").await;
    other.batch_execute(second).await.unwrap();
    let mut inside = cursor(&writer).await;
    write(&writer, "after").await;
    let mut from_the_start = inside.clone();
    assert_eq!(told(&writer, &mut from_the_start).await, [""; 0], "nothing of its own before it commits");
    writer.batch_execute("commit").await.unwrap();
    assert_eq!(told(&other, &mut inside).await, ["before", "after"]);
    assert_eq!(told(&other, &mut inside).await, [""; 0]);
}

#[tokio::test]
async fn what_a_clock_says_of_a_change_does_not_matter() {
    let server = std::sync::Arc::new(
        Postgres::start_with(
            quote_collab_tests::Settings::default().with(&[("max_prepared_transactions", "2")]),
        )
        .await,
    );
    let erp = Erp::attached_on(server).await;
    let admin = erp.client("postgres").await;
    let shift = |by: &str| {
        format!(
            "update quote_changes set changed_at = changed_at + interval '{by}' where position = (select max(position) from quote_changes)"
        )
    };
    // A transaction that was prepared days ago is still running.
    admin.batch_execute("set quote_collab.notify = off; begin").await.unwrap();
    write(&admin, "long ago").await;
    admin.batch_execute(&format!("{}; prepare transaction 'old'", shift("-3 days"))).await.unwrap();
    let mut reader = cursor(&admin).await;
    assert_eq!(told(&admin, &mut reader).await, [""; 0], "whoever has the newest number is still running");
    admin.batch_execute("commit prepared 'old'").await.unwrap();
    assert_eq!(told(&admin, &mut reader).await, ["long ago"]);
    // A clock that ran ahead, and was put right.
    write(&admin, "ahead").await;
    admin.batch_execute(&shift("3 days")).await.unwrap();
    assert_eq!(told(&admin, &mut reader).await, ["ahead"]);
    let epoch: i64 =
        admin.query_one("select quote_relay_lease('test', '1 minute')", &[]).await.unwrap().get(0);
    let batch: Option<i64> =
        admin.query_one("select quote_relay_open_batch($1)", &[&epoch]).await.unwrap().get(0);
    // The relay has looked since before the first of the two, which cannot be older than that.
    let relayed =
        "select count(*) from quote_relay_read($1, 0, 100) where event #>> '{fields,0,new}' = 'ahead'";
    let relayed: i64 = admin.query_one(relayed, &[&batch]).await.unwrap().get(0);
    assert_eq!(relayed, 1);
}

#[tokio::test]
async fn a_cursor_outlives_a_crash() {
    let mut server = Postgres::start().await;
    let admin = server.client("erp", "postgres").await;
    write(&admin, "first").await;
    for _ in 0..20 {
        admin.batch_execute("begin").await.unwrap();
        write(&admin, "lost").await;
        admin.batch_execute("rollback").await.unwrap();
    }
    let mut reader = cursor(&admin).await;
    server.stop_hard();
    drop(admin);
    server.restart().await;
    let admin = server.client("erp", "postgres").await;
    for note in ["one", "two", "three"] {
        write(&admin, note).await;
    }
    assert_eq!(told(&admin, &mut reader).await, ["one", "two", "three"]);
}

#[tokio::test]
async fn the_log_is_flushed_wherever_it_ends() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute("select pg_switch_wal(); select quote_events_cursor()").await.expect("a new segment");
    admin
        .batch_execute(
            "do $$ begin
                 for size in 1 .. 4000 loop
                     perform pg_logical_emit_message(false, 'test', repeat('x', size % 1200 * 8)), flush_quote_feed();
                 end loop; end $$",
        )
        .await
        .expect("every place of a page");
}

#[tokio::test]
async fn the_checkpoint_follows_a_stream_that_begins_again() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let lease = "select quote_relay_lease('test', interval '1 minute')";
    let epoch: i64 = admin.query_one(lease, &[]).await.unwrap().get(0);
    for (batch, sequence) in [(3i64, 100i64), (4, 2)] {
        let save = "select quote_relay_checkpoint($1, $2, 1, $3)";
        admin.execute(save, &[&epoch, &batch, &sequence]).await.unwrap();
        let row = admin.query_one("select batch, stream_seq from quote_relay_position()", &[]).await.unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (batch, sequence));
    }
}

#[tokio::test]
async fn a_transaction_that_looks_back_does_not_read_ahead() {
    let erp = Erp::attached().await;
    let (admin, slow, old) =
        (erp.client("postgres").await, erp.client("postgres").await, erp.client("postgres").await);
    let mut reader = cursor(&admin).await;
    write(&admin, "one").await;
    slow.batch_execute("begin").await.unwrap();
    // Another row: nobody waits for another.
    slow.batch_execute("update quotes set notes = 'two' where id = (select id from quotes order by quote_number desc limit 1)").await.unwrap();
    write(&admin, "three").await;
    old.batch_execute("begin isolation level repeatable read; select count(*) from quotes").await.unwrap();
    slow.batch_execute("commit").await.unwrap();
    let first = admin.query_one("select cursor from quote_events_since($1, 1)", &[&reader]).await.unwrap();
    reader = first.get(0);
    let refused =
        old.query("select * from quote_events_since($1, 10)", &[&reader]).await.expect_err("too new");
    assert_eq!(refused.code().map(tokio_postgres::error::SqlState::code), Some("55000"));
    old.batch_execute("rollback; begin isolation level repeatable read").await.unwrap();
    let seen = old.query("select * from quote_events_since($1, 10)", &[&reader]).await.unwrap();
    assert_eq!(seen.len(), 2);
    assert_eq!(told(&admin, &mut reader).await.len(), 2);
}

#[tokio::test]
async fn an_event_that_no_jsonb_holds_is_told_without_its_values() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let mut reader = cursor(&admin).await;
    let id = erp.quote(0).await;
    for (letter, megabytes) in [("'x'", 140), ("'y'", 140), ("chr(1)", 180)] {
        let update = format!(
            "update quotes set notes = repeat({letter}, {megabytes} * 1024 * 1024) where id = '{id}'"
        );
        admin.batch_execute(&update).await.unwrap();
    }
    // Together with the notes the row is too large for one jsonb: it can be told no more, and go all the same.
    admin.batch_execute(&format!("update quotes set terms_and_conditions = repeat('z', 200 * 1024 * 1024) where id = '{id}'; delete from quote_lines where quote_id = '{id}'; delete from quotes where id = '{id}'")).await.unwrap();
    let (rest, number): (Option<i64>, String) = {
        let row = admin.query_one("select (select count(*) from jsonb_object_keys(old_value)), old_value ->> 'quote_number' from quote_changes where change_type = 'DELETE' and entity_type = 'QUOTE'", &[]).await.unwrap();
        (row.get(0), row.get(1))
    };
    // What is large is in the history of its own; the rest is told.
    assert_eq!(
        rest,
        Some(
            erp.count(
                "select count(*) - 2 from pg_attribute where attrelid = 'quotes'::regclass and attnum > 0"
            )
            .await
        )
    );
    assert!(!number.is_empty());
    write(&admin, "behind").await;
    let events = admin.query("select event from quote_events_since($1, 1000)", &[&reader]).await.unwrap();
    let whole = events.iter().filter(|row| row.get::<_, serde_json::Value>(0)["truncated"] == false).count();
    assert_eq!(events.len() - whole, 4, "four events are too large");
    assert!(told(&admin, &mut reader).await.contains(&"behind".to_owned()));
    let epoch: i64 =
        admin.query_one("select quote_relay_lease('test', interval '1 hour')", &[]).await.unwrap().get(0);
    let batch: i64 = admin.query_one("select quote_relay_open_batch($1)", &[&epoch]).await.unwrap().get(0);
    let relayed =
        "select count(*) from quote_relay_read($1, 0, 1000) r where octet_length(r.event::text) < 1000000";
    assert_eq!(
        admin.query_one(relayed, &[&batch]).await.unwrap().get::<_, i64>(0),
        i64::try_from(events.len()).unwrap()
    );
}

/// A few hundred kB of numbers print as more than PostgreSQL can hold, and what is as deep as its stack allows is deeper in an event.
#[tokio::test]
async fn an_event_that_prints_as_too_much_is_told_without_its_values() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let id = erp.quote(0).await;
    run(&admin, "alter table quotes add details jsonb").await;
    let mut reader = cursor(&admin).await;
    let values = [
        "(select jsonb_agg(1e131071::numeric) from generate_series(1, 10000))",
        "(select jsonb_object_agg(n, jsonb_build_array(1e-16383::numeric, null, true, '')) from generate_series(1, 600) n)",
        "(select jsonb_agg(n * 1e9) from generate_series(1, 10000) n)",
        "(repeat('[', 5000) || repeat(']', 5000))::jsonb",
        "(repeat('{\"a\": ', 100) || '1e131071' || repeat('}', 100))::jsonb",
    ];
    for value in values {
        run(&admin, &format!("update quotes set details = {value} where id = '{id}'")).await;
    }
    write(&admin, "behind").await;
    let told = "select event ->> 'truncated' from quote_events_since($1, 1000)";
    let truncated: Vec<String> =
        admin.query(told, &[&reader]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(truncated, ["true", "true", "true", "true", "true", "false"]);
    assert!(self::told(&admin, &mut reader).await.contains(&"behind".to_owned()));
    let view = "select count(*) from v_quote_change_events where (event ->> 'truncated')::boolean";
    assert_eq!(erp.count(view).await, 5);
    let relayed = "select count(*), count(*) filter (where r.truncated) from (
        select (event ->> 'truncated')::boolean as truncated from quote_relay_lease('test', interval '1 hour') l (epoch)
        cross join lateral quote_relay_read(quote_relay_open_batch(l.epoch), 0, 1000)) r";
    let row = admin.query_one(relayed, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (6, 5));
}

#[tokio::test]
async fn a_cursor_of_an_earlier_release_is_read_on() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute(UPDATED).await.unwrap();
    let start = cursor(&admin).await;
    for note in ["one", "two", "three"] {
        write(&admin, note).await;
    }
    let half = admin.query_one("select cursor from quote_events_since($1, 1)", &[&start]).await.unwrap();
    let half: String = half.get(0);
    write(&admin, "four").await;
    // It named neither log nor timeline nor place in the write-ahead log.
    let older = |cursor: &str| {
        let parts: Vec<&str> = cursor.split('/').collect();
        format!("1/{}/{}", parts[1], parts[6..].join("/"))
    };
    let mut reader = older(&start);
    assert_eq!(told(&admin, &mut reader).await, ["one", "two", "three", "four"]);
    assert!(reader.starts_with("4/"), "{reader}");
    // A batch that an earlier release began is read to its end as it was begun.
    let within =
        admin.query_one("select cursor from quote_events_since($1, 1)", &[&older(&half)]).await.unwrap();
    let mut reader: String = within.get(0);
    assert!(reader.starts_with("1/"), "{reader}");
    assert_eq!(told(&admin, &mut reader).await, ["three", "four"]);
    assert!(reader.starts_with("4/"), "{reader}");
    let parts: Vec<&str> = start.split('/').collect();
    let [origin, log, timeline, reached] = [parts[1], parts[2], parts[3], parts[4]];
    // Or not the log alone.
    let within =
        format!("2/{origin}/{timeline}/{reached}/{}", half.split('/').skip(6).collect::<Vec<_>>().join("/"));
    let within = admin.query_one("select cursor from quote_events_since($1, 1)", &[&within]).await.unwrap();
    let mut reader: String = within.get(0);
    assert!(reader.starts_with("2/"), "{reader}");
    assert_eq!(told(&admin, &mut reader).await, ["three", "four"]);
    assert!(reader.starts_with("4/"), "{reader}");
    // Or not where the log began.
    let within = format!(
        "3/{origin}/{log}/{timeline}/{reached}/{}",
        half.split('/').skip(6).collect::<Vec<_>>().join("/")
    );
    let within = admin.query_one("select cursor from quote_events_since($1, 1)", &[&within]).await.unwrap();
    let mut reader: String = within.get(0);
    assert!(reader.starts_with("3/"), "{reader}");
    assert_eq!(told(&admin, &mut reader).await, ["three", "four"]);
    assert!(reader.starts_with("4/"), "{reader}");
    for (cursor, code) in [
        ("2".to_owned(), "22023"),
        (format!("2/{origin}/{timeline}/{reached}"), "22023"),
        (format!("2/{origin}/{timeline}/3:3:/0/0"), "22023"),
        (format!("2/{origin}/x/{reached}/3:3:/0/0"), "22023"),
        (format!("2/{origin}/{timeline}//3:3:/0/0"), "22023"),
        (format!("2/{origin}/{timeline}/{reached}/3:3:/0/NaN"), "22023"),
        (format!("3/{origin}/{timeline}/{reached}/3:3:/0/0"), "22023"),
        (format!("4/{origin}/{log}/{timeline}/{reached}/3:3:/0/0"), "22023"),
        (format!("4/{origin}/{log}/{timeline}/{reached}/x/3:3:/0/0"), "22023"),
        (format!("4/{origin}/{log}/{timeline}/{reached}/-1/3:3:/0/0"), "22023"),
        (format!("4/{origin}/{log}/{timeline}/{reached}/1e300/3:3:/0/0"), "22023"),
        (format!("5/{origin}/{log}/{timeline}/{reached}/0/3:3:/0/0"), "22023"),
        (format!("3/{origin}/1/{timeline}/{reached}/3:3:/0/0"), "QC001"),
        (format!("3/{origin}//{timeline}/{reached}/3:3:/0/0"), "QC001"),
        (format!("2/5/{timeline}/{reached}/3:3:/0/0"), "QC001"),
        (format!("2/{origin}/77/1/3:3:/0/0"), "QC001"),
        (format!("2/{origin}/-1/-1/3:3:/0/0"), "QC001"),
        (format!("2/{origin}/{timeline}/{reached}/5:4000000000:5/0/0"), "QC001"),
    ] {
        let refused =
            admin.query("select * from quote_events_since($1)", &[&cursor]).await.expect_err(&cursor);
        assert_eq!(refused.code().map(tokio_postgres::error::SqlState::code), Some(code), "{cursor}");
    }
}

/// Everything of a quote in pieces of this size, as a subscriber reads it that comes back.
async fn missed(admin: &Client, quote: &str, piece: i32) -> Vec<(i64, i64)> {
    let read = format!(
        "select batch, position from quote_events_between('{quote}', $1, $2, (select max(no) from quote_relay_batch), 9223372036854775807, $3)"
    );
    let (mut place, mut told) = ((1_i64, 0_i64), Vec::new());
    loop {
        let rows = admin.query(&read, &[&place.0, &place.1, &piece]).await.expect("a piece is read");
        told.extend(rows.iter().map(|row| (row.get::<_, i64>(0), row.get::<_, i64>(1))));
        match told.last() {
            Some(last) if !rows.is_empty() => place = *last,
            _ => return told,
        }
    }
}

#[tokio::test]
async fn what_was_missed_is_the_same_by_the_piece() {
    let erp = Erp::attached().await;
    let (admin, other) = (erp.client("postgres").await, erp.client("postgres").await);
    let quote: String =
        admin.query_one("select id::text from quotes order by id limit 1", &[]).await.unwrap().get(0);
    let epoch: i64 =
        admin.query_one("select quote_relay_lease('test', interval '1 hour')", &[]).await.unwrap().get(0);
    let relay = format!("select quote_relay_open_batch({epoch})");
    let note = format!("update quotes set notes = clock_timestamp()::text where id = '{quote}'");
    let lines = format!(
        "update quote_lines set quantity = quantity + 1, description = clock_timestamp()::text where quote_id = '{quote}'"
    );
    for statements in [&note, &relay, &lines, &note, &relay] {
        run(&admin, statements).await;
    }
    // A large transaction, during which others commit and batches are cut.
    run(&other, &format!("begin; {lines}; {lines}")).await;
    for statements in [&note, &relay, &note, &relay, &note, &relay] {
        run(&admin, statements).await;
    }
    run(&other, &format!("{lines}; commit; {note}")).await;
    for statements in [&relay, &lines, &relay] {
        run(&admin, statements).await;
    }
    let whole = missed(&admin, &quote, 10_000).await;
    assert!(whole.is_sorted() && whole.len() > 20, "{whole:?}");
    let all = format!("select count(distinct position) from quote_changes where quote_id = '{quote}'");
    assert_eq!(i64::try_from(whole.len()).ok(), Some(erp.count(&all).await));
    for piece in [1, 2, 3, 7] {
        assert_eq!(missed(&admin, &quote, piece).await, whole, "{piece} at a time");
    }
}

/// The feed puts events together as text, the view as jsonb: they tell the same of whatever can be in a row.
#[tokio::test]
async fn events_say_what_the_view_of_events_says() {
    let erp = Erp::attached().await;
    let quote = erp.quote(0).await;
    let admin = erp.client("postgres").await;
    let ugly = "alter table quotes add \"a \"\"b\"\"\\c\" text;
        select set_config('app.current_user_id', (select id::text from users order by id limit 1), false);
        update quotes set \"a \"\"b\"\"\\c\" = E'\\x01\\n\\t\"\\\\ \\u2028 \\U0001F980' || repeat('\"', 50), notes = null, total_amount = 1.50 where id = 'QUOTE';
        update quotes set notes = '', terms_and_conditions = repeat('x', 9000000) where id = 'QUOTE';
        update quotes set terms_and_conditions = null, notes = '{\"\": [1.000, null, \"\\u0007\"]}' where id = 'QUOTE';
        update users set username = E'\"quoted\\\\\\n' where id = current_setting('app.current_user_id')::uuid;
        update quote_lines set quantity = quantity * 1.0000 + 1, description = E'tab\\t' where quote_id = 'QUOTE';
        select set_config('app.current_user_id', '', false);
        delete from quote_lines where quote_id = 'QUOTE';
        delete from quotes where id = 'QUOTE'";
    for statement in ugly.replace("QUOTE", &quote.to_string()).split(";\n") {
        run(&admin, statement).await;
    }
    let compared = "select count(*)::text || ' ' || count(*) filter (where (e.event ->> 'truncated')::boolean) || ' '
            || count(*) filter (where (e.event - 'actor_name') is distinct from v.event or not e.event ? 'actor_name')
        from quote_events_since(null, 10000) e
        full join v_quote_change_events v on v.position = (e.event ->> 'position')::bigint and v.event_id = (e.event ->> 'event_id')::uuid";
    let told = text(&admin, compared).await;
    let (all, rest) = told.split_once(' ').unwrap();
    assert!(all.parse::<i64>().unwrap() >= 8, "{told}");
    assert_eq!(rest, "2 0", "{told}");
}
