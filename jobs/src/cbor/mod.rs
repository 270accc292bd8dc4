//! Reader for the subset of CBOR that streams use, without recursion. The writer is in `write`.
//! Indefinite-length strings are skipped, not read. Source: RFC 8949.

mod write;

pub(crate) use write::CborWriter;

use crate::error::{Duplicate, ParseError, Stop};
use crate::limits::CBOR_DEPTH_MAX;
use crate::text::JsonStr;

const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
pub(crate) const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;

const NULL: u8 = 0xF6;

/// One well-formed item, nested no deeper than [`CBOR_DEPTH_MAX`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cbor<'a>(&'a [u8]);

#[derive(Clone, Copy, Debug)]
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The head of an item; a length of `None` is indefinite.
#[derive(Clone, Copy)]
struct Head {
    major: u8,
    value: Option<u64>,
}

impl Head {
    /// The value as a length, saturated: no message is as long as `usize::MAX`.
    fn len(&self) -> Option<usize> {
        self.value.map(|value| usize::try_from(value).unwrap_or(usize::MAX))
    }

    /// Number of items in a container; a map has two per pair.
    fn items(&self) -> Option<usize> {
        self.len().map(|len| if self.major == MAP { len.saturating_mul(2) } else { len })
    }
}

/// The open containers, with the number of items that each still lacks.
#[derive(Default)]
struct Levels {
    left: [Option<usize>; CBOR_DEPTH_MAX],
    depth: usize,
}

impl Levels {
    /// Opens a container of `len` items and returns whether it is already complete.
    fn open(&mut self, len: Option<usize>) -> Result<bool, Stop> {
        if len == Some(0) {
            return Ok(true);
        }
        *self.left.get_mut(self.depth).ok_or(Stop::TooDeep)? = len;
        self.depth += 1;
        Ok(false)
    }

    /// Closes a container of indefinite length; returns false if the innermost is not one.
    fn close(&mut self) -> bool {
        let is_indefinite = self.depth > 0 && self.left[self.depth - 1].is_none();
        self.depth -= usize::from(is_indefinite);
        is_indefinite
    }

    /// Counts a complete item and the containers that it completes; returns whether the outermost item is complete.
    fn count(&mut self) -> bool {
        while self.depth > 0 {
            match &mut self.left[self.depth - 1] {
                None => return false,
                Some(left) => *left -= 1,
            }
            if self.left[self.depth - 1] != Some(0) {
                return false;
            }
            self.depth -= 1;
        }
        true
    }
}

impl<'a> Reader<'a> {
    /// The error for a reader that stopped at this position.
    fn refused(&self, stop: Stop) -> ParseError {
        match stop {
            Stop::Malformed => ParseError::NotCbor { at: self.at },
            Stop::TooDeep => ParseError::TooDeep { max: CBOR_DEPTH_MAX },
        }
    }

    /// Takes `count` bytes; advances to the end if there are fewer.
    fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count);
        self.at += taken.map_or(rest.len(), |_| count);
        taken.ok_or(Stop::Malformed)
    }

    fn malformed<T>(&mut self, at: usize) -> Result<T, Stop> {
        self.at = at;
        Err(Stop::Malformed)
    }

    fn head(&mut self) -> Result<Head, Stop> {
        let at = self.at;
        let first = self.take(1)?[0];
        let major = first >> 5;
        let value = match first & 0x1F {
            small @ 0..=23 => Some(u64::from(small)),
            wide @ 24..=27 => {
                let bytes = self.take(1 << (wide - 24))?;
                Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
            }
            31 if !matches!(major, UNSIGNED | 1 | TAG) => None,
            _ => return self.malformed(at),
        };
        Ok(Head { major, value })
    }

    /// Skips one item.
    fn skip(&mut self) -> Result<(), Stop> {
        let mut levels = Levels::default();
        loop {
            let at = self.at;
            let head = self.head()?;
            let is_complete = match (head.major, head.len()) {
                (BYTES | TEXT, Some(len)) => self.take(len).map(|_| true)?,
                (BYTES | TEXT, None) => self.pieces(head.major).map(|()| true)?,
                (ARRAY | MAP, _) => levels.open(head.items())?,
                (TAG, _) => false, // the item that it tags follows
                (SIMPLE, None) if levels.close() => true,
                (SIMPLE, None) => return self.malformed(at),
                _ => true,
            };
            if is_complete && levels.count() {
                return Ok(());
            }
        }
    }

    /// Skips the chunks of an indefinite-length string.
    fn pieces(&mut self, major: u8) -> Result<(), Stop> {
        loop {
            let at = self.at;
            let head = self.head()?;
            match (head.major, head.len()) {
                (SIMPLE, None) => return Ok(()),
                (piece, Some(len)) if piece == major => drop(self.take(len)?),
                _ => return self.malformed(at),
            }
        }
    }
}

