//! The parts of a job's page that change while devices report.

use std::collections::HashMap;

use askama::Template;
use ota_jobs::Status;

use super::bar::Counts;
use super::job_state::job_state;
use super::page::render;
use super::report::Report;
use super::sessions::Session;
use super::text::{Pager, counted, status_class, status_word, time};
use crate::api;
use crate::clock::now_s;
use crate::maintenance;
use crate::model::{Execution, Job};
use crate::role::Role;
use crate::serve::http::app::App;
use crate::store::{PageNumber, StoreError};

/// Which rows of the table a page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Only executions with this status.
    pub status: Option<Status>,
    /// Page of the table.
    pub page: PageNumber,
}

/// The parts, each as HTML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// State of the job, in one sentence.
    pub state: String,
    /// Bar and filters.
    pub bar: String,
    /// Table of devices.
    pub devices: String,
    /// What a person can do.
    pub actions: String,
    /// Whether something can still change.
    pub is_pending: bool,
}

#[derive(Template)]
#[template(path = "job_state.html")]
struct State {
    word: &'static str,
    class: &'static str,
    sentence: String,
    /// The last event of the job itself, if that was cancelled or has ended.
    event: String,
}

struct Filter {
    name: &'static str,
    word: &'static str,
    class: &'static str,
    count: u64,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "job_bar.html")]
struct BarAndFilters {
    id: String,
    bar: String,
    total: u64,
    is_all: bool,
    filters: Vec<Filter>,
}

struct Row {
    thing: String,
    word: &'static str,
    class: &'static str,
    report: Report,
    attempt: u64,
    /// What the device reported last: about itself, or else with this execution.
    version: String,
    updated: String,
}

#[derive(Template)]
#[template(path = "job_devices.html")]
struct Devices {
    rows: Vec<Row>,
    pager: Pager,
    /// Devices that have no row yet.
    waiting: u64,
}

#[derive(Template)]
#[template(path = "job_actions.html")]
struct Actions {
    id: String,
    form_token: String,
    may_change: bool,
    can_pause: bool,
    is_paused: bool,
    /// Devices that failed and can be tried again.
    failed: u64,
    has_queued: bool,
    has_in_progress: bool,
}

/// Reads a job's executions and renders the parts.
pub async fn parts(app: &App, job: &Job, view: View, session: &Session) -> Result<Parts, StoreError> {
    let counts = Counts::new(&app.store.counts(&job.id).await?);
    let is_open = job.continuous && !job.canceled;
    let executions = app.store.executions_page(&job.id, view.status, view.page).await?;
    let status = view.status.map_or(String::new(), |status| format!("status={status}&"));
    let pager = Pager::new(&format!("/jobs/{}?{status}", job.id), view.page, &executions);
    let actions = Actions {
        id: job.id.clone(),
        form_token: session.form_token.clone(),
        may_change: session.principal.role >= Role::Operator,
        can_pause: !job.canceled && !job.paused && (counts.waiting() > 0 || is_open),
        is_paused: is_paused(job, &counts),
        failed: if job.canceled { 0 } else { counts.failed() },
        has_queued: counts.of(Status::Queued) > 0 || counts.waiting() > 0 || is_open,
        has_in_progress: counts.of(Status::InProgress) > 0,
    };
    Ok(Parts {
        state: render(&state(job, &counts, app.store.end_of_job(&job.id).await?)),
        bar: render(&bar(job, &counts, view)),
        devices: render(&Devices {
            rows: rows(app, &executions.rows).await?,
            pager,
            waiting: if view.status.is_none() { counts.waiting() } else { 0 },
        }),
        actions: render(&actions),
        is_pending: counts.ended() < counts.total() || is_open,
    })
}

fn state(job: &Job, counts: &Counts, event: Option<String>) -> State {
    let (ended, total) = (counts.ended(), counts.total());
    let is_done = ended == total && !job.continuous;
    let status = api::job_status(job.canceled, is_done, job.config.start_s(), now_s());
    let (word, class) = job_state(status, job.paused, counts);
    let results = match ended {
        0 => String::new(),
        _ => format!(": {}", counts.words(Status::is_terminal)),
    };
    let waiting = match counts.waiting() {
        0 => String::new(),
        count => format!(" {count} of them wait for their turn."),
    };
    let groups = match job.continuous && !job.canceled {
        true => " New members of its groups get it until it is cancelled.",
        false => "",
    };
    let paused = if is_paused(job, counts) { " No further device gets it until it is resumed." } else { "" };
    let window = next_window(job, counts).unwrap_or_default();
    let sentence = match total {
        0 => format!("No device got it.{groups}{paused}{window}"),
        _ => format!("{ended} of {} ended{results}.{waiting}{groups}{paused}{window}", counted(total, "device")),
    };
    State { word, class, sentence, event: event.unwrap_or_default() }
}

/// Whether a device can get the job only after it is resumed.
fn is_paused(job: &Job, counts: &Counts) -> bool {
    job.paused && !job.canceled && (counts.waiting() > 0 || job.continuous)
}

/// When devices that wait, or may, get the job outside of its maintenance windows.
fn next_window(job: &Job, counts: &Counts) -> Option<String> {
    let (windows, now_s) = (job.config.windows(), now_s());
    let is_over = job.canceled || counts.waiting() == 0 && !job.continuous;
    if is_over || maintenance::is_open(windows, now_s) {
        return None;
    }
    let next_s = maintenance::next_starts(windows, now_s, 1).first().copied()?;
    Some(format!(" The next maintenance window begins at {} UTC.", time(next_s)))
}

fn bar(job: &Job, counts: &Counts, view: View) -> BarAndFilters {
    let filter = |(status, count): (Status, u64)| Filter {
        name: status.as_str(),
        word: status_word(status),
        class: status_class(status),
        count,
        is_chosen: view.status == Some(status),
    };
    // The service removes no execution today, so that filter is there only if the store has one.
    let shown = counts.iter().filter(|(status, count)| *status != Status::Removed || *count > 0);
    BarAndFilters {
        id: job.id.clone(),
        bar: counts.bar(),
        total: counts.total(),
        is_all: view.status.is_none(),
        filters: shown.map(filter).collect(),
    }
}

async fn rows(app: &App, executions: &[Execution]) -> Result<Vec<Row>, StoreError> {
    let things: Vec<String> = executions.iter().map(|execution| execution.thing.clone()).collect();
    let devices = app.store.devices(&things).await?;
    let reported = devices.into_iter().filter_map(|device| Some((device.thing, device.report?.version?)));
    let mut versions: HashMap<String, String> = reported.collect();
    Ok(executions.iter().map(|execution| row(execution, versions.remove(&execution.thing))).collect())
}

fn row(execution: &Execution, version: Option<String>) -> Row {
    let report = Report::read(execution.details.as_deref());
    Row {
        thing: execution.thing.clone(),
        word: status_word(execution.status),
        class: status_class(execution.status),
        version: version.unwrap_or_else(|| report.version.clone()),
        report,
        attempt: execution.number,
        updated: time(execution.updated_at_s),
    }
}
