//! Changes that were noted outside of the subtransaction that has written them: were it rolled back, their rows would be gone. They are kept
//! until it commits, and are noted again where it does not.

use std::cell::RefCell;
use std::rc::Rc;

use super::RowChange;
use super::pending::{Note, Noted};
use crate::hooks::transaction;

/// What one subtransaction has written at once, some of it for others.
struct Lent {
    changes: Rc<Vec<RowChange>>,
    notes: Vec<Note>,
    /// Nesting depth of the subtransaction.
    level: i32,
}

thread_local! {
    static LENT: RefCell<Vec<Lent>> = const { RefCell::new(Vec::new()) };
}

/// This subtransaction is about to write changes: they are kept if any of them is another's.
pub fn keep(changes: &Rc<Vec<RowChange>>, notes: Vec<Note>) {
    let level = transaction::depth();
    if notes.iter().any(|note| note.level < level) {
        LENT.with_borrow_mut(|lent| lent.push(Lent { changes: Rc::clone(changes), notes, level }));
    }
}

/// The subtransaction of this depth has committed: its rows are as lasting as its parent's.
pub fn hand_on(level: i32) {
    LENT.with_borrow_mut(|lent| {
        for written in lent.iter_mut().filter(|written| written.level >= level) {
            written.level = level - 1;
        }
        lent.retain(|written| written.notes.iter().any(|note| note.level < written.level));
    });
}

/// The subtransaction of this depth is rolled back: what it has written for others.
pub fn take_back(level: i32) -> Vec<Noted> {
    let gone: Vec<Lent> =
        LENT.with_borrow_mut(|lent| lent.extract_if(.., |written| written.level >= level).collect());
    let noted = gone.into_iter().flat_map(|written| {
        // Whoever was writing them has failed, and holds them no more.
        let changes = Rc::unwrap_or_clone(written.changes);
        changes.into_iter().zip(written.notes).map(|(change, note)| Noted { change, note })
    });
    noted.filter(|entry| entry.note.level < level).collect()
}

/// The transaction is over.
pub fn forget() {
    LENT.take();
}
