//! Checks that the stream messages share.

use crate::error::{EmitError, FieldError};
use crate::limits::STREAM_TOKEN_BYTES_MAX;
use crate::text::JsonStr;
use crate::value::Fields;

/// Reads the optional client token.
pub(super) fn token<'a>(fields: &mut Fields<'a>, key: &'static str) -> Option<JsonStr<'a>> {
    let token = fields.text(key);
    check_token(token.as_ref()).map_err(|error| fields.refuse(error.into())).ok()?;
    token
}

pub(super) fn check_token(token: Option<&JsonStr<'_>>) -> Result<(), FieldError> {
    let got = token.map_or(0, JsonStr::len);
    if got > STREAM_TOKEN_BYTES_MAX {
        return Err(FieldError::TooLong { field: "c", got, max: STREAM_TOKEN_BYTES_MAX });
    }
    Ok(())
}

/// Checks the range of a number to be written.
pub(super) fn check_range(field: &'static str, number: u32, min: u32, max: u32) -> Result<(), EmitError> {
    if (min..=max).contains(&number) {
        return Ok(());
    }
    Err(EmitError::OutOfRange { field, got: number.into(), min: min.into(), max: max.into() })
}
