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
pub use journal::{Outcome, Phase, RECORD_BYTES, Record};
pub use rate::{RateEstimator, WINDOW_BLOCKS};
pub use resume::{Boot, Trial};
pub use statistics::Statistics;
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
    /// The slot that runs.
    running: u8,
    /// The job that a reset interrupted, until the service offers it or another one.
    interrupted: Option<Record>,
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
            running: boot.running,
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
                self.interrupted = Some(record);
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

    /// The device worked until now, and could not receive: its silence counts from now.
    pub(crate) fn worked(&mut self, now: Instant) {
        if let Some(job) = &mut self.job {
            job.transfer.worked(now);
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
        let timeout_ms = self.config.response_timeout_ms;
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

    /// The journal record of the active job in `phase`.
    pub fn record(&self, phase: Phase) -> Option<Record> {
        let ran = Some(self.running).filter(|_| phase == Phase::Concluded(Outcome::Succeeded));
        self.job.as_ref().map(|job| Record { ran, ..job.record(phase) })
    }

    /// Whether a document of `job` with this fingerprint is needed: for a new job, or for a fresh URL of the file that
    /// is being received. `None` if the document is not parsed yet.
    pub fn needs_document(&self, job: &JobId, fingerprint: Option<u32>) -> bool {
        self.job.as_ref().is_none_or(|active| {
            let same_file = fingerprint.is_none_or(|fingerprint| active.identity.plan.fingerprint == fingerprint);
            active.identity.is_of(job) && active.is_receiving() && same_file
        })
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
            None if self.link.connected => {
                if let Some((execution, reason)) = self.poller.expire(now) {
                    self.reject(execution, reason, now);
                }
            }
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
mod tests {
    use super::*;
    use ota_jobs::Status;
    use std::vec::Vec;

    const NOW: Instant = Instant::from_ms(10_000);
    const BEFORE: Instant = Instant::from_ms(9_999);
    const DIGEST: [u8; 32] = [7; 32];

    fn booted(record: Option<Record>, trial: Trial) -> Machine {
        let config = AgentConfig::new("thing").expect("a plain name");
        Machine::at_boot(config, record, Boot { running: 0, digest: None, trial }, 1, NOW)
    }

    fn record(local: bool, phase: Phase) -> Record {
        Record {
            execution: ExecutionId::of(JobId::new("job").expect("a plain id")),
            local,
            fingerprint: 5,
            image_bytes: 4_096,
            digest: DIGEST,
            phase,
            ran: None,
        }
    }

    #[test]
    fn an_image_that_was_put_on_trial_without_a_job_is_tested_in_time() {
        let machine = booted(None, Trial::Running);
        assert!(machine.is_testing());
        assert_eq!(machine.deadline(NOW), Some(NOW.plus_ms(3_600_000)));
        assert!(booted(None, Trial::None).is_idle());
    }

    /// A download was interrupted, and another image was installed meanwhile, over a cable.
    #[test]
    fn an_image_on_trial_that_is_not_of_the_interrupted_job_is_tested_without_a_word_about_that_job() {
        let on = |machine: &mut Machine, event| {
            machine.on(event, NOW);
            while machine.notice().is_some() {}
        };
        let mut machine = booted(Some(record(false, Phase::Receiving { frontier_bytes: 2_048 })), Trial::Running);
        machine.on(Event::Connected, NOW);
        assert!(machine.is_testing() && machine.message(NOW).is_none());
        assert!(machine.judge(Ok(()), NOW));
        let mut operations = Vec::new();
        while let Some(operation) = machine.operation(NOW) {
            operations.push(operation);
            let confirms = operation == Operation::Confirm;
            on(&mut machine, Event::Done(if confirms { Done::Confirmed } else { Done::JournalSaved }));
        }
        let concluded = Operation::SaveJournal(Phase::Concluded(Outcome::Succeeded));
        assert_eq!(operations, [Operation::Confirm, concluded, Operation::ClearJournal]);
        let next = machine.message(NOW).map(|(message, _)| message);
        assert!(matches!(next, Some(Message::NextJob { .. })), "{next:?}");
        on(&mut machine, offer("job", 5));
        let checks = machine.operation(NOW);
        assert_eq!(checks, Some(Operation::CheckInstalled), "the other image may be that of the job");
    }

    fn offer(id: &str, fingerprint: u32) -> Event {
        let execution = Execution {
            id: ExecutionId::of(JobId::new(id).expect("a plain id")),
            status: Status::InProgress,
            version: 1,
        };
        let task = Task::Update(Plan::new(4_096, fingerprint, Sources { stream: true, http: false }).expect("a plan"));
        Event::Offer(Offer { execution, task })
    }

    #[test]
    fn a_job_that_a_local_update_delays_is_requested_after_it_and_starts_again() {
        let mut machine = booted(Some(record(false, Phase::Receiving { frontier_bytes: 2_048 })), Trial::None);
        machine.config.discovery = Discovery::OnDemand;
        let sources = Sources { stream: false, http: true };
        assert!(machine.update_now(Plan::new(4_096, 6, sources).expect("a plan"), NOW));
        machine.on(Event::Connected, NOW);
        assert_eq!(machine.operation(NOW), Some(Operation::CheckInstalled));
        machine.on(Event::Done(Done::Installed(true)), NOW);
        while machine.notice().is_some() {}
        for _ in ["outcome", "journal"] {
            assert!(machine.operation(NOW).is_some());
            machine.on(Event::Done(Done::JournalSaved), NOW);
        }
        assert!(matches!(machine.message(NOW), Some((Message::NextJob { .. }, _))));
        while machine.notice().is_some() {}
        machine.on(offer("job", 5), NOW);
        assert_eq!(machine.operation(NOW), Some(Operation::CheckInstalled), "its bytes may be overwritten");
    }

    /// Three responses could not be parsed, the name of the job was, and its document is on its way.
    #[test]
    fn a_response_about_the_next_job_does_not_end_a_local_update() {
        let mut machine = booted(None, Trial::None);
        machine.on(Event::Connected, NOW);
        let unreadable = Event::OfferUnreadable(ota_jobs::Reason::DocumentTooDeep);
        for _ in 0..3 {
            assert!(matches!(machine.message(NOW), Some((Message::NextJob { document: true, .. }, _))));
            machine.on(unreadable.clone(), NOW);
            while machine.notice().is_some() {}
        }
        assert!(matches!(machine.message(NOW), Some((Message::NextJob { document: false, .. }, _))));
        let Event::Offer(Offer { execution, .. }) = offer("job", 5) else { panic!("an offer") };
        machine.on(Event::Offer(Offer { execution, task: Task::DocumentOmitted }), NOW);
        assert!(matches!(machine.message(NOW), Some((Message::NextJob { document: true, .. }, _))));
        let sources = Sources { stream: false, http: true };
        assert!(machine.update_now(Plan::new(4_096, 6, sources).expect("a plan"), NOW));
        machine.on(unreadable, NOW);
        assert_eq!(machine.operation(NOW), Some(Operation::CheckInstalled));
    }

    #[test]
    fn the_progress_of_a_local_update_outlives_a_check_and_causes_none() {
        let identity = Identity::local(NO_IMAGE);
        let record = Record { execution: identity.id, ..record(true, Phase::Receiving { frontier_bytes: 2_048 }) };
        let mut machine = booted(Some(record), Trial::None);
        machine.config.discovery = Discovery::OnDemand;
        machine.on(Event::Connected, NOW);
        assert!(machine.message(NOW).is_none(), "no check was demanded");
        machine.on(Event::NoJob, NOW);
        let sources = Sources { stream: false, http: true };
        assert!(machine.update_now(Plan::new(4_096, 5, sources).expect("a plan"), NOW));
        assert!(matches!(machine.consented(NOW), Some(Operation::SaveJournal(_))));
        machine.on(Event::Done(Done::JournalSaved), NOW);
        assert_eq!(machine.operation(NOW), Some(Operation::Begin { keep_bytes: 2_048 }));
    }

    #[test]
    fn a_resumed_job_is_stored_again_as_the_journal_has_it() {
        for local in [false, true] {
            let found = record(local, Phase::Activating { slot: 1, boots: 0 });
            let mut machine = booted(Some(found.clone()), Trial::None);
            let phase = Phase::Activating { slot: 1, boots: 1 };
            assert_eq!(machine.operation(NOW), Some(Operation::SaveJournal(phase)));
            assert_eq!(machine.record(phase), Some(Record { phase, ..found.clone() }));
            assert_eq!((machine.job(), machine.image_bytes()), (Some(&found.execution.job), 4_096));
        }
    }

    #[test]
    fn an_idle_machine_has_a_deadline_only_after_now_and_while_connected() {
        let mut machine = booted(None, Trial::None);
        machine.on(Event::JobsChanged, NOW);
        assert_eq!(machine.deadline(BEFORE), None, "not connected");
        machine.on(Event::Connected, NOW);
        assert_eq!((machine.deadline(BEFORE), machine.deadline(NOW)), (Some(NOW), None));
        assert!(machine.message(NOW).is_some());
        assert_eq!(machine.deadline(NOW), Some(NOW.plus_ms(5_000)));
    }

    #[test]
    fn a_request_that_a_disconnection_lost_is_sent_at_once_after_the_next_connection() {
        let mut machine = booted(None, Trial::None);
        for connection in 0..3 {
            machine.on(Event::Connected, NOW);
            assert!(machine.message(NOW).is_some(), "connection {connection}");
            assert!(machine.message(NOW).is_none());
            machine.on(Event::Disconnected, NOW);
            assert!(machine.message(NOW).is_none());
        }
    }

    #[test]
    fn a_notification_requests_the_next_job_and_during_a_job_its_version() {
        let mut machine = booted(None, Trial::None);
        machine.on(Event::Connected, NOW);
        machine.message(NOW);
        machine.on(Event::NoJob, NOW);
        assert!(machine.message(NOW).is_none());
        machine.on(Event::JobsChanged, NOW);
        assert!(matches!(machine.message(NOW), Some((Message::NextJob { .. }, _))));

        let execution = Execution {
            id: ExecutionId::of(JobId::new("job").expect("a plain id")),
            status: Status::Queued,
            version: 3,
        };
        let sources = Sources { stream: true, http: false };
        let task = Task::Update(Plan::new(4_096, 5, sources).expect("a plan"));
        machine.on(Event::Offer(Offer { execution, task }), NOW);
        assert!(machine.message(NOW).is_none());
        machine.on(Event::JobsChanged, NOW);
        assert!(matches!(machine.message(NOW), Some((Message::Describe { document: false, .. }, _))));
    }

    /// The end of the journal's progress: only the same file of the same job continues there.
    #[test]
    fn a_download_resumes_only_if_the_job_and_its_file_are_those_of_the_journal() {
        for (id, fingerprint, keep_bytes) in
            [("job", 5, Some(2_048)), ("job", 6, None), ("other", 5, None), ("other", 6, None)]
        {
            let mut machine = booted(Some(record(false, Phase::Receiving { frontier_bytes: 2_048 })), Trial::None);
            machine.on(Event::Connected, NOW);
            let execution = Execution {
                id: ExecutionId::of(JobId::new(id).expect("a plain id")),
                status: Status::Queued,
                version: 1,
            };
            let plan = Plan::new(4_096, fingerprint, Sources { stream: true, http: false }).expect("a plan");
            machine.on(Event::Offer(Offer { execution, task: Task::Update(plan) }), NOW);
            let resumed = keep_bytes.map(|frontier_bytes| Operation::SaveJournal(Phase::Receiving { frontier_bytes }));
            let first = machine.consented(NOW);
            assert_eq!(first, Some(resumed.unwrap_or(Operation::CheckInstalled)), "{id} {fingerprint}");
        }
    }
}
