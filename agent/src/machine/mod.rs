//! The mind: what to do next, decided from what happened. Pure: events and the time go in, operations and messages
//! come out. No clock, no I/O, no payload bytes, no platform; async, blocking and simulated shells drive the same logic.
//!
//! After every [`Machine::on`]: [`Machine::operation`] until `None`, each answered by [`Event::Done`]; then
//! [`Machine::message`] until `None`; then sleep until [`Machine::deadline`] or the next event.

mod boot;
mod control;
mod event;
mod inquiry;
mod journal;
mod pace;
mod reporter;
mod time;
mod transfer;
mod window;

pub use boot::{Boot, Trial};
pub use event::{Done, Event, Execution, Message, Notice, Offer, Operation, Plan, Report, Sources, Task};
pub use journal::{Outcome, Phase, RECORD_BYTES, Record};
pub use pace::Pace;
pub use time::{Backoff, Instant};
pub use window::{Block, BlockRefusal, BlockRequest, WINDOW_BLOCKS, Window};

use boot::Beginning;
use control::Step;
use heapless::Deque;
use inquiry::Inquiry;
use ota_jobs::{JobId, Reason, RejectCode, Status};
use reporter::{Reporter, Verdict};
use time::Dice;
use transfer::Transfer;

/// How the machine behaves; [`Config::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes of one block: 256..=131,072, and a multiple of 256, so that every flash can write it. Default 4,096.
    pub block_bytes: u32,
    /// Bytes that are asked for at first, before anything is measured. Default 131,072.
    pub window_bytes_start: u32,
    /// How long one answer of the service may take. Default 5 s.
    pub answer_wait_ms: u64,
    /// How long a connected service may send no block before the job fails. Default 5 min.
    pub silence_ms_max: u64,
    /// Progress is reported at least this often. Default 10 s.
    pub progress_every_ms: u64,
    /// And whenever so much of the image has come. Default 5 %.
    pub progress_every_percent: u32,
    /// How long an image may be on trial without a verdict. Default 1 h.
    pub trial_ms_max: u64,
    /// How jobs are found.
    pub discovery: Discovery,
    /// Where the bytes come from when a job offers both.
    pub prefer_http: bool,
}

/// How jobs are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// The service says when its list changes; asked once after each connection.
    Notified,
    /// Also asked this long after the last answer.
    Polled {
        /// In milliseconds.
        every_ms: u64,
    },
}

/// A config that no device can run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// Not 256..=131,072 or not a multiple of 256.
    BlockBytes {
        /// What was set.
        got: u32,
    },
}

impl Config {
    /// The defaults, with blocks of `block_bytes`.
    ///
    /// Errors: [`ConfigError::BlockBytes`]. Source: AWS IoT, MQTT-based file delivery, limits of a block.
    pub const fn new(block_bytes: u32) -> Result<Self, ConfigError> {
        if block_bytes < 256 || block_bytes > 131_072 || !block_bytes.is_multiple_of(256) {
            return Err(ConfigError::BlockBytes { got: block_bytes });
        }
        Ok(Self {
            block_bytes,
            window_bytes_start: 131_072,
            answer_wait_ms: 5_000,
            silence_ms_max: 300_000,
            progress_every_ms: 10_000,
            progress_every_percent: 5,
            trial_ms_max: 3_600_000,
            discovery: Discovery::Notified,
            prefer_http: false,
        })
    }
}

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the image.
    pub total_bytes: u32,
    /// Bytes in flash without a gap; never falls during a job.
    pub done_bytes: u32,
    /// Blocks that `done_bytes` are.
    pub blocks: u32,
    /// Bytes per second; 0 while unknown.
    pub rate_bytes_per_s: u32,
    /// Milliseconds to the end at this rate; `None` while unknown.
    pub left_ms: Option<u64>,
}

/// Notices that one event can cause.
const NOTICES_MAX: usize = 8;
/// Progress is made durable whenever the frontier moved this far.
const JOURNAL_EVERY_BYTES: u32 = 65_536;
/// Answers of HTTP in a row without a byte before the other source is tried, or the job fails.
const FETCHES_MAX: u8 = 5;

