//! Whoever meets an object of ours in `\d+` is told what it is for: everything that the extension holds and everything
//! that attach makes in the ERP's schema has a comment.

use quote_collab_tests::Erp;

/// Tables, indexes, sequences, views, their columns, constraints, triggers, policies, functions and types of this
/// database, each with its comment. Left out is what has no name of its own choosing: the columns, indexes and
/// constraints of a partition, which are its parent's; an index that a constraint stands for; not-null constraints;
/// the columns of a view, which are those of the tables below; row and array types.
const OBJECTS: &str = "
    create temporary view described as
    select c.oid::regclass::text as name, obj_description(c.oid, 'pg_class') as text from pg_class c
    where c.relkind in ('r', 'p', 'v', 'S', 'c') and c.reltype <> all (select t.oid from pg_type t where t.typtype = 'c' and c.relkind = 'c')
    union all
    select c.oid::regclass::text, obj_description(c.oid, 'pg_class') from pg_class c
    where c.relkind in ('i', 'I') and c.relnamespace::regnamespace::text !~ '^pg_' and not c.relispartition and not exists (select from pg_constraint k where k.conindid = c.oid)
    union all
    select format('%s.%s', c.oid::regclass, a.attname), col_description(c.oid, a.attnum)
    from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0 and not a.attisdropped
    union all
    select format('%s on %s', k.conname, k.conrelid::regclass), obj_description(k.oid, 'pg_constraint') from pg_constraint k
    where k.contype <> 'n' and k.conparentid = 0 and k.conrelid <> 0
    union all
    select format('%s on %s', g.tgname, g.tgrelid::regclass), obj_description(g.oid, 'pg_trigger') from pg_trigger g
    where not g.tgisinternal and g.tgparentid = 0
    union all
    select format('%s on %s', p.polname, p.polrelid::regclass), obj_description(p.oid, 'pg_policy') from pg_policy p
    union all
    select p.oid::regprocedure::text, obj_description(p.oid, 'pg_proc') from pg_proc p
    union all
    select format_type(t.oid, null), obj_description(t.oid, 'pg_type') from pg_type t
    where t.typelem = 0 and (t.typrelid = 0 or exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c'));
    create temporary table known as select d.name from described d union all select unnest('{known,known.name}'::text[])";

const UNDESCRIBED: &str = "select d.name from described d where d.text is null and d.name not in (select k.name from known k) order by 1";

#[tokio::test]
async fn everything_of_ours_has_a_comment() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute(OBJECTS).await.expect("what there is before is noted");
    // In turn: what attach made, what the archive adds, what stays when collaboration is taken away.
    for statements in [
        "create extension quote_collab_ext; select attach_quote_collaboration()",
        "select create_quote_changes_archive('quote_changes')",
        "select detach_quote_collaboration()",
    ] {
        admin.batch_execute(statements).await.unwrap_or_else(|error| panic!("{statements}: {error:?}"));
        let rows = admin.query(UNDESCRIBED, &[]).await.expect("the catalogs are read");
        let without: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert!(without.is_empty(), "after {statements} these have no comment:\n{}", without.join("\n"));
    }
    let found = "select count(*) from described d where d.text is not null and d.name not in (select k.name from known k)";
    let found: i64 = admin.query_one(found, &[]).await.expect("the catalogs are read").get(0);
    assert!(found > 150, "only {found} objects were looked at");
}
