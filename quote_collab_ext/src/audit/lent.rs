//! Changes that were noted outside of the subtransaction that has written them: were it rolled back, their rows would be gone. They are kept
//! until it commits, and are noted again where it does not.

use std::cell::RefCell;
use std::rc::Rc;

use super::pending::Noted;
use crate::hooks::transaction;

/// What one subtransaction has written at once, some of it for others.
struct Lent {
    noted: Rc<Vec<Noted>>,
    /// Nesting depth of the subtransaction.
    level: i32,
}

thread_local! {
    static LENT: RefCell<Vec<Lent>> = const { RefCell::new(Vec::new()) };
}

/// This subtransaction is about to write changes: they are kept if any of them is another's.
pub fn keep(noted: &Rc<Vec<Noted>>) {
    let level = transaction::depth();
    if is_of_others(noted, level) {
        LENT.with_borrow_mut(|lent| lent.push(Lent { noted: Rc::clone(noted), level }));
    }
}

fn is_of_others(noted: &[Noted], level: i32) -> bool {
    noted.iter().any(|entry| entry.note.level < level)
}

/// The subtransaction of this depth has committed: its rows are as lasting as its parent's.
pub fn hand_on(level: i32) {
    LENT.with_borrow_mut(|lent| {
        for written in lent.iter_mut().filter(|written| written.level >= level) {
            written.level = level - 1;
        }
        lent.retain(|written| is_of_others(&written.noted, written.level));
    });
}

/// The subtransaction of this depth is rolled back: what it has written for others.
pub fn take_back(level: i32) -> Vec<Noted> {
    let gone: Vec<Lent> =
        LENT.with_borrow_mut(|lent| lent.extract_if(.., |written| written.level >= level).collect());
    // Whoever was writing them has failed, and holds them no more.
    let noted = gone.into_iter().flat_map(|written| Rc::unwrap_or_clone(written.noted));
    noted.filter(|entry| entry.note.level < level).collect()
}

/// The transaction is over.
pub fn forget() {
    LENT.take();
}
