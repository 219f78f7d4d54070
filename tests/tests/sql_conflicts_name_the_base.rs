//! A conflict tells the value that the saver saw: as it was, wherever its history is by now.

use quote_collab_tests::Erp;
use quote_collab_tests::statement::{run, text};

/// Base, current and attempted value of the only conflict of a save.
fn told(save: &str) -> String {
    format!(
        "select concat_ws(' ', c ->> 'baseValue', c ->> 'currentValue', c ->> 'attemptedValue', coalesce(c ->> 'lastChangedAt', 'never') <> 'never')
         from {save} s, jsonb_array_elements(s.conflicts) c"
    )
}

#[tokio::test]
async fn of_a_line_that_moved_to_another_quote() {
    for moves in [
        "update quote_lines set unit_price = 20 where id = 'LINE'; update quote_lines set quote_id = 'OTHER', line_number = 99 where id = 'LINE'",
        "update quote_lines set unit_price = 20, quote_id = 'OTHER', line_number = 99 where id = 'LINE'",
        "update quote_lines set quote_id = 'OTHER', line_number = 99 where id = 'LINE'; update quote_lines set unit_price = 20 where id = 'LINE'",
        "update quote_lines set unit_price = 20 where id = 'LINE'; update quote_lines set quote_id = 'OTHER', line_number = 99 where id = 'LINE';
         update quote_lines set quote_id = 'QUOTE', line_number = 98 where id = 'LINE'",
    ] {
        let erp = Erp::attached().await;
        let admin = erp.client("postgres").await;
        let quote = erp.quote(0).await;
        let other = "select id::text from quotes q where q.tenant_id = (select tenant_id from quotes where id = 'QUOTE') and q.id <> 'QUOTE' order by 1 limit 1";
        let other = text(&admin, &other.replace("QUOTE", &quote.to_string())).await;
        let line = text(&admin, &format!("select id::text from quote_lines where quote_id = '{quote}' order by line_number limit 1")).await;
        run(&admin, &format!("update quote_lines set unit_price = 10, version = 1 where id = '{line}'")).await;
        let version = text(&admin, &format!("select version::text from quote_lines where id = '{line}'")).await;
        run(&admin, &moves.replace("LINE", &line).replace("OTHER", &other).replace("QUOTE", &quote.to_string())).await;
        let save = format!("update_quote_line_with_version_check('{line}', {version}, '{{\"unit_price\": 5}}')");
        assert_eq!(text(&admin, &told(&save)).await, "10.0000 20.0000 5.0000 t", "{moves}");
    }
}

#[tokio::test]
async fn of_a_change_that_is_in_the_archive() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let quote = erp.quote(0).await;
    run(
        &admin,
        &format!(
            "update quotes set notes = 'base' where id = '{quote}'; update quotes set notes = 'theirs' where id = '{quote}';
             alter table quote_changes disable trigger user;
             update quote_changes set changed_at = changed_at - interval '3 months'; select place_quote_strays('quote_changes')"
        ),
    )
    .await;
    run(&admin, "select archive_quote_changes('1 day')").await;
    assert_eq!(erp.count("select count(*) from quote_changes").await, 0);
    let save = format!("update_quote_with_version_check('{quote}', 2, '{{\"notes\": \"mine\"}}')");
    assert_eq!(text(&admin, &told(&save)).await, "base theirs mine t");
    run(&admin, &format!("begin; select set_config('app.current_tenant_id', tenant_id::text, true) from quotes where id = '{quote}'; set local role erp_app")).await;
    assert_eq!(text(&admin, &told(&save)).await, "base theirs mine t");
    run(&admin, "rollback").await;
}

