//! Texts as PostgreSQL stores them in a row, made once and used as datums as often as a row is written.

use std::rc::Rc;

use quote_collab_core::jsonb::length_header;

/// A text as a datum of type text; a column name is short enough for the header of one byte, whatever the name.
pub fn text(text: &str) -> Rc<[u8]> {
    let length = text.len() + 1;
    let header = u8::try_from(length).ok().filter(|length| *length < 0x80).map(one_byte);
    if let Some(header) = header {
        return std::iter::once(header).chain(text.bytes()).collect();
    }
    let header = length_header(u32::try_from(text.len() + 4).unwrap_or_default());
    header.to_ne_bytes().into_iter().chain(text.bytes()).collect()
}

/// A short text as a datum of type text; `N` is its length and one.
pub const fn short<const N: usize>(text: &str) -> [u8; N] {
    let (bytes, mut made, mut place) = (text.as_bytes(), [0; N], 1);
    assert!(bytes.len() + 1 == N && N < 0x80);
    #[expect(clippy::cast_possible_truncation, reason = "below 128")]
    {
        made[0] = one_byte(N as u8);
    }
    while place < N {
        made[place] = bytes[place - 1];
        place += 1;
    }
    made
}

/// The header of one byte, of a value of so many bytes, itself included (`postgres.h`).
const fn one_byte(length: u8) -> u8 {
    if cfg!(target_endian = "little") { length << 1 | 1 } else { length | 0x80 }
}
