//! The page of one job: state, devices, document. Its buttons are in `job_control.rs`.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use ota_jobs::Status;
use serde::Deserialize;

use super::job_parts::{Parts, View, parts};
use super::page::{Failure, Frame, page};
use super::sessions::Session;
use super::text::{counted, time};
use crate::job_config::JobConfig;
use crate::model::Job;
use crate::serve::http::app::App;
use crate::store::PageNumber;

/// Query of the page.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct JobQuery {
    #[serde(default)]
    status: String,
    #[serde(default)]
    page: u32,
    /// Number of executions that a cancellation ended, for a note.
    canceled: Option<u64>,
    /// Number of executions that a cancellation left in progress.
    left: Option<u64>,
    /// Number of executions that are queued again, for a note.
    retried: Option<u64>,
    /// Number of failed executions that stay because their device is pinned.
    pinned: Option<u64>,
}

impl JobQuery {
    /// The rows that are shown; an unknown status is no filter.
    pub fn view(&self) -> View {
        View { status: Status::parse(&self.status), page: PageNumber::new(self.page) }
    }

    fn note(&self) -> String {
        let left = self.left.unwrap_or(0);
        let still = if left == 1 { "1 is still in progress".into() } else { format!("{left} are still in progress") };
        match self.canceled {
            None => self.retried.map_or(String::new(), |count| self.retry_note(count)),
            Some(count) if left == 0 => format!("{} cancelled.", counted(count, "device")),
            Some(count) => format!("{} cancelled, {still}.", counted(count, "device")),
        }
    }

    fn retry_note(&self, count: u64) -> String {
        let retried = format!("{} queued again.", counted(count, "device"));
        match self.pinned {
            None | Some(0) => retried,
            Some(pinned) => format!("{retried} Passed over: {}.", counted(pinned, "pinned device")),
        }
    }
}

/// The page.
#[derive(Template)]
#[template(path = "job.html")]
pub struct JobPage {
    frame: Frame,
    id: String,
    created: String,
    timeout: String,
    /// Rollout, abort criteria, retries and schedule, as JSON; empty without any.
    config: String,
    document: String,
    parts: Parts,
    note: String,
    /// Why the job service refused what was asked for.
    pub error: String,
    live: String,
}

/// `GET /jobs/{id}`.
pub async fn show(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Path(id): Path<String>,
    Query(query): Query<JobQuery>,
) -> Result<Response, Failure> {
    let job = find(&app, &id).await?;
    let note = query.note();
    let shown = job_page(&app, &session, &job, query.view()).await?;
    Ok(page(StatusCode::OK, &JobPage { note, ..shown }))
}

/// The job with this id.
pub async fn find(app: &App, id: &str) -> Result<Job, Failure> {
    app.store.job(id).await?.ok_or_else(|| Failure::not_found(format!("There is no job {id}.")))
}

/// The page of a job, without a note.
pub async fn job_page(app: &App, session: &Session, job: &Job, view: View) -> Result<JobPage, Failure> {
    // Read before the executions: an event between the two is sent again, and none is missed.
    let after = app.store.newest_event();
    let parts = parts(app, job, view, session).await?;
    let status = view.status.map_or("", Status::as_str);
    let live = format!("/jobs/{}/live?after={after}&status={status}&page={}", job.id, view.page.number());
    Ok(JobPage {
        frame: Frame::new("updates", session),
        id: job.id.clone(),
        created: time(job.created_at_s),
        timeout: job.timeout_s.map_or("none".into(), |seconds| counted(seconds / 60, "minute")),
        config: config(job),
        document: pretty(&job.document),
        live: if parts.is_pending { live } else { String::new() },
        parts,
        note: String::new(),
        error: String::new(),
    })
}

fn config(job: &Job) -> String {
    if job.config == JobConfig::default() {
        return String::new();
    }
    serde_json::to_string_pretty(&job.config).expect("numbers and texts")
}

/// A document with line breaks; member order as stored.
fn pretty(document: &str) -> String {
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(document);
    parsed.ok().and_then(|value| serde_json::to_string_pretty(&value).ok()).unwrap_or_else(|| document.to_owned())
}