impl<'a> Cbor<'a> {
    /// Validates that `bytes` are exactly one item.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader { bytes, at: 0 };
        match reader.skip() {
            Ok(()) if reader.at == bytes.len() => Ok(Self(bytes)),
            Ok(()) => Err(reader.refused(Stop::Malformed)),
            Err(stop) => Err(reader.refused(stop)),
        }
    }

    /// Returns the items of a container of this type, alternating keys and values for a map; nothing if the type
    /// differs.
    pub(crate) fn items(self, container: u8) -> Items<'a> {
        let mut reader = Reader { bytes: self.0, at: 0 };
        match reader.head() {
            Ok(head) if head.major == container => Items(reader),
            _ => Items(Reader { bytes: &[], at: 0 }),
        }
    }

    /// Returns the value of a key of a map; `None` if it is absent or null.
    ///
    /// Errors: [`Duplicate`].
    pub(crate) fn find(self, key: &str) -> Result<Option<Self>, Duplicate> {
        let mut items = self.items(MAP);
        let mut found = None;
        while let (Some(known), Some(value)) = (items.next(), items.next()) {
            if known.string(TEXT) == Some(key.as_bytes()) && found.replace(value).is_some() {
                return Err(Duplicate);
            }
        }
        Ok(found.filter(|value: &Cbor<'_>| value.0 != [NULL]))
    }

    pub(crate) fn is_map(self) -> bool {
        self.0[0] >> 5 == MAP
    }

    pub(crate) fn is_array(self) -> bool {
        self.0[0] >> 5 == ARRAY
    }

    /// Returns the value of an unsigned integer.
    pub(crate) fn unsigned(self) -> Option<u64> {
        match (Reader { bytes: self.0, at: 0 }).head() {
            Ok(Head { major: UNSIGNED, value }) => value,
            _ => None,
        }
    }

    pub(crate) fn text(self, field: &'static str) -> Result<JsonStr<'a>, ParseError> {
        let bytes = self.string(TEXT).ok_or(ParseError::WrongType { field })?;
        let text = core::str::from_utf8(bytes).map_err(|_| ParseError::WrongType { field })?;
        Ok(JsonStr::plain_of(field, text))
    }

    pub(crate) fn bytes(self, field: &'static str) -> Result<&'a [u8], ParseError> {
        self.string(BYTES).ok_or(ParseError::WrongType { field })
    }

    fn string(self, major: u8) -> Option<&'a [u8]> {
        let mut reader = Reader { bytes: self.0, at: 0 };
        let head = reader.head().ok()?;
        if head.major == major { reader.take(head.len()?).ok() } else { None }
    }
}

/// The items of a container.
#[derive(Clone, Debug)]
pub(crate) struct Items<'a>(Reader<'a>);

impl<'a> Iterator for Items<'a> {
    type Item = Cbor<'a>;

    fn next(&mut self) -> Option<Cbor<'a>> {
        let start = self.0.at;
        // Validated before, so only the end of the container is not an item: the end of the bytes, or a break.
        self.0.skip().ok()?;
        self.0.bytes.get(start..self.0.at).map(Cbor)
    }
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_are_found_in_any_order_and_whatever_lies_between() {
        // {"x": [1, {"f": 9}], "f": 7, "n": null}
        let bytes = b"\xa3\x61x\x82\x01\xa1\x61f\x09\x61f\x07\x61n\xf6";
        let map = Cbor::parse(bytes).unwrap();
        assert_eq!(map.find("f").unwrap().unwrap().unsigned(), Some(7));
        assert!(map.find("n").unwrap().is_none() && map.find("y").unwrap().is_none());
        let twice = Cbor::parse(b"\xa2\x61f\x01\x61f\x02").unwrap();
        assert_eq!(twice.find("f").err(), Some(Duplicate));
    }

    #[test]
    fn lengths_may_be_indefinite_and_numbers_wide() {
        // {_ "f": 7 in eight bytes, "u": (_ "ab"), "l": [_ 1, 2], "t": 1(2)}
        let bytes = b"\xbf\x61f\x1b\0\0\0\0\0\0\0\x07\x61u\x7f\x62ab\xff\x61l\x9f\x01\x02\xff\x61t\xc1\x02\xff";
        let map = Cbor::parse(bytes).unwrap();
        assert_eq!(map.find("f").unwrap().unwrap().unsigned(), Some(7));
        assert_eq!(map.find("l").unwrap().unwrap().items(ARRAY).count(), 2);
        assert_eq!(map.find("u").unwrap().unwrap().text("u"), Err(ParseError::WrongType { field: "u" }));
    }

    #[test]
    fn what_is_not_one_item_is_refused_at_the_byte() {
        for (bytes, at) in [
            (&b""[..], 0),
            (b"\xa1", 1),
            (b"\xa1\x61f", 3),
            (b"\x42\x00", 2),
            (b"\x18", 1),
            (b"\x1c", 0),
            (b"\x1f", 0),
            (b"\xff", 0),
            (b"\x01\x01", 1),
            (b"\x9f\x01", 2),
            (b"\x82\x01\xff", 2),
            (b"\x5f\x61a\xff", 1),
            (b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff", 9),
            (b"\xdf", 0),
            (b"\xc1", 1),
            (b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10),
        ] {
            assert_eq!(Cbor::parse(bytes).err(), Some(ParseError::NotCbor { at }), "{bytes:x?}");
        }
    }

    #[test]
    fn eight_levels_are_taken_and_nine_are_not_however_many_thousands_follow() {
        let nested = |levels| [vec![0x81; levels], vec![0x01]].concat();
        assert!(Cbor::parse(&nested(8)).is_ok());
        for levels in [9, 50_000] {
            assert_eq!(Cbor::parse(&nested(levels)).err(), Some(ParseError::TooDeep { max: 8 }));
        }
        assert!(Cbor::parse(&[vec![0xC1; 50_000], vec![0x01]].concat()).is_ok(), "tags cost no level");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        /// Compares with minicbor. It validates the texts that it skips, unlike this reader, so texts are made byte
        /// strings.
        #[test]
        fn what_is_taken_is_taken_by_another_parser(mut bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            for byte in bytes.iter_mut().filter(|byte| **byte >> 5 == TEXT) {
                *byte = BYTES << 5 | *byte & 0x1F;
            }
            if Cbor::parse(&bytes).is_ok() {
                let mut theirs = minicbor::Decoder::new(&bytes);
                prop_assert!(theirs.skip().is_ok());
                prop_assert_eq!(theirs.position(), bytes.len());
            }
        }

        #[test]
        fn what_another_writer_writes_is_read(number: u64, text: std::string::String, bytes: Vec<u8>) {
            let mut theirs = minicbor::Encoder::new(Vec::new());
            theirs.begin_map().unwrap().str("n").unwrap().u64(number).unwrap();
            theirs.str("t").unwrap().str(&text).unwrap().str("b").unwrap().bytes(&bytes).unwrap().end().unwrap();
            let theirs = theirs.into_writer();
            let map = Cbor::parse(&theirs).unwrap();
            prop_assert_eq!(map.find("n").unwrap().unwrap().unsigned(), Some(number));
            prop_assert!(map.find("t").unwrap().unwrap().text("t").unwrap() == text.as_str());
            prop_assert_eq!(map.find("b").unwrap().unwrap().bytes("b"), Ok(&bytes[..]));
        }
    }
}
