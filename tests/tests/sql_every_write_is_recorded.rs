//! Every way of writing a row is recorded exactly: what was there, changed as the log says, is what is there.

use futures_util::SinkExt as _;
use quote_collab_tests::statement::run;
use quote_collab_tests::{Erp, Listener, Postgres, Settings, history, waker};
use tokio_postgres::Client;
use uuid::Uuid;

/// What an ERP may have around its tables.
const ERP: &str = "
    create role clerk login;
    grant usage on schema public to clerk;
    grant select, update on quotes to clerk;
    alter table quote_lines drop constraint quote_lines_quote_fkey,
        add constraint quote_lines_quote_fkey foreign key (quote_id) references quotes on update cascade on delete cascade deferrable;
    create view open_quotes as select id, notes, contact_name, status from quotes where status = 'DRAFT' with check option;
    create function bump(quote uuid, text text) returns integer language plpgsql as $$
        begin update quotes set notes = coalesce(notes, '') || text where id = quote; return 1; end $$;
    create function as_owner(quote uuid) returns void language sql security definer set search_path = public as
        $$ update quotes set notes = 'definer' where id = quote $$;
    -- Triggers of the ERP's own: one that changes the row on its way, one that changes it again and its lines, whose
    -- trigger changes the quote once more.
    create function tidy() returns trigger language plpgsql as
        $$ begin new.contact_name := trim(new.contact_name); return new; end $$;
    create trigger aa_tidy before insert or update on quotes for each row execute function tidy();
    create function ripple() returns trigger language plpgsql as $$ begin
        if new.notes = 'ripple' and old.notes is distinct from new.notes then
            update quotes set notes = 'ripple 2' where id = new.id;
            update quote_lines set description = 'ripple' where quote_id = new.id;
        end if;
        return null; end $$;
    create trigger zz_ripple after update on quotes for each row execute function ripple();
    create function back() returns trigger language plpgsql as $$ begin
        if new.description = 'ripple' then
            update quotes set contact_name = 'line ' || new.line_number where id = new.quote_id;
        end if;
        return null; end $$;
    create trigger aa_back after update on quote_lines for each row execute function back()";