/// The mind of one agent.
#[derive(Clone, Debug)]
pub struct Machine {
    config: Config,
    connected: bool,
    control: Control,
    /// The one operation in flight.
    busy: bool,
    inquiry: Inquiry,
    /// A job that a reset interrupted, until the service offers it again or another one.
    interrupted: Option<Record>,
    notices: Deque<Notice, NOTICES_MAX>,
    dice: Dice,
}

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // no heap to box it in; there is one
enum Control {
    Idle,
    Working(Work),
}

/// The job at hand.
#[derive(Clone, Debug)]
struct Work {
    job: JobId,
    /// Started by the application: the service knows nothing of it.
    local: bool,
    plan: Plan,
    step: Step,
    transfer: Transfer,
    reporter: Reporter,
    /// What must end the step as soon as no operation is in flight.
    interrupt: Option<Interrupt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interrupt {
    /// The service took the job back: nothing is left to report.
    Withdrawn,
    Failed(Reason),
}

impl Machine {
    /// The machine after a boot; `record` is what the journal holds.
    ///
    /// `seed` spreads retries and names requests: let it differ from boot to boot.
    pub fn at_boot(config: Config, record: Option<Record>, boot: Boot, seed: u64, now: Instant) -> Self {
        let mut machine = Self {
            config,
            connected: false,
            control: Control::Idle,
            busy: false,
            inquiry: Inquiry::new(),
            interrupted: None,
            notices: Deque::new(),
            dice: Dice::new(seed),
        };
        let until = now.plus_ms(machine.config.trial_ms_max);
        let Some(record) = record else {
            if boot.trial == Trial::Running {
                // Nobody's job: an image that was put on trial by other means is tested all the same.
                let job = JobId::new(LOCAL_JOB).expect("a plain id");
                let plan = Plan { image_bytes: 0, fingerprint: 0, sources: Sources { stream: false, http: false } };
                machine.take_up(job, true, plan, None, Step::Testing { until }, now);
            }
            return machine;
        };
        match boot::beginning(&record, &boot, until) {
            Beginning::WhenOffered => machine.interrupted = Some(record),
            Beginning::At(step) => {
                let sources = Sources { stream: false, http: false };
                let plan = Plan { image_bytes: record.image_bytes, fingerprint: record.fingerprint, sources };
                machine.take_up(record.job, record.local, plan, None, step, now);
            }
        }
        machine
    }

    /// Takes an event in.
    pub fn on(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connected => self.connect(now),
            Event::Disconnected => self.disconnect(),
            Event::JobsChanged => self.look_again(now),
            Event::Offer(offer) => self.offered(offer, now),
            Event::NoJob => self.no_job(now),
            Event::OfferUnreadable(reason) => self.inquiry.unreadable(reason, now),
            Event::OfferRefused(code) => self.offer_refused(code, now),
            Event::Described(execution) => self.described(&execution, now),
            Event::UpdateAccepted { token, version } => {
                let verdict = self.work().map(|work| work.reporter.accepted(token, version));
                self.heard(verdict, now);
            }
            Event::UpdateRejected { token, code, standing } => self.update_rejected(token, code, standing, now),
            Event::Block { index, len_bytes } => self.block(index, len_bytes, now),
            Event::StreamRejected(code) => self.receiving(|transfer| transfer.stream_rejected(code)),
            Event::FetchFailed(reason) => self.fetch_failed(reason, now),
            Event::Done(done) => self.done(done, now),
            Event::SelfTest(verdict) => self.self_test(verdict, now),
            Event::Abort => self.interrupt(Interrupt::Failed(Reason::AbortedByUser), now),
        }
    }

    /// Starts an update that no job asked for; nobody is told but the application.
    ///
    /// Returns false, and changes nothing, while a job is at hand.
    pub fn update_now(&mut self, plan: Plan, now: Instant) -> bool {
        if !self.is_idle() {
            return false;
        }
        let job = JobId::new(LOCAL_JOB).expect("a plain id");
        self.start(job, true, plan, None, now);
        true
    }

