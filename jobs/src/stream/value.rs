//! What the stream messages have in common: one way to read a field, whichever encoding it came in, and the checks.

use crate::cbor::Cbor;
use crate::error::{EmitError, FieldError, ParseError};
use crate::json::RawJson;
use crate::limits::STREAM_TOKEN_BYTES_MAX;
use crate::stream::Bitmap;
use crate::text::Escaped;

/// A value in either encoding.
pub(super) trait Value<'a>: Copy {
    fn is_object(self) -> bool;
    fn member(self, key: &'static str) -> Result<Option<Self>, ParseError>;
    fn number(self, field: &'static str, min: u64, max: u64) -> Result<u64, ParseError>;
    fn text(self, field: &'static str) -> Result<Escaped<'a>, ParseError>;
    fn bitmap(self, field: &'static str) -> Result<Bitmap<'a>, ParseError>;
}

impl<'a> Value<'a> for Cbor<'a> {
    fn is_object(self) -> bool {
        self.is_map()
    }

    fn member(self, key: &'static str) -> Result<Option<Self>, ParseError> {
        self.member(key)
    }

    fn number(self, field: &'static str, min: u64, max: u64) -> Result<u64, ParseError> {
        self.number(field, min, max)
    }

    fn text(self, field: &'static str) -> Result<Escaped<'a>, ParseError> {
        self.text(field)
    }

    fn bitmap(self, field: &'static str) -> Result<Bitmap<'a>, ParseError> {
        Ok(Bitmap::new(self.bytes(field)?)?)
    }
}

impl<'a> Value<'a> for RawJson<'a> {
    fn is_object(self) -> bool {
        RawJson::is_object(&self)
    }

    fn member(self, key: &'static str) -> Result<Option<Self>, ParseError> {
        RawJson::member(&self, key)
    }

    fn number(self, field: &'static str, min: u64, max: u64) -> Result<u64, ParseError> {
        RawJson::number(&self, field, min, max)
    }

    fn text(self, field: &'static str) -> Result<Escaped<'a>, ParseError> {
        RawJson::text(&self, field)
    }

    fn bitmap(self, field: &'static str) -> Result<Bitmap<'a>, ParseError> {
        let text = self.text(field)?.as_plain().ok_or(ParseError::Invalid { field })?;
        Bitmap::from_hex(text)
    }
}

/// `value` if it is an object.
pub(super) fn object<'a, V: Value<'a>>(value: V) -> Result<V, ParseError> {
    if value.is_object() { Ok(value) } else { Err(ParseError::WrongType { field: "message" }) }
}

/// A number that may be absent.
pub(super) fn number<'a>(
    object: impl Value<'a>,
    field: &'static str,
    min: u32,
    max: u32,
) -> Result<Option<u32>, ParseError> {
    match object.member(field)? {
        Some(value) => Ok(Some(value.number(field, min.into(), max.into())? as u32)), // in range, so it fits
        None => Ok(None),
    }
}

/// A number that must be there.
pub(super) fn required<'a>(object: impl Value<'a>, field: &'static str, min: u32, max: u32) -> Result<u32, ParseError> {
    number(object, field, min, max)?.ok_or(ParseError::Missing { field })
}

/// The client token, which may be absent.
pub(super) fn token<'a>(object: impl Value<'a>, field: &'static str) -> Result<Option<Escaped<'a>>, ParseError> {
    let token = object.member(field)?.map(|value| value.text(field)).transpose()?;
    check_token(token.as_ref())?;
    Ok(token)
}

pub(super) fn check_token(token: Option<&Escaped<'_>>) -> Result<(), FieldError> {
    let got = token.map_or(0, Escaped::len);
    if got > STREAM_TOKEN_BYTES_MAX {
        return Err(FieldError::TooLong { field: "c", got, max: STREAM_TOKEN_BYTES_MAX });
    }
    Ok(())
}

/// Checks a number of a message that is to be written.
pub(super) fn check_range(field: &'static str, number: u32, min: u32, max: u32) -> Result<(), EmitError> {
    if (min..=max).contains(&number) {
        return Ok(());
    }
    Err(EmitError::OutOfRange { field, got: number.into(), min: min.into(), max: max.into() })
}
