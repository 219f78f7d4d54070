//! How much of an answer rows will be, before it is made of them: a value may be asked for by many names.

use async_graphql::Context;
use quote_collab_core::json::{JsonText, Members};

use crate::postgres::{HistoryRecord, Saved, WholeQuote};
use crate::unread::Size;

/// About the size of an id, a time or a name, and what is written around it.
const PLAIN: usize = 64;
/// Fields of a row that are no JSON, their names, and what is written around them.
const FRAME: usize = 32 * PLAIN;

/// What is asked of each row.
pub struct Selected(Vec<Field>);

struct Field {
    name: String,
    key: usize,
}

impl Selected {
    /// The fields of the field that is executed, fragments written out.
    #[must_use]
    pub fn of(context: &Context<'_>) -> Self {
        let whole = context.field();
        let fields = whole.selection_set().map(|field| Field {
            name: field.name().to_owned(),
            key: field.alias().unwrap_or_else(|| field.name()).len(),
        });
        Self(fields.collect())
    }

    /// The size of so many rows without a large value.
    #[must_use]
    pub fn plain(&self, rows: usize) -> Size {
        Size { rows: rows * FRAME, answer: self.sum(|_| rows * PLAIN, rows) }
    }

    /// The size of rows of the history.
    #[must_use]
    pub fn records(&self, records: &[HistoryRecord]) -> Size {
        let total = |value: fn(&HistoryRecord) -> &JsonText| -> usize {
            records.iter().map(|record| value(record).text().len()).sum()
        };
        let (old, new) = (total(|record| &record.old_value), total(|record| &record.new_value));
        let answer = self.sum(
            |name| match name {
                "oldValue" => old,
                "newValue" => new,
                _ => records.len() * PLAIN,
            },
            records.len(),
        );
        Size { rows: records.len() * FRAME + old + new, answer }
    }

    fn sum(&self, values: impl Fn(&str) -> usize, rows: usize) -> usize {
        let sizes =
            self.0.iter().map(|field| values(&field.name).saturating_add(field.key.saturating_mul(rows)));
        sizes.fold(0, usize::saturating_add)
    }
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

/// The size of what a change came to.
#[must_use]
pub fn of_saved(saved: &Saved) -> Size {
    let rows = [&saved.row, &saved.quote].into_iter().flatten().map(members);
    let conflicts = saved.conflicts.iter().flat_map(|conflict| {
        [&conflict.base_value, &conflict.current_value, &conflict.attempted_value]
            .map(|value| value.text().len())
    });
    Size::of(rows.chain(conflicts).sum())
}

fn members(row: &Members) -> usize {
    row.iter().map(|(name, value)| name.len() + value.text().len() + 4).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_counts_as_often_as_it_is_asked_for() {
        let id = "86ad43b5-0b0b-2140-79d4-1d62054ff8e5";
        let record: HistoryRecord =
            serde_json::from_value(json!({"id": id, "quote_id": id, "changed_at": "",
            "entity_type": "QUOTE", "field_name": "notes", "change_type": "UPDATE",
            "new_value": "x".repeat(998)}))
            .unwrap();
        let records = [record.clone(), record];
        let selected = |names: &[(&str, usize)]| {
            let field = |&(name, key): &(&str, usize)| Field { name: name.to_owned(), key };
            Selected(names.iter().map(field).collect())
        };
        let once = selected(&[("newValue", 8)]).records(&records);
        assert_eq!(once, Size { rows: 2 * (FRAME + 1_004), answer: 2 * 1_008 });
        let often = selected(&[("newValue", 1), ("newValue", 1), ("oldValue", 0), ("id", 100_000)]);
        assert_eq!(often.records(&records).answer, 2 * (1_001 + 1_001 + 4 + 100_064));
        assert_eq!(often.plain(3).answer, 3 * (4 * PLAIN + 100_002));
    }
}