    /// The next piece of work for the platform; `None` while one is in flight or nothing is due.
    pub fn operation(&mut self, now: Instant) -> Option<Operation> {
        self.expire(now);
        if self.busy {
            return None;
        }
        let Control::Working(work) = &mut self.control else { return None };
        let operation = match work.step {
            Step::Comparing => Operation::Compare { image_bytes: work.plan.image_bytes },
            Step::Claiming { .. } | Step::Deciding { .. } | Step::Concluding(_) => {
                Operation::Journal(work.record(work.step.phase()?))
            }
            Step::Beginning { keep_bytes } => Operation::Begin { image_bytes: work.plan.image_bytes, keep_bytes },
            Step::Receiving { .. } => work.receiving_operation()?,
            Step::Sealing { .. } => Operation::Seal,
            Step::Activating { slot, digest } => {
                Operation::Activate { slot, digest, image_bytes: work.plan.image_bytes }
            }
            Step::Leaving { until } if now < until && self.connected && work.reporter.is_busy() => return None,
            Step::Leaving { .. } => Operation::Reset,
            Step::Confirming => Operation::Confirm,
            Step::RollingBack(reason) => Operation::RollBack(reason),
            Step::Settling => Operation::Journal(None),
            Step::Testing { .. } | Step::Reporting(_) => return None,
        };
        self.busy = true;
        Some(operation)
    }

