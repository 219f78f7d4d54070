//! What became of a save. A conflict is a result, not an error.

use async_graphql::{ID, SimpleObject};
use quote_collab_core::json::Members;
use quote_collab_core::naming::spelling;

use super::id;
use crate::graphql::json::{DateTime, Json, front_end_row};
use crate::postgres::{Conflict, Saved};

/// A field that somebody else changed first
#[derive(SimpleObject)]
pub struct QuoteConflict {
    /// Name in camelCase, or as it is where another column has that name
    field: String,
    /// The version the editor had
    expected_version: Option<i32>,
    /// The version there is
    actual_version: Option<i32>,
    /// The value there is
    current_value: Option<Json>,
    /// The value that was not saved
    attempted_value: Option<Json>,
    /// The value both began with
    base_value: Option<Json>,
    /// Who was first
    last_changed_by: Option<ID>,
    /// Name of that user
    last_changed_by_name: Option<String>,
    /// When
    last_changed_at: Option<DateTime>,
}

/// What became of a save of a quote's header
#[derive(SimpleObject)]
pub struct QuoteCollaborationResult {
    /// Whether it was saved
    success: bool,
    /// The header now: camelCase, money as text
    quote: Option<Json>,
    /// Version before
    previous_version: Option<i32>,
    /// Version now
    new_version: Option<i32>,
    /// Why it was not saved
    conflicts: Vec<QuoteConflict>,
}

/// What became of a save of a quote's line
#[derive(SimpleObject)]
pub struct QuoteLineCollaborationResult {
    /// Whether it was saved
    success: bool,
    /// The line now: camelCase, money as text
    quote_line: Option<Json>,
    /// The quote's header now, with its totals
    quote: Option<Json>,
    /// Version before
    previous_version: Option<i32>,
    /// Version now
    new_version: Option<i32>,
    /// Why it was not saved
    conflicts: Vec<QuoteConflict>,
}

impl QuoteConflict {
    /// A conflict over a row of these columns.
    fn over(row: Option<&Members>, conflict: Conflict) -> Self {
        Self {
            field: spelling(&conflict.field, |name| row.is_some_and(|row| row.contains_key(name))),
            expected_version: conflict.expected_version,
            actual_version: conflict.actual_version,
            current_value: Some(Json(conflict.current_value)),
            attempted_value: Some(Json(conflict.attempted_value)),
            base_value: Some(Json(conflict.base_value)),
            last_changed_by: conflict.last_changed_by.map(id),
            last_changed_by_name: conflict.last_changed_by_name,
            last_changed_at: conflict.last_changed_at.map(DateTime),
        }
    }

    fn all(row: Option<&Members>, conflicts: Vec<Conflict>) -> Vec<Self> {
        conflicts.into_iter().map(|conflict| Self::over(row, conflict)).collect()
    }
}

impl From<Saved> for QuoteCollaborationResult {
    fn from(saved: Saved) -> Self {
        Self {
            success: saved.success,
            conflicts: QuoteConflict::all(saved.row.as_ref(), saved.conflicts),
            quote: saved.row.map(front_end_row),
            previous_version: saved.previous_version,
            new_version: saved.new_version,
        }
    }
}

impl From<Saved> for QuoteLineCollaborationResult {
    fn from(saved: Saved) -> Self {
        Self {
            success: saved.success,
            conflicts: QuoteConflict::all(saved.row.as_ref(), saved.conflicts),
            quote_line: saved.row.map(front_end_row),
            quote: saved.quote.map(front_end_row),
            previous_version: saved.previous_version,
            new_version: saved.new_version,
        }
    }
}
