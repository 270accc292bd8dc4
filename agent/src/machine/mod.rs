//! The state machine of the agent. Pure: events and the time go in, operations and messages come out. No clock, no I/O,
//! no payload bytes and no platform; async, blocking and simulated shells drive the same logic.
//!
//! After every [`Machine::on`], the caller executes [`Machine::operation`] until it is `None`, ending each operation by
//! [`Event::Done`]; sends [`Machine::message`] until it is `None`; and waits until [`Machine::deadline`] or the next
//! event.
//!
//! `poller` finds the next job. A `job` has a state (`state`, the transition table), a download (`transfer`, `window`,
//! `rate`), status updates (`status_reporter`) and a record in the journal (`journal`). `service` applies messages of
//! the service, `resume` decides after a boot how the job in the journal continues.

mod config;
mod event;
mod job;
mod journal;
mod notices;
mod poller;
mod rate;
mod resume;
mod service;
mod state;
mod status_reporter;
mod time;
mod transfer;
mod window;

pub use config::{AgentConfig, ConfigError, Discovery};
pub use event::{Done, Event, Execution, Message, Notice, Offer, Operation, Plan, Report, Sources, Task, Version};
pub use journal::{Outcome, Phase, RECORD_BYTES, Record};
pub use rate::{RateEstimator, WINDOW_BLOCKS};
pub use resume::{Boot, Trial};
pub use time::{Backoff, Instant};
pub use window::{Block, BlockRefusal, BlockRequest, Window};

use job::{Identity, Job};
use notices::Notices;
use ota_jobs::JobId;
use poller::JobPoller;
use service::NO_IMAGE;
use state::{Input, State};
use time::Rng;

/// The progress of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the image.
    pub total_bytes: u32,
    /// Bytes in flash without a gap; never falls during a job.
    pub done_bytes: u32,
    /// Blocks in flash without a gap.
    pub blocks: u32,
    /// Bytes per second; 0 while unknown.
    pub rate_bytes_per_s: u32,
    /// Milliseconds left at this rate; `None` while unknown.
    pub left_ms: Option<u64>,
}

