//! The ERP alters its own tables as it likes, and everything goes on without attaching again.

use quote_collab_tests::Erp;
use tokio_postgres::Client;

async fn run(client: &Client, statements: &str) {
    client.batch_execute(statements).await.unwrap_or_else(|error| panic!("{statements}: {error:?}"));
}

async fn text(client: &Client, query: &str) -> String {
    let row = client.query_one(query, &[]).await.unwrap_or_else(|error| panic!("{query}: {error:?}"));
    row.get::<_, Option<String>>(0).unwrap_or_default()
}

/// Each is one that an ordinary migration brings, and undone before the next.
const MIGRATIONS: [&str; 14] = [
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
];

/// What goes on: saves by SQL and by version, views, lists and events.
const GOES_ON: &str = "update quotes set notes = concat('migrated ', notes) where id = 'QUOTE';
    update quote_lines set description = concat('migrated ', description) where quote_id = 'QUOTE';
    do $$ begin
        if not (select success from update_quote_with_version_check('QUOTE',
                (select version from quotes where id = 'QUOTE'), '{\"notes\": \"saved\"}')) then raise 'not saved'; end if;
        if (select count(*) from v_recent_quote_changes where quote_id = 'QUOTE') < 7 then raise 'not shown'; end if;
        if (select count(*) from v_active_quote_collaborators where quote_id = 'QUOTE') <> 1 then raise 'nobody there'; end if;
        if (select count(*) from get_quote_change_history('QUOTE', 5)) <> 5 then raise 'no history'; end if;
        if (select count(*) from quote_events_since(null, 1000)) < 0 then raise 'no events'; end if;
    end $$;
    select * from v_recent_quote_changes; select * from v_active_quote_collaborators;";

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
