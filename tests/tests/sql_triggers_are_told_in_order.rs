//! What triggers of the ERP change in turn is told in the order in which it happened to each row, whenever it is noted.

use std::sync::Arc;

use quote_collab_tests::history::{OUT_OF_CHAIN, OUT_OF_ORDER};
use quote_collab_tests::statement::{count, run};
use quote_collab_tests::{Erp, Postgres};

/// An ERP that keeps the total of a quote by a trigger on its lines.
const TOTAL: &str = "create function erp() returns trigger language plpgsql as $$ begin
         update quotes q set total_amount = (select sum(l.quantity) from quote_lines l where l.quote_id = q.id) where q.id = new.quote_id; return null; end $$;
     create trigger a_total after insert or update on quote_lines for each row execute function erp();";

#[tokio::test]
async fn what_triggers_change_in_turn_is_recorded_in_order() {
    for (what, trigger, changes) in [
        (
            "a number that is given after the insert",
            "create function erp() returns trigger language plpgsql as $$ begin
                 update quotes set notes = 'numbered' where id = new.id; return null; end $$;
             create trigger assign_number after insert on quotes for each row execute function erp();",
            "insert into quotes select (jsonb_populate_record(q, jsonb_build_object('id', gen_random_uuid(), 'quote_number', 'NEW-1', 'version', 1))).* from quotes q limit 1",
        ),
        (
            "a row changed again before its own change is noted",
            "create function erp() returns trigger language plpgsql as $$ begin
                 if pg_trigger_depth() < 4 then update quotes set notes = new.notes || '.' where id = new.id; end if; return null; end $$;
             create trigger a_first after update on quotes for each row execute function erp();",
            "update quotes set notes = 'again'",
        ),
        (
            "another row of the same statement",
            "create function erp() returns trigger language plpgsql as $$ begin
                 if pg_trigger_depth() < 2 then update quotes set contact_name = new.quote_number where id <> new.id; end if; return null; end $$;
             create trigger zz_last after update on quotes for each row execute function erp();",
            "update quotes set notes = 'z' where quote_number in (select quote_number from quotes order by 1 limit 3)",
        ),
        (
            "a row that is deleted before its own change is noted",
            "create function erp() returns trigger language plpgsql as $$ begin
                 delete from quote_lines where id = new.id; return null; end $$;
             create trigger a_first after update on quote_lines for each row execute function erp();",
            "update quote_lines set description = 'gone'",
        ),
        (
            "a table that is not attached",
            "create table orders (id integer); insert into orders values (1);
             create function erp() returns trigger language plpgsql as $$ begin
                 update quotes set notes = 'one'; update quotes set notes = 'two'; return null; end $$;
             create trigger touch after update on orders for each row execute function erp();",
            "update orders set id = 2; update quotes set notes = 'three'",
        ),
        (
            "an exception block around it",
            "create function erp() returns trigger language plpgsql as $$ begin
                 begin update quotes set contact_name = 'kept' where id = new.id; exception when others then null; end;
                 begin update quotes set contact_name = 'lost' where id = new.id; raise division_by_zero; exception when division_by_zero then null; end;
                 return null; end $$;
             create trigger a_first after update of notes on quotes for each row execute function erp();",
            "update quotes set notes = 'blocks'",
        ),
        (
            "a row that is deleted before its creation is noted",
            "create function erp() returns trigger language plpgsql as $$ begin
                 update quote_lines set description = 'merged' where id = new.id; delete from quote_lines where id = new.id; return null; end $$;
             create trigger a_first after insert on quote_lines for each row execute function erp();",
            "insert into quote_lines select (jsonb_populate_record(l, jsonb_build_object('id', gen_random_uuid(), 'line_number', 99, 'version', 1))).* from quote_lines l limit 1",
        ),
        (
            "a row that comes back before its end is noted",
            "create function erp() returns trigger language plpgsql as $$ begin
                 insert into quote_lines select old.*; return null; end $$;
             create trigger a_first after delete on quote_lines for each row execute function erp();",
            "delete from quote_lines where line_number = 1",
        ),
    ] {
        in_order(what, trigger, changes).await;
    }
}

