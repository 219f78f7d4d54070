//! Where there is no memory for a statement or its history, that statement fails, or its session ends. No other session does.

use quote_collab_tests::Postgres;
use quote_collab_tests::postgres::{ADMIN, APP};
use quote_collab_tests::statement::{count, run};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

/// PostgreSQL's words for no memory.
const OUT_OF_MEMORY: &str = "53200";
const MIB: u64 = 1 << 20;

/// Lets the process of a session have so many more bytes than it has. The server's user does it, whose process it is.
async fn leave(session: &Client, more: u64) {
    let pid = count(session, "select pg_backend_pid()::bigint").await;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its process is there");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("it has a size");
    let kilobytes: u64 = size.trim().trim_end_matches(" kB").parse().expect("a number");
    let bytes = kilobytes * 1024 + more;
    // What is copied is read, or the server finds nobody at the end of its pipe.
    let limit = format!("copy (select) to program 'cat > /dev/null; prlimit --pid {pid} --as={bytes}:'");
    run(session, &limit).await;
}

/// Whether there was enough; anything else than no memory is a fault.
fn was_enough(outcome: Result<(), Error>, what: &str) -> bool {
    match outcome {
        Ok(()) => true,
        Err(error) => {
            let code = error.code().map(SqlState::code);
            assert_eq!(code, Some(OUT_OF_MEMORY), "{what}: {error:?}");
            false
        }
    }
}

/// Runs a statement in sessions with more and more memory: more than so many must find too little, some enough, and the others live.
async fn fails_alone(
    server: &Postgres,
    database: &str,
    statement: &str,
    amounts: &[u64],
    least_refused: usize,
) {
    /// Loads what a session loads once.
    const USED: &str =
        "do $$ begin end $$; begin; update quote_lines set description = description || '.'; rollback";
    let witness = server.client(database, APP).await;
    let (mut done, mut refused) = (0, 0);
    for more in amounts {
        let session = server.client(database, ADMIN).await;
        run(&session, USED).await;
        leave(&session, *more).await;
        let outcome = session.batch_execute(statement).await;
        let what = format!("{statement:.60} with {more} bytes more");
        *(if was_enough(outcome, &what) { &mut done } else { &mut refused }) += 1;
        witness
            .batch_execute("select 1")
            .await
            .unwrap_or_else(|error| panic!("{what}: others ended, {error}"));
    }
    println!("{done} were done, {refused} refused");
    assert!(done > 0 && refused > least_refused, "{done} were done, {refused} refused");
}

#[tokio::test]
async fn a_statement_of_many_rows_fails_alone() {
    let server = Postgres::start().await;
    let database = server.database().await;
    let statement = "begin;
        insert into quote_lines (tenant_id, quote_id, line_number, quantity, unit_price, line_amount)
        select q.tenant_id, q.id, 1000 + n, 1, 1, 1 from (select * from quotes order by id limit 1) q, generate_series(1, 15000) n;
        rollback";
    let amounts: Vec<u64> = (0..20).map(|step| step * MIB * 3 / 2).chain([400 * MIB]).collect();
    fails_alone(&server, &database, statement, &amounts, 5).await;
}

/// What is held back of many subtransactions is let go when their session ends.
#[tokio::test]
async fn many_subtransactions_fail_alone() {
    let server = Postgres::start().await;
    let database = server.database().await;
    let admin = server.client(&database, ADMIN).await;
    let nested = "create function touch_lines() returns trigger language plpgsql as $$
        begin
            for turn in 1..160 loop
                begin
                    update quote_lines set description = repeat('x', 6000) || turn where quote_id = new.id;
                exception when division_by_zero then null;
                end;
            end loop;
            return new;
        end $$;
        create trigger a_touch_lines before update on quotes for each row execute function touch_lines()";
    admin.batch_execute(nested).await.unwrap();
    let statement = "begin; update quotes set notes = 'x' where id in (select id from quotes order by id limit 3); rollback";
    let amounts: Vec<u64> = (0..40).map(|step| step * MIB / 4).chain([400 * MIB]).collect();
    fails_alone(&server, &database, statement, &amounts, 3).await;
}

#[tokio::test]
async fn a_large_row_fails_alone() {
    let server = Postgres::start().await;
    let database = server.database().await;
    let statement = "begin;
        update quotes set notes = repeat('x', 40000000), terms_and_conditions = repeat('y', 40000000)
        where id = (select id from quotes order by id limit 1);
        delete from quotes where notes like 'xx%';
        rollback";
    let amounts: Vec<u64> = (1..12).map(|step| step * 40 * MIB).chain([2048 * MIB]).collect();
    fails_alone(&server, &database, statement, &amounts, 2).await;
}

#[tokio::test]
async fn sealing_takes_no_more_memory_than_a_row_has() {
    let server = Postgres::start().await;
    let database = server.database().await;
    let admin = server.client(&database, ADMIN).await;
    for letter in ["x", "y"] {
        let change = format!(
            "update quotes set notes = repeat('{letter}', 40000000) where id = (select id from quotes order by id limit 1)"
        );
        admin.batch_execute(&change).await.unwrap();
    }
    let statement = "begin; select seal_quote_history(); select * from verify_quote_history(); rollback";
    let amounts: Vec<u64> = (0..8).map(|step| step * 20 * MIB).chain([1024 * MIB]).collect();
    fails_alone(&server, &database, statement, &amounts, 0).await;
}

#[tokio::test]
async fn what_no_history_holds_may_be_shortened_and_deleted() {
    let server = Postgres::start().await;
    let database = server.plain_database().await;
    let admin = server.client(&database, ADMIN).await;
    let long = "update quotes set notes = repeat('x', 270000000) where id in (select id from quotes order by id limit 2)";
    admin.batch_execute(long).await.unwrap();
    let attach = "create extension quote_collab_ext; select attach_quote_collaboration()";
    admin.batch_execute(attach).await.unwrap();
    let refused = admin.batch_execute(long).await;
    assert!(refused.is_ok(), "what stays as it is is no change: {refused:?}");
    let longer = long.replace("'x'", "'y'");
    let refused = admin.batch_execute(&longer).await.unwrap_err();
    let error = refused.as_db_error().unwrap();
    assert_eq!((error.code().code(), error.message()), ("54000", "the row is too large for its history"));
    assert!(error.hint().is_some());
    let shorten = "update quotes set notes = 'short' where id = (select id from quotes order by id limit 1)";
    admin.batch_execute(shorten).await.unwrap();
    admin.batch_execute("delete from quotes where length(notes) = 270000000").await.unwrap();
    let told = "select string_agg(concat_ws(' ', change_type, old_value is null, new_value #>> '{}', old_value ? 'notes', old_value ? 'status'), ', ' order by position)
        from quote_changes where entity_type = 'QUOTE'";
    let told: String = admin.query_one(told, &[]).await.unwrap().get(0);
    assert_eq!(told, "UPDATE t short, DELETE f f t");
}
