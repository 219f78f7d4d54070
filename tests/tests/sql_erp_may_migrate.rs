//! The ERP alters its own tables as it likes, and everything goes on without attaching again.

use quote_collab_tests::Erp;
use quote_collab_tests::statement::{run, text};

/// Each is one that an ordinary migration brings, and undone before the next.
const MIGRATIONS: [&str; 19] = [
    "alter table users alter username type varchar(200)",
    "alter table quotes alter quote_number type varchar(100)",
    "alter table quote_lines alter line_number type bigint",
    "alter table quotes drop column quote_number",
    "alter table quotes rename quote_number to number",
    "alter table quote_lines drop column line_number",
    "alter table quotes drop column customer_id",
    "alter table users drop column username",
    "alter table users rename username to login",
    "alter table customers drop column customer_name",
    "alter table quotes drop column updated_at, drop column created_by",
    "alter table quotes rename updated_by to changed_by",
    "alter table quote_lines drop column updated_at",
    "alter table quotes alter status type text, alter notes type varchar(4000)",
    "alter table quotes drop column tax_amount, drop column shipping_amount, drop column discount_amount",
    "alter table quotes drop column subtotal, drop column status",
    "alter table quotes rename total_amount to total",
    "alter table quote_lines drop column line_amount",
    "alter table quote_lines drop column unit_price",
];

/// What goes on: saves by SQL and by version, views, lists and events.
const GOES_ON: &str = "update quotes set notes = concat('migrated ', notes) where id = 'QUOTE';
    update quote_lines set description = concat('migrated ', description) where quote_id = 'QUOTE';
    do $$ begin
        if not (select success from update_quote_with_version_check('QUOTE',
                (select version from quotes where id = 'QUOTE'), '{\"notes\": \"saved\"}')) then raise 'not saved'; end if;
        if not (select success from update_quote_line_with_version_check((select min(id::text)::uuid from quote_lines where quote_id = 'QUOTE'),
                (select version from quote_lines where id = (select min(id::text)::uuid from quote_lines where quote_id = 'QUOTE')),
                '{\"quantity\": 7, \"description\": \"saved\"}')) then raise 'line not saved'; end if;
        if (select count(*) from list_quotes(1000)) < 10 then raise 'not listed'; end if;
        if jsonb_array_length(get_quote('QUOTE') -> 'lines') < 2 then raise 'no lines'; end if;
        if (select count(*) from v_recent_quote_changes where quote_id = 'QUOTE') < 7 then raise 'not shown'; end if;
        if (select count(*) from v_active_quote_collaborators where quote_id = 'QUOTE') <> 1 then raise 'nobody there'; end if;
        if (select count(*) from get_quote_change_history('QUOTE', 5)) <> 5 then raise 'no history'; end if;
        if (select count(*) from quote_events_since(null, 1000)) < 0 then raise 'no events'; end if;
    end $$;
    select * from v_recent_quote_changes; select * from v_active_quote_collaborators;";

/// A second pair.
const ORDERS: &str = "create table orders (id uuid primary key default gen_random_uuid(), tenant_id uuid not null, order_number text);
    create table order_lines (id uuid primary key default gen_random_uuid(), tenant_id uuid not null, order_id uuid not null references orders);
    select attach_quote_collaboration('orders', 'order_lines')";

#[tokio::test]
async fn columns_of_the_erp_change_and_everything_goes_on() {
    let erp = Erp::attached().await;
    let quote = erp.quote(0).await.to_string();
    let admin = erp.client("postgres").await;
    let tenant = "select set_config('app.current_tenant_id', (select tenant_id::text from quotes where id = 'QUOTE'), false),
        set_config('app.current_user_id', (select created_by::text from quotes where id = 'QUOTE'), false);
        select join_quote_session('QUOTE', gen_random_uuid(), (select created_by from quotes where id = 'QUOTE'))";
    run(&admin, &tenant.replace("QUOTE", &quote)).await;
    let plans = erp.client("postgres").await;
    let shown =
        plans.prepare("select quote_number, changed_by_username from v_recent_quote_changes").await.unwrap();
    for migration in MIGRATIONS {
        plans.query(&shown, &[]).await.unwrap();
        let whole = format!("begin; {migration}; {}; rollback", GOES_ON.replace("QUOTE", &quote));
        run(&admin, &whole).await;
    }
    // As they are where several pairs are attached, and rows of the pair that lost a column are asked for beside the others'.
    run(&admin, ORDERS).await;
    for migration in MIGRATIONS {
        let whole = format!("begin; {migration}; {}; rollback", GOES_ON.replace("QUOTE", &quote));
        run(&admin, &whole).await;
    }
    run(
        &admin,
        "select detach_quote_collaboration(quotes => 'public.orders'); drop table order_lines, orders",
    )
    .await;
    // A type of a column in the views changes with the next attach, like what is granted on them.
    let granted = "select string_agg(concat_ws(' ', grantee, privilege_type), ', ' order by grantee) from information_schema.table_privileges
        where table_name = 'v_recent_quote_changes' and privilege_type = 'SELECT'";
    let before = text(&admin, granted).await;
    run(&admin, "alter table quote_lines alter line_number type bigint; select attach_quote_collaboration()")
        .await;
    let kind = "select format_type(a.atttypid, a.atttypmod) from pg_attribute a where a.attrelid = 'v_recent_quote_changes'::regclass and a.attname = 'line_number'";
    assert_eq!(text(&admin, kind).await, "bigint");
    assert_eq!(text(&admin, granted).await, before);
}

