//! PostgreSQL's stored form of jsonb, as far as a changed row needs it: one value, and an object of values.
//!
//! Source: `utils/jsonb.h` and `jsonb_util.c` of PostgreSQL. The form is kept from version to version, since data files
//! survive an upgrade. What is written here is byte for byte what `to_jsonb` writes, without the header that tells the
//! length of the whole value.

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// JSON's null.
    Null,
    /// A truth value.
    Bool(bool),
    /// A text in UTF-8.
    Text(&'a [u8]),
    /// The bytes of a stored numeric behind its length header; finite.
    Number(&'a [u8]),
    /// A stored array or object, without the header of the whole value.
    Container(&'a [u8]),
}

impl Value<'_> {
    /// The bytes of its payload.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) => 0,
            Self::Text(bytes) | Self::Number(bytes) | Self::Container(bytes) => bytes.len(),
        }
    }
}

/// Longest payload that an entry's length field can tell.
pub const LONGEST: usize = LENGTH as usize;

const SCALAR: u32 = 0x1000_0000;
const OBJECT: u32 = 0x2000_0000;
const ARRAY: u32 = 0x4000_0000;
const IS_NUMBER: u32 = 0x1000_0000;
const IS_FALSE: u32 = 0x2000_0000;
const IS_TRUE: u32 = 0x3000_0000;
const IS_NULL: u32 = 0x4000_0000;
const IS_CONTAINER: u32 = 0x5000_0000;
const KIND: u32 = 0x7000_0000;
/// Of an entry.
const LENGTH: u32 = 0x0FFF_FFFF;
/// Of the header of an array or object: its elements, or its pairs.
const COUNT: u32 = 0x0FFF_FFFF;
/// The entry tells where its value ends, not how long it is.
const HAS_OFFSET: u32 = 0x8000_0000;
/// Every so many entries one tells its end, so that a reader need not add up all lengths.
const STRIDE: usize = 32;
const ENTRY: usize = 4;

/// Bytes that [`single`] appends.
#[must_use]
pub fn single_size(value: Value<'_>) -> usize {
    match value {
        Value::Container(stored) => stored.len(),
        scalar => container_size(std::iter::once(scalar)),
    }
}

/// Bytes that [`object`] appends to what ends at a multiple of four.
#[must_use]
pub fn object_size(members: &[(&str, Value<'_>)]) -> usize {
    let names = members.iter().map(|(name, _)| Value::Text(name.as_bytes()));
    container_size(names.chain(members.iter().map(|(_, value)| *value)))
}

fn container_size<'a>(entries: impl Iterator<Item = Value<'a>> + Clone) -> usize {
    let first = ENTRY + entries.clone().count() * ENTRY;
    entries.fold(first, |end, entry| match entry {
        Value::Number(digits) => end.next_multiple_of(4) + 4 + digits.len(),
        Value::Container(stored) => end.next_multiple_of(4) + stored.len(),
        scalar => end + scalar.size(),
    })
}

/// Appends a jsonb that is just one value. Its payload must not exceed [`LONGEST`].
pub fn single(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Container(stored) => out.extend_from_slice(stored),
        scalar => container(out, ARRAY | SCALAR | 1, &[scalar]),
    }
}

/// The value that a stored jsonb is; `None` for bytes that are none. An array or object is not looked into.
///
/// # Examples
/// ```
/// use quote_collab_core::jsonb::{Value, root, single};
/// let mut stored = Vec::new();
/// single(&mut stored, Value::Text(b"x"));
/// assert_eq!(root(&stored), Some(Value::Text(b"x")));
/// ```
#[must_use]
pub fn root(stored: &[u8]) -> Option<Value<'_>> {
    let (header, rest) = stored.split_first_chunk()?;
    if u32::from_ne_bytes(*header) & SCALAR == 0 {
        return Some(Value::Container(stored));
    }
    let (entry, payload) = rest.split_first_chunk()?;
    Some(match u32::from_ne_bytes(*entry) & KIND {
        0 => Value::Text(payload),
        IS_NUMBER => Value::Number(payload.get(4..)?),
        IS_FALSE => Value::Bool(false),
        IS_TRUE => Value::Bool(true),
        IS_NULL => Value::Null,
        _ => return None,
    })
}

/// What a stored jsonb becomes as text, without printing it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Characters that its numbers print as, signs and points counted for each: a number of eight bytes may have 131,072 digits.
    pub digits: u64,
    /// Arrays and objects that stand in each other; zero for a single value.
    pub depth: u32,
}

