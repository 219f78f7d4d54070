//! Statements of every form beside triggers of every kind: whatever they do to each other's rows, the history of each row is a chain that
//! ends where the row is, and each value is the one that was there.

use quote_collab_tests::Erp;
use quote_collab_tests::history::OUT_OF_CHAIN;
use quote_collab_tests::statement::{count, run};

/// The quotes that everything is about.
const THREE: &str = "(select id from quotes order by quote_number limit 3)";

/// When a trigger fires, and what it does.
const TRIGGERS: [(&str, &str); 12] = [
    ("after update on quotes for each row", "update quote_lines set description = 'of the header' where quote_id = new.id"),
    ("after update on quotes for each row", "if pg_trigger_depth() < 2 then update quotes set contact_name = 'again' where id = new.id; end if"),
    (
        "after insert or update or delete on quote_lines for each row",
        "update quotes q set total_amount = (select coalesce(sum(l.quantity), 0) from quote_lines l where l.quote_id = q.id)
         where q.id = coalesce(new.quote_id, old.quote_id)",
    ),
    ("after insert on quote_lines for each row", "delete from quote_lines where id = new.id and line_number > 900"),
    ("after delete on quote_lines for each row", "if pg_trigger_depth() < 2 then insert into quote_lines select old.*; end if"),
    ("before insert on quote_lines for each row", "delete from quote_lines where id = new.id"),
    (
        "after update on quotes for each row",
        "if pg_trigger_depth() < 2 then
             with gone as (delete from quote_lines where id = (select id from quote_lines where quote_id = new.id order by line_number limit 1) returning *)
             insert into quote_lines select (jsonb_populate_record(null::quote_lines, to_jsonb(g) || jsonb_build_object('id', md5(g.id::text)::uuid))).* from gone g;
         end if",
    ),
    (
        "after update on quote_lines for each row",
        "update quotes set updated_at = now() where id = new.quote_id; update quotes set subtotal = subtotal + 1 where id = new.quote_id",
    ),
    ("before update on quotes for each row", "update quote_lines set lead_time_days = coalesce(lead_time_days, 0) + 1 where quote_id = new.id"),
    ("after update on quote_lines for each statement", "update quotes set contact_name = 'the statement' where id in THREE"),
    (
        "after update on quotes for each row",
        "begin update quotes set status = 'kept' where id = new.id and pg_trigger_depth() < 2; exception when others then null; end;
         begin update quote_lines set description = 'lost' where quote_id = new.id; raise division_by_zero; exception when division_by_zero then null; end",
    ),
    ("after insert or delete on quote_lines for each row", "update quote_lines set description = 'a neighbour' where quote_id = coalesce(new.quote_id, old.quote_id)"),
];

const STATEMENTS: [&str; 16] = [
    "update quotes set notes = 'n' where id in THREE",
    "update quote_lines set quantity = quantity + 1 where quote_id in THREE",
    "delete from quote_lines where quote_id in THREE and line_number = 1",
    "delete from quotes where id in THREE",
    "with l as (update quote_lines set quantity = quantity + 1 where quote_id in THREE), i as (insert into quote_lines select (NEW).* from quote_lines l where quote_id in THREE and line_number = 1)
     delete from quotes where id in THREE",
    "with h as (update quotes set notes = 'h' where id in THREE) update quote_lines set quantity = quantity + 1 where quote_id in THREE",
    "with l as (update quote_lines set quantity = quantity + 1 where quote_id in THREE returning quote_id) update quotes set notes = 'l' where id in (select quote_id from l)",
    "with d as (delete from quote_lines where quote_id in THREE and line_number = 1) update quotes set notes = 'd' where id in THREE",
    "with h as (update quotes set notes = 'h' where id in THREE) delete from quote_lines where quote_id in THREE and line_number = 2",
    "with i as (insert into quote_lines select (NEW).* from quote_lines l where quote_id in THREE and line_number = 1) update quotes set notes = 'i' where id in THREE",
    "insert into quote_lines select (NEW).* from quote_lines l where quote_id in THREE and line_number = 1",
    "insert into quote_lines select l.* from quote_lines l where quote_id in THREE and line_number = 1 on conflict (id) do update set description = 'met'",
    "merge into quotes q using (select * from quotes where id in THREE) s on q.id = s.id when matched then update set notes = 'merged'",
    "with h as (update quotes set updated_at = now() where id in THREE) update quote_lines set quantity = quantity + 1 where quote_id in THREE",
    "with d as (delete from quote_lines where quote_id in THREE and line_number = 1), i as (insert into quote_lines select (NEW).* from quote_lines l where quote_id in THREE and line_number = 2)
     update quotes set notes = 'three' where id in THREE",
    "do $x$ begin
         update quotes set notes = 'outer' where id in THREE;
         begin update quote_lines set quantity = 7 where quote_id in THREE; raise division_by_zero; exception when division_by_zero then null; end;
         with h as (update quotes set notes = 'inner' where id in THREE) update quote_lines set quantity = 8 where quote_id in THREE;
     end $x$",
];

