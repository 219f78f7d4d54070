//! The order of changes to one row. A statement's changes are noted when it ends, and what its triggers change in turn is noted
//! before that: then the order of noting is not the order of changing, which the versions tell.

use std::collections::BTreeMap;

/// Versions before and after one change: none before a creation, none after a deletion.
pub type Step = (Option<i32>, Option<i32>);

/// The places of steps in the order in which they happened; `None` when they are in it, or cannot be brought into one. `depths`: how deep
/// in triggers each was done.
///
/// # Panics
/// When there are fewer depths than steps.
#[must_use]
pub fn order(steps: &[Step], depths: &[usize]) -> Option<Vec<usize>> {
    let first = first(steps, depths);
    if is_chain(steps.iter()) && first.is_none_or(|first| steps[first].0 == steps[0].0) {
        return None;
    }
    let found = first.and_then(|first| trail(steps, first)).or_else(|| ascending(steps))?;
    (!found.is_sorted()).then_some(found)
}

/// Whether each step begins where the one before it ended.
fn is_chain<'a>(steps: impl Iterator<Item = &'a Step>) -> bool {
    let mut ended: Option<Option<i32>> = None;
    for (before, after) in steps {
        if ended.is_some_and(|version| version != *before) {
            return false;
        }
        ended = Some(*after);
    }
    true
}

/// The chain that takes every step once, if there is one: an Eulerian trail over versions, after Hierholzer (1873). Of steps that begin
/// alike the one that was noted first is taken first.
fn trail(steps: &[Step], first: usize) -> Option<Vec<usize>> {
    let mut leaving: BTreeMap<Option<i32>, Vec<usize>> = BTreeMap::new();
    for (place, (before, _)) in steps.iter().enumerate().rev() {
        leaving.entry(*before).or_default().push(place);
    }
    let mut walk = vec![(steps[first].0, None)];
    let mut backwards = Vec::with_capacity(steps.len());
    while let Some((version, arrived)) = walk.last().copied() {
        if let Some(place) = leaving.get_mut(&version).and_then(Vec::pop) {
            walk.push((steps[place].1, Some(place)));
        } else {
            walk.pop();
            backwards.extend(arrived);
        }
    }
    backwards.reverse();
    let takes_all = backwards.len() == steps.len() && is_chain(backwards.iter().map(|place| &steps[*place]));
    takes_all.then_some(backwards)
}

/// A step with which the chain may begin: at the version that one step more leaves than reaches, or, where steps lead back to where
/// they began, the first of those that fired the others.
fn first(steps: &[Step], depths: &[usize]) -> Option<usize> {
    let mut surplus: BTreeMap<Option<i32>, i64> = BTreeMap::new();
    for (before, after) in steps {
        *surplus.entry(*before).or_default() += 1;
        *surplus.entry(*after).or_default() -= 1;
    }
    let mut starts = surplus.into_iter().filter(|(_, more)| *more > 0);
    match (starts.next(), starts.next()) {
        (None, _) => (0..steps.len()).min_by_key(|place| depths[*place]),
        (Some((version, 1)), None) => steps.iter().position(|(before, _)| *before == version),
        _ => None,
    }
}

