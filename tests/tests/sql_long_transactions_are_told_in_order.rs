//! What many functions and triggers change in one statement or transaction is told in order, and does not stay in memory until it ends.

use std::sync::Arc;

use quote_collab_tests::history::OUT_OF_CHAIN;
use quote_collab_tests::statement::{count, run};
use quote_collab_tests::{Erp, Postgres};

/// Bytes of all that is noted and not written yet.
const KEPT: &str = "create function kept() returns bigint language sql as
    $$ select coalesce(sum(total_bytes), 0)::bigint from pg_backend_memory_contexts where name = 'quote_collab noted changes' $$;
    create table seen (kept bigint);";

/// A change of ours, so that the library is there when the next begins.
const WARM: &str = "update quotes set status = status";

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