/// Of the earlier lives of a line in which it had another quantity than now the last is told; and who changed it last is looked for in the life of
/// now, too.
#[tokio::test]
async fn of_a_row_that_was_deleted_and_came_back() {
    let edit = |quantity: u32| {
        format!("update quote_lines set quantity = {quantity} where id = (select id from kept)")
    };
    let insert = |quote: &str, quantity: u32| {
        format!(
            "insert into quote_lines (id, tenant_id, quote_id, line_number, quantity, unit_price, line_amount)
             select id, tenant_id, {quote}, 900, {quantity}, 1, {quantity} from kept"
        )
    };
    let again = |quantity: u32| insert("quote_id", quantity);
    let other =
        "(select q.id from quotes q, kept k where q.tenant_id = k.tenant_id and q.id <> k.quote_id limit 1)";
    let elsewhere = |quantity: u32| insert(other, quantity);
    let gone = "delete from quote_lines where id = (select id from kept)";
    let touch = "update quote_lines set version = version + 1 where id = (select id from kept)";
    let moved = format!("update quote_lines set quote_id = {other} where id = (select id from kept)");
    let back =
        "update quote_lines set quote_id = (select quote_id from kept) where id = (select id from kept)";
    let none = "update quote_lines set quantity = null where id = (select id from kept)";
    // As by a transaction that took longer than that before it deleted the line.
    let ended_long_before = "update quote_former_versions set ended_at = ended_at - interval '11 minutes'";
    // What becomes of a line that had quantity 1 at version 1, the version that a save is based on, base and current value that it is told.
    for (way, version, expected) in [
        (format!("begin; {gone}; {}; commit", again(2)), 1, "1.0000 2.0000 t"),
        (format!("{}; {gone}; {}; {}", edit(5), again(6), edit(7)), 2, "5.0000 7.0000 t"),
        (format!("{}; {gone}; {}", edit(5), again(6)), 2, "5.0000 6.0000 t"),
        (format!("{gone}; {}; {}; {gone}; {}", again(8), edit(9), again(1)), 1, "8.0000 1.0000 t"),
        (format!("{}; {gone}; {}", edit(5), elsewhere(6)), 2, "5.0000 6.0000 t"),
        (format!("{}; {gone}; {}; {}", edit(5), elsewhere(6), edit(7)), 2, "5.0000 7.0000 t"),
        (format!("{gone}; {}", again(1)), 1, "1.0000 1.0000 t"),
        (format!("{gone}; {}; {}; {}", again(3), edit(4), edit(6)), 2, "4.0000 6.0000 t"),
        (format!("{touch}; {gone}; {}", again(5)), 2, "1.0000 5.0000 t"),
        (format!("{}; {gone}; {}; {touch}; {}", edit(6), again(5), edit(6)), 2, "5.0000 6.0000 t"),
        (format!("{moved}; {gone}; {}", again(8)), 1, "1.0000 8.0000 t"),
        (format!("{}; {moved}; {gone}; {}", edit(2), elsewhere(1)), 2, "2.0000 1.0000 t"),
        (format!("{gone}; {}; {back}", elsewhere(7)), 1, "1.0000 7.0000 t"),
        (format!("{gone}; {}; {ended_long_before}", elsewhere(1)), 1, "1.0000 t"),
        (format!("{}; {gone}; {}; {none}; {}", edit(7), again(3), edit(7)), 2, "7.0000 t"),
    ] {
        let erp = Erp::attached().await;
        let admin = erp.client("postgres").await;
        run(
            &admin,
            &format!(
                "alter table quote_lines alter quantity drop not null; create table kept as select gen_random_uuid() as id, tenant_id, id as quote_id from quotes order by id limit 1; {};
                 set app.current_user_id = '00000000-0000-4000-8000-000000000009'",
                again(1)
            ),
        )
        .await;
        for statement in way.split("; ") {
            run(&admin, statement).await;
        }
        let told = format!(
            "select concat_ws(' ', c ->> 'baseValue', c ->> 'currentValue', c ->> 'lastChangedBy' = '00000000-0000-4000-8000-000000000009')
             from update_quote_line_with_version_check((select id from kept), {version}, '{{\"quantity\": 50}}') s, jsonb_array_elements(s.conflicts) c"
        );
        assert_eq!(text(&admin, &told).await, expected, "{way}");
    }
}

/// Behind a log of which each quote has many rows, with statistics of it, one step back is as near as ever: no month is read from end to end.
#[tokio::test]
async fn behind_a_long_log() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let write = "do $$ begin for i in 1 .. 200 loop
            update quotes set notes = 'note ' || i, shipping_amount = i; commit; end loop; end $$";
    run(&admin, write).await;
    run(&admin, "analyze quote_changes").await;
    let explain = "do $do$
        declare
            line text;
            plan text := '';
        begin
            for line in execute 'explain (analyze, timing off, summary off) ' || quote_versions_query('quote_changes') || ' select * from told'
                using (select array[q.id] from quotes q order by q.id limit 1), null::uuid,
                    (select q.version - 1 from quotes q order by q.id limit 1), '{\"notes\": \"mine\"}'::jsonb, '{\"notes\": \"now\"}'::jsonb
            loop
                plan := plan || line || chr(10);
            end loop;
            perform set_config('test.plan', plan, false);
        end $do$";
    run(&admin, explain).await;
    let plan = text(&admin, "select current_setting('test.plan')").await;
    let month = text(&admin, "select to_char(now() at time zone 'utc', 'YYYY_MM')").await;
    let whole = format!("Seq Scan on quote_changes_{month}");
    assert!(plan.contains(&format!("_{month}")) && !plan.contains(&whole), "{plan}");
}

/// Somebody has set the versions of a row down by hand, as where it was put back from a backup: what had the version is told, though others came later.
#[tokio::test]
async fn of_a_version_that_was_set_down() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let quote = erp.quote(0).await;
    for note in ["v2", "v3", "v4", "v5"] {
        run(&admin, &format!("update quotes set notes = '{note}' where id = '{quote}'")).await;
    }
    run(
        &admin,
        &format!(
            "alter table quotes disable trigger trg_increment_quote_version; alter table quotes disable trigger trg_capture_quote_change;
             update quotes set version = 2, notes = 'v2' where id = '{quote}';
             alter table quotes enable always trigger trg_increment_quote_version; alter table quotes enable always trigger trg_capture_quote_change"
        ),
    )
    .await;
    run(&admin, &format!("update quotes set notes = 'new' where id = '{quote}'")).await;
    let save = format!("update_quote_with_version_check('{quote}', 4, '{{\"notes\": \"mine\"}}')");
    assert_eq!(text(&admin, &told(&save)).await, "v4 new mine t");
}
