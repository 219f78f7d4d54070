//! The form in which a row of the audit log is hashed: column after column, one sequence of bytes for each row, whatever a
//! session is set to. The kind of each column is known, so that only what varies in length tells its length.

/// Appends a column that is null.
#[inline]
pub fn null(form: &mut Vec<u8>) {
    form.push(0);
}

/// Appends a column whose values are all of one length.
pub fn fixed<const N: usize>(form: &mut Vec<u8>, bytes: [u8; N]) {
    form.push(1);
    form.extend_from_slice(&bytes);
}

/// Appends a column whose values vary in length.
///
/// # Panics
/// When the value is longer than 4 GiB, which no stored value is.
///
/// # Examples
/// ```
/// use quote_collab_core::digest::{null, variable};
/// let (mut one, mut two) = (Vec::new(), Vec::new());
/// variable(&mut one, b"ab");
/// null(&mut one);
/// variable(&mut two, b"a");
/// variable(&mut two, b"b");
/// assert_eq!(one, b"\x01\0\0\0\x02ab\0");
/// assert_ne!(one, two);
/// ```
#[inline]
pub fn variable(form: &mut Vec<u8>, bytes: &[u8]) {
    announce(form, bytes.len());
    form.extend_from_slice(bytes);
}

/// Appends what stands before the bytes of a column whose values vary in length, for whoever hashes those where they are.
///
/// # Panics
/// As [`variable`].
#[inline]
pub fn announce(form: &mut Vec<u8>, bytes: usize) {
    let length = u32::try_from(bytes).expect("a stored value is shorter than 4 GiB");
    form.push(1);
    form.extend_from_slice(&length.to_be_bytes());
}
