//! The order of changes to one row. A statement's own changes are noted when it ends, and what its triggers and functions change in turn is
//! noted before that: then the order of noting is not the order of changing. PostgreSQL numbers the commands of a transaction and keeps
//! with each row version which of them made it, which tells what stood on what.

use std::collections::HashMap;

/// What a change did to a row: it may end and begin again, as another row under the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// There was none before.
    Begin,
    /// There was, and is.
    Change,
    /// There is none any more.
    End,
}

/// One change of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it did.
    pub deed: Deed,
    /// Number of the command that did it. A command changes a row once.
    pub command: u32,
    /// Number of the command that made the row version that it changed; none where another transaction made it.
    pub stands_on: Option<u32>,
    /// By a statement that a trigger ran, or a function in the middle of another statement, whose own changes may be noted later.
    pub is_nested: bool,
}

/// One life of a row.
struct Life {
    /// The command that began it; none for a row that was there.
    begun: Option<u32>,
    ended: bool,
    places: Vec<usize>,
}

/// The places of steps in the order in which they happened. Within a life commands follow each other: what is nested has a higher
/// number than the statement that it is nested in, and PostgreSQL refuses to change a row that such a one has changed before. The life of a row that
/// was there is the first, and one that has no end the last.
///
/// # Examples
/// ```
/// use quote_collab_core::chain::{Deed::{Begin, End}, Step, order};
/// // An insert, and a trigger that deletes what was inserted; the trigger's change is noted first.
/// let inserted = Step { deed: Begin, command: 0, stands_on: None, is_nested: false };
/// let deleted = Step { deed: End, command: 1, stands_on: Some(0), is_nested: true };
/// assert_eq!(order(&[deleted, inserted]), [1, 0]);
/// // An insert, and a trigger that makes room for it before.
/// let made_room = Step { stands_on: None, ..deleted };
/// assert_eq!(order(&[made_room, inserted]), [0, 1]);
/// ```
#[must_use]
pub fn order(steps: &[Step]) -> Vec<usize> {
    let mut lives = lives(steps);
    lives.sort_by_key(|life| (life.begun.is_some(), !life.ended, life.begun));
    lives.into_iter().flat_map(|life| life.places).collect()
}

/// The lives that steps belong to, each in its order.
fn lives(steps: &[Step]) -> Vec<Life> {
    let mut lives = vec![Life { begun: None, ended: false, places: Vec::new() }];
    let makers = makers(steps);
    let mut by_command: Vec<usize> = (0..steps.len()).collect();
    by_command.sort_by_key(|place| (steps[*place].deed != Deed::Begin, steps[*place].command));
    let mut life_of = vec![0; steps.len()];
    for place in by_command {
        let step = &steps[place];
        let life = match step.deed {
            Deed::Begin => {
                lives.push(Life { begun: Some(step.command), ended: false, places: Vec::new() });
                lives.len() - 1
            }
            _ => below(&makers, step).map_or_else(|| around(&lives, step), |below| life_of[below]),
        };
        life_of[place] = life;
        lives[life].ended |= step.deed == Deed::End;
        lives[life].places.push(place);
    }
    lives
}

/// The place of the step that made each row version, by its command.
fn makers(steps: &[Step]) -> HashMap<u32, usize> {
    let made = |(_, step): &(usize, &Step)| step.deed != Deed::End;
    // Backwards: of two that one command made the first counts.
    steps.iter().enumerate().rev().filter(made).map(|(place, step)| (step.command, place)).collect()
}

/// The step that made the row version that this one changed, if it is among them.
fn below(makers: &HashMap<u32, usize>, step: &Step) -> Option<usize> {
    makers.get(&step.stands_on?).copied()
}

/// The life that a step belongs to where what it stands on is not among the steps, since it counts as no change: the newest that had begun.
fn around(lives: &[Life], step: &Step) -> usize {
    let begun =
        |life: &Life| life.begun.filter(|begun| step.stands_on.is_some_and(|command| *begun <= command));
    let newest = lives.iter().enumerate().filter_map(|(place, life)| Some((begun(life)?, place))).max();
    newest.map_or(0, |(_, place)| place)
}

/// Whether everything that happened to a row before any of these steps is among them, or was told before, in the middle of a statement:
/// `statement` is the number of the one that is not nested, as far as it is known, and `told` that of the command whose change of this row
/// was told last while it ran. What is nested may stand on a change of that statement, or of another nested one, which is noted later; what
/// begins a row, on an end of it.
#[must_use]
pub fn complete(steps: &[Step], statement: Option<u32>, told: Option<u32>) -> bool {
    let makers = makers(steps);
    let own = steps.iter().any(|step| !step.is_nested);
    let is_noted = |command: u32| {
        statement.is_some_and(|statement| command < statement)
            || told == Some(command)
            || makers.contains_key(&command)
    };
    steps.iter().all(|step| match step.stands_on {
        _ if !step.is_nested => true,
        None => own || step.deed != Deed::Begin,
        Some(command) => is_noted(command),
    })
}

