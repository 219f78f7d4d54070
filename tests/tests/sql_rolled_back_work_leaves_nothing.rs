//! What is committed is recorded, by whichever statement it came; what is rolled back is not.

use quote_collab_tests::Erp;

async fn recorded(erp: &Erp) -> Vec<(String, String, Option<String>)> {
    let admin = erp.client("postgres").await;
    let rows = admin
        .query("select entity_type, change_type, new_value #>> '{}' from quote_changes where field_name in ('notes', '*', 'description') order by position", &[])
        .await
        .expect("the log is read");
    rows.iter()
        .map(|row| (row.get(0), row.get(1), row.get::<_, Option<String>>(2).filter(|text| text.len() < 20)))
        .collect()
}

fn notes(texts: &[&str]) -> Vec<(String, String, Option<String>)> {
    texts.iter().map(|text| ("QUOTE".to_owned(), "UPDATE".to_owned(), Some((*text).to_owned()))).collect()
}

#[tokio::test]
async fn savepoints_and_exception_blocks_take_their_history_back() {
    let erp = Erp::attached().await;
    let app = erp.client("erp_app").await;
    let quote = erp.quote(0).await;
    let set = |text: &str| format!("update quotes set notes = '{text}' where id = '{quote}'; ");
    app.batch_execute(&format!("begin; {}{}rollback;", set("lost 1"), set("lost 2"))).await.unwrap();
    app.batch_execute(&format!(
        "begin; {}savepoint a; {}savepoint b; {}rollback to b; release a; savepoint c; {}rollback to c; {}commit;",
        set("kept 1"), set("kept 2"), set("lost"), set("lost"), set("kept 3")
    ))
    .await
    .unwrap();
    app.batch_execute(&format!(
        "do $$ begin {} begin {} raise division_by_zero; exception when division_by_zero then null; end; {} end $$;",
        set("kept 4"), set("lost"), set("kept 5")
    ))
    .await
    .unwrap();
    assert_eq!(recorded(&erp).await, notes(&["kept 1", "kept 2", "kept 3", "kept 4", "kept 5"]));
}

#[tokio::test]
async fn a_trigger_that_fails_inside_a_statement_takes_only_its_own_work_back() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    // An after-row trigger of the ERP that runs before ours has written anything, changes the line and fails half the time.
    admin
        .batch_execute(
            "create function erp_touch() returns trigger language plpgsql as $$
             begin
                 begin
                     update quote_lines set description = 'touched' where quote_id = new.id;
                     if new.notes = 'fails' then raise division_by_zero; end if;
                 exception when division_by_zero then null;
                 end;
                 return null;
             end $$;
             create trigger zz_touch after update on quotes for each row execute function erp_touch();",
        )
        .await
        .unwrap();
    let (quote, lines) = (erp.quote(0).await, erp.lines(0).await);
    admin.batch_execute(&format!("update quotes set notes = 'fails' where id = '{quote}'")).await.unwrap();
    assert_eq!(recorded(&erp).await, notes(&["fails"]));
    admin.batch_execute(&format!("update quotes set notes = 'works' where id = '{quote}'")).await.unwrap();
    assert_eq!(recorded(&erp).await.len(), 2 + lines);
}

#[tokio::test]
async fn every_kind_of_statement_is_recorded() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let lines = i64::try_from(erp.lines(0).await).unwrap();
    let quote = erp.quote(0).await;
    let count =
        "select count(*) from quote_changes where change_type = 'CREATE' and entity_type = 'QUOTE_LINE'";
    let copied = "insert into quote_lines (id, tenant_id, quote_id, line_number, product_id, product_code, description, quantity, unit_of_measure, unit_price, line_amount)
        select uuid_generate_v7(), tenant_id, quote_id, 1000 + line_number, product_id, product_code, description, quantity, unit_of_measure, unit_price, line_amount
        from quote_lines where quote_id = ";
    admin.batch_execute(&format!("{copied}'{quote}'")).await.unwrap();
    assert_eq!(erp.count(count).await, lines, "insert … select");
    admin
        .batch_execute(&format!(
            "insert into quote_lines select * from quote_lines where quote_id = '{quote}'
             on conflict (id) do update set description = 'again'"
        ))
        .await
        .unwrap();
    let updates =
        "select count(*) from quote_changes where change_type = 'UPDATE' and field_name = 'description'";
    assert_eq!(erp.count(updates).await, 2 * lines, "on conflict do update");
    admin
        .batch_execute(&format!(
            "merge into quote_lines l using (select id from quote_lines where quote_id = '{quote}') s on s.id = l.id
             when matched and l.line_number > 1000 then delete when matched then update set description = 'merged'"
        ))
        .await
        .unwrap();
    assert_eq!(erp.count(updates).await, 3 * lines, "merge updates");
    let deletes = "select count(*) from quote_changes where change_type = 'DELETE'";
    assert_eq!(erp.count(deletes).await, lines, "merge deletes");
    admin.batch_execute(&format!("delete from quotes where id = '{quote}'")).await.unwrap();
    assert_eq!(erp.count(deletes).await, 2 * lines + 1, "a cascade");
    assert_eq!(
        erp.count("select count(*) from quote_changes where change_type = 'DELETE' and entity_type = 'QUOTE_LINE' and context ? 'line_number'").await,
        2 * lines
    );
}

#[tokio::test]
async fn ten_thousand_rows_of_one_statement_are_recorded() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin
        .batch_execute(
            "insert into quote_lines (id, tenant_id, quote_id, line_number, product_id, product_code, description, quantity, unit_of_measure, unit_price, line_amount)
             select uuid_generate_v7(), l.tenant_id, l.quote_id, 1000 + row_number() over (), l.product_id, l.product_code, l.description, l.quantity, l.unit_of_measure, l.unit_price, l.line_amount
             from quote_lines l cross join generate_series(1, 10)",
        )
        .await
        .unwrap();
    let rows = erp.count("select count(*) from quote_lines").await;
    admin.batch_execute("update quote_lines set unit_price = unit_price + 1").await.unwrap();
    assert_eq!(erp.count("select count(*) from quote_changes where field_name = 'unit_price'").await, rows);
    assert_eq!(
        erp.count("select count(distinct position) from quote_changes").await,
        2 * rows - erp.count("select count(*) from quote_lines where line_number <= 1000").await
    );
}

#[tokio::test]
async fn truncate_is_refused_with_a_hint() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let error = admin.batch_execute("truncate quotes cascade").await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "0A000");
    assert!(error.hint().is_some() && error.detail().is_some());
}
