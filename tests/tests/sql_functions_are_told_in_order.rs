//! What functions change in the middle of a statement is told behind what that statement itself has changed before, row by row; and whoever
//! goes on in the middle of it reads what is told already.

use quote_collab_tests::Erp;
use quote_collab_tests::history::{OUT_OF_CHAIN, OUT_OF_ORDER};
use quote_collab_tests::statement::{count, run, text};

/// Changes all quotes that are done, and hands on what it was given.
const TOUCH: &str = "create function touch(given text) returns text volatile language plpgsql as $$ begin
    update quotes set contact_name = coalesce(contact_name, '') || '.' where notes = 'done'; return given; end $$;";

async fn in_order(what: &str, functions: &str, changes: &str) {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, functions).await;
    // Also before the commit, as whoever goes on in the transaction reads it.
    run(&admin, "update quotes set status = status; begin").await;
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
             update quote_lines set description = 'again' where id = which; return which; end $$;
         insert into quote_lines select r.* from generate_series(1, 30000) n, (select * from quote_lines order by id limit 1) l,
             lateral jsonb_populate_record(null::quote_lines, to_jsonb(l.*) || jsonb_build_object('id', gen_random_uuid(), 'line_number', 1000 + n, 'version', 1)) r;
         update quote_lines set quantity = quantity + 1 where line_number > 1000 returning again(id)",
    )
    .await;
    assert_eq!(erp.count("select count(*) from quote_lines where version = 3").await, 30_000);
    assert_eq!(erp.count(OUT_OF_CHAIN).await, 0);
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
             insert into saves select n, id, version, 'save ' || n from quotes, generate_series(1, 2) n
                 where quote_number = (select min(quote_number) from quotes)",
        )
        .await;
        run(&admin, &statement).await;
        assert_eq!(text(&admin, "select result from done").await, "true, false first", "{statement}");
        assert_eq!(erp.count(OUT_OF_CHAIN).await, 0, "{statement}");
    }
}
