//! Tables as ERPs have them: any name, partitioned, wide, with generated columns, in use while we come and go.

use quote_collab_tests::Erp;
use quote_collab_tests::statement::{refusal, sqlstate};
use tokio_postgres::Client;

/// Change type and field of everything in the log, in order.
async fn recorded(client: &Client, log: &str) -> Vec<(String, String)> {
    let query =
        format!("select change_type::text, field_name::text from {log} order by position, field_name");
    let rows = client.query(&query, &[]).await.expect("the log is read");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(kind, field)| ((*kind).to_owned(), (*field).to_owned())).collect()
}

#[tokio::test]
async fn names_that_need_quotes() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    admin
        .batch_execute(
            r#"create schema "Verkauf.EU";
               create table "Verkauf.EU"."Select" ("Id" uuid primary key, "order" uuid not null, "Größe in m²" numeric, "a""b" text, "where" timestamptz);
               create table "Verkauf.EU"."Zeilen des Angebots" ("Id" uuid primary key, "order" uuid not null, "from" uuid not null references "Verkauf.EU"."Select", "Text=x" text);
               insert into "Verkauf.EU"."Select" values ('00000000-0000-7000-8000-000000000001', gen_random_uuid(), 1.50, 'x', null);
               insert into "Verkauf.EU"."Zeilen des Angebots" select gen_random_uuid(), "order", "Id", 'x' from "Verkauf.EU"."Select";"#,
        )
        .await
        .unwrap();
    let before = erp.schema().await;
    admin
        .batch_execute(
            r#"create extension quote_collab_ext;
               select attach_quote_collaboration('"Verkauf.EU"."Select"', '"Verkauf.EU"."Zeilen des Angebots"',
                   '{"columns": {"id": "Id", "tenant": "order"}, "line_columns": {"id": "Id", "tenant": "order", "quote": "from"}}');
               update "Verkauf.EU"."Select" set "Größe in m²" = 1.5, "a""b" = 'y';
               update "Verkauf.EU"."Zeilen des Angebots" set "Text=x" = 'y';"#,
        )
        .await
        .unwrap();
    // 1.50 and 1.5 are equal numbers and different texts: what is stored differs.
    let expected = pairs(&[("UPDATE", "Größe in m²"), ("UPDATE", "a\"b"), ("UPDATE", "Text=x")]);
    assert_eq!(recorded(&admin, r#""Verkauf.EU".quote_changes"#).await, expected);
    let saved = "select success from update_quote_with_version_check('00000000-0000-7000-8000-000000000001', 2, '{\"a\\\"b\": \"z\"}')";
    assert!(admin.query_one(saved, &[]).await.unwrap().get::<_, bool>(0));
    admin.batch_execute("select attach_quote_collaboration('\"Verkauf.EU\".\"Select\"', '\"Verkauf.EU\".\"Zeilen des Angebots\"',
        '{\"columns\": {\"id\": \"Id\", \"tenant\": \"order\"}, \"line_columns\": {\"id\": \"Id\", \"tenant\": \"order\", \"quote\": \"from\"}}')").await.unwrap();
    admin
        .batch_execute(
            "select detach_quote_collaboration(drop_history => true); drop extension quote_collab_ext",
        )
        .await
        .unwrap();
    assert_eq!(erp.schema().await, before);
}

#[tokio::test]
async fn partitioned_tables() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    admin
        .batch_execute(
            "create schema p; set search_path = p, public;
             create table quotes (id uuid not null, tenant_id uuid not null, region text not null, notes text, primary key (id, region)) partition by list (region);
             create table quotes_north partition of quotes for values in ('north');
             create table quotes_south partition of quotes for values in ('south');
             create table quote_lines (id uuid primary key, tenant_id uuid not null, quote_id uuid not null, description text) partition by hash (id);
             create table quote_lines_0 partition of quote_lines for values with (modulus 2, remainder 0);
             create table quote_lines_1 partition of quote_lines for values with (modulus 2, remainder 1);
             insert into quotes values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000002', 'north', 'a');
             insert into quote_lines select gen_random_uuid(), tenant_id, id, 'a' from quotes, generate_series(1, 4);",
        )
        .await
        .unwrap();
    let before = erp.schema().await;
    admin
        .batch_execute("create extension quote_collab_ext; select attach_quote_collaboration()")
        .await
        .unwrap();
    admin.batch_execute("update quotes set notes = 'b'; update quotes_north set notes = 'c'; update quotes set region = 'south', notes = 'd'").await.unwrap();
    admin.batch_execute("create table quotes_west partition of quotes for values in ('west'); update quotes set region = 'west'").await.unwrap();
    admin.batch_execute("update quote_lines set description = 'b'").await.unwrap();
    let mut expected = vec![("UPDATE", "notes"), ("UPDATE", "notes")];
    // PostgreSQL moves a row between partitions by deleting and inserting it, and so it is recorded.
    expected.extend([("DELETE", "*"), ("CREATE", "*"), ("DELETE", "*"), ("CREATE", "*")]);
    expected.extend([("UPDATE", "description"); 4]);
    assert_eq!(recorded(&admin, "p.quote_changes").await, pairs(&expected));
    let versions = "select q.version, (select array_agg(coalesce(c.entity_version_after, c.entity_version_before) order by c.position) from p.quote_changes c where c.entity_type = 'QUOTE') from p.quotes q";
    let row = admin.query_one(versions, &[]).await.unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, Vec<i32>>(1)), (5, vec![2, 3, 3, 4, 4, 5]));
    admin.batch_execute("drop table p.quotes_west; select detach_quote_collaboration(drop_history => true); drop extension quote_collab_ext").await.unwrap();
    assert_eq!(erp.schema().await, before);
}