#[tokio::test]
async fn a_row_that_lives_again_is_recorded_in_order() {
    for (what, trigger, changes) in [
        (
            "room made before an insert",
            "create function erp() returns trigger language plpgsql as $$ begin
                 delete from quote_lines where id = new.id; return new; end $$;
             create trigger a_first before insert on quote_lines for each row execute function erp();",
            "insert into quote_lines select (jsonb_populate_record(l, '{\"description\": \"replaced\"}')).* from quote_lines l order by id limit 1",
        ),
        (
            "a change and room made before an insert",
            "create function erp() returns trigger language plpgsql as $$ begin
                 update quote_lines set description = 'last words' where id = new.id;
                 delete from quote_lines where id = new.id; return new; end $$;
             create trigger a_first before insert on quote_lines for each row execute function erp();",
            "insert into quote_lines select (jsonb_populate_record(l, '{\"description\": \"replaced\"}')).* from quote_lines l order by id limit 1",
        ),
        (
            "a second life that ends with the first",
            "create function erp() returns trigger language plpgsql as $$ begin
                 if pg_trigger_depth() = 1 then
                     old.description := 'second life';
                     insert into quote_lines select old.*;
                     delete from quote_lines where id = old.id;
                 end if;
                 return null; end $$;
             create trigger a_twice after delete on quote_lines for each row execute function erp();",
            "delete from quote_lines where line_number = 1",
        ),
        (
            "a line that a trigger makes again while the statement deletes it",
            "create function erp() returns trigger language plpgsql as $$ begin
                 insert into quote_lines select (jsonb_populate_record(null::quote_lines, to_jsonb(l) || jsonb_build_object('id', 'a0000000-0000-4000-8000-0000000000ab', 'quote_id', new.id, 'line_number', 999, 'version', 1))).*
                 from quote_lines l limit 1 on conflict do nothing; return null; end $$;
             create trigger again after update on quotes for each row execute function erp();",
            "update quotes set notes = 'makes the line' where id = (select id from quotes order by id limit 1);
             with a as (delete from quote_lines where id = 'a0000000-0000-4000-8000-0000000000ab')
             update quotes set notes = 'n' where id = (select id from quotes order by id limit 1)",
        ),
    ] {
        in_order(what, trigger, changes).await;
    }
}

#[tokio::test]
async fn a_statement_for_several_tables_is_recorded_in_order() {
    for (what, trigger, changes) in [
        (
            "lines that an exception block in the middle of the statement does not part from it",
            "create function safe(x text) returns text language plpgsql volatile as $$ begin perform 1 / 0; return x;
                 exception when division_by_zero then return x || '!'; end $$;
             create function erp() returns trigger language plpgsql as $$ begin
                 update quote_lines set quantity = quantity + 1 where quote_id = new.id and line_number = 1; return null; end $$;
             create trigger zz_last after update on quotes for each row execute function erp();",
            "with l as (update quote_lines set description = safe('q') where line_number = 1) update quotes set notes = 'n'",
        ),
        (
            "ids that are swapped",
            "alter table quote_lines drop constraint quote_lines_pkey, add constraint quote_lines_pkey primary key (id) deferrable;",
            "update quote_lines l set id = o.id from quote_lines o
             where o.quote_id = l.quote_id and l.line_number in (1, 2) and o.line_number = 3 - l.line_number",
        ),
        (
            "a header that is touched without a change in between",
            "create function erp() returns trigger language plpgsql as $$ begin
                 update quotes set updated_at = now() where id = new.quote_id;
                 update quotes set subtotal = subtotal + 1 where id = new.quote_id; return null; end $$;
             create trigger zz_touch after update on quote_lines for each row execute function erp();",
            "with a as (update quotes set notes = 'of the statement') update quote_lines set description = 'd' where line_number = 1",
        ),
        (
            "a header that a statement for lines and header changes, too, lines first",
            "TOTAL",
            "with h as (update quotes set status = 'ISSUED', total_amount = 0) update quote_lines set quantity = quantity + 5",
        ),
        (
            "a header that a statement for lines and header changes, too, header first",
            "TOTAL",
            "with l as (update quote_lines set quantity = quantity + 6 returning quote_id)
             update quotes set status = 'ACCEPTED' where id in (select quote_id from l)",
        ),
        (
            "a header that one statement creates together with its lines",
            "TOTAL",
            "with h as (insert into quotes select (jsonb_populate_record(q, jsonb_build_object('id', 'a0000000-0000-4000-8000-0000000000aa', 'quote_number', 'NEW-1', 'version', 1))).*
                 from quotes q limit 1)
             insert into quote_lines select (jsonb_populate_record(l, jsonb_build_object('id', gen_random_uuid(), 'quote_id', 'a0000000-0000-4000-8000-0000000000aa', 'line_number', n, 'version', 1))).*
             from quote_lines l, generate_series(1, 3) n where l.id = (select id from quote_lines limit 1)",
        ),
        (
            "lines that a statement for header and lines changes, too",
            "create function erp() returns trigger language plpgsql as $$ begin
                 update quote_lines set description = new.status where quote_id = new.id; return null; end $$;
             create trigger zz_last after update on quotes for each row execute function erp();",
            "with l as (update quote_lines set quantity = quantity + 1) update quotes set status = 'ISSUED';
             with h as (update quotes set status = 'DRAFT') update quote_lines set quantity = quantity + 1",
        ),
        (
            "a row whose own change is none, by a statement for two tables",
            "TOTAL",
            "with h as (update quotes set updated_at = now()) update quote_lines set quantity = quantity + 7; update quotes set notes = 'later'",
        ),
    ] {
        in_order(what, &trigger.replace("TOTAL", TOTAL), changes).await;
    }
}

