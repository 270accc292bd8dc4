//! The buttons of a job's page: cancel, pause, resume, and another attempt where it failed.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::form::Form;
use super::job::{JobQuery, find, job_page};
use super::page::{Failure, page, redirect, refusal};
use crate::serve::http::app::App;
use crate::serve::jobs::admin_error::AdminError;

/// `POST /jobs/{id}/cancel`.
pub async fn cancel(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Failure> {
    let done = app.jobs.cancel(id.clone(), form.text("force") == "yes", by(&form)).await;
    let query = done.map(|done| format!("?canceled={}&left={}", done.canceled, done.left_in_progress));
    pressed(&app, &id, &headers, &form, query).await
}

/// `POST /jobs/{id}/pause`.
pub async fn pause(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Failure> {
    let done = app.jobs.set_paused(id.clone(), true, by(&form)).await;
    pressed(&app, &id, &headers, &form, done.map(|()| String::new())).await
}

/// `POST /jobs/{id}/resume`.
pub async fn resume(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Failure> {
    let done = app.jobs.set_paused(id.clone(), false, by(&form)).await;
    pressed(&app, &id, &headers, &form, done.map(|()| String::new())).await
}

/// `POST /jobs/{id}/retry`.
pub async fn retry(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Failure> {
    let done = app.jobs.retry_failed(id.clone(), by(&form)).await;
    let query = done.map(|done| format!("?retried={}&pinned={}", done.queued, done.pinned));
    pressed(&app, &id, &headers, &form, query).await
}

fn by(form: &Form) -> &str {
    &form.session.principal.name
}

/// Leads back to the page with this query, or shows it with the reason why the job service refused.
async fn pressed(
    app: &App,
    id: &str,
    headers: &HeaderMap,
    form: &Form,
    done: Result<String, AdminError>,
) -> Result<Response, Failure> {
    match done {
        Ok(query) => Ok(redirect(headers, &format!("/jobs/{id}{query}"))),
        Err(error) => {
            let error = refusal(error)?;
            let job = find(app, id).await?;
            let mut shown = job_page(app, &form.session, &job, JobQuery::default().view()).await?;
            shown.error = error;
            Ok(page(StatusCode::CONFLICT, &shown))
        }
    }
}
