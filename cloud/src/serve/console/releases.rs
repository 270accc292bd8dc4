//! The pages of all releases and of one: its health panel, a halt, and a revert.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::bar::Counts;
use super::form::Form;
use super::job_state::job_state;
use super::page::{Failure, Frame, page, redirect, refusal, render};
use super::sessions::Session;
use super::text::{Pager, counted, time};
use super::updates::PageQuery;
use crate::limits::UNREACHED_SHOWN_MAX;
use crate::release_api::{HALTED, REVERTED, ReleaseView, RevertRequest, RevertResponse};
use crate::release_plan::{HaltRule, Mode};
use crate::role::Role;
use crate::serve::http::app::App;
use crate::serve::http::releases::{find, halt, revert, view};
use crate::store::PageNumber;

/// A release of the list.
struct Row {
    id: String,
    class: &'static str,
    word: &'static str,
    mode: &'static str,
    created: String,
    bar: String,
    words: String,
}

#[derive(Template)]
#[template(path = "releases.html")]
struct ReleasesPage {
    frame: Frame,
    rows: Vec<Row>,
    pager: Pager,
}

/// A number of the health panel.
struct Figure {
    name: &'static str,
    count: u64,
    /// Whether it is worth a look.
    is_bad: bool,
}

/// The part of the page that changes.
#[derive(Template)]
#[template(path = "release_health.html")]
struct HealthPanel {
    id: String,
    class: &'static str,
    word: &'static str,
    reason: String,
    bar: String,
    words: String,
    figures: Vec<Figure>,
    /// Whether it is loaded again by itself.
    is_pending: bool,
}

#[derive(Template)]
#[template(path = "release.html")]
struct ReleasePage {
    frame: Frame,
    id: String,
    created: String,
    mode: &'static str,
    rule: String,
    reverts: String,
    panel: String,
    /// The first devices that it did not reach, and how many there are beside them.
    unreached: Vec<String>,
    more_unreached: u64,
    can_halt: bool,
    can_revert: bool,
    note: String,
    error: String,
}

