//! The pages of all devices and of one device. A device is a thing that a job was created for, or that sent a request since
//! the start.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::page::{Failure, Frame, page};
use super::report::Report;
use super::sessions::Session;
use super::text::{Pager, status_class, status_word, time};
use crate::model::Execution;
use crate::serve::http::app::App;
use crate::store::PageNumber;

/// Query of the list.
#[derive(Debug, Default, Deserialize)]
pub struct DevicesQuery {
    /// Part of the name.
    #[serde(default)]
    filter: String,
    /// Number of the page, from 1.
    #[serde(default)]
    page: u32,
}

/// Query of the history.
#[derive(Debug, Default, Deserialize)]
pub struct HistoryQuery {
    #[serde(default)]
    page: u32,
}

/// One execution.
struct Row {
    thing: String,
    job: String,
    class: &'static str,
    word: &'static str,
    report: Report,
    attempt: u64,
    updated: String,
}

impl Row {
    fn new(execution: &Execution) -> Self {
        Self {
            thing: execution.thing.clone(),
            job: execution.job_id.clone(),
            class: status_class(execution.status),
            word: status_word(execution.status),
            report: Report::read(execution.details.as_deref()),
            attempt: execution.number,
            updated: time(execution.updated_at_s),
        }
    }
}

#[derive(Template)]
#[template(path = "devices.html")]
struct DevicesPage {
    frame: Frame,
    filter: String,
    rows: Vec<Row>,
    /// Things without an execution: of the store, and those that sent a request since the start.
    new: Vec<String>,
    has_more_new: bool,
    pager: Pager,
    mqtt: String,
}

/// `GET /devices`.
pub async fn list(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Query(query): Query<DevicesQuery>,
) -> Result<Response, Failure> {
    let number = PageNumber::new(query.page);
    let things = app.store.things_page(&query.filter, number).await?;
    let last = app.store.last_executions(&things.rows).await?;
    let last: HashMap<&str, &Execution> = last.iter().map(|execution| (execution.thing.as_str(), execution)).collect();
    let rows = things.rows.iter().filter_map(|thing| last.get(thing.as_str())).map(|e| Row::new(e)).collect();
    let without = things.rows.iter().filter(|thing| !last.contains_key(thing.as_str())).cloned();
    let pager = Pager::new(&base(&query.filter), number, &things);
    let new = match number {
        PageNumber::FIRST => Some(app.store.things_without_job(&app.jobs.seen(), &query.filter).await?),
        _ => None,
    };
    let has_more_new = new.as_ref().is_some_and(|new| new.has_next);
    let new = without.chain(new.map_or(Vec::new(), |new| new.rows)).collect();
    let (frame, mqtt) = (Frame::new("devices", &session), app.console.mqtt.clone());
    Ok(page(StatusCode::OK, &DevicesPage { frame, filter: query.filter, rows, new, has_more_new, pager, mqtt }))
}

/// The path of the list, for links to its pages.
fn base(filter: &str) -> String {
    if filter.is_empty() {
        return "/devices?".to_owned();
    }
    let path = "/devices?".to_owned();
    form_urlencoded::Serializer::for_suffix(path, "/devices?".len()).append_pair("filter", filter).finish() + "&"
}

#[derive(Template)]
#[template(path = "device.html")]
struct DevicePage {
    frame: Frame,
    name: String,
    is_seen: bool,
    is_pinned: bool,
    rows: Vec<Row>,
    pager: Pager,
}

/// `GET /devices/{name}`.
pub async fn history(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Path(name): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<Response, Failure> {
    let number = PageNumber::new(query.page);
    let executions = app.store.history_page(&name, number).await?;
    let is_seen = app.jobs.unseen(std::slice::from_ref(&name)).is_empty();
    let is_empty = executions.rows.is_empty() && number == PageNumber::FIRST;
    if is_empty && !is_seen && !app.store.has_thing(&name).await? {
        return Err(Failure::not_found(format!("There is no device {name}.")));
    }
    let pager = Pager::new(&format!("/devices/{name}?"), number, &executions);
    let rows = executions.rows.iter().map(Row::new).collect();
    let is_pinned = !app.store.pinned_of(std::slice::from_ref(&name)).await?.is_empty();
    let frame = Frame::new("devices", &session);
    Ok(page(StatusCode::OK, &DevicePage { frame, name, is_seen, is_pinned, rows, pager }))
}
