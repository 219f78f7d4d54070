//! Several pairs of tables in one database: one log, one relay, and each row is found where it is.

use quote_collab_core::payload::EventPayload;
use quote_collab_tests::statement::{refusal, run, text};
use quote_collab_tests::{Erp, TENANT};
use tokio_postgres::Client;

/// A pair in a schema of its own, with columns of other names. `quote_id` of a line is the offer that it came from.
const ORDERS: &str = "create schema sales;
    create table sales.sales_orders (order_uid uuid primary key default gen_random_uuid(), firm uuid not null, order_number text, customer_id uuid,
        state text, net numeric(18,4), tax_amount numeric(18,4) default 0, gross numeric(18,4), remark text);
    create table sales.sales_order_lines (line_uid uuid primary key default gen_random_uuid(), firm uuid not null, quote_id uuid, parent uuid not null
        references sales.sales_orders on delete cascade, line_no smallint, quantity_ordered numeric(18,4), price numeric(18,4), amount numeric(18,4), text text);
    insert into sales.sales_orders (order_uid, firm, order_number, net, gross, remark)
    select md5('order ' || n)::uuid, 'a0000000-0000-4000-8000-000000000001', 'SO-' || n, 10, 10, 'as ordered' from generate_series(1, 5) n;
    insert into sales.sales_order_lines (line_uid, firm, parent, line_no, quantity_ordered, price, amount)
    select md5('line ' || n)::uuid, 'a0000000-0000-4000-8000-000000000001', md5('order ' || n)::uuid, 1, 2, 5, 10 from generate_series(1, 5) n;";

const ATTACH_ORDERS: &str =
    "select attach_quote_collaboration('sales.sales_orders', 'sales.sales_order_lines', '{\"columns\": {\"id\": \"order_uid\", \"tenant\": \"firm\",
        \"status\": \"state\", \"subtotal\": \"net\", \"total_amount\": \"gross\"},
        \"line_columns\": {\"id\": \"line_uid\", \"tenant\": \"firm\", \"line_number\": \"line_no\", \"unit_price\": \"price\", \"line_amount\": \"amount\"}}')";

/// The first order and its line.
const ORDER: &str = "md5('order 1')::uuid";
const LINE: &str = "md5('line 1')::uuid";

/// The sample ERP with both pairs attached, the quotes first.
async fn both() -> (Erp, Client) {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, ORDERS).await;
    run(&admin, ATTACH_ORDERS).await;
    (erp, admin)
}