/// The extent of a stored jsonb. What is not one is looked at as far as it goes.
///
/// # Examples
/// ```
/// use quote_collab_core::jsonb::{Extent, Value, extent, object};
/// let mut stored = Vec::new();
/// object(&mut stored, &[("a", Value::Text(b"x"))]);
/// assert_eq!(extent(&stored), Extent { digits: 0, depth: 1 });
/// ```
#[must_use]
pub fn extent(stored: &[u8]) -> Extent {
    let mut extent = Extent::default();
    // Not by recursion: how deep a value is, its writer says.
    let mut waiting = vec![(stored, 1)];
    while let Some((container, depth)) = waiting.pop() {
        let Some((header, rest)) = container.split_first_chunk() else { continue };
        let header = u32::from_ne_bytes(*header);
        let count = (header & COUNT) as usize * if header & OBJECT == 0 { 1 } else { 2 };
        let (entries, payload) = rest.split_at(rest.len().min(count * ENTRY));
        if header & SCALAR == 0 {
            extent.depth = extent.depth.max(depth);
        }
        let mut end = 0;
        for entry in entries.as_chunks::<ENTRY>().0.iter().map(|entry| u32::from_ne_bytes(*entry)) {
            let (begin, length) = (end, (entry & LENGTH) as usize);
            end = if entry & HAS_OFFSET == 0 { begin + length } else { length };
            let value = payload.get(begin.next_multiple_of(ENTRY)..end);
            match (entry & KIND, value) {
                (IS_NUMBER, Some([_, _, _, _, digits @ ..])) => extent.digits += printed(digits),
                (IS_CONTAINER, Some(inner)) => waiting.push((inner, depth + 1)),
                _ => {}
            }
        }
    }
    extent
}

/// The most characters that a finite numeric prints as, given its bytes behind the length header. Source: `numeric.c`.
fn printed(number: &[u8]) -> u64 {
    const IS_SHORT: u16 = 0x8000;
    let half = |at| number.get(at..at + 2).and_then(|two| two.try_into().ok()).map_or(0, u16::from_ne_bytes);
    let header = half(0);
    let (weight, scale) = if header & IS_SHORT == 0 {
        (i32::from(half(2).cast_signed()), header & 0x3FFF)
    } else {
        let weight = i32::from(header & 0x3F);
        (if header & 0x40 == 0 { weight } else { weight - 0x40 }, (header & 0x1F80) >> 7)
    };
    // Four digits for each place of the weight, a sign and a point.
    let whole = 4 * u64::try_from(weight.max(0) + 1).unwrap_or_default();
    whole + u64::from(scale) + 2
}

/// Whether jsonb takes a text that json has taken: json does not look into escapes, and knows no largest number. What has no
/// value as a text or as a numeric is not held: `\u0000`, half of a surrogate pair, a number of more than 16,000 places.
///
/// # Examples
/// ```
/// use quote_collab_core::jsonb::holds;
/// assert!(holds(br#"{"a": [1.5e3, "\ud83d\ude00"]}"#));
/// assert!(!holds(br#""\u0000""#));
/// assert!(!holds(b"[1e999999]"));
/// ```
#[must_use]
pub fn holds(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some((first, tail)) = rest.split_first() {
        let taken = match first {
            b'"' => string(tail),
            b'0'..=b'9' => number(rest),
            _ => Some(tail),
        };
        let Some(behind) = taken else { return false };
        rest = behind;
    }
    true
}