#[tokio::test]
async fn functions_of_the_erp_under_our_names_are_left_alone() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, "create function recent_quote_changes() returns integer language sql as 'select 1'; create extension quote_collab_ext").await;
    let error =
        admin.batch_execute("select attach_quote_collaboration()").await.expect_err("it is in the way");
    assert_eq!(error.as_db_error().expect("PostgreSQL refuses").code().code(), "42723");
    assert_eq!(text(&admin, "select recent_quote_changes()::text").await, "1");
}

const STATE: &str = "select string_agg(concat_ws(' ', a.attname, a.attnotnull, pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum)), '; ' order by a.attname)
    from pg_attribute a left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
    where a.attrelid = 'quote_lines'::regclass and a.attname in ('version', 'updated_by')";
const INSERT: &str = "insert into quote_lines (id, tenant_id, quote_id, line_number, product_id, product_code, description, quantity, unit_of_measure, unit_price, line_amount,
        unit_cost, line_cost, line_margin, margin_percentage, manufacturing_strategy, lead_time_days, promised_delivery_date)
    select gen_random_uuid(), tenant_id, quote_id, (select 1 + max(line_number) from quote_lines), product_id, product_code, description, quantity, unit_of_measure, unit_price, line_amount,
        unit_cost, line_cost, line_margin, margin_percentage, manufacturing_strategy, lead_time_days, promised_delivery_date
    from quote_lines limit 1";
const TOLD: &str = "select string_agg(check_name || ': ' || message, '; ') from quote_collab_doctor() where severity = 'error' and check_name like 'added columns%'";
const LEFT: &str = "select string_agg(a.attrelid::regclass::text, ',' order by a.attrelid::regclass::text) from pg_attribute a
    where a.attrelid in ('quotes'::regclass, 'quote_lines'::regclass) and a.attname in ('version') and not a.attisdropped";

#[tokio::test]
async fn what_a_tool_takes_from_added_columns_comes_back() {
    for taken in [
        "alter table quote_lines alter version drop default",
        "alter table quote_lines alter version drop not null",
        "comment on column quote_lines.version is null; comment on column quote_lines.updated_by is null",
        "comment on column quote_lines.version is null; alter table quote_lines alter version drop default, alter version drop not null",
        "comment on column quote_lines.version is null; alter table quote_lines alter version drop not null, alter version set default 7",
    ] {
        let erp = Erp::attached().await;
        let admin = erp.client("postgres").await;
        let before = text(&admin, STATE).await;
        assert_eq!(text(&admin, TOLD).await, "");
        run(&admin, taken).await;
        let _ = admin.batch_execute(INSERT).await;
        assert!(text(&admin, TOLD).await.contains("quote_lines"), "{taken}");
        run(&admin, "select attach_quote_collaboration()").await;
        assert_eq!(text(&admin, STATE).await, before, "{taken}");
        assert_eq!(text(&admin, TOLD).await, "", "{taken}");
        run(&admin, INSERT).await;
        run(&admin, &format!("{taken}; select detach_quote_collaboration()")).await;
        assert_eq!(text(&admin, LEFT).await, "", "{taken}");
    }
}

#[tokio::test]
async fn a_version_of_the_erp_is_kept_where_it_took_ours_away() {
    for own in ["integer", "integer not null default 0", "bigint not null default 1"] {
        let erp = Erp::attached().await;
        let admin = erp.client("postgres").await;
        run(
            &admin,
            &format!("alter table quotes drop column version; alter table quotes add column version {own}"),
        )
        .await;
        run(&admin, "select detach_quote_collaboration()").await;
        assert_eq!(text(&admin, LEFT).await, "quotes", "{own}");
        run(&admin, "select attach_quote_collaboration(); select detach_quote_collaboration()").await;
        assert_eq!(text(&admin, LEFT).await, "quotes", "{own}");
    }
}
