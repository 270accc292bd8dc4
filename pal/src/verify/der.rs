//! Parser for ECDSA signatures in DER: a SEQUENCE of two INTEGERs. Strict: each signature has exactly one encoding, and
//! every other is refused.
//!
//! Source: RFC 3279, section 2.2.3 (Ecdsa-Sig-Value); X.690, sections 8.3 and 10.1.

use core::ops::RangeInclusive;

use crate::verify::signature::SignatureRefusal;

const TAG_SEQUENCE: u8 = 0x30;
const TAG_INTEGER: u8 = 0x02;

/// Bytes of a P-256 scalar.
pub(crate) const SCALAR_BYTES: usize = 32;

/// Parses the two scalars of `der`, big endian. Their range is checked by the curve implementation.
///
/// # Errors
/// [`SignatureRefusal::SignatureMalformed`] with the offset of the first invalid byte.
pub(crate) fn scalars(der: &[u8]) -> Result<([u8; SCALAR_BYTES], [u8; SCALAR_BYTES]), SignatureRefusal> {
    let mut reader = Reader { der, at: 0 };
    reader.scalars().ok_or(SignatureRefusal::SignatureMalformed { at_bytes: reader.at })
}

/// Reads from the start to the end; where it returns `None`, it is at the first invalid byte.
struct Reader<'a> {
    der: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn scalars(&mut self) -> Option<([u8; SCALAR_BYTES], [u8; SCALAR_BYTES])> {
        let body = self.length_of(TAG_SEQUENCE)?;
        if body != self.der.len() - self.at {
            return None;
        }
        let scalars = (self.positive_integer()?, self.positive_integer()?);
        (self.at == self.der.len()).then_some(scalars)
    }

    /// Reads a tag and its length. Two P-256 scalars need at most 70 bytes, so the long form of a length is never
    /// minimal.
    fn length_of(&mut self, tag: u8) -> Option<usize> {
        self.byte(tag..=tag)?;
        self.byte(0..=0x7F).map(usize::from)
    }

    /// Reads a byte in `allowed`.
    fn byte(&mut self, allowed: RangeInclusive<u8>) -> Option<u8> {
        let byte = *self.der.get(self.at).filter(|byte| allowed.contains(byte))?;
        self.at += 1;
        Some(byte)
    }

    fn positive_integer(&mut self) -> Option<[u8; SCALAR_BYTES]> {
        let len = self.length_of(TAG_INTEGER)?;
        let content = self.der.get(self.at..self.at + len)?;
        let digits = match content {
            // A leading zero byte is allowed only before a set top bit.
            [0, rest @ ..] if rest.first().is_some_and(|byte| byte & 0x80 != 0) => rest,
            [1..=0x7F, ..] => content,
            _ => return None,
        };
        let mut scalar = [0; SCALAR_BYTES];
        let start = SCALAR_BYTES.checked_sub(digits.len())?;
        scalar[start..].copy_from_slice(digits);
        self.at += len;
        Some(scalar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// Encodes a SEQUENCE of two INTEGERs with these contents.
    fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
        let mut bytes = vec![TAG_SEQUENCE, (4 + r.len() + s.len()) as u8, TAG_INTEGER, r.len() as u8];
        bytes.extend(r);
        bytes.extend([TAG_INTEGER, s.len() as u8]);
        bytes.extend(s);
        bytes
    }

    fn scalar(digits: &[u8]) -> [u8; SCALAR_BYTES] {
        let mut scalar = [0; SCALAR_BYTES];
        scalar[SCALAR_BYTES - digits.len()..].copy_from_slice(digits);
        scalar
    }

    fn malformed(der: &[u8]) -> usize {
        match scalars(der) {
            Err(SignatureRefusal::SignatureMalformed { at_bytes }) => at_bytes,
            other => panic!("{der:02x?}: {other:?}"),
        }
    }

    #[test]
    fn short_long_and_high_scalars_are_read() {
        let mut high = vec![0];
        high.extend([0xFF; 32]);
        assert_eq!(scalars(&der(&[1], &[0x7F; 32])), Ok((scalar(&[1]), scalar(&[0x7F; 32]))));
        assert_eq!(scalars(&der(&high, &[0, 0x80])), Ok((scalar(&[0xFF; 32]), scalar(&[0x80]))));
    }

    #[test]
    fn every_cut_of_a_signature_is_malformed() {
        let whole = der(&[0x11; 32], &[0x22; 32]);
        for len in 0..whole.len() {
            malformed(&whole[..len]);
        }
    }

    #[test]
    fn a_second_encoding_of_a_signature_is_malformed() {
        assert_eq!(malformed(&der(&[0, 1], &[1])), 4, "a leading zero byte that is not needed");
        assert_eq!(malformed(&der(&[0], &[1])), 4, "zero");
        assert_eq!(malformed(&der(&[0x80], &[1])), 4, "negative");
        assert_eq!(malformed(&der(&[], &[1])), 4, "no digits");
        assert_eq!(malformed(&der(&[1; 33], &[1])), 4, "33 bytes");
        assert_eq!(malformed(&[0x30, 0x81, 0x06, 2, 1, 1, 2, 1, 1]), 1, "a length in the long form");
        assert_eq!(malformed(&[0x30, 0x80, 2, 1, 1, 2, 1, 1, 0, 0]), 1, "an indefinite length");
        assert_eq!(malformed(&[0x31, 6, 2, 1, 1, 2, 1, 1]), 0, "a SET");
        assert_eq!(malformed(&[0x30, 6, 3, 1, 1, 2, 1, 1]), 2, "a BIT STRING");
    }

    #[test]
    fn bytes_behind_a_signature_are_malformed() {
        let mut outside = der(&[1], &[1]);
        outside.push(0);
        malformed(&outside);
        let mut inside = outside;
        inside[1] += 1;
        assert_eq!(malformed(&inside), 8);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = scalars(&bytes);
            if let [tag, len, integer, ..] = bytes.as_mut_slice() {
                (*tag, *len, *integer) = (TAG_SEQUENCE, 0, TAG_INTEGER);
                bytes[1] = bytes.len() as u8 - 2;
                let _ = scalars(&bytes);
            }
        }
    }
}
