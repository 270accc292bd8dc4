//! Error types: [`ParseError`] for reading messages, [`EmitError`] for writing them, [`FieldError`] for single values.

use core::fmt;

use crate::reason::Reason;

/// A value that is invalid for its field. Values are never truncated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// The value is empty.
    Empty {
        /// The field.
        field: &'static str,
    },
    /// The value is too long.
    TooLong {
        /// The field.
        field: &'static str,
        /// Length of the value in bytes.
        got: usize,
        /// Maximum length of the field, or of the caller's buffer for it, in bytes.
        max: usize,
    },
    /// The value contains a character that is not allowed.
    Character {
        /// The field.
        field: &'static str,
        /// Byte offset in the value.
        at: usize,
    },
}

/// An error of parsing a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// The bytes are not JSON in UTF-8.
    NotJson {
        /// Offset of the first invalid byte; the length if bytes are missing.
        at: usize,
    },
    /// The bytes are not a single CBOR item.
    NotCbor {
        /// Offset of the first invalid byte; the length if bytes are missing.
        at: usize,
    },
    /// The message is nested too deeply.
    TooDeep {
        /// Maximum depth.
        max: usize,
    },
    /// The field is absent or null.
    Missing {
        /// The field.
        field: &'static str,
    },
    /// The field occurs more than once.
    Duplicate {
        /// The field.
        field: &'static str,
    },
    /// The field, or a field directly inside it, does not have the JSON or CBOR type that AWS documents.
    WrongType {
        /// The field; `"message"` for the message itself.
        field: &'static str,
    },
    /// The field's value is not one of those that AWS documents.
    Invalid {
        /// The field.
        field: &'static str,
    },
    /// The field's value is invalid.
    Field(FieldError),
    /// The number is out of range.
    OutOfRange {
        /// The field.
        field: &'static str,
        /// The number; `u64::MAX` if it is larger.
        got: u64,
        /// Minimum.
        min: u64,
        /// Maximum.
        max: u64,
    },
    /// The list is too long.
    TooMany {
        /// The list.
        field: &'static str,
        /// Number of elements.
        got: usize,
        /// Maximum number of elements.
        max: usize,
    },
    /// The string contains an unpaired surrogate.
    LoneSurrogate {
        /// The field.
        field: &'static str,
    },
    /// A stated length differs from the actual length.
    LengthMismatch {
        /// The field that states the length.
        field: &'static str,
        /// Stated length in bytes.
        stated: u64,
        /// Actual length in bytes.
        got: usize,
    },
    /// The text is not base64.
    NotBase64 {
        /// The field.
        field: &'static str,
        /// Position of the first invalid character; the length if characters are missing.
        at: usize,
    },
    /// The document lists neither `MQTT` nor `HTTP`.
    UnknownProtocol,
    /// The file is signed, but with no known kind of signature.
    UnknownSignatureKind,
}

/// Why a scanner stopped. The position is the scanner's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The grammar does not allow the next byte.
    Malformed,
    /// A container is nested too deeply.
    TooDeep,
}

/// A key that occurs twice in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Duplicate;

/// An error of writing a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmitError {
    /// The buffer is too small for the message.
    BufferTooSmall {
        /// Size of the buffer in bytes.
        have: usize,
    },
    /// The value of a field is invalid.
    Field(FieldError),
    /// A number is out of range.
    OutOfRange {
        /// The field.
        field: &'static str,
        /// The number.
        got: u64,
        /// Minimum.
        min: u64,
        /// Maximum.
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

/// The reason to report when a job document cannot be parsed.
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
