//! How much of an answer rows will be, before it is made of them: a value may be asked for by many names.

use std::collections::HashMap;

use async_graphql::{Context, SelectionField};
use quote_collab_core::json::Members;

use super::demand::LARGE;
use crate::postgres::{Conflict, HistoryRecord, Saved, Session, WholeQuote};
use crate::unread::Size;

/// About the size of an id, a time or a name, and what is written around it.
const PLAIN: usize = 64;
/// Fields of a row that are no JSON, their names, and what is written around them.
const FRAME: usize = 32 * PLAIN;

/// What is asked for inside of a field.
pub struct Selected(Vec<Field>);

struct Field {
    name: String,
    key: usize,
    inside: Selected,
}

impl Selected {
    /// The fields of the field that is executed, fragments written out.
    #[must_use]
    pub fn of(context: &Context<'_>) -> Self {
        Self::inside(context.field())
    }

    fn inside(whole: SelectionField<'_>) -> Self {
        let fields = whole.selection_set().map(|field| Field {
            name: field.name().to_owned(),
            key: field.alias().unwrap_or_else(|| field.name()).len(),
            inside: Self::inside(field),
        });
        Self(fields.collect())
    }

    /// How often a field that may be large is asked for at most, however deep it stands, and at least once: what is told of an event grows with it.
    #[must_use]
    pub fn times(&self) -> usize {
        let mut times = HashMap::new();
        self.count(&mut times);
        times.into_values().max().unwrap_or_default().max(1)
    }

    fn count<'a>(&'a self, times: &mut HashMap<&'a str, usize>) {
        for field in &self.0 {
            if LARGE.contains(&field.name.as_str()) {
                *times.entry(&field.name).or_default() += 1;
            }
            field.inside.count(times);
        }
    }

    /// The size of a list of sessions.
    #[must_use]
    pub fn sessions(&self, sessions: &[Session]) -> Size {
        Size { rows: sessions.len() * FRAME, answer: self.rows(sessions, of_session) }
    }

    /// The size of what holds the list of a quote's people.
    #[must_use]
    pub fn people(&self, people: &[Session]) -> Size {
        let list = |field: &Field| PLAIN + field.inside.rows(people, of_session);
        Size { rows: people.len() * FRAME, answer: self.sum(list, 1) }
    }

    /// The size of what a change came to.
    #[must_use]
    pub fn saved(&self, saved: &Saved) -> Size {
        let row = |row: Option<&Members>| row.map_or(PLAIN, members);
        let answer = |field: &Field| match field.name.as_str() {
            "quoteLine" => row(saved.row.as_ref()),
            "quote" => row(saved.quote.as_ref().or(saved.row.as_ref())),
            "conflicts" => field.inside.rows(&saved.conflicts, of_conflict),
            _ => PLAIN,
        };
        let rows = [&saved.row, &saved.quote].into_iter().flatten().map(members).sum();
        Size { rows, answer: self.sum(answer, 1) }
    }

    /// The size of rows of the history.
    #[must_use]
    pub fn records(&self, records: &[HistoryRecord]) -> Size {
        let values =
            records.iter().map(|record| record.old_value.text().len() + record.new_value.text().len());
        let rows = records.len() * FRAME + values.sum::<usize>();
        Size { rows, answer: self.rows(records, of_record) }
    }

    fn rows<T>(&self, rows: &[T], length: fn(&str) -> Length<T>) -> usize {
        let field = |field: &Field| rows.iter().map(length(&field.name)).sum();
        self.sum(field, rows.len())
    }

    fn sum(&self, values: impl Fn(&Field) -> usize, rows: usize) -> usize {
        let sizes = self.0.iter().map(|field| values(field).saturating_add(field.key.saturating_mul(rows)));
        sizes.fold(0, usize::saturating_add)
    }
}

/// What a row has of a field.
type Length<T> = fn(&T) -> usize;

fn of_session(name: &str) -> Length<Session> {
    match name {
        "userName" => |session| text(session.user_name.as_ref()),
        "userEmail" => |session| text(session.user_email.as_ref()),
        "currentField" => |session| text(session.current_field.as_ref()),
        _ => |_| PLAIN,
    }
}

fn of_record(name: &str) -> Length<HistoryRecord> {
    match name {
        "oldValue" => |record| record.old_value.text().len(),
        "newValue" => |record| record.new_value.text().len(),
        "changedByName" => |record| text(record.changed_by_name.as_ref()),
        _ => |_| PLAIN,
    }
}

