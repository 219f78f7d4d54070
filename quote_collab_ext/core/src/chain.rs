//! The order of changes to one row. A statement's own changes are noted when it ends, and what its triggers and functions change in turn is
//! noted before that: then the order of noting is not the order of changing. PostgreSQL numbers the commands of a transaction and keeps
//! with each row version which of them made it, which tells what stood on what.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

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
    /// Which row. A row that is given another key ends, and begins as another.
    pub row: Uuid,
    /// What it did.
    pub deed: Deed,
    /// Number of the command that did it. A command changes a row version once.
    pub command: u32,
    /// Number of the command whose change it stands on: that made the row version which it changed, or the last one before that counts as a change;
    /// none where another transaction did.
    pub stands_on: Option<u32>,
    /// Number of the command that made the row version which it changed, whether that counts as a change or not; none where another transaction
    /// made it.
    pub version: Option<u32>,
    /// By a statement that a trigger ran, or a function in the middle of another statement, whose own changes may be noted later.
    pub is_nested: bool,
    /// It begins a row under a key at which a row may have ended just before, by a command that notes this later.
    pub may_follow_end: bool,
}

/// One life of a row.
struct Life {
    /// The command that began it; none for a row that was there.
    begun: Option<u32>,
    /// The command that ended it; none while it goes on.
    ended: Option<u32>,
    /// Its steps as they happened: what began it is the first.
    places: Vec<usize>,
}

/// The places of steps in the order in which they happened: of one row, or of several that one became after the other. Within a life
/// commands follow each other: what is nested has a higher number than the statement that it is nested in, and PostgreSQL refuses to change a
/// row that such a one has changed before. The life of a row that was there is the first, one that has no end the last, and the others follow
/// each other as they ended: no command ends what a later one began. `told` says whether a command's change of a row was told already, in the
/// middle of the same statement.
///
/// # Examples
/// ```
/// use quote_collab_core::chain::{Deed::{Begin, End}, Step, order};
/// // An insert, and a trigger that deletes what was inserted; the trigger's change is noted first.
/// let row = uuid::Uuid::nil();
/// let inserted = Step { row, deed: Begin, command: 0, stands_on: None, version: None, is_nested: false, may_follow_end: false };
/// let deleted = Step { deed: End, command: 1, stands_on: Some(0), version: Some(0), is_nested: true, ..inserted };
/// let told = |_, _| false;
/// assert_eq!(order(&[deleted, inserted], told), [1, 0]);
/// // An insert, and a trigger that makes room for it before.
/// let made_room = Step { stands_on: None, version: None, ..deleted };
/// assert_eq!(order(&[made_room, inserted], told), [0, 1]);
/// ```
#[must_use]
pub fn order(steps: &[Step], told: impl Fn(Uuid, u32) -> bool) -> Vec<usize> {
    let mut lives = lives(steps, &told);
    lives.sort_by_key(|life| (life.begun.is_some(), life.ended.is_none(), life.ended, life.begun));
    lives.into_iter().flat_map(|life| life.places).collect()
}

/// The lives that steps belong to, each in its order.
fn lives(steps: &[Step], told: &impl Fn(Uuid, u32) -> bool) -> Vec<Life> {
    let mut by_command: Vec<usize> = (0..steps.len()).collect();
    by_command.sort_by_key(|place| (steps[*place].deed != Deed::Begin, steps[*place].command));
    let mut lives = Lives::default();
    for place in by_command {
        let step = &steps[place];
        // What was told goes on from before these steps, whatever command began others of them.
        let since = step.stands_on.filter(|command| !told(step.row, *command));
        lives.add(step, place, since);
    }
    lives.all
}

/// What is known of lives, as their steps come: what begins any first, and the others by their commands.
#[derive(Default)]
struct Lives {
    all: Vec<Life>,
    /// By the command that made their newest row version.
    made: HashMap<(Uuid, u32), Succession>,
    /// By the command that began them.
    newest: Newest,
}

impl Lives {
    /// A step more, at this place. Where what it stands on is not among the steps, its life was begun by a command up to `since`.
    fn add(&mut self, step: &Step, place: usize, since: Option<u32>) {
        let life = if step.deed == Deed::Begin {
            self.newest.begin(&mut self.all, step.row, Some(step.command))
        } else {
            self.below(step).unwrap_or_else(|| self.newest.around(&mut self.all, step.row, since))
        };
        let Life { begun, ended, places } = &mut self.all[life];
        places.push(place);
        if step.deed == Deed::End {
            *ended = Some(step.command);
            return;
        }
        let made = self.made.entry((step.row, step.command)).or_default();
        // What the command has changed was there before what it has begun, and ended before.
        let is_begun = *begun == Some(step.command);
        made.lives.insert(if is_begun { made.lives.len() } else { made.ended }, life);
    }