async fn in_order(what: &str, trigger: &str, changes: &str) {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, trigger).await;
    // Also before the commit, as whoever goes on in the transaction reads it.
    run(&admin, "begin").await;
    run(&admin, changes).await;
    assert_eq!(count(&admin, OUT_OF_CHAIN).await, 0, "{what}: the history in the transaction");
    run(&admin, "rollback").await;
    run(&admin, changes).await;
    assert!(erp.count("select count(*) from quote_changes").await > 0, "{what}");
    assert_eq!(erp.count(OUT_OF_CHAIN).await, 0, "{what}: the history");
    assert_eq!(erp.count(OUT_OF_ORDER).await, 0, "{what}: the feed");
}

#[tokio::test]
async fn a_batch_that_is_full_in_the_middle_of_a_statement_is_in_order_too() {
    const QUOTES: &str = "insert into quotes select (jsonb_populate_record(null::quotes, to_jsonb(q.*) ||
            jsonb_build_object('id', gen_random_uuid(), 'quote_number', 'NEW-' || n, 'version', 1))).*
        from generate_series(1, 1500) n, (select * from quotes order by id limit 1) q";
    const AGAIN: &str = "create function erp() returns trigger language plpgsql as $$ begin
             if pg_trigger_depth() < 2 and CONDITION then update quotes set contact_name = VALUE where id = new.id; end if; return null; end $$;
         create trigger NAME after update on quotes for each row execute function erp();";
    for (what, name, condition, value, change) in [
        (
            "before its change is noted, one row",
            "a_first",
            "new.quote_number = 'NEW-700'",
            "'again'",
            "update quotes set notes = 'all'",
        ),
        (
            "before its change is noted, every row",
            "a_first",
            "true",
            "'again'",
            "update quotes set notes = 'all'",
        ),
        ("after its change is noted", "zz_last", "true", "'again'", "update quotes set notes = 'all'"),
        (
            "another row, which comes later",
            "a_first",
            "new.quote_number = 'NEW-1'",
            "'again'",
            "update quotes set notes = 'all'",
        ),
        (
            "with a value that fills a batch",
            "a_first",
            "new.quote_number = 'NEW-7'",
            "repeat('x', 9000000)",
            "update quotes set notes = 'all' where quote_number like 'NEW-7%'",
        ),
    ] {
        let erp = Erp::attached().await;
        let admin = erp.client("postgres").await;
        run(&admin, QUOTES).await;
        let mut trigger = AGAIN.replace("NAME", name).replace("CONDITION", condition).replace("VALUE", value);
        if what.starts_with("another") {
            trigger = trigger.replace("where id = new.id", "where quote_number like 'NEW-1_99'");
        }
        run(&admin, "alter table quotes alter column contact_name type text").await;
        run(&admin, &trigger).await;
        run(&admin, change).await;
        assert_eq!(erp.count(OUT_OF_CHAIN).await, 0, "{what}: the history");
        assert_eq!(erp.count(OUT_OF_ORDER).await, 0, "{what}: the feed");
    }
}

/// One quote with so many lines.
const LINES: &str = "insert into quote_lines select r.*
    from generate_series(1, COUNT) n, (select * from quote_lines order by id limit 1) l, lateral jsonb_populate_record(null::quote_lines,
        to_jsonb(l.*) || jsonb_build_object('id', gen_random_uuid(), 'quote_id', (select id from quotes order by id limit 1), 'line_number', 1000 + n, 'version', 1)) r";

