//! The general way into the audit log: one INSERT through SQL, as the log's owner.

use pgrx::pg_sys;

use super::Log;
use super::log::COLUMNS;
use super::pending::Noted;
use super::spi::{self, Prepared};
use super::values::Rows;
use crate::error::Error;

/// Writes the rows of changes, which all go to `log`.
pub fn insert(log: &Log, noted: &[Noted]) -> Result<(), Error> {
    spi::as_owner(log.owner, || {
        let plan = prepared(log)?;
        let rows = Rows::of(noted)?;
        for row in (0..rows.len()).map(|number| rows.row(number)) {
            let mut values = row.map(|value| value.unwrap_or(pg_sys::Datum::null()));
            let nulls = row.map(|value| if value.is_none() { b'n' } else { b' ' }.cast_signed());
            plan.insert(&mut values, &nulls)?;
        }
        Ok(())
    })
}

/// Out of line: inside of its caller LLVM unrolls it by the columns and compares them with each other, for minutes.
#[inline(never)]
fn prepared(log: &Log) -> Result<&Prepared, Error> {
    if let Some(plan) = log.insert.get() {
        return Ok(plan);
    }
    let places: Vec<String> = (1..=COLUMNS.len()).map(|place| format!("${place}")).collect();
    let names = COLUMNS.map(|(name, _)| name).join(", ");
    let text = format!("insert into {} ({names}) values ({})", log.name, places.join(", "));
    let plan = Prepared::new(&text, &mut COLUMNS.map(|(_, type_oid)| type_oid))?;
    Ok(log.insert.get_or_init(|| plan))
}
