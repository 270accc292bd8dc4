//! Status updates of the active job. One update is in flight, with the execution version that it expects; a newer report
//! replaces one that is still queued. A final report is retried until it is accepted or the execution is over.

use core::mem;

use ota_jobs::{RejectCode, Status};

use super::AgentConfig;
use super::event::{Message, Report, Step, WhyLater};
use super::execution::ExecutionId;
use super::time::{Backoff, Instant, Rng};

/// The shortest time between two progress reports, however fast the link.
const PROGRESS_MS_MIN: u64 = 1_000;

/// The timeout of a response, in back-offs, if that is more than configured.
const TIMEOUT_BACKOFFS: u64 = 2;

/// The execution's state as of the last response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServiceState {
    /// Queued or in progress.
    Open,
    /// The final report was accepted.
    Settled,
    /// Removed, or ended by the service.
    Gone,
}

impl ServiceState {
    /// The state of an execution with this status.
    fn of(status: Status) -> Self {
        if status.is_terminal() { Self::Gone } else { Self::Open }
    }
}

#[derive(Clone, Debug)]
pub(super) struct StatusReporter {
    /// The execution's version; unknown after a reset, a lost response or a rejection: then it is requested first.
    version: Option<u64>,
    /// The list of jobs changed: the execution is described before the next update.
    outdated: bool,
    queued: Option<Report>,
    in_flight: Option<Request>,
    /// The token of the last describe request, also after its timeout; 0 before the first.
    asked: u32,
    not_before: Instant,
    backoff: Backoff,
    /// When progress was last queued, and how many blocks it reported.
    progress: Option<(Instant, u32)>,
    /// The postponed step that was reported last, and its cause.
    waiting: Option<(Step, WhyLater)>,
    /// The job is to be requested with its document.
    fresh_document: bool,
    /// Only a final report is sent.
    muted: bool,
}

/// The request in flight.
#[derive(Clone, Copy, Debug)]
struct Request {
    token: u32,
    /// `None` for a describe request.
    report: Option<Report>,
    until: Instant,
}

impl StatusReporter {
    /// The reporter of an execution whose version is `version`, if known.
    pub(super) fn new(version: Option<u64>) -> Self {
        Self {
            version,
            outdated: false,
            queued: None,
            in_flight: None,
            asked: 0,
            not_before: Instant::default(),
            backoff: Backoff::new(),
            progress: None,
            waiting: None,
            fresh_document: false,
            muted: false,
        }
    }

    /// Queues `report`, replacing any unsent one. That a step is postponed is reported once for a cause.
    pub(super) fn queue(&mut self, report: Report) {
        let again =
            matches!(report, Report::Waiting(step, why) if self.waiting.replace((step, why)) == Some((step, why)));
        if !again && (!self.muted || matches!(report, Report::Final(_))) {
            self.queued = Some(report);
        }
    }

    /// Queues a progress report if one is due: at once, then after every `progress_every_percent` of the image or
    /// `progress_every_ms`, and no sooner than [`PROGRESS_MS_MIN`] after the last.
    pub(super) fn progress(&mut self, (done, total): (u32, u32), now: Instant, config: &AgentConfig) {
        let due = self.progress.is_none_or(|(at, reported)| {
            let moved = u64::from(done.saturating_sub(reported)) * 100;
            let enough = moved >= u64::from(config.progress_every_percent) * u64::from(total);
            let passed_ms = now.since(at);
            done != reported && passed_ms >= PROGRESS_MS_MIN && (enough || passed_ms >= config.progress_every_ms)
        });
        if due && done < total.max(1) {
            self.progress = Some((now, done));
            self.queue(Report::Progress { done, total });
        }
    }

    /// Marks the version as unknown: the execution is described before the next update.
    pub(super) fn invalidate_version(&mut self) {
        self.outdated = true;
    }

    /// Drops all reports but a final one: the execution is over at the service.
    pub(super) fn mute_progress(&mut self) {
        self.muted = true;
        self.queued = self.queued.filter(|report| matches!(report, Report::Final(_)));
    }

    /// Discards the queued report; nothing is sent from now on.
    pub(super) fn close(&mut self) {
        self.muted = true;
        self.queued = None;
    }

    /// Requests the job with its document, for a fresh URL.
    pub(super) fn refresh_document(&mut self) {
        self.fresh_document = true;
    }

    /// As [`Self::refresh_document`], after a while: the response had none.
    pub(super) fn refresh_document_later(&mut self, now: Instant, rng: &mut Rng) {
        self.fresh_document = true;
        self.retry_later(now, rng);
    }

    /// Whether a report is to be sent or acknowledged, or the execution is to be described.
    pub(super) fn is_busy(&self) -> bool {
        !self.is_muted() && (self.queued.is_some() || self.in_flight.is_some() || self.outdated)
    }