/// What follows a string, of which this is the rest; `None` when jsonb does not take it.
fn string(mut rest: &[u8]) -> Option<&[u8]> {
    // Whether half of a pair waits for the other.
    let mut is_half = false;
    loop {
        let unit = match rest {
            [b'\\', b'u', digits @ ..] => {
                let (digits, tail) = digits.split_first_chunk::<4>()?;
                rest = tail;
                u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            [b'"', tail @ ..] => return (!is_half).then_some(tail),
            [b'\\', _, tail @ ..] | [_, tail @ ..] => {
                rest = tail;
                1
            }
            [] => return Some(rest),
        };
        is_half = match unit {
            0xDC00..=0xDFFF if is_half => false,
            0 | 0xDC00..=0xDFFF => return None,
            _ if is_half => return None,
            0xD800..=0xDBFF => true,
            _ => false,
        };
    }
}

/// What follows a number; `None` when it is longer than a numeric may be.
fn number(json: &[u8]) -> Option<&[u8]> {
    const PLACES: usize = 16_000;
    let end = json.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    let (number, rest) = json.split_at(end.unwrap_or(json.len()));
    let exponent = number.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (digits, exponent) = number.split_at(exponent.unwrap_or(number.len()));
    let exponent = std::str::from_utf8(exponent.get(1..).unwrap_or_default()).ok()?;
    let exponent = if exponent.is_empty() { 0 } else { exponent.parse::<i64>().ok()?.unsigned_abs() };
    (digits.len() < PLACES && usize::try_from(exponent).ok()? < PLACES - digits.len()).then_some(rest)
}

/// Appends a jsonb object. Names must be distinct, and in the order that jsonb keeps them in: by length, then by bytes.
/// All payloads together must not exceed [`LONGEST`], and there must not be more than 2^27 members.
///
/// # Examples
/// ```
/// use quote_collab_core::jsonb::{Value, object};
/// let mut stored = Vec::new();
/// object(&mut stored, &[("a", Value::Null), ("bb", Value::Text(b"x"))]);
/// assert_eq!(stored.len(), 4 + 4 * 4 + 3 + 1);
/// ```
pub fn object(out: &mut Vec<u8>, members: &[(&str, Value<'_>)]) {
    let names = members.iter().map(|(name, _)| Value::Text(name.as_bytes()));
    let entries: Vec<Value<'_>> = names.chain(members.iter().map(|(_, value)| *value)).collect();
    let count = u32::try_from(members.len()).unwrap_or_default();
    container(out, OBJECT | count, &entries);
}

fn container(out: &mut Vec<u8>, header: u32, entries: &[Value<'_>]) {
    let start = out.len();
    word(out, header);
    let first = out.len();
    out.resize(first + entries.len() * ENTRY, 0);
    let payload = out.len();
    for (index, entry) in entries.iter().enumerate() {
        let begin = out.len();
        let kind = append(out, start, *entry);
        let (length, end) = (size(out.len() - begin), size(out.len() - payload));
        let entry = if index.is_multiple_of(STRIDE) { kind | HAS_OFFSET | end } else { kind | length };
        let at = first + index * ENTRY;
        out[at..at + ENTRY].copy_from_slice(&entry.to_ne_bytes());
    }
}

/// Appends a payload and returns the kind that its entry tells.
fn append(out: &mut Vec<u8>, start: usize, value: Value<'_>) -> u32 {
    match value {
        Value::Null => IS_NULL,
        Value::Bool(true) => IS_TRUE,
        Value::Bool(false) => IS_FALSE,
        Value::Text(text) => {
            out.extend_from_slice(text);
            0
        }
        Value::Number(digits) => {
            align(out, start);
            word(out, length_header(size(digits.len() + 4)));
            out.extend_from_slice(digits);
            IS_NUMBER
        }
        Value::Container(stored) => {
            align(out, start);
            out.extend_from_slice(stored);
            IS_CONTAINER
        }
    }
}

/// What is read in place begins at a multiple of four.
fn align(out: &mut Vec<u8>, start: usize) {
    out.resize(start + (out.len() - start).next_multiple_of(4), 0);
}

/// The four-byte header of a value of so many bytes, itself included.
#[must_use]
pub fn length_header(bytes: u32) -> u32 {
    if cfg!(target_endian = "little") { bytes << 2 } else { bytes }
}

fn word(out: &mut Vec<u8>, word: u32) {
    out.extend_from_slice(&word.to_ne_bytes());
}

fn size(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Extent, Value, extent, holds, object, object_size, printed, root, single, single_size};

    fn words(bytes: &[u8]) -> Vec<u32> {
        bytes.chunks_exact(4).map(|four| u32::from_ne_bytes(four.try_into().unwrap())).collect()
    }

    #[test]
    fn a_scalar_is_an_array_of_one() {
        let cases = [
            (Value::Null, 0xC000_0000, 8),
            (Value::Bool(false), 0xA000_0000, 8),
            (Value::Bool(true), 0xB000_0000, 8),
            (Value::Text(b"abcde"), 0x8000_0005, 13),
            (Value::Text(b""), 0x8000_0000, 8),
            (Value::Number(&[0, 0x80, 1, 0]), 0x9000_0008, 16),
        ];
        for (value, entry, length) in cases {
            let mut stored = Vec::new();
            single(&mut stored, value);
            assert_eq!(words(&stored)[..2], [0x5000_0001, entry], "{value:?}");
            assert_eq!((stored.len(), single_size(value)), (length, length), "{value:?}");
            assert_eq!(root(&stored), Some(value));
        }
    }

    #[test]
    fn an_object_in_an_object_stays_as_it_is_stored() {
        let (mut inner, mut outer) = (Vec::new(), Vec::new());
        object(&mut inner, &[("abc", Value::Text(b"x"))]);
        let members = [("a", Value::Null), ("o", Value::Container(&inner))];
        object(&mut outer, &members);
        assert_eq!(object_size(&members), outer.len());
        assert_eq!(words(&outer)[..5], [0x2000_0002, 0x8000_0001, 1, 0x4000_0000, 0x5000_0012]);
        assert_eq!(outer[24..], inner);
        assert_eq!(root(&outer), Some(Value::Container(&outer)));
        assert_eq!(root(b"abc"), None);
    }

    #[test]
    fn a_number_in_an_object_begins_at_a_multiple_of_four() {
        let mut stored = vec![0xFF];
        object(&mut stored, &[("tax", Value::Number(&[1, 2])), ("total", Value::Number(&[3, 4]))]);
        let stored = &stored[1..];
        assert_eq!(object_size(&[("tax", Value::Number(&[1, 2])), ("total", Value::Number(&[3, 4]))]), 42);
        // Header, four entries, eight letters, then the first number; two bytes of padding go with the second.
        assert_eq!(words(stored)[..5], [0x2000_0002, 0x8000_0003, 5, 0x1000_0006, 0x1000_0008]);
        assert_eq!(&stored[20..28], b"taxtotal");
        assert_eq!((&stored[32..34], &stored[40..42], stored.len()), (&[1, 2][..], &[3, 4][..], 42));
    }

    /// A header of the short form: so many places of four digits beside the first, and a scale.
    fn short(weight: i16, scale: u16) -> [u8; 4] {
        let [low, high] = (0x8000 | scale << 7 | weight.cast_unsigned() & 0x7F).to_ne_bytes();
        [low, high, 1, 0]
    }

    #[test]
    fn a_number_prints_as_its_header_says() {
        assert_eq!(printed(&short(0, 0)), 6, "a digit");
        assert_eq!(printed(&short(2, 3)), 12 + 3 + 2);
        assert_eq!(printed(&short(-3, 12)), 4 + 12 + 2, "0.000000000001");
        let mut long = 16_383_u16.to_ne_bytes().to_vec();
        long.extend(32_767_u16.to_ne_bytes());
        assert_eq!(printed(&long), 131_072 + 16_383 + 2);
        assert_eq!(printed(&[]), 6, "nothing is read behind the end");
    }

    #[test]
    fn an_extent_counts_what_is_deep_inside() {
        let (mut inner, mut outer, mut outermost) = (Vec::new(), Vec::new(), Vec::new());
        let number = short(2, 0);
        object(&mut inner, &[("abc", Value::Text(b"x")), ("defg", Value::Number(&number))]);
        let names: Vec<String> = (10..80).map(|number| number.to_string()).collect();
        let members: Vec<_> = names.iter().map(|name| (name.as_str(), Value::Container(&inner))).collect();
        object(&mut outer, &members);
        object(
            &mut outermost,
            &[("a", Value::Number(&number)), ("o", Value::Container(&outer)), ("p", Value::Null)],
        );
        assert_eq!(extent(&outermost), Extent { digits: 71 * 14, depth: 3 });
        let mut alone = Vec::new();
        single(&mut alone, Value::Number(&number));
        assert_eq!(extent(&alone), Extent { digits: 14, depth: 0 });
        for length in 0..outermost.len() {
            let _ = extent(&outermost[..length]);
        }
        assert_eq!(extent(&[0xFF; 64]).depth, 0);
    }

    #[test]
    fn jsonb_holds_what_has_a_value() {
        for json in [
            r#"{"a": "\\u0000", "b": [-0.5E-10, 12, true]}"#,
            r#""\ud83d\uDE00 x""#,
            "1e100",
            r#""\\""#,
            "\"ü\"",
            "",
        ] {
            assert!(holds(json.as_bytes()), "{json}");
        }
        let long = "1".repeat(20_000);
        for json in [
            r#"{"\u0000": 1}"#,
            r#""\ud83d""#,
            r#""\ud83d x""#,
            r#""\ud83d\ud83d""#,
            r#""\ude00""#,
            "1e99999999999999999999",
            "[1, 1E-20000]",
            &long,
        ] {
            assert!(!holds(json.as_bytes()), "{json}");
        }
    }

    #[test]
    fn one_entry_in_thirty_two_tells_its_end() {
        let names: Vec<String> = (10..50).map(|number| number.to_string()).collect();
        let members: Vec<_> = names.iter().map(|name| (name.as_str(), Value::Text(b"x"))).collect();
        let mut stored = Vec::new();
        object(&mut stored, &members);
        let entries = &words(&stored)[1..=80];
        for (index, entry) in entries.iter().enumerate() {
            let (length, end) = if index < 40 { (2, 2 * index + 2) } else { (1, 80 + index - 39) };
            let expected = if index % 32 == 0 { 0x8000_0000 | u32::try_from(end).unwrap() } else { length };
            assert_eq!(*entry, expected, "entry {index}");
        }
    }
}
