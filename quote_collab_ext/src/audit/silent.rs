//! Row versions that count as no change: nothing is noted of them, and what is changed behind them stands on what was before.

use std::cell::RefCell;
use std::collections::HashMap;

use pgrx::pg_sys::CommandId;

use super::Row;

/// So many are remembered. Behind others the order of a row's changes may be a guess.
const MOST: usize = 400_000;

thread_local! {
    /// What a row version stands on, by its row and the command that made it.
    static SILENT: RefCell<HashMap<(Row, CommandId), Option<CommandId>>> = RefCell::default();
}

/// A command has made a row version that counts as no change of the one that it stands on.
pub fn remember(row: Row, command: CommandId, stands_on: Option<CommandId>) {
    SILENT.with_borrow_mut(|silent| {
        if silent.len() >= MOST {
            silent.clear();
        }
        silent.insert((row, command), stands_on);
    });
}

/// The command whose change of a row one stands on that stands on this command's version of it. Those on the way are looked at once.
pub fn below(row: Row, command: Option<CommandId>) -> Option<CommandId> {
    SILENT.with_borrow_mut(|silent| {
        let mut passed = Vec::new();
        let mut at = command;
        while let Some((made, stands_on)) = at.and_then(|made| Some((made, *silent.get(&(row, made))?))) {
            passed.push(made);
            at = stands_on;
        }
        for made in passed {
            silent.insert((row, made), at);
        }
        at
    })
}

/// Nothing that comes later stands on them.
pub fn forget() {
    SILENT.with_borrow_mut(|silent| {
        if !silent.is_empty() {
            *silent = HashMap::new();
        }
    });
}
