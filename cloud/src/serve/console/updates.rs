//! The page of all updates, newest first.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::bar::Counts;
use super::job_state::job_state;
use super::page::{Failure, Frame, page};
use super::sessions::Session;
use super::text::{Pager, time};
use crate::api::JobRow;
use crate::clock::now_s;
use crate::serve::http::app::App;
use crate::store::{JobSummary, PageNumber};

/// Query of a list.
#[derive(Debug, Default, Deserialize)]
pub struct PageQuery {
    /// Number of the page, from 1.
    #[serde(default)]
    pub page: u32,
}

struct Row {
    id: String,
    class: &'static str,
    word: &'static str,
    created: String,
    bar: String,
    words: String,
}

#[derive(Template)]
#[template(path = "updates.html")]
struct UpdatesPage {
    frame: Frame,
    rows: Vec<Row>,
    pager: Pager,
    mqtt: String,
}

/// `GET /`.
pub async fn show(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Failure> {
    let number = PageNumber::new(query.page);
    let jobs = app.store.jobs_page(number).await?;
    let pager = Pager::new("/?", number, &jobs);
    let rows = jobs.rows.iter().map(row).collect();
    let frame = Frame::new("updates", &session);
    Ok(page(StatusCode::OK, &UpdatesPage { frame, rows, pager, mqtt: app.console.mqtt.clone() }))
}

fn row(job: &JobSummary) -> Row {
    let counts = Counts::new(&job.counts());
    let (word, class) = job_state(&JobRow::new(job, now_s()).status, job.paused, &counts);
    let words = match counts.total() {
        0 => "no device".to_owned(),
        total => format!("{} of {total} ended: {}", counts.ended(), counts.label()),
    };
    Row { id: job.id.clone(), class, word, created: time(job.created_at_s), bar: counts.bar(), words }
}
