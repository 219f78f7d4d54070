//! The owner of the log may write all its tables and look like nothing ever happened: what he rewrote is found all the same.

use std::sync::Arc;

use quote_collab_tests::history::PAST;
use quote_collab_tests::statement::{run, sqlstate, text};
use quote_collab_tests::{Erp, Postgres, Settings, eventually};
use tokio_postgres::Client;

const KEY: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";

/// As the owner: out of the way of row security, and able to hash a block by our own functions, whose like he could write himself.
const UNBOUND: &str = "
    grant execute on function quote_kept_query(oid), quote_prepared_rows(text, record) to erp_owner;
    set role erp_owner;
    do $$ declare part regclass; begin
        for part in select relid from pg_partition_tree('quote_changes') union select 'quote_changes_seals' loop
            execute format('alter table %s no force row level security', part);
        end loop;
    end $$;";

/// Makes every block from FROM on anew, with the numbers, times and snapshots it had: all of it fits.
const MAKE_ANEW: &str = "
    do $$ declare b record; before record; d record; begin
        for b in select * from quote_changes_seals order by no loop
            if b.no >= FROM then
                select * into d from digest_quote_changes(b.form, b.prev, b.cur, b.origin, b.floor_at - interval '1 day',
                    b.cur_at + interval '1 day', before.cur, before.origin);
                b.hash := quote_seal_hash(before.hash, b.no, b.prev, b.cur, b.floor_at, b.prev_at, b.cur_at, b.origin, d.rows, d.root,
                    b.sealed_at, b.form);
                update quote_changes_seals s set rows = d.rows, root = d.root, hash = b.hash, signature = null, signed_by = null where s.no = b.no;
            end if;
            before := b;
        end loop;
    end $$;";

/// A block on top of the chain that counts what is there and not sealed, sealed years ago.
const MADE_UP: &str = "
    insert into quote_changes_seals (no, prev, cur, floor_at, prev_at, cur_at, origin, rows, root, hash, sealed_at, form)
    select l.no + 1, l.cur, c.cur, l.prev_at, l.cur_at, now(), l.origin, d.rows, d.root,
        quote_seal_hash(l.hash, l.no + 1, l.cur, c.cur, l.prev_at, l.cur_at, now(), l.origin, d.rows, d.root, '2020-01-01Z', 2::smallint), '2020-01-01Z', 2
    from (select * from quote_changes_seals order by no desc limit 1) l, (select pg_current_snapshot()) c (cur),
        lateral digest_quote_changes(2::smallint, l.cur, c.cur, l.origin, l.prev_at - interval '1 day', now() + interval '1 day', l.cur, l.origin) d;";

const NEWEST: &str = "(select max(no) from quote_changes_seals)";

async fn findings(admin: &Client) -> String {
    text(admin, "select string_agg(distinct finding, ',' order by finding) from verify_quote_history()").await
}

/// Changes quotes and seals, in blocks of their own.
async fn seal(admin: &Client, blocks: usize) {
    for block in 0..blocks {
        run(admin, &format!("update quotes set notes = 'block {block} ' || clock_timestamp() where id in (select id from quotes limit 2)")).await;
        run(admin, "select seal_quote_history()").await;
    }
}

