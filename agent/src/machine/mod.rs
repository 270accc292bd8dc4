//! The mind: what to do next, decided from what happened. Pure: events and the time go in, operations and messages
//! come out. No clock, no I/O, no payload bytes, no platform; async, blocking and simulated shells drive the same logic.
//!
//! After every [`Machine::on`]: [`Machine::operation`] until `None`, each answered by [`Event::Done`]; then
//! [`Machine::message`] until `None`; then sleep until [`Machine::deadline`] or the next event.

mod boot;
mod config;
mod control;
mod event;
mod inquiry;
mod jobs;
mod journal;
mod pace;
mod reporter;
mod steps;
mod time;
mod transfer;
mod window;
mod work;

pub use boot::{Boot, Trial};
pub use config::{Config, ConfigError, Discovery};
pub use event::{Done, Event, Execution, Message, Notice, Offer, Operation, Plan, Report, Sources, Task};
pub use journal::{Outcome, Phase, RECORD_BYTES, Record};
pub use pace::Pace;
pub use time::{Backoff, Instant};
pub use window::{Block, BlockRefusal, BlockRequest, WINDOW_BLOCKS, Window};

use boot::Beginning;
use control::Step;
use heapless::Deque;
use inquiry::Inquiry;
use ota_jobs::{JobId, Reason};
use time::Dice;
use work::{Control, Interrupt, LOCAL_JOB, Work};

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
            Event::OfferUnreadable(reason) => self.offer_unreadable(reason, now),
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
            Step::Abandoning { slot } => Operation::Abandon { slot },
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

    /// The job at hand, or the last word about it that is still to be settled.
    pub fn job(&self) -> Option<&JobId> {
        match &self.control {
            Control::Idle => None,
            Control::Working(work) => Some(&work.job),
        }
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
}

/// The shell takes all notices after every event, and no event makes more than the queue holds.
fn note(notices: &mut Deque<Notice, NOTICES_MAX>, notice: Notice) {
    let kept = notices.push_back(notice);
    debug_assert!(kept.is_ok(), "the notices of one event fit");
}
