//! Requests the next job. If its document does not arrive or cannot be parsed, the job is requested without the
//! document: with its id, it can be rejected with a reason.

use core::mem;

use ota_jobs::Reason;

use super::event::Message;
use super::execution::Execution;
use super::time::{Backoff, Instant, Rng};

/// Unanswered requests after which the document may be too large for the receive buffer.
const UNANSWERED_MAX: u8 = 2;
/// The timeout of a request with the document of a job whose id has arrived, in response timeouts.
const SUSPECT_WAITS: u64 = 4;
/// How often in a row the id must arrive after requests with the document had no response, until the document is too large for
/// the receive buffer. An outage is no evidence: during it the id does not arrive, either.
const SKIPPED_MAX: u8 = 3;
/// Consecutive unreadable responses before the job is rejected.
const UNREADABLE_MAX: u8 = 3;

/// The state of the request.
#[derive(Clone, Debug)]
pub(super) struct JobPoller {
    state: State,
    /// A request that the application demanded, until it is answered.
    demanded: bool,
    /// The request that is due is one of those that a polling device makes.
    is_poll: bool,
    /// Requests with the document that had no response, since the last response.
    unanswered: u8,
    /// How often the id of the job arrived after them.
    skipped: u8,
    /// Consecutive unreadable responses, and the reason of the last.
    unreadable: Option<(u8, Reason)>,
    /// A job that was received without its document, and is being requested with it once more.
    suspect: Option<Execution>,
    backoff: Backoff,
    /// When the request in flight was sent.
    sent: Option<Instant>,
}

#[derive(Clone, Debug)]
enum State {
    /// Until this instant; if `None`, until a request is scheduled.
    Waiting(Option<Instant>),
    Requested {
        document: bool,
        until: Instant,
    },
}

impl JobPoller {
    pub(super) fn new() -> Self {
        Self {
            state: State::Waiting(None),
            demanded: false,
            is_poll: false,
            unanswered: 0,
            skipped: 0,
            unreadable: None,
            suspect: None,
            backoff: Backoff::new(),
            sent: None,
        }
    }

    /// Schedules a request, unless one is in flight.
    pub(super) fn schedule(&mut self, at: Instant) {
        if let State::Waiting(due) = &mut self.state {
            *due = Some(due.map_or(at, |due| due.min(at)));
            self.is_poll = false;
        }
    }

    /// Schedules no request any more.
    pub(super) fn unschedule(&mut self) {
        if let State::Waiting(due) = &mut self.state {
            *due = None;
        }
    }

    /// Remembers that a request is demanded: also a disconnection does not drop it.
    pub(super) fn demand(&mut self) {
        self.demanded = true;
    }

    /// Whether a request was demanded and is not answered yet.
    pub(super) fn is_demanded(&self) -> bool {
        self.demanded
    }

    /// Whether a request is in flight.
    pub(super) fn is_requesting(&self) -> bool {
        matches!(self.state, State::Requested { .. })
    }

    /// Drops the request and what was found out about the next job: no response to it is expected any more. A request that is
    /// demanded stays so if `keep_demand`.
    pub(super) fn forget(&mut self, keep_demand: bool) {
        *self = Self { demanded: self.demanded && keep_demand, ..Self::new() };
    }

    /// Takes a response; a polling device makes the next request at `next_poll`.
    pub(super) fn answered(&mut self, next_poll: Option<Instant>) {
        *self = Self { state: State::Waiting(next_poll), is_poll: next_poll.is_some(), ..Self::new() };
    }

    /// Whether the last request was one of those that a polling device makes, once.
    pub(super) fn take_poll(&mut self) -> bool {
        mem::take(&mut self.is_poll)
    }

    /// How long a response took that arrives now, if one was due.
    pub(super) fn round_trip_ms(&mut self, now: Instant) -> Option<u64> {
        self.sent.take().map(|sent| now.since(sent))
    }

    /// Takes a rejection; retries with back-off.
    pub(super) fn refused(&mut self, now: Instant, rng: &mut Rng) {
        self.state = State::Waiting(Some(now.plus_ms(self.backoff.next_wait_ms(rng.next_u32()))));
    }