fn of_conflict(name: &str) -> Length<Conflict> {
    match name {
        "baseValue" => |conflict| conflict.base_value.text().len(),
        "currentValue" => |conflict| conflict.current_value.text().len(),
        "attemptedValue" => |conflict| conflict.attempted_value.text().len(),
        "lastChangedByName" => |conflict| text(conflict.last_changed_by_name.as_ref()),
        _ => |_| PLAIN,
    }
}

fn text(text: Option<&String>) -> usize {
    PLAIN + text.map_or(0, String::len)
}

/// The size of rows that are written as they are.
#[must_use]
pub fn of_rows(rows: &[Members]) -> Size {
    Size::of(rows.iter().map(members).sum())
}

/// The size of a quote with its lines.
#[must_use]
pub fn of_quote(quote: &WholeQuote) -> Size {
    Size::of(members(&quote.quote) + of_rows(&quote.lines).answer)
}

fn members(row: &Members) -> usize {
    row.iter().map(|(name, value)| name.len() + value.text().len() + 4).sum()
}

#[cfg(test)]
mod tests {
    use quote_collab_core::json::JsonText;
    use serde_json::json;

    use super::*;

    fn field(name: &str, key: usize, inside: Selected) -> Field {
        Field { name: name.to_owned(), key, inside }
    }

    fn selected(names: &[(&str, usize)]) -> Selected {
        Selected(names.iter().map(|&(name, key)| field(name, key, Selected(Vec::new()))).collect())
    }

    #[test]
    fn each_person_counts_as_often_as_the_list_is_asked_for() {
        let id = "86ad43b5-0b0b-2140-79d4-1d62054ff8e5";
        let ann = json!({"session_id": id, "tenant_id": id, "quote_id": id, "user_id": id, "joined_at": "",
            "last_heartbeat": "", "user_name": "x".repeat(998)});
        let ann: Session = serde_json::from_value(ann).unwrap();
        let people = vec![ann; 100];
        let list = |key| field("activeUsers", key, selected(&[("userName", 8), ("sessionId", 9)]));
        let once = Selected(vec![list(11)]).people(&people).answer;
        assert_eq!(once, 11 + PLAIN + 100 * (998 + PLAIN + 8 + PLAIN + 9));
        let often = Selected((0..30).map(|_| list(11)).collect());
        assert_eq!(often.people(&people).answer, 30 * once);
        let values =
            selected(&[("newValue", 1), ("newValue", 1), ("oldValue", 1), ("field", 1), ("field", 1)]);
        assert_eq!((values.times(), often.times()), (2, 1));
    }

    #[test]
    fn what_a_change_came_to_counts_as_often_as_it_is_asked_for() {
        let value = || JsonText::of(&"x".repeat(998)).unwrap();
        let row = Members::from([("notes".to_owned(), value())]);
        let conflict = json!({"field": "notes", "baseValue": value(), "currentValue": value()});
        let saved = Saved {
            success: false,
            row: Some(row.clone()),
            quote: None,
            previous_version: None,
            new_version: None,
            conflicts: vec![serde_json::from_value(conflict).unwrap(); 3],
        };
        let conflicts =
            || field("conflicts", 0, selected(&[("baseValue", 1), ("baseValue", 1), ("field", 1)]));
        let twice = Selected(vec![field("quote", 1, Selected(Vec::new())), conflicts(), conflicts()]);
        let answer = members(&row) + 1 + 2 * (3 * (2 * 1_001 + PLAIN + 1));
        assert_eq!(twice.saved(&saved), Size { rows: members(&row), answer });
    }

    #[test]
    fn a_value_counts_as_often_as_it_is_asked_for() {
        let id = "86ad43b5-0b0b-2140-79d4-1d62054ff8e5";
        let record: HistoryRecord =
            serde_json::from_value(json!({"id": id, "quote_id": id, "changed_at": "",
            "entity_type": "QUOTE", "field_name": "notes", "change_type": "UPDATE",
            "new_value": "x".repeat(998)}))
            .unwrap();
        let records = [record.clone(), record];
        let once = selected(&[("newValue", 8)]).records(&records);
        assert_eq!(once, Size { rows: 2 * (FRAME + 1_004), answer: 2 * 1_008 });
        let often = selected(&[("newValue", 1), ("newValue", 1), ("oldValue", 0), ("id", 100_000)]);
        assert_eq!(often.records(&records).answer, 2 * (1_001 + 1_001 + 4 + 100_064));
    }
}