/// Statements, the role that runs them, and the row changes that must be recorded. Q is a quote with LINES lines, R
/// another quote, T its tenant.
const CASES: &[(&str, &str, &str)] = &[
    ("postgres", "update quotes set notes = 'a' where id = Q", "UPDATE 1"),
    ("postgres", "update quotes set notes = notes where id = Q", ""),
    ("erp_app", "begin; update quotes set notes = 'b' where id = Q; update quotes set notes = 'c' where id = Q; commit", "UPDATE 2"),
    ("erp_app", "begin; update quotes set notes = 'x' where id = Q; update quotes set notes = 'c' where id = Q; commit", "UPDATE 2"),
    ("clerk", "update quotes set notes = 'clerk' where id = Q", "UPDATE 1"),
    ("postgres", "select as_owner(Q)", "UPDATE 1"),
    ("postgres", "select bump(Q, '1'), bump(Q, '2')", "UPDATE 2"),
    ("postgres", "update open_quotes set notes = 'view' where id = R", "UPDATE 1"),
    ("postgres", "update quotes q set notes = p.product_name from (select min(product_name) product_name from products) p where q.id = Q", "UPDATE 1"),
    ("postgres", "update quotes q set notes = 'many' from quote_lines l where l.quote_id = q.id and q.id = Q", "UPDATE 1"),
    ("postgres", "with a as (update quotes set notes = 'cte' where id = Q returning id), b as (update quote_lines set description = 'cte' where quote_id = Q returning id)
        select count(*) from a, b", "UPDATE 1+LINES"),
    ("postgres", "with a as (update quotes set notes = 'cte a' where id = Q returning id), b as (update quotes set contact_name = 'cte b' where id = Q returning id)
        select * from a, b", "UPDATE 1"),
    ("postgres", "with gone as (delete from quote_lines where quote_id = R returning *) insert into quote_lines select * from gone where false", "DELETE R_LINES"),
    ("postgres", "update quotes set contact_name = '  spaces  ' where id = Q", "UPDATE 1"),
    ("postgres", "update quotes set contact_name = ' spaces' where id = Q", ""),
    ("postgres", "update quotes set notes = 'ripple' where id = Q", "UPDATE 2+LINES+LINES"),
    ("postgres", "begin; update quotes set notes = 'kept' where id = Q; savepoint s; update quotes set notes = 'lost' where id = Q;
        rollback to s; update quotes set contact_name = 'kept' where id = Q; release s; commit", "UPDATE 2"),
    ("postgres", "do $$ begin update quotes set notes = 'outer' where id = Q; begin update quotes set notes = 'inner' where id = Q;
        perform 1 / 0; exception when division_by_zero then update quotes set contact_name = 'handled' where id = Q; end; end $$", "UPDATE 2"),
    ("postgres", "begin; update quotes set notes = 'lost' where id = Q; rollback", ""),
    ("postgres", "begin; set local session_replication_role = replica; update quotes set notes = 'replica' where id = Q;
        delete from quote_lines where id = (select id from quote_lines where quote_id = Q order by id limit 1); commit", "DELETE 1, UPDATE 1"),
    ("postgres", "insert into quotes select * from quotes where id = Q on conflict (id) do update set notes = 'upsert'", "UPDATE 1"),
    ("postgres", "insert into quotes select * from quotes where id = Q on conflict do nothing", ""),
    ("postgres", "begin; set constraints all deferred;
        insert into quote_lines (id, tenant_id, quote_id, line_number, quantity, unit_price, line_amount) values (gen_random_uuid(), T, N, 1, 1, 1, 1);
        insert into quotes (id, tenant_id, quote_number, quote_date, customer_id) select N, tenant_id, 'LATE', quote_date, customer_id from quotes where id = Q; commit",
        "CREATE 2"),
    ("postgres", "merge into quotes q using (values (Q, 'merged'), (R, 'gone')) s (id, notes) on q.id = s.id
        when matched and s.notes = 'gone' then delete when matched then update set notes = s.notes", "DELETE 1, UPDATE 1"),
    ("postgres", "merge into quotes q using (values (R)) s (id) on q.id = s.id
        when not matched then insert (id, tenant_id, quote_number, quote_date, customer_id) values (s.id, T, 'MERGED', current_date, (select customer_id from quotes where id = Q))",
        "CREATE 1"),
    // A quote that gets another key went elsewhere, and its lines with it.
    ("postgres", "update quotes set id = gen_random_uuid() where id = N", "CREATE 2, DELETE 2"),
    ("postgres", "delete from quotes where id = Q", "DELETE 1+LINES-1"),
];

fn filled(text: &str, names: &[(&str, String)]) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '\'';
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let word = &rest[..end];
        out.push_str(names.iter().find(|(name, _)| *name == word).map_or(word, |(_, value)| value));
        let next = rest[end..].chars().next().map_or(0, char::len_utf8);
        out.push_str(&rest[end..end + next]);
        rest = &rest[end + next..];
    }
    out
}

/// "UPDATE 1+3" → "UPDATE 4".
fn summed(text: &str) -> String {
    let sum = |terms: &str| -> i64 {
        terms.replace('-', "+-").split('+').map(|term| term.parse::<i64>().expect("a number")).sum()
    };
    text.split(' ')
        .map(|word| match word.trim_end_matches(',') {
            terms if terms.starts_with(|c: char| c.is_ascii_digit()) => {
                word.replace(terms, &sum(terms).to_string())
            }
            _ => word.to_owned(),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::test]
async fn whatever_the_statement() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute(ERP).await.unwrap();
    history::prepare(&admin).await;
    let drafts = "select id, tenant_id, (select count(*) from quote_lines l where l.quote_id = q.id) from quotes q where status = 'DRAFT' order by quote_number limit 2";
    let rows = admin.query(drafts, &[]).await.unwrap();
    let id = |row: usize, column: usize| format!("'{}'::uuid", rows[row].get::<_, uuid::Uuid>(column));
    let lines = |row: usize| rows[row].get::<_, i64>(2).to_string();
    let names = [
        ("Q", id(0, 0)),
        ("T", id(0, 1)),
        ("R", id(1, 0)),
        ("N", "'00000000-0000-4000-8000-00000000000f'::uuid".to_owned()),
        ("LINES", lines(0)),
        ("R_LINES", lines(1)),
    ];
    let mut wrong = Vec::new();
    for (role, statement, expected) in CASES {
        history::begin(&admin).await;
        let expected = summed(
            &filled(&expected.replace('+', " + ").replace('-', " - "), &names)
                .replace(" + ", "+")
                .replace(" - ", "-"),
        );
        let done = erp.client(role).await.batch_execute(&filled(statement, &names)).await;
        let recorded = history::proven(&admin).await;
        if done.is_err() || recorded.as_deref() != Ok(&expected) {
            wrong.push(format!("{statement}\n  expected {expected}, recorded {recorded:?}, {done:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    admin.batch_execute("drop owned by clerk; drop role clerk").await.unwrap();
}

#[tokio::test]
async fn merge_that_returns() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let version: i32 =
        admin.query_one("select current_setting('server_version_num')::integer", &[]).await.unwrap().get(0);
    if version < 170_000 {
        println!("skipped: MERGE returns rows since PostgreSQL 17");
        return;
    }
    history::prepare(&admin).await;
    history::begin(&admin).await;
    let merge =
        "merge into quotes q using (select id from quotes order by quote_number limit 3) s on q.id = s.id
        when matched then update set notes = 'returned' returning merge_action(), q.version";
    let rows = admin.query(merge, &[]).await.unwrap();
    assert!(rows.len() == 3 && rows.iter().all(|row| row.get::<_, i32>(1) == 2));
    assert_eq!(history::proven(&admin).await.as_deref(), Ok("UPDATE 3"));
}

/// Sends 3,000 rows, from line 1,000 on.
async fn copy_lines(client: &Client, copy: &str, row: impl Fn(usize) -> String) {
    let sink = client.copy_in(copy).await.expect(copy);
    let mut sink = std::pin::pin!(sink);
    for chunk in 0..10 {
        let rows: String = (1000 + chunk * 300..).take(300).map(&row).collect();
        sink.send(bytes::Bytes::from(rows)).await.expect(copy);
    }
    assert_eq!(sink.as_mut().finish().await.expect(copy), 3000);
}

#[tokio::test]
async fn copy() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    history::prepare(&admin).await;
    history::begin(&admin).await;
    let row = admin
        .query_one("select id::text, tenant_id::text from quotes order by quote_number limit 1", &[])
        .await
        .unwrap();
    let (quote, tenant): (String, String) = (row.get(0), row.get(1));
    let columns = "tenant_id, quote_id, line_number, description, quantity, unit_price, line_amount";
    copy_lines(&admin, &format!("copy quote_lines ({columns}) from stdin"), |n| {
        format!("{tenant}\t{quote}\t{n}\tcopied\t2\t3.5\t7\n")
    })
    .await;
    assert_eq!(history::proven(&admin).await.as_deref(), Ok("CREATE 3000"));
}

/// Rows that everybody sees at once, of a table that is made in the same transaction.
#[tokio::test]
async fn copy_of_frozen_rows() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, "create extension quote_collab_ext").await;
    run(
        &admin,
        "begin; create schema frozen;
         create table frozen.quotes (id uuid primary key, tenant_id uuid not null);
         create table frozen.quote_lines (id uuid primary key default gen_random_uuid(), tenant_id uuid not null, quote_id uuid not null, line_number integer);
         select attach_quote_collaboration('frozen.quotes', 'frozen.quote_lines')",
    )
    .await;
    history::prepare(&admin).await;
    history::begin(&admin).await;
    let copy = "copy frozen.quote_lines (tenant_id, quote_id, line_number) from stdin with (freeze)";
    let id = Uuid::now_v7();
    copy_lines(&admin, copy, |n| format!("{id}\t{id}\t{n}\n")).await;
    run(&admin, "commit").await;
    assert_eq!(history::proven(&admin).await.as_deref(), Ok("CREATE 3000"));
}

const PARTITIONED: &str = "
    create schema parts;
    create table parts.quotes (id uuid not null, tenant_id uuid not null, region integer not null, notes text, primary key (id, region))
        partition by list (region);
    create table parts.quotes_1 partition of parts.quotes for values in (1);
    create table parts.quotes_2 partition of parts.quotes for values in (2) partition by list (region);
    create table parts.quotes_2a partition of parts.quotes_2 for values in (2);
    create table parts.quote_lines (id uuid primary key, tenant_id uuid not null, quote_id uuid not null, text text);
    select attach_quote_collaboration('parts.quotes', 'parts.quote_lines');
    insert into parts.quotes select gen_random_uuid(), gen_random_uuid(), 1 + n % 2, 'n' || n from generate_series(1, 10) n";

#[tokio::test]
async fn rows_that_move_between_partitions() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute("create extension quote_collab_ext").await.unwrap();
    admin.batch_execute(PARTITIONED).await.unwrap();
    history::prepare(&admin).await;
    for (statement, expected) in [
        ("update parts.quotes set notes = notes || '!'", "UPDATE 10"),
        ("update parts.quotes set region = 3 - region, notes = 'moved'", "CREATE 10, DELETE 10"),
        ("update parts.quotes_2a set notes = 'directly'", "UPDATE 5"),
        ("insert into parts.quotes_1 select gen_random_uuid(), gen_random_uuid(), 1", "CREATE 1"),
        ("delete from parts.quotes where region = 2", "DELETE 5"),
    ] {
        history::begin(&admin).await;
        admin.batch_execute(statement).await.unwrap();
        assert_eq!(history::proven(&admin).await.as_deref(), Ok(expected), "{statement}");
    }
}

/// The events since a cursor, and the cursor behind them.
async fn read(client: &Client, cursor: &str) -> (usize, String) {
    let rows = client
        .query("select cursor from quote_events_since($1, 10000)", &[&cursor])
        .await
        .expect("the feed is read");
    (rows.len(), rows.last().map_or_else(|| cursor.to_owned(), |row| row.get(0)))
}

#[tokio::test]
async fn a_prepared_transaction_that_outlives_its_server() {
    let mut server = Postgres::start_with(Settings::preloaded(&[("max_prepared_transactions", "2")])).await;
    let database = server.database().await;
    // While no waker serves the database a transaction notifies itself, and cannot be prepared.
    drop(waker::settled(&server, &database).await);
    let admin = server.client(&database, "postgres").await;
    history::prepare(&admin).await;
    history::begin(&admin).await;
    let cursor: String = admin.query_one("select quote_events_cursor()", &[]).await.unwrap().get(0);
    let first = "(select id from quotes order by quote_number limit 1)";
    server
        .client(&database, "erp_app")
        .await
        .batch_execute(&format!("begin; update quotes set notes = 'prepared' where id = {first}; savepoint s;
            update quotes set contact_name = 'prepared' where id = {first}; release s; prepare transaction 'p'"))
        .await
        .unwrap();
    assert_eq!(read(&admin, &cursor).await.0, 0, "nobody sees what is only prepared");
    drop(admin);
    server.restart().await;
    let mut listener = Listener::to("quote_events", &server.url(&database, "postgres")).await;
    let admin = server.client(&database, "postgres").await;
    // Another transaction overtakes the prepared one, and is read first.
    let second = "update quotes set notes = 'overtakes' where id = (select id from quotes order by quote_number offset 1 limit 1)";
    admin.batch_execute(second).await.unwrap();
    let (count, cursor) = read(&admin, &cursor).await;
    assert_eq!(count, 1);
    let waker = waker::waker(&admin, &database).await;
    waker::quiet(&mut listener, waker).await;
    admin.batch_execute("commit prepared 'p'").await.unwrap();
    assert_eq!(waker::quiet(&mut listener, waker).await, [waker]);
    let (count, cursor) = read(&admin, &cursor).await;
    assert_eq!(count, 2);
    assert_eq!(read(&admin, &cursor).await.0, 0, "an event is told twice");
    assert_eq!(history::proven(&admin).await.as_deref(), Ok("UPDATE 3"));
}
