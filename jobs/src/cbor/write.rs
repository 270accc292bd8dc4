//! The part of CBOR that streams need: writing, into the caller's buffer.

use super::{ARRAY, BYTES, MAP, TEXT, UNSIGNED};
use crate::error::EmitError;
use crate::text::Escaped;

/// Writes items one after another, heads as short as they can be.
pub(crate) struct Writer<'b> {
    out: &'b mut [u8],
    len: usize,
}

impl<'b> Writer<'b> {
    pub(crate) fn new(out: &'b mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// Bytes written.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn map(&mut self, pairs: usize) -> Result<(), EmitError> {
        self.head(MAP, pairs as u64)
    }

    pub(crate) fn array(&mut self, items: usize) -> Result<(), EmitError> {
        self.head(ARRAY, items as u64)
    }

    pub(crate) fn number(&mut self, key: &str, number: u32) -> Result<(), EmitError> {
        self.key(key)?;
        self.head(UNSIGNED, number.into())
    }

    pub(crate) fn bytes(&mut self, key: &str, bytes: &[u8]) -> Result<(), EmitError> {
        self.key(key)?;
        self.head(BYTES, bytes.len() as u64)?;
        self.push(bytes)
    }

    /// As [`Self::bytes`], from bytes that come one by one.
    pub(crate) fn bytes_from(
        &mut self,
        key: &str,
        len: usize,
        mut bytes: impl Iterator<Item = u8>,
    ) -> Result<(), EmitError> {
        self.key(key)?;
        self.head(BYTES, len as u64)?;
        bytes.try_for_each(|byte| self.push(&[byte]))
    }

    pub(crate) fn text(&mut self, key: &str, text: &Escaped<'_>) -> Result<(), EmitError> {
        self.key(key)?;
        self.head(TEXT, text.len() as u64)?;
        text.chars().try_for_each(|char| self.push(char.encode_utf8(&mut [0; 4]).as_bytes()))
    }

    pub(crate) fn key(&mut self, key: &str) -> Result<(), EmitError> {
        self.head(TEXT, key.len() as u64)?;
        self.push(key.as_bytes())
    }

    fn head(&mut self, major: u8, value: u64) -> Result<(), EmitError> {
        let major = major << 5;
        let bytes = value.to_be_bytes();
        let (info, width) = match value {
            0..=23 => return self.push(&[major | value as u8]),
            24..=0xFF => (24, 1),
            0x100..=0xFFFF => (25, 2),
            0x1_0000..=0xFFFF_FFFF => (26, 4),
            _ => (27, 8),
        };
        self.push(&[major | info])?;
        self.push(&bytes[8 - width..])
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), EmitError> {
        let have = self.out.len();
        let place = self.out.get_mut(self.len..self.len + bytes.len());
        place.ok_or(EmitError::BufferTooSmall { have })?.copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
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
            let mut ours = Writer::new(&mut out);
            ours.map(2).unwrap();
            ours.number("n", number).unwrap();
            ours.bytes("b", &bytes).unwrap();
            let len = ours.len();
            prop_assert_eq!(&out[..len], &theirs.into_writer()[..]);
        }
    }
}
