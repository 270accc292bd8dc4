//! The state machine of the agent. Pure: events and the time go in, operations and messages come out. No clock, no I/O,
//! no payload bytes and no platform; async, blocking and simulated shells drive the same logic.
//!
//! After every [`Machine::on`], the caller answers [`Machine::asks`] by [`Event::Consent`]; executes [`Machine::operation`]
//! until it is `None`, ending each operation by [`Event::Done`]; sends [`Machine::message`] until it is `None`; and waits
//! until [`Machine::deadline`] or the next event.
//!
//! `poller` finds the next job. A `job` has a state (`state`, the transition table), a download (`transfer`, `window`,
//! `rate`), status updates (`status_reporter`) and a record in the journal (`journal`). `service` applies messages of
//! the service, `commands` what the application commands, `resume` decides after a boot how the job in the journal continues.

mod agent_state;
mod commands;
mod config;
mod event;
mod execution;
mod job;
mod journal;
mod notices;
mod poller;
mod rate;
mod resume;
mod service;
mod state;
mod statistics;
mod status_reporter;
mod time;
mod transfer;
mod window;

pub use agent_state::AgentState;
pub use config::{AgentConfig, ConfigError, Discovery};
pub use event::{
    Consent, Done, Event, Message, Notice, Offer, Operation, Pending, Plan, Report, Sources, Step, Task, Version,
    WhyLater,
};
pub use execution::{Execution, ExecutionId};
pub use journal::{Outcome, Phase, RECORD_BYTES, Ran, Record};
pub use rate::{RateEstimator, WINDOW_BLOCKS};
pub use resume::{Boot, Trial};
pub use statistics::Statistics;
pub use time::{Backoff, Instant};
pub use window::{Block, BlockRefusal, BlockRequest, Window};

use job::{Identity, Job};
use notices::Notices;
use ota_jobs::JobId;
use poller::JobPoller;
use resume::Interrupted;
use service::NO_IMAGE;
use state::{Input, State};
use time::Rng;

/// The progress of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the image.
    pub total_bytes: u32,
    /// Bytes in flash without a gap; never falls during a download.
    pub done_bytes: u32,
    /// Blocks in flash without a gap.
    pub blocks: u32,
    /// Bytes per second; 0 while unknown.
    pub rate_bytes_per_s: u32,
    /// Milliseconds left at this rate; `None` while unknown.
    pub left_ms: Option<u64>,
}

/// The shortest timeout of a response: a shorter one would only send requests.
const RESPONSE_TIMEOUT_MS_MIN: u64 = 1_000;

/// Whether messages can be sent, and whether the application allows downloads.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    connected: bool,
    suspended: bool,
}

impl Link {
    /// Whether jobs and blocks are requested.
    fn requests(self) -> bool {
        self.connected && !self.suspended
    }
}

/// The state machine of one agent.
#[derive(Clone, Debug)]
pub struct Machine {
    config: AgentConfig,
    link: Link,
    job: Option<Job>,
    poller: JobPoller,
    /// Requests of a polling device since the boot, or since [`AgentConfig::discovery`] was set.
    polls: u32,
    statistics: Statistics,
    /// The job that a reset interrupted, until the service offers it or another one.
    interrupted: Option<Interrupted>,
    /// Of the last response about the next job; 0 before the first.
    delay_ms: u64,
    notices: Notices,
    rng: Rng,
}

impl Machine {
    /// Creates the machine after a boot; `record` is that of the journal, if it has one.
    ///
    /// `seed` seeds the jitter of retries and the client tokens: it should differ from boot to boot.
    pub fn at_boot(config: AgentConfig, record: Option<Record>, boot: Boot, seed: u64, now: Instant) -> Self {
        let trial_deadline = now.plus_ms(config.trial_ms_max);
        let mut machine = Self {
            config,
            link: Link::default(),
            job: None,
            poller: JobPoller::new(),
            polls: 0,
            statistics: Statistics::default(),
            interrupted: None,
            delay_ms: 0,
            notices: Notices::new(),
            rng: Rng::new(seed),
        };
        if let Some(record) = record {
            machine.resume_job(record, &boot, trial_deadline, now);
        }
        // An image that was put on trial by other means is tested, too.
        if boot.trial == Trial::Running && machine.is_idle() {
            let state = State::SelfTesting { until: trial_deadline };
            machine.activate(Identity::local(NO_IMAGE), None, state, now);
        }
        machine
    }

    fn resume_job(&mut self, record: Record, boot: &Boot, trial_deadline: Instant, now: Instant) {
        match resume::resume(&record, boot, trial_deadline) {
            None => {
                self.interrupted = Some(Interrupted::new(record));
                if boot.trial == Trial::Running {
                    self.slots_changed();
                }
            }
            Some(state) => {
                let Record { execution: id, local, image_bytes, fingerprint, digest, .. } = record;
                let plan = Plan { image_bytes, fingerprint, ..NO_IMAGE };
                self.activate(Identity { id, local, plan, digest }, None, state, now);
            }
        }
    }

