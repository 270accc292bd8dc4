//! The active job: its state, its transfer and its status reports. Applies inputs to the transition table.

use ota_jobs::{JobId, Reason};

use super::event::{Done, Message, Operation, Pending, Plan, Step};
use super::execution::ExecutionId;
use super::journal::{Phase, Record};
use super::notices::Notices;
use super::state::{ANNOUNCE_MS_MAX, Context, Input, State, Transition};
use super::status_reporter::{ServiceState, StatusReporter};
use super::time::{Instant, Rng};
use super::transfer::Transfer;
use super::window::{Block, BlockRefusal};
use super::{AgentConfig, Link};

/// The job id of an update that the application started.
const LOCAL_JOB: &str = "local";

/// Which job it is.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) id: ExecutionId,
    /// Started by the application, and unknown to the service.
    pub(super) local: bool,
    pub(super) plan: Plan,
    /// SHA-256 of the image; zeros until it is verified.
    pub(super) digest: [u8; 32],
}

impl Identity {
    /// An update that the application started.
    pub(super) fn local(plan: Plan) -> Self {
        Self { local: true, ..Self::new(ExecutionId::of(JobId::new(LOCAL_JOB).expect("a plain id")), plan) }
    }

    /// An update that the service offers.
    pub(super) fn new(id: ExecutionId, plan: Plan) -> Self {
        Self { id, local: false, plan, digest: [0; 32] }
    }

    /// Whether it is an execution of the service's job `job`.
    pub(super) fn is_of(&self, job: &JobId) -> bool {
        !self.local && self.id.job == *job
    }
}

/// An input that ends a job, and is deferred to the end of the operation in flight.
#[derive(Clone, Copy, Debug)]
enum Interrupt {
    Cancelled,
    Aborted,
}

#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) identity: Identity,
    pub(super) transfer: Transfer,
    pub(super) reporter: StatusReporter,
    state: State,
    block_bytes: u32,
    prepare_ms_max: u64,
    /// An operation was handed out and its result is not in yet.
    in_flight: bool,
    /// What arrived while the operation was in flight.
    interrupt: Option<Interrupt>,
}

