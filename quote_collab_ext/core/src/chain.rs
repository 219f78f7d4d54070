//! The order of changes to one row. A statement's changes are noted when it ends, and what its triggers change in turn is noted
//! before that: then the order of noting is not the order of changing, which the versions tell.

/// Versions before and after one change: none before a creation, none after a deletion.
pub type Step = (Option<i32>, Option<i32>);

/// The places of steps in the order in which they happened; `None` when they are in it, or no order makes a chain of them.
#[must_use]
pub fn order(steps: &[Step]) -> Option<Vec<usize>> {
    if is_chain(steps.iter()) {
        return None;
    }
    let mut places: Vec<usize> = (0..steps.len()).collect();
    places.sort_by_key(|place| {
        let (before, after) = steps[*place];
        (after.or(before), after.is_none())
    });
    is_chain(places.iter().map(|place| &steps[*place])).then_some(places)
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

#[cfg(test)]
mod tests {
    use super::{Step, order};

    const CREATE: Step = (None, Some(1));

    fn update(before: i32) -> Step {
        (Some(before), Some(before + 1))
    }

    fn delete(before: i32) -> Step {
        (Some(before), None)
    }

    #[test]
    fn what_triggers_changed_first_comes_later() {
        assert_eq!(order(&[update(1), CREATE]), Some(vec![1, 0]));
        assert_eq!(order(&[update(3), update(2), update(1)]), Some(vec![2, 1, 0]));
        assert_eq!(order(&[update(5), update(4), update(6)]), Some(vec![1, 0, 2]));
        assert_eq!(order(&[delete(2), update(1)]), Some(vec![1, 0]));
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
            assert_eq!(order(steps), None, "{steps:?}");
        }
    }

    #[test]
    fn what_makes_no_chain_is_left_alone() {
        for steps in [&[update(1), update(1)] as &[Step], &[update(1), update(3)], &[(None, None), update(2)]]
        {
            assert_eq!(order(steps), None, "{steps:?}");
        }
    }
}
