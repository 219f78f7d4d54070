//! Two people edit two lines of one quote at once: the totals are the sum of both.

use quote_collab_tests::Erp;
use quote_collab_tests::statement::{run, text};

#[tokio::test]
async fn two_line_edits_at_once_give_the_sum_of_both() {
    let erp = Erp::attached().await;
    let quote = erp.quote(0).await;
    let admin = erp.client("postgres").await;
    let lines = admin
        .query(
            "select id, version from quote_lines where quote_id = $1 order by line_number limit 2",
            &[&quote],
        )
        .await
        .unwrap();
    let (mut alice, bob) = (erp.client("erp_app").await, erp.client("erp_app").await);
    let save = "select success from update_quote_line_with_version_check($1, $2, $3)";
    let transaction = alice.transaction().await.unwrap();
    let changes = serde_json::json!({"quantity": "10", "unitPrice": "1.50"});
    let saved = transaction
        .query_one(save, &[&lines[0].get::<_, uuid::Uuid>(0), &lines[0].get::<_, i32>(1), &changes])
        .await
        .unwrap();
    assert!(saved.get::<_, bool>(0));
    // Bob has to wait for the header until Alice commits, and then sums her line too.
    let other = serde_json::json!({"quantity": "20", "unitPrice": "2.25"});
    let (line, version) = (lines[1].get::<_, uuid::Uuid>(0), lines[1].get::<_, i32>(1));
    let waiting = tokio::spawn(async move {
        bob.query_one(save, &[&line, &version, &other]).await.unwrap().get::<_, bool>(0)
    });
    erp.wait_until("select count(*) > 0 from pg_locks where not granted").await;
    transaction.commit().await.unwrap();
    assert!(waiting.await.unwrap());
    let row = admin
        .query_one(
            "select q.subtotal = sum(l.line_amount),
                    q.total_amount = q.subtotal + q.tax_amount + q.shipping_amount - q.discount_amount,
                    sum(l.line_amount) filter (where l.quantity in (10, 20))::text
             from quotes q join quote_lines l on l.quote_id = q.id where q.id = $1 group by q.id",
            &[&quote],
        )
        .await
        .unwrap();
    assert!(row.get::<_, bool>(0), "subtotal is the sum of the lines");
    assert!(row.get::<_, bool>(1), "total follows");
    assert_eq!(row.get::<_, String>(2), "60.0000");
}

#[tokio::test]
async fn many_editors_of_one_quote_never_deadlock_and_lose_nothing() {
    let erp = Erp::attached().await;
    let quote = erp.quote(0).await;
    let admin = erp.client("postgres").await;
    let lines = admin.query("select id from quote_lines where quote_id = $1", &[&quote]).await.unwrap();
    let mut editors = tokio::task::JoinSet::new();
    for editor in 0..8_usize {
        let client = erp.client("erp_app").await;
        let line: uuid::Uuid = lines[editor % lines.len()].get(0);
        editors.spawn(async move {
            let mut wins = 0_i64;
            for edit in 0..25 {
                let version: i32 = client
                    .query_one("select version from quote_lines where id = $1", &[&line])
                    .await
                    .unwrap()
                    .get(0);
                let changes = serde_json::json!({"quantity": format!("{}", editor * 100 + edit + 1)});
                let saved = client
                    .query_one(
                        "select success from update_quote_line_with_version_check($1, $2, $3)",
                        &[&line, &version, &changes],
                    )
                    .await
                    .unwrap();
                wins += i64::from(saved.get::<_, bool>(0));
            }
            wins
        });
    }
    let mut wins = 0;
    while let Some(editor) = editors.join_next().await {
        wins += editor.unwrap();
    }
    let recorded = "select count(distinct event_id) from quote_changes where entity_type = 'QUOTE_LINE' and not was_conflict";
    assert_eq!(erp.count(recorded).await, wins, "each save that won is recorded once");
    let versions = format!("select sum(version - 1)::bigint from quote_lines where quote_id = '{quote}'");
    assert_eq!(erp.count(&versions).await, wins, "each save that won raised a version by one");
    let rejected =
        "select count(distinct event_id) from quote_changes where conflict_resolution = 'REJECTED'";
    assert_eq!(erp.count(rejected).await, 200 - wins, "each save that lost is recorded too");
}

