//! What functions change in the middle of a statement is told behind what that statement itself has changed before, row by row; and whoever
//! goes on in the middle of it reads what is told already.

use futures_util::SinkExt as _;
use quote_collab_tests::Erp;
use quote_collab_tests::history::{OUT_OF_CHAIN, OUT_OF_ORDER};
use quote_collab_tests::statement::{WARM, count, run, text};

/// Changes all quotes that are done, and hands on what it was given.
const TOUCH: &str = "create function touch(given text) returns text volatile language plpgsql as $$ begin
    update quotes set contact_name = coalesce(contact_name, '') || '.' where notes = 'done'; return given; end $$;";

async fn in_order(what: &str, functions: &str, changes: &str) {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    // Each statement changes the rows of all those before it again.
    run(&admin, "delete from quotes where quote_number > 'Q-2026-00040'").await;
    run(&admin, functions).await;
    // Also before the commit, as whoever goes on in the transaction reads it.
    run(&admin, &format!("{WARM}; begin")).await;
    run(&admin, changes).await;
    assert_eq!(count(&admin, OUT_OF_CHAIN).await, 0, "{what}: the history in the transaction");
    run(&admin, "rollback").await;
    if !changes.starts_with("delete") {
        // The library comes in the middle of the first UPDATE of a session. (With a DELETE it comes with what the function inserts.)
        let fresh = erp.client("postgres").await;
        run(&fresh, "begin").await;
        run(&fresh, changes).await;
        assert_eq!(count(&fresh, OUT_OF_CHAIN).await, 0, "{what}: the history of a new session");
        run(&fresh, "rollback").await;
    }
    run(&admin, changes).await;
    assert!(erp.count("select count(*) from quote_changes where change_type = 'UPDATE'").await > 0, "{what}");
    assert_eq!(erp.count(OUT_OF_CHAIN).await, 0, "{what}: the history");
    assert_eq!(erp.count(OUT_OF_ORDER).await, 0, "{what}: the feed");
}

#[tokio::test]
async fn what_a_function_changes_in_the_middle_of_a_statement_is_in_order() {
    for (what, functions, changes) in [
        ("returning", "", "update quotes set notes = 'done' returning touch(quote_number)"),
        (
            "lines that move on",
            "create function move_on(line uuid) returns uuid language plpgsql as $$ begin
                 update quote_lines set quote_id = (select id from quotes order by id desc limit 1) where id = line;
                 update quote_lines set description = 'moved' where id = line; return line; end $$;",
            "update quote_lines l set quote_id = (select id from quotes order by id limit 1), line_number = 1000 + (select count(*) from quotes q where q.id < l.quote_id)
             where line_number = 1 returning move_on(id)",
        ),
        (
            "in the condition, of rows changed before",
            "",
            "update quotes q set notes = 'done' from (select id, row_number() over (order by id) n from quotes offset 0) o
             where o.id = q.id and (o.n < 3 or o.n = 3 and touch('x') = 'y')",
        ),
        (
            "rows that the statement inserts",
            "",
            "insert into quotes select r.* from generate_series(1, 3) n, (select * from quotes order by id limit 1) q,
                 lateral jsonb_populate_record(null::quotes, to_jsonb(q.*) || jsonb_build_object('id', gen_random_uuid(), 'version', 1,
                     'quote_number', 'NEW-' || n, 'notes', case when n = 3 then touch('done') else 'done' end)) r",
        ),
        (
            "behind another part of the statement",
            "",
            "with w as (update quotes set notes = 'done' returning id) select count(touch(id::text)) from w",
        ),
        (
            "behind a part that is of another table",
            "create table other (name text);",
            "with w as (update quotes set notes = 'done' returning id), o as (insert into other select touch(id::text) from w) select 1",
        ),
        (
            "of a function that a function calls",
            "create function outer_touch(given text) returns text language plpgsql as $$ declare result text; begin
                 insert into other values (given) returning touch(name) into result; return result; end $$;
             create table other (name text);",
            "update quotes set notes = 'done' returning outer_touch(quote_number)",
        ),
        (
            "of a statement in a function that a statement of another table calls",
            "create table other (name text); create function inner_touch() returns text language plpgsql as $$ begin
                 update quotes set notes = 'done' where touch(quote_number) is not null; return 'x'; end $$;",
            "insert into other select inner_touch()",
        ),
        (
            "that fail in their triggers, in a part that nobody reads",
            "create table other (name text); alter table other add unique (name);
             create function fails(given text) returns text language plpgsql as $$ begin
                 begin insert into other select 'x' from generate_series(1, 2); exception when unique_violation then null; end;
                 begin update quote_lines set description = 'no' where quote_id = (select id from quotes where quote_number = given);
                 exception when raise_exception then null; end;
                 return touch(given); end $$;
             create function refuse() returns trigger language plpgsql as $$ begin if new.description = 'no' then raise 'no'; end if; return null; end $$;
             create trigger refuse after update on quote_lines for each row execute function refuse();",
            "with w as (update quotes set notes = 'done' returning fails(quote_number)),
                 l as (update quote_lines set description = 'yes' where line_number = 1) select 1",
        ),
        (
            "three statements deep",
            "create function deep() returns text language plpgsql as $$ declare v text; begin
                 update quotes set notes = 'done' where quote_number = (select min(quote_number) from quotes) returning touch(notes) into v; return v; end $$;",
            "update quotes set terms_and_conditions = 'k' where quote_number = (select max(quote_number) from quotes) and deep() = 'done'",
        ),
        (
            "of a row that comes back by the statement itself",
            "create table lines as select * from quote_lines order by id limit 1;
             create function makes_room(l uuid) returns boolean language plpgsql as $$ begin
                 update quote_lines set description = 'before' where id = l; delete from quote_lines where id = l; return true; end $$;",
            "insert into quote_lines select * from lines where makes_room(id)",
        ),
        (
            "by a block",
            "create function inner_touch() returns text language plpgsql as $$ begin
                 update quotes set notes = 'done' where touch(quote_number) is not null; return 'x'; end $$;",
            "do $$ begin perform inner_touch(); end $$",
        ),
        (
            "by COPY in between",
            "create function copies(given text) returns text language plpgsql as $$ begin
                 perform touch(given); copy quote_lines from program 'true'; return touch(given); end $$;",
            "update quotes set notes = 'done' where quote_number < 'Q-2026-00020' returning copies(quote_number)",
        ),
        (
            "deleted, and inserted again",
            "create function again(line quote_lines) returns integer language plpgsql as $$ begin
                 insert into quote_lines select line.*; update quote_lines set description = 'again' where id = line.id; return 1; end $$;",
            "delete from quote_lines l where line_number = 1 returning again(l)",
        ),
        (
            "with a part that is rolled back",
            "create function undone(given text) returns text language plpgsql as $$ begin
                 begin perform touch(given); update quotes set notes = 'undone' where notes = 'done'; raise division_by_zero; exception when division_by_zero then null; end;
                 update quotes set contact_name = contact_name || '?' where notes = 'done'; return given; end $$;",
            "update quotes set notes = 'done' returning undone(quote_number)",
        ),
    ] {
        in_order(what, &format!("{TOUCH} {functions}"), changes).await;
    }
}