    /// The life that goes on from what the step stands on; where all that stood on a version which counts as no change have ended, the one that the
    /// command began which made it.
    fn below(&mut self, step: &Step) -> Option<usize> {
        let is_silent = step.version != step.stands_on;
        let stood_on = match step.stands_on {
            None if is_silent => self.newest.first(&mut self.all, step.row),
            stands_on => self.made_by(step.row, stands_on),
        };
        stood_on.or_else(|| self.made_by(step.row, step.version.filter(|_| is_silent)))
    }

    fn made_by(&mut self, row: Uuid, command: Option<u32>) -> Option<usize> {
        self.made.get_mut(&(row, command?))?.open(&self.all)
    }
}

/// Lives of which one command began each, or made its newest row version, under one key: each had ended before the next began.
#[derive(Default)]
struct Succession {
    lives: Vec<usize>,
    /// So many of them have ended.
    ended: usize,
}

impl Succession {
    /// The first that goes on. None that has ended is looked at twice.
    fn open(&mut self, lives: &[Life]) -> Option<usize> {
        let ended = self.lives[self.ended..].iter().take_while(|life| lives[**life].ended.is_some());
        self.ended += ended.count();
        self.lives.get(self.ended).copied()
    }
}

/// The lives of each row by the command that began them, first the one that was there.
#[derive(Default)]
struct Newest(HashMap<Uuid, BTreeMap<Option<u32>, Succession>>);

impl Newest {
    /// A life that a command begins; none for a row that was there.
    fn begin(&mut self, lives: &mut Vec<Life>, row: Uuid, begun: Option<u32>) -> usize {
        lives.push(Life { begun, ended: None, places: Vec::new() });
        self.0.entry(row).or_default().entry(begun).or_default().lives.push(lives.len() - 1);
        lives.len() - 1
    }

    /// The life of a row that was there, while it goes on.
    fn first(&mut self, lives: &mut Vec<Life>, row: Uuid) -> Option<usize> {
        match self.0.entry(row).or_default().get_mut(&None) {
            Some(first) => first.open(lives),
            None => Some(self.begin(lives, row, None)),
        }
    }

    /// The life that a step belongs to where what it stands on is not among the steps: the newest that goes on, of those that a command up to
    /// this one began, or that was there.
    fn around(&mut self, lives: &mut Vec<Life>, row: Uuid, command: Option<u32>) -> usize {
        let of_row = self.0.entry(row).or_default();
        while let Some((begun, newest)) = of_row.range_mut(..=command).next_back() {
            if let Some(life) = newest.open(lives) {
                return life;
            }
            let ended = *begun;
            if ended.is_none() {
                break;
            }
            of_row.remove(&ended);
        }
        self.begin(lives, row, None)
    }
}

/// Whether everything that happened to a row before any of these steps is among them, or was told before, in the middle of a statement:
/// commands before `statement`, the number of the one that is not nested, as far as it is known, are all told, and `told` says
/// whether a command's change of a row was told while it ran. What is nested may stand on a change of that statement, or of another nested one, which is
/// noted later; what begins a row, on an end of it.
#[must_use]
pub fn complete(steps: &[Step], statement: Option<u32>, told: impl Fn(Uuid, u32) -> bool) -> bool {
    if steps.iter().any(|step| step.is_nested && step.may_follow_end) && begins_in_another(steps, &told) {
        return false;
    }
    let mut made: HashMap<(Uuid, u32), usize> = HashMap::new();
    for step in steps.iter().filter(|step| step.deed != Deed::End) {
        *made.entry((step.row, step.command)).or_default() += 1;
    }
    let mut standing: HashMap<(Uuid, Option<u32>), usize> = HashMap::new();
    for step in steps.iter().filter(|step| step.stands_on.is_some()) {
        *standing.entry((step.row, step.stands_on)).or_default() += 1;
    }
    let own = || steps.iter().filter(|step| !step.is_nested);
    let is_own: HashSet<Uuid> = own().map(|step| step.row).collect();
    let is_ended: HashSet<Uuid> = own().filter(|step| step.deed == Deed::End).map(|step| step.row).collect();
    // A row version is changed once: where more stand on those of a command than are noted of it, others of it are noted later.
    let is_noted = |row: Uuid, command: u32| {
        statement.is_some_and(|statement| command < statement)
            || told(row, command)
            || made.get(&(row, command)).is_some_and(|made| *made >= standing[&(row, Some(command))])
    };
    steps.iter().all(|step| match step.stands_on {
        _ if step.deed == Deed::Begin => {
            let ended = if step.is_nested { &is_own } else { &is_ended };
            !step.may_follow_end || ended.contains(&step.row)
        }
        Some(command) if step.is_nested => is_noted(step.row, command),
        _ => true,
    })
}