/// `GET /releases`.
pub async fn list(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Failure> {
    let number = PageNumber::new(query.page);
    let releases = app.store.releases_page(number).await?;
    let pager = Pager::new("/releases?", number, &releases);
    let mut rows = Vec::new();
    for release in &releases.rows {
        rows.push(row(&view(&app, release).await?));
    }
    Ok(page(StatusCode::OK, &ReleasesPage { frame: Frame::new("releases", &session), rows, pager }))
}

/// `GET /releases/{id}`.
pub async fn show(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let shown = release_page(&app, &session, &id).await?;
    Ok(page(StatusCode::OK, &shown))
}

/// `GET /releases/{id}/health`: the panel alone.
pub async fn health(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Failure> {
    let release = found(&app, &id).await?;
    Ok(page(StatusCode::OK, &panel(&release)))
}

/// `POST /releases/{id}/halt`.
pub async fn halt_pressed(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Failure> {
    match halt(&app, &id, form.text("reason"), &form.session.principal.name).await {
        Ok(()) => Ok(redirect(&headers, &format!("/releases/{id}"))),
        Err(error) => {
            let error = refusal(error)?;
            let shown = release_page(&app, &form.session, &id).await?;
            Ok(page(StatusCode::CONFLICT, &ReleasePage { error, ..shown }))
        }
    }
}

/// `POST /releases/{id}/revert`.
pub async fn revert_pressed(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    form: Form,
) -> Result<Response, Failure> {
    let reverted = revert(&app, &id, &RevertRequest::default(), &form.session.principal.name).await.map_err(refusal);
    let (status, note, error) = match reverted {
        Ok(done) => (StatusCode::OK, words(&done), String::new()),
        Err(refused) => (StatusCode::CONFLICT, String::new(), refused?),
    };
    let shown = release_page(&app, &form.session, &id).await?;
    Ok(page(status, &ReleasePage { note, error, ..shown }))
}

async fn found(app: &App, id: &str) -> Result<ReleaseView, Failure> {
    match find(app, id).await {
        Ok(release) => Ok(release),
        Err(error) => Err(Failure::not_found(refusal(error)?)),
    }
}

async fn release_page(app: &App, session: &Session, id: &str) -> Result<ReleasePage, Failure> {
    let release = found(app, id).await?;
    let (panel, may_change) = (panel(&release), session.principal.role >= Role::Operator);
    let mut unreached = app.store.unreached(id).await?;
    unreached.truncate(UNREACHED_SHOWN_MAX);
    Ok(ReleasePage {
        frame: Frame::new("releases", session),
        id: release.id.clone(),
        created: time(release.created_at_s),
        mode: mode_words(release.mode),
        rule: rule_words(&release.halt),
        reverts: release.reverts.clone().unwrap_or_default(),
        can_halt: may_change && panel.is_pending && release.status != HALTED,
        can_revert: may_change,
        panel: render(&panel),
        more_unreached: release.unreached.saturating_sub(unreached.len() as u64),
        unreached,
        note: String::new(),
        error: String::new(),
    })
}

fn row(release: &ReleaseView) -> Row {
    let counts = counts(release);
    let (word, class) = status_words(release, &counts);
    Row {
        id: release.id.clone(),
        class,
        word,
        mode: mode_words(release.mode),
        created: time(release.created_at_s),
        bar: counts.bar(),
        words: format!("{} of {} ended: {}", counts.ended(), counted(counts.total(), "device"), counts.label()),
    }
}

fn panel(release: &ReleaseView) -> HealthPanel {
    let (counts, health) = (counts(release), &release.health);
    let (word, class) = status_words(release, &counts);
    let failed = ["FAILED", "REJECTED", "TIMED_OUT"].iter().filter_map(|status| health.executions.get(*status)).sum();
    let figure = |name, count, is_bad: bool| Figure { name, count, is_bad: is_bad && count > 0 };
    HealthPanel {
        id: release.id.clone(),
        class,
        word,
        reason: release.reason.clone().unwrap_or_default(),
        bar: counts.bar(),
        words: format!("{} of {} ended: {}", counts.ended(), counted(counts.total(), "device"), counts.label()),
        figures: vec![
            figure("Failed", failed, true),
            figure("Failed self-test", health.self_test_failed, true),
            figure("Silent", health.silent, true),
            figure("Not started", health.waiting + health.executions.get("QUEUED").copied().unwrap_or_default(), false),
            figure("On hold", health.on_hold, false),
            figure("Not reached", release.unreached, false),
        ],
        is_pending: counts.ended() < counts.total(),
    }
}

fn counts(release: &ReleaseView) -> Counts {
    let health = &release.health;
    let count =
        |(status, count): (&String, &u64)| ota_jobs::Status::parse(status).map(|status| (status.as_str(), *count));
    let executions = health.executions.iter().filter_map(count).collect();
    Counts::new(&crate::model::Counts { waiting: health.waiting, executions })
}

fn status_words(release: &ReleaseView, counts: &Counts) -> (&'static str, &'static str) {
    match release.status.as_str() {
        HALTED => ("Halted", "halted"),
        REVERTED => ("Reverted", "canceled"),
        other => job_state(other, release.paused, counts),
    }
}

fn mode_words(mode: Mode) -> &'static str {
    match mode {
        Mode::OnSession => "at the begin of each device's next session",
        Mode::Immediate => "at once",
    }
}

fn rule_words(rule: &HaltRule) -> String {
    let HaltRule { failed_percent, self_test_percent, silent_percent, silent_minutes, min_devices } = rule;
    let silent = format!("report nothing for {silent_minutes} minutes");
    let parts = [
        (failed_percent, "failed"),
        (self_test_percent, "failed their self-test or went back"),
        (silent_percent, silent.as_str()),
    ];
    let parts: Vec<String> =
        parts.iter().filter_map(|(percent, words)| percent.map(|percent| format!("{percent} % {words}"))).collect();
    match parts.is_empty() {
        true => "never by itself".to_owned(),
        false => format!("when {}, of {min_devices} devices or more", parts.join(", or ")),
    }
}

fn words(done: &RevertResponse) -> String {
    let devices = done.releases.iter().map(|release| release.devices).sum();
    let mut words = match devices {
        0 => "No device was taken back.".to_owned(),
        devices => format!("Taken back: {} get the image that they had before.", counted(devices, "device")),
    };
    if !done.without.is_empty() {
        words += &format!(" Without an earlier image that is known: {}.", counted(done.without.len() as u64, "device"));
    }
    if !done.pinned.is_empty() {
        words += &format!(" Passed over: {}.", counted(done.pinned.len() as u64, "pinned device"));
    }
    if done.older {
        words += " The image is older: devices that accept newer versions only reject it.";
    }
    words
}
