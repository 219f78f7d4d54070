//! What many functions and triggers change in one statement or transaction is told in order, and does not stay in memory until it ends.

use std::sync::Arc;

use quote_collab_tests::history::OUT_OF_CHAIN;
use quote_collab_tests::statement::{WARM, count, run, sqlstate, text};
use quote_collab_tests::{Erp, Postgres};

/// Bytes of all that is noted and not written yet.
const KEPT: &str = "create function kept() returns bigint language sql as
    $$ select coalesce(sum(total_bytes), 0)::bigint from pg_backend_memory_contexts where name = 'quote_collab noted changes' $$;
    create table seen (kept bigint);";

/// The most that was seen of it, in MB.
const MOST: &str = "select coalesce(max(kept), -1) / 1000000 from seen";

/// A server of one's own, whose log tells who was warned.
fn warned(server: &Postgres) -> usize {
    server.log().matches("the history may not be in the order of the changes").count()
}

#[tokio::test]
async fn exception_blocks_of_triggers_keep_one_batch() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    // A block of its own for each row, some of which fail behind what they have changed.
    run(
        &admin,
        &format!(
            "{KEPT} alter table quotes alter contact_name type text; create table import (n integer);
             create function import() returns trigger language plpgsql as $$ begin
                 begin
                     update quotes set contact_name = repeat('x', 50000) || new.n where quote_number = 'Q-2026-00001';
                     begin
                         update quotes set notes = new.n::text where quote_number = 'Q-2026-00002';
                         if new.n % 5 = 0 then raise 'inner'; end if;
                     exception when raise_exception then null; end;
                     if new.n % 7 = 0 then raise 'outer'; end if;
                 exception when raise_exception then null; end;
                 if new.n % 500 = 0 then insert into seen values (kept()); end if;
                 return null; end $$;
             create trigger import after insert on import for each row execute function import()"
        ),
    )
    .await;
    run(&admin, "insert into import select generate_series(1, 1000)").await;
    let told = |number: &str, field: &str| {
        format!(
            "select count(*) from quote_changes c join quotes q on q.id = c.quote_id where q.quote_number = '{number}' and c.field_name = '{field}'"
        )
    };
    let succeed = |divisors: &[i64]| {
        (1..=1000).filter(|n| divisors.iter().all(|divisor| n % divisor != 0)).count().try_into().unwrap()
    };
    let outer: i64 = succeed(&[7]);
    assert_eq!(count(&admin, &told("Q-2026-00001", "contact_name")).await, outer);
    let inner: i64 = succeed(&[5, 7]);
    assert_eq!(count(&admin, &told("Q-2026-00002", "notes")).await, inner);
    assert_eq!(count(&admin, OUT_OF_CHAIN).await, 0);
    let most = count(&admin, MOST).await;
    assert!((0..30).contains(&most), "{most} MB were kept");
}

#[tokio::test]
async fn small_exception_blocks_share_their_memory() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        &format!(
            "{KEPT} create table import (n integer);
             create function import() returns trigger language plpgsql as $$ begin
                 begin
                     insert into quote_lines (tenant_id, quote_id, line_number, quantity, unit_price, line_amount)
                         select tenant_id, id, 1000 + new.n, 1, 1, 1 from quotes where quote_number = 'Q-2026-00001';
                 exception when raise_exception then null; end;
                 if new.n % 5000 = 0 then insert into seen values (kept()); end if;
                 return null; end $$;
             create trigger import after insert on import for each row execute function import();
             {WARM}; insert into import select generate_series(1, 10000)"
        ),
    )
    .await;
    assert_eq!(
        count(&admin, "select count(*) from quote_changes where change_type = 'CREATE'").await,
        10_000
    );
    assert_eq!(count(&admin, OUT_OF_CHAIN).await, 0);
    let most = count(&admin, MOST).await;
    assert!((0..20).contains(&most), "{most} MB were kept");
}

#[tokio::test]
async fn what_is_held_back_again_and_again_is_let_go() {
    let server = Arc::new(Postgres::start().await);
    let erp = Erp::attached_on(Arc::clone(&server)).await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        &format!(
            "{KEPT} alter table quotes alter contact_name type text;
             create function touch(which uuid) returns uuid language plpgsql as $$ begin
                 update quotes set contact_name = repeat(md5(random()::text), 32768) where id = which; return which; end $$"
        ),
    )
    .await;
    run(
        &admin,
        "do $$ declare v uuid; begin for n in 1 .. 100 loop
             update quotes set notes = n::text where quote_number = 'Q-2026-00001' returning touch(id) into v;
             if n % 50 = 0 then insert into seen values (kept()); end if;
         end loop; end $$",
    )
    .await;
    assert_eq!(count(&admin, OUT_OF_CHAIN).await, 0);
    let most = count(&admin, MOST).await;
    assert!((0..20).contains(&most), "{most} MB were kept");
    assert_eq!(warned(&server), 0, "only few were held at a time");
}

