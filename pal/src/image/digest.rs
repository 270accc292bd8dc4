//! The SHA-256 digest of an image. The computation is in `hash`.

use core::fmt;
use core::str::FromStr;

use crate::print::print_by_name;

/// A SHA-256 digest. Displayed as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// A text that is no digest: not 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestInvalid {
    /// The offset of the first byte that is wrong or missing, or 64 if there are more.
    pub at_bytes: usize,
}

print_by_name!(DigestInvalid);

/// From 64 hex digits, in upper or lower case.
impl FromStr for Digest {
    type Err = DigestInvalid;

    fn from_str(text: &str) -> Result<Self, DigestInvalid> {
        let (mut bytes, mut digits) = ([0; 32], text.bytes());
        for at_bytes in 0..2 * bytes.len() {
            let digit =
                digits.next().and_then(|digit| char::from(digit).to_digit(16)).ok_or(DigestInvalid { at_bytes })?;
            let byte = &mut bytes[at_bytes / 2];
            *byte = *byte << 4 | digit as u8;
        }
        digits.next().map_or(Ok(Self(bytes)), |_| Err(DigestInvalid { at_bytes: 2 * bytes.len() }))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::sha256;
    use std::string::{String, ToString};

    #[test]
    fn a_digest_prints_as_hex() {
        // FIPS 180-4 example: SHA-256 of "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc").to_string(), expected);
        assert_eq!(expected.parse(), Ok(sha256(b"abc")));
        assert_eq!(expected.to_uppercase().parse(), Ok(sha256(b"abc")));
    }

    #[test]
    fn only_64_hex_digits_are_a_digest_and_the_first_other_byte_is_named() {
        let good = "0123456789abcdef".repeat(4);
        let with = |at_bytes, byte| String::from_iter([&good[..at_bytes], byte, &good[at_bytes + 1..]]);
        for (text, at_bytes) in [
            (String::new(), 0),
            (good[..63].into(), 63),
            (good.repeat(2), 64),
            (with(0, "g"), 0),
            (with(1, "+"), 1),
            (with(31, " "), 31),
            (with(63, "\n"), 63),
            (with(40, "\u{e9}"), 40),
            (std::format!("0x{good}"), 1),
            (std::format!("{good}\n"), 64),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(DigestInvalid { at_bytes }), "{text:?}");
        }
    }
}
