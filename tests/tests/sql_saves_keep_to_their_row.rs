//! A save changes one row, which stays where it is and whose it is, by values that can be written down; and what it says of itself ends
//! with it.

use quote_collab_tests::Erp;
use quote_collab_tests::statement::{run, sqlstate, text};
use tokio_postgres::Client;
use uuid::Uuid;

/// Tables with these columns beside the keys, attached, with a quote and a line of the first tenant.
async fn tables(columns: &str, line_columns: &str, options: &str) -> (Erp, Client) {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        &format!(
            "create schema own; set search_path = own, public;
             create table quotes (id uuid not null default gen_random_uuid(), {columns});
             create table quote_lines (id uuid primary key default gen_random_uuid(), {line_columns});
             create extension quote_collab_ext schema public; select attach_quote_collaboration('quotes', 'quote_lines', '{options}')"
        ),
    )
    .await;
    (erp, admin)
}

const TENANT: &str = "a0000000-0000-4000-8000-000000000001";
const QUOTE: &str = "11111111-1111-4111-8111-111111111111";
const LINE: &str = "22222222-2222-4222-8222-222222222222";
const SESSION: &str = "00000000-0000-4000-8000-00000000abcd";
const OF_COMPANY: &str = "company integer, tenant_id uuid generated always as (('a0000000-0000-4000-8000-00000000000' || company)::uuid) stored";

fn save(changes: &str) -> String {
    format!("select success::text from update_quote_with_version_check('{QUOTE}', 1, '{changes}')")
}

fn save_line(changes: &str) -> String {
    format!("select success::text from update_quote_line_with_version_check('{LINE}', 1, '{changes}')")
}

#[tokio::test]
async fn no_save_moves_a_row_by_what_its_keys_are_generated_from() {
    let (_erp, admin) = tables(
        &format!("{OF_COMPANY}, notes text"),
        "tenant_id uuid not null, order_no integer, quote_id uuid generated always as (('11111111-1111-4111-8111-11111111111' || order_no)::uuid) stored, note text",
        "{}",
    )
    .await;
    run(
        &admin,
        &format!(
            "insert into quotes (id, company) values ('{QUOTE}', 1), ('11111111-1111-4111-8111-111111111112', 2);
             insert into quote_lines (id, tenant_id, order_no) values ('{LINE}', '{TENANT}', 1); set app.current_tenant_id = '{TENANT}'"
        ),
    )
    .await;
    assert_eq!(sqlstate(&admin, &save("{\"company\": 2}")).await, "42501");
    assert_eq!(sqlstate(&admin, &save_line("{\"orderNo\": 2}")).await, "42501");
    // Nor out of sight of everybody.
    assert_eq!(sqlstate(&admin, &save("{\"company\": null}")).await, "42501");
    assert_eq!(sqlstate(&admin, &save_line("{\"orderNo\": null}")).await, "42501");
    assert_eq!(text(&admin, &save("{\"company\": 1, \"notes\": \"mine\"}")).await, "true");
    assert_eq!(text(&admin, &save_line("{\"note\": \"mine\"}")).await, "true");
}

