//! Names of jobs, things and streams. A value of these types has a valid length and alphabet.

use core::fmt;

use heapless::String;

use crate::error::FieldError;
use crate::limits::{JOB_ID_BYTES_MAX, STREAM_NAME_BYTES_MAX, THING_NAME_BYTES_MAX};

/// Checks that a name is not empty, has at most `max` bytes, and consists of letters, digits and `extra`.
pub(crate) fn check(field: &'static str, text: &str, max: usize, extra: &[u8]) -> Result<(), FieldError> {
    if text.is_empty() {
        return Err(FieldError::Empty { field });
    }
    if text.len() > max {
        return Err(FieldError::TooLong { field, got: text.len(), max });
    }
    let foreign = |byte: &u8| !byte.is_ascii_alphanumeric() && !extra.contains(byte);
    match text.as_bytes().iter().position(foreign) {
        Some(at) => Err(FieldError::Character { field, at }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[doc = $doc:literal])+ $name:ident, $field:literal, $max:ident, $extra:literal) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct $name(String<$max, u8>);

        impl $name {
            /// Creates the name if `text` is valid.
            ///
            /// Errors: [`FieldError`] if it is empty, too long, or has a character outside the alphabet.
            pub fn new(text: &str) -> Result<Self, FieldError> {
                Self::check(text)?;
                Ok(Self(String::try_from(text).expect("the length was checked")))
            }

            /// Checks `text` without storing it.
            pub(crate) fn check(text: &str) -> Result<(), FieldError> {
                check($field, text, $max, $extra)
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

name! {
    /// The id of a job: 1 to 64 letters, digits, `_`, `-`.
    ///
    /// Source: AWS IoT API, `JobId`.
    JobId, "jobId", JOB_ID_BYTES_MAX, b"_-"
}

impl JobId {
    /// Placeholder for an invalid id. The error is returned instead of the value that holds it.
    pub(crate) const fn empty() -> Self {
        Self(String::new())
    }
}

name! {
    /// The name of a thing: 1 to 128 letters, digits, `:`, `_`, `-`.
    ///
    /// Source: AWS IoT API, `ThingName`.
    ThingName, "thingName", THING_NAME_BYTES_MAX, b":_-"
}

name! {
    /// The name of a stream: 1 to 128 letters, digits, `_`, `-`.
    ///
    /// Source: AWS IoT API, `StreamId`.
    StreamName, "streamname", STREAM_NAME_BYTES_MAX, b"_-"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_full_length_fit() {
        assert_eq!(JobId::new(&"j".repeat(64)).unwrap().as_str().len(), 64);
        assert_eq!(ThingName::new(&"t".repeat(128)).unwrap().as_str().len(), 128);
        let stream = "AFR_OTA-12345678-1234-1234-1234-123456789012";
        assert_eq!(stream.len(), 44);
        assert_eq!(StreamName::new(stream).unwrap().as_str(), stream);
    }

    #[test]
    fn a_name_too_long_is_refused_by_name_and_number() {
        let too_long = |field, got, max| FieldError::TooLong { field, got, max };
        assert_eq!(JobId::new(&"j".repeat(65)), Err(too_long("jobId", 65, 64)));
        assert_eq!(ThingName::new(&"t".repeat(129)), Err(too_long("thingName", 129, 128)));
        assert_eq!(StreamName::new(&"s".repeat(200)), Err(too_long("streamname", 200, 128)));
    }

    #[test]
    fn the_alphabets_are_those_of_aws() {
        assert!(ThingName::new("room:3_a-Z").is_ok());
        assert_eq!(JobId::new("a:b"), Err(FieldError::Character { field: "jobId", at: 1 }));
        assert_eq!(StreamName::new("a/b"), Err(FieldError::Character { field: "streamname", at: 1 }));
        assert_eq!(ThingName::new("stube\u{308}"), Err(FieldError::Character { field: "thingName", at: 5 }));
        assert_eq!(JobId::new("$next"), Err(FieldError::Character { field: "jobId", at: 0 }));
        assert_eq!(JobId::new(""), Err(FieldError::Empty { field: "jobId" }));
    }
}