#[tokio::test]
async fn what_triggers_insert_waits_for_nothing() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        &format!(
            "{KEPT}
             create function lines() returns trigger language plpgsql as $$ begin
                 insert into quote_lines (tenant_id, quote_id, line_number, quantity, unit_price, line_amount, description)
                     select new.tenant_id, new.id, n, 1, 1, 1, repeat('x', 1000) from generate_series(1, 10) n;
                 if new.quote_number like 'NEW-%000' then insert into seen values (kept()); end if;
                 return null; end $$;
             create trigger a_lines after insert on quotes for each row execute function lines();
             {WARM}; insert into quotes (tenant_id, quote_number, quote_date, customer_id) select tenant_id, 'NEW-' || n, now(), customer_id
                 from (select * from quotes limit 1) q, generate_series(1, 3000) n"
        ),
    )
    .await;
    assert_eq!(
        count(&admin, "select count(*) from quote_changes where change_type = 'CREATE'").await,
        33_000
    );
    assert_eq!(count(&admin, OUT_OF_CHAIN).await, 0);
    let most = count(&admin, MOST).await;
    assert!((0..25).contains(&most), "{most} MB were kept");
}

#[tokio::test]
async fn rows_that_make_room_under_a_stamp_end_before_others_begin() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    // The stamp counts as no change of the row.
    run(
        &admin,
        "create function room() returns trigger language plpgsql as $$ begin
             update quote_lines set updated_by = gen_random_uuid() where id = new.id;
             update quote_lines set updated_by = gen_random_uuid() where id = new.id;
             delete from quote_lines where id = new.id; return new; end $$;
         create trigger a_first before insert on quote_lines for each row execute function room();
         insert into quote_lines select * from quote_lines order by id limit 1",
    )
    .await;
    assert_eq!(count(&admin, "select count(*) from quote_changes").await, 2);
    assert_eq!(count(&admin, OUT_OF_CHAIN).await, 0);
}

/// Its key is looked at when the statement has ended.
#[tokio::test]
async fn many_rows_that_take_each_others_ids_end_before_they_begin() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "alter table quote_lines drop constraint quote_lines_pkey, add constraint quote_lines_pkey primary key (id) deferrable;
         insert into quote_lines (tenant_id, quote_id, line_number, quantity, unit_price, line_amount)
             select tenant_id, id, n, 1, 1, 1 from (select * from quotes order by id limit 1) q, generate_series(1001, 25000) n;
         update quote_lines l set id = o.id from quote_lines o
             where o.quote_id = l.quote_id and l.line_number > 1000 and o.line_number = 26001 - l.line_number",
    )
    .await;
    assert_eq!(
        count(&admin, "select count(*) from quote_changes where change_type = 'DELETE'").await,
        24_000
    );
    assert_eq!(count(&admin, OUT_OF_CHAIN).await, 0);
}

#[tokio::test]
async fn triggers_that_wait_find_everything_told() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        &format!(
            "{KEPT} alter table quotes alter contact_name type text; create table job (n integer);
             create function job() returns trigger language plpgsql as $$ begin
                 update quotes set notes = coalesce(notes, '') || 'j', contact_name = repeat('y', 100000) where quote_number < 'Q-2026-00006';
                 if new.n % 10 = 0 then insert into seen values (kept()); end if;
                 return null; end $$;
             create constraint trigger job after insert on job deferrable initially deferred for each row execute function job();
             {WARM}"
        ),
    )
    .await;
    run(&admin, "begin; insert into job values (1); set constraints all immediate").await;
    assert!(
        count(&admin, "select count(*) from quote_changes where field_name = 'contact_name'").await > 0,
        "told at once"
    );
    run(&admin, "rollback").await;
    // Each changes again what the transaction has changed before.
    run(
        &admin,
        "begin; update quotes set notes = 'x'; insert into job select generate_series(1, 100); commit",
    )
    .await;
    assert_eq!(count(&admin, OUT_OF_CHAIN).await, 0);
    let most = count(&admin, MOST).await;
    assert!((0..30).contains(&most), "{most} MB were kept");
}

/// A block that writes a batch for others and fails takes what it wrote back.
const FAILS: &str = "create function fails() returns trigger language plpgsql as $$ begin
         if new.description like 'x%' then
             begin update quotes set notes = repeat('y', 9000000) where id = new.quote_id; raise 'no'; exception when raise_exception then null; end;
         end if;
         return null; end $$;
     create trigger zz_fails after update on quote_lines for each row execute function fails();";

#[tokio::test]
async fn what_a_failed_block_had_written_is_put_in_order_once() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        &format!(
            "create function again(line uuid) returns uuid language plpgsql as $$ begin
                 update quote_lines set description = 'again' where id = line; return line; end $$;
             {FAILS} {WARM};
             update quote_lines set description = 'x' where id = (select id from quote_lines order by id limit 1) returning again(id)"
        ),
    )
    .await;
    assert_eq!(count(&admin, "select count(*) from quote_changes where field_name = 'description'").await, 2);
    assert_eq!(count(&admin, OUT_OF_CHAIN).await, 0);
}

