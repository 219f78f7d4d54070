//! A row that ends and begins again under its id while one statement runs is told in the order in which that happened.

use quote_collab_tests::Erp;
use quote_collab_tests::history::OUT_OF_CHAIN;
use quote_collab_tests::statement::{WARM, count, run};

/// Ends a line in the middle of a statement.
const ENDS: &str = "create function ends(line uuid) returns boolean language plpgsql as $$ begin delete from quote_lines where id = line; return true; end $$;";

/// What happens to one line, in the middle of one statement.
#[tokio::test]
async fn a_line_that_lives_again_in_one_statement_is_told_in_order() {
    const STAMP: &str = "create function stamp(line uuid) returns uuid language plpgsql as $$ begin
        update quote_lines set updated_by = gen_random_uuid() where id = line; return line; end $$;";
    const INSERT: &str =
        "insert into quote_lines (id, tenant_id, quote_id, line_number, quantity, unit_price, line_amount)
        select id, tenant_id, quote_id, NUMBER, 1, 1, 1 from known";
    for (what, functions, statement) in [
        (
            "inserted again behind an end that is held",
            "create function again(line uuid) returns text language plpgsql as $$ begin
                 delete from quote_lines where id = line; INSERT 90002; return 'x'; end $$; delete from quote_lines where id = (select id from known)",
            "INSERT 90001 returning again(id)",
        ),
        (
            "changed in a block that fails",
            "create function room(line uuid) returns boolean language plpgsql as $$ begin
                 update quote_lines set description = 'a' where id = line;
                 begin update quote_lines set description = 'b' where id = line; raise 'no'; exception when raise_exception then null; end;
                 delete from quote_lines where id = line; return true; end $$",
            "INSERT 90001 where room(id)",
        ),
        (
            "ended by a later command than the one that made it",
            "ENDS create function room(line uuid) returns boolean language plpgsql as $$ begin
                 INSERT 90001 where ends(id); delete from quote_lines where id = line; return true; end $$",
            "INSERT 90002 where room(id)",
        ),
        (
            "stamped in the middle of a stamp",
            "STAMP create function room(line uuid) returns boolean language plpgsql as $$ declare v uuid; begin
                 update quote_lines set updated_by = gen_random_uuid() where id = line returning stamp(id) into v;
                 delete from quote_lines where id = line; return true; end $$",
            "INSERT 90001 where room(id)",
        ),
        (
            "changed and begun again by one command",
            "create function room(line uuid) returns boolean language plpgsql as $$ begin
                 update quote_lines set description = 'again' where id = line; delete from quote_lines where id = line; return true; end $$",
            "with a as (update quote_lines set description = 'own' where id = (select id from known) returning 1),
                 b as (INSERT 90001 where room(id) returning 1) select count(*) from a",
        ),
        (
            "stamped and begun again by one command, in the middle of another that begins it",
            "ENDS create function room(line uuid) returns boolean language plpgsql as $$ declare ignored bigint; begin
                 with a as (update quote_lines set updated_by = gen_random_uuid() where id = line returning 1),
                      b as (INSERT 90001 where ends(id) returning 1) select count(*) from a into ignored;
                 delete from quote_lines where id = line; return true; end $$",
            "INSERT 90002 where room(id)",
        ),
    ] {
        let erp = Erp::attached().await;
        let admin = erp.client("postgres").await;
        run(&admin, "create table known as select id, tenant_id, quote_id from quote_lines order by ctid limit 1").await;
        let spelled_out = |text: &str| {
            let inserts = ["90001", "90002"].iter().fold(text.to_owned(), |text, number| {
                text.replace(&format!("INSERT {number}"), &INSERT.replace("NUMBER", number))
            });
            inserts.replace("STAMP", STAMP).replace("ENDS", ENDS)
        };
        run(&admin, &spelled_out(functions)).await;
        run(&admin, WARM).await;
        run(&admin, &spelled_out(statement)).await;
        assert_eq!(count(&admin, OUT_OF_CHAIN).await, 0, "{what}");
        assert!(count(&admin, "select count(*) from quote_changes").await > 1, "{what}");
    }
}

