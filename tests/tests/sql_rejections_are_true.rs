//! A refused save is noted, whoever makes it and however; nobody else gets a word into the history, or out of it.

use quote_collab_tests::Erp;
use quote_collab_tests::statement::{run, text};
use tokio_postgres::Client;
use uuid::Uuid;

async fn noted(erp: &Erp) -> i64 {
    erp.count("select count(*) from quote_changes where conflict_resolution = 'REJECTED'").await
}

/// A quote at version 2, its tenant, and a role that may see the quotes and no more.
async fn scene() -> (Erp, Client, Uuid, String) {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let quote = erp.quote(0).await;
    let row = admin
        .query_one("update quotes set notes = 'seen' where id = $1 returning tenant_id", &[&quote])
        .await
        .expect("a change");
    let tenant = format!("select set_config('app.current_tenant_id', '{}', true)", row.get::<_, Uuid>(0));
    for role in ["rejection_stranger", "rejection_reader", "rejection_clerk", "rejection_keeper"] {
        run(
            &admin,
            &format!("do $$ begin create role {role}; exception when duplicate_object or unique_violation then null; end $$"),
        )
        .await;
    }
    run(
        &admin,
        "grant select on quotes, quote_changes to rejection_reader, rejection_clerk, rejection_keeper;
         grant update (notes, version, updated_at, updated_by) on quotes to rejection_clerk, rejection_keeper;
         grant create on schema public to rejection_keeper",
    )
    .await;
    (erp, admin, quote, tenant)
}

const FORGED: &str = "select record_rejected_quote_change('QUOTE', 'ROW', 1, '{\"notes\": \"forged\"}')";

#[tokio::test]
async fn by_who_may_not_change_the_row_no_rejection_is_noted() {
    let (erp, admin, quote, tenant) = scene().await;
    let foreign: Uuid = admin
        .query_one(
            "select id from quotes q where tenant_id <> (select tenant_id from quotes where id = $1) limit 1",
            &[&quote],
        )
        .await
        .unwrap()
        .get(0);
    for role in ["rejection_stranger", "rejection_reader", "rejection_clerk", "erp_app"] {
        for row in [quote, foreign, Uuid::nil()] {
            for fields in ["{\"notes\": \"forged\"}", "{\"no such field\": 1}", "[]"] {
                let forged =
                    FORGED.replace("ROW", &row.to_string()).replace("{\"notes\": \"forged\"}", fields);
                // Unknown, foreign, not locked: all the same.
                run(&admin, &format!("begin; {tenant}; set local role {role}; {forged}; commit")).await;
            }
        }
    }
    assert_eq!(noted(&erp).await, 0);
    // Who locks the row says what he likes about his own save, within bounds.
    let locked = format!(
        "begin; {tenant}; set local role erp_app; select from quotes where id = '{quote}' for update"
    );
    for (fields, expected) in [
        ("'{\"no such field\": 1}'".to_owned(), "42703"),
        ("'{\"id\": 1}'".to_owned(), "42501"),
        ("'[]'".to_owned(), "22023"),
        ("jsonb_build_object('notes', repeat('x', 1048577))".to_owned(), "54000"),
    ] {
        run(&admin, &locked).await;
        let forged = format!("select record_rejected_quote_change('QUOTE', '{quote}', 1, {fields})");
        let refused = admin.batch_execute(&forged).await.expect_err(&forged);
        assert_eq!(refused.as_db_error().expect("PostgreSQL refuses").code().code(), expected, "{fields}");
        run(&admin, "rollback").await;
    }
    assert_eq!(noted(&erp).await, 0);
}

