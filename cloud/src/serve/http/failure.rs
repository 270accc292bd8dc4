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
    match error {
        AdminError::Bad(text) => failure(StatusCode::BAD_REQUEST, text),
        AdminError::NoGroup(name) => failure(StatusCode::NOT_FOUND, &format!("there is no group {name}")),
        AdminError::NoJob(id) => failure(StatusCode::NOT_FOUND, &format!("there is no job {id}")),
        AdminError::Ended { id, status } => failure(StatusCode::CONFLICT, &format!("job {id} is {status}")),
        AdminError::Stopping => failure(StatusCode::SERVICE_UNAVAILABLE, "the service is stopping"),
        AdminError::Store(error) => store_failure(error),
    }
}

/// The response to a request for which the store failed.
pub fn store_failure(error: &StoreError) -> Response {
    let status = match error {
        StoreError::JobExists { .. } => StatusCode::CONFLICT,
        StoreError::Full => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    report_error(format_args!("admin request: {error}"));
    failure(status, &error.to_string())
}

/// A response with this text in the form of all errors.
pub fn failure(status: StatusCode, text: &str) -> Response {
    (status, Json(ErrorBody { error: text.to_owned() })).into_response()
}