#[cfg(test)]
mod tests {
    use super::{Deed, Step, complete, order};

    /// Of the statement itself, which is command 10.
    fn own(deed: Deed) -> Step {
        Step { deed, command: 10, stands_on: None, is_nested: false }
    }

    /// Of a nested statement: a command after that one, on the row version that a command made.
    fn nested(deed: Deed, command: u32, stands_on: impl Into<Option<u32>>) -> Step {
        Step { deed, command, stands_on: stands_on.into(), is_nested: true }
    }

    #[test]
    fn what_triggers_changed_first_comes_later() {
        use Deed::{Begin, Change, End};
        for (steps, expected) in [
            (vec![nested(Change, 11, 10), own(Begin)], vec![1, 0]),
            (vec![nested(Change, 12, 11), nested(Change, 11, 10), own(Change)], vec![2, 1, 0]),
            (vec![nested(End, 11, 10), own(Change)], vec![1, 0]),
            (vec![own(Change), nested(Change, 11, 10)], vec![0, 1]),
            // Something between was no change.
            (vec![nested(Change, 14, 12), own(Change)], vec![1, 0]),
        ] {
            assert_eq!(order(&steps), expected, "{steps:?}");
        }
    }

    #[test]
    fn a_row_may_live_again() {
        use Deed::{Begin, Change, End};
        for (steps, expected) in [
            // Deleted by what its insertion fired, with a change between.
            (vec![nested(Change, 11, 10), nested(End, 12, 11), own(Begin)], vec![2, 0, 1]),
            // Inserted again by what its deletion fired, once, and twice.
            (vec![nested(Begin, 11, None), own(End)], vec![1, 0]),
            (vec![nested(Begin, 11, None), nested(End, 12, 11), own(End)], vec![2, 0, 1]),
            (
                vec![nested(Begin, 11, None), nested(End, 12, 11), nested(Begin, 13, None), own(End)],
                vec![3, 0, 1, 2],
            ),
            // Deleted, or changed and deleted, to make room before the insertion.
            (vec![nested(End, 11, None), own(Begin)], vec![0, 1]),
            (vec![nested(End, 11, 7), own(Begin)], vec![0, 1]),
            (vec![nested(Change, 11, 7), nested(End, 12, 11), own(Begin)], vec![0, 1, 2]),
            (vec![nested(Begin, 11, None), nested(End, 12, 11), own(Begin)], vec![0, 1, 2]),
            // Moved to where the same row was, by one command.
            (vec![own(End), own(Begin)], vec![0, 1]),
            (vec![own(Begin), own(End)], vec![1, 0]),
            // Inserted twice by one command, and deleted in between by a function that it calls.
            (vec![nested(End, 11, 10), own(Begin), own(Begin)], vec![1, 0, 2]),
        ] {
            assert_eq!(order(&steps), expected, "{steps:?}");
        }
    }

    #[test]
    fn a_row_is_complete_when_nothing_before_is_missing() {
        use Deed::{Begin, Change, End};
        for (steps, expected) in [
            (vec![own(Change)], true),
            (vec![nested(Change, 11, 10)], false),
            (vec![nested(Change, 11, 10), own(Change)], true),
            // On what was there before the statement: of another transaction, or of this one.
            (vec![nested(Change, 11, None)], true),
            (vec![nested(End, 11, None)], true),
            (vec![nested(Change, 11, 9)], true),
            (vec![nested(Change, 12, 11), nested(Change, 11, 9)], true),
            // Its end may be noted later.
            (vec![nested(Begin, 11, None)], false),
            (vec![nested(Change, 12, 11), nested(Begin, 11, None)], false),
            // The trigger's trigger is noted, the trigger is not.
            (vec![own(Change), nested(Change, 13, 12)], false),
            (vec![nested(Change, 13, 12), own(Change), nested(Change, 12, 10)], true),
            (vec![own(End), nested(Begin, 11, None)], true),
        ] {
            assert_eq!(complete(&steps, Some(10), None), expected, "{steps:?}");
        }
        assert!(!complete(&[nested(Change, 11, 9)], None, None), "it may be of the statement");
        let again = [nested(Change, 13, 12), nested(Change, 12, 11)];
        assert!(complete(&again, Some(10), Some(11)), "it stands on what was told");
        assert!(!complete(&again, Some(10), Some(9)));
    }

    #[test]
    fn a_row_that_triggers_change_again_and_again_is_put_in_order_in_time() {
        let number = 200_000;
        let changes = (11..number).map(|command| nested(Deed::Change, command, command - 1));
        let steps: Vec<Step> = changes.chain([own(Deed::Change)]).collect();
        assert!(complete(&steps, Some(10), None));
        assert_eq!(order(&steps).first(), Some(&(steps.len() - 1)));
    }
}
