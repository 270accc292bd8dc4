//! The pages of all devices and of one device. A device is a thing that a job was created for, or that sent a request since
//! the start.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use ota_jobs::Status;
use serde::Deserialize;

use super::form::Form;
use super::page::{Failure, Frame, page, redirect, refusal};
use super::report::Report;
use super::sessions::Session;
use super::text::{Pager, counted, status_class, status_word, time};
use crate::device::{Device, Queue};
use crate::model::Execution;
use crate::serve::http::app::App;
use crate::serve::http::job_control::cancel_execution;
use crate::serve::http::things::queue;
use crate::serve::jobs::changes::ExecutionName;
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

/// A device with its last execution.
struct DeviceRow {
    name: String,
    /// Class and words of its availability; empty if it did not report it.
    availability: &'static str,
    words: String,
    hardware: String,
    version: String,
    /// That of the system firmware, if it has one of its own.
    system_version: String,
    is_pinned: bool,
    last: Option<Row>,
}

impl DeviceRow {
    fn new(device: &Device, last: Option<&Execution>) -> Self {
        let last = last.map(Row::new);
        let report = device.report.as_ref();
        let (availability, words) = match (device.connected, report) {
            (Some(false), _) => ("off", not_connected(device.seen_at_s)),
            (_, None) => ("", String::new()),
            (_, Some(report)) if report.available => ("available", "available".to_owned()),
            (_, Some(report)) => {
                ("held", format!("not available: {}", report.reason.as_deref().unwrap_or("no reason")))
            }
        };
        let reported = report.and_then(|report| report.version.clone());
        let version = reported.or_else(|| last.as_ref().map(|last| last.report.version.clone()));
        Self {
            name: device.thing.clone(),
            availability,
            words,
            hardware: device.hardware().unwrap_or_default().to_owned(),
            version: version.unwrap_or_default(),
            system_version: report.and_then(|report| report.system_version.clone()).unwrap_or_default(),
            is_pinned: device.pinned,
            last,
        }
    }
}

fn not_connected(seen_at_s: Option<u64>) -> String {
    match seen_at_s {
        Some(at_s) => format!("not connected since {}", time(at_s)),
        None => "not connected, no contact recorded since the service started".to_owned(),
    }
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
    /// What a cancellation takes: nothing for an execution that has ended.
    cancel: Option<Cancel>,
}

/// How an execution is cancelled.
struct Cancel {
    /// Whether it is in progress.
    force: bool,
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
            cancel: execution.is_pending().then(|| Cancel { force: execution.status == Status::InProgress }),
        }
    }
}

#[derive(Template)]
#[template(path = "devices.html")]
struct DevicesPage {
    frame: Frame,
    filter: String,
    /// Devices of the store.
    rows: Vec<DeviceRow>,
    /// Things that the store does not have, and that sent a request since the start.
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
    let mut devices = app.store.devices_page(&query.filter, number).await?;
    app.jobs.complete(&mut devices.rows);
    let names: Vec<String> = devices.rows.iter().map(|device| device.thing.clone()).collect();
    let last = app.store.last_executions(&names).await?;
    let last: HashMap<&str, &Execution> = last.iter().map(|execution| (execution.thing.as_str(), execution)).collect();
    let row = |device: &Device| DeviceRow::new(device, last.get(device.thing.as_str()).copied());
    let rows = devices.rows.iter().map(row).collect();
    let pager = Pager::new(&base(&query.filter), number, &devices);
    let new = match number {
        PageNumber::FIRST => Some(app.store.things_without_job(&app.jobs.seen(), &query.filter).await?),
        _ => None,
    };
    let has_more_new = new.as_ref().is_some_and(|new| new.has_next);
    let new = new.map_or(Vec::new(), |new| new.rows);
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

/// The job that is first in the queue of a device.
struct FirstInQueue {
    job: String,
    /// Its status and since when, what is behind it, and what that waits for.
    words: String,
}

impl FirstInQueue {
    fn new(queue: Queue) -> Self {
        let status = if queue.status == Status::Queued.as_str() { "queued" } else { "in progress" };
        let (since, behind) = (time(queue.since_s), counted(queue.behind, "update"));
        let words = format!("{status} since {since} UTC; {behind} behind it. {}", queue.hint());
        Self { job: queue.first, words }
    }
}

#[derive(Template)]
#[template(path = "device.html")]
struct DevicePage {
    frame: Frame,
    name: String,
    is_seen: bool,
    device: DeviceRow,
    queue: Option<FirstInQueue>,
    rows: Vec<Row>,
    pager: Pager,
    error: String,
}

/// `GET /devices/{name}`.
pub async fn history(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Path(name): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<Response, Failure> {
    let shown = device_page(&app, &session, name, PageNumber::new(query.page)).await?;
    Ok(page(StatusCode::OK, &shown))
}

/// `POST /devices/{name}/cancel`: the update in the field `job`.
pub async fn cancel(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Failure> {
    let of = ExecutionName { thing: name.clone(), job_id: form.text("job").to_owned() };
    match cancel_execution(&app, of, form.text("force") == "yes", &form.session.principal.name).await {
        Ok(()) => Ok(redirect(&headers, &format!("/devices/{name}"))),
        Err(error) => {
            let error = refusal(error)?;
            let shown = device_page(&app, &form.session, name, PageNumber::FIRST).await?;
            Ok(page(StatusCode::CONFLICT, &DevicePage { error, ..shown }))
        }
    }
}

async fn device_page(app: &App, session: &Session, name: String, number: PageNumber) -> Result<DevicePage, Failure> {
    let executions = app.store.history_page(&name, number).await?;
    let is_seen = app.jobs.unseen(std::slice::from_ref(&name)).is_empty();
    let is_empty = executions.rows.is_empty() && number == PageNumber::FIRST;
    if is_empty && !is_seen && !app.store.has_thing(&name).await? {
        return Err(Failure::not_found(format!("There is no device {name}.")));
    }
    let pager = Pager::new(&format!("/devices/{name}?"), number, &executions);
    let rows = executions.rows.iter().map(Row::new).collect();
    let mut devices = app.store.devices(std::slice::from_ref(&name)).await?;
    app.jobs.complete(&mut devices);
    let device = DeviceRow::new(&devices.pop().unwrap_or_default(), None);
    let frame = Frame::new("devices", session);
    let queue = queue(app, &name).await?.map(FirstInQueue::new);
    Ok(DevicePage { frame, name, is_seen, device, queue, rows, pager, error: String::new() })
}
