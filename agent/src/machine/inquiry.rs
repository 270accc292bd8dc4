//! Asking the service for the next job, and finding the name of a job whose document cannot be had or read, so that the
//! service hears why: the job is asked for once more without its document.

use ota_jobs::Reason;

use super::event::{Execution, Message};
use super::time::{Backoff, Dice, Instant};

/// Unanswered questions before the suspicion that the answer does not fit into the receive buffer.
const UNANSWERED_MAX: u8 = 2;
/// Waits that the document of a suspect is given before it is called too large.
const SUSPECT_WAITS: u64 = 4;
/// Unreadable answers in a row before it is the job that cannot be read, and not an accident.
const UNREADABLE_MAX: u8 = 3;

/// The state of the question.
#[derive(Clone, Debug)]
pub(super) struct Inquiry {
    state: State,
    unanswered: u8,
    /// Answers in a row that could not be read, and what was wrong with the last.
    unreadable: Option<(u8, Reason)>,
    /// The service named this job without its document, and never with it.
    suspect: Option<Execution>,
    backoff: Backoff,
}

#[derive(Clone, Debug)]
enum State {
    /// Nothing to ask before this moment, or ever.
    Quiet(Option<Instant>),
    Asked {
        document: bool,
        until: Instant,
    },
}

impl Inquiry {
    pub(super) fn new() -> Self {
        Self { state: State::Quiet(None), unanswered: 0, unreadable: None, suspect: None, backoff: Backoff::new() }
    }

    /// Ask from `at` on, unless a question is out already.
    pub(super) fn ask_at(&mut self, at: Instant) {
        if let State::Quiet(due) = &mut self.state {
            *due = Some(due.map_or(at, |due| due.min(at)));
        }
    }

    /// The connection is gone, and with it question and answer.
    pub(super) fn disconnected(&mut self) {
        *self = Self::new();
    }

    /// An answer came; the next question is due at `next`.
    pub(super) fn answered(&mut self, next: Option<Instant>) {
        *self = Self::new();
        self.state = State::Quiet(next);
    }

    /// The service refused; ask again after a growing wait.
    pub(super) fn refused(&mut self, now: Instant, dice: &mut Dice) {
        self.state = State::Quiet(Some(now.plus_ms(self.backoff.next_wait_ms(dice.roll()))));
    }

    /// The answer came and cannot be read: ask again, and after a few of them for the job's name only. Returns the job, and
    /// what is wrong with it, if its name is known already.
    pub(super) fn unreadable(&mut self, reason: Reason, now: Instant) -> Option<(Execution, Reason)> {
        let State::Asked { document: true, .. } = self.state else { return None };
        let before = self.unreadable.map_or(0, |(count, _)| count);
        self.unreadable = Some((before.saturating_add(1), reason));
        self.state = State::Quiet(Some(now));
        let reason = self.gives_up_reading()?;
        self.suspect.take().map(|execution| (execution, reason))
    }

    fn gives_up_reading(&self) -> Option<Reason> {
        self.unreadable.filter(|(count, _)| *count >= UNREADABLE_MAX).map(|(_, reason)| reason)
    }

    /// The next job exists, and came without its document. Returns what is wrong with that job if that is known; else
    /// it is asked for once more in full.
    pub(super) fn withheld(&mut self, execution: Execution, now: Instant) -> Option<(Execution, Reason)> {
        if let Some(reason) = self.gives_up_reading() {
            return Some((execution, reason));
        }
        self.suspect = Some(execution);
        self.state = State::Quiet(Some(now));
        None
    }