    /// Takes an unreadable response; after a few of them the job is requested without its document, and if that response is
    /// unreadable, too, with back-off. Returns the job to reject and the reason, if its id has arrived.
    pub(super) fn unreadable(&mut self, reason: Reason, now: Instant, rng: &mut Rng) -> Option<(Execution, Reason)> {
        let State::Requested { document, .. } = self.state else { return None };
        if !document {
            self.refused(now, rng);
            return None;
        }
        let before = self.unreadable.map_or(0, |(count, _)| count);
        self.unreadable = Some((before.saturating_add(1), reason));
        self.state = State::Waiting(Some(now));
        let reason = self.unreadable_reason()?;
        self.suspect.take().map(|execution| (execution, reason))
    }

    fn unreadable_reason(&self) -> Option<Reason> {
        self.unreadable.filter(|(count, _)| *count >= UNREADABLE_MAX).map(|(_, reason)| reason)
    }

    /// Takes a job without its document. It is requested with its document once more: the one that did not arrive or could not be
    /// parsed may be of another job, which is gone. With back-off, if that was done before. Returns the job once its document is
    /// too large.
    pub(super) fn document_omitted(
        &mut self,
        execution: Execution,
        now: Instant,
        rng: &mut Rng,
    ) -> Option<(Execution, Reason)> {
        let is_other = self.suspect.as_ref().is_some_and(|suspect| suspect.id.job != execution.id.job);
        self.skipped = match self.state {
            _ if is_other => 0,
            State::Requested { document: false, .. } if self.unanswered > 0 => self.skipped + 1,
            State::Requested { .. } | State::Waiting(_) => self.skipped,
        };
        self.unanswered = 0;
        if self.skipped >= SKIPPED_MAX {
            return Some((execution, Reason::DocumentTooLarge));
        }
        self.state = State::Waiting(Some(now));
        if self.suspect.replace(execution).is_some() {
            self.refused(now, rng);
        }
        None
    }

    /// The jobs changed: a document that did not arrive or could not be parsed may be of a job that is gone.
    pub(super) fn jobs_changed(&mut self) {
        (self.unanswered, self.unreadable, self.suspect) = (0, None, None);
        self.skipped = 0;
    }

