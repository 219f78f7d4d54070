//! A change: one captured modification of one quote or one quote line.
//!
//! This is the JSON that the extension hands out in `quote_events_since` and `quote_relay_read`, and the only noun
//! that crosses every wall. Values are JSON exactly as `to_jsonb` wrote them: a number keeps every digit.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::json::{JsonText, Members};

/// The field name of a CREATE or DELETE, whose value is the whole row.
pub const WHOLE_ROW: &str = "*";

/// One captured modification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Place in the whole log.
    pub position: i64,
    /// Identity of this change, minted once in PostgreSQL.
    pub event_id: Uuid,
    /// Owner of the quote.
    pub tenant_id: Uuid,
    /// The quote that changed, also when one of its lines did.
    pub quote_id: Uuid,
    /// The line that changed.
    pub line_id: Option<Uuid>,
    /// Header or line.
    pub entity: Entity,
    /// What happened to the row.
    pub operation: Operation,
    /// Who did it, if known.
    pub actor: Option<Uuid>,
    /// Name of the actor at that moment.
    pub actor_name: Option<String>,
    /// When, RFC 3339, by the database's clock.
    pub at: String,
    /// The editing session it came from.
    pub session_id: Option<Uuid>,
    /// Version of the row before; none for a CREATE.
    pub version_before: Option<i32>,
    /// Version of the row after; none for a DELETE.
    pub version_after: Option<i32>,
    /// What a reader needs beside the fields: the line's number, the quote's totals, roles of columns that are called otherwise.
    #[serde(default)]
    pub context: Option<Members>,
    /// What is different.
    pub fields: Vec<FieldChange>,
    /// The values are larger than an event may be: the history holds them.
    #[serde(default)]
    pub truncated: bool,
}

/// One column of a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Column name, or [`WHOLE_ROW`].
    pub field: String,
    /// Value before; null in a truncated change.
    #[serde(default)]
    pub old: JsonText,
    /// Value after; null in a truncated change.
    #[serde(default)]
    pub new: JsonText,
}

/// Which table a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Entity {
    /// The quote's header.
    Quote,
    /// One of its lines.
    QuoteLine,
}

/// What happened to the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Operation {
    /// Inserted.
    Create,
    /// Updated.
    Update,
    /// Deleted.
    Delete,
}

impl FieldChange {
    fn without_values(field: String) -> Self {
        Self { field, old: JsonText::default(), new: JsonText::default() }
    }
}

impl Change {
    /// The new and old value of a column, when the change mentions it.
    #[must_use]
    pub fn field(&self, column: &str) -> Option<&FieldChange> {
        self.fields.iter().find(|change| change.field == column)
    }

    /// The whole row a CREATE made or a DELETE removed.
    #[must_use]
    pub fn row(&self) -> Option<Members> {
        let whole = self.field(WHOLE_ROW)?;
        whole.new.members().or_else(|| whole.old.members())
    }

    /// What can be told of a change that is not written as agreed: which quote it is about, and which fields. None when
    /// not even that is there.
    #[must_use]
    pub fn salvage(text: &str) -> Option<Self> {
        let members: Members = serde_json::from_str(text).ok()?;
        let line_id = part(&members, "line_id");
        let entity = if line_id.is_some() { Entity::QuoteLine } else { Entity::Quote };
        let fields: Vec<Members> = part(&members, "fields").unwrap_or_default();
        Some(Self {
            position: part(&members, "position")?,
            event_id: part(&members, "event_id")?,
            tenant_id: part(&members, "tenant_id")?,
            quote_id: part(&members, "quote_id")?,
            line_id,
            entity: part(&members, "entity").unwrap_or(entity),
            operation: part(&members, "operation").unwrap_or(Operation::Update),
            actor: part(&members, "actor"),
            actor_name: part(&members, "actor_name"),
            at: part(&members, "at").unwrap_or_default(),
            session_id: part(&members, "session_id"),
            version_before: part(&members, "version_before"),
            version_after: part(&members, "version_after"),
            context: None,
            fields: fields
                .iter()
                .filter_map(|field| part(field, "field"))
                .map(FieldChange::without_values)
                .collect(),
            truncated: true,
        })
    }
}

fn part<T: DeserializeOwned>(members: &Members, name: &str) -> Option<T> {
    serde_json::from_str(members.get(name)?.text()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPDATE: &str = r#"{"position":17,"event_id":"0190b7a1-0000-7000-8000-000000000001",
        "tenant_id":"0190b7a1-0000-7000-8000-00000000000a","quote_id":"0190b7a1-0000-7000-8000-0000000000ff",
        "line_id":null,"entity":"QUOTE","operation":"UPDATE","actor":null,"actor_name":null,
        "at":"2026-11-22T21:00:00.123456+00:00","session_id":null,"version_before":4,"version_after":5,
        "context":{"total_amount":100000000000000000.0001},
        "fields":[{"field":"shipping_amount","old":0.1000,"new":100000000000000000.0001},
                  {"field":"notes","old":null,"new":"x"}]}"#;

    #[test]
    fn the_json_of_the_extension_is_read_and_written_back_digit_for_digit() {
        let change: Change = serde_json::from_str(UPDATE).unwrap();
        assert_eq!(change.operation, Operation::Update);
        assert_eq!(change.field("shipping_amount").unwrap().old.text(), "0.1000");
        let written = serde_json::to_string(&change).unwrap();
        assert!(written.contains(r#""old":0.1000,"new":100000000000000000.0001"#), "{written}");
        assert_eq!(serde_json::from_str::<Change>(&written).unwrap(), change);
    }

    #[test]
    fn a_change_without_context_is_read() {
        let text = UPDATE.replace(r#""context":{"total_amount":100000000000000000.0001},"#, "");
        assert_eq!(serde_json::from_str::<Change>(&text).unwrap().context, None);
    }

    #[test]
    fn no_value_is_looked_into() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for value in [deep.as_str(), r#"{"$serde_json::private::Number": "x"}"#] {
            let text = UPDATE.replace(r#""new":"x""#, &format!(r#""new":{value}"#));
            let text = text.replace(r#""total_amount":1"#, &format!(r#""more":{value},"total_amount":1"#));
            let change: Change = serde_json::from_str(&text).unwrap();
            assert_eq!(change.field("notes").unwrap().new.text(), value);
            assert_eq!(change.context.unwrap()["more"].text(), value);
        }
    }

    #[test]
    fn of_a_change_written_otherwise_the_rest_is_told() {
        let whole: Change = serde_json::from_str(UPDATE).unwrap();
        let text =
            UPDATE.replace(r#""actor_name":null"#, r#""actor_name":7"#).replace("\"UPDATE\"", "\"MERGE\"");
        assert!(serde_json::from_str::<Change>(&text).is_err());
        let names =
            whole.fields.iter().map(|field| FieldChange::without_values(field.field.clone())).collect();
        assert_eq!(
            Change::salvage(&text),
            Some(Change { context: None, fields: names, truncated: true, ..whole })
        );
        assert_eq!(Change::salvage(&text.replace("\"event_id\"", "\"id\"")), None);
        assert_eq!(Change::salvage("[]"), None);
    }
}