/// Whether a nested statement began a row while another life of it goes on that was noted before: the end of that one is noted later.
fn begins_in_another(steps: &[Step], told: &impl Fn(Uuid, u32) -> bool) -> bool {
    let lives = lives(steps, told);
    // By row, the lives without an end, in the order in which they were noted.
    let mut open: HashMap<Uuid, Vec<(usize, usize)>> = HashMap::new();
    for (number, life) in lives.iter().enumerate().filter(|(_, life)| life.ended.is_none()) {
        if let Some(first) = life.places.iter().min() {
            open.entry(steps[*first].row).or_default().push((*first, number));
        }
    }
    for open in open.values_mut() {
        open.sort_unstable();
    }
    lives.iter().enumerate().filter(|(_, life)| life.begun.is_some()).any(|(number, life)| {
        let place = life.places[0];
        let before =
            || open.get(&steps[place].row).into_iter().flatten().take_while(|(first, _)| *first < place);
        steps[place].is_nested && steps[place].may_follow_end && before().any(|(_, other)| *other != number)
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{Deed, Step, complete, order};

    /// Of the statement itself, which is command 10.
    fn own(deed: Deed) -> Step {
        Step {
            row: Uuid::nil(),
            deed,
            command: 10,
            stands_on: None,
            version: None,
            is_nested: false,
            may_follow_end: false,
        }
    }

    /// Of a nested statement: a command after that one, on the row version that a command made. That one may end rows.
    fn nested(deed: Deed, command: u32, stands_on: impl Into<Option<u32>>) -> Step {
        let stands_on = stands_on.into();
        Step {
            deed,
            command,
            stands_on,
            version: stands_on,
            is_nested: true,
            may_follow_end: true,
            ..own(deed)
        }
    }

    /// The same, on a row version that counts as no change of what was there.
    fn on_silent(version: u32, step: Step) -> Step {
        Step { version: Some(version), stands_on: None, ..step }
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
            assert_eq!(order(&steps, |_, _| false), expected, "{steps:?}");
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
            (
                vec![nested(End, 11, 10), nested(End, 12, 10), own(Begin), own(Begin), own(Begin)],
                vec![2, 0, 3, 1, 4],
            ),
            // The same, each touched before by what counts as no change.
            (vec![nested(End, 12, 11), own(Begin), own(Begin)], vec![1, 0, 2]),
            // Inserted and deleted before the insertion, whose row is deleted behind it.
            (
                vec![nested(Begin, 11, None), nested(End, 12, 11), nested(End, 13, 10), own(Begin)],
                vec![0, 1, 3, 2],
            ),
            // The same, where that end stands on what counts as no change.
            (
                vec![nested(Begin, 11, None), nested(End, 12, 11), nested(End, 14, 13), own(Begin)],
                vec![0, 1, 3, 2],
            ),
            // One command touched it without a change, and began it again once a function had ended it, which was ended, too.
            (
                vec![
                    on_silent(11, nested(End, 12, None)),
                    nested(Begin, 11, None),
                    on_silent(11, nested(End, 13, None)),
                    own(Begin),
                ],
                vec![0, 1, 2, 3],
            ),
            // Changed by the command that begins it again, once a function has ended it.
            (vec![nested(Change, 11, 10), nested(End, 12, 11), own(Change), own(Begin)], vec![2, 0, 1, 3]),
            // Moved to another quote, and moved again by what that fired.
            (vec![nested(End, 11, 10), nested(Begin, 11, None), own(End), own(Begin)], vec![2, 3, 0, 1]),
        ] {
            assert_eq!(order(&steps, |_, _| false), expected, "{steps:?}");
        }
    }

    #[test]
    fn what_was_told_goes_on_from_before() {
        use Deed::{Begin, Change, End};
        let makes_room = [nested(End, 13, 11), own(Begin)];
        assert_eq!(order(&makes_room, |_, command| command == 11), [0, 1]);
        assert_eq!(order(&makes_room, |_, _| false), [1, 0]);
        let again = [nested(Change, 12, 11), nested(End, 13, 12), own(Begin)];
        assert_eq!(order(&again, |_, command| command == 11), [0, 1, 2]);
        // Told, and taken back since.
        let back = [nested(Change, 11, 10), nested(Change, 12, 11), own(Begin)];
        assert_eq!(order(&back, |_, command| command == 11), [2, 0, 1]);
    }

    #[test]
    fn a_row_may_become_another() {
        use Deed::{Begin, End};
        let of = |row: u128, step: Step| Step { row: Uuid::from_u128(row), ..step };
        for (steps, expected) in [
            // Given another id, and yet another by what that fired.
            (
                vec![
                    of(2, nested(End, 11, 10)),
                    of(3, nested(Begin, 11, None)),
                    of(1, own(End)),
                    of(2, own(Begin)),
                ],
                vec![2, 3, 0, 1],
            ),
            // Two that take each other's id.
            (vec![of(1, own(End)), of(2, own(Begin)), of(2, own(End)), of(1, own(Begin))], vec![0, 2, 1, 3]),
        ] {
            assert_eq!(order(&steps, |_, _| false), expected, "{steps:?}");
        }
        let again = [of(2, nested(End, 11, 10)), of(3, nested(Begin, 11, None))];
        assert!(!complete(&again, Some(10), |_, _| false), "the first of them is noted later");
        let others =
            [of(1, own(End)), of(2, own(Begin)), of(2, nested(End, 11, 10)), of(3, nested(Begin, 11, None))];
        assert!(!complete(&others, Some(10), |_, _| false), "the third may have ended");
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
            // Two versions of one command ended, and one of them is noted.
            (vec![own(Begin), nested(End, 11, 10), nested(End, 12, 10)], false),
            (vec![own(Begin), nested(End, 11, 10), own(Begin), nested(End, 12, 10)], true),
        ] {
            assert_eq!(complete(&steps, Some(10), |_, _| false), expected, "{steps:?}");
        }
        // In the middle of a life whose end is noted later, or was.
        for (steps, expected) in [
            (vec![own(Begin), nested(Begin, 12, None)], false),
            (vec![own(Begin), nested(Begin, 12, None), nested(End, 13, 12)], false),
            (vec![own(Change), nested(Begin, 12, None), nested(End, 13, 12)], false),
            (vec![own(Begin), nested(End, 11, 10), nested(Begin, 12, None)], true),
            (vec![nested(Begin, 11, None), nested(End, 12, 11), own(Begin)], true),
            // What the new life's own triggers changed is noted before it.
            (vec![own(End), nested(Change, 12, 11), nested(Begin, 11, None)], true),
        ] {
            assert_eq!(complete(&steps, Some(10), |_, _| false), expected, "{steps:?}");
        }
        assert!(!complete(&[nested(Change, 11, 9)], None, |_, _| false), "it may be of the statement");
        let inserted = Step { may_follow_end: false, ..nested(Begin, 11, None) };
        assert!(
            complete(&[inserted, nested(Change, 12, 11)], Some(10), |_, _| false),
            "nothing ends rows around it"
        );
        let swapped = Step { may_follow_end: true, ..own(Begin) };
        assert!(!complete(&[swapped], Some(10), |_, _| false), "another row may have had its key");
        assert!(complete(&[own(End), swapped], Some(10), |_, _| false));
        let again = [nested(Change, 13, 12), nested(Change, 12, 11)];
        assert!(complete(&again, Some(10), |_, command| command == 11), "it stands on what was told");
        assert!(!complete(&again, Some(10), |_, command| command == 9));
    }

    #[test]
    fn a_row_that_lives_again_and_again_is_put_in_order_in_time() {
        let number = 200_000;
        let ends = (11..number).map(|command| nested(Deed::End, command, 10));
        let steps: Vec<Step> = ends.chain((10..number).map(|_| own(Deed::Begin))).collect();
        assert_eq!(order(&steps, |_, _| false).last(), Some(&(steps.len() - 1)));
        let silent = (11..number).map(|command| nested(Deed::End, 2 * command, 2 * command - 1));
        let steps: Vec<Step> = silent.chain((10..number).map(|_| own(Deed::Begin))).collect();
        assert_eq!(order(&steps, |_, _| false).last(), Some(&(steps.len() - 1)));
    }

    #[test]
    fn a_row_that_triggers_change_again_and_again_is_put_in_order_in_time() {
        let number = 200_000;
        let changes = (11..number).map(|command| nested(Deed::Change, command, command - 1));
        let steps: Vec<Step> = changes.chain([own(Deed::Change)]).collect();
        assert!(complete(&steps, Some(10), |_, _| false));
        assert_eq!(order(&steps, |_, _| false).first(), Some(&(steps.len() - 1)));
    }
}