impl Job {
    /// A job in `state`; `version` is that of its execution, if it is known.
    pub(super) fn new(
        identity: Identity,
        version: Option<u64>,
        state: State,
        config: &AgentConfig,
        now: Instant,
        out: &mut Notices,
    ) -> Self {
        let transfer = Transfer::new(config, identity.plan);
        let mut reporter = StatusReporter::new(version);
        if identity.local {
            reporter.close();
        }
        let (block_bytes, prepare_ms_max) = (config.block_bytes, config.prepare_ms_max);
        let (in_flight, interrupt) = (false, None);
        let mut job = Self { identity, transfer, reporter, state, block_bytes, prepare_ms_max, in_flight, interrupt };
        job.enter(now, out);
        job
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn is_receiving(&self) -> bool {
        matches!(self.state, State::Receiving { .. })
    }

    /// Whether the document is requested again, for the next file of the release.
    pub(super) fn is_requesting_file(&self) -> bool {
        matches!(self.state, State::RequestingFile)
    }

    /// Continues with the next file of the release.
    pub(super) fn next_file(&mut self, plan: Plan, config: &AgentConfig, now: Instant, out: &mut Notices) {
        self.identity.plan = plan;
        self.transfer = Transfer::new(config, plan);
        self.apply(Input::NextFile, now, out);
    }

    /// The step for which the application's consent is needed.
    pub(super) fn pending(&self) -> Option<Pending> {
        match self.state {
            State::AskingDownload { ask_at, why, .. } => Some(Pending { step: Step::Download, why, ask_at }),
            State::AskingReset { ask_at, why, .. } => Some(Pending { step: Step::Reset, why, ask_at }),
            _ => None,
        }
    }

    /// The journal record of this job in `phase`.
    pub(super) fn record(&self, phase: Phase) -> Record {
        let Identity { id, local, plan: Plan { image_bytes, fingerprint, .. }, digest } = self.identity.clone();
        Record { execution: id, local, fingerprint, image_bytes, digest, phase, ran: None }
    }

    /// Applies an input: enters the next state of the transition table, if there is one. A cancellation or an abort is
    /// deferred to the end of the operation in flight. Returns whether the input has an effect.
    pub(super) fn apply(&mut self, input: Input, now: Instant, out: &mut Notices) -> bool {
        let interrupt = match input {
            Input::Cancelled => Some(Interrupt::Cancelled),
            Input::Aborted => Some(Interrupt::Aborted),
            _ => None,
        };
        if self.in_flight && interrupt.is_some() {
            let taken = self.state.facts().cancellable;
            self.interrupt = interrupt.filter(|_| taken).or(self.interrupt);
            return taken;
        }
        let context = Context {
            now,
            done_bytes: self.transfer.done_bytes(),
            block_bytes: self.block_bytes,
            local: self.identity.local,
            is_followed: self.identity.plan.is_followed,
            prepare_ms_max: self.prepare_ms_max,
        };
        let Some(Transition { next, notice }) = self.state.next(input, &context) else { return false };
        out.extend(notice);
        self.state = next;
        self.enter(now, out);
        true
    }

    /// Starts what belongs to the state that was entered: its notice, its report, the transfer.
    fn enter(&mut self, now: Instant, out: &mut Notices) {
        let facts = self.state.facts();
        out.extend(facts.on_entry);
        if let Some(report) = facts.report {
            self.reporter.queue(report);
        }
        match self.state {
            State::Receiving { resumed_bytes, .. } => self.transfer.begin(resumed_bytes, now),
            State::RequestingFile => self.reporter.refresh_document(),
            State::ClearingJournal => self.reporter.close(),
            _ => {}
        }
    }

    /// The next operation; `None` while one is in flight.
    pub(super) fn operation(&mut self) -> Option<Operation> {
        if self.in_flight {
            return None;
        }
        let operation = match self.state {
            State::Receiving { .. } => self.transfer.operation(),
            state => state.facts().operation,
        };
        self.in_flight = operation.is_some();
        operation
    }

    /// Accepts a block that is missing; its write is in flight then.
    pub(super) fn block(&mut self, index: u32, len_bytes: u32, now: Instant) -> Result<Block, BlockRefusal> {
        if self.in_flight || !self.is_receiving() {
            return Err(BlockRefusal::NotAwaited);
        }
        let block = self.transfer.block(index, len_bytes, now);
        self.in_flight = block.is_ok();
        block
    }

    /// Takes the result of the operation in flight. A deferred cancellation or abort is applied in its place.
    pub(super) fn done(&mut self, done: Done, config: &AgentConfig, now: Instant, out: &mut Notices) {
        self.in_flight = false;
        if self.is_receiving() {
            self.transfer.done(done);
        }
        if let Done::Verified { digest } = done {
            self.identity.digest = digest;
        }
        let input = match self.interrupt.take() {
            Some(Interrupt::Cancelled) => Input::Cancelled,
            Some(Interrupt::Aborted) => Input::Aborted,
            None => Input::Done(done),
        };
        self.apply(input, now, out);
        if !self.is_receiving() {
            return;
        }
        if self.transfer.is_complete() {
            self.apply(Input::AllBlocksStored, now, out);
            return;
        }
        self.reporter.progress(self.transfer.blocks(), now, config);
    }

    /// Applies the state of the execution, as of the last response.
    pub(super) fn service_state(&mut self, state: ServiceState, now: Instant, out: &mut Notices) {
        match state {
            ServiceState::Open => {}
            ServiceState::Settled => _ = self.apply(Input::ReportSettled, now, out),
            ServiceState::Gone => {
                self.apply(Input::Cancelled, now, out);
                if !self.state.facts().cancellable {
                    self.reporter.mute_progress();
                }
            }
        }
    }

    /// The device worked until now. What it entered meanwhile begins now: the instant at which it did is that before the work.
    pub(super) fn worked(&mut self, now: Instant) {
        self.transfer.worked(now);
        match &mut self.state {
            State::Announcing { until, .. } => *until = now.plus_ms(ANNOUNCE_MS_MAX),
            State::PreparingReset { until } => *until = now.plus_ms(self.prepare_ms_max),
            _ => {}
        }
    }

    /// Applies the deadlines and timeouts that have passed.
    pub(super) fn expire(&mut self, now: Instant, link: Link, rng: &mut Rng, out: &mut Notices) {
        self.reporter.expire(now, rng);
        if self.state.facts().deadline.is_some_and(|at| at <= now) {
            self.apply(Input::Deadline, now, out);
        }
        if matches!(self.state, State::Announcing { .. }) && !(link.connected && self.reporter.is_busy()) {
            self.apply(Input::ReportSettled, now, out);
        }
        if self.is_receiving() {
            if link.requests() {
                self.transfer.expire(now);
            }
            if let Some(reason) = self.transfer.failure().filter(|_| !self.in_flight) {
                self.apply(Input::SourcesExhausted(reason), now, out);
            }
        }
    }

    /// The first deadline after `now`.
    pub(super) fn deadline(&self, now: Instant, link: Link) -> Option<Instant> {
        let transfer = self.transfer.deadline().filter(|_| link.requests() && self.is_receiving());
        let report = self.reporter.deadline().filter(|_| link.connected);
        [self.state.facts().deadline, transfer, report].into_iter().flatten().filter(|at| *at > now).min()
    }

    pub(super) fn message(
        &mut self,
        now: Instant,
        response_timeout_ms: u64,
        token: u32,
        link: Link,
    ) -> Option<Message<'_>> {
        let response_timeout_ms = response_timeout_ms.saturating_add(self.transfer.queue_ms()); // responses arrive behind the blocks
        if let Some(message) = self.reporter.message(&self.identity.id, now, response_timeout_ms, token) {
            return Some(message);
        }
        match self.state {
            State::Receiving { .. } if !link.suspended => self.transfer.request(now).map(Message::Blocks),
            _ => None,
        }
    }

    /// Where an HTTP body must start, if one is needed.
    pub(super) fn fetch(&self, now: Instant) -> Option<u32> {
        (self.is_receiving() && self.interrupt.is_none()).then(|| self.transfer.fetch(now)).flatten()
    }

    /// Takes a failed fetch; requests a fresh document if its URL may help.
    pub(super) fn fetch_failed(&mut self, reason: Reason, now: Instant, random: u32) {
        if self.is_receiving() && self.transfer.fetch_failed(reason, now, random) {
            self.reporter.refresh_document();
        }
    }
}

#[cfg(test)]
mod tests;