async fn everything_rewritten_is_found(erp: &Erp) {
    let admin = erp.client("postgres").await;
    seal(&admin, 4).await;
    assert_eq!(findings(&admin).await, "");
    let forged = "update quote_changes set new_value = '\"forged\"' where position = (select PLACE(position) from quote_changes);";
    let first = forged.replace("PLACE", "min");
    let last = forged.replace("PLACE", "max");
    let anew = |from: &str| MAKE_ANEW.replace("FROM", from);
    for (way, rewriting) in [
        ("all blocks", format!("{first}{}", anew("1"))),
        ("the newest block", format!("{last}{}", anew(NEWEST))),
        (
            "the newest blocks gone, with their rows",
            format!("delete from quote_changes where xid >= (select pg_snapshot_xmax(cur) from quote_changes_seals where no = {NEWEST} - 2);
                delete from quote_changes_seals where no > {NEWEST} - 2"),
        ),
        ("one block for all", format!("{first} delete from quote_changes_seals where no > 0; {MADE_UP}")),
        ("no block at all", format!("{first} delete from quote_changes_seals")),
        ("another chain of none", format!("{first} delete from quote_changes_seals where no > 0")),
        ("a block of his own", format!("{last} delete from quote_changes_seals where no = {NEWEST}; {MADE_UP}")),
    ] {
        run(&admin, &format!("begin; savepoint a; {UNBOUND}{rewriting}; reset role")).await;
        // Before and after the server seals on top of it.
        let found = findings(&admin).await;
        assert!(found.contains("anchor") || found == "chain", "{way}: {found}");
        seal(&admin, 2).await;
        let found = findings(&admin).await;
        assert!(found.contains("anchor"), "{way}, sealed on: {found}");
        run(&admin, "rollback").await;
        assert_eq!(findings(&admin).await, "", "{way}");
    }
    // Not sealed yet: the owner cannot say when it was.
    run(&admin, "update quotes set notes = 'not sealed yet' where id in (select id from quotes limit 2)")
        .await;
    run(&admin, &format!("begin; {UNBOUND}{MADE_UP} reset role")).await;
    seal(&admin, 2).await;
    assert!(findings(&admin).await.contains("anchor"), "a block made up on top");
    run(&admin, "rollback").await;
    seal(&admin, 1).await;
    assert_eq!(findings(&admin).await, "");
}

#[tokio::test]
async fn the_anchor_finds_what_the_owner_rewrites() {
    everything_rewritten_is_found(&Erp::attached().await).await;
}

#[tokio::test]
async fn the_anchor_finds_what_the_owner_rewrites_where_seals_are_signed() {
    let settings = Settings::preloaded(&[("quote_collab.seal_key", KEY)]);
    everything_rewritten_is_found(&Erp::attached_on(Arc::new(Postgres::start_with(settings).await)).await)
        .await;
}

/// What has no value is like nothing else: neither like what it was nor unlike it.
#[tokio::test]
async fn a_block_without_values_is_no_block() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    seal(&admin, 3).await;
    assert_eq!(findings(&admin).await, "");
    let columns = [
        "prev",
        "cur",
        "floor_at",
        "prev_at",
        "cur_at",
        "origin",
        "rows",
        "root",
        "hash",
        "sealed_at",
        "form",
    ];
    for nulls in
        columns.iter().map(|column| vec![*column]).chain([vec!["rows", "root", "hash"], columns.to_vec()])
    {
        let dropped: Vec<_> = nulls.iter().map(|column| format!("alter {column} drop not null")).collect();
        let cleared: Vec<_> = nulls.iter().map(|column| format!("{column} = null")).collect();
        run(
            &admin,
            &format!(
                "begin; {UNBOUND}
                 update quote_changes set new_value = '\"forged\"' where xid >= (select pg_snapshot_xmax(cur) from quote_changes_seals where no = 1);
                 alter table quote_changes_seals {}; update quote_changes_seals set {} where no in (2, 3); reset role",
                dropped.join(", "),
                cleared.join(", ")
            ),
        )
        .await;
        assert!(findings(&admin).await.contains("block"), "{nulls:?}");
        run(&admin, "rollback").await;
    }
    // Rows of no transaction or no cluster.
    for (column, constraint) in
        [("origin", ""), ("xid", "alter table quote_changes drop constraint quote_changes_pkey;")]
    {
        run(
            &admin,
            &format!(
                "begin; {UNBOUND} {constraint} alter table quote_changes alter {column} drop not null;
                 insert into quote_changes (id, tenant_id, quote_id, changed_at, entity_type, field_name, change_type, was_conflict, event_id, position, xid, origin)
                 select gen_random_uuid(), tenant_id, quote_id, changed_at, entity_type, 'forged', change_type, false, gen_random_uuid(), position,
                     case 'xid' when '{column}' then null else xid end, case 'origin' when '{column}' then null else origin end
                 from quote_changes limit 1; reset role"
            ),
        )
        .await;
        assert!(findings(&admin).await.contains("rows"), "{column}");
        run(&admin, "rollback").await;
    }
    assert_eq!(findings(&admin).await, "");
}

/// What comes along with a dump is sealed when it has come; nothing comes along later, whatever table the seals are in.
#[tokio::test]
async fn rows_of_a_cluster_that_never_was_do_not_come_along() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    seal(&admin, 2).await;
    let anew = "create table seals_anew (like quote_changes_seals including all); insert into seals_anew select * from quote_changes_seals;
        drop table quote_changes_seals; alter table seals_anew rename to quote_changes_seals;
        alter table quote_changes_seals enable row level security, force row level security;";
    let forged = "insert into quote_changes (id, tenant_id, quote_id, changed_at, entity_type, field_name, change_type, was_conflict, event_id, position, xid, origin)
        select gen_random_uuid(), tenant_id, quote_id, changed_at, entity_type, 'forged', change_type, false, gen_random_uuid(), position, xid, 4711
        from quote_changes limit 1;";
    run(&admin, &format!("{UNBOUND} {anew} {forged} reset role")).await;
    assert!(findings(&admin).await.contains("rows"));
    seal(&admin, 2).await;
    assert!(findings(&admin).await.contains("rows"));
}

