//! The admin requests below `/api/releases`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};

use super::app::App;
use super::failure::{refused, store_failure};
use super::new_job::prepare;
use super::parts::Body;
use crate::api::{CreateResponse, Members, NewJob};
use crate::clock::now_s;
use crate::limits::NAME_BYTES_MAX;
use crate::release_api::{
    HaltRequest, NewRelease, ReleaseList, ReleaseView, RevertRequest, RevertResponse, RevertingRelease,
};
use crate::release_plan::{HaltRule, Mode, ReleasePlan};
use crate::serve::access::Principal;
use crate::serve::jobs::admin_error::AdminError;
use crate::serve::jobs::job_admin;
use crate::serve::jobs::revert::{Revert, decide, revert_id};
use crate::store::{ReleaseRecord, StoreError};

/// The routes; the caller adds the check of the sender.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/releases", get(list))
        .route("/api/releases/{id}", get(show).put(create))
        .route("/api/releases/{id}/unreached", get(unreached))
        .route("/api/releases/{id}/halt", post(halt_requested))
        .route("/api/releases/{id}/revert", post(revert_requested))
}

async fn create(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(id): Path<String>,
    Body(new): Body<NewRelease>,
) -> Response {
    let created = async {
        let NewRelease { mut job, mode, halt } = new;
        let unknown_hardware = prepare(&app, &mut job).await?;
        let plan = ReleasePlan { mode, halt, reverts: None };
        Ok(CreateResponse { unknown_hardware, ..app.jobs.release(id, job, plan, &sender.name).await? })
    };
    match created.await {
        Ok(created) => (StatusCode::CREATED, Json(created)).into_response(),
        Err(error) => refused(&error),
    }
}

async fn list(State(app): State<Arc<App>>) -> Response {
    let views = async {
        let mut releases = Vec::new();
        for release in app.store.releases().await? {
            releases.push(view(&app, &release).await?);
        }
        Ok(ReleaseList { releases })
    };
    match views.await {
        Ok(list) => Json(list).into_response(),
        Err(error) => store_failure(&error),
    }
}

async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    match find(&app, &id).await {
        Ok(view) => Json(view).into_response(),
        Err(error) => refused(&error),
    }
}

async fn unreached(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let things = async {
        app.store.release(&id).await?.ok_or_else(|| AdminError::NoRelease(id.clone()))?;
        Ok(app.store.unreached(&id).await?)
    };
    match things.await {
        Ok(things) => Json(Members { things }).into_response(),
        Err(error) => refused(&error),
    }
}

async fn halt_requested(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(id): Path<String>,
    Body(request): Body<HaltRequest>,
) -> Response {
    match halt(&app, &id, &request.reason, &sender.name).await {
        Ok(()) => show(State(app), Path(id)).await,
        Err(error) => refused(&error),
    }
}

async fn revert_requested(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(id): Path<String>,
    Body(request): Body<RevertRequest>,
) -> Response {
    match revert(&app, &id, &request, &sender.name).await {
        Ok(reverted) => Json(reverted).into_response(),
        Err(error) => refused(&error),
    }
}

/// Returns a release with the state of its devices.
///
/// Errors: `NoRelease`; `Store`.
pub async fn find(app: &App, id: &str) -> Result<ReleaseView, AdminError> {
    let release = app.store.release(id).await?.ok_or_else(|| AdminError::NoRelease(id.to_owned()))?;
    Ok(view(app, &release).await?)
}

/// Returns the view of a stored release.
pub async fn view(app: &App, release: &ReleaseRecord) -> Result<ReleaseView, StoreError> {
    let job = app.store.job(&release.id).await?.ok_or(StoreError::Damaged { column: "job_id" })?;
    let now_s = now_s();
    let silent_s = now_s.saturating_sub(release.plan.halt.silent_minutes * 60);
    let counts = app.store.counts(&release.id).await?;
    let health = app.store.health(&release.id, counts, silent_s).await?;
    let unreached = app.store.unreached_count(&release.id).await?;
    Ok(ReleaseView::new(release, &job, &health, unreached, now_s))
}

/// Halts a release for the account or token `by`.
///
/// Errors: `Bad` for a reason that is too long or more than a line; `NoRelease`; `State`; `Ended`; `Store`.
pub async fn halt(app: &App, id: &str, reason: &str, by: &str) -> Result<(), AdminError> {
    let by_whom = format!("by {by}");
    let reason = if reason.trim().is_empty() { by_whom.as_str() } else { reason.trim() };
    if reason.len() > NAME_BYTES_MAX {
        return Err(AdminError::Bad(format!("reason of {} bytes, at most {NAME_BYTES_MAX}", reason.len())));
    }
    if reason.chars().any(char::is_control) {
        return Err(AdminError::Bad("a reason is one line, without control characters".to_owned()));
    }
    app.jobs.halt(id.to_owned(), reason.to_owned(), by).await.map(drop)
}

/// Cancels a release by force for the account or token `by`, and creates releases with the images that its devices get instead,
/// at once. Of a release that was taken back already, the devices that are left.
///
/// Errors: see [`decide`] and [`job_admin::validate`]; then nothing was changed. If the releases cannot be created after the
/// cancellation, a further call creates those that are missing.
///
/// # Cancel safety
///
/// Dropping the future does not stop the revert.
pub async fn revert(app: &Arc<App>, id: &str, request: &RevertRequest, by: &str) -> Result<RevertResponse, AdminError> {
    let (app, id, request, by) = (app.clone(), id.to_owned(), request.clone(), by.to_owned());
    // A client that disconnects drops the handler: devices would keep the image of a release that is cancelled.
    let task = tokio::spawn(async move { cancel_and_create(&app, &id, &request, &by).await });
    task.await.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Err(AdminError::Stopping),
    })
}

async fn cancel_and_create(
    app: &App,
    id: &str,
    request: &RevertRequest,
    by: &str,
) -> Result<RevertResponse, AdminError> {
    let _only = app.reverting.lock().await;
    decided(app, id, request).await?;
    match app.jobs.cancel(id.to_owned(), true, by).await {
        Ok(_) | Err(AdminError::Ended { .. }) => {}
        Err(error) => return Err(error),
    }
    // Again: devices may have begun meanwhile.
    let (jobs, revert) = decided(app, id, request).await?;
    let mut releases = Vec::new();
    for (id_of_new, job) in jobs {
        let devices = job.things.len() as u64;
        let plan = ReleasePlan { mode: Mode::Immediate, halt: HaltRule::none(), reverts: Some(id.to_owned()) };
        app.jobs.release(id_of_new.clone(), job, plan, by).await?;
        releases.push(RevertingRelease { id: id_of_new, devices });
    }
    let Revert { without, pinned, is_older, .. } = revert;
    Ok(RevertResponse { releases, without, pinned, older: is_older })
}

/// Decides a revert; returns its jobs, which are valid, each with an id that is free, and the rest of it.
async fn decided(app: &App, id: &str, request: &RevertRequest) -> Result<(Vec<(String, NewJob)>, Revert), AdminError> {
    let mut revert = decide(&app.store, &app.files, id, &request.files).await?;
    let (mut jobs, mut index) = (Vec::new(), 0);
    for mut job in std::mem::take(&mut revert.jobs) {
        prepare(app, &mut job).await?;
        // Ends, as the stored jobs are finitely many.
        while app.store.job(&revert_id(id, index)).await?.is_some() {
            index += 1;
        }
        let free = revert_id(id, index);
        job_admin::validate(&app.store, &free, &job).await?;
        jobs.push((free, job));
        index += 1;
    }
    Ok((jobs, revert))
}

#[cfg(test)]
mod tests;