#[tokio::test]
async fn many_rows_that_a_function_changes_again_are_in_order_too() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create function again(which uuid) returns uuid language plpgsql as $$ begin
             begin
                 update quote_lines set description = 'again' where id = which;
                 update quotes set subtotal = subtotal + 1 where id = (select quote_id from quote_lines where id = which);
             exception when division_by_zero then null; end;
             return which; end $$;
         insert into quote_lines select r.* from generate_series(1, 3000) n, (select * from quote_lines order by id limit 1) l,
             lateral jsonb_populate_record(null::quote_lines, to_jsonb(l.*) || jsonb_build_object('id', gen_random_uuid(), 'line_number', 1000 + n, 'version', 1)) r;
         update quote_lines set quantity = quantity + 1 where line_number > 1000 returning again(id)",
    )
    .await;
    assert_eq!(erp.count("select count(*) from quote_lines where version = 3").await, 3_000);
    assert_eq!(erp.count(OUT_OF_CHAIN).await, 0);
    // What is not held back is read at once.
    let read = "create function reads(which uuid) returns bigint language sql as $$
            update quotes set subtotal = subtotal + 1 where id = (select quote_id from quote_lines where id = which);
            select count(*) from quote_changes where field_name = 'subtotal' $$;
        create table seen (changes bigint);
        delete from quote_changes;
        with w as (update quote_lines set quantity = 7 where id in (select id from quote_lines where line_number > 1000 limit 5) returning reads(id) as n)
            insert into seen select n from w";
    run(&admin, read).await;
    assert_eq!(
        text(&admin, "select string_agg(changes::text, ' ' order by changes) from seen").await,
        "1 2 3 4 5"
    );
}

