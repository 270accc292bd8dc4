//! The admin requests about things: devices with their reports, pins, and hardware.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Extension, Json, Router};
use ota_pal::HardwareId;

use super::app::App;
use super::failure::{failure, refused, store_failure};
use super::parts::{Body, Parameters};
use crate::api::Members;
use crate::clock::now_s;
use crate::device::{DeviceList, DeviceQuery, DeviceView, Queue, SetHardware};
use crate::serve::access::Principal;
use crate::serve::jobs::groups::check_things;
use crate::store::{PageNumber, StoreError};

/// The routes; the caller adds the check of the sender.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/things", get(list))
        .route("/api/things/{name}", get(show))
        .route("/api/things/{name}/hardware", put(set_hardware).delete(unset_hardware))
        .route("/api/pins", get(pinned))
        .route("/api/things/{name}/pin", put(pin).delete(unpin))
}

async fn list(State(app): State<Arc<App>>, Parameters(query): Parameters<DeviceQuery>) -> Response {
    let page = PageNumber::new(query.page);
    match app.store.devices_page(&query.filter, page).await {
        Ok(mut devices) => {
            app.jobs.complete(&mut devices.rows);
            let next = devices.has_next.then(|| page.number().saturating_add(1));
            Json(DeviceList { things: devices.rows, next }).into_response()
        }
        Err(error) => store_failure(&error),
    }
}

async fn show(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    match find(&app, &name).await {
        Ok(Some(view)) => Json(view).into_response(),
        Ok(None) => failure(StatusCode::NOT_FOUND, &format!("there is no thing {name}")),
        Err(error) => store_failure(&error),
    }
}

async fn find(app: &App, name: &String) -> Result<Option<DeviceView>, StoreError> {
    let mut found = app.store.devices(std::slice::from_ref(name)).await?;
    app.jobs.complete(&mut found);
    let Some(device) = found.pop() else { return Ok(None) };
    Ok(Some(DeviceView { device, queue: queue(app, name).await? }))
}

/// Returns the pending jobs of a device.
pub async fn queue(app: &App, name: &str) -> Result<Option<Queue>, StoreError> {
    let pending = app.store.pending(name).await?;
    let Some(first) = pending.first() else { return Ok(None) };
    let job = app.store.job(&first.job_id).await?;
    Ok(Some(Queue {
        first: first.job_id.clone(),
        status: first.status.as_str().to_owned(),
        since_s: first.started_at_s.unwrap_or(first.queued_at_s),
        custom: job.is_some_and(|job| is_custom(&job.document)),
        behind: pending.len() as u64 - 1,
    }))
}

/// Whether the agent leaves a job with this document to the application.
fn is_custom(document: &str) -> bool {
    let document: Option<serde_json::Value> = serde_json::from_str(document).ok();
    document.is_none_or(|document| document.get("afr_ota").is_none())
}

async fn set_hardware(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(name): Path<String>,
    Body(set): Body<SetHardware>,
) -> Response {
    match HardwareId::new(&set.hardware) {
        Ok(hardware) => store_hardware(&app, &name, Some(&hardware.to_string()), &sender.name).await,
        Err(error) => failure(StatusCode::BAD_REQUEST, &format!("hardware {:?}: {error}", set.hardware)),
    }
}

async fn unset_hardware(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(name): Path<String>,
) -> Response {
    store_hardware(&app, &name, None, &sender.name).await
}

async fn store_hardware(app: &App, name: &str, hardware: Option<&str>, by: &str) -> Response {
    if let Err(error) = check_things(&[name.to_owned()]) {
        return refused(&error);
    }
    match app.store.set_hardware(name, hardware, by, now_s()).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => store_failure(&error),
    }
}

async fn pinned(State(app): State<Arc<App>>) -> Response {
    match app.store.pinned().await {
        Ok(things) => Json(Members { things }).into_response(),
        Err(error) => store_failure(&error),
    }
}

async fn pin(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(name): Path<String>,
) -> Response {
    set(&app, &name, true, &sender.name).await
}

async fn unpin(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(name): Path<String>,
) -> Response {
    set(&app, &name, false, &sender.name).await
}

async fn set(app: &App, name: &str, pinned: bool, by: &str) -> Response {
    if let Err(error) = check_things(&[name.to_owned()]) {
        return refused(&error);
    }
    match app.store.pin(name, pinned, by, now_s()).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => store_failure(&error),
    }
}
