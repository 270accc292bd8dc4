//! Errors in the shapes of AWS: the name in the header `x-amzn-errortype` and JSON with `message`; XML for Amazon S3 and for
//! services of the query protocol.

use axum::Json;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::refusal::SignatureRefusal;
use crate::serve::jobs::admin_error::AdminError;
use crate::serve::log::report_error;
use crate::store::StoreError;

/// Header with the name of the error.
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// A name of AWS for what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// A value of the request is invalid, or not taken here.
    InvalidRequest,
    /// What the request is about does not exist.
    ResourceNotFound,
    /// What the request creates exists already.
    ResourceAlreadyExists,
    /// The same, of a job template.
    Conflict,
    /// The state of a job or an execution does not allow it.
    InvalidStateTransition,
    /// The version is another one than expected.
    VersionConflict,
    /// The execution has ended.
    TerminalState,
    /// A limit of the service is reached.
    LimitExceeded,
    /// Too many requests are queued.
    Throttling,
    /// The body is too large.
    TooLarge,
    /// There is no such object.
    NoSuchKey,
    /// The object is too large.
    EntityTooLarge,
    /// The metadata of an object is too large.
    MetadataTooLarge,
    /// The object has another checksum.
    BadDigest,
    /// A part of S3 that is not offered here.
    NotImplemented,
    /// The service does not have this operation.
    UnknownOperation,
    /// The service is stopping, or its database is not available.
    ServiceUnavailable,
    /// The store failed.
    InternalFailure,
}

impl Code {
    fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "InvalidRequestException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::ResourceAlreadyExists => "ResourceAlreadyExistsException",
            Self::Conflict => "ConflictException",
            Self::InvalidStateTransition => "InvalidStateTransitionException",
            Self::VersionConflict => "VersionConflictException",
            Self::TerminalState => "TerminalStateException",
            Self::LimitExceeded => "LimitExceededException",
            Self::Throttling => "ThrottlingException",
            Self::TooLarge => "RequestEntityTooLargeException",
            Self::NoSuchKey => "NoSuchKey",
            Self::EntityTooLarge => "EntityTooLarge",
            Self::MetadataTooLarge => "MetadataTooLarge",
            Self::BadDigest => "BadDigest",
            Self::NotImplemented => "NotImplemented",
            Self::UnknownOperation => "UnknownOperationException",
            Self::ServiceUnavailable => "ServiceUnavailableException",
            Self::InternalFailure => "InternalFailureException",
        }
    }

    /// Source: the service models of botocore, `iot` and `iot-jobs-data`.
    fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest | Self::EntityTooLarge | Self::MetadataTooLarge | Self::BadDigest => {
                StatusCode::BAD_REQUEST
            }
            Self::ResourceNotFound | Self::UnknownOperation | Self::NoSuchKey => StatusCode::NOT_FOUND,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::ResourceAlreadyExists | Self::Conflict | Self::InvalidStateTransition | Self::VersionConflict => {
                StatusCode::CONFLICT
            }
            Self::TerminalState | Self::LimitExceeded => StatusCode::GONE,
            Self::Throttling => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::InternalFailure => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Why a request failed.
#[derive(Debug)]
pub struct AwsError {
    name: &'static str,
    status: StatusCode,
    message: String,
}

impl AwsError {
    /// Creates an error with this message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { name: code.name(), status: code.status(), message: message.into() }
    }

    /// A value of the request is invalid.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, message)
    }

    /// What the request is about does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::ResourceNotFound, message)
    }

    /// The response of a service with this protocol.
    pub fn response(&self, protocol: Protocol) -> Response {
        let Self { name, status, message } = self;
        match protocol {
            Protocol::Json => (*status, [(ERROR_TYPE, *name)], Json(ErrorBody { message })).into_response(),
            Protocol::Query => {
                let error = format!("<Type>Sender</Type><Code>{name}</Code><Message>{}</Message>", escape(message));
                xml(*status, &format!("<ErrorResponse><Error>{error}</Error></ErrorResponse>"))
            }
            Protocol::S3 => {
                xml(*status, &format!("<Error><Code>{name}</Code><Message>{}</Message></Error>", escape(message)))
            }
        }
    }
}

/// How a service writes its responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// AWS's `rest-json`.
    Json,
    /// AWS's `query`: forms and XML.
    Query,
    /// AWS's `rest-xml`, as Amazon S3 has it.
    S3,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    message: &'a str,
}

impl IntoResponse for AwsError {
    fn into_response(self) -> Response {
        self.response(Protocol::Json)
    }
}

impl From<SignatureRefusal> for AwsError {
    fn from(refusal: SignatureRefusal) -> Self {
        Self { name: refusal.code(), status: refusal.status(), message: refusal.to_string() }
    }
}

impl From<AdminError> for AwsError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Bad(text) | AdminError::Misfit(text) => Self::invalid(text),
            AdminError::Store(error) => error.into(),
            AdminError::NoJob(_)
            | AdminError::NoGroup(_)
            | AdminError::NoRelease(_)
            | AdminError::NoThing(_)
            | AdminError::NoExecution { .. } => Self::not_found(error.to_string()),
            // CancelJob has no error of its own for a job that has ended.
            AdminError::Ended { .. } => Self::invalid(error.to_string()),
            AdminError::State(_) => Self::new(Code::InvalidStateTransition, error.to_string()),
            AdminError::Version { .. } => Self::new(Code::VersionConflict, error.to_string()),
            AdminError::Stopping => Self::new(Code::ServiceUnavailable, error.to_string()),
        }
    }
}

impl From<StoreError> for AwsError {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::JobExists { .. } => Code::ResourceAlreadyExists,
            StoreError::Stale => Code::VersionConflict,
            StoreError::Full => Code::LimitExceeded,
            StoreError::Unavailable { .. } => Code::ServiceUnavailable,
            StoreError::Unstorable => Code::InvalidRequest,
            _ => Code::InternalFailure,
        };
        if matches!(code, Code::InternalFailure | Code::ServiceUnavailable) {
            report_error(format_args!("AWS request: {error}"));
        }
        Self::new(code, error.to_string())
    }
}

fn xml(status: StatusCode, body: &str) -> Response {
    let declaration = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
    (status, [(header::CONTENT_TYPE, "application/xml")], format!("{declaration}\n{body}")).into_response()
}

/// Escapes a text for XML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
