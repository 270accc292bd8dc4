//! Why a signed request is refused before it is carried out.

use axum::http::StatusCode;

/// Why a signed request is refused. The names of the codes are those of AWS's services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureRefusal {
    /// The header `Authorization` cannot be read, or lacks a part.
    Incomplete(String),
    /// There is no such access key, or it was deleted.
    UnknownKey,
    /// A header that must be signed is not.
    NotSigned {
        /// The header.
        header: String,
    },
    /// The request was signed too long ago, or with a clock that is ahead.
    Skew {
        /// When it was signed. Seconds since 1970.
        signed_at_s: u64,
        /// The time of the service. Seconds since 1970.
        now_s: u64,
    },
    /// The signature is not that of the request.
    Mismatch,
    /// The body has another digest than the one that was signed.
    Body,
    /// The role of the access key does not suffice; the text names both.
    Role(String),
    /// The signature is for a service that this program does not offer.
    Service(String),
}

impl SignatureRefusal {
    /// AWS's name of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Incomplete(_) => "IncompleteSignatureException",
            Self::UnknownKey => "UnrecognizedClientException",
            Self::NotSigned { .. } | Self::Mismatch => "SignatureDoesNotMatch",
            Self::Skew { .. } => "RequestTimeTooSkewed",
            Self::Body => "XAmzContentSHA256Mismatch",
            Self::Service(_) | Self::Role(_) => "AccessDeniedException",
        }
    }

    /// Status of the response.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Incomplete(_) | Self::Body => StatusCode::BAD_REQUEST,
            _ => StatusCode::FORBIDDEN,
        }
    }
}

impl std::fmt::Display for SignatureRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Incomplete(why) => write!(f, "the header Authorization is incomplete: {why}"),
            Self::UnknownKey => f.write_str("there is no such access key"),
            Self::NotSigned { header } => write!(f, "the header {header} is not signed"),
            Self::Skew { signed_at_s, now_s } => {
                write!(f, "the request was signed at {signed_at_s}, the time is {now_s}: more than 15 minutes apart")
            }
            Self::Mismatch => {
                f.write_str("the signature is not that of this request and of the secret of the access key")
            }
            Self::Body => f.write_str("the body has another SHA-256 than the one that was signed"),
            Self::Role(why) => f.write_str(why),
            Self::Service(name) => write!(f, "the service {name} is not offered here"),
        }
    }
}