/// A line like another.
const NEW: &str = "jsonb_populate_record(null::quote_lines, to_jsonb(l) || jsonb_build_object('id', md5(l.id::text || 'new')::uuid, 'line_number', l.line_number + 950, 'version', 1))";

/// Fields whose last recorded value is not the row's.
const STALE: &str = "
    select count(*) from (
        select distinct on (c.quote_id, c.quote_line_id, c.field_name) c.quote_id, c.quote_line_id, c.field_name, c.new_value, c.position
        from quote_changes c where c.field_name <> '*' order by c.quote_id, c.quote_line_id, c.field_name, c.position desc) last
    join (select id, null::uuid as line, to_jsonb(q) as doc from quotes q union all select quote_id, id, to_jsonb(l) from quote_lines l) r
        on r.id = last.quote_id and r.line is not distinct from last.quote_line_id
    where last.new_value is distinct from nullif(r.doc -> last.field_name, 'null')
        and not exists (select from quote_changes b where b.quote_id = last.quote_id and b.quote_line_id is not distinct from last.quote_line_id
            and b.change_type = 'CREATE' and b.position > last.position)";

#[tokio::test]
async fn the_history_of_each_row_is_a_chain() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let (mut tried, mut refused) = (0, 0);
    for (first, (when, does)) in TRIGGERS.iter().enumerate() {
        // Each alone before ours, behind ours, and beside the next.
        for (second, names) in [(None, "a_"), (None, "zz_"), (Some((first + 1) % TRIGGERS.len()), "a_")] {
            for statement in STATEMENTS {
                run(&admin, "begin").await;
                let also = second.map(|second| TRIGGERS[second]);
                for (name, (when, does)) in
                    [("one", (*when, *does))].into_iter().chain(also.map(|also| ("two", also)))
                {
                    let trigger = format!(
                        "create function erp_{name}() returns trigger language plpgsql as $$ begin if pg_trigger_depth() < 4 then {does}; end if; return case when tg_when = 'BEFORE' then new end; end $$;
                         create trigger {names}{name} {when} execute function erp_{name}()"
                    );
                    run(&admin, &trigger.replace("THREE", THREE)).await;
                }
                let what = format!("{names}one: {when}: {does}; {also:?}; {statement}");
                let statement = statement.replace("NEW", NEW).replace("THREE", THREE);
                tried += 1;
                if let Err(error) = admin.batch_execute(&statement).await {
                    // A row that a trigger of the same command has changed, a number of a line that is taken, a line of no quote.
                    let code = error.code().map_or("", |code| code.code());
                    assert!(["27000", "23503", "23505"].contains(&code), "{what}: {error:?}");
                    refused += 1;
                } else {
                    for (name, check) in [("chain", OUT_OF_CHAIN), ("values", STALE)] {
                        assert_eq!(count(&admin, check).await, 0, "{name}: {what}");
                    }
                }
                run(&admin, "rollback").await;
            }
        }
    }
    assert!(refused * 3 < tried, "{refused} of {tried} are refused by PostgreSQL");
}