    /// The next message for the service; `None` while none is due or the connection is down.
    pub fn message(&mut self, now: Instant) -> Option<Message<'_>> {
        if !self.connected {
            return None;
        }
        let token = self.dice.roll();
        let wait = self.config.answer_wait_ms;
        match &mut self.control {
            Control::Idle => {
                let message = self.inquiry.message(now, wait, token)?;
                note(&mut self.notices, Notice::CheckStarted);
                Some(message)
            }
            Control::Working(work) => {
                if !work.local && work.step != Step::Settling {
                    let Work { reporter, job, .. } = work;
                    if let Some(message) = reporter.message(job, now, wait, token) {
                        return Some(message);
                    }
                }
                match work.step {
                    Step::Receiving { .. } => work.transfer.request(now).map(Message::Blocks),
                    _ => None,
                }
            }
        }
    }

    /// From where an HTTP body should be read now, in bytes; `None` when none should be open.
    pub fn fetch(&self, now: Instant) -> Option<u32> {
        match &self.control {
            Control::Working(Work { step: Step::Receiving { .. }, transfer, interrupt: None, .. }) => {
                transfer.fetch(now)
            }
            _ => None,
        }
    }

    /// The moment after `now` at which time alone changes something. Call it with the time of the last
    /// [`Machine::operation`] and [`Machine::message`]: what was due by then is done.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let Control::Working(work) = &self.control else {
            return self.inquiry.deadline().filter(|at| self.connected && *at > now);
        };
        let step = match work.step {
            Step::Testing { until } | Step::Leaving { until } => Some(until),
            Step::Receiving { .. } if self.connected => work.transfer.deadline(),
            _ => None,
        };
        let report = work.reporter.deadline().filter(|_| self.connected && !work.local);
        [step, report].into_iter().flatten().filter(|at| *at > now).min()
    }

    /// The next thing that the application should hear.
    pub fn notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// How far the download at hand is.
    pub fn progress(&self) -> Option<Progress> {
        match &self.control {
            Control::Working(Work { step: Step::Receiving { .. } | Step::Sealing { .. }, transfer, .. }) => {
                transfer.progress()
            }
            _ => None,
        }
    }

    /// Whether the running image waits for the application's verdict.
    pub fn is_testing(&self) -> bool {
        matches!(&self.control, Control::Working(Work { step: Step::Testing { .. }, .. }))
    }

    /// Whether no job is at hand.
    pub fn is_idle(&self) -> bool {
        matches!(self.control, Control::Idle)
    }

    /// Whether the document of `job` should be kept: when it is the job at hand or none is.
    pub fn wants_document(&self, job: &JobId) -> bool {
        match &self.control {
            Control::Idle => true,
            Control::Working(work) => work.job == *job && matches!(work.step, Step::Receiving { .. }),
        }
    }

    fn work(&mut self) -> Option<&mut Work> {
        match &mut self.control {
            Control::Idle => None,
            Control::Working(work) => Some(work),
        }
    }

    fn tell(&mut self, notice: Notice) {
        note(&mut self.notices, notice);
    }

    // The connection.

    fn connect(&mut self, now: Instant) {
        self.connected = true;
        match &mut self.control {
            Control::Idle => self.inquiry.ask_at(now),
            // The answers of the last connection are lost; and the job may have been taken back meanwhile.
            Control::Working(work) => work.transfer.start_over(now),
        }
    }

    fn disconnect(&mut self) {
        self.connected = false;
        self.inquiry.disconnected();
        if let Some(work) = self.work() {
            work.reporter.disconnected();
        }
    }

    // Jobs.

    fn look_again(&mut self, now: Instant) {
        match &mut self.control {
            Control::Idle => self.inquiry.ask_at(now),
            Control::Working(work) => work.reporter.doubt(),
        }
    }

    fn no_job(&mut self, now: Instant) {
        if self.is_idle() {
            let next = self.next_poll(now);
            self.inquiry.answered(next);
            self.tell(Notice::NoUpdate);
        } else {
            self.look_again(now);
        }
    }

    fn offer_refused(&mut self, code: RejectCode, now: Instant) {
        self.inquiry.refused(now, &mut self.dice);
        self.tell(Notice::CheckFailed(code));
    }

    fn offered(&mut self, offer: Offer, now: Instant) {
        let Offer { execution, task } = offer;
        if let Some(work) = self.work() {
            if work.job == execution.job {
                if let Task::Update(plan) = task
                    && plan.fingerprint == work.plan.fingerprint
                {
                    work.transfer.document_is_fresh();
                }
                self.described(&execution, now);
            } else {
                work.reporter.doubt(); // the service works by one order: another job first means that ours may be over
            }
            return;
        }
        if execution.status.is_terminal() {
            return self.no_job(now);
        }
        match task {
            Task::Withheld => {
                if let Some((execution, reason)) = self.inquiry.withheld(execution, now) {
                    self.refuse(execution, reason, now);
                }
            }
            Task::Foreign => {
                let next = self.next_poll(now);
                self.inquiry.answered(next);
            }
            Task::Update(plan) => self.start(execution.job, false, plan, Some(execution.version), now),
            Task::Refused(reason) => self.refuse(execution, reason, now),
        }
    }

    /// Takes up an update, where an earlier life left it if it is the same one.
    fn start(&mut self, job: JobId, local: bool, plan: Plan, version: Option<u64>, now: Instant) {
        let keep_bytes = match self.interrupted.take() {
            Some(Record { job: earlier, fingerprint, phase: Phase::Receiving { frontier_bytes }, .. })
                if earlier == job && fingerprint == plan.fingerprint =>
            {
                frontier_bytes
            }
            _ => 0,
        };
        let step = if keep_bytes > 0 { Step::Claiming { keep_bytes } } else { Step::Comparing };
        self.take_up(job, local, plan, version, step, now);
        self.tell(Notice::UpdateAvailable { image_bytes: plan.image_bytes });
    }

    fn refuse(&mut self, execution: Execution, reason: Reason, now: Instant) {
        let plan = Plan { image_bytes: 0, fingerprint: 0, sources: Sources { stream: false, http: false } };
        let step = Step::Concluding(Outcome::Failed(reason));
        self.take_up(execution.job, false, plan, Some(execution.version), step, now);
    }

    fn take_up(&mut self, job: JobId, local: bool, plan: Plan, version: Option<u64>, step: Step, now: Instant) {
        self.inquiry.answered(None);
        let transfer = Transfer::new(&self.config, plan);
        let reporter = Reporter::new(version);
        self.control = Control::Working(Work { job, local, plan, step, transfer, reporter, interrupt: None });
        self.enter(step, now);
    }

    fn next_poll(&self, now: Instant) -> Option<Instant> {
        match self.config.discovery {
            Discovery::Notified => None,
            Discovery::Polled { every_ms } => Some(now.plus_ms(every_ms)),
        }
    }

    // What the service says of the job at hand.

    fn described(&mut self, execution: &Execution, now: Instant) {
        let verdict = match self.work() {
            Some(work) if work.job == execution.job => {
                Some(work.reporter.described(execution.status, execution.version))
            }
            _ => None,
        };
        self.heard(verdict, now);
    }

    fn update_rejected(&mut self, token: u32, code: RejectCode, standing: Option<(Status, u64)>, now: Instant) {
        let verdict = match &mut self.control {
            Control::Idle => None,
            Control::Working(work) => Some(work.reporter.rejected(token, code, standing, now, &mut self.dice)),
        };
        self.heard(verdict, now);
    }

    fn heard(&mut self, verdict: Option<Verdict>, now: Instant) {
        let Some(work) = self.work() else { return };
        match (verdict, work.step) {
            (None | Some(Verdict::Open), _) => {}
            (Some(Verdict::Settled | Verdict::Gone), Step::Reporting(_)) => self.go(Step::Settling, now),
            (Some(Verdict::Gone), step) if step.can_be_withdrawn() => self.interrupt(Interrupt::Withdrawn, now),
            (Some(Verdict::Settled | Verdict::Gone), _) => {} // the trial goes on, and its truth is told at its end
        }
    }

    // The download.

    fn block(&mut self, index: u32, len_bytes: u32, now: Instant) {
        let busy = self.busy;
        self.receiving(|transfer| transfer.block(index, len_bytes, busy, now));
    }

    fn fetch_failed(&mut self, reason: Reason, now: Instant) {
        let random = self.dice.roll();
        let Some(work) = self.work() else { return };
        if work.transfer.fetch_failed(reason, now, random) {
            work.reporter.refresh_document();
        }
        self.settle_transfer(now);
    }

    fn receiving(&mut self, act: impl FnOnce(&mut Transfer)) {
        if let Control::Working(Work { step: Step::Receiving { .. }, transfer, .. }) = &mut self.control {
            act(transfer);
        }
    }

    /// A transfer that has no source left fails the job.
    fn settle_transfer(&mut self, now: Instant) {
        if let Control::Working(Work { step: Step::Receiving { .. }, transfer, .. }) = &self.control
            && let Some(reason) = transfer.failure()
        {
            self.interrupt(Interrupt::Failed(reason), now);
        }
    }

    // Steps.

    fn self_test(&mut self, verdict: Result<(), Reason>, now: Instant) {
        if self.is_testing() {
            self.go(verdict.map_or_else(Step::RollingBack, |()| Step::Confirming), now);
        }
    }

    fn interrupt(&mut self, interrupt: Interrupt, now: Instant) {
        let busy = self.busy;
        let Some(work) = self.work() else { return };
        if !work.step.can_be_withdrawn() {
            return;
        }
        work.interrupt = Some(interrupt);
        if !busy {
            self.give_up(now);
        }
    }

    fn give_up(&mut self, now: Instant) {
        let Some(work) = self.work() else { return };
        let done_bytes = work.transfer.progress().map_or(0, |progress| progress.done_bytes);
        let receiving = matches!(work.step, Step::Receiving { .. });
        match work.interrupt.take() {
            None => {}
            Some(Interrupt::Withdrawn) => {
                self.tell(Notice::Withdrawn);
                self.go(Step::Settling, now);
            }
            Some(Interrupt::Failed(reason)) => {
                if receiving {
                    self.tell(Notice::DownloadFailed { done_bytes, reason });
                }
                self.go(Step::Concluding(Outcome::Failed(reason)), now);
            }
        }
    }

    fn done(&mut self, done: Done, now: Instant) {
        self.busy = false;
        let Some(work) = self.work() else { return };
        let step = work.step;
        if step == Step::Settling {
            return self.settle(now);
        }
        if let Step::Receiving { slot } = step {
            work.transfer.done(done);
            if work.transfer.is_complete() && !matches!(done, Done::Failed(_)) && work.interrupt.is_none() {
                self.tell(Notice::DownloadSucceeded);
                return self.go(Step::Sealing { slot }, now);
            }
        }
        if work.interrupt.is_some() {
            return self.give_up(now);
        }
        if let (Step::Beginning { .. }, Done::Begun { frontier_bytes, .. }) = (step, done)
            && !frontier_bytes.is_multiple_of(self.config.block_bytes)
        {
            // The sector's start is no block's start: begin again at the block before it, until both are one.
            let keep_bytes = frontier_bytes - frontier_bytes % self.config.block_bytes;
            return self.go(Step::Beginning { keep_bytes }, now);
        }
        if let Some(next) = step.after(done, now) {
            self.announce(step, done);
            self.go(next, now);
            if let Done::Begun { frontier_bytes, .. } = done {
                self.begin_transfer(frontier_bytes, now);
            }
        }
        self.report_progress(now);
    }

    fn begin_transfer(&mut self, frontier_bytes: u32, now: Instant) {
        if let Control::Working(work) = &mut self.control {
            work.transfer.begin(frontier_bytes, now);
        }
        self.tell(Notice::DownloadStarted { resumed_bytes: frontier_bytes });
        self.settle_transfer(now);
    }

    fn report_progress(&mut self, now: Instant) {
        if let Control::Working(Work { step: Step::Receiving { .. }, transfer, reporter, .. }) = &mut self.control {
            let (done, total) = transfer.blocks();
            reporter.progress(done, total, now, self.config.progress_every_ms, self.config.progress_every_percent);
        }
    }

    fn go(&mut self, next: Step, now: Instant) {
        if let Some(work) = self.work() {
            work.step = next;
        }
        self.enter(next, now);
    }

    /// What entering a step causes, beside its operation.
    fn enter(&mut self, step: Step, now: Instant) {
        match step {
            Step::Sealing { .. } => self.tell(Notice::VerifyStarted),
            Step::Testing { .. } => self.tell(Notice::SelfTestStarted),
            Step::RollingBack(reason) => self.tell(Notice::RollingBack(reason)),
            _ => {}
        }
        let Some(work) = self.work() else { return };
        if let Some(report) = step.report() {
            work.reporter.say(report);
        }
        if let Step::Reporting(_) = step
            && work.local
        {
            self.go(Step::Settling, now);
        }
    }

    fn announce(&mut self, step: Step, done: Done) {
        match (step, done) {
            (Step::Receiving { .. }, Done::Failed(reason)) => {
                let done_bytes = self.progress().map_or(0, |progress| progress.done_bytes);
                self.tell(Notice::DownloadFailed { done_bytes, reason });
            }
            (Step::Sealing { .. }, Done::Sealed { digest }) => self.tell(Notice::VerifySucceeded { digest }),
            (Step::Sealing { .. }, Done::Failed(reason)) => self.tell(Notice::VerifyFailed(reason)),
            (Step::Activating { .. }, Done::Activated) => self.tell(Notice::Activated),
            (Step::Confirming, Done::Confirmed) => self.tell(Notice::Confirmed),
            (Step::Concluding(outcome), _) => self.tell(Notice::Concluded(outcome)),
            _ => {}
        }
    }

    fn settle(&mut self, now: Instant) {
        self.control = Control::Idle;
        self.tell(Notice::Settled);
        self.inquiry.answered(Some(now)); // the next job may be waiting
    }

    // Time.

    fn expire(&mut self, now: Instant) {
        match &mut self.control {
            Control::Idle if self.connected => {
                if let Some((execution, reason)) = self.inquiry.expire(now) {
                    self.refuse(execution, reason, now);
                }
            }
            Control::Idle => {}
            Control::Working(work) => {
                work.reporter.expire(now, &mut self.dice);
                match work.step {
                    Step::Testing { until } if until <= now => {
                        self.go(Step::RollingBack(Reason::SelfTestTimedOut), now);
                    }
                    Step::Receiving { .. } if self.connected => {
                        work.transfer.expire(now);
                        self.settle_transfer(now);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// The name under which the journal keeps an update that the application started.
const LOCAL_JOB: &str = "local";

impl Work {
    fn record(&self, phase: Phase) -> Option<[u8; RECORD_BYTES]> {
        let Plan { image_bytes, fingerprint, .. } = self.plan;
        Some(Record { job: self.job.clone(), local: self.local, fingerprint, image_bytes, phase }.encode())
    }

    fn receiving_operation(&mut self) -> Option<Operation> {
        let operation = self.transfer.operation()?;
        Some(match operation {
            transfer::Chore::Write(block) => Operation::Write(block),
            transfer::Chore::CheckHeader => Operation::CheckHeader,
            transfer::Chore::EraseAhead => Operation::EraseAhead,
            transfer::Chore::HashAhead { frontier_bytes } => Operation::HashAhead { frontier_bytes },
            transfer::Chore::Journal { frontier_bytes } => {
                Operation::Journal(self.record(Phase::Receiving { frontier_bytes }))
            }
        })
    }
}

/// A full queue drops the notice: the shell takes them all after every event.
fn note(notices: &mut Deque<Notice, NOTICES_MAX>, notice: Notice) {
    let _ = notices.push_back(notice);
}
