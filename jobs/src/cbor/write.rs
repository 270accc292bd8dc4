//! Writer for the subset of CBOR that streams use.

use super::{ARRAY, BYTES, MAP, TEXT, UNSIGNED};
use crate::buffer::Buffer;
use crate::error::EmitError;
use crate::text::JsonStr;

/// Appends items with the shortest possible heads.
pub(crate) struct CborWriter<'b>(Buffer<'b>);

impl<'b> CborWriter<'b> {
    pub(crate) fn new(out: &'b mut [u8]) -> Self {
        Self(Buffer::new(out))
    }

    /// Returns the number of bytes written.
    ///
    /// Errors: [`EmitError::BufferTooSmall`].
    pub(crate) fn finish(self) -> Result<usize, EmitError> {
        self.0.finish()
    }

    pub(crate) fn map(&mut self, pairs: usize) {
        self.head(MAP, pairs as u64);
    }

    pub(crate) fn array(&mut self, items: usize) {
        self.head(ARRAY, items as u64);
    }

    pub(crate) fn number(&mut self, key: &str, number: u32) {
        self.key(key);
        self.head(UNSIGNED, number.into());
    }

    pub(crate) fn bytes(&mut self, key: &str, bytes: &[u8]) {
        self.key(key);
        self.head(BYTES, bytes.len() as u64);
        self.0.push(bytes);
    }

    /// Writes bytes from an iterator; otherwise as [`Self::bytes`].
    pub(crate) fn bytes_from(&mut self, key: &str, len: usize, bytes: impl Iterator<Item = u8>) {
        self.key(key);
        self.head(BYTES, len as u64);
        bytes.for_each(|byte| self.0.push(&[byte]));
    }

    /// Writes a text, or nothing if there is none.
    pub(crate) fn optional_text(&mut self, key: &str, text: Option<JsonStr<'_>>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    pub(crate) fn text(&mut self, key: &str, text: JsonStr<'_>) {
        self.key(key);
        self.head(TEXT, text.len() as u64);
        text.chars().for_each(|char| self.0.push_char(char));
    }

    pub(crate) fn key(&mut self, key: &str) {
        self.head(TEXT, key.len() as u64);
        self.0.push(key.as_bytes());
    }

    fn head(&mut self, major: u8, value: u64) {
        let major = major << 5;
        let bytes = value.to_be_bytes();
        let (info, width) = match value {
            0..=23 => return self.0.push(&[major | value as u8]),
            24..=0xFF => (24, 1),
            0x100..=0xFFFF => (25, 2),
            0x1_0000..=0xFFFF_FFFF => (26, 4),
            _ => (27, 8),
        };
        self.0.push(&[major | info]);
        self.0.push(&bytes[8 - width..]);
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn heads_are_as_short_as_those_of_another_writer(number: u32, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut theirs = minicbor::Encoder::new(Vec::new());
            theirs.map(2).unwrap().str("n").unwrap().u32(number).unwrap().str("b").unwrap().bytes(&bytes).unwrap();
            let mut out = [0; 400];
            let mut ours = CborWriter::new(&mut out);
            ours.map(2);
            ours.number("n", number);
            ours.bytes("b", &bytes);
            let len = ours.finish().unwrap();
            prop_assert_eq!(&out[..len], &theirs.into_writer()[..]);
        }
    }
}
