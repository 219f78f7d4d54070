//! A dump restored elsewhere, a standby that is promoted, a server that is upgraded: the history is whole, nothing is told twice, nothing missed.

use std::process::Command;

use quote_collab_tests::history::UPDATED;
use quote_collab_tests::statement::{run, text};
use quote_collab_tests::{Erp, Postgres, Settings, built, eventually};
use tokio_postgres::Client;

/// Every event that the relay hands out, batch by batch, as it would to NATS.
async fn relay(client: &Client) -> Vec<String> {
    let one = |query: &'static str| async move {
        client.query_one(query, &[]).await.unwrap_or_else(|error| panic!("{query}: {error:?}"))
    };
    let epoch: i64 = one("select quote_relay_lease('test', interval '1 hour')").await.get(0);
    let mut events = Vec::new();
    loop {
        let opened =
            client.query_one("select quote_relay_open_batch($1)", &[&epoch]).await.expect("a batch is cut");
        let Some(batch) = opened.get::<_, Option<i64>>(0) else { return events };
        let rows =
            client.query("select event ->> 'event_id' from quote_relay_read($1, 0, 100000)", &[&batch]).await;
        events.extend(rows.expect("a batch is read").iter().map(|row| row.get::<_, String>(0)));
    }
}

/// Dumps a database and restores it as another, of the same cluster or of one apart.
async fn restored(from: &Postgres, database: &str, to: &Postgres, name: &str) -> Client {
    run(&to.client("postgres", "postgres").await, &format!("create database {name} template template0"))
        .await;
    let (dump, restore) = (from.url(database, "postgres"), to.url(name, "postgres"));
    let bin = built::server_programs();
    let done = tokio::task::spawn_blocking(move || {
        let mut dump = Command::new(bin.join("pg_dump"))
            .arg(dump)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("pg_dump runs");
        let restored = Command::new(bin.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname"])
            .arg(restore)
            .stdin(dump.stdout.take().expect("its output"))
            .stdout(std::process::Stdio::null())
            .output()
            .expect("psql runs");
        (dump.wait().expect("pg_dump ends").success(), restored)
    })
    .await
    .expect("dump and restore");
    assert!(done.0 && done.1.status.success(), "{}", String::from_utf8_lossy(&done.1.stderr));
    to.client(name, "postgres").await
}

const HISTORY: &str =
    "select md5(string_agg(c::text, '|' order by position, id)) || count(*) from quote_changes c";

/// What must be the same in the database before and after, also when workers have sealed what came along.
const KEPT: [&str; 6] = [
    HISTORY,
    "select string_agg(s::text, '|' order by entity) from quote_collab_settings s",
    "select md5(string_agg(s::text, '|' order by no)) from quote_changes_seals s where form < 4",
    "select count(*)::text from quote_seal_anchor a join quote_changes_seals s on (s.no, s.hash) = (a.no, a.hash)",
    "select string_agg(tgname::text || tgenabled::text, '|' order by tgname) from pg_trigger where tgname ~ '^trg_'",
    "select md5(string_agg(q::text, '|' order by id)) from quotes q",
];

#[tokio::test]
async fn a_restored_dump_is_whole_and_told_to_nobody_again() {
    let (from, to) = tokio::join!(Postgres::start(), Postgres::start_apart());
    let database = from.database().await;
    let source = from.client(&database, "postgres").await;
    source.batch_execute("update quotes set notes = 'before'").await.unwrap();
    source.batch_execute("select quote_collab_maintenance()").await.unwrap();
    assert_eq!(relay(&source).await.len(), 200);
    // Recorded, but neither relayed nor sealed when the dump is made.
    source.batch_execute("update quotes set contact_name = 'last'").await.unwrap();
    let restored = restored(&from, &database, &to, "restored").await;
    for same in KEPT {
        assert_eq!(text(&source, same).await, text(&restored, same).await, "{same}");
    }
    assert_eq!(text(&restored, "select count(*)::text from verify_quote_history()").await, "0");
    assert!(relay(&restored).await.is_empty(), "a restored history is told again");
    restored
        .batch_execute("update quotes set notes = 'after' where id = (select id from quotes limit 1)")
        .await
        .unwrap();
    assert_eq!(relay(&restored).await.len(), 1);
    restored.batch_execute("select quote_collab_maintenance()").await.unwrap();
    restored.batch_execute("update quotes set notes = 'and after'").await.unwrap();
    restored.batch_execute("select quote_collab_maintenance()").await.unwrap();
    assert_eq!(text(&restored, "select count(*)::text from verify_quote_history()").await, "0");
    assert_eq!(relay(&restored).await.len(), 200);
    // What waited for its seal when the dump was made is sealed here.
    assert_eq!(text(&restored, UNSEALED).await, "0");
}

/// A life of a history in a cluster: which, and whether anybody relays and seals there.
type Life<'a> = (&'a Postgres, bool);