#[tokio::test]
async fn blocks_that_fail_behind_a_batch_keep_little_of_what_others_changed() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        &format!(
            "{KEPT} {FAILS} {WARM};
             create function look() returns trigger language plpgsql as $$ begin insert into seen values (kept()); return null; end $$;
             create trigger zz_look after update on quote_lines for each row when (new.description like 'x%') execute function look();
             update quote_lines set description = repeat('x', 1000000) where id in (select id from quote_lines order by id limit 40)"
        ),
    )
    .await;
    assert_eq!(
        count(&admin, "select count(*) from quote_changes where field_name = 'description'").await,
        40
    );
    let most = count(&admin, MOST).await;
    assert!((0..25).contains(&most), "{most} MB were kept");
}

#[tokio::test]
async fn what_was_told_is_not_taken_for_what_comes_later() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        &format!(
            "create table known as select * from quote_lines order by id limit 1;
             create function move(line uuid) returns text language plpgsql as $$ begin
                 update quote_lines set id = 'bbbbbbbb-0000-4000-8000-000000000003' where id = line; return 'moved'; end $$;
             create function make_room(line uuid) returns boolean language plpgsql as $$ begin
                 update quote_lines set description = 'a' where id = line;
                 update quotes set notes = move(line) where id = (select quote_id from known); return true; end $$;
             {WARM};
             insert into quote_lines (id, tenant_id, quote_id, line_number, quantity, unit_price, line_amount)
                 select id, tenant_id, quote_id, 90001, 1, 1, 1 from known where make_room(id)"
        ),
    )
    .await;
    assert_eq!(count(&admin, OUT_OF_CHAIN).await, 0);
}

#[tokio::test]
async fn a_silent_change_may_be_known_late() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let line = "'cccccccc-0000-4000-8000-000000000001'";
    run(
        &admin,
        &format!(
            "create table known as select id, tenant_id, quote_id from quote_lines order by ctid limit 1;
             create function stamp(line uuid) returns boolean language plpgsql as $$ begin
                 update quote_lines set updated_by = gen_random_uuid() where id in (line, (select id from known)); return true; end $$;
             create function again(line uuid) returns boolean language plpgsql as $$ begin
                 insert into quote_lines (id, tenant_id, quote_id, line_number, description, quantity, unit_price, line_amount)
                     select line, tenant_id, quote_id, 90002, 'new', 1, 1, 1 from known where stamp(line); return true; end $$;
             create function makes_room() returns trigger language plpgsql as $$ begin
                 if new.id = (select id from known) then delete from quote_lines where id = {line}; end if; return null; end $$;
             create trigger aa_first after update on quote_lines for each row execute function makes_room();
             {WARM};
             insert into quote_lines (id, tenant_id, quote_id, line_number, description, quantity, unit_price, line_amount)
                 select {line}, tenant_id, quote_id, 90003, 'old', 1, 1, 1 from known returning again(id)"
        ),
    )
    .await;
    let told = format!(
        "select string_agg(change_type || ' ' || (coalesce(new_value, old_value) ->> 'description'), ', ' order by position)
         from quote_changes where quote_line_id = {line}"
    );
    assert_eq!(text(&admin, &told).await, "CREATE old, DELETE old, CREATE new");
}

#[tokio::test]
async fn what_stands_on_a_change_of_nothing_waits_for_nothing() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        &format!(
            "{KEPT} create function describe() returns trigger language plpgsql as $$ begin
                 update quote_lines set description = repeat('d', 50000) where id = new.id;
                 insert into seen values (kept()); return null; end $$;
             create trigger zz_describe after update of updated_by on quote_lines for each row
                 when (new.description is not distinct from old.description) execute function describe();
             {WARM};
             update quote_lines set updated_by = gen_random_uuid() where id in (select id from quote_lines limit 600)"
        ),
    )
    .await;
    assert!(count(&admin, "select count(*) from quote_changes where field_name = 'description'").await > 300);
    let most = count(&admin, MOST).await;
    assert!((0..20).contains(&most), "{most} MB were kept");
}

/// What deferred triggers change is written when the transaction ends.
#[tokio::test]
async fn what_the_log_defers_is_not_forgotten() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create table known (position bigint primary key);
         create table heard (position bigint references known deferrable initially deferred); grant all on known, heard to public;
         create function hear() returns trigger language plpgsql as $$ begin
             if new.field_name = 'description' then insert into heard values (new.position); end if; return null; end $$;
         create trigger hear after insert on quote_changes for each row execute function hear();
         create function late() returns trigger language plpgsql as $$ begin
             update quote_lines set description = 'late' where quote_id = new.id; return null; end $$;
         create constraint trigger late after update on quotes deferrable initially deferred for each row execute function late()",
    )
    .await;
    let change =
        "update quotes set notes = 'x' where id = (select quote_id from quote_lines order by id limit 1)";
    assert_eq!(sqlstate(&admin, change).await, "23503", "nobody knows what was heard");
    assert_eq!(count(&admin, "select count(*) from heard").await, 0);
    run(&admin, "drop table heard; create table heard (position bigint); grant all on heard to public").await;
    run(&admin, change).await;
    assert!(count(&admin, "select count(*) from heard").await > 0);
    assert_eq!(count(&admin, OUT_OF_CHAIN).await, 0);
}
