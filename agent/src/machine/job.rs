//! The active job: its state, its transfer and its status reports. Applies inputs to the transition table.

use ota_jobs::{JobId, Reason};

use super::AgentConfig;
use super::event::{Done, Message, Operation, Plan};
use super::journal::{Phase, Record};
use super::notices::Notices;
use super::state::{Context, Input, State, Transition};
use super::status_reporter::{ServiceState, StatusReporter};
use super::time::{Instant, Rng};
use super::transfer::Transfer;
use super::window::Block;

/// The job id of an update that the application started.
const LOCAL_JOB: &str = "local";

/// Which job it is.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) id: JobId,
    /// Started by the application, and unknown to the service.
    pub(super) local: bool,
    pub(super) plan: Plan,
}

impl Identity {
    /// An update that the application started.
    pub(super) fn local(plan: Plan) -> Self {
        Self { id: JobId::new(LOCAL_JOB).expect("a plain id"), local: true, plan }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) identity: Identity,
    pub(super) transfer: Transfer,
    pub(super) reporter: StatusReporter,
    state: State,
    block_bytes: u32,
    /// An operation was handed out and its result is not in yet.
    in_flight: bool,
    /// A cancellation or an abort that arrived while the operation was in flight.
    interrupt: Option<Input>,
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
        let block_bytes = config.block_bytes;
        let mut job = Self { identity, transfer, reporter, state, block_bytes, in_flight: false, interrupt: None };
        job.enter(now, out);
        job
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn is_receiving(&self) -> bool {
        matches!(self.state, State::Receiving { .. })
    }

    /// The journal record of this job in `phase`.
    pub(super) fn record(&self, phase: Phase) -> Record {
        let Identity { id, local, plan: Plan { image_bytes, fingerprint, .. } } = &self.identity;
        Record { job: id.clone(), local: *local, fingerprint: *fingerprint, image_bytes: *image_bytes, phase }
    }

    /// Applies an input: enters the next state of the transition table, if there is one. A cancellation or an abort is
    /// deferred to the end of the operation in flight.
    pub(super) fn apply(&mut self, input: Input, now: Instant, out: &mut Notices) {
        if self.in_flight && matches!(input, Input::Cancelled | Input::Aborted) {
            self.interrupt = Some(input).filter(|_| self.state.facts().cancellable).or(self.interrupt);
            return;
        }
        let context = Context {
            now,
            done_bytes: self.transfer.done_bytes(),
            block_bytes: self.block_bytes,
            local: self.identity.local,
        };
        let Some(Transition { next, notice }) = self.state.next(input, &context) else { return };
        out.extend(notice);
        self.state = next;
        self.enter(now, out);
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
            State::ClearingJournal => self.reporter.close(),
            _ => {}
        }
    }

    /// The next operation; `None` while one is in flight.
    pub(super) fn operation(&mut self, now: Instant, connected: bool) -> Option<Operation> {
        if self.in_flight {
            return None;
        }
        let operation = match self.state {
            State::Receiving { .. } => self.transfer.operation(),
            State::AwaitingReset { until } if now < until && connected && self.reporter.is_busy() => None,
            state => state.facts().operation,
        };
        self.in_flight = operation.is_some();
        operation
    }

    /// Accepts a block that is missing; its write is in flight then.
    pub(super) fn block(&mut self, index: u32, len_bytes: u32, now: Instant) -> Option<Block> {
        if self.in_flight || !self.is_receiving() {
            return None;
        }
        let block = self.transfer.block(index, len_bytes, now);
        self.in_flight = block.is_some();
        block
    }

    /// Takes the result of the operation in flight. A deferred cancellation or abort is applied in its place.
    pub(super) fn done(&mut self, done: Done, config: &AgentConfig, now: Instant, out: &mut Notices) {
        self.in_flight = false;
        if self.is_receiving() {
            self.transfer.done(done);
        }
        let input = self.interrupt.take().unwrap_or(Input::Done(done));
        self.apply(input, now, out);
        if !self.is_receiving() {
            return;
        }
        if self.transfer.is_complete() {
            return self.apply(Input::AllBlocksStored, now, out);
        }
        self.reporter.progress(self.transfer.blocks(), now, config);
    }

    /// Applies the state of the execution, as of the last response.
    pub(super) fn service_state(&mut self, state: ServiceState, now: Instant, out: &mut Notices) {
        match state {
            ServiceState::Open => {}
            ServiceState::Settled => self.apply(Input::ReportSettled, now, out),
            ServiceState::Gone => {
                self.apply(Input::Cancelled, now, out);
                if !self.state.facts().cancellable {
                    self.reporter.mute_progress();
                }
            }
        }
    }

    /// Applies the deadlines and timeouts that have passed.
    pub(super) fn expire(&mut self, now: Instant, connected: bool, rng: &mut Rng, out: &mut Notices) {
        self.reporter.expire(now, rng);
        if self.state.facts().deadline.is_some_and(|at| at <= now) {
            self.apply(Input::Deadline, now, out);
        }
        if self.is_receiving() {
            if connected {
                self.transfer.expire(now);
            }
            if let Some(reason) = self.transfer.failure().filter(|_| !self.in_flight) {
                self.apply(Input::SourcesExhausted(reason), now, out);
            }
        }
    }

    /// The first deadline after `now`.
    pub(super) fn deadline(&self, now: Instant, connected: bool) -> Option<Instant> {
        let transfer = self.transfer.deadline().filter(|_| connected && self.is_receiving());
        let report = self.reporter.deadline().filter(|_| connected);
        [self.state.facts().deadline, transfer, report].into_iter().flatten().filter(|at| *at > now).min()
    }

    pub(super) fn message(&mut self, now: Instant, response_timeout_ms: u64, token: u32) -> Option<Message<'_>> {
        if let Some(message) = self.reporter.message(&self.identity.id, now, response_timeout_ms, token) {
            return Some(message);
        }
        match self.state {
            State::Receiving { .. } => self.transfer.request(now).map(Message::Blocks),
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
