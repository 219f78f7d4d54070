//! A tenant reaches nothing of another through any of our functions, tables or views.

use quote_collab_tests::Erp;
use quote_collab_tests::statement::{run, text};

#[tokio::test]
async fn a_quote_of_another_tenant_does_not_exist() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin
        .batch_execute("update quotes set notes = 'canary'; update quote_lines set description = 'canary'")
        .await
        .unwrap();
    let tenants = erp.tenants().await;
    let theirs: uuid::Uuid = admin
        .query_one("select id from quotes where tenant_id = $1 limit 1", &[&tenants[1]])
        .await
        .unwrap()
        .get(0);
    let line: uuid::Uuid = admin
        .query_one("select id from quote_lines where quote_id = $1 limit 1", &[&theirs])
        .await
        .unwrap()
        .get(0);
    let user: uuid::Uuid = admin
        .query_one("select id from users where tenant_id = $1 limit 1", &[&tenants[1]])
        .await
        .unwrap()
        .get(0);
    admin.execute("select join_quote_session($1, null, $2)", &[&theirs, &user]).await.unwrap();
    let before = erp.fingerprint().await;
    for role in ["erp_app", "quote_gateway"] {
        let client = erp.client(role).await;
        client.batch_execute(&format!("set app.current_tenant_id = '{}'", tenants[0])).await.unwrap();
        for statement in [
            format!("select check_quote_version('{theirs}', 2)"),
            format!("select check_quote_line_version('{line}', 2)"),
            format!("select update_quote_with_version_check('{theirs}', 2, '{{\"notes\": \"taken\"}}')"),
            format!("select update_quote_with_version_check('{theirs}', 1, '{{\"notes\": \"taken\"}}')"),
            format!("select update_quote_line_with_version_check('{line}', 2, '{{\"quantity\": 1}}')"),
            format!("select join_quote_session('{theirs}', null, '{user}')"),
            format!("select get_active_quote_sessions('{theirs}')"),
            format!("select has_quote_been_updated('{theirs}', 1)"),
            format!("select get_quote('{theirs}')"),
        ] {
            let error = client.batch_execute(&statement).await.expect_err(&statement);
            assert_eq!(error.as_db_error().unwrap().code().code(), "P0002", "{role}: {statement}");
        }
        for statement in [
            format!("select * from get_quote_change_history('{theirs}')"),
            format!("select * from quote_changes where quote_id = '{theirs}'"),
            format!("select * from v_recent_quote_changes where quote_id = '{theirs}'"),
            format!("select * from v_quote_change_events where quote_id = '{theirs}'"),
            format!("select * from v_active_quote_collaborators where quote_id = '{theirs}'"),
            format!("select * from active_quote_sessions where quote_id = '{theirs}'"),
            format!("delete from active_quote_sessions where quote_id = '{theirs}' returning 1"),
            format!("select 1 where quote_is_accessible('{theirs}')"),
            format!("select 1 from list_quotes(1000) q where q ->> 'id' = '{theirs}'"),
            "select 1 from active_quote_sessions s where leave_quote_session(s.session_id)".to_owned(),
            format!("select 1 from quote_events_since(null, 1000) where event ->> 'quote_id' = '{theirs}'"),
        ] {
            assert!(client.query(&statement, &[]).await.unwrap().is_empty(), "{role}: {statement}");
        }
    }
    let client = erp.client("erp_app").await;
    for statement in [
        "select * from quote_changes_default".to_owned(),
        "insert into quote_changes select * from quote_changes".to_owned(),
        "delete from quote_changes".to_owned(),
        "select * from quote_relay_batch".to_owned(),
        "select * from quote_relay_lease".to_owned(),
    ] {
        let error = client.batch_execute(&statement).await.expect_err(&statement);
        assert_eq!(error.as_db_error().unwrap().code().code(), "42501", "{statement}");
    }
    assert_eq!(erp.fingerprint().await, before);
}

#[tokio::test]
async fn a_quote_that_moves_to_another_tenant_leaves_and_arrives() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let (quote, tenants) = (erp.quote(0).await, erp.tenants().await);
    admin.execute("delete from quote_lines where quote_id = $1", &[&quote]).await.unwrap();
    admin.execute("update quotes set tenant_id = case tenant_id when $2 then $3::uuid else $2::uuid end where id = $1", &[&quote, &tenants[0], &tenants[1]]).await.unwrap();
    let rows = admin.query("select change_type::text, tenant_id from quote_changes where entity_type = 'QUOTE' order by position", &[]).await.unwrap();
    let told: Vec<(String, uuid::Uuid)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(told.len(), 2);
    assert_eq!((told[0].0.as_str(), told[1].0.as_str()), ("DELETE", "CREATE"));
    assert_ne!(told[0].1, told[1].1);
}

#[tokio::test]
async fn every_table_and_partition_forces_row_security_and_every_object_has_a_comment() {
    let erp = Erp::attached().await;
    let open = "select count(*) from pg_class c where c.relname ~ '^(quote_changes|active_quote_sessions)' and c.relkind in ('r', 'p')
        and not (c.relrowsecurity and c.relforcerowsecurity)";
    assert_eq!(erp.count(open).await, 0);
    let admin = erp.client("postgres").await;
    let silent = "select p.oid::regprocedure::text from pg_proc p join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid
        and d.deptype = 'e' join pg_extension e on e.oid = d.refobjid and e.extname = 'quote_collab_ext'
        where obj_description(p.oid, 'pg_proc') is null";
    let silent: Vec<String> = admin.query(silent, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(silent.is_empty(), "without a comment: {silent:?}");
    let unpinned = "select p.oid::regprocedure::text from pg_proc p join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid
        and d.deptype = 'e' join pg_extension e on e.oid = d.refobjid and e.extname = 'quote_collab_ext'
        where p.prosecdef and not coalesce(p.proconfig::text like '%search_path=pg_catalog, pg_temp%', false)";
    let unpinned: Vec<String> =
        admin.query(unpinned, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(unpinned.is_empty(), "security definer without a pinned search_path: {unpinned:?}");
}

#[tokio::test]
async fn nobody_is_told_the_name_of_another_tenants_customer() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let quote = erp.quote(0).await;
    let foreign = format!(
        "update quotes q set customer_id = (select c.id from customers c where c.tenant_id <> q.tenant_id limit 1) where q.id = '{quote}' returning q.tenant_id::text"
    );
    let tenant = text(&admin, &foreign).await;
    let gateway = erp.client("quote_gateway").await;
    run(
        &gateway,
        &format!("set app.current_tenant_id = '{tenant}'; select join_quote_session('{quote}', null, '00000000-0000-4000-8000-000000000001')"),
    )
    .await;
    let listed = "select string_agg(coalesce(q ->> 'customer_name', 'nobody'), ',') from list_quotes(1000) q where q ->> 'id' = 'QUOTE'";
    assert_eq!(text(&gateway, &listed.replace("QUOTE", &quote.to_string())).await, "nobody");
    let named =
        "select (count(*) > 1)::text from list_quotes(1000) q where q ->> 'customer_name' is not null";
    assert_eq!(text(&gateway, named).await, "true");
    for source in ["active_quote_names()", "v_active_quote_collaborators"] {
        let named = format!("select string_agg(coalesce(customer_name, 'nobody'), ',') from {source}");
        assert_eq!(text(&gateway, &named).await, "nobody", "{source}");
    }
}
