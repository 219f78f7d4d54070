//! The history of a quote.

use async_graphql::{ID, SimpleObject};
use quote_collab_core::json::JsonText;

use super::id;
use crate::graphql::json::{DateTime, Json};
use crate::postgres::HistoryRecord;

/// One changed field of the history
#[derive(SimpleObject)]
pub struct QuoteChangeRecord {
    /// Identity of the record
    id: ID,
    /// The quote
    quote_id: ID,
    /// The line; null for the header
    quote_line_id: Option<ID>,
    /// Who, if known
    changed_by: Option<ID>,
    /// Name of that user
    changed_by_name: Option<String>,
    /// When
    changed_at: DateTime,
    /// `QUOTE` or `QUOTE_LINE`
    entity_type: String,
    /// Column name; `*` for a whole row
    field_name: String,
    /// Value before; numbers with all their digits
    old_value: Option<Json>,
    /// Value after; numbers with all their digits
    new_value: Option<Json>,
    /// CREATE, UPDATE or DELETE
    change_type: String,
    /// The editing session
    session_id: Option<ID>,
    /// Whether it was part of a conflict
    was_conflict: bool,
    /// ACCEPTED, REJECTED or MERGED
    conflict_resolution: Option<String>,
    /// Version before
    entity_version_before: Option<i32>,
    /// Version after
    entity_version_after: Option<i32>,
}

impl From<HistoryRecord> for QuoteChangeRecord {
    fn from(record: HistoryRecord) -> Self {
        Self {
            id: id(record.id),
            quote_id: id(record.quote_id),
            quote_line_id: record.quote_line_id.map(id),
            changed_by: record.changed_by.map(id),
            changed_by_name: record.changed_by_name,
            changed_at: DateTime(record.changed_at),
            entity_type: record.entity_type,
            field_name: record.field_name,
            old_value: known(record.old_value),
            new_value: known(record.new_value),
            change_type: record.change_type,
            session_id: record.session_id.map(id),
            was_conflict: record.was_conflict.unwrap_or(false),
            conflict_resolution: record.conflict_resolution,
            entity_version_before: record.entity_version_before,
            entity_version_after: record.entity_version_after,
        }
    }
}

fn known(value: JsonText) -> Option<Json> {
    (!value.is_null()).then_some(Json(value))
}
