//! The page of one job: state, devices, document, and its cancellation.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use ota_jobs::Status;
use serde::Deserialize;

use super::form::Form;
use super::job_parts::{Parts, View, parts};
use super::page::{Failure, Frame, page, redirect, refusal};
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
            None => String::new(),
            Some(count) if left == 0 => format!("{} cancelled.", counted(count, "device")),
            Some(count) => format!("{} cancelled, {still}.", counted(count, "device")),
        }
    }
}

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    frame: Frame,
    id: String,
    created: String,
    timeout: String,
    /// Rollout, abort criteria, retries and schedule, as JSON; empty without any.
    config: String,
    document: String,
    parts: Parts,
    note: String,
    error: String,
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

/// `POST /jobs/{id}/cancel`.
pub async fn cancel(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Failure> {
    match app.jobs.cancel(id.clone(), form.text("force") == "yes", &form.session.principal.name).await {
        Ok(done) => {
            let to = format!("/jobs/{id}?canceled={}&left={}", done.canceled, done.left_in_progress);
            Ok(redirect(&headers, &to))
        }
        Err(error) => {
            let error = refusal(error)?;
            let job = find(&app, &id).await?;
            let shown = job_page(&app, &form.session, &job, JobQuery::default().view()).await?;
            Ok(page(StatusCode::CONFLICT, &JobPage { error, ..shown }))
        }
    }
}

/// The job with this id.
pub async fn find(app: &App, id: &str) -> Result<Job, Failure> {
    app.store.job(id).await?.ok_or_else(|| Failure::not_found(format!("There is no job {id}.")))
}

async fn job_page(app: &App, session: &Session, job: &Job, view: View) -> Result<JobPage, Failure> {
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