    /// Applies an event.
    pub fn on(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connected => self.connect(now),
            Event::Disconnected => self.disconnect(),
            Event::JobsChanged => self.jobs_changed(now),
            Event::Offer(offer) => self.offered(offer, now),
            Event::NoJob => self.no_job(now),
            Event::OtherJob => self.other_job(now),
            Event::OfferUnreadable(reason) => self.offer_unreadable(reason, now),
            Event::OfferRefused(code) => self.offer_refused(code, now),
            Event::Described(execution) => self.described(&execution, false, now),
            Event::UpdateAccepted { token, version } => self.update_accepted(token, version, now),
            Event::UpdateRejected { token, code, status } => self.update_rejected(token, code, status, now),
            Event::StreamRejected(code) => {
                if let Some(job) = self.job.as_mut().filter(|job| job.is_receiving()) {
                    job.transfer.stream_rejected(code, now);
                }
            }
            Event::Incoming => {
                if let Some(job) = self.job.as_mut().filter(|_| !self.link.suspended) {
                    job.transfer.incoming(now);
                }
            }
            Event::FetchFailed(reason) => {
                let random = self.rng.next_u32();
                self.statistics.http_failure();
                if let Some(job) = &mut self.job {
                    job.fetch_failed(reason, now, random);
                }
            }
            Event::Done(done) => self.done(done, now),
            Event::Consent(consent) => _ = self.apply(Input::Consent(consent), now),
        }
    }

    /// The device worked until now, and could not receive: silence and deadlines count from now.
    pub(crate) fn worked(&mut self, now: Instant) {
        if let Some(job) = &mut self.job {
            job.worked(now);
        }
    }

    /// A message is complete, and [`Event::Incoming`] was about its parts. Precedes the event that the message is.
    pub fn received(&mut self) {
        if let Some(job) = &mut self.job {
            job.transfer.received();
        }
    }

    /// Accepts a block if it is missing. The caller writes it at once and ends the write by [`Event::Done`].
    pub fn block(&mut self, index: u32, len_bytes: u32, now: Instant) -> Option<Block> {
        let not_awaited = Err(BlockRefusal::NotAwaited);
        let block = self.job.as_mut().map_or(not_awaited, |job| job.block(index, len_bytes, now));
        self.statistics.block(block);
        block.ok()
    }

    /// Starts an update without a job; only the application is notified.
    ///
    /// Returns false, and changes nothing, while a job is active.
    pub fn update_now(&mut self, plan: Plan, now: Instant) -> bool {
        if !self.is_idle() {
            return false;
        }
        self.start(Identity::local(plan), None, now);
        true
    }

    /// The next operation on the platform; `None` while one is in flight or none is due.
    pub fn operation(&mut self, now: Instant) -> Option<Operation> {
        self.expire(now);
        self.job.as_mut()?.operation()
    }

    /// The next message for the service, with the configuration; `None` while none is due or there is no connection.
    pub fn message(&mut self, now: Instant) -> Option<(Message<'_>, &AgentConfig)> {
        if !self.link.connected {
            return None;
        }
        let token = self.rng.next_u32();
        let timeout_ms = self.config.response_timeout_ms.max(RESPONSE_TIMEOUT_MS_MIN);
        let message = match &mut self.job {
            Some(job) => job.message(now, timeout_ms, token, self.link)?,
            None if self.link.suspended => return None,
            None => {
                let message = self.poller.message(now, timeout_ms, token)?;
                self.polls = self.polls.saturating_add(self.poller.take_poll().into());
                self.notices.push(Notice::CheckStarted);
                message
            }
        };
        if let Message::Blocks(request) = &message {
            self.statistics.request(request);
        }
        Some((message, &self.config))
    }

    /// Whether the download has received no block for a while, which may be the connection's fault.
    pub fn is_quiet(&self, now: Instant) -> bool {
        self.job.as_ref().is_some_and(|job| job.transfer.is_quiet(now))
    }

    /// Where an HTTP body must start, in bytes; `None` when no body is needed.
    pub fn fetch(&self, now: Instant) -> Option<u32> {
        self.job.as_ref().filter(|_| !self.link.suspended)?.fetch(now)
    }

    /// The first instant after `now` at which an operation, a message or a timeout is due without another event, as of
    /// the last [`Machine::operation`] and [`Machine::message`].
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        match &self.job {
            None => self.poller.deadline().filter(|at| self.link.requests() && *at > now),
            Some(job) => job.deadline(now, self.link),
        }
    }

    /// The next notice for the application.
    pub fn notice(&mut self) -> Option<Notice> {
        self.notices.pop()
    }

    /// The progress of the active download.
    pub fn progress(&self) -> Option<Progress> {
        let job = self.job.as_ref()?;
        matches!(job.state(), State::Receiving { .. } | State::Verifying { .. }).then(|| job.transfer.progress())?
    }

    /// The step for which the application's consent is due now, by [`Event::Consent`].
    pub fn asks(&self, now: Instant) -> Option<Step> {
        self.pending().filter(|pending| !self.link.suspended && pending.ask_at <= now).map(|pending| pending.step)
    }

    /// Whether the operator asks the application not to postpone the update.
    pub fn is_forced(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.identity.plan.forced)
    }

    /// The step that waits for the application's consent.
    pub fn pending(&self) -> Option<Pending> {
        self.job.as_ref()?.pending()
    }

    /// Whether the running image waits for the application's verdict.
    pub fn is_testing(&self) -> bool {
        self.job.as_ref().is_some_and(|job| matches!(job.state(), State::SelfTesting { .. }))
    }

    /// Whether the device is reset once the application is prepared: [`Machine::prepared`].
    pub fn prepares_reset(&self) -> bool {
        self.job.as_ref().is_some_and(|job| matches!(job.state(), State::PreparingReset { .. }))
    }

    /// Whether no update is under way: there is no job, or its outcome is in the journal and is only to be reported.
    pub fn is_over(&self) -> bool {
        self.job.as_ref().is_none_or(|job| matches!(job.state(), State::Reporting(_)))
    }

    /// Whether there is no active job.
    pub fn is_idle(&self) -> bool {
        self.job.is_none()
    }

    /// The counters since the boot.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Counts a received message.
    pub(crate) fn count_message(&mut self, ignored: bool) {
        self.statistics.message(ignored);
    }

    /// The configuration.
    pub fn config(&self) -> &AgentConfig {
        &self.config
    }

    /// The active job, until its outcome is settled.
    pub fn job(&self) -> Option<&JobId> {
        self.job.as_ref().map(|job| &job.identity.id.job)
    }

    /// The token of the last request to describe the active job: the response to an earlier one is outdated.
    pub fn asked(&self) -> Option<u32> {
        self.job.as_ref().map(|job| job.reporter.asked())
    }

    /// The size of the active job's image; 0 without one.
    pub fn image_bytes(&self) -> u32 {
        self.job.as_ref().map_or(0, |job| job.identity.plan.image_bytes)
    }

    /// SHA-256 of the active job's image; zeros until it is verified.
    pub fn digest(&self) -> [u8; 32] {
        self.job.as_ref().map_or([0; 32], |job| job.identity.digest)
    }

    /// The journal record of the active job in `phase`, while `running` runs.
    pub fn record(&self, phase: Phase, running: Ran) -> Option<Record> {
        let ran = Some(running).filter(|_| phase == Phase::Concluded(Outcome::Succeeded));
        self.job.as_ref().map(|job| Record { ran, ..job.record(phase) })
    }

    /// Whether a document of `job` with this fingerprint is needed: for a new job, or for a fresh URL of the file that
    /// is being received, or for the next file. `None` if the document is not parsed yet.
    pub fn needs_document(&self, job: &JobId, fingerprint: Option<u32>) -> bool {
        self.job.as_ref().is_none_or(|active| {
            let same_file = fingerprint.is_none_or(|fingerprint| active.identity.plan.fingerprint == fingerprint);
            active.identity.is_of(job) && (active.is_receiving() && same_file || active.is_requesting_file())
        })
    }

    /// Whether `job` continues with the second file of its release, whose fingerprint this is: it is needed next, is being
    /// received, or was when a reset interrupted it.
    pub fn is_at_second_file(&self, job: &JobId, fingerprint: u32) -> bool {
        match (&self.job, &self.interrupted) {
            (Some(active), _) => {
                active.identity.is_of(job)
                    && (active.is_requesting_file() || active.identity.plan.fingerprint == fingerprint)
            }
            (None, Some(interrupted)) => interrupted.is_of(job, fingerprint),
            (None, None) => false,
        }
    }

    fn apply(&mut self, input: Input, now: Instant) -> bool {
        self.job.as_mut().is_some_and(|job| job.apply(input, now, &mut self.notices))
    }

    fn done(&mut self, done: Done, now: Instant) {
        let Some(job) = &mut self.job else { return };
        job.done(done, &self.config, now, &mut self.notices);
        if job.state() == State::Idle {
            self.job = None;
            self.request_if_wanted(now); // the next job may be queued
        }
    }

    fn expire(&mut self, now: Instant) {
        match &mut self.job {
            Some(job) => job.expire(now, self.link, &mut self.rng, &mut self.notices),
            None if self.link.connected => self.poller.expire(now),
            None => {}
        }
    }
}

#[cfg(test)]
impl Machine {
    /// The next operation of a device whose application consents to everything.
    fn consented(&mut self, now: Instant) -> Option<Operation> {
        self.on(Event::Consent(Consent::Now), now);
        self.operation(now)
    }
}

#[cfg(test)]
mod tests;
