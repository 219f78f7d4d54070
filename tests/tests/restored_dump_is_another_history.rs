//! A dump that is restored into its own cluster continues another history: cursors of before are good nowhere.

use std::io::Write as _;
use std::process::{Command, Stdio};

use async_nats::jetstream;
use quote_collab_tests::statement::run;
use quote_collab_tests::{
    ALICE, Browser, Gateway, Kind, Quote, Subscriber, TENANT, World, built, eventually,
};
use serde_json::Value;

const ADMIN: &str = "postgres";

fn dump(world: &World, options: &[&str]) -> Vec<u8> {
    let mut dump = Command::new(built::server_programs().join("pg_dump"));
    let dump = dump.args(options).arg(world.postgres.url("erp", ADMIN)).output().expect("pg_dump runs");
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    dump.stdout
}

fn load(world: &World, database: &str, dump: &[u8]) {
    let mut psql = Command::new(built::server_programs().join("psql"))
        .args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname"])
        .arg(world.postgres.url(database, ADMIN))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("psql runs");
    psql.stdin.take().expect("its input").write_all(dump).expect("psql reads");
    assert!(psql.wait().expect("psql ends").success());
}

/// Puts the restored database in the place of the other. Nobody may connect meanwhile: a gateway that is sent away comes
/// back before the next statement.
async fn swap(world: &World) {
    let admin = world.postgres.client("postgres", ADMIN).await;
    for database in ["erp", "erp_restored"] {
        run(&admin, &format!("alter database {database} allow_connections false")).await;
    }
    let sent_away = "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where datname in ('erp', 'erp_restored')";
    eventually("nobody is connected", || async {
        admin.query_one(sent_away, &[]).await.expect("sessions end").get::<_, i64>(0) == 0
    })
    .await;
    run(&admin, "alter database erp rename to erp_before").await;
    run(&admin, "alter database erp_restored rename to erp").await;
    run(&admin, "alter database erp allow_connections true").await;
}

/// For a while there is no database.
async fn restore_in_place(world: &World) {
    let dump = dump(world, &["--create"]);
    never_restored(world).await;
    let admin = world.postgres.client("postgres", ADMIN).await;
    admin.batch_execute("drop database erp with (force)").await.expect("the database is dropped");
    load(world, "postgres", &dump);
}

/// The restored database takes the place of the other in less time than there is between two looks of the relay.
async fn restore_beside(world: &World) {
    let dump = dump(world, &[]);
    never_restored(world).await;
    let admin = world.postgres.client("postgres", ADMIN).await;
    admin.batch_execute("create database erp_restored").await.expect("a database");
    load(world, "erp_restored", &dump);
    swap(world).await;
}

/// One change, and its own batch: it is in the stream before the next is made.
async fn changed(world: &World, quote: &Quote, text: &str) {
    let context = jetstream::new(world.nats().client().await);
    let messages = || async {
        let stream = context.get_stream("QUOTE_EVENTS").await.expect("the relay's stream");
        stream.cached_info().state.messages
    };
    let before = messages().await;
    let update = "update quotes set notes = $1 where id = $2";
    world.app().await.execute(update, &[&text, &quote.id]).await.expect("an update");
    eventually("the change is in the stream", || async { messages().await > before }).await;
}

async fn refusal(gateway: &Gateway, quote: &Quote, cursor: &str) -> Value {
    let token = gateway.token(&ALICE);
    let mut late = Subscriber::start_after(gateway, &token, &[quote.id], &[Kind::Quote], Some(cursor));
    late.next_error().await["extensions"]["code"].take()
}

