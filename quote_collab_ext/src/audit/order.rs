//! The order of noted row changes: what nested statements changed is noted before what the statement around them did to the same rows.

use std::collections::HashMap;

use pgrx::pg_sys;
use quote_collab_core::chain;
use uuid::Uuid;

use super::pending::Noted;
use super::{Kind, Row, RowChange, silent};
use crate::hooks::statement;

/// Which notes have all before them noted or written, while `statement` runs. `told` says whether a command's change of a row was written in
/// the middle of the running statement, `is_held` whether something of a row waits that was noted before all of these.
pub fn complete(
    ready: &[Noted],
    statement: Option<pg_sys::CommandId>,
    told: impl Fn(Row, u32) -> bool,
    is_held: impl Fn(Row) -> bool,
) -> Vec<bool> {
    let mut is_complete = vec![true; ready.len()];
    for places in places_by_row(ready) {
        let entity = ready[places[0]].change.entity;
        let told = |id: Uuid, command| told((entity, id), command);
        let waits = places.iter().any(|place| is_held(ready[*place].change.row()));
        if waits || !chain::complete(&steps(ready, &places), statement, told) {
            for place in places {
                is_complete[place] = false;
            }
        }
    }
    is_complete
}

/// Whether nested statements did any of it.
pub fn any_nested(ready: &[Noted]) -> bool {
    ready.iter().any(|entry| entry.note.is_nested)
}

/// Whether a change begins a row where one may have ended that is noted later: by a nested statement, unless all around it only insert; or by
/// one that gives rows the ids of others.
pub fn may_follow(change: &RowChange, is_nested: bool) -> bool {
    let is_taken = || change.is_checked_late && change.former_id.is_some_and(|id| id != change.row().1);
    change.kind == Kind::Create && if is_nested { !statement::is_within_inserts() } else { is_taken() }
}

/// Whether rows may be noted in another order than they were changed in: by nested statements, or where ids are swapped.
pub fn is_unordered(ready: &[Noted]) -> bool {
    let any = |kind| ready.iter().any(|entry| entry.change.kind == kind);
    any_nested(ready) || any(Kind::Create) && any(Kind::Delete)
}

/// Gives the changes of each row their places in the log in the order in which they happened.
pub fn put_in_order(ready: &mut [Noted], told: impl Fn(Row, u32) -> bool) {
    for places in places_by_row(ready).iter().filter(|places| places.len() > 1) {
        let entity = ready[places[0]].change.entity;
        let order = chain::order(&steps(ready, places), |id: Uuid, command| told((entity, id), command));
        // Those that were taken back have been put in order before.
        let mut mints: Vec<_> = places.iter().map(|place| ready[*place].change.mint).collect();
        mints.sort_by_key(|mint| mint.position);
        for (mint, step) in mints.into_iter().zip(order) {
            ready[places[step]].change.mint = mint;
        }
    }
    ready.sort_by_key(|entry| entry.change.mint.position);
}

/// The places of the changes of each row, in their order. Rows that one became after the other, under other ids, are one.
fn places_by_row(ready: &[Noted]) -> Vec<Vec<usize>> {
    let mut numbers: HashMap<Row, usize> = HashMap::new();
    let mut joined = Joined::default();
    let mut number = |row: Row, joined: &mut Joined| *numbers.entry(row).or_insert_with(|| joined.add());
    let mut rows = Vec::with_capacity(ready.len());
    for entry in ready {
        let row = entry.change.row();
        let this = number(row, &mut joined);
        if let Some(id) = entry.change.former_id {
            let former = number((row.0, id), &mut joined);
            joined.join(this, former);
        }
        rows.push(this);
    }
    let mut places: HashMap<usize, Vec<usize>> = HashMap::new();
    for (place, row) in rows.into_iter().enumerate() {
        places.entry(joined.lead(row)).or_default().push(place);
    }
    places.into_values().collect()
}

/// Disjoint sets of numbers, by path halving (Tarjan and van Leeuwen, 1984).
#[derive(Default)]
struct Joined {
    /// The next on the way to the number that leads its set: itself, for that one.
    next: Vec<usize>,
}

impl Joined {
    /// A set of one number more.
    fn add(&mut self) -> usize {
        self.next.push(self.next.len());
        self.next.len() - 1
    }

    /// The number that leads the set of this one.
    fn lead(&mut self, mut number: usize) -> usize {
        while self.next[number] != number {
            self.next[number] = self.next[self.next[number]];
            number = self.next[number];
        }
        number
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.lead(one), self.lead(other));
        self.next[one] = other;
    }
}

/// What happened to one row.
fn steps(ready: &[Noted], places: &[usize]) -> Vec<chain::Step> {
    let step = |Noted { change, note }: &Noted| chain::Step {
        row: change.row().1,
        deed: change.kind.deed(),
        command: change.command,
        stands_on: silent::below(change.row(), change.stands_on),
        version: change.stands_on,
        is_nested: note.is_nested,
        may_follow_end: note.may_follow_end,
    };
    places.iter().map(|place| step(&ready[*place])).collect()
}
