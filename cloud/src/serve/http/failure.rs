//! Responses to admin requests that fail.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::api::ErrorBody;
use crate::serve::jobs::admin_error::AdminError;
use crate::serve::log::report_error;
use crate::store::StoreError;

/// The response to an admin request that failed.
pub fn refused(error: &AdminError) -> Response {
    let status = match error {
        AdminError::Store(error) => return store_failure(error),
        AdminError::Bad(_) => StatusCode::BAD_REQUEST,
        AdminError::NoGroup(_)
        | AdminError::NoJob(_)
        | AdminError::NoRelease(_)
        | AdminError::NoThing(_)
        | AdminError::NoExecution { .. } => StatusCode::NOT_FOUND,
        AdminError::Misfit(_) | AdminError::Ended { .. } | AdminError::State(_) | AdminError::Version { .. } => {
            StatusCode::CONFLICT
        }
        AdminError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    };
    failure(status, &error.to_string())
}

/// The response to a request for which the store failed.
pub fn store_failure(error: &StoreError) -> Response {
    let status = match error {
        StoreError::JobExists { .. } => StatusCode::CONFLICT,
        StoreError::Full => StatusCode::INSUFFICIENT_STORAGE,
        StoreError::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        StoreError::Unstorable => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    report_error(format_args!("admin request: {error}"));
    failure(status, &error.to_string())
}

/// A response with this text in the form of all errors.
pub fn failure(status: StatusCode, text: &str) -> Response {
    (status, Json(ErrorBody { error: text.to_owned() })).into_response()
}
