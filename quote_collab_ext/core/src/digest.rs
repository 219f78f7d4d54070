//! The form in which a row of the audit log is hashed: one sequence of bytes for each row, whatever a session is set to.

/// Appends a column: whether it is null, how long it is, and its bytes. No two rows have the same form.
///
/// # Panics
/// When the value is longer than 4 GiB, which no stored value is.
///
/// # Examples
/// ```
/// use quote_collab_core::digest::append;
/// let (mut one, mut two) = (Vec::new(), Vec::new());
/// append(&mut one, Some(b"ab"));
/// append(&mut one, None);
/// append(&mut two, Some(b"a"));
/// append(&mut two, Some(b"b"));
/// assert_eq!(one, b"\x01\0\0\0\x02ab\0");
/// assert_ne!(one, two);
/// ```
pub fn append(form: &mut Vec<u8>, value: Option<&[u8]>) {
    let Some(bytes) = value else { return form.push(0) };
    let length = u32::try_from(bytes.len()).expect("a stored value is shorter than 4 GiB");
    form.push(1);
    form.extend_from_slice(&length.to_be_bytes());
    form.extend_from_slice(bytes);
}