#[tokio::test]
async fn three_hundred_columns_generated_ones_among_them() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    let version: i32 =
        admin.query_one("select current_setting('server_version_num')::int", &[]).await.unwrap().get(0);
    let columns: Vec<String> = (1..=295)
        .map(|n| format!("c{n} {}", ["text", "numeric", "integer", "timestamptz", "jsonb"][n % 5]))
        .collect();
    let further =
        if version >= 180_000 { ", doubled numeric generated always as (c1 * 2) virtual" } else { "" };
    admin
        .batch_execute(&format!(
            "create schema w; set search_path = w, public; create type w.mood as enum ('good', 'bad'); create domain w.price as numeric check (value >= 0); create type w.pair as (a int, b text);
             create table quotes (id uuid primary key, tenant_id uuid not null, serial integer generated always as identity, twice numeric generated always as (c1 * 2) stored,
                 mood w.mood, amount w.price, \"both\" w.pair, days int4range, tags text[], {} {further});
             create table quote_lines (id uuid primary key, tenant_id uuid not null, quote_id uuid not null);
             alter table quotes drop column c295;
             insert into quotes (id, tenant_id) values (gen_random_uuid(), gen_random_uuid());
             create extension quote_collab_ext; select attach_quote_collaboration();
             update quotes set c1 = 1, c294 = 'null', mood = 'bad', amount = 1.10, \"both\" = (1, 'x'), days = '[1,3)', tags = '{{a,b}}';",
            columns.join(", ")
        ))
        .await
        .unwrap();
    let names = ["amount", "both", "c1", "c294", "days", "mood", "tags", "twice"];
    let expected: Vec<_> = names.iter().map(|name| ("UPDATE", *name)).collect();
    assert_eq!(recorded(&admin, "w.quote_changes").await, pairs(&expected));
    let exact =
        "select bool_and(c.new_value = to_jsonb(q) -> c.field_name::text) from w.quote_changes c, w.quotes q";
    assert!(admin.query_one(exact, &[]).await.unwrap().get::<_, bool>(0));
    // A session that has its plans already sees columns come, go and change without being told.
    let update = admin.prepare("update w.quotes set c1 = c1 + 1").await.unwrap();
    for change in [
        "add column late text",
        "alter column c2 type text",
        "drop column c3",
        "rename column c4 to c4_renamed",
        "rename column late to later",
    ] {
        admin.execute(&update, &[]).await.unwrap();
        admin.batch_execute(&format!("alter table w.quotes {change}")).await.unwrap();
    }
    admin.execute(&update, &[]).await.unwrap();
    admin
        .batch_execute(
            "delete from w.quote_changes; update w.quotes set c4_renamed = '{}', later = 'x', c2 = 'y'",
        )
        .await
        .unwrap();
    let expected = pairs(&[("UPDATE", "c2"), ("UPDATE", "c4_renamed"), ("UPDATE", "later")]);
    assert_eq!(recorded(&admin, "w.quote_changes").await, expected);
}

#[tokio::test]
async fn a_busy_table_is_waited_for_and_left_whole() {
    let erp = Erp::bare().await;
    let (admin, busy) = (erp.client("postgres").await, erp.client("postgres").await);
    admin.batch_execute("create extension quote_collab_ext").await.unwrap();
    let before = erp.schema().await;
    for statement in ["select count(*) from quotes", "update quote_lines set description = 'busy'"] {
        busy.batch_execute(&format!("begin; {statement}")).await.unwrap();
        assert_eq!(
            sqlstate(&admin, "set lock_timeout = '100ms'; select attach_quote_collaboration()").await,
            "55P03"
        );
        assert_eq!(erp.schema().await, before, "{statement}");
        busy.batch_execute("rollback").await.unwrap();
    }
    admin.batch_execute("select attach_quote_collaboration()").await.unwrap();
    busy.batch_execute("begin; update quotes set notes = 'busy'").await.unwrap();
    let attached = erp.schema().await;
    assert_eq!(sqlstate(&admin, "select detach_quote_collaboration()").await, "55P03");
    assert_eq!(erp.schema().await, attached);
    busy.batch_execute("commit").await.unwrap();
    admin.batch_execute("select detach_quote_collaboration()").await.unwrap();
}