/// Updates by ascending versions, between which some are not known: a statement may count a version up and change nothing.
fn ascending(steps: &[Step]) -> Option<Vec<usize>> {
    let updates = by_version(steps)?;
    let follows = updates.windows(2).all(|pair| pair[0].after <= pair[1].before);
    follows.then(|| updates.into_iter().map(|update| update.place).collect())
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Update {
    before: i32,
    after: i32,
    place: usize,
}

/// Updates by ascending versions; `None` when there are other steps.
fn by_version(steps: &[Step]) -> Option<Vec<Update>> {
    let update = |(place, (before, after)): (usize, &Step)| {
        Some(Update { before: (*before)?, after: (*after)?, place })
    };
    let mut updates: Vec<Update> = steps.iter().enumerate().map(update).collect::<Option<_>>()?;
    updates.sort();
    Some(updates)
}

/// How deep in triggers a statement is whose rows fire them.
pub const OWN: usize = 1;

/// Which steps of a row have all before them noted, in the middle of a statement. What a trigger did, deeper than [`OWN`], stands above what
/// the statement that fired it did, which is noted later: it is complete as far as no version is missing above the statement's own.
#[must_use]
pub fn complete(steps: &[Step], depths: &[usize]) -> Vec<bool> {
    let mut complete: Vec<bool> = depths.iter().map(|depth| *depth <= OWN).collect();
    let own = steps.iter().zip(&complete).filter(|(_, own)| **own).map(|((before, _), _)| *before).min();
    let Some(own) = own else { return complete };
    if is_chain(steps.iter()) || first(steps, depths).is_some_and(|first| trail(steps, first).is_some()) {
        complete.fill(true);
        return complete;
    }
    let mut ended = None;
    for Update { before, after, place } in by_version(steps).unwrap_or_default() {
        if Some(before) > own && ended != Some(before) {
            break;
        }
        complete[place] = true;
        ended = Some(after);
    }
    complete
}

#[cfg(test)]
mod tests {
    use super::{Step, complete, order};

    const CREATE: Step = (None, Some(1));

    /// As steps of one statement and its triggers, the statement's own last.
    fn order_of(steps: &[Step]) -> Option<Vec<usize>> {
        order(steps, &vec![1; steps.len()])
    }

    fn update(before: i32) -> Step {
        (Some(before), Some(before + 1))
    }

    fn delete(before: i32) -> Step {
        (Some(before), None)
    }

    #[test]
    fn what_triggers_changed_first_comes_later() {
        assert_eq!(order_of(&[update(1), CREATE]), Some(vec![1, 0]));
        assert_eq!(order_of(&[update(3), update(2), update(1)]), Some(vec![2, 1, 0]));
        assert_eq!(order_of(&[update(5), update(4), update(6)]), Some(vec![1, 0, 2]));
        assert_eq!(order_of(&[delete(2), update(1)]), Some(vec![1, 0]));
    }

    #[test]
    fn a_row_may_live_twice() {
        assert_eq!(order_of(&[delete(2), (None, Some(2)), update(1)]), Some(vec![2, 0, 1]));
        assert_eq!(order_of(&[update(1), delete(2), CREATE, update(5)]), None);
        assert_eq!(
            order_of(&[update(1), CREATE, delete(2), update(1), delete(2)]),
            Some(vec![0, 2, 1, 3, 4])
        );
    }

    #[test]
    fn versions_between_may_be_unknown() {
        assert_eq!(order_of(&[update(5), update(1)]), Some(vec![1, 0]));
        assert_eq!(order_of(&[update(1), update(5)]), None);
    }

    #[test]
    fn what_is_in_order_stays() {
        for steps in [
            &[] as &[Step],
            &[CREATE],
            &[CREATE, update(1), update(2), delete(3)],
            &[delete(7), CREATE, update(1)],
            &[update(7), update(8)],
        ] {
            assert_eq!(order_of(steps), None, "{steps:?}");
        }
    }

    #[test]
    fn what_makes_no_chain_is_left_alone() {
        for steps in [&[update(1), update(1)] as &[Step], &[update(1), update(3)], &[(None, None), update(2)]]
        {
            assert_eq!(order_of(steps), None, "{steps:?}");
        }
    }

    #[test]
    fn a_circle_begins_with_what_fired_the_rest() {
        for (steps, depths, expected) in [
            (&[delete(1), CREATE] as &[Step], [2, 1].as_slice(), Some(vec![1, 0])),
            (&[update(1), delete(2), CREATE], [2, 2, 1].as_slice(), Some(vec![2, 0, 1])),
            (&[CREATE, delete(1)], [2, 1].as_slice(), Some(vec![1, 0])),
            (&[delete(1), CREATE], [3, 2].as_slice(), Some(vec![1, 0])),
            (&[CREATE, delete(1)], [1, 2].as_slice(), None),
            (&[delete(1), CREATE], [1, 2].as_slice(), None),
            (&[delete(1), CREATE], [1, 1].as_slice(), None),
        ] {
            assert_eq!(order(steps, depths), expected, "{steps:?} at {depths:?}");
        }
    }

    #[test]
    fn what_a_trigger_did_waits_for_what_fired_it() {
        let cases: [(&[Step], &[bool], &[bool]); 7] = [
            (&[update(2)], &[true], &[false]),
            (&[update(2), update(1)], &[true, false], &[true, true]),
            (&[update(1), update(2)], &[false, true], &[true, true]),
            // The trigger's trigger is noted, the trigger is not.
            (&[update(1), update(3)], &[false, true], &[true, false]),
            (&[update(4), update(1), update(2)], &[true, false, true], &[false, true, true]),
            // Left over from before the statement.
            (&[update(1), update(5)], &[true, false], &[true, true]),
            (&[delete(2), update(1)], &[true, false], &[true, true]),
        ];
        for (steps, by_trigger, expected) in cases {
            let depths: Vec<usize> =
                by_trigger.iter().map(|by_trigger| 1 + usize::from(*by_trigger)).collect();
            assert_eq!(complete(steps, &depths), expected, "{steps:?}");
        }
        assert_eq!(complete(&[delete(3), update(1)], &[2, 1]), [false, true]);
    }
}