#[tokio::test]
async fn a_save_in_the_middle_of_a_statement_knows_those_before() {
    const SAVES: &str = "select string_agg(s.success || coalesce(' ' || (s.conflicts -> 0 ->> 'baseValue'), ''), ', ' order by n)
        from saves, lateral update_quote_with_version_check(quote, seen, jsonb_build_object('notes', note)) s";
    for statement in [
        format!("insert into done {SAVES}"),
        // Of a table that is attached, too.
        format!("with d as (update quotes set notes = 'other' where quote_number = (select max(quote_number) from quotes) returning notes)
            insert into done select x from d, lateral ({SAVES} where d.notes = 'other') e (x)"),
    ] {
        let erp = Erp::attached().await;
        let admin = erp.client("postgres").await;
        run(
            &admin,
            "create table saves (n integer, quote uuid, seen integer, note text); create table done (result text);
             update quotes set notes = 'first' where quote_number = (select min(quote_number) from quotes);
             insert into saves select n, id, version, 'save ' || n from quotes, generate_series(1, 3) n
                 where quote_number = (select min(quote_number) from quotes)",
        )
        .await;
        run(&admin, &statement).await;
        assert_eq!(text(&admin, "select result from done").await, "true, false first, false first", "{statement}");
        assert_eq!(erp.count(OUT_OF_CHAIN).await, 0, "{statement}");
    }
}

#[tokio::test]
async fn a_row_that_becomes_another_ends_before_it_begins() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create function rename_again(line uuid) returns uuid language plpgsql as $$ begin
             update quote_lines set id = gen_random_uuid() where id = line; return line; end $$;
         update quote_lines set id = gen_random_uuid() where ctid = (select ctid from quote_lines limit 1) returning rename_again(id)",
    )
    .await;
    let told = "select string_agg(change_type || coalesce(x.which, ''), ' ' order by position) from (
        select position, change_type, ' ' || dense_rank() over (order by first) as which from (
            select c.*, min(position) over (partition by quote_line_id) as first from quote_changes c where entity_type = 'QUOTE_LINE') c) x";
    assert_eq!(text(&admin, told).await, "DELETE 1 CREATE 2 DELETE 2 CREATE 3");
}

/// The executor does not run COPY.
#[tokio::test]
async fn what_copy_calls_is_told_behind_the_rows_that_it_changes() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create function touched() returns text language plpgsql as $$ begin
             update quotes set contact_name = coalesce(contact_name, '') || '.' where notes = 'copied'; return 'copied'; end $$;
         alter table quotes alter notes set default touched();
         update quotes set contact_name = 'known' where quote_number < 'Q-2026-00003'",
    )
    .await;
    for copy in ["from stdin", "from stdin where touched() = 'copied'"] {
        let rows = text(
            &admin,
            "select string_agg(format(E'%s\\t%s\\tCOPY-%s\\t2026-01-01\\t%s', gen_random_uuid(), tenant_id, gen_random_uuid(), customer_id), E'\\n') from (select * from quotes limit 3) q",
        )
        .await;
        let sink = admin
            .copy_in(&format!("copy quotes (id, tenant_id, quote_number, quote_date, customer_id) {copy}"))
            .await
            .unwrap();
        let mut sink = std::pin::pin!(sink);
        sink.send(bytes::Bytes::from(rows + "\n")).await.unwrap();
        assert_eq!(sink.finish().await.unwrap(), 3);
        assert_eq!(count(&admin, OUT_OF_CHAIN).await, 0, "{copy}");
    }
    assert!(
        count(
            &admin,
            "select count(*) from quote_changes where change_type = 'UPDATE' and new_value #>> '{}' = '..'"
        )
        .await
            > 0
    );
}

/// Rows come to it by its parent, which is not attached.
#[tokio::test]
async fn a_partition_that_is_attached_for_itself_is_told_in_order() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create extension quote_collab_ext; create schema parts; set search_path = parts, public;
         create table everything (id uuid not null default gen_random_uuid(), tenant_id uuid not null, kind text not null, number integer,
             version integer not null default 1) partition by list (kind);
         create table quotes partition of everything for values in ('quote');
         create table orders partition of everything for values in ('order');
         alter table quotes add primary key (id);
         create table quote_lines (id uuid primary key, tenant_id uuid not null, quote_id uuid not null);
         select attach_quote_collaboration('quotes', 'quote_lines');
         create function count_on(given uuid) returns uuid language plpgsql as $$ begin
             update quotes set number = coalesce(number, 0) + 1 where id = given; return given; end $$;
         insert into everything (tenant_id, kind) values (gen_random_uuid(), 'quote'), (gen_random_uuid(), 'order'), (gen_random_uuid(), 'quote')
             returning count_on(id);
         update everything set kind = 'quote' where kind = 'order' returning count_on(id)",
    )
    .await;
    let told = "select string_agg(change_type, ' ' order by position) from quote_changes group by quote_id";
    let rows = admin.query(told, &[]).await.unwrap();
    let told: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(told, ["CREATE UPDATE", "CREATE UPDATE", "CREATE UPDATE"]);
}