#[tokio::test]
async fn whoever_holds_one_table_gets_the_other() {
    let erp = Erp::bare().await;
    erp.client("postgres").await.batch_execute("create extension quote_collab_ext").await.unwrap();
    let locking = "select exists (select from pg_locks l where l.mode = 'AccessExclusiveLock' and l.relation in ('quotes'::regclass, 'quote_lines'::regclass)
        and l.database = (select d.oid from pg_database d where d.datname = current_database()))";
    for (statement, held, wanted) in [
        ("attach", "update quote_lines set description = 'x'", "update quotes set notes = 'x'"),
        ("attach", "update quote_lines set description = 'y'", "update quotes set notes = 'y'"),
        ("attach", "select count(*) from v_recent_quote_changes", "update quotes set notes = 'read'"),
        ("attach", "select count(*) from quote_changes", "select count(*) from quotes"),
        ("detach", "update quotes set notes = 'z'", "update quote_lines set description = 'z'"),
    ] {
        let (admin, busy) = (erp.client("postgres").await, erp.client("postgres").await);
        busy.batch_execute(&format!("begin; {held}")).await.unwrap();
        let going = tokio::spawn(async move {
            let statement = format!("set lock_timeout = '1min'; select {statement}_quote_collaboration()");
            admin.batch_execute(&statement).await
        });
        erp.wait_until(locking).await;
        busy.batch_execute(&format!("{wanted}; commit"))
            .await
            .unwrap_or_else(|error| panic!("{statement}, {held}: {error:?}"));
        going.await.unwrap().unwrap_or_else(|error| panic!("{statement}, {held}: {error:?}"));
    }
}

#[tokio::test]
async fn whoever_holds_a_partition_gets_the_table() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    admin
        .batch_execute(
            "create extension quote_collab_ext; create table bids (id uuid, tenant_id uuid, notes text) partition by hash (id);
             create table bids_0 partition of bids for values with (modulus 1, remainder 0); create table bid_lines (id uuid, tenant_id uuid, bid_id uuid)",
        )
        .await
        .unwrap();
    for statement in [
        "select attach_quote_collaboration('bids', 'bid_lines')",
        "select detach_quote_collaboration(quotes => 'bids')",
    ] {
        let (admin, busy) = (erp.client("postgres").await, erp.client("postgres").await);
        busy.batch_execute("begin; update bids_0 set notes = 'x'").await.unwrap();
        let going = tokio::spawn(async move {
            admin.batch_execute(&format!("set lock_timeout = '1min'; {statement}")).await
        });
        erp.wait_until(
            "select exists (select from pg_locks l where l.mode = 'AccessExclusiveLock' and l.relation in ('bids'::regclass, 'bids_0'::regclass)
                and l.database = (select d.oid from pg_database d where d.datname = current_database()))",
        )
        .await;
        busy.batch_execute("update bids set notes = 'y'; commit").await.expect(statement);
        going.await.unwrap().expect(statement);
    }
}

#[tokio::test]
async fn a_second_attach_waits_as_long_as_it_says() {
    let erp = Erp::bare().await;
    let (admin, busy) = (erp.client("postgres").await, erp.client("postgres").await);
    admin.batch_execute("create extension quote_collab_ext").await.unwrap();
    busy.batch_execute("begin; lock table quote_collab_settings in share row exclusive mode").await.unwrap();
    let waited = tokio::time::timeout(
        std::time::Duration::from_mins(1),
        sqlstate(&admin, "select attach_quote_collaboration()"),
    );
    assert_eq!(waited.await.expect("it gives up"), "55P03");
}