/// Moves a history of the first cluster through lives in others, each of which writes before anybody looks, and at its end what
/// nobody relays or seals any more. Gives the last.
async fn lives(name: &str, first: &Postgres, last_writes: &str, others: &[Life<'_>]) -> Client {
    const FIND: &str = "select count(*)::text from verify_quote_history()";
    const LET_GO: &str = "delete from quote_relay_batch where no < (select max(no) from quote_relay_batch)";
    let write = |quotes: usize| {
        format!(
            "update quotes set notes = clock_timestamp()::text where id in (select id from quotes order by id limit {quotes})"
        )
    };
    let mut database = first.database().await;
    let client = first.client(&database, "postgres").await;
    run(&client, "update quotes set notes = 'first'").await;
    assert_eq!(relay(&client).await.len(), 200);
    run(&client, "select seal_quote_history()").await;
    let cursor = text(&client, CURSOR).await;
    run(&client, last_writes).await;
    drop(client);
    let mut from = first;
    for (life, &(cluster, is_looked_at)) in others.iter().enumerate() {
        let next = format!("{name}_{life}");
        let client = restored(from, &database, cluster, &next).await;
        run(&client, &write(life + 5)).await;
        let told = told(&client, &cursor).await;
        assert_eq!(told, Err("QC001".to_owned()), "{next}: what others wrote meanwhile would be passed over");
        if is_looked_at {
            assert_eq!(text(&client, FIND).await, "0", "{next}: what waits for its seal is no finding");
            assert_eq!(
                relay(&client).await.len(),
                life + 5,
                "{next}: what was written here is told, and no more"
            );
            for quotes in [0, 2] {
                run(&client, &write(quotes)).await;
                run(&client, "select seal_quote_history()").await;
                assert_eq!(text(&client, FIND).await, "0", "{next}");
                assert_eq!(text(&client, UNSEALED).await, "0", "{next}");
                assert_eq!(relay(&client).await.len(), quotes, "{next}");
            }
            run(&client, "begin; update quote_changes set new_value = '\"forged\"' where position = 1").await;
            assert_ne!(text(&client, FIND).await, "0", "{next}: a forged row is found");
            run(&client, "rollback").await;
        }
        if !last_writes.is_empty() {
            run(&client, &format!("{LET_GO}; {last_writes}")).await;
        }
        (from, database) = (cluster, next);
    }
    from.client(&database, "postgres").await
}

#[tokio::test]
async fn a_history_that_comes_back_is_told_once_and_sealed_once() {
    let (one, other) = tokio::join!(Postgres::start(), Postgres::start_apart());
    let last = "update quotes set contact_name = clock_timestamp()::text where quote_number < 'Q-2026-00010'";
    let whole = lives("whole", &one, "", &[(&other, true), (&one, true), (&other, true), (&one, true)]).await;
    let missed = "select quote_events_between(gen_random_uuid(), 1, 0, 1000, 0, 10)";
    let error = whole.batch_execute(missed).await.expect_err("the other has told something since");
    assert_eq!(error.as_db_error().expect("the server answered").code().code(), "QC001");
    lives("left", &one, last, &[(&other, true), (&one, true), (&other, true)]).await;
    lives("unseen", &one, "", &[(&other, false), (&one, true), (&other, false), (&one, true)]).await;
    // Nor does a history that stays in its cluster change.
    lives("same", &one, "", &[(&one, true)]).await;
}

#[tokio::test]
async fn a_promoted_standby_goes_on() {
    let primary = Postgres::start().await;
    let admin = primary.client("erp", "postgres").await;
    admin
        .batch_execute("update quotes set notes = 'before'; select quote_collab_maintenance()")
        .await
        .unwrap();
    assert_eq!(relay(&admin).await.len(), 200);
    admin
        .batch_execute(
            "update quotes set contact_name = 'unpublished' where id = (select id from quotes limit 1)",
        )
        .await
        .unwrap();
    let standby = primary.standby().await;
    let reader = standby.client("erp", "postgres").await;
    assert_eq!(text(&admin, HISTORY).await, text(&reader, HISTORY).await);
    for reading in [
        "select count(*)::text from quote_collab_doctor()",
        "select count(*)::text from verify_quote_history()",
        "select count(*)::text from get_quote_change_history((select id from quotes limit 1))",
    ] {
        text(&reader, reading).await;
    }
    // Its snapshots do not say what is running: events would be passed over.
    for reading in ["select quote_events_since(null, 10)", "select quote_events_cursor()"] {
        let error = reader.batch_execute(reading).await.expect_err(reading);
        assert_eq!(error.as_db_error().expect("the server answered").code().code(), "55000");
    }
    // Writes nothing and fails not: a cron job may run it wherever it is.
    text(&reader, "select quote_collab_maintenance()::text").await;
    reader.batch_execute("select pg_promote()").await.unwrap();
    assert_eq!(relay(&reader).await.len(), 1, "what was not told before the failover is told once");
    reader.batch_execute("update quotes set notes = 'after'").await.unwrap();
    assert_eq!(relay(&reader).await.len(), 200);
    reader.batch_execute("select quote_collab_maintenance()").await.unwrap();
    assert_eq!(text(&reader, "select count(*)::text from verify_quote_history()").await, "0");
}

/// How many rows the blocks hold that are not there, or the other way round.
const UNSEALED: &str =
    "select ((select sum(rows) from quote_changes_seals) - (select count(*) from quote_changes))::text";
const VERSION: &str = "select version::text from quotes order by id limit 1";
const POSITION: &str = "select last_value::text from quote_changes_position_seq";

/// Maintenance does nothing while a worker is at it, which may have begun before the last change.
async fn seal_all(client: &Client) {
    eventually("all is sealed", || async {
        run(client, "select quote_collab_maintenance()").await;
        text(client, UNSEALED).await == "0"
    })
    .await;
}

#[tokio::test]
async fn an_upgraded_server_goes_on() {
    // Recorded, but neither relayed nor sealed when the server is stopped.
    let last = async |before: &Client| run(before, "update quotes set contact_name = 'last'").await;
    goes_on_upgraded(Settings::default, last, "survives a power cut").await;
}

/// Its workers might seal at any moment, so everything is sealed before.
#[tokio::test]
async fn an_upgraded_server_with_workers_and_verified_tenants_goes_on() {
    let last = async |before: &Client| {
        run(before, "update quotes set contact_name = 'last'").await;
        seal_all(before).await;
    };
    // The sample's gateway was granted what it needs where tenants were not verified.
    let errors = "survives a power cut, gateways may set the tenant";
    goes_on_upgraded(Settings::verified, last, errors).await;
}

/// Stops an older server after the last change and upgrades it; then the doctor finds these errors.
async fn goes_on_upgraded(settings: fn() -> Settings, last: impl AsyncFnOnce(&Client), errors: &str) {
    let Some(older) = Postgres::start_older(settings()).await else {
        println!("skipped: the tests run on the oldest server, there is none to upgrade from");
        return;
    };
    let before = older.client("erp", "postgres").await;
    run(&before, "update quotes set notes = 'before'").await;
    run(&before, "select quote_collab_maintenance()").await;
    assert_eq!(relay(&before).await.len(), 200);
    let cursor = text(&before, "select quote_events_cursor()").await;
    last(&before).await;
    let mut kept = Vec::new();
    for query in KEPT.iter().chain(&[VERSION, POSITION]) {
        kept.push(text(&before, query).await);
    }
    drop(before);
    let newer = older.upgrade(settings()).await;
    let after = newer.client("erp", "postgres").await;
    for (query, before) in KEPT.iter().chain(&[VERSION, POSITION]).zip(&kept) {
        assert_eq!(&text(&after, query).await, before, "{query}");
    }
    assert_eq!(text(&after, "select count(*)::text from verify_quote_history()").await, "0");
    let tells =
        "select string_agg(tgenabled::text, '') from pg_trigger where tgname = 'quote_settings_changed'";
    assert_eq!(text(&after, tells).await, "A", "sessions hear of changed settings");
    assert!(relay(&after).await.is_empty(), "the history is told again");
    let told = after.query("select * from quote_events_since($1)", &[&cursor]).await;
    let code = told.expect_err("the cursor is of the server before").code().cloned();
    assert_eq!(code.expect("an error of the server").code(), "QC001");
    let schema = "select md5(string_agg(format('%s %s', c.oid::regclass, c.relacl), '|' order by c.oid)) from pg_class c where relnamespace = 'public'::regnamespace";
    let described = text(&after, schema).await;
    run(&after, "select attach_quote_collaboration()").await;
    assert_eq!(text(&after, schema).await, described, "attaching again changes nothing");
    run(&after, "update quotes set notes = 'after' where id = (select id from quotes order by id limit 1)")
        .await;
    assert_eq!(relay(&after).await.len(), 1);
    let next = |text: &str| (text.parse::<i64>().expect("a number") + 1).to_string();
    assert_eq!(text(&after, VERSION).await, next(&kept[6]));
    assert_eq!(text(&after, "select max(position)::text from quote_changes").await, next(&kept[7]));
    run(&after, "update quotes set notes = 'and after'").await;
    seal_all(&after).await;
    assert_eq!(relay(&after).await.len(), 200);
    assert_eq!(text(&after, "select count(*)::text from verify_quote_history()").await, "0");
    let found = "select string_agg(check_name, ', ') from quote_collab_doctor() where severity = 'error'";
    assert_eq!(text(&after, found).await, errors);
}

#[tokio::test]
async fn a_dump_by_the_owner_of_the_quotes_needs_bypassrls() {
    const ROW: &str = "\"what only the history holds\"";
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let prepare = "create role dumper login in role erp_owner; update quotes set notes = 'what only the history holds'; update quotes set notes = 'gone'";
    admin.batch_execute(prepare).await.expect("there is a role that dumps");
    let dump = |options: &'static [&'static str]| {
        let mut dump = Command::new(built::server_programs().join("pg_dump"));
        dump.args(options).arg(erp.url("dumper"));
        async move {
            tokio::task::spawn_blocking(move || dump.output())
                .await
                .expect("pg_dump runs")
                .expect("pg_dump runs")
        }
    };
    let refused = dump(&[]).await;
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("affected by row-level security"),
        "{refused:?}"
    );
    let tenants = dump(&["--enable-row-security"]).await;
    assert!(tenants.status.success() && !String::from_utf8_lossy(&tenants.stdout).contains(ROW));
    admin.batch_execute("alter role dumper bypassrls").await.expect("it may see all");
    let whole = dump(&[]).await;
    assert!(
        whole.status.success() && String::from_utf8_lossy(&whole.stdout).contains(ROW),
        "{:?}",
        whole.stderr
    );
}

