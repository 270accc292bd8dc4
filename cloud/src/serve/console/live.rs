//! Server-sent events of a job's page: the parts that changed, at most one update per `LIVE_INTERVAL`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::watch;

use super::guard;
use super::job::{JobQuery, find};
use super::job_parts::{Parts, View, parts};
use super::live_pages::LivePage;
use super::page::Failure;
use super::sessions::Session;
use crate::limits::{LIVE_CHECK, LIVE_INTERVAL};
use crate::model::Job;
use crate::serve::http::app::App;

/// Names of the events; the page has an element for each.
const STATE: &str = "state";
const BAR: &str = "bar";
const DEVICES: &str = "devices";
const ACTIONS: &str = "actions";
/// Name of the last event: nothing more will change, or the session has ended.
const END: &str = "end";

/// Query of the stream.
#[derive(Debug, Default, Deserialize)]
pub struct After {
    /// Number of the newest event when the page was made.
    #[serde(default)]
    after: i64,
}

/// `GET /jobs/{id}/live`. 204 if there are too many live pages: the page is not live, and asks again later and later.
pub async fn stream(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Path(id): Path<String>,
    Query(After { after }): Query<After>,
    Query(query): Query<JobQuery>,
) -> Result<Response, Failure> {
    let job = find(&app, &id).await?;
    let Some(place) = app.console.live_pages.add(session.key) else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let changes = app.console.sessions.changes();
    let (view, ready) = (query.view(), VecDeque::new());
    let (sent, sent_at) = (None, None);
    let live = Live { app, session, job, view, after, changes, ready, sent, sent_at, has_ended: false, _place: place };
    let events = futures_util::stream::unfold(live, |mut live| async move { Some((live.next().await?, live)) });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

/// One open stream.
struct Live {
    app: Arc<App>,
    session: Session,
    job: Job,
    view: View,
    /// Number of the newest event that was looked at.
    after: i64,
    changes: watch::Receiver<()>,
    /// Events that are ready to be sent.
    ready: VecDeque<Event>,
    sent: Option<Parts>,
    sent_at: Option<Instant>,
    has_ended: bool,
    _place: LivePage,
}

impl Live {
    async fn next(&mut self) -> Option<Result<Event, Infallible>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.has_ended {
                return None;
            }
            self.wait().await;
        }
    }

    /// Waits for a change of the job or of the session, and prepares the events.
    async fn wait(&mut self) {
        let newest = tokio::select! {
            newest = self.app.store.wait_for_event(self.after, LIVE_CHECK) => newest,
            _ = self.changes.changed() => self.after,
        };
        match guard::is_open(&self.app, &self.session).await {
            Ok(true) => {}
            Ok(false) => {
                self.ready.push_back(event(STATE, "You are signed out. Reload the page."));
                return self.end();
            }
            Err(_) => return self.has_ended = true, // the browser connects again
        }
        match self.app.store.has_event(&self.job.id, self.after, newest).await {
            Ok(true) => self.refresh().await,
            Ok(false) => self.after = newest,
            Err(_) => self.has_ended = true, // the browser connects again
        }
    }

    /// Changes within the interval are sent together at its end.
    async fn refresh(&mut self) {
        if let Some(at) = self.sent_at {
            tokio::time::sleep_until((at + LIVE_INTERVAL).into()).await;
        }
        self.sent_at = Some(Instant::now());
        self.after = self.app.store.newest_event();
        match self.read().await {
            Ok(parts) => self.send(parts),
            Err(_) => self.has_ended = true,
        }
    }

    async fn read(&mut self) -> Result<Parts, Failure> {
        self.job = find(&self.app, &self.job.id).await?;
        Ok(parts(&self.app, &self.job, self.view, &self.session).await?)
    }

    fn send(&mut self, parts: Parts) {
        let before = self.sent.take();
        let old = |part: fn(&Parts) -> &String| before.as_ref().map(part);
        let all = [
            (STATE, &parts.state, old(|parts| &parts.state)),
            (BAR, &parts.bar, old(|parts| &parts.bar)),
            (DEVICES, &parts.devices, old(|parts| &parts.devices)),
            (ACTIONS, &parts.actions, old(|parts| &parts.actions)),
        ];
        let changed = all.into_iter().filter(|(_, new, old)| *old != Some(*new));
        self.ready.extend(changed.map(|(name, html, _)| event(name, html)));
        if !parts.is_pending {
            self.end();
        }
        self.sent = Some(parts);
    }

    fn end(&mut self) {
        self.ready.push_back(event(END, END));
        self.has_ended = true;
    }
}

/// A carriage return would end a line of the event: it is written as a character reference. Lines end with a line feed.
fn event(name: &str, html: &str) -> Event {
    Event::default().event(name).data(html.replace('\r', "&#13;"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_carriage_return_ends_no_line_of_an_event() {
        let text = format!("{:?}", event(DEVICES, "a\rb\nc"));
        assert!(text.contains("a&#13;b") && !text.contains("\\r"), "{text}");
    }
}
