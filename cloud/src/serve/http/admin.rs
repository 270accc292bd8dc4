//! The admin requests below `/api` about images, jobs and events. The JSON types are in `crate::api`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router};

use super::app::App;
use super::failure::{failure, refused, store_failure};
use super::new_job::prepare;
use super::parts::{Body, Parameters};
use super::upload::{self, Label};
use crate::api::{CancelQuery, CreateResponse, EventQuery, JobList, JobRow, JobView, NewJob, SIGNATURE_HEADER};
use crate::clock::now_s;
use crate::limits::EVENTS_WAIT_MAX;
use crate::model::Event;
use crate::serve::access::Principal;
use crate::serve::files::UploadError;
use crate::serve::jobs::admin_error::AdminError;
use crate::store::StoreError;

/// The routes; the caller adds the check of the sender.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        // The upload enforces its own limit.
        .route("/api/images/{name}", put(upload_image).layer(DefaultBodyLimit::disable()))
        .route("/api/jobs", get(list))
        .route("/api/jobs/{id}", put(create).get(show))
        .route("/api/jobs/{id}/cancel", post(cancel))
        .route("/api/events", get(events))
}

async fn upload_image(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Response {
    let Ok(signature) = headers.get(SIGNATURE_HEADER).map(|value| value.to_str().map(str::to_owned)).transpose() else {
        return failure(StatusCode::BAD_REQUEST, &format!("{SIGNATURE_HEADER} is not base64: it is not ASCII"));
    };
    if signature.as_deref() == Some("") {
        return failure(StatusCode::BAD_REQUEST, &format!("{SIGNATURE_HEADER} is empty: omit it, or sign the image"));
    }
    let label = match Label::new(name, signature) {
        Ok(label) => label,
        Err(text) => return failure(StatusCode::BAD_REQUEST, &text),
    };
    match upload::receive(&app, label, &sender.name, body.into_data_stream()).await {
        Ok(image) => (StatusCode::CREATED, Json(image)).into_response(),
        Err(UploadError::TooLarge { max }) => {
            failure(StatusCode::PAYLOAD_TOO_LARGE, &format!("an image has at most {max} bytes"))
        }
        Err(UploadError::Body(error)) => {
            failure(StatusCode::BAD_REQUEST, &format!("the image did not arrive: {error}"))
        }
        Err(UploadError::Store(error)) => store_failure(&error),
    }
}

async fn create(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(id): Path<String>,
    Body(mut job): Body<NewJob>,
) -> Response {
    let created = async {
        let unknown_hardware = prepare(&app, &mut job).await?;
        Ok::<_, AdminError>(CreateResponse { unknown_hardware, ..app.jobs.create(id, job, &sender.name).await? })
    };
    match created.await {
        Ok(created) => (StatusCode::CREATED, Json(created)).into_response(),
        Err(error) => refused(&error),
    }
}

async fn cancel(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(id): Path<String>,
    Parameters(cancel): Parameters<CancelQuery>,
) -> Response {
    match app.jobs.cancel(id, cancel.force, &sender.name).await {
        Ok(canceled) => Json(canceled).into_response(),
        Err(error) => refused(&error),
    }
}

async fn list(State(app): State<Arc<App>>) -> Response {
    match app.store.jobs().await {
        Ok(jobs) => Json(JobList { jobs: jobs.iter().map(|job| JobRow::new(job, now_s())).collect() }).into_response(),
        Err(error) => store_failure(&error),
    }
}

async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    match look_up(&app, &id).await {
        Ok(Some(view)) => Json(view).into_response(),
        Ok(None) => failure(StatusCode::NOT_FOUND, &format!("there is no job {id}")),
        Err(error) => store_failure(&error),
    }
}

async fn look_up(app: &App, id: &str) -> Result<Option<JobView>, StoreError> {
    let Some(job) = app.store.job(id).await? else { return Ok(None) };
    let (counts, executions) = (app.store.counts(id).await?, app.store.executions_of(id).await?);
    Ok(Some(JobView::new(&job, &executions, counts.waiting, now_s())))
}

async fn events(State(app): State<Arc<App>>, Parameters(feed): Parameters<EventQuery>) -> Response {
    let wait = Duration::from_secs(feed.wait_s).min(EVENTS_WAIT_MAX);
    let until = tokio::time::Instant::now() + wait;
    let mut seen = feed.after;
    loop {
        let found: Vec<Event> = match app.store.events_after(feed.after, feed.job.as_deref()).await {
            Ok(found) => found,
            Err(error) => return store_failure(&error),
        };
        if !found.is_empty() || tokio::time::Instant::now() >= until {
            return Json(found).into_response();
        }
        // With a filter the newest event may belong to another job: wait for the next one.
        seen = app.store.wait_for_event(seen, until - tokio::time::Instant::now()).await;
    }
}