#[tokio::test]
async fn many_rows_that_triggers_change_in_turn_are_in_order_too() {
    for (what, trigger, change) in [
        (
            "lines that only the trigger changes, and their header",
            "create function erp() returns trigger language plpgsql as $$ begin
                 update quotes set subtotal = subtotal + 1 where id = new.id; update quote_lines set quantity = quantity * 2 where quote_id = new.id;
                 return null; end $$;
             create trigger a_spread after update of notes on quotes for each row execute function erp();",
            "update quotes set notes = 'spread' where id = (select id from quotes order by id limit 1)",
        ),
        (
            "lines that the statement changes, too",
            "create function erp() returns trigger language plpgsql as $$ begin
                 update quote_lines set quantity = quantity * 2 where quote_id = new.quote_id; return null; end $$;
             create trigger a_again after update on quote_lines for each row when (new.line_number = 1001 and pg_trigger_depth() < 1)
                 execute function erp();",
            "update quote_lines set quantity = quantity + 1",
        ),
    ] {
        let erp = Erp::attached().await;
        let admin = erp.client("postgres").await;
        run(&admin, &LINES.replace("COUNT", "42000")).await;
        run(&admin, trigger).await;
        run(&admin, change).await;
        assert_eq!(erp.count("select count(*) from quote_lines where version > 1").await / 42_000, 1, "{what}");
        assert_eq!(erp.count(OUT_OF_CHAIN).await, 0, "{what}");
    }
}

#[tokio::test]
async fn large_values_that_are_written_do_not_count_as_kept() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create function erp() returns trigger language plpgsql as $$ begin
             update quote_lines set quantity = quantity + 1 where quote_id = new.id and line_number = 1; return null; end $$;
         create trigger a_first after update on quotes for each row execute function erp();
         with l as (update quote_lines set description = 'd' where line_number = 1)
         update quotes set notes = repeat('z', 9000000) where id in (select id from quotes order by ctid limit 20)",
    )
    .await;
    assert_eq!(erp.count(OUT_OF_CHAIN).await, 0);
}

#[tokio::test]
async fn whoever_changes_more_than_can_be_put_in_order_is_told() {
    let server = Arc::new(Postgres::start().await);
    let erp = Erp::attached_on(Arc::clone(&server)).await;
    let admin = erp.client("postgres").await;
    run(&admin, &LINES.replace("COUNT", "30")).await;
    let warnings = || server.log().matches("the history may not be in the order of the changes").count();
    for (bytes, told) in [(1_000, 0), (9_000_000, 1)] {
        run(
            &admin,
            &format!(
                "create or replace function erp() returns trigger language plpgsql as $$ begin
                     update quote_lines set description = repeat('x', {bytes}) where quote_id = new.quote_id; return null; end $$;
                 create or replace trigger a_again after update on quote_lines for each row when (new.line_number = 1001 and pg_trigger_depth() < 1)
                     execute function erp();
                 delete from quote_changes; update quote_lines set quantity = quantity + 1"
            ),
        )
        .await;
        assert_eq!(warnings(), told, "{bytes}");
        let changed = "select count(*) from quote_changes where change_type = 'UPDATE' and field_name in ('quantity', 'description')
             and quote_line_id in (select id from quote_lines where line_number > 1000)";
        assert_eq!(erp.count(changed).await, 60, "{bytes}: nothing is missing");
    }
}

#[tokio::test]
async fn what_a_savepoint_writes_leaves_the_rest_to_be_put_in_order() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create function again() returns trigger language plpgsql as $$ begin
             if new.contact_name is distinct from 'again' then update quotes set contact_name = 'again' where id = new.id; end if; return null; end $$;
         create trigger a_first after update of notes on quotes for each row execute function again();
         create table job (id integer);
         create function job() returns trigger language plpgsql as $$ begin
             update quotes set notes = 'by job' where quote_number = (select min(quote_number) from quotes); return null; end $$;
         create trigger job after insert on job for each row execute function job();
         begin; insert into job values (1); savepoint s; update quotes set notes = 'other' where quote_number = (select max(quote_number) from quotes);
         release s; commit",
    )
    .await;
    assert_eq!(erp.count(OUT_OF_CHAIN).await, 0);
    assert_eq!(erp.count(OUT_OF_ORDER).await, 0);
}

#[tokio::test]
async fn a_row_that_a_trigger_replaces_lives_twice() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create table kept as select * from quote_lines limit 0;
         create function replace() returns trigger language plpgsql as $$ begin
             if pg_trigger_depth() < 2 then delete from quote_lines where id = new.id; insert into quote_lines select new.*; end if; return null; end $$;
         create trigger a_first after update on quote_lines for each row execute function replace();
         update quote_lines set description = 'replaced'",
    )
    .await;
    assert_eq!(erp.count(OUT_OF_CHAIN).await, 0);
}
