//! The admin requests about a job that exists: pause, resume, another attempt where it failed, the cancellation of one
//! execution, and deletion.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use axum::{Extension, Json, Router};

use super::app::App;
use super::failure::refused;
use super::parts::Parameters;
use crate::api::CancelQuery;
use crate::serve::access::Principal;
use crate::serve::jobs::admin_error::AdminError;
use crate::serve::jobs::changes::{ExecutionName, JobChange};

/// The routes; the caller adds the check of the sender.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/jobs/{id}", delete(remove))
        .route("/api/jobs/{id}/pause", post(pause))
        .route("/api/jobs/{id}/resume", post(resume))
        .route("/api/jobs/{id}/retry", post(retry))
        .route("/api/jobs/{id}/things/{thing}/cancel", post(cancel_one))
}

async fn remove(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(id): Path<String>,
    Parameters(removal): Parameters<CancelQuery>,
) -> Response {
    empty(app.jobs.change(JobChange::Delete { id, force: removal.force }, &sender.name).await)
}

async fn pause(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(id): Path<String>,
) -> Response {
    empty(app.jobs.set_paused(id, true, &sender.name).await)
}

async fn resume(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(id): Path<String>,
) -> Response {
    empty(app.jobs.set_paused(id, false, &sender.name).await)
}

async fn retry(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(id): Path<String>,
) -> Response {
    match app.jobs.retry_failed(id, &sender.name).await {
        Ok(retried) => Json(retried).into_response(),
        Err(error) => refused(&error),
    }
}

async fn cancel_one(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path((job_id, thing)): Path<(String, String)>,
    Parameters(cancel): Parameters<CancelQuery>,
) -> Response {
    empty(cancel_execution(&app, ExecutionName { thing, job_id }, cancel.force, &sender.name).await)
}

/// Cancels one execution for the account or token `by`; one in progress only if forced.
///
/// Errors: `NoExecution`; `State`; `Store`.
pub async fn cancel_execution(app: &App, of: ExecutionName, force: bool, by: &str) -> Result<(), AdminError> {
    let change = JobChange::CancelExecution { of, expected_version: None, details: None, force };
    app.jobs.change(change, by).await
}

/// The response to a change that has no result.
fn empty(done: Result<(), AdminError>) -> Response {
    match done {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refused(&error),
    }
}
