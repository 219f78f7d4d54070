//! Who is named as author of a change.

use quote_collab_tests::{ALICE, BOB, Erp};
use uuid::Uuid;

#[tokio::test]
async fn the_setting_counts_then_the_statement_then_the_system_user() {
    let erp = Erp::attached().await;
    let quote = erp.quote(0).await;
    let app = erp.client("erp_app").await;
    let (alice, bob, session) = (ALICE.id, BOB.id, Uuid::from_u128(0x5e55));
    let statements = [
        // The setting wins, also over an author that is no user of the ERP's.
        (format!("begin; select set_config('app.current_user_id', '{alice}', true), set_config('app.current_session_id', '{session}', true);
                  update quotes set notes = '1' where id = '{quote}'; commit;"), Some(alice), Some(session)),
        // An updated_by that the statement sets is the author.
        (format!("update quotes set notes = '2', updated_by = '{bob}' where id = '{quote}'"), Some(bob), None),
        // One left over from an earlier change says nothing about this one.
        (format!("update quotes set notes = '3' where id = '{quote}'"), None, None),
        (format!("update quotes set notes = '4', updated_by = '{bob}' where id = '{quote}'"), Some(bob), None),
    ];
    for (statement, actor, session) in statements {
        app.batch_execute(&statement).await.unwrap();
        let admin = erp.client("postgres").await;
        let row = admin
            .query_one("select changed_by, session_id from quote_changes order by position desc limit 1", &[])
            .await
            .unwrap();
        assert_eq!(
            (row.get::<_, Option<Uuid>>(0), row.get::<_, Option<Uuid>>(1)),
            (actor, session),
            "{statement}"
        );
    }
    let admin = erp.client("postgres").await;
    let system = Uuid::from_u128(0x5757);
    admin
        .execute(
            "select attach_quote_collaboration(options => jsonb_build_object('system_user_id', $1::uuid))",
            &[&system],
        )
        .await
        .unwrap();
    app.batch_execute(&format!("update quotes set notes = '5' where id = '{quote}'")).await.unwrap();
    let row = admin
        .query_one("select changed_by from quote_changes order by position desc limit 1", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, Option<Uuid>>(0), Some(system));
}

#[tokio::test]
async fn updated_by_follows_where_it_may() {
    let erp = Erp::attached().await;
    let quote = erp.quote(0).await;
    let app = erp.client("erp_app").await;
    let line: Uuid = app
        .query_one("select id from quote_lines where quote_id = $1 limit 1", &[&quote])
        .await
        .unwrap()
        .get(0);
    let author = "select updated_by from quotes where id = $1";
    let before: Option<Uuid> = app.query_one(author, &[&quote]).await.unwrap().get(0);
    let stranger = Uuid::from_u128(0x57a6e);
    app.batch_execute(&format!(
        "set app.current_user_id = '{stranger}'; update quotes set notes = '1' where id = '{quote}';
         select update_quote_with_version_check('{quote}', 2, '{{\"notes\": \"2\"}}')"
    ))
    .await
    .unwrap();
    // The ERP's own column points to its users: a stranger stays out of it, and out of nothing else.
    assert_eq!(app.query_one(author, &[&quote]).await.unwrap().get::<_, Option<Uuid>>(0), before);
    assert_eq!(
        erp.count(&format!("select count(*) from quote_changes where changed_by = '{stranger}'")).await,
        2
    );
    app.batch_execute(&format!(
        "set app.current_user_id = '{}'; select update_quote_with_version_check('{quote}', 3, '{{\"notes\": \"3\"}}');
         update quote_lines set description = 'x' where id = '{line}'",
        ALICE.id
    ))
    .await
    .unwrap();
    assert_eq!(app.query_one(author, &[&quote]).await.unwrap().get::<_, Option<Uuid>>(0), Some(ALICE.id));
    let ours: Option<Uuid> =
        app.query_one("select updated_by from quote_lines where id = $1", &[&line]).await.unwrap().get(0);
    assert_eq!(ours, Some(ALICE.id), "the column that attach added is stamped");
}

#[tokio::test]
async fn a_line_that_is_saved_as_it_was_read_names_nobody() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let line: uuid::Uuid =
        admin.query_one("select id from quote_lines order by id limit 1", &[]).await.unwrap().get(0);
    let newest = "select concat_ws(' ', c.new_value #>> '{}', c.changed_by, l.updated_by) from quote_changes c join quote_lines l on l.id = c.quote_line_id
        order by c.position desc limit 1";
    let save =
        async |user: Option<uuid::Uuid>, description: &str, updated_by: Option<uuid::Uuid>| -> String {
            let set = "select set_config('app.current_user_id', coalesce($1::uuid::text, ''), false)";
            admin.execute(set, &[&user]).await.unwrap();
            let update = "update quote_lines set description = $2, updated_by = $3 where id = $1";
            admin.execute(update, &[&line, &description, &updated_by]).await.unwrap();
            admin.query_one(newest, &[]).await.unwrap().get(0)
        };
    let (alice, bob) = (ALICE.id, BOB.id);
    assert_eq!(save(Some(alice), "one", None).await, format!("one {alice} {alice}"));
    assert_eq!(
        save(None, "two", Some(alice)).await,
        format!("two {alice}"),
        "nobody's, and the column as it was"
    );
    assert_eq!(save(Some(bob), "three", Some(alice)).await, format!("three {bob} {bob}"));
    assert_eq!(save(None, "four", Some(alice)).await, format!("four {alice} {alice}"), "claimed by a change");
}

/// ERPs have triggers that fill the column; who applies another server's changes may not say which columns he assigns.
#[tokio::test]
async fn an_author_whom_a_trigger_of_the_erp_names_is_named() {
    let erp = Erp::attached().await;
    let quote = erp.quote(0).await;
    let admin = erp.client("postgres").await;
    admin
        .batch_execute(
            "create function name_author() returns trigger language plpgsql as 'begin new.updated_by := current_setting(''erp.person'')::uuid; return new; end';
             create trigger a_name_author before insert or update on quotes for each row execute function name_author()",
        )
        .await
        .unwrap();
    for (person, note, named) in
        [(ALICE.id, "one", Some(ALICE.id)), (BOB.id, "two", Some(BOB.id)), (BOB.id, "three", None)]
    {
        let update =
            format!("set erp.person = '{person}'; update quotes set notes = '{note}' where id = '{quote}'");
        admin.batch_execute(&update).await.unwrap();
        let told =
            "select changed_by from quote_changes where field_name = 'notes' order by position desc limit 1";
        let author: Option<Uuid> = admin.query_one(told, &[]).await.unwrap().get(0);
        assert_eq!(author, named, "{note}");
    }
}
