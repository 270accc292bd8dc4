//! What the service is told about the job at hand: one update in flight, each with the version that it expects, the
//! newest word replacing older ones that were not sent yet. A final word is repeated until it is taken, or until the
//! service says that there is nothing left to tell.

use ota_jobs::{JobId, RejectCode, Status};

use super::event::{Message, Report};
use super::time::{Backoff, Dice, Instant};

/// Where the job stands at the service, as far as an answer told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is still ours to work on.
    Open,
    /// The final word is taken.
    Settled,
    /// The execution is gone or ended without us.
    Gone,
}

#[derive(Clone, Debug)]
pub(super) struct Reporter {
    /// The execution's version; unknown after a reset, a lost answer or a refusal: then it is asked for first.
    version: Option<u64>,
    due: Option<Report>,
    flight: Option<Flight>,
    not_before: Instant,
    backoff: Backoff,
    /// When progress was last sent, and how far it was.
    told: Option<(Instant, u32)>,
    fresh_document: bool,
    /// The execution is over at the service: only the final word makes it worth asking again.
    over: bool,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    token: u32,
    /// `None`: a description.
    report: Option<Report>,
    /// Whether the document was asked for.
    document: bool,
    until: Instant,
}

impl Reporter {
    /// Of a job whose version is `version`, if the service told.
    pub(super) fn new(version: Option<u64>) -> Self {
        Self {
            version,
            due: None,
            flight: None,
            not_before: Instant::default(),
            backoff: Backoff::new(),
            told: None,
            fresh_document: false,
            over: false,
        }
    }

    /// The service should hear this next.
    pub(super) fn say(&mut self, report: Report) {
        self.due = Some(report);
    }

    /// Progress, if it is time for it: the first word at once, then every `percent` or `every_ms`.
    pub(super) fn progress(&mut self, done: u32, total: u32, now: Instant, every_ms: u64, percent: u32) {
        let due = self.told.is_none_or(|(at, told)| {
            let step = u64::from(done.saturating_sub(told)) * 100 >= u64::from(percent) * u64::from(total);
            done != told && (step || now.since(at) >= every_ms)
        });
        if due && done < total.max(1) {
            self.told = Some((now, done));
            self.due = Some(Report::Progress { done, total });
        }
    }

    /// Something hints that the service thinks differently: ask before the next word.
    pub(super) fn doubt(&mut self) {
        self.version = None;
    }

    /// The service knows of nothing to work on any more, and the device still has to: nothing is said before the end.
    pub(super) fn hush(&mut self) {
        self.over = true;
    }

    /// The URL expired: ask for the job with its document.
    pub(super) fn refresh_document(&mut self) {
        self.fresh_document = true;
    }

    /// Whether a word is waiting to be sent or to be answered.
    pub(super) fn is_busy(&self) -> bool {
        self.due.is_some() || self.flight.is_some()
    }

    pub(super) fn disconnected(&mut self) {
        if let Some(Flight { report: Some(report), .. }) = self.flight.take() {
            self.due.get_or_insert(report);
        }
        self.version = None;
        self.not_before = Instant::default();
        self.backoff.reset();
    }

    pub(super) fn message<'m>(
        &mut self,
        job: &'m JobId,
        now: Instant,
        answer_wait_ms: u64,
        token: u32,
    ) -> Option<Message<'m>> {
        if self.flight.is_some() || now < self.not_before || self.is_silent() {
            return None;
        }
        let until = now.plus_ms(answer_wait_ms);
        let document = self.fresh_document;
        let Some(expected_version) = self.version.filter(|_| !document) else {
            self.flight = Some(Flight { token, report: None, document, until });
            return Some(Message::Describe { job, token, document });
        };
        let report = self.due.take()?;
        self.flight = Some(Flight { token, report: Some(report), document, until });
        Some(Message::Update { job, token, expected_version, report })
    }

    pub(super) fn described(&mut self, status: Status, version: u64) -> Verdict {
        if let Some(Flight { report: None, document, .. }) = self.flight {
            self.flight = None;
            // Whether it came with it or not: a service that withholds it is not asked on and on.
            self.fresh_document &= !document;
        }
        self.stands(status, version)
    }

    pub(super) fn accepted(&mut self, token: u32, version: Option<u64>) -> Verdict {
        let Some(flight) = self.take(token) else { return Verdict::Open };
        self.backoff.reset();
        // Each update adds one; the answer's own number is better where it is there.
        self.version = version.or(self.version.map(|version| version.saturating_add(1)));
        match flight.report {
            Some(Report::Final(_)) => Verdict::Settled,
            Some(_) | None => Verdict::Open,
        }
    }

    pub(super) fn rejected(
        &mut self,
        token: u32,
        code: RejectCode,
        standing: Option<(Status, u64)>,
        now: Instant,
        dice: &mut Dice,
    ) -> Verdict {
        let Some(flight) = self.take(token) else { return Verdict::Open };
        if let Some(report) = flight.report {
            self.due.get_or_insert(report);
        }
        self.version = None;
        match (code, standing) {
            (RejectCode::ResourceNotFound | RejectCode::TerminalStateReached, _) => Verdict::Gone,
            (RejectCode::VersionMismatch | RejectCode::InvalidStateTransition, Some((status, version))) => {
                self.retry_later(now, dice);
                self.stands(status, version)
            }
            // Without the state it is asked for; anything else is the service's trouble and passes.
            _ => {
                self.retry_later(now, dice);
                Verdict::Open
            }
        }
    }

    /// Looks at the clock: an answer that did not come leaves the version unknown.
    pub(super) fn expire(&mut self, now: Instant, dice: &mut Dice) {
        if let Some(flight) = self.flight
            && flight.until <= now
        {
            self.flight = None;
            if let Some(report) = flight.report {
                self.due.get_or_insert(report);
            }
            self.version = None;
            self.retry_later(now, dice);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.flight {
            Some(flight) => Some(flight.until),
            None if self.is_silent() => None,
            None if self.due.is_some() || self.version.is_none() || self.fresh_document => Some(self.not_before),
            None => None,
        }
    }

    fn is_silent(&self) -> bool {
        self.over && !matches!(self.due, Some(Report::Final(_)))
    }

    fn take(&mut self, token: u32) -> Option<Flight> {
        self.flight.take_if(|flight| flight.token == token)
    }

    fn stands(&mut self, status: Status, version: u64) -> Verdict {
        self.version = Some(version);
        if status.is_terminal() { Verdict::Gone } else { Verdict::Open }
    }

    fn retry_later(&mut self, now: Instant, dice: &mut Dice) {
        self.not_before = now.plus_ms(self.backoff.next_wait_ms(dice.roll()));
    }
}