/// Every event that the relay hands out.
async fn relay(client: &Client) -> Vec<String> {
    let lease = "select quote_relay_lease('test', interval '1 hour')";
    let epoch: i64 = client.query_one(lease, &[]).await.expect("a lease").get(0);
    let opened =
        client.query_one("select quote_relay_open_batch($1)", &[&epoch]).await.expect("a batch is cut");
    let Some(batch) = opened.get::<_, Option<i64>>(0) else { return Vec::new() };
    let rows =
        client.query("select event ->> 'event_id' from quote_relay_read($1, 0, 100000)", &[&batch]).await;
    rows.expect("a batch is read").iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn each_row_is_saved_where_it_is() {
    let (erp, admin) = both().await;
    let quote = erp.quote(0).await;
    let found =
        "select columns ->> 'quote' from quote_collab_settings where table_name = 'sales_order_lines'";
    assert_eq!(
        text(&admin, found).await,
        "parent",
        "the foreign key to the header decides, not a column called quote_id"
    );
    let save = |id: &str, version: i32, changes: &str| {
        format!("select concat_ws('/', success, new_version, conflicts -> 0 ->> 'field', conflicts -> 0 ->> 'baseValue', conflicts -> 0 ->> 'currentValue')
            from update_quote_with_version_check({id}, {version}, '{changes}')")
    };
    assert_eq!(text(&admin, &save(ORDER, 1, r#"{"remark": "changed", "taxAmount": 1.5}"#)).await, "t/2");
    assert_eq!(text(&admin, &save(ORDER, 1, r#"{"remark": "late"}"#)).await, "f/2/remark/as ordered/changed");
    assert_eq!(text(&admin, &save(&format!("'{quote}'"), 1, r#"{"notes": "changed"}"#)).await, "t/2");
    assert_eq!(
        text(&admin, &format!("select gross::text from sales.sales_orders where order_uid = {ORDER}")).await,
        "11.5000"
    );
    let line = format!("select concat_ws('/', success, quote_line ->> 'amount', quote ->> 'net', quote ->> 'gross', quote ->> 'order_number')
        from update_quote_line_with_version_check({LINE}, 1, '{{\"quantityOrdered\": 3}}')");
    assert_eq!(text(&admin, &line).await, "t/15.0000/15.0000/16.5000/SO-1");
    assert_eq!(
        text(&admin, &line.replace("success, ", "success, conflicts -> 0 ->> 'field', "))
            .await
            .split('/')
            .take(2)
            .collect::<Vec<_>>(),
        ["f", "quantity_ordered"]
    );
    for (query, expected) in [
        (format!("select concat_ws('/', check_quote_version({ORDER}, 3), check_quote_version({ORDER}, 1), check_quote_line_version({LINE}, 2), has_quote_been_updated({ORDER}, 2))"), "t/f/t/t"),
        (format!("select get_quote({ORDER}) -> 'quote' ->> 'order_number' || jsonb_array_length(get_quote({ORDER}) -> 'lines')"), "SO-11"),
        (format!("select get_quote('{quote}') -> 'quote' ->> 'quote_number'"), "Q-2026-00001"),
        ("select count(distinct entity_type || (old_value is null)::text)::text from quote_changes where was_conflict".to_owned(), "2"),
        ("select string_agg(distinct n.nspname || '.' || c.relname, ',') from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relname in ('quote_changes', 'active_quote_sessions', 'quote_relay_batch', 'quote_changes_seals')".to_owned(),
            "public.active_quote_sessions,public.quote_changes,public.quote_changes_seals,public.quote_relay_batch"),
    ] {
        assert_eq!(text(&admin, &query).await, expected, "{query}");
    }
    for unknown in [
        "check_quote_version(gen_random_uuid(), 1)",
        "get_quote(gen_random_uuid())",
        "get_active_quote_sessions(gen_random_uuid())",
        "update_quote_line_with_version_check(gen_random_uuid(), 1, '{}')",
    ] {
        assert_eq!(refusal(&admin, &format!("select {unknown}")).await.0, "P0002", "{unknown}");
    }
}

#[tokio::test]
async fn history_presence_and_events_cover_both() {
    let (erp, admin) = both().await;
    let quote = erp.quote(0).await;
    assert!(relay(&admin).await.is_empty());
    let cursor = text(&admin, "select quote_events_cursor()").await;
    run(&admin, &format!("set app.current_user_id = 'a11ce000-0000-4000-8000-000000000001'; update quotes set notes = 'x' where id = '{quote}';
        update sales.sales_orders set remark = 'y' where order_uid = {ORDER}; update sales.sales_order_lines set text = 'z' where line_uid = {LINE};
        delete from sales.sales_orders where order_uid = md5('order 2')::uuid")).await;
    let told = relay(&admin).await;
    assert_eq!(told.len(), 5, "a quote, an order, a line, a deleted order and its line");
    let events = "select count(*)::text || string_agg(distinct event ->> 'actor_name', ',') from quote_events_since('CURSOR', 100)";
    assert_eq!(text(&admin, &events.replace("CURSOR", &cursor)).await, "5alice");
    for (id, fields) in [(ORDER, "remark,text"), ("md5('order 2')::uuid", "*,*")] {
        let history = format!(
            "select string_agg(field_name, ',' order by field_name) from get_quote_change_history({id})"
        );
        assert_eq!(text(&admin, &history).await, fields);
    }
    for (view, expected) in [
        (
            "select string_agg(concat_ws('/', quote_number, line_number, changed_by_username, field_name), ' ' order by quote_number, field_name) from v_recent_quote_changes where change_type = 'UPDATE'",
            "Q-2026-00001/alice/notes SO-1/alice/remark SO-1/1/alice/text",
        ),
        (
            "select count(*)::text from v_recent_quote_changes where change_type = 'DELETE' and quote_number is null",
            "2",
        ),
    ] {
        assert_eq!(text(&admin, view).await, expected);
    }
    run(&admin, &format!("select join_quote_session('{quote}'); select join_quote_session({ORDER}); select join_quote_session({ORDER})")).await;
    let open = "select string_agg(concat_ws('/', quote_number, active_user_count, (customer_name is not null)), ' ' order by quote_number) from v_active_quote_collaborators";
    assert_eq!(text(&admin, open).await, "Q-2026-00001/1/t SO-1/1/f");
    assert_eq!(text(&admin, &format!("select count(*)::text || (select count(*) from quote_presence_snapshot()) from get_active_quote_sessions({ORDER})")).await, "23");
    run(&admin, &format!("set app.current_tenant_id = '{TENANT}'")).await;
    // In turn: the long list of quotes does not hide the orders.
    assert_eq!(
        text(&admin, "select string_agg(left(q ->> 'quote_number', 3), ',') from list_quotes(6) q").await,
        "Q-2,SO-,Q-2,SO-,Q-2,SO-"
    );
    let ill =
        "select string_agg(check_name || message, ',') from quote_collab_doctor() where severity = 'error'";
    assert!(text(&admin, ill).await.starts_with("survives a power cut"), "the servers of tests do not flush");
    assert!(!text(&admin, ill).await.contains(','), "{}", text(&admin, ill).await);
}

#[tokio::test]
async fn detach_takes_one_pair_and_leaves_the_other_whole() {
    for (first, second) in
        [("quotes", "sales.sales_order_lines"), ("sales.sales_orders", "public.quote_lines")]
    {
        let erp = Erp::bare().await;
        let admin = erp.client("postgres").await;
        run(&admin, ORDERS).await;
        let before = erp.schema().await;
        run(&admin, "create extension quote_collab_ext; select attach_quote_collaboration()").await;
        run(&admin, ATTACH_ORDERS).await;
        run(&admin, "update quotes set notes = 'x'; update sales.sales_orders set remark = 'x'; select seal_quote_history()").await;
        let (code, hint) = refusal(&admin, "select detach_quote_collaboration()").await;
        assert!(
            code == "55000" && hint.contains("public.quotes") && hint.contains("sales.sales_orders"),
            "{hint}"
        );
        assert_eq!(refusal(&admin, "select detach_quote_collaboration(quotes => 'users')").await.0, "55000");
        assert_eq!(
            refusal(&admin, &format!("select detach_quote_collaboration(true, '{first}')")).await.0,
            "55000"
        );
        let rows = erp.count("select count(*) from quote_changes").await;
        run(&admin, &format!("select detach_quote_collaboration(quotes => '{first}')")).await;
        run(&admin, "update quotes set notes = 'y'; update sales.sales_orders set remark = 'y'; select quote_collab_maintenance(); select * from v_recent_quote_changes; select * from v_active_quote_collaborators").await;
        let (ours, other) = if first == "quotes" { (5, "sales.sales_orders") } else { (200, "quotes") };
        assert_eq!(erp.count("select count(*) from quote_changes").await, rows + ours, "{first}");
        assert_eq!(erp.count("select count(*) from verify_quote_history()").await, 0);
        assert_eq!(relay(&admin).await.len(), 205 + usize::try_from(ours).expect("a count"));
        let left = text(&admin, "select string_agg(tgrelid::regclass::text, ',' order by tgname) from pg_trigger where tgname ~ '^trg_(increment|refuse)_quote_(version|truncate)'").await;
        assert_eq!(left, format!("{other},{other}"));
        run(&admin, &format!("select detach_quote_collaboration(quotes => '{second}', drop_history => true); drop extension quote_collab_ext")).await;
        assert_eq!(erp.schema().await, before, "{first}");
    }
}

#[tokio::test]
async fn a_pair_that_comes_back_takes_up_its_history() {
    let (erp, admin) = both().await;
    run(&admin, "update quotes set notes = 'before'").await;
    run(&admin, "select detach_quote_collaboration(quotes => 'quotes'); update quotes set notes = 'unseen'; select attach_quote_collaboration(); update quotes set notes = 'after'").await;
    let quote = erp.quote(0).await;
    let history = format!(
        "select string_agg(new_value #>> '{{}}', ',' order by position) from get_quote_change_history('{quote}')"
    );
    assert_eq!(text(&admin, &history).await, "before,after");
    let homes = "select string_agg(distinct log_schema, ',') || count(*) from quote_collab_settings";
    assert_eq!(text(&admin, homes).await, "public4");
    // The same with other options, and everything as at first with none.
    let attached = erp.schema().await;
    let settings =
        "select string_agg(to_jsonb(s)::text, ',' order by s.attached_at) from quote_collab_settings s";
    let noted = text(&admin, settings).await;
    run(&admin, "select attach_quote_collaboration(options => '{\"ignored_columns\": [\"notes\"], \"truncate\": \"record\", \"replicated_history\": true, \"archive_after\": \"2 years\"}'); update quotes set notes = 'ignored'").await;
    assert_eq!(text(&admin, &history).await, "before,after");
    assert_ne!(erp.schema().await, attached);
    run(&admin, "select attach_quote_collaboration()").await;
    assert_eq!(erp.schema().await, attached);
    assert_eq!(text(&admin, settings).await, noted);
}

#[tokio::test]
async fn what_another_pair_holds_is_refused_and_nothing_is_half_attached() {
    let (erp, admin) = both().await;
    run(&admin, "create table other (id uuid, tenant_id uuid, quote_id uuid); create table parted (id uuid, tenant_id uuid, notes text) partition by hash (id);
        create table part partition of parted for values with (modulus 1, remainder 0); create table part_lines (id uuid, tenant_id uuid, parted_id uuid);
        select attach_quote_collaboration('parted', 'part_lines')").await;
    let before = (erp.schema().await, erp.fingerprint().await);
    for (statement, code) in [
        ("select attach_quote_collaboration('quotes', 'quotes')", "22023"),
        ("select attach_quote_collaboration('quotes', 'other')", "55000"),
        ("select attach_quote_collaboration('other', 'quote_lines')", "55000"),
        ("select attach_quote_collaboration('quote_lines', 'other')", "55000"),
        ("select attach_quote_collaboration('other', 'quotes')", "55000"),
        ("select attach_quote_collaboration('quotes', 'sales.sales_order_lines')", "55000"),
        ("select attach_quote_collaboration('part', 'other')", "55000"),
        ("select attach_quote_collaboration('customers', 'products')", "42703"),
        ("select attach_quote_collaboration(options => '{\"truncate\": \"maybe\"}')", "22023"),
        ("select attach_quote_collaboration(options => '{\"replicated_history\": \"yes\"}')", "22023"),
        ("select attach_quote_collaboration(options => '{\"archive_after\": \"soon\"}')", "22023"),
        ("select attach_quote_collaboration(options => '{\"drop_after\": \"1 year\"}')", "22023"),
        (
            "select attach_quote_collaboration(options => '{\"archive_after\": \"2 years\", \"drop_after\": \"1 year\"}')",
            "22023",
        ),
    ] {
        assert_eq!(refusal(&admin, statement).await.0, code, "{statement}");
        assert_eq!(erp.schema().await, before.0, "{statement}");
    }
    assert_eq!(erp.fingerprint().await, before.1);
    // A table that was renamed or dropped does not stand in the way of the rest.
    run(&admin, "alter table quotes rename to offers; drop table parted, part_lines; update sales.sales_orders set remark = 'served'; select quote_collab_maintenance()").await;
    assert_eq!(text(&admin, &format!("select check_quote_version({ORDER}, 2)::text")).await, "true");
    run(&admin, "select detach_quote_collaboration(); select attach_quote_collaboration('offers', 'quote_lines'); update offers set notes = 'found again'").await;
    assert_eq!(
        text(&admin, "select string_agg(header_table, ',' order by attached_at) from quote_collab_settings")
            .await,
        "offers,offers,sales_orders,sales_orders"
    );
}

#[tokio::test]
async fn rights_on_one_pair_are_enough_for_it() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, "do $$ begin create role one_pair login; exception when duplicate_object or unique_violation then null; end $$").await;
    run(&admin, ORDERS).await;
    // The log lies in a schema that only the owner of the orders may use.
    run(
        &admin,
        "create extension quote_collab_ext; grant usage on schema public to one_pair;
        create table quotes_two (id uuid, tenant_id uuid)",
    )
    .await;
    run(&admin, ATTACH_ORDERS).await;
    run(&admin, "select attach_quote_collaboration()").await;
    assert_eq!(text(&admin, "select quote_collab_home()").await, "sales");
    let closed = erp.schema().await;
    run(&admin, "grant select, insert, update, delete on quotes, quote_lines to one_pair; select attach_quote_collaboration()").await;
    let app = erp.client("one_pair").await;
    run(&app, &format!("set app.current_tenant_id = '{TENANT}'; set app.current_user_id = 'a11ce000-0000-4000-8000-000000000001'")).await;
    let quote = erp.quote(0).await;
    assert_eq!(refusal(&app, "select * from sales.sales_orders").await.0, "42501");
    for statement in [
        "select get_quote('ID')",
        "select check_quote_version('ID', 1)",
        "select success from update_quote_with_version_check('ID', 1, '{\"notes\": \"mine\"}')",
        "select success from update_quote_with_version_check('ID', 1, '{\"notes\": \"late\"}')",
        "select join_quote_session('ID')",
        "select get_active_quote_sessions('ID')",
        "select get_quote_change_history('ID')",
        "select quote_events_since(null)",
        "select has_quote_been_updated('ID', 1)",
        "select list_quotes()",
        "select update_quote_line_with_version_check((select id from quote_lines where quote_id = 'ID' limit 1), 1, '{\"quantity\": 3}')",
        "select quote_number from sales.v_active_quote_collaborators",
        "select quote_number from sales.v_recent_quote_changes where quote_number is not null",
    ] {
        let statement = statement.replace("ID", &quote.to_string());
        let rows = app.query(&statement, &[]).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        assert!(!rows.is_empty(), "{statement}");
    }
    for hidden in [
        "select get_quote(md5('order 1')::uuid)",
        "select join_quote_session(md5('order 1')::uuid)",
        "select check_quote_line_version(md5('line 1')::uuid, 1)",
    ] {
        assert_eq!(refusal(&app, hidden).await.0, "P0002", "{hidden}");
    }
    // A writer without any right on the schema of the log leaves a history all the same.
    run(&admin, "revoke usage on schema sales from one_pair").await;
    let rows = erp.count("select count(*) from sales.quote_changes").await;
    let app = erp.client("one_pair").await;
    run(&app, &format!("update quotes set notes = 'still' where id = '{quote}'")).await;
    assert_eq!(erp.count("select count(*) from sales.quote_changes").await, rows + 1);
    // What was granted goes again, with the last pair.
    run(&admin, "revoke all on quotes, quote_lines from one_pair; grant usage on schema sales to one_pair; select detach_quote_collaboration(quotes => 'quotes');
        select detach_quote_collaboration(drop_history => true)").await;
    assert_eq!(
        text(&admin, "select has_schema_privilege('one_pair', 'sales', 'usage')::text").await,
        "false"
    );
    assert!(!closed.is_empty());
}

#[tokio::test]
async fn events_know_columns_by_their_roles() {
    let (erp, admin) = both().await;
    let quote = erp.quote(0).await;
    run(
        &admin,
        "alter table quotes add column state text; alter table sales.sales_orders add column status text",
    )
    .await;
    let cases = [
        (format!("sales.sales_orders set state = 'SENT' where order_uid = {ORDER}"), "STATUS_CHANGED"),
        (
            format!("sales.sales_orders set net = net + 1, gross = gross + 1 where order_uid = {ORDER}"),
            "RECALCULATED",
        ),
        (format!("sales.sales_orders set status = 'not ours' where order_uid = {ORDER}"), "HEADER_UPDATED"),
        (format!("quotes set status = 'ISSUED', state = 'Oregon' where id = '{quote}'"), "STATUS_CHANGED"),
        (format!("quotes set state = 'Maine' where id = '{quote}'"), "HEADER_UPDATED"),
        (format!("quotes set notes = 'x', terms_and_conditions = 'y' where id = '{quote}'"), "NOTES_UPDATED"),
    ];
    for (change, expected) in cases {
        let now = text(&admin, "select quote_events_cursor()").await;
        run(&admin, &format!("update {change}")).await;
        let event = text(&admin, &format!("select event::text from quote_events_since('{now}')")).await;
        let payload = EventPayload::of(serde_json::from_str(&event).expect("a change is read"));
        let told = serde_json::to_value(payload.change_type).expect("a change type is written");
        assert_eq!(told, expected, "{change}: {event}");
    }
}

#[tokio::test]
async fn pairs_whose_tables_are_gone_go_together() {
    const ALL: &str = "drop table quotes, quote_lines, sales.sales_orders, sales.sales_order_lines";
    for gone in [
        format!("{ALL} cascade"),
        format!("{ALL}, quote_changes, active_quote_sessions, quote_changes_seals cascade"),
        "drop owned by erp_owner cascade; drop schema sales cascade".to_owned(),
    ] {
        for how in ["HINT", "select detach_quote_collaboration(drop_history => true)"] {
            let (erp, admin) = both().await;
            run(&admin, "update quotes set notes = 'x'; update sales.sales_orders set remark = 'x'").await;
            run(&admin, &gone).await;
            let hint = "select string_agg(distinct hint, ' and ') from quote_collab_doctor() where check_name ~ '^table exists'";
            let hint = text(&admin, hint).await;
            run(&admin, if how == "HINT" { hint.as_str() } else { how }).await;
            assert_eq!(erp.count("select count(*) from quote_collab_settings").await, 0, "{gone}: {how}");
            run(&admin, "drop extension quote_collab_ext").await;
        }
    }
    // One of them is there still, and stays; what is refused names what is there.
    let (erp, admin) = both().await;
    run(&admin, "begin; drop table sales.sales_orders cascade").await;
    let (code, hint) = refusal(&admin, "select detach_quote_collaboration()").await;
    assert!(code == "55000" && hint.contains("'public.quotes'"), "{hint}");
    assert!(hint.contains("'sales.sales_order_lines'") && !hint.contains("'sales.sales_orders'"), "{hint}");
    run(&admin, "rollback; drop schema sales cascade; select detach_quote_collaboration()").await;
    assert_eq!(erp.count("select count(*) from quote_collab_settings").await, 2);
    run(&admin, "update quotes set notes = 'told'; select detach_quote_collaboration(drop_history => true); drop extension quote_collab_ext").await;
}

/// Names of people that are gone are told by nobody, and stop nobody.
#[tokio::test]
async fn a_pair_goes_although_the_users_of_the_other_are_gone() {
    let (erp, admin) = both().await;
    run(&admin, "drop table users cascade; drop table customers cascade").await;
    run(&admin, "select detach_quote_collaboration(false, 'sales.sales_orders')").await;
    run(&admin, "update quotes set notes = 'on'").await;
    assert_ne!(erp.count("select count(*) from v_recent_quote_changes").await, 0);
    assert_eq!(erp.count("select count(*) from v_active_quote_collaborators").await, 0);
    run(&admin, ATTACH_ORDERS).await;
    run(&admin, "select detach_quote_collaboration(false, 'quotes'); select detach_quote_collaboration()")
        .await;
}
