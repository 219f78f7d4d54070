//! Whether a column changed, decided on what is stored, so that an unchanged price list of a megabyte costs nothing.

/// One stored value as PostgreSQL keeps it in a tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image<'a> {
    /// No value.
    Null,
    /// A value of up to eight bytes, passed by value.
    Word(u64),
    /// The bytes of the value, without any length header.
    Plain(&'a [u8]),
    /// A compressed value, or a pointer to one kept out of line: equal bytes mean equal values, different bytes may not
    /// mean different values.
    Stored(&'a [u8]),
}

/// Whether a column differs between two rows. `expanded_differs` is asked only when the images cannot tell: then both
/// values have to be expanded.
///
/// # Examples
/// ```
/// use quote_collab_core::diff::{Image, differs};
/// assert!(differs(Image::Null, Image::Plain(b""), || unreachable!()));
/// assert!(!differs(Image::Stored(b"pointer"), Image::Stored(b"pointer"), || unreachable!()));
/// assert!(differs(Image::Stored(b"pointer"), Image::Plain(b"text"), || true));
/// ```
pub fn differs(old: Image<'_>, new: Image<'_>, expanded_differs: impl FnOnce() -> bool) -> bool {
    match (old, new) {
        (Image::Null, Image::Null) => false,
        (Image::Null, _) | (_, Image::Null) => true,
        (Image::Stored(_), _) | (_, Image::Stored(_)) => old != new && expanded_differs(),
        _ => old != new,
    }
}

#[cfg(test)]
mod tests {
    use super::{Image, differs};

    #[test]
    fn images_decide_where_they_can() {
        let cases = [
            (Image::Null, Image::Null, false),
            (Image::Null, Image::Word(0), true),
            (Image::Plain(b"a"), Image::Null, true),
            (Image::Word(7), Image::Word(7), false),
            (Image::Word(7), Image::Word(8), true),
            (Image::Plain(b"12"), Image::Plain(b"12"), false),
            (Image::Plain(b"12"), Image::Plain(b"12.0"), true),
        ];
        for (old, new, expected) in cases {
            assert_eq!(differs(old, new, || panic!("must not expand")), expected, "{old:?} → {new:?}");
        }
    }

    #[test]
    fn stored_values_are_expanded_only_when_their_images_differ() {
        assert!(!differs(Image::Stored(b"x"), Image::Stored(b"x"), || panic!("must not expand")));
        assert!(!differs(Image::Stored(b"x"), Image::Stored(b"y"), || false));
        assert!(differs(Image::Stored(b"x"), Image::Plain(b"y"), || true));
        assert!(!differs(Image::Plain(b"y"), Image::Stored(b"x"), || false));
    }
}