/// The state machine of one agent.
#[derive(Clone, Debug)]
pub struct Machine {
    config: AgentConfig,
    connected: bool,
    job: Option<Job>,
    poller: JobPoller,
    /// The job whose download a reset interrupted, until the service offers it or another one.
    interrupted: Option<Record>,
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
            connected: false,
            job: None,
            poller: JobPoller::new(),
            interrupted: None,
            notices: Notices::new(),
            rng: Rng::new(seed),
        };
        match record {
            Some(record) => machine.resume(record, &boot, trial_deadline, now),
            // An image that was put on trial by other means is tested, too.
            None if boot.trial == Trial::Running => {
                let state = State::SelfTesting { until: trial_deadline };
                machine.activate(Identity::local(NO_IMAGE), None, state, now);
            }
            None => {}
        }
        machine
    }

    fn resume(&mut self, record: Record, boot: &Boot, trial_deadline: Instant, now: Instant) {
        match resume::resume(&record, boot, trial_deadline) {
            None => self.interrupted = Some(record),
            Some(state) => {
                let Record { job: id, local, image_bytes, fingerprint, .. } = record;
                let plan = Plan { image_bytes, fingerprint, ..NO_IMAGE };
                self.activate(Identity { id, local, plan }, None, state, now);
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
            Event::OfferUnreadable(reason) => self.offer_unreadable(reason, now),
            Event::OfferRefused(code) => self.offer_refused(code, now),
            Event::Described(execution) => self.described(&execution, now),
            Event::UpdateAccepted { token, version } => self.update_accepted(token, version, now),
            Event::UpdateRejected { token, code, state } => self.update_rejected(token, code, state, now),
            Event::StreamRejected(code) => {
                if let Some(job) = self.job.as_mut().filter(|job| job.is_receiving()) {
                    job.transfer.stream_rejected(code);
                }
            }
            Event::FetchFailed(reason) => {
                let random = self.rng.next_u32();
                if let Some(job) = &mut self.job {
                    job.fetch_failed(reason, now, random);
                }
            }
            Event::Done(done) => self.done(done, now),
            Event::SelfTest(verdict) => self.apply(Input::SelfTest(verdict), now),
            Event::Abort => self.apply(Input::Aborted, now),
        }
    }

    /// Accepts a block if it is missing. The caller writes it at once and ends the write by [`Event::Done`].
    pub fn block(&mut self, index: u32, len_bytes: u32, now: Instant) -> Option<Block> {
        self.job.as_mut()?.block(index, len_bytes, now)
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
        self.job.as_mut()?.operation(now, self.connected)
    }

    /// The next message for the service, with the configuration; `None` while none is due or there is no connection.
    pub fn message(&mut self, now: Instant) -> Option<(Message<'_>, &AgentConfig)> {
        if !self.connected {
            return None;
        }
        let token = self.rng.next_u32();
        let timeout_ms = self.config.response_timeout_ms;
        let message = match &mut self.job {
            Some(job) => job.message(now, timeout_ms, token)?,
            None => {
                let message = self.poller.message(now, timeout_ms, token)?;
                self.notices.push(Notice::CheckStarted);
                message
            }
        };
        Some((message, &self.config))
    }

    /// Where an HTTP body must start, in bytes; `None` when no body is needed.
    pub fn fetch(&self, now: Instant) -> Option<u32> {
        self.job.as_ref()?.fetch(now)
    }

    /// The first instant after `now` at which an operation, a message or a timeout is due without another event, as of
    /// the last [`Machine::operation`] and [`Machine::message`].
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        match &self.job {
            None => self.poller.deadline().filter(|at| self.connected && *at > now),
            Some(job) => job.deadline(now, self.connected),
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

    /// Whether the running image waits for the application's verdict.
    pub fn is_testing(&self) -> bool {
        self.job.as_ref().is_some_and(|job| matches!(job.state(), State::SelfTesting { .. }))
    }

    /// Whether there is no active job.
    pub fn is_idle(&self) -> bool {
        self.job.is_none()
    }

    /// The configuration.
    pub fn config(&self) -> &AgentConfig {
        &self.config
    }

    /// The active job, until its outcome is settled.
    pub fn job(&self) -> Option<&JobId> {
        self.job.as_ref().map(|job| &job.identity.id)
    }

    /// The size of the active job's image; 0 without one.
    pub fn image_bytes(&self) -> u32 {
        self.job.as_ref().map_or(0, |job| job.identity.plan.image_bytes)
    }

    /// The journal record of the active job in `phase`.
    pub fn record(&self, phase: Phase) -> Option<Record> {
        self.job.as_ref().map(|job| job.record(phase))
    }

    /// Whether a document of `job` with this fingerprint is needed: for a new job, or for a fresh URL of the file that
    /// is being received. `None` if the document is not parsed yet.
    pub fn needs_document(&self, job: &JobId, fingerprint: Option<u32>) -> bool {
        self.job.as_ref().is_none_or(|active| {
            let same_file = fingerprint.is_none_or(|fingerprint| active.identity.plan.fingerprint == fingerprint);
            active.identity.id == *job && active.is_receiving() && same_file
        })
    }

    fn apply(&mut self, input: Input, now: Instant) {
        if let Some(job) = &mut self.job {
            job.apply(input, now, &mut self.notices);
        }
    }

    fn done(&mut self, done: Done, now: Instant) {
        let Some(job) = &mut self.job else { return };
        job.done(done, &self.config, now, &mut self.notices);
        if job.state() == State::Idle {
            self.job = None;
            self.poller.answered(Some(now)); // the next job may be queued
        }
    }

    fn expire(&mut self, now: Instant) {
        match &mut self.job {
            Some(job) => job.expire(now, self.connected, &mut self.rng, &mut self.notices),
            None if self.connected => {
                if let Some((execution, reason)) = self.poller.expire(now) {
                    self.reject(execution, reason, now);
                }
            }
            None => {}
        }
    }
}
