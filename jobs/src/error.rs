//! What is refused, by name and with the numbers. One enum for what cannot be read, one for what cannot be written.

use core::fmt;

use crate::reason::Reason;

/// A value that its field cannot hold. Nothing is ever cut to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// The field may not be empty.
    Empty {
        /// The field.
        field: &'static str,
    },
    /// The value is longer than the field.
    TooLong {
        /// The field.
        field: &'static str,
        /// Bytes that the value has.
        got: usize,
        /// Bytes that the field, or the caller's buffer for it, holds.
        max: usize,
    },
    /// The field may not hold this character.
    Character {
        /// The field.
        field: &'static str,
        /// Where in the value, in bytes.
        at: usize,
    },
}

/// A message that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// The bytes are not JSON in UTF-8.
    NotJson {
        /// The first byte that is wrong; the length if bytes are missing.
        at: usize,
    },
    /// The bytes are not CBOR, or go on after it.
    NotCbor {
        /// The first byte that is wrong; the length if bytes are missing.
        at: usize,
    },
    /// The message is nested too deeply.
    TooDeep {
        /// Levels that are taken.
        max: usize,
    },
    /// The field is absent or null.
    Missing {
        /// The field.
        field: &'static str,
    },
    /// The field is there more than once.
    Duplicate {
        /// The field.
        field: &'static str,
    },
    /// The field, or a field right below it, has another JSON or CBOR type than AWS documents.
    WrongType {
        /// The field; `"message"` for the whole.
        field: &'static str,
    },
    /// The field's value is none of those that AWS documents.
    Invalid {
        /// The field.
        field: &'static str,
    },
    /// The field's value breaks the field's own rules.
    Field(FieldError),
    /// The number is too small or too large.
    OutOfRange {
        /// The field.
        field: &'static str,
        /// The number, at most `u64::MAX`.
        got: u64,
        /// The smallest that is taken.
        min: u64,
        /// The largest that is taken.
        max: u64,
    },
    /// The list is too long.
    TooMany {
        /// The list.
        field: &'static str,
        /// Elements that it has.
        got: usize,
        /// Elements that are taken.
        max: usize,
    },
    /// Half of a surrogate pair: the text has no characters there.
    LoneSurrogate {
        /// The field.
        field: &'static str,
    },
    /// A length that the message states is not the length that it has.
    LengthMismatch {
        /// The field that states it.
        field: &'static str,
        /// What it states, in bytes.
        stated: u64,
        /// What there is, in bytes.
        got: usize,
    },
    /// The text is not base64.
    NotBase64 {
        /// The field.
        field: &'static str,
        /// The first character that is wrong; the length if some are missing.
        at: usize,
    },
    /// None of the protocols is `MQTT` or `HTTP`.
    UnknownProtocol,
    /// The file's only signatures are of kinds that are not known.
    UnknownSignatureKind,
}

/// Why a scanner stopped; where is the scanner's own place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The grammar allows no such byte there.
    Malformed,
    /// A container is nested too deeply.
    TooDeep,
}

/// A key that occurs twice in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Duplicate;

/// A message that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmitError {
    /// The buffer is too small for the message.
    BufferTooSmall {
        /// Bytes that the buffer has.
        have: usize,
    },
    /// A field of the message breaks the field's own rules.
    Field(FieldError),
    /// A number of the message is too small or too large.
    OutOfRange {
        /// The field.
        field: &'static str,
        /// The number.
        got: u64,
        /// The smallest that is taken.
        min: u64,
        /// The largest that is taken.
        max: u64,
    },
}

impl From<FieldError> for ParseError {
    fn from(error: FieldError) -> Self {
        ParseError::Field(error)
    }
}

impl From<FieldError> for EmitError {
    fn from(error: FieldError) -> Self {
        EmitError::Field(error)
    }
}

