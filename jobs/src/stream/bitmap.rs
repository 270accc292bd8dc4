//! The bitmap of requested blocks: bytes in CBOR, hexadecimal digits in JSON, never copied.

use core::fmt;

use crate::error::{FieldError, ParseError};
use crate::json_writer::JsonWriter;
use crate::limits::BITMAP_BYTES_MAX;
use crate::value::Value;

const FIELD: &str = "b";
const HEX_PREFIX: &str = "0x";

/// Bit k, counted from the lowest of the first byte, is block `offset + k`.
#[derive(Clone, Copy, Debug)]
pub struct Bitmap<'a>(Form<'a>);

#[derive(Clone, Copy, Debug)]
enum Form<'a> {
    Bytes(&'a [u8]),
    /// Two digits per byte, all checked.
    Hex(&'a [u8]),
}

impl<'a> Bitmap<'a> {
    /// Creates a bitmap from bytes.
    ///
    /// Errors: [`FieldError::TooLong`] above [`BITMAP_BYTES_MAX`].
    pub fn new(bytes: &'a [u8]) -> Result<Self, FieldError> {
        check_len(bytes.len())?;
        Ok(Self(Form::Bytes(bytes)))
    }

    /// Reads the bitmap of a message.
    pub(super) fn read(value: Value<'a>) -> Result<Self, ParseError> {
        match value {
            Value::Cbor(cbor) => Ok(Self::new(cbor.bytes(FIELD)?)?),
            Value::Json(json) => {
                let text = json.text(FIELD)?.as_plain().ok_or(ParseError::Invalid { field: FIELD })?;
                Self::from_hex(text)
            }
        }
    }

    /// Writes the bitmap as a JSON member, in digits.
    pub(super) fn write(&self, writer: &mut JsonWriter<'_>) {
        writer.hex(FIELD, HEX_PREFIX, self.bytes());
    }

    /// Reads a bitmap in digits, `0x130080`.
    fn from_hex(text: &'a str) -> Result<Self, ParseError> {
        let invalid = ParseError::Invalid { field: FIELD };
        let digits = text.strip_prefix(HEX_PREFIX).ok_or(invalid)?.as_bytes();
        if digits.len() % 2 == 1 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(invalid);
        }
        check_len(digits.len() / 2)?;
        Ok(Self(Form::Hex(digits)))
    }

    /// The bytes.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + use<'a> {
        let (bytes, digits) = match self.0 {
            Form::Bytes(bytes) => (bytes, [].as_slice()),
            Form::Hex(digits) => ([].as_slice(), digits),
        };
        let pairs = digits.chunks_exact(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1]));
        bytes.iter().copied().chain(pairs)
    }

    /// Length. Unit: bytes.
    pub const fn len_bytes(&self) -> usize {
        match self.0 {
            Form::Bytes(bytes) => bytes.len(),
            Form::Hex(digits) => digits.len() / 2,
        }
    }

    /// The indices of the set bits, ascending.
    pub fn ones(&self) -> impl Iterator<Item = u32> + use<'a> {
        let bits = |byte: u8| (0..8).filter(move |bit| byte >> bit & 1 == 1);
        self.bytes().zip(0u32..).flat_map(move |(byte, at)| bits(byte).map(move |bit| at * 8 + bit))
    }
}

/// Formats as in JSON: `0x` and two digits per byte.
impl fmt::Display for Bitmap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEX_PREFIX)?;
        self.bytes().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl PartialEq for Bitmap<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes().eq(other.bytes())
    }
}

impl Eq for Bitmap<'_> {}

fn check_len(got: usize) -> Result<(), FieldError> {
    if got > BITMAP_BYTES_MAX {
        return Err(FieldError::TooLong { field: FIELD, got, max: BITMAP_BYTES_MAX });
    }
    Ok(())
}

/// The value of a hexadecimal digit.
fn nibble(digit: u8) -> u8 {
    char::from(digit).to_digit(16).expect("the digits were checked") as u8
}

#[cfg(test)]
mod tests {
    use std::{string::String, string::ToString, vec};

    use super::*;

    #[test]
    fn bits_are_counted_from_the_lowest_of_the_first_byte() {
        let want = [0, 1, 4, 23];
        assert!(Bitmap::new(&[0x13, 0x00, 0x80]).unwrap().ones().eq(want));
        assert!(Bitmap::from_hex("0x130080").unwrap().ones().eq(want));
        assert_eq!(Bitmap::new(&[0x13, 0x00, 0x80]).unwrap().to_string(), "0x130080");
        assert_eq!(Bitmap::from_hex("0xAbcD").unwrap(), Bitmap::new(&[0xAB, 0xCD]).unwrap());
        assert_ne!(Bitmap::from_hex("0xAbcD").unwrap(), Bitmap::new(&[0xAB, 0xCE]).unwrap());
        assert_eq!(Bitmap::from_hex("0x130080").unwrap().len_bytes(), 3);
        assert_eq!(Bitmap::new(&[0x13, 0x00, 0x80]).unwrap().len_bytes(), 3);
    }

    #[test]
    fn digits_that_are_no_bytes_are_refused() {
        for text in ["", "13", "0x1", "0x12 4", "0x+1", "0X13", "0xg0", "MQ=="] {
            assert_eq!(Bitmap::from_hex(text).err(), Some(ParseError::Invalid { field: "b" }), "{text}");
        }
        assert_eq!(Bitmap::from_hex("0x").unwrap().ones().count(), 0);
    }

    #[test]
    fn a_bitmap_ends_below_12_288_bytes() {
        let error = FieldError::TooLong { field: "b", got: 12_288, max: 12_287 };
        assert!(Bitmap::new(&vec![0; 12_287]).is_ok());
        assert_eq!(Bitmap::new(&vec![0; 12_288]), Err(error));
        let digits = String::from("0x") + &"00".repeat(12_288);
        assert_eq!(Bitmap::from_hex(&digits), Err(error.into()));
    }
}