    pub(super) fn message(&mut self, now: Instant, response_timeout_ms: u64, token: u32) -> Option<Message<'static>> {
        match self.state {
            State::Waiting(Some(due)) if due <= now => {
                let document = match self.suspect {
                    Some(_) => self.unanswered == 0,
                    None => self.unreadable_reason().is_none() && self.unanswered < UNANSWERED_MAX,
                };
                // The timeout grows, for a service that is slow.
                let waits = match self.suspect {
                    Some(_) if document => SUSPECT_WAITS,
                    _ => 1 + u64::from(self.unanswered),
                };
                self.state =
                    State::Requested { document, until: now.plus_ms(response_timeout_ms.saturating_mul(waits)) };
                self.sent.get_or_insert(now);
                Some(Message::NextJob { token, document })
            }
            State::Waiting(_) | State::Requested { .. } => None,
        }
    }

    /// Ends a request that timed out.
    pub(super) fn expire(&mut self, now: Instant) {
        if let State::Requested { document, until } = self.state
            && now >= until
        {
            self.state = State::Waiting(Some(now));
            self.unanswered = if document { self.unanswered.saturating_add(1) } else { 0 };
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Waiting(due) => due,
            State::Requested { until, .. } => Some(until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::execution::ExecutionId;
    use super::*;
    use ota_jobs::{JobId, Status};

    const WAIT: u64 = 5_000;

    fn job() -> Execution {
        Execution { id: ExecutionId::of(JobId::new("large").expect("a plain id")), status: Status::Queued, version: 1 }
    }

    fn asks_with_document(poller: &mut JobPoller, now: Instant) -> Option<bool> {
        poller.message(now, WAIT, 1).map(|message| matches!(message, Message::NextJob { document: true, .. }))
    }

    /// Lets requests with the document time out until one without it is due, whose response arrives at once. Returns the reason
    /// of a rejection.
    fn only_the_id_arrives(poller: &mut JobPoller, now: &mut Instant, execution: Execution) -> Option<Reason> {
        while asks_with_document(poller, *now) == Some(true) {
            *now = poller.deadline().expect("a request is in flight");
            poller.expire(*now);
        }
        let rejected = poller.document_omitted(execution, *now, &mut Rng::new(1));
        *now = poller.deadline().expect("a request is due");
        rejected.map(|(_, reason)| reason)
    }

    /// A poller whose first request is due, and when.
    fn due() -> (JobPoller, Instant) {
        let (mut poller, now) = (JobPoller::new(), Instant::from_ms(0));
        poller.schedule(now);
        (poller, now)
    }

    #[test]
    fn a_document_that_never_arrives_is_too_large_once_the_jobs_name_did_three_times() {
        let (mut poller, mut now) = due();
        for rejected in [None, None, Some(Reason::DocumentTooLarge)] {
            assert_eq!(only_the_id_arrives(&mut poller, &mut now, job()), rejected);
        }
        assert!(now.as_ms() < 15 * WAIT, "{now:?}");
    }

    #[test]
    fn outages_reject_no_job() {
        let (mut poller, mut now) = due();
        assert_eq!(only_the_id_arrives(&mut poller, &mut now, job()), None, "the first one lost two requests");
        for with_document in [true, false].into_iter().cycle().take(20) {
            assert_eq!(asks_with_document(&mut poller, now), Some(with_document), "nothing arrives");
            now = poller.deadline().expect("a request is in flight");
            poller.expire(now);
        }
        assert_eq!(only_the_id_arrives(&mut poller, &mut now, job()), None, "the second one lost the third request");
        assert_eq!(asks_with_document(&mut poller, now), Some(true));
    }

    #[test]
    fn a_job_is_not_too_large_for_the_lost_document_of_another() {
        for notified in [false, true] {
            let (mut poller, mut now) = due();
            for _ in 1..SKIPPED_MAX {
                assert_eq!(only_the_id_arrives(&mut poller, &mut now, job()), None);
            }
            let other = ExecutionId::of(JobId::new("other").expect("a plain id"));
            match notified {
                true => poller.jobs_changed(),
                false => assert_eq!(only_the_id_arrives(&mut poller, &mut now, Execution { id: other, ..job() }), None),
            }
            assert_eq!(only_the_id_arrives(&mut poller, &mut now, job()), None, "{notified}");
        }
    }

    #[test]
    fn a_job_that_cannot_be_read_again_and_again_is_refused_by_the_name_that_was_asked_for() {
        let mut poller = JobPoller::new();
        let now = Instant::from_ms(0);
        poller.schedule(now);
        is_unreadable(&mut poller, now);
        poller.document_omitted(job(), now, &mut Rng::new(1));
        assert_eq!(asks_with_document(&mut poller, now), Some(true));
        let (_, reason) = poller.unreadable(Reason::DocumentTooDeep, now, &mut Rng::new(1)).expect("it is this job's");
        assert_eq!(reason, Reason::DocumentTooDeep);
    }

    /// The job with the unreadable document was deleted, and another one created.
    #[test]
    fn a_job_is_not_refused_for_the_document_of_another() {
        let now = Instant::from_ms(0);
        for notified in [false, true] {
            let mut poller = JobPoller::new();
            poller.schedule(now);
            is_unreadable(&mut poller, now);
            poller.document_omitted(job(), now, &mut Rng::new(1));
            assert_eq!(asks_with_document(&mut poller, now), Some(true));
            if notified {
                poller.jobs_changed();
                assert!(
                    poller.unreadable(Reason::DocumentTooDeep, now, &mut Rng::new(1)).is_none(),
                    "the response may be of the other one"
                );
                for _ in 1..UNREADABLE_MAX {
                    assert_eq!(asks_with_document(&mut poller, now), Some(true));
                    let rejected = poller.unreadable(Reason::DocumentTooDeep, now, &mut Rng::new(1));
                    assert!(rejected.is_none(), "the name was that of the first job");
                }
            }
            poller.answered(None);
            assert!(poller.unreadable(Reason::DocumentTooDeep, now, &mut Rng::new(1)).is_none());
        }
    }

    fn is_unreadable(poller: &mut JobPoller, now: Instant) {
        for _ in 0..UNREADABLE_MAX {
            assert_eq!(asks_with_document(poller, now), Some(true));
            assert!(poller.unreadable(Reason::DocumentTooDeep, now, &mut Rng::new(1)).is_none());
        }
        assert_eq!(asks_with_document(poller, now), Some(false));
    }

    /// A status, a number or an id that this agent cannot read may stay for months.
    #[test]
    fn a_job_whose_name_cannot_be_read_either_is_asked_for_ever_more_rarely() {
        let (mut poller, mut rng) = (JobPoller::new(), Rng::new(1));
        let mut now = Instant::from_ms(0);
        poller.schedule(now);
        for _ in 0..UNREADABLE_MAX {
            assert_eq!(asks_with_document(&mut poller, now), Some(true));
            poller.unreadable(Reason::DocumentNotJson, now, &mut rng);
        }
        for wait_ms in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            assert_eq!(asks_with_document(&mut poller, now), Some(false));
            assert!(poller.unreadable(Reason::DocumentNotJson, now, &mut rng).is_none());
            let waited_ms = poller.deadline().map_or(0, |at| at.since(now));
            assert!((wait_ms * 3 / 4..=wait_ms).contains(&waited_ms), "{waited_ms} of {wait_ms} ms");
            now = now.plus_ms(waited_ms);
        }
    }

    #[test]
    fn a_service_that_always_omits_the_document_is_asked_ever_more_rarely() {
        let (mut poller, mut rng) = (JobPoller::new(), Rng::new(1));
        let mut now = Instant::from_ms(0);
        poller.schedule(now);
        assert_eq!(asks_with_document(&mut poller, now), Some(true));
        poller.document_omitted(job(), now, &mut rng);
        for wait_ms in [1_000, 2_000, 4_000] {
            assert_eq!(asks_with_document(&mut poller, now), Some(true));
            poller.document_omitted(job(), now, &mut rng);
            let waited_ms = poller.deadline().map_or(0, |at| at.since(now));
            assert!((wait_ms * 3 / 4..=wait_ms).contains(&waited_ms), "{waited_ms} of {wait_ms} ms");
            now = now.plus_ms(waited_ms);
        }
    }

    #[test]
    fn one_unreadable_answer_is_an_accident() {
        let mut poller = JobPoller::new();
        let now = Instant::from_ms(0);
        poller.schedule(now);
        poller.unreadable(Reason::DocumentNotJson, now, &mut Rng::new(1)); // no request is in flight
        for _ in 1..UNREADABLE_MAX {
            assert_eq!(asks_with_document(&mut poller, now), Some(true));
            poller.unreadable(Reason::DocumentNotJson, now, &mut Rng::new(1));
        }
        assert_eq!(asks_with_document(&mut poller, now), Some(true));
    }

    #[test]
    fn a_service_that_is_silent_altogether_is_asked_for_ever() {
        let mut poller = JobPoller::new();
        let mut now = Instant::from_ms(0);
        poller.schedule(now);
        for with_document in [true, true, false].into_iter().cycle().take(10) {
            assert_eq!(asks_with_document(&mut poller, now), Some(with_document));
            now = now.plus_ms(3 * WAIT);
            poller.expire(now);
        }
    }

    #[test]
    fn each_timeout_is_one_response_timeout_longer_and_four_with_a_known_job() {
        let mut poller = JobPoller::new();
        let start = Instant::from_ms(1_000);
        let mut now = start;
        poller.schedule(now);
        assert_eq!(poller.deadline(), Some(start));
        for waits in [1, 2, 3] {
            assert!(poller.message(now, WAIT, 1).is_some());
            let until = now.plus_ms(waits * WAIT);
            assert_eq!(poller.deadline(), Some(until));
            poller.expire(Instant::from_ms(until.as_ms() - 1));
            assert!(poller.message(now, WAIT, 1).is_none(), "it is still in flight");
            if waits < 3 {
                poller.expire(until);
                now = until;
            }
        }
        poller.document_omitted(job(), now, &mut Rng::new(1));
        assert!(poller.message(now, WAIT, 1).is_some());
        assert_eq!(poller.deadline(), Some(now.plus_ms(4 * WAIT)));
    }
}