async fn never_restored(world: &World) {
    let quote = world.quote_of(TENANT).await;
    changed(world, &quote, "never restored").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_of_before_a_restored_dump_are_refused_everywhere() {
    refused_after(restore_in_place).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_database_that_takes_the_place_of_the_other_is_noticed() {
    refused_after(restore_beside).await;
}

async fn refused_after(restore: impl AsyncFnOnce(&World)) {
    let mut world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let token = world.gateway.token(&ALICE);
    let mut subscriber = Subscriber::start(&world.gateway, &token, &[quote.id], &[Kind::Quote]);
    subscriber.settle(&world.app().await).await;
    subscriber.drain(&world.app().await).await;
    restore(&world).await;
    let cursor = subscriber.next_event().await["cursor"].as_str().expect("a cursor").to_owned();
    drop(subscriber);
    eventually("the fork is announced", || async {
        world.gateway.log().contains("every reader is told to read again")
    })
    .await;
    for text in ["a", "b", "c", "d", "e"] {
        changed(&world, &quote, text).await;
    }
    assert_eq!(refusal(&world.gateway, &quote, &cursor).await, "RESYNC_REQUIRED");
    let other = Gateway::start(&world.postgres, world.nats.as_ref()).await;
    assert_eq!(refusal(&other, &quote, &cursor).await, "RESYNC_REQUIRED");
    world.gateway.restart().await;
    assert_eq!(refusal(&world.gateway, &quote, &cursor).await, "RESYNC_REQUIRED");
    // The new history has cursors of its own, which last.
    let mut subscriber = Subscriber::start(&world.gateway, &token, &[quote.id], &[Kind::Quote]);
    subscriber.settle(&world.app().await).await;
    subscriber.drain(&world.app().await).await;
    changed(&world, &quote, "f").await;
    let cursor = subscriber.next_event().await["cursor"].as_str().expect("a cursor").to_owned();
    changed(&world, &quote, "g").await;
    world.gateway.restart().await;
    let mut late = Subscriber::start_after(&other, &token, &[quote.id], &[Kind::Quote], Some(&cursor));
    assert_eq!(late.next_event().await["changes"][0]["newValue"], "g");
}

/// What the relay of another gateway had told of the restored database before this one came to it is not told by it: nothing comes behind that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_of_a_gateway_that_comes_later_read_again() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let token = world.gateway.token(&ALICE);
    let mut subscriber = Subscriber::start(&world.gateway, &token, &[quote.id], &[Kind::Quote]);
    subscriber.settle(&world.app().await).await;
    subscriber.drain(&world.app().await).await;
    let admin = world.postgres.client("postgres", ADMIN).await;
    admin.batch_execute("create database erp_restored").await.expect("a database");
    load(&world, "erp_restored", &dump(&world, &[]));
    let first = Gateway::start_with(&world.postgres, "erp_restored", world.nats.as_ref(), &[]).await;
    let restored = world.postgres.client("erp_restored", ADMIN).await;
    let update = "update quotes set notes = 'told before' where id = $1";
    restored.execute(update, &[&quote.id]).await.expect("an update");
    eventually("the gateway of before has refused it", || async {
        world.gateway.log().contains("is of another database")
    })
    .await;
    drop((first, restored));
    swap(&world).await;
    assert_eq!(subscriber.next_error().await["extensions"]["code"], "RESYNC_REQUIRED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_what_was_restored() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    changed(&world, &quote, "in the dump").await;
    let mut browser = Browser::start();
    browser.open("alice", &world.gateway, &world.gateway.token(&ALICE), quote.id).await;
    let dump = dump(&world, &["--create"]);
    for text in ["lost 1", "lost 2", "lost 3"] {
        changed(&world, &quote, text).await;
        browser.see("alice", "[data-field=notes]", text).await;
    }
    browser.fill("alice", "[data-field=contactName]", "typed").await;
    let admin = world.postgres.client("postgres", ADMIN).await;
    admin.batch_execute("drop database erp with (force)").await.expect("the database is dropped");
    load(&world, "postgres", &dump);
    browser.see("alice", "[data-field=notes]", "in the dump").await;
    browser.see("alice", "[data-field=contactName]", "typed").await;
    browser.click("alice", "#header button[type=submit]").await;
    browser.see("alice", "#notice", "Saved as version 3").await;
}