#[tokio::test]
async fn by_who_may_change_the_row_a_rejection_is_noted() {
    let (erp, admin, quote, tenant) = scene().await;
    let save = format!("select update_quote_with_version_check('{quote}', 1, '{{\"notes\": \"late\"}}')");
    run(
        &admin,
        &format!(
            "grant select on quotes to rejection_stranger;
             begin; {tenant}; set local role rejection_keeper;
             create function keeper_saves() returns void language sql security definer set search_path = public as $${save}$$;
             commit"
        ),
    )
    .await;
    let mut before = noted(&erp).await;
    for (way, role, statements) in [
        ("a role with the right", "erp_app", save.clone()),
        ("a right on columns", "rejection_clerk", save.clone()),
        ("a function with the right", "rejection_stranger", "select keeper_saves()".to_owned()),
        ("a savepoint", "erp_app", format!("savepoint a; {save}; release a")),
        (
            "a block that forgives",
            "erp_app",
            format!(
                "do $$ begin begin perform {}; exception when others then raise; end; end $$",
                &save[7..]
            ),
        ),
        (
            "a savepoint that was released after it had locked the row",
            "erp_app",
            format!("savepoint a; select from quotes where id = '{quote}' for update; release a; {save}"),
        ),
        (
            "a row changed before",
            "erp_app",
            format!("update quotes set notes = 'mine' where id = '{quote}'; savepoint a; {save}"),
        ),
    ] {
        run(&admin, &format!("begin; {tenant}; set local role {role}; {statements}; commit")).await;
        before += 1;
        assert_eq!(noted(&erp).await, before, "{way}");
    }
    // Somebody else holds the key of the row, as those do who insert lines.
    let other = erp.client("postgres").await;
    run(&other, &format!("begin; select from quotes where id = '{quote}' for key share")).await;
    run(&admin, &format!("begin; {tenant}; set local role erp_app; {save}; commit")).await;
    assert_eq!(noted(&erp).await, before + 1, "beside a holder of the key");
    run(&other, "rollback").await;
}

#[tokio::test]
async fn each_of_several_refused_saves_of_a_transaction_is_noted() {
    let (erp, admin, quote, tenant) = scene().await;
    let save = |notes: &str| {
        format!("select update_quote_with_version_check('{quote}', 1, '{{\"notes\": \"{notes}\"}}')")
    };
    let statements: Vec<String> =
        ["first", "second"].map(|notes| format!("savepoint a; {}; release a", save(notes))).into();
    let last = save("third");
    run(
        &admin,
        &format!(
            "begin; {tenant}; set local role erp_app; {}; savepoint b; {}; rollback to b; {last}; commit",
            statements.join("; "),
            save("lost")
        ),
    )
    .await;
    let told =
        "select string_agg(new_value #>> '{}', ' ' order by position) from quote_changes where was_conflict";
    assert_eq!(text(&admin, told).await, "first second third");
    assert_eq!(noted(&erp).await, 3);
}

#[tokio::test]
async fn a_reference_to_the_row_is_no_right_to_change_it() {
    let (erp, admin, quote, tenant) = scene().await;
    run(&admin, "grant insert on quote_lines to rejection_reader").await;
    let insert = format!(
        "insert into quote_lines (tenant_id, quote_id, line_number, quantity, unit_price, line_amount)
         select tenant_id, id, 4711, 1, 1, 1 from quotes where id = '{quote}'"
    );
    let forged = FORGED.replace("ROW", &quote.to_string()).replace(", 1, ", ", 77, ");
    run(&admin, &format!("begin; {tenant}; set local role rejection_reader; {insert}; {forged}; commit"))
        .await;
    run(
        &admin,
        &format!(
            "begin; {tenant}; set local role erp_app; select from quotes where id = '{quote}' for share; set local role rejection_reader; {forged}; commit"
        ),
    )
    .await;
    assert_eq!(noted(&erp).await, 0);
}

#[tokio::test]
async fn a_value_that_is_nothing_is_noted_as_nothing() {
    let (_erp, admin, quote, tenant) = scene().await;
    run(
        &admin,
        &format!(
            "update quotes set contact_name = null where id = '{quote}';
             begin; {tenant}; set local role erp_app; select update_quote_with_version_check('{quote}', 1, '{{\"contactName\": null}}'); commit"
        ),
    )
    .await;
    let told =
        "select concat_ws(' ', old_value is null, new_value is null) from quote_changes where was_conflict";
    assert_eq!(text(&admin, told).await, "t t");
}