#[tokio::test]
async fn nobody_but_the_extensions_owner_writes_the_anchor() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    seal(&admin, 1).await;
    for role in ["erp_owner", "erp_app", "quote_gateway"] {
        for statement in [
            "update quote_seal_anchor set no = 0",
            "delete from quote_seal_anchor",
            "insert into quote_seal_anchor values ('public', 0, '')",
            "lock table quote_seal_anchor in row share mode",
            "select begin_quote_seal_anchor(0, '')",
            "select move_quote_seal_anchor('', 0, '', false)",
        ] {
            let error = admin
                .batch_execute(&format!("begin; set local role {role}; {statement}"))
                .await
                .expect_err(statement);
            assert_eq!(
                error.as_db_error().expect("PostgreSQL refuses").code().code(),
                "42501",
                "{role}: {statement}"
            );
            run(&admin, "rollback").await;
        }
    }
    // Given away with all tables of its schema, it is still guarded, as long as the guard is not taken away.
    run(&admin, "alter table quote_seal_anchor owner to erp_owner").await;
    assert_eq!(
        sqlstate(&admin, "begin; set local role erp_owner; update quote_seal_anchor set no = 0").await,
        "42501"
    );
    run(&admin, "rollback").await;
    assert_eq!(findings(&admin).await, "structure");
    run(&admin, "alter table quote_seal_anchor owner to postgres").await;
    assert_eq!(findings(&admin).await, "");
    run(&admin, "alter table quote_seal_anchor disable trigger guard_quote_settings").await;
    assert_eq!(findings(&admin).await, "structure");
}

#[tokio::test]
async fn the_anchor_goes_with_the_history_and_stays_with_it() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let anchors = "select string_agg(a.log_schema || ' ' || (a.no = s.no and a.hash = s.hash)::text, ',')
        from quote_seal_anchor a, (select * from quote_changes_seals order by no desc limit 1) s";
    seal(&admin, 2).await;
    assert_eq!(text(&admin, anchors).await, "public true");
    // Kept history keeps its anchor.
    run(&admin, "select detach_quote_collaboration(); select attach_quote_collaboration()").await;
    assert_eq!((text(&admin, anchors).await, findings(&admin).await), ("public true".into(), String::new()));
    seal(&admin, 1).await;
    assert_eq!((text(&admin, anchors).await, findings(&admin).await), ("public true".into(), String::new()));
    // Dropped history has none, and another history gets another.
    run(&admin, "select detach_quote_collaboration(drop_history => true)").await;
    assert_eq!(erp.count("select count(*) from quote_seal_anchor").await, 0);
    run(&admin, "select attach_quote_collaboration()").await;
    assert_eq!(findings(&admin).await, "");
    seal(&admin, 2).await;
    assert_eq!((text(&admin, anchors).await, findings(&admin).await), ("public true".into(), String::new()));
    // Without the extension nobody vouches for the history; attaching again begins to.
    run(&admin, "select detach_quote_collaboration(); drop extension quote_collab_ext; create extension quote_collab_ext; select attach_quote_collaboration()").await;
    assert_eq!(
        (erp.count("select count(*) from quote_seal_anchor").await, findings(&admin).await),
        (1, String::new())
    );
    run(&admin, "select seal_quote_history()").await;
    assert_eq!((text(&admin, anchors).await, findings(&admin).await), ("public true".into(), String::new()));
}

#[tokio::test]
async fn a_chain_that_is_not_signed_any_more_is_told() {
    let settings = Settings::preloaded(&[("quote_collab.seal_key", KEY)]);
    let erp = Erp::attached_on(Arc::new(Postgres::start_with(settings).await)).await;
    let admin = erp.client("postgres").await;
    seal(&admin, 2).await;
    // All of them, or the newest.
    for blocks in ["true", &format!("no = {NEWEST}"), "no = 2"] {
        run(
            &admin,
            &format!(
                "begin; update quote_changes_seals set signature = null, signed_by = null where {blocks}"
            ),
        )
        .await;
        assert_eq!(findings(&admin).await, "signature", "{blocks}");
        run(&admin, "rollback").await;
    }
    run(&admin, "alter system set quote_collab.seal_key = ''").await;
    run(&admin, "select pg_reload_conf()").await;
    eventually("the key is gone", || async {
        text(&admin, "select quote_seal_key()::text").await.is_empty()
    })
    .await;
    assert_eq!(findings(&admin).await, "");
    seal(&admin, 2).await;
    let told =
        "select string_agg(finding || ' ' || block || ': ' || detail, '; ') from verify_quote_history()";
    let first =
        text(&admin, "select min(no)::text from quote_changes_seals where no > 0 and signature is null")
            .await;
    assert_eq!(
        text(&admin, told).await,
        format!("signature {first}: from this block on the chain is not signed any more")
    );
}