/// One transaction after the other, each with a note of its own on a quote of its own.
async fn write(client: &Client, notes: &[String]) {
    for (place, note) in notes.iter().enumerate() {
        run(client, &format!("update quotes set notes = '{note}' where id = (select id from quotes order by id offset {place} limit 1)")).await;
    }
}

/// What the events behind a cursor put into notes, or the SQLSTATE that refuses it.
async fn told(client: &Client, cursor: &str) -> Result<Vec<String>, String> {
    let query = "select coalesce(event #>> '{fields,0,new}', '') from quote_events_since($1, 1000)";
    match client.query(query, &[&cursor]).await {
        Ok(rows) => Ok(rows.iter().map(|row| row.get(0)).collect()),
        Err(error) => Err(error.code().expect("an error of the server").code().to_owned()),
    }
}

async fn caught_up(primary: &Client, standby: &Client) {
    let written = text(primary, "select pg_current_wal_flush_lsn()::text").await;
    let replayed = format!("select (pg_last_wal_replay_lsn() >= '{written}')::text");
    eventually("the standby has replayed all", || async { text(standby, &replayed).await == "true" }).await;
}

/// Receives nothing any more, whatever the primary goes on to write.
async fn fall_behind(standby: &Client) {
    let receiving = "select count(*)::text from pg_stat_wal_receiver";
    eventually("it is connected", || async { text(standby, receiving).await == "1" }).await;
    run(standby, "alter system set primary_conninfo = ''").await;
    run(standby, "select pg_reload_conf()").await;
    eventually("it receives nothing", || async { text(standby, receiving).await == "0" }).await;
}