/// What the service is told when a job document cannot be read.
impl From<ParseError> for Reason {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::NotJson { .. } => Reason::DocumentNotJson,
            ParseError::NotCbor { .. } => Reason::StreamRefused,
            ParseError::TooDeep { .. } => Reason::DocumentTooDeep,
            ParseError::Missing { .. } => Reason::DocumentFieldMissing,
            ParseError::Field(FieldError::TooLong { .. }) => Reason::DocumentFieldTooLong,
            ParseError::Duplicate { .. }
            | ParseError::WrongType { .. }
            | ParseError::Invalid { .. }
            | ParseError::Field(FieldError::Empty { .. } | FieldError::Character { .. })
            | ParseError::OutOfRange { .. }
            | ParseError::TooMany { .. }
            | ParseError::LoneSurrogate { .. }
            | ParseError::LengthMismatch { .. }
            | ParseError::NotBase64 { .. } => Reason::DocumentFieldInvalid,
            ParseError::UnknownProtocol => Reason::UnknownProtocol,
            ParseError::UnknownSignatureKind => Reason::UnknownSignatureKind,
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldError::Empty { field } => write!(f, "{field} is empty"),
            FieldError::TooLong { field, got, max } => {
                write!(f, "{field} has {got} bytes, at most {max} are taken")
            }
            FieldError::Character { field, at } => {
                write!(f, "{field} may not hold the character at byte {at}")
            }
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::NotJson { at } => write!(f, "not JSON at byte {at}"),
            ParseError::NotCbor { at } => write!(f, "not CBOR at byte {at}"),
            ParseError::TooDeep { max } => write!(f, "nested deeper than {max} levels"),
            ParseError::Missing { field } => write!(f, "{field} is missing"),
            ParseError::Duplicate { field } => write!(f, "{field} is there twice"),
            ParseError::WrongType { field } => write!(f, "{field} has the wrong type"),
            ParseError::Invalid { field } => write!(f, "{field} has an unknown value"),
            ParseError::Field(error) => error.fmt(f),
            ParseError::OutOfRange { field, got, min, max } => {
                write!(f, "{field} is {got}, not {min} to {max}")
            }
            ParseError::TooMany { field, got, max } => {
                write!(f, "{field} has {got} elements, at most {max} are taken")
            }
            ParseError::LoneSurrogate { field } => {
                write!(f, "{field} holds half of a surrogate pair")
            }
            ParseError::LengthMismatch { field, stated, got } => {
                write!(f, "{field} states {stated} bytes, there are {got}")
            }
            ParseError::NotBase64 { field, at } => {
                write!(f, "{field} is not base64 at character {at}")
            }
            ParseError::UnknownProtocol => f.write_str("no known protocol"),
            ParseError::UnknownSignatureKind => f.write_str("no known kind of signature"),
        }
    }
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EmitError::BufferTooSmall { have } => {
                write!(f, "the message does not fit into {have} bytes")
            }
            EmitError::Field(error) => error.fmt(f),
            EmitError::OutOfRange { field, got, min, max } => {
                write!(f, "{field} is {got}, not {min} to {max}")
            }
        }
    }
}

impl core::error::Error for FieldError {}
impl core::error::Error for ParseError {}
impl core::error::Error for EmitError {}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn a_refusal_says_what_and_how_much() {
        let error = FieldError::TooLong { field: "jobId", got: 65, max: 64 };
        assert_eq!(ParseError::from(error).to_string(), "jobId has 65 bytes, at most 64 are taken");
        let error = ParseError::OutOfRange { field: "l", got: 255, min: 256, max: 131_072 };
        assert_eq!(error.to_string(), "l is 255, not 256 to 131072");
        let error = EmitError::BufferTooSmall { have: 9 };
        assert_eq!(error.to_string(), "the message does not fit into 9 bytes");
    }

    #[test]
    fn a_document_that_cannot_be_read_has_a_reason_of_its_own() {
        let too_long = FieldError::TooLong { field: "streamname", got: 129, max: 128 };
        for (error, reason) in [
            (ParseError::NotJson { at: 3 }, Reason::DocumentNotJson),
            (ParseError::TooDeep { max: 16 }, Reason::DocumentTooDeep),
            (ParseError::Missing { field: "files" }, Reason::DocumentFieldMissing),
            (ParseError::WrongType { field: "files" }, Reason::DocumentFieldInvalid),
            (ParseError::Field(too_long), Reason::DocumentFieldTooLong),
            (ParseError::UnknownProtocol, Reason::UnknownProtocol),
            (ParseError::UnknownSignatureKind, Reason::UnknownSignatureKind),
        ] {
            assert_eq!(Reason::from(error), reason);
        }
    }
}
