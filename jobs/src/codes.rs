//! Error codes of the Jobs API and of MQTT-based file delivery. An unrecognised code is read as `Unknown`.

use core::fmt;

use crate::error::{FieldError, ParseError};

/// Declares an enum of codes whose variant names are the codes' spelling.
macro_rules! codes {
    ($(#[doc = $head:literal])+ $set:ident { $($(#[doc = $doc:literal])+ $name:ident,)+ }) => {
        $(#[doc = $head])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $set {
            $($(#[doc = $doc])+ $name,)+
            /// A code that is not listed here.
            Unknown,
        }

        impl $set {
            /// Every code that AWS documents.
            pub const ALL: &'static [$set] = &[$($set::$name,)+];

            const NAMES: &'static [&'static str] = &[$(stringify!($name),)+ "Unknown"];

            /// Returns the code with this spelling, or `Unknown`.
            pub fn parse(name: &str) -> Self {
                let found = Self::ALL.iter().find(|code| code.as_str() == name);
                found.copied().unwrap_or($set::Unknown)
            }

            /// The code's spelling.
            pub fn as_str(self) -> &'static str {
                Self::NAMES[self as usize]
            }
        }

        impl fmt::Display for $set {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

codes! {
    /// Why a request of the Jobs API was refused.
    ///
    /// Source: AWS IoT developer guide, "ErrorResponse" of the Jobs MQTT API.
    RejectCode {
        /// The topic maps to no operation.
        InvalidTopic,
        /// The request is not JSON in UTF-8.
        InvalidJson,
        /// The request's content is invalid.
        InvalidRequest,
        /// The execution cannot go from its state to the requested one.
        InvalidStateTransition,
        /// There is no such execution.
        ResourceNotFound,
        /// The expected version is not the execution's.
        VersionMismatch,
        /// The service failed.
        InternalError,
        /// Too many requests.
        RequestThrottled,
        /// The execution has ended.
        TerminalStateReached,
    }
}

codes! {
    /// Why a request for a stream was refused.
    ///
    /// Source: AWS IoT developer guide, "Error codes" of MQTT-based file delivery.
    StreamRejectCode {
        /// The topic maps to no operation.
        InvalidTopic,
        /// The request is not JSON.
        InvalidJson,
        /// The request is not CBOR.
        InvalidCbor,
        /// The request's content is invalid.
        InvalidRequest,
        /// The device may not do this.
        Unauthorized,
        /// The block size is outside its range.
        BlockSizeOutOfBounds,
        /// The offset is outside its range, or behind the file's end.
        OffsetOutOfBounds,
        /// More blocks than one request may ask for.
        BlockCountLimitExceeded,
        /// The bitmap is too long.
        BlockBitmapLimitExceeded,
        /// There is no such stream or file.
        ResourceNotFound,
        /// The stream has another version.
        VersionMismatch,
        /// The file in the bucket is not the one that the stream was made from.
        ETagMismatch,
        /// The service failed.
        InternalError,
    }
}

/// The code to answer with when a request cannot be parsed.
impl From<ParseError> for RejectCode {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::NotJson { .. } | ParseError::TooDeep { .. } => RejectCode::InvalidJson,
            _ => RejectCode::InvalidRequest,
        }
    }
}

/// The code to answer with when a stream request cannot be parsed.
impl From<ParseError> for StreamRejectCode {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::NotJson { .. } => StreamRejectCode::InvalidJson,
            ParseError::NotCbor { .. } => StreamRejectCode::InvalidCbor,
            ParseError::OutOfRange { field: "l", .. } => StreamRejectCode::BlockSizeOutOfBounds,
            ParseError::OutOfRange { field: "o", .. } => StreamRejectCode::OffsetOutOfBounds,
            ParseError::OutOfRange { field: "n", .. } => StreamRejectCode::BlockCountLimitExceeded,
            ParseError::Field(FieldError::TooLong { field: "b", .. }) => StreamRejectCode::BlockBitmapLimitExceeded,
            _ => StreamRejectCode::InvalidRequest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back_from_its_spelling() {
        for code in RejectCode::ALL {
            assert_eq!(RejectCode::parse(code.as_str()), *code);
        }
        for code in StreamRejectCode::ALL {
            assert_eq!(StreamRejectCode::parse(code.as_str()), *code);
        }
        assert_eq!((RejectCode::ALL.len(), StreamRejectCode::ALL.len()), (9, 13));
        assert_eq!(StreamRejectCode::ETagMismatch.as_str(), "ETagMismatch");
    }

    #[test]
    fn a_code_of_tomorrow_is_unknown_and_not_an_error() {
        assert_eq!(RejectCode::parse("Teapot"), RejectCode::Unknown);
        assert_eq!(StreamRejectCode::parse(""), StreamRejectCode::Unknown);
        assert_eq!(RejectCode::Unknown.as_str(), "Unknown");
    }

    #[test]
    fn a_request_that_cannot_be_read_is_answered_with_the_code_for_it() {
        let out_of_range = |field| ParseError::OutOfRange { field, got: 0, min: 1, max: 2 };
        for (error, code) in [
            (ParseError::NotCbor { at: 0 }, StreamRejectCode::InvalidCbor),
            (ParseError::NotJson { at: 0 }, StreamRejectCode::InvalidJson),
            (out_of_range("l"), StreamRejectCode::BlockSizeOutOfBounds),
            (out_of_range("o"), StreamRejectCode::OffsetOutOfBounds),
            (out_of_range("n"), StreamRejectCode::BlockCountLimitExceeded),
            (out_of_range("f"), StreamRejectCode::InvalidRequest),
            (ParseError::Missing { field: "l" }, StreamRejectCode::InvalidRequest),
        ] {
            assert_eq!(StreamRejectCode::from(error), code);
        }
        assert_eq!(RejectCode::from(ParseError::NotJson { at: 0 }), RejectCode::InvalidJson);
        assert_eq!(RejectCode::from(ParseError::Missing { field: "status" }), RejectCode::InvalidRequest);
    }
}