fn notes(word: &str, many: usize) -> Vec<String> {
    (0..many).map(|place| format!("{word} {place}")).collect()
}

const CURSOR: &str = "select quote_events_cursor()";

#[tokio::test]
async fn a_cursor_that_counts_on_what_a_failover_lost_is_refused() {
    let mut first = Postgres::start().await;
    let admin = first.client("erp", "postgres").await;
    run(&admin, UPDATED).await;
    let start = text(&admin, CURSOR).await;
    write(&admin, &notes("kept", 3)).await;
    let half = text(&admin, &format!("select cursor from quote_events_since('{start}', 1)")).await;
    let kept = text(&admin, CURSOR).await;
    // As earlier releases gave it: without log, timeline and place in the write-ahead log.
    let parts: Vec<&str> = kept.split('/').collect();
    let older = format!("1/{}/{}", parts[1], parts[6..].join("/"));
    let second = first.standby().await;
    let promoted = second.client("erp", "postgres").await;
    caught_up(&admin, &promoted).await;
    fall_behind(&promoted).await;
    write(&admin, &notes("lost", 20)).await;
    let lost = text(&admin, CURSOR).await;
    // Nothing of what it was given for is lost, but the rest of its batch is.
    let partly = text(&admin, &format!("select cursor from quote_events_since('{start}', 1)")).await;
    first.stop_hard();
    run(&promoted, "select pg_promote()").await;
    for cursor in [&lost, &partly] {
        assert_eq!(told(&promoted, cursor).await, Err("QC001".to_owned()), "{cursor}");
    }
    // More transactions than were lost: they have the same numbers, and more.
    let new = notes("new", 30);
    write(&promoted, &new).await;
    for cursor in [&lost, &partly] {
        assert_eq!(told(&promoted, cursor).await, Err("QC001".to_owned()), "{cursor}");
    }
    for cursor in [&kept, &older] {
        assert_eq!(told(&promoted, cursor).await, Ok(new.clone()), "{cursor}");
    }
    let rest: Vec<String> = notes("kept", 3).into_iter().skip(1).chain(new.clone()).collect();
    assert_eq!(told(&promoted, &half).await, Ok(rest));

    // The next failover: what was shared before stays so, through every promotion.
    let tail = text(&promoted, CURSOR).await;
    let third = second.standby().await;
    let again = third.client("erp", "postgres").await;
    caught_up(&promoted, &again).await;
    fall_behind(&again).await;
    write(&promoted, &notes("gone", 5)).await;
    let gone = text(&promoted, CURSOR).await;
    drop(second);
    run(&again, "select pg_promote()").await;
    let newer = notes("newer", 10);
    write(&again, &newer).await;
    for cursor in [&lost, &partly, &gone] {
        assert_eq!(told(&again, cursor).await, Err("QC001".to_owned()), "{cursor}");
    }
    assert_eq!(told(&again, &tail).await, Ok(newer.clone()));
    let all: Vec<String> = new.into_iter().chain(newer).collect();
    for cursor in [&kept, &older] {
        assert_eq!(told(&again, cursor).await, Ok(all.clone()), "{cursor}");
    }
    // Where nobody knows any more how far the past is shared, it is not.
    run(&again, "copy (select 1) to program 'rm pg_wal/*.history'").await;
    assert_eq!(told(&again, &tail).await, Err("QC001".to_owned()));
    let here = text(&again, CURSOR).await;
    assert_eq!(told(&again, &here).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_number_that_had_written_nothing_may_be_given_again() {
    let mut server = Postgres::start().await;
    let (admin, running) = (server.client("erp", "postgres").await, server.client("erp", "postgres").await);
    run(&admin, "checkpoint").await;
    run(&running, "begin; select pg_current_xact_id()").await;
    let cursor = text(&admin, CURSOR).await;
    server.stop_hard();
    drop((admin, running));
    server.restart().await;
    let admin = server.client("erp", "postgres").await;
    assert_eq!(told(&admin, &cursor).await, Ok(Vec::new()));
    let new = notes("new", 3);
    write(&admin, &new).await;
    assert_eq!(told(&admin, &cursor).await, Ok(new));
}

#[tokio::test]
async fn the_doctor_finds_a_restored_dump_as_attached() {
    let server = Postgres::start().await;
    let mut from = server.database().await;
    let source = server.client(&from, "postgres").await;
    run(&source, "update quotes set notes = 'before'; select create_quote_changes_archive('quote_changes'); select attach_quote_collaboration()").await;
    let found = "select string_agg(check_name || ': ' || message, '; ') from quote_collab_doctor() where severity = 'error' and check_name <> 'survives a power cut'";
    for copy in ["restored", "restored_again"] {
        let restored = restored(&server, &from, &server, copy).await;
        assert_eq!(text(&restored, found).await, "", "{copy}");
        // A view that was altered is told there, too.
        run(&restored, "begin").await;
        run(&restored, "do $$ begin execute format('create or replace view v_quote_change_events with (security_invoker = true) as select * from (%s) x where random() < 2', rtrim(pg_get_viewdef('v_quote_change_events'), ';')); end $$").await;
        assert!(text(&restored, found).await.contains("v_quote_change_events"), "{copy}");
        run(&restored, "rollback").await;
        copy.clone_into(&mut from);
    }
}

#[tokio::test]
async fn recovery_to_a_point_before_a_failover_leaves_what_came_between() {
    let erp = Erp::attached_on(std::sync::Arc::new(Postgres::start().await)).await;
    let admin = erp.client("postgres").await;
    for (history, earlier, end) in [
        ("1\t0/3000000\tpromoted\n2\t0/5000000\tpromoted", 1, 0x0300_0000_i64),
        ("1\t0/3000000\tpromoted\n2\t0/5000000\tpromoted", 2, 0x0500_0000),
        // Recovered to a point of timeline 1, on the way to timeline 2.
        ("1\t0/5000000\tpromoted\n2\t0/407FB20\trecovered", 1, 0x0407_FB20),
        ("1\t0/5000000\tpromoted\n2\t0/407FB20\trecovered", 2, 0x0407_FB20),
        ("1\t0/5000000\tpromoted\n2\t0/407FB20\trecovered\n3\t0/9000000\tpromoted", 1, 0x0407_FB20),
    ] {
        let write = format!(
            "copy (select 1) to program $$cat > /dev/null; printf '{history}\n' > pg_wal/00000009.history$$"
        );
        run(&admin, &write).await;
        let told: i64 =
            admin.query_one("select quote_timeline_end(9, $1)", &[&earlier]).await.unwrap().get(0);
        assert_eq!(told, end, "{history}");
    }
    let unknown: Option<i64> = admin.query_one("select quote_timeline_end(9, 7)", &[]).await.unwrap().get(0);
    assert_eq!(unknown, None);
}

/// The first three numbers of each 2^32 are no transaction's, and no snapshot ends there: what came along could never be sealed.
#[tokio::test]
async fn a_history_may_end_with_the_last_transaction_of_an_epoch() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "insert into quote_changes (id, tenant_id, quote_id, changed_at, entity_type, field_name, old_value, new_value, change_type, was_conflict,
            entity_version_before, entity_version_after, event_id, position, xid, origin)
        select uuid_generate_v7(), tenant_id, id, now(), 'QUOTE', 'notes', null, to_jsonb('along'::text), 'UPDATE', false, 1, 2, uuid_generate_v7(),
            nextval('quote_changes_position_seq'), '4294967295', 1 from quotes limit 1",
    )
    .await;
    let end = "select format('%1$s:%1$s:', quote_history_end(1))::pg_snapshot::text";
    assert_eq!(text(&admin, end).await, "4294967299:4294967299:");
}