/// Row security is off on the ERP's tables: whoever may write lines may put one below a quote of another tenant.
#[tokio::test]
async fn a_line_of_another_tenant_is_none_of_the_quotes() {
    let erp = Erp::attached().await;
    let quote = erp.quote(0).await;
    let admin = erp.client("postgres").await;
    let planted = format!(
        "insert into quote_lines (tenant_id, quote_id, line_number, quantity, unit_price, line_amount)
         select t.id, '{quote}', 999, 1, 1000000, 1000000 from tenants t join quotes q on q.tenant_id <> t.id where q.id = '{quote}' limit 1"
    );
    assert_eq!(admin.execute(&planted, &[]).await.unwrap(), 1);
    let saved = format!(
        "select s.success from quote_lines l join quotes q on q.id = l.quote_id and q.tenant_id = l.tenant_id,
            update_quote_line_with_version_check(l.id, l.version, '{{\"quantity\": 2}}') s where q.id = '{quote}' limit 1"
    );
    assert!(admin.query_one(&saved, &[]).await.unwrap().get::<_, bool>(0));
    let adds_up = format!(
        "select q.subtotal = sum(l.line_amount) from quotes q join quote_lines l on l.quote_id = q.id and l.tenant_id = q.tenant_id
         where q.id = '{quote}' group by q.id"
    );
    assert!(admin.query_one(&adds_up, &[]).await.unwrap().get::<_, bool>(0));
}

/// What PostgreSQL works out after the row is put together counts as it will be, and not as it was.
#[tokio::test]
async fn totals_follow_generated_parts() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let version: i32 = text(&admin, "show server_version_num").await.parse().unwrap();
    let kinds: &[&str] = if version >= 180_000 { &["stored", "virtual"] } else { &["stored"] };
    for kind in kinds {
        let tables = format!(
            "drop schema if exists shop cascade; create schema shop; set search_path = shop, public;
            create table offers (id uuid primary key default gen_random_uuid(), tenant_id uuid not null, \"Discount %\" integer not null default 0,
                notes text, subtotal bigint not null default 0,
                tax_amount numeric(12, 1) generated always as (subtotal * 0.2049) {kind},
                discount_amount numeric(12, 2) generated always as (subtotal * \"Discount %\" / 100.0) {kind},
                total_amount numeric not null default 0);
            create table offer_lines (id uuid primary key default gen_random_uuid(), tenant_id uuid not null, offer_id uuid not null references offers,
                width integer not null default 1, length integer not null default 1, description text,
                quantity bigint generated always as (width * length) {kind},
                unit_price integer generated always as (case when width >= 10 then 8.4 else 9.6 end) {kind},
                line_amount numeric not null default 0);
            select attach_quote_collaboration('shop.offers', 'shop.offer_lines');
            set app.current_tenant_id = '00000000-0000-7000-8000-00000000000a';
            insert into offers (id, tenant_id) values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-00000000000a');
            insert into offer_lines (id, tenant_id, offer_id) values
                ('00000000-0000-7000-8000-000000000011', '00000000-0000-7000-8000-00000000000a', '00000000-0000-7000-8000-000000000001')"
        );
        run(&admin, &tables).await;
        let amounts = "select concat_ws(' ', subtotal, tax_amount, discount_amount, trim_scale(total_amount), (select trim_scale(line_amount) from shop.offer_lines)) from shop.offers";
        let line = |changes: &str| {
            format!(
                "select success from update_quote_line_with_version_check('00000000-0000-7000-8000-000000000011',
                (select version from shop.offer_lines), '{changes}')"
            )
        };
        let header = |changes: &str| {
            format!(
                "select success from update_quote_with_version_check('00000000-0000-7000-8000-000000000001',
                (select version from shop.offers), '{changes}')"
            )
        };
        for (save, expected) in [
            (line(r#"{"width": 5}"#), "50 10.2 0.00 60.2 50"),
            (line(r#"{"width": 10, "length": 10}"#), "800 163.9 0.00 963.9 800"),
            (header(r#"{"Discount %": 50}"#), "800 163.9 400.00 563.9 800"),
            (header(r#"{"notes": "no amount"}"#), "800 163.9 400.00 563.9 800"),
            (header(r#"{"subtotal": 100}"#), "100 20.5 50.00 70.5 800"),
            (line(r#"{"description": "sums again"}"#), "800 163.9 400.00 563.9 800"),
        ] {
            run(&admin, &save).await;
            assert_eq!(text(&admin, amounts).await, expected, "{kind}: {save}");
        }
        // Where nothing plays the total, nothing follows but the sum of the lines.
        let without = r#"select attach_quote_collaboration('shop.offers', 'shop.offer_lines', '{"columns": {"total_amount": null}}')"#;
        run(&admin, without).await;
        for save in [line(r#"{"width": 1}"#), header(r#"{"Discount %": 10}"#)] {
            run(&admin, &save).await;
        }
        assert_eq!(text(&admin, amounts).await, "100 20.5 10.00 563.9 100", "{kind}");
        run(&admin, "reset search_path; select detach_quote_collaboration(quotes => 'shop.offers')").await;
    }
}
