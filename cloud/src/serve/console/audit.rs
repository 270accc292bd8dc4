//! The audit: all events, newest first.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::page::{Failure, Frame, page};
use super::sessions::Session;
use super::text::time;
use crate::model::Event;
use crate::serve::http::app::App;

/// Query of the audit. Pages are by number of event: new events do not move the rows of an older page.
#[derive(Debug, Default, Deserialize)]
pub struct AuditQuery {
    /// Only events before this number.
    before: Option<i64>,
}

struct Row {
    time: String,
    event: Event,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    rows: Vec<Row>,
    is_newest: bool,
    older: Option<i64>,
}

/// `GET /audit`.
pub async fn show(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Query(query): Query<AuditQuery>,
) -> Result<Response, Failure> {
    let events = app.store.events_before(query.before.unwrap_or(i64::MAX)).await?;
    let older = events.rows.last().filter(|_| events.has_next).map(|event| event.seq);
    let rows = events.rows.into_iter().map(|event| Row { time: time(event.at_ms / 1000), event }).collect();
    let (frame, is_newest) = (Frame::new("audit", &session), query.before.is_none());
    Ok(page(StatusCode::OK, &AuditPage { frame, rows, is_newest, older }))
}