/// What the owner can make of tables and views, so that what is read is not what is looked at.
const REDEFINED: [&str; 15] = [
    "alter table quote_changes rename old_value to kept; alter table quote_changes rename new_value to old_value; alter table quote_changes rename kept to new_value",
    "create table copy as select * from quote_changes; update quote_changes set new_value = '\"forged\"' where position = 1;
        create or replace rule \"_RETURN\" as on select to v_quote_changes_all do instead select * from copy",
    "alter table quote_changes rename context to remarks",
    "drop view v_quote_change_events, v_recent_quote_changes, v_quote_changes_all; alter table quote_changes alter column new_value type text",
    "alter table quote_changes rename to quote_changes_kept",
    "alter table quote_changes rename to quote_changes_kept; create view quote_changes as select * from quote_changes_kept",
    "alter table quote_changes_seals rename to quote_changes_seals_kept; create view quote_changes_seals as select * from quote_changes_seals_kept",
    "alter table quote_changes_seals rename signature to mark",
    // What would run with the rights of the extension's owner, and move the anchor.
    "create function move() returns trigger language plpgsql as 'begin update quote_seal_anchor set no = 0; return new; end';
        create trigger move before insert on quote_changes_seals for each row execute function move()",
    "create rule nothing as on insert to quote_changes_seals do also select 1",
    "create function moved() returns boolean language sql as 'select true'; alter table quote_changes_seals add check (moved())",
    "create function moved() returns integer language sql immutable as 'select 1'; create index on quote_changes_seals ((moved() + no))",
    "create function moved() returns integer language sql as 'select 1'; alter table quote_changes_seals add moved integer default moved()",
    // What is run when a query over the history is planned, as a superuser.
    "create function moved() returns timestamptz language sql immutable as 'select now()'; alter table quote_changes add check (changed_at > moved()) not valid",
    "create function moved(bigint) returns bigint language sql immutable as 'select 1'; create index on quote_changes (moved(position))",
];

/// It is none that was made by archiving, and nothing of it is read.
#[tokio::test]
async fn a_plain_table_of_the_archives_name_is_no_part_of_the_history() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, PAST).await;
    run(&admin, "alter table quote_changes_past_0 owner to erp_owner; alter table quote_changes_past_1 owner to erp_owner").await;
    seal(&admin, 2).await;
    let copy = "create table quote_changes_archive as select * from quote_changes; update quote_changes_archive set new_value = '\"forged\"'";
    run(&admin, &format!("begin; {UNBOUND}{copy}; reset role")).await;
    assert_eq!(findings(&admin).await, "");
    run(&admin, "select seal_quote_history(); rollback; select archive_quote_changes('1 year')").await;
    assert_eq!(findings(&admin).await, "");
    let replaced = "alter table quote_changes_archive rename to kept; create table quote_changes_archive as select * from kept";
    run(&admin, &format!("begin; {UNBOUND}{replaced}; reset role")).await;
    assert_eq!(findings(&admin).await, "rows", "those that were archived are gone");
}

#[tokio::test]
async fn what_the_owner_redefines_is_not_believed() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    seal(&admin, 2).await;
    for (place, redefining) in REDEFINED.iter().enumerate() {
        run(&admin, &format!("begin; {UNBOUND}{redefining}; reset role")).await;
        let found = findings(&admin).await;
        assert_eq!(found, if place < 2 { "content" } else { "structure" }, "{redefining}");
        if place >= 2 {
            // Everything else that must happen happens.
            run(&admin, "savepoint a").await;
            let refused = admin.batch_execute("select seal_quote_history()").await.expect_err(redefining);
            assert_eq!(
                refused.as_db_error().expect("PostgreSQL refuses").code().code(),
                "55000",
                "{redefining}"
            );
            run(&admin, "rollback to a").await;
        }
        run(&admin, "rollback").await;
    }
    // A partition that lies elsewhere.
    run(
        &admin,
        "create foreign data wrapper elsewhere; create server elsewhere foreign data wrapper elsewhere",
    )
    .await;
    run(&admin, "begin; alter table quote_changes drop constraint quote_changes_pkey; create foreign table part partition of quote_changes for values from ('1990-01-01') to ('1991-01-01') server elsewhere").await;
    assert_eq!(findings(&admin).await, "structure");
    run(&admin, "rollback").await;
    assert_eq!(findings(&admin).await, "");
}