/// The statement's own stamp is known behind what stands on it.
#[tokio::test]
async fn a_stamp_on_a_stamp_is_followed_to_what_was_before() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        &format!(
            "create table two as select id, row_number() over () n from (select id from quote_lines order by ctid limit 2) l;
             create function room(line uuid) returns uuid language plpgsql as $$ begin
                 update quote_lines set updated_by = gen_random_uuid() where id = line;
                 delete from quote_lines where id = line; return line; end $$;
             {WARM}; set enable_bitmapscan = off; set enable_indexscan = off"
        ),
    )
    .await;
    run(
        &admin,
        "update quote_lines set updated_by = gen_random_uuid(),
             id = case when id = (select id from two where n = 2) then room((select id from two where n = 1)) else id end
         where id = any (array(select id from two))",
    )
    .await;
    assert_eq!(count(&admin, OUT_OF_CHAIN).await, 0);
}

/// What happens to a line later waits with what is held of it, whatever command it stands on.
#[tokio::test]
async fn a_command_that_fills_a_batch_in_its_middle_leaves_the_rest_in_order() {
    const KNOWN: &str = "create sequence numbers start 5000;
        create function nth_quote(n integer) returns uuid language sql stable as $$ select id from quotes where quote_number = 'Q-2026-0000' || (n + 1) $$;
        create function make(line uuid, told text) returns void language sql volatile as $$
            insert into quote_lines (id, tenant_id, quote_id, line_number, description, quantity, unit_price, line_amount)
                select line, tenant_id, id, nextval('numbers'), told, 1, 1, 1 from quotes where id = nth_quote(0) on conflict (id) do nothing $$;";
    let line = "'cccccccc-0000-4000-8000-000000000003'";
    for (what, before, middle) in [
        (
            "a move",
            "repeat('x', 9000000)",
            "update quote_lines set quote_id = nth_quote(1) where id = line;",
        ),
        (
            "a change, and a line that begins again",
            "'one'",
            "with a as (update quote_lines set description = repeat('y', 9000000) where id = line returning 1),
                  b as (insert into quote_lines (id, tenant_id, quote_id, line_number, description, quantity, unit_price, line_amount)
                        select line, tenant_id, id, nextval('numbers'), 'two', 1, 1, 1 from quotes where id = nth_quote(0) and ends(line) returning 1)
             select count(*) from a into ignored;",
        ),
    ] {
        let erp = Erp::attached().await;
        let admin = erp.client("postgres").await;
        run(
            &admin,
            &format!(
                "{KNOWN} {ENDS} select make({line}, {before});
                 create function again(line uuid) returns boolean language plpgsql as $$ declare ignored bigint; begin
                     {middle} delete from quote_lines where id = line;
                     perform make(line, 'again'); delete from quote_lines where id = line; return true; end $$;
                 {WARM}"
            ),
        )
        .await;
        run(&admin, &format!("update quotes set notes = 'x' where id = nth_quote(1) and again({line})")).await;
        assert_eq!(count(&admin, OUT_OF_CHAIN).await, 0, "{what}");
        let told = format!("select count(distinct event_id) from quote_changes where quote_line_id = {line}");
        assert!(count(&admin, &told).await > 5, "{what}");
    }
}

/// A line that is inserted in the middle of an insert's trigger, which has deleted it, waits for that end.
#[tokio::test]
async fn a_line_that_begins_again_behind_a_batch_waits_for_its_end() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        &format!(
            "create table known as select tenant_id, id quote_id from quotes order by quote_number limit 1;
             create function make(line uuid, told text) returns text language plpgsql as $$ begin
                 insert into quote_lines (id, tenant_id, quote_id, line_number, description, quantity, unit_price, line_amount)
                     select line, tenant_id, quote_id, 90001, told, 1, 1, 1 from known;
                 return told; end $$;
             create function again() returns trigger language plpgsql as $$ begin
                 if pg_trigger_depth() = 1 then
                     delete from quote_lines where id = new.id returning make(id, repeat('y', 9000000)) into new.description;
                 end if;
                 return null; end $$;
             create trigger zz_again after insert on quote_lines for each row execute function again(); {WARM}"
        ),
    )
    .await;
    run(&admin, "select make('cccccccc-0000-4000-8000-000000000003', 'a')").await;
    assert_eq!(count(&admin, OUT_OF_CHAIN).await, 0);
    assert_eq!(count(&admin, "select count(distinct event_id) from quote_changes").await, 3);
}