#[tokio::test]
async fn no_save_gives_a_row_another_id_by_what_it_is_generated_from() {
    let of_number = |digit: u8| {
        format!(
            "number integer, tenant_id uuid not null, notes text,
             uid uuid generated always as (('{digit}1111111-1111-4111-8111-11111111111' || number)::uuid) stored not null unique"
        )
    };
    let (_erp, admin) = tables(
        &of_number(1),
        &format!("{}, quote_id uuid not null", of_number(2)),
        r#"{"columns": {"id": "uid"}, "line_columns": {"id": "uid"}}"#,
    )
    .await;
    run(
        &admin,
        &format!(
            "insert into quotes (number, tenant_id) values (1, '{TENANT}');
             insert into quote_lines (number, tenant_id, quote_id) values (1, '{TENANT}', '{QUOTE}'); set app.current_tenant_id = '{TENANT}'"
        ),
    )
    .await;
    let line = QUOTE.replacen('1', "2", 1);
    for changes in [r#"{"number": 2}"#, r#"{"number": 2, "notes": "mine"}"#] {
        assert_eq!(sqlstate(&admin, &save(changes)).await, "42501", "{changes}");
        assert_eq!(sqlstate(&admin, &save_line(changes).replace(LINE, &line)).await, "42501", "{changes}");
    }
    assert_eq!(text(&admin, &save(r#"{"number": 1, "notes": "mine"}"#)).await, "true");
    assert_eq!(text(&admin, &save_line(r#"{"notes": "mine"}"#).replace(LINE, &line)).await, "true");
}

#[tokio::test]
async fn a_line_that_leaves_a_quote_which_goes_may_be_saved_again() {
    let (erp, admin) = tables(
        "tenant_id uuid not null",
        "tenant_id uuid not null, quote_id uuid not null, notes text",
        "{}",
    )
    .await;
    let other = QUOTE.replace('1', "3");
    run(
        &admin,
        &format!(
            "insert into quotes values ('{QUOTE}', '{TENANT}'), ('{other}', '{TENANT}'); insert into quote_lines (id, tenant_id, quote_id) values ('{LINE}', '{TENANT}', '{QUOTE}')"
        ),
    )
    .await;
    run(
        &admin,
        &format!(
            "begin; update quote_lines set quote_id = '{other}'; delete from quotes where id = '{QUOTE}'"
        ),
    )
    .await;
    let saver = erp.client("postgres").await;
    run(&saver, "set search_path = own, public").await;
    let save = save_line("{\"notes\": \"mine\"}");
    let commits = async {
        erp.wait_until("select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')").await;
        run(&admin, "commit").await;
    };
    let (state, ()) = tokio::join!(sqlstate(&saver, &save), commits);
    assert_eq!(state, "40001");
    let again = save.replace(", 1, ", ", 2, ");
    assert_eq!(text(&saver, &again).await, "true");
    run(&admin, &format!("delete from quotes where id = '{other}'")).await;
    assert_eq!(sqlstate(&saver, &again).await, "P0002", "a line without its quote");
}

#[tokio::test]
async fn no_save_changes_several_rows() {
    let (_erp, admin) = tables(
        "rev integer, tenant_id uuid not null, notes text, primary key (id, rev)",
        "tenant_id uuid not null, quote_id uuid not null",
        "{}",
    )
    .await;
    run(
        &admin,
        &format!(
            "insert into quotes values ('{QUOTE}', 1, '{TENANT}', 'one'), ('{QUOTE}', 2, '{TENANT}', 'two'); update quotes set notes = 'edited' where rev = 2"
        ),
    )
    .await;
    assert_eq!(sqlstate(&admin, &save("{\"notes\": \"of one\"}")).await, "21000");
    assert_eq!(text(&admin, "select string_agg(notes, ' ' order by rev) from quotes").await, "one edited");
}

#[tokio::test]
async fn whole_amounts_may_become_larger_than_each() {
    let (_erp, admin) = tables(
        "tenant_id uuid not null, subtotal integer, tax_amount integer, shipping_amount integer, total_amount bigint",
        "tenant_id uuid not null, quote_id uuid not null, quantity integer, unit_price integer, line_amount bigint",
        "{}",
    )
    .await;
    run(
        &admin,
        &format!(
            "insert into quotes values ('{QUOTE}', '{TENANT}', 2000000000, 2000000000); insert into quote_lines values ('{LINE}', '{TENANT}', '{QUOTE}')"
        ),
    )
    .await;
    assert_eq!(text(&admin, &save("{\"shippingAmount\": 5}")).await, "true");
    assert_eq!(text(&admin, "select total_amount::text from quotes").await, "4000000005");
    run(&admin, "alter table quotes alter column subtotal type bigint").await;
    assert_eq!(text(&admin, &save_line("{\"quantity\": 100000, \"unitPrice\": 25000}")).await, "true");
    assert_eq!(
        text(&admin, "select concat_ws(' ', l.line_amount, q.subtotal) from quote_lines l, quotes q").await,
        "2500000000 2500000000"
    );
}

#[tokio::test]
async fn totals_of_the_erp_are_its_own_where_attach_is_told_so() {
    let none =
        r#"{"columns": {"subtotal": null, "total_amount": null}, "line_columns": {"line_amount": null}}"#;
    let (_erp, admin) = tables(
        "tenant_id uuid not null, subtotal numeric, total_amount numeric, notes text",
        "tenant_id uuid not null, quote_id uuid not null, quantity integer, unit_price numeric, line_amount numeric",
        none,
    )
    .await;
    run(
        &admin,
        &format!(
            "insert into quotes values ('{QUOTE}', '{TENANT}', 90, 107.1); insert into quote_lines values ('{LINE}', '{TENANT}', '{QUOTE}', 1, 100, 90)"
        ),
    )
    .await;
    assert_eq!(text(&admin, &save_line("{\"quantity\": 2}")).await, "true");
    let amounts =
        "select concat_ws(' ', l.line_amount, q.subtotal, q.total_amount) from quote_lines l, quotes q";
    assert_eq!(text(&admin, amounts).await, "90 90 107.1");
    // What mends something else attaches as it was attached.
    run(&admin, "drop trigger trg_capture_quote_change on quotes").await;
    let hint = text(&admin, "select hint from quote_collab_doctor() where severity = 'error' and hint like '%attach_quote%' limit 1").await;
    run(&admin, &hint).await;
    assert_eq!(text(&admin, "select coalesce(columns ->> 'subtotal', 'none') from quote_collab_settings where entity = 'QUOTE'").await, "none");
    // Nor what the ERP adds later.
    run(&admin, "select detach_quote_collaboration(); alter table quotes drop column total_amount, drop column subtotal").await;
    run(&admin, &format!("select attach_quote_collaboration('quotes', 'quote_lines', '{none}')")).await;
    let again =
        text(&admin, "select quote_attach_statement(s) from quote_collab_settings s where entity = 'QUOTE'")
            .await;
    run(
        &admin,
        &format!("alter table quotes add column total_amount numeric, add column subtotal numeric; {again}"),
    )
    .await;
    assert_eq!(text(&admin, "select string_agg(distinct coalesce(columns ->> 'subtotal', columns ->> 'total_amount', columns ->> 'line_amount', 'none'), ' ') from quote_collab_settings").await, "none");
    for (wrong, state) in [
        (r#"{"columns": {"id": null}}"#, "22023"),
        (r#"{"columns": {"subtotal": ""}}"#, "42703"),
        (r#"{"columns": {"version": null}}"#, "22023"),
    ] {
        assert_eq!(
            sqlstate(
                &admin,
                &format!("select attach_quote_collaboration('quotes', 'quote_lines', '{wrong}')")
            )
            .await,
            state,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_written_down_is_refused_before_it_is() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let quote: Uuid = erp.quote(0).await;
    let save = |changes: &str| {
        format!("select success::text from update_quote_with_version_check('{quote}', 1, {changes})")
    };
    let numbers = r#"('{"notes": [' || repeat('1e131071,', 7000) || '1]}')::jsonb"#;
    run(&admin, "set statement_timeout = '5s'").await;
    assert_eq!(sqlstate(&admin, &save(numbers)).await, "22003");
    for (changes, state) in [
        (r#"'{"totalAmount": 1e131071}'"#, "22003"),
        (r#"'{"totalAmount": -1e-16000}'"#, "22003"),
        (r#"'{"notes": {"a": [1, {"b": 1e400}]}}'"#, "22003"),
        (r#"'{"notes": {"a": 1}}'"#, "22P02"),
        (r#"'{"contactName": ["a"]}'"#, "22P02"),
        (r#"'{"marginAmount": "NaN"}'"#, "22003"),
        (r#"'{"totalCost": "Infinity"}'"#, "22003"),
    ] {
        assert_eq!(sqlstate(&admin, &save(changes)).await, state, "{changes}");
    }
    assert_eq!(text(&admin, &save(r#"'{"notes": 12.5}'"#)).await, "true");
}

#[tokio::test]
async fn the_session_of_a_save_ends_with_it() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let (quote, other) = (erp.quote(0).await, erp.quote(1).await);
    let save = |version: i32| {
        format!(
            "select update_quote_with_version_check('{quote}', {version}, '{{\"notes\": \"by a session, {version}\"}}', '{SESSION}')"
        )
    };
    let mine = "00000000-0000-4000-8000-00000000000e";
    run(
        &admin,
        &format!(
            "begin; {}; update quotes set notes = 'by nobody' where id = '{other}'; commit;
             begin; {}; update quotes set notes = 'still by nobody' where id = '{other}'; commit;
             begin; set local app.current_session_id = '{mine}'; {}; update quotes set notes = 'by me' where id = '{other}'; commit",
            save(1), save(1), save(2)
        ),
    )
    .await;
    let told = format!(
        "select string_agg(case session_id when '{SESSION}' then 'save' when '{mine}' then 'mine' else coalesce(session_id::text, 'none') end, ' ' order by position)
         from quote_changes where field_name = 'notes'"
    );
    assert_eq!(text(&admin, &told).await, "save none save none save mine");
}

#[tokio::test]
async fn a_right_that_a_trigger_needs_is_named() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create table ledger (what text); create function to_ledger() returns trigger language plpgsql as
             $$ begin insert into ledger values (new.notes); return null; end $$;
         create trigger to_ledger after update on quotes for each row execute function to_ledger()",
    )
    .await;
    let quote = erp.quote(0).await;
    run(&admin, &format!("begin; select set_config('app.current_tenant_id', tenant_id::text, true) from quotes where id = '{quote}'; set local role erp_app")).await;
    let error = admin
        .batch_execute(&format!(
            "select update_quote_with_version_check('{quote}', 1, '{{\"notes\": \"x\"}}')"
        ))
        .await
        .expect_err("the trigger may not");
    let error = error.as_db_error().expect("PostgreSQL refuses");
    assert_eq!(error.code().code(), "42501");
    assert!(
        error.hint().is_some_and(|hint| hint.contains("triggers") && hint.contains("erp_app")),
        "{:?}",
        error.hint()
    );
}

#[tokio::test]
async fn types_of_a_session_are_not_those_of_a_save() {
    let columns = "tenant_id uuid not null, valid date, notes text, labels text[], price numeric(12, 2), code varchar(5), at timestamp(3), updated_by uuid";
    let (_erp, admin) = tables(columns, "tenant_id uuid not null, quote_id uuid not null", "{}").await;
    run(
        &admin,
        &format!(
            "insert into quotes (id, tenant_id) values ('{QUOTE}', '{TENANT}'); set app.current_tenant_id = '{TENANT}'; set app.current_user_id = '{TENANT}';
             create temp table date (a integer); create temp table text (a integer); create temp table uuid (a integer)"
        ),
    )
    .await;
    let changes = r#"{"valid": "2026-02-03", "notes": "mine", "labels": ["a"], "price": 1.5, "code": "abc", "at": "2026-02-03T04:05:06.789"}"#;
    let save = save(changes).replace("success::text", "case when success then 'saved' end");
    assert_eq!(text(&admin, &save).await, "saved");
    let saved = format!(
        "select concat_ws('|', valid, notes, labels, price, code, at, updated_by) from own.quotes where id = '{QUOTE}'"
    );
    assert_eq!(
        text(&admin, &saved).await,
        format!("2026-02-03|mine|{{a}}|1.50|abc|2026-02-03 04:05:06.789|{TENANT}")
    );
}