    /// Queues the report in flight again: its response does not arrive any more.
    pub(super) fn disconnected(&mut self) {
        let report = self.in_flight.take().and_then(|request| request.report);
        self.lost(report);
        self.not_before = Instant::default();
        self.backoff.reset();
    }

    pub(super) fn message<'m>(
        &mut self,
        execution: &'m ExecutionId,
        now: Instant,
        response_timeout_ms: u64,
        token: u32,
    ) -> Option<Message<'m>> {
        if self.in_flight.is_some() || now < self.not_before || self.is_muted() {
            return None;
        }
        // Longer after each timeout: on a slow link a response may be behind many blocks, and only that to the last request counts.
        let until = now.plus_ms(response_timeout_ms.max(TIMEOUT_BACKOFFS * self.backoff.next_ms()));
        // Requested once: if the response is lost or does not fit, the next one without the document is to arrive.
        let document = mem::take(&mut self.fresh_document);
        let Some(expected_version) = self.version.filter(|_| !document && !self.outdated) else {
            self.outdated = false;
            self.asked = token;
            self.in_flight = Some(Request { token, report: None, until });
            return Some(Message::Describe { job: &execution.job, token, document });
        };
        let report = self.queued.take()?;
        self.in_flight = Some(Request { token, report: Some(report), until });
        Some(Message::Update { execution, token, expected_version, report })
    }

    pub(super) fn described(&mut self, status: Status, version: u64) -> ServiceState {
        if let Some(Request { report: None, .. }) = self.in_flight {
            self.in_flight = None;
        }
        self.version = Some(version);
        ServiceState::of(status)
    }

    pub(super) fn accepted(&mut self, token: u32, version: Option<u64>) -> ServiceState {
        let Some(request) = self.take(token) else { return ServiceState::Open };
        self.backoff.reset();
        // Each update adds one, unless the response has the number.
        self.version = version.or(self.version.map(|version| version.saturating_add(1)));
        match request.report {
            Some(Report::Final(_)) => ServiceState::Settled,
            Some(_) | None => ServiceState::Open,
        }
    }

    pub(super) fn rejected(
        &mut self,
        token: u32,
        code: RejectCode,
        status: Option<Status>,
        now: Instant,
        rng: &mut Rng,
    ) -> ServiceState {
        let Some(request) = self.take(token) else { return ServiceState::Open };
        // The version in the response is not used: it may belong to another execution.
        self.lost(request.report);
        if matches!(code, RejectCode::ResourceNotFound | RejectCode::TerminalStateReached) {
            return ServiceState::Gone;
        }
        // Every other code is transient.
        self.retry_later(now, rng);
        match code {
            RejectCode::VersionMismatch | RejectCode::InvalidStateTransition => {
                status.map_or(ServiceState::Open, ServiceState::of)
            }
            _ => ServiceState::Open,
        }
    }

    /// Ends a request that timed out, and queues its report again; the version is unknown then.
    pub(super) fn expire(&mut self, now: Instant, rng: &mut Rng) {
        if let Some(request) = self.in_flight
            && request.until <= now
        {
            self.in_flight = None;
            self.lost(request.report);
            self.retry_later(now, rng);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.in_flight {
            Some(request) => Some(request.until),
            None if self.is_muted() => None,
            None if self.queued.is_some() || self.version.is_none() || self.outdated || self.fresh_document => {
                Some(self.not_before)
            }
            None => None,
        }
    }

    /// The token of the last describe request.
    pub(super) fn asked(&self) -> u32 {
        self.asked
    }

    fn is_muted(&self) -> bool {
        self.muted && !matches!(self.queued, Some(Report::Final(_)))
    }

    fn take(&mut self, token: u32) -> Option<Request> {
        self.in_flight.take_if(|request| request.token == token)
    }

    /// Queues a report again that was not accepted, unless there is a later one; the version is unknown.
    fn lost(&mut self, report: Option<Report>) {
        self.queued = self.queued.or(report);
        self.version = None;
    }

    fn retry_later(&mut self, now: Instant, rng: &mut Rng) {
        self.not_before = now.plus_ms(self.backoff.next_wait_ms(rng.next_u32()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ota_jobs::JobId;

    const NOW: Instant = Instant::from_ms(0);
    const TIMEOUT_MS: u64 = 5_000;

    fn job() -> ExecutionId {
        ExecutionId::of(JobId::new("job").expect("a plain id"))
    }

    /// A reporter of version 4 whose update with token 7 is in flight.
    fn in_flight() -> StatusReporter {
        let (job, mut reporter) = (job(), StatusReporter::new(Some(4)));
        reporter.queue(Report::Testing);
        let message = reporter.message(&job, NOW, TIMEOUT_MS, 7);
        let sent = Message::Update { execution: &job, token: 7, expected_version: 4, report: Report::Testing };
        assert_eq!(message, Some(sent));
        reporter
    }

    #[test]
    fn a_response_with_another_token_changes_nothing() {
        let mut reporter = in_flight();
        assert_eq!(reporter.accepted(8, Some(9)), ServiceState::Open);
        let code = RejectCode::ResourceNotFound;
        assert_eq!(reporter.rejected(8, code, None, NOW, &mut Rng::new(1)), ServiceState::Open);
        assert!(reporter.is_busy(), "the update is still in flight");
        assert_eq!(reporter.accepted(7, None), ServiceState::Open);
        assert!(!reporter.is_busy());
    }

    #[test]
    fn the_next_update_expects_the_version_of_the_response_or_one_more_than_the_last() {
        for (version, expected) in [(None, 5), (Some(9), 9)] {
            let (job, mut reporter) = (job(), in_flight());
            reporter.accepted(7, version);
            reporter.queue(Report::Ready);
            let message = reporter.message(&job, NOW, TIMEOUT_MS, 8);
            assert!(
                matches!(message, Some(Message::Update { expected_version, .. }) if expected_version == expected),
                "{message:?}"
            );
        }
    }

    #[test]
    fn a_progress_report_is_dropped_once_the_execution_is_over_and_a_final_report_is_not() {
        let (job, mut reporter) = (job(), StatusReporter::new(Some(4)));
        reporter.mute_progress();
        reporter.queue(Report::Ready);
        assert!(!reporter.is_busy());
        assert_eq!(reporter.message(&job, NOW, TIMEOUT_MS, 1), None);
        reporter.queue(Report::Final(super::super::Outcome::Succeeded));
        assert!(reporter.message(&job, NOW, TIMEOUT_MS, 1).is_some());
    }

    #[test]
    fn a_fresh_document_is_requested_once() {
        let (job, mut reporter) = (job(), StatusReporter::new(Some(4)));
        reporter.refresh_document();
        let message = reporter.message(&job, NOW, TIMEOUT_MS, 1);
        assert_eq!(message, Some(Message::Describe { job: &job.job, token: 1, document: true }));
        assert_eq!(reporter.described(Status::InProgress, 4), ServiceState::Open);
        assert_eq!(reporter.message(&job, NOW, TIMEOUT_MS, 2), None);
    }

    #[test]
    fn a_document_that_does_not_arrive_holds_back_no_report() {
        let (job, mut reporter) = (job(), StatusReporter::new(Some(4)));
        reporter.refresh_document();
        reporter.message(&job, NOW, TIMEOUT_MS, 1);
        reporter.queue(Report::Ready);
        let (late, mut rng) = (NOW.plus_ms(2 * TIMEOUT_MS), Rng::new(1));
        reporter.expire(late, &mut rng);
        let later = late.plus_ms(60_000);
        asks_version(&mut reporter, later);
        assert_eq!(sent(&mut reporter, later), Some(Report::Ready));
    }

    fn sent(reporter: &mut StatusReporter, now: Instant) -> Option<Report> {
        match reporter.message(&job(), now, TIMEOUT_MS, 9) {
            Some(Message::Update { report, .. }) => Some(report),
            Some(message) => panic!("{message:?}"),
            None => None,
        }
    }

    /// Expects a request of the version, and takes it as answered.
    fn asks_version(reporter: &mut StatusReporter, now: Instant) {
        let job = job();
        let message = reporter.message(&job, now, TIMEOUT_MS, 9);
        assert_eq!(message, Some(Message::Describe { job: &job.job, token: 9, document: false }));
        assert_eq!(reporter.described(Status::InProgress, 6), ServiceState::Open);
    }

    #[test]
    fn a_report_whose_response_is_lost_is_sent_again_once_the_version_is_known() {
        let mut expired = in_flight();
        let until = NOW.plus_ms(TIMEOUT_MS);
        assert_eq!(expired.deadline(), Some(until));
        expired.expire(Instant::from_ms(TIMEOUT_MS - 1), &mut Rng::new(1));
        assert_eq!(expired.deadline(), Some(until));
        expired.expire(until, &mut Rng::new(1));
        let again = expired.deadline().expect("a wait");
        assert!((751..=1_000).contains(&again.since(until)), "{again:?}");
        assert_eq!(sent(&mut expired, until), None);
        let mut disconnected = expired.clone();
        asks_version(&mut expired, again);
        assert_eq!(sent(&mut expired, again), Some(Report::Testing));

        disconnected.disconnected(); // the wait was for the service of the last connection
        let mut lost = in_flight();
        lost.disconnected();
        for mut reporter in [disconnected, lost] {
            asks_version(&mut reporter, NOW);
            assert_eq!(sent(&mut reporter, NOW), Some(Report::Testing));
        }
    }

    #[test]
    fn a_timeout_grows_up_to_two_minutes_while_no_response_arrives() {
        let (mut reporter, mut now) = (StatusReporter::new(None), NOW);
        for wait_ms in [5_000, 5_000, 8_000, 16_000, 32_000, 64_000, 120_000, 120_000] {
            assert!(reporter.message(&job(), now, TIMEOUT_MS, 9).is_some());
            let until = reporter.deadline().expect("a timeout");
            assert_eq!(until.since(now), wait_ms);
            reporter.expire(until, &mut Rng::new(1));
            now = reporter.deadline().expect("a wait");
        }
    }

    #[test]
    fn a_newer_report_is_not_replaced_by_the_one_that_was_lost() {
        let mut reporter = in_flight();
        reporter.queue(Report::Ready);
        reporter.disconnected();
        asks_version(&mut reporter, NOW);
        assert_eq!(sent(&mut reporter, NOW), Some(Report::Ready));
    }

    #[test]
    fn after_a_rejection_the_version_is_requested_later_unless_the_execution_is_over() {
        let code = RejectCode::VersionMismatch;
        for status in [Some(Status::InProgress), None] {
            let mut reporter = in_flight();
            assert_eq!(reporter.rejected(7, code, status, NOW, &mut Rng::new(1)), ServiceState::Open);
            let again = reporter.deadline().expect("a wait");
            assert!((751..=1_000).contains(&again.since(NOW)), "{again:?}");
            assert_eq!(reporter.message(&job(), NOW, TIMEOUT_MS, 8), None);
            asks_version(&mut reporter, again);
            assert_eq!(sent(&mut reporter, again), Some(Report::Testing));
        }
        let rejected = |code, status| in_flight().rejected(7, code, status, NOW, &mut Rng::new(1));
        assert_eq!(rejected(code, Some(Status::Canceled)), ServiceState::Gone);
        assert_eq!(rejected(RejectCode::InvalidStateTransition, Some(Status::Failed)), ServiceState::Gone);
        assert_eq!(rejected(RejectCode::InternalError, Some(Status::Canceled)), ServiceState::Open);
        assert_eq!(rejected(RejectCode::TerminalStateReached, None), ServiceState::Gone);
        assert_eq!(rejected(RejectCode::ResourceNotFound, None), ServiceState::Gone);
    }

    #[test]
    fn a_deadline_is_due_for_a_report_an_unknown_version_or_a_document_and_for_nothing_else() {
        let at_once = Some(Instant::default());
        assert_eq!(StatusReporter::new(Some(4)).deadline(), None);
        assert_eq!(StatusReporter::new(None).deadline(), at_once);
        let mut queued = StatusReporter::new(Some(4));
        queued.queue(Report::Ready);
        assert_eq!(queued.deadline(), at_once);
        let mut document = StatusReporter::new(Some(4));
        document.refresh_document();
        assert_eq!(document.deadline(), at_once);
        let mut version = StatusReporter::new(Some(4));
        version.invalidate_version();
        assert_eq!(version.deadline(), at_once);
        asks_version(&mut version, NOW);
        assert_eq!(version.deadline(), None);
        let mut closed = StatusReporter::new(None);
        closed.close();
        assert_eq!((closed.deadline(), closed.message(&job(), NOW, TIMEOUT_MS, 1)), (None, None));
    }

    #[test]
    fn progress_is_reported_at_once_then_by_share_or_time_once_a_second_at_most_and_never_for_all_of_it() {
        let config = AgentConfig::new("thing").expect("a plain name"); // every 5 % or 10 s
        let at = |ms: u64| Instant::from_ms(1_000 + ms);
        let mut reporter = StatusReporter::new(Some(4));
        for (done, total, ms, due) in [
            (0, 100, 0, true),
            (0, 100, 10_000, false), // nothing new
            (4, 100, 9_999, false),
            (4, 100, 10_000, true),
            (8, 100, 11_000, false),
            (9, 100, 10_999, false),
            (9, 100, 11_000, true),
            (99, 100, 11_999, false),
            (14, 100, 12_000, true),
            (18, 100, 21_999, false),
            (18, 100, 22_000, true),
            (100, 100, 90_000, false),
            (99, 100, 90_000, true),
        ] {
            reporter.queued = None;
            reporter.progress((done, total), at(ms), &config);
            assert_eq!(reporter.queued, due.then_some(Report::Progress { done, total }), "{done} at {ms} ms");
        }
        let mut empty = StatusReporter::new(Some(4));
        empty.progress((0, 0), NOW, &config);
        assert_eq!(empty.queued, Some(Report::Progress { done: 0, total: 0 }));
    }
}
