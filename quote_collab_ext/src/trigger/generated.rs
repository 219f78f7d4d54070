//! What PostgreSQL generates a column of.

#![expect(unsafe_code, reason = "reads PostgreSQL's expressions")]

use pgrx::pg_sys;

/// The columns that the expression of a generated column reads; none where it is generated of constants.
///
/// # Safety
/// The relation must be open and locked, and the column be generated.
pub unsafe fn sources(relation: &pg_sys::RelationData, attnum: i16) -> Vec<i16> {
    // SAFETY: per contract; an open relation has a descriptor, and where that has constraints, as many defaults as it says, each with
    // its expression as text.
    unsafe {
        let Some(constraints) = (*relation.rd_att).constr.as_ref() else { return Vec::new() };
        let mut defaults =
            (0..usize::from(constraints.num_defval)).map(|place| &*constraints.defval.add(place));
        let expression = defaults.find(|default| default.adnum == attnum);
        expression.map(|default| columns_read(default.adbin)).unwrap_or_default()
    }
}

/// # Safety
/// The text must be that of an expression over the columns of one relation.
unsafe fn columns_read(expression: *const std::ffi::c_char) -> Vec<i16> {
    /// The relation, as an expression of its own names it.
    const ITSELF: u32 = 1;
    let mut members = std::ptr::null_mut();
    let mut columns = Vec::new();
    // SAFETY: per contract; nodes and set are gone with the current memory context.
    unsafe {
        pg_sys::pull_varattnos(pg_sys::stringToNode(expression).cast(), ITSELF, &raw mut members);
        let mut member = pg_sys::bms_next_member(members, -1);
        while member >= 0 {
            columns.extend(i16::try_from(member + pg_sys::FirstLowInvalidHeapAttributeNumber));
            member = pg_sys::bms_next_member(members, member);
        }
    }
    columns
}