    pub(super) fn message(&mut self, now: Instant, answer_wait_ms: u64, token: u32) -> Option<Message<'static>> {
        match self.state {
            State::Quiet(Some(due)) if due <= now => {
                let name_only = self.gives_up_reading().is_some() || self.unanswered >= UNANSWERED_MAX;
                let document = self.suspect.is_some() || !name_only;
                // A service that is only slow gets longer each time.
                let waits = if self.suspect.is_some() { SUSPECT_WAITS } else { 1 + u64::from(self.unanswered) };
                self.state = State::Asked { document, until: now.plus_ms(answer_wait_ms * waits) };
                Some(Message::NextJob { token, document })
            }
            State::Quiet(_) | State::Asked { .. } => None,
        }
    }

    /// Looks at the clock. Returns the job whose document is too large for the receive buffer: its name arrived, and
    /// the answer with the document did not, three times on a live connection.
    pub(super) fn expire(&mut self, now: Instant) -> Option<(Execution, Reason)> {
        let State::Asked { document, until } = self.state else { return None };
        if now < until {
            return None;
        }
        self.state = State::Quiet(Some(now));
        if document && self.suspect.is_some() {
            return self.suspect.take().map(|execution| (execution, Reason::DocumentTooLarge));
        }
        self.unanswered = if document { self.unanswered.saturating_add(1) } else { 0 };
        None
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Quiet(due) => due,
            State::Asked { until, .. } => Some(until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ota_jobs::{JobId, Status};

    const WAIT: u64 = 5_000;

    fn job() -> Execution {
        Execution { job: JobId::new("large").expect("a plain id"), status: Status::Queued, version: 1 }
    }

    fn asks_with_document(inquiry: &mut Inquiry, now: Instant) -> Option<bool> {
        inquiry.message(now, WAIT, 1).map(|message| matches!(message, Message::NextJob { document: true, .. }))
    }

    #[test]
    fn a_document_that_never_arrives_is_too_large_once_the_jobs_name_did() {
        let mut inquiry = Inquiry::new();
        let mut now = Instant::from_ms(0);
        inquiry.ask_at(now);
        for with_document in [true, true, false] {
            assert_eq!(asks_with_document(&mut inquiry, now), Some(with_document));
            if with_document {
                now = now.plus_ms(2 * WAIT);
                assert!(inquiry.expire(now).is_none());
            }
        }
        assert!(inquiry.withheld(job(), now).is_none());
        assert_eq!(asks_with_document(&mut inquiry, now), Some(true));
        let (execution, reason) = inquiry.expire(now.plus_ms(SUSPECT_WAITS * WAIT)).expect("silent a third time");
        assert_eq!((execution.job, reason), (job().job, Reason::DocumentTooLarge));
    }

    #[test]
    fn a_job_that_cannot_be_read_again_and_again_is_refused_by_the_name_that_was_asked_for() {
        let mut inquiry = Inquiry::new();
        let now = Instant::from_ms(0);
        inquiry.ask_at(now);
        for _ in 0..UNREADABLE_MAX {
            assert_eq!(asks_with_document(&mut inquiry, now), Some(true));
            inquiry.unreadable(Reason::DocumentTooDeep, now);
        }
        assert_eq!(asks_with_document(&mut inquiry, now), Some(false));
        let (_, reason) = inquiry.withheld(job(), now).expect("known to be unreadable");
        assert_eq!(reason, Reason::DocumentTooDeep);
    }

    #[test]
    fn one_unreadable_answer_is_an_accident() {
        let mut inquiry = Inquiry::new();
        let now = Instant::from_ms(0);
        inquiry.ask_at(now);
        inquiry.unreadable(Reason::DocumentNotJson, now); // nobody asked
        for _ in 1..UNREADABLE_MAX {
            assert_eq!(asks_with_document(&mut inquiry, now), Some(true));
            inquiry.unreadable(Reason::DocumentNotJson, now);
        }
        assert_eq!(asks_with_document(&mut inquiry, now), Some(true));
    }

    #[test]
    fn a_service_that_is_silent_altogether_is_asked_for_ever() {
        let mut inquiry = Inquiry::new();
        let mut now = Instant::from_ms(0);
        inquiry.ask_at(now);
        for _ in 0..10 {
            assert!(inquiry.message(now, WAIT, 1).is_some());
            now = now.plus_ms(3 * WAIT);
            assert!(inquiry.expire(now).is_none());
        }
    }
}
