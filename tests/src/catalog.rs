//! What a database consists of, as PostgreSQL's catalogs tell it: by name, without OIDs and order of columns.

use std::collections::BTreeSet;

use tokio_postgres::Client;

/// Schemas that are not PostgreSQL's own.
const OURS: &str = "n.nspname !~ '^pg_' and n.nspname <> 'information_schema'";

/// Kind of object, and a query with one line of text for each.
const KINDS: [(&str, &str); 12] = [
    (
        "function",
        "select concat_ws(E'\\n', pg_get_functiondef(p.oid), pg_get_userbyid(p.proowner), obj_description(p.oid, 'pg_proc'),
            (select string_agg(a::text, ' ' order by a::text) from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a))
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace where $OURS and p.prokind <> 'a'",
    ),
    (
        "relation",
        "select concat_ws(' ', c.oid::regclass, c.relkind, c.relpersistence, pg_get_userbyid(c.relowner), c.relrowsecurity, c.relforcerowsecurity,
            c.reloptions, pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid), obj_description(c.oid, 'pg_class'),
            (select string_agg(a::text, ' ' order by a::text) from aclexplode(c.relacl) a))
        from pg_class c join pg_namespace n on n.oid = c.relnamespace where $OURS and c.relkind not in ('i', 'I')",
    ),
    (
        "column",
        "select concat_ws(' ', c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated, a.attidentity,
            pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum), a.attacl)
        from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
        left join pg_attrdef d on (d.adrelid, d.adnum) = (c.oid, a.attnum)
        where $OURS and c.relkind in ('r', 'p', 'v', 'c') and a.attnum > 0 and not a.attisdropped",
    ),
    (
        "type",
        "select concat_ws(' ', t.oid::regtype, t.typtype, obj_description(t.oid, 'pg_type'), t.typacl)
        from pg_type t join pg_namespace n on n.oid = t.typnamespace where $OURS",
    ),
    ("view", "select concat_ws(' ', v.schemaname, v.viewname, v.definition) from pg_views v join pg_namespace n on n.nspname = v.schemaname where $OURS"),
    (
        "constraint",
        "select concat_ws(' ', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid), c.convalidated, obj_description(c.oid, 'pg_constraint'))
        from pg_constraint c join pg_namespace n on n.oid = c.connamespace where $OURS",
    ),
    ("index", "select concat_ws(' ', i.indexdef, obj_description(format('%I.%I', i.schemaname, i.indexname)::regclass, 'pg_class')) from pg_indexes i join pg_namespace n on n.nspname = i.schemaname where $OURS"),
    (
        "trigger",
        "select concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled, obj_description(t.oid, 'pg_trigger')) from pg_trigger t where not t.tgisinternal",
    ),
    (
        "policy",
        "select concat_ws(' ', p.polrelid::regclass, p.polname, p.polcmd, p.polpermissive, p.polroles::regrole[], pg_get_expr(p.polqual, p.polrelid),
            pg_get_expr(p.polwithcheck, p.polrelid), obj_description(p.oid, 'pg_policy')) from pg_policy p",
    ),
    (
        "member",
        "select concat_ws(' ', e.extname, pg_describe_object(d.classid, d.objid, d.objsubid))
        from pg_depend d join pg_extension e on e.oid = d.refobjid where d.refclassid = 'pg_extension'::regclass and d.deptype = 'e'",
    ),
    // What a dump leaves out of the rights on members, since they come with the release.
    (
        "initial right",
        "select concat_ws(' ', e.extname, m.name, (select string_agg(a::text, ' ' order by a::text) from aclexplode(coalesce(i.initprivs, acldefault(m.kind, m.owner))) a))
        from pg_depend d join pg_extension e on e.oid = d.refobjid
        join lateral (
            select p.oid::regprocedure::text, 'f'::\"char\", p.proowner from pg_proc p where d.classid = 'pg_proc'::regclass and p.oid = d.objid union all
            select c.oid::regclass::text, 'r', c.relowner from pg_class c where d.classid = 'pg_class'::regclass and c.oid = d.objid) m (name, kind, owner) on true
        left join pg_init_privs i on (i.classoid, i.objoid, i.objsubid) = (d.classid, d.objid, 0)
        where d.refclassid = 'pg_extension'::regclass and d.deptype = 'e'",
    ),
    (
        "extension",
        "select concat_ws(' ', e.extname, e.extversion, e.extnamespace::regnamespace, e.extconfig::regclass[], e.extcondition) from pg_extension e",
    ),
];

/// One line for each object of a database.
pub async fn read(client: &Client) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for (kind, query) in KINDS {
        let query = query.replace("$OURS", OURS);
        let rows =
            client.query(&query, &[]).await.unwrap_or_else(|error| panic!("the catalogs, {kind}: {error:?}"));
        lines.extend(rows.iter().map(|row| format!("{kind} {}", row.get::<_, String>(0))));
    }
    lines
}

/// What only one of two databases has; empty when they are alike.
#[must_use]
pub fn difference(expected: &BTreeSet<String>, found: &BTreeSet<String>) -> String {
    let missing = expected.difference(found).map(|line| format!("missing: {line}\n"));
    let surplus = found.difference(expected).map(|line| format!("surplus: {line}\n"));
    missing.chain(surplus).collect()
}