#[tokio::test]
async fn an_author_that_is_no_uuid_is_a_column_like_others() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    admin
        .batch_execute(
            "create domain outer_key as uuid; create domain own_key as outer_key; create domain outer_count as integer; create domain own_count as outer_count;
             create table bids (id own_key, tenant_id own_key, version own_count not null default 1, updated_by text, created_by bigint);
             create table bid_lines (id own_key, tenant_id own_key, bid_id own_key, updated_by text);
             create extension quote_collab_ext; select attach_quote_collaboration('bids', 'bid_lines');
             insert into bids (id, tenant_id, updated_by, created_by) values (gen_random_uuid(), gen_random_uuid(), 'me', 1);
             insert into bid_lines select gen_random_uuid(), tenant_id, id, 'me' from bids;
             update bids set updated_by = 'you'; update bid_lines set updated_by = 'you'",
        )
        .await
        .unwrap();
    let told = [("CREATE", "*"), ("CREATE", "*"), ("UPDATE", "updated_by"), ("UPDATE", "updated_by")];
    assert_eq!(recorded(&admin, "quote_changes").await, pairs(&told));
    assert_eq!(erp.count("select version::bigint from bids").await, 2);
    let saved = "select success from bids b, update_quote_with_version_check(b.id, 2, '{\"created_by\": 5}')";
    assert!(admin.query_one(saved, &[]).await.unwrap().get::<_, bool>(0));
    let named = "select attach_quote_collaboration('bids', 'bid_lines', '{\"line_columns\": {\"updated_by\": \"updated_by\"}}')";
    assert_eq!(sqlstate(&admin, named).await, "42804");
    admin.batch_execute("select detach_quote_collaboration()").await.unwrap();
    assert_eq!(erp.count("select count(*) from pg_attribute where attrelid in ('bids'::regclass, 'bid_lines'::regclass) and attname in ('version', 'updated_by') and not attisdropped").await, 3);
}

#[tokio::test]
async fn dropping_the_extension_keeps_tables_and_history() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute("update quotes set notes = 'kept'").await.unwrap();
    assert_eq!(sqlstate(&admin, "drop extension quote_collab_ext").await, "2BP01");
    let rows = erp.count("select count(*) from quote_changes").await;
    admin
        .batch_execute("drop extension quote_collab_ext cascade; update quotes set notes = 'free'")
        .await
        .unwrap();
    assert_eq!(erp.count("select count(*) from quote_changes").await, rows);
    assert_eq!(erp.count("select count(*) from quotes where notes = 'free'").await, 200);
    // Nothing shows another tenant's history meanwhile.
    let app = erp.client("erp_app").await;
    assert_eq!(app.query("select * from quote_changes", &[]).await.unwrap().len(), 0);
    admin.batch_execute("create extension quote_collab_ext; select attach_quote_collaboration(); update quotes set notes = 'again'").await.unwrap();
    assert_eq!(erp.count("select count(*) from quote_changes").await, rows + 200);
}

#[tokio::test]
async fn foreign_partitions_lose_nothing_in_silence() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    if let Err(error) = admin.batch_execute("create extension postgres_fdw").await {
        eprintln!("skipped: this server has no postgres_fdw: {error}");
        return;
    }
    admin
        .batch_execute(
            "create extension quote_collab_ext;
             do $$ begin execute format('create server me foreign data wrapper postgres_fdw options (host %L, port %L, dbname %L)',
                 host(inet_server_addr()), inet_server_port(), current_database()); end $$;
             create user mapping for current_user server me options (user 'postgres');
             create table elsewhere (id uuid not null, tenant_id uuid not null, region text);
             create table offers (id uuid not null, tenant_id uuid not null, region text) partition by list (region);
             create table offers_here partition of offers for values in ('here');
             create foreign table offers_there partition of offers for values in ('there') server me options (table_name 'elsewhere');
             create table offer_lines (id uuid primary key, tenant_id uuid not null, offer_id uuid not null)",
        )
        .await
        .unwrap();
    let attach = "select attach_quote_collaboration('offers', 'offer_lines', '{\"line_columns\": {\"quote\": \"offer_id\"}, \"truncate\": \"record\"}')";
    let (code, hint) = refusal(&admin, attach).await;
    assert!(
        code == "0A000" && hint.contains("alter table public.offers add column version integer"),
        "{code} {hint}"
    );
    admin
        .batch_execute(
            "alter table elsewhere add column version integer; alter table offers add column version integer",
        )
        .await
        .unwrap();
    admin.batch_execute(attach).await.unwrap();
    admin
        .batch_execute(
            "insert into offers select gen_random_uuid(), gen_random_uuid(), r, 1 from unnest(array['here', 'there']) r",
        )
        .await
        .unwrap();
    assert_eq!(sqlstate(&admin, "truncate offers").await, "0A000");
    assert_eq!(recorded(&admin, "quote_changes").await, pairs(&[("CREATE", "*"); 2]));
    admin.batch_execute("truncate offers_here; delete from offers").await.unwrap();
    assert_eq!(
        recorded(&admin, "quote_changes").await,
        pairs(&[("CREATE", "*"), ("CREATE", "*"), ("DELETE", "*"), ("DELETE", "*")])
    );
}
