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
mod tests {
    use super::super::event::{Event, Offer, Report, Sources, Task};
    use super::super::{Boot, Execution, Machine, Outcome, Trial};
    use super::*;
    use ota_jobs::Status;

    const NOW: Instant = Instant::from_ms(10_000);
    const STREAM: Sources = Sources { stream: true, http: false };
    const HTTP: Sources = Sources { stream: false, http: true };

    fn job() -> JobId {
        JobId::new("job").expect("a plain id")
    }

    fn on(machine: &mut Machine, event: Event) {
        machine.on(event, NOW);
        while machine.notice().is_some() {}
    }

    fn described(status: Status) -> Event {
        Event::Described(Execution { id: ExecutionId::of(job()), status, version: 2 })
    }

    /// Ends every operation that is due, except a reset.
    fn work(machine: &mut Machine, frontier_bytes: u32) {
        while let Some(operation) = machine.consented(NOW) {
            let done = match operation {
                Operation::CheckInstalled => Done::Installed(false),
                Operation::Begin { .. } => Done::Begun { slot: 1, frontier_bytes, evicted: None },
                Operation::CheckHeader => Done::HeaderAccepted,
                Operation::IdleStep { .. } => Done::IdleStepped { more: false },
                Operation::SaveJournal(_) | Operation::ClearJournal => Done::JournalSaved,
                Operation::Verify => Done::Verified { digest: [7; 32] },
                Operation::Activate { .. } => Done::Activated,
                other => panic!("{other:?} is not due"),
            };
            on(machine, Event::Done(done));
        }
    }

    /// A connected machine with an offer of two blocks.
    fn offered(sources: Sources) -> Machine {
        offered_plan(Plan::new(8_192, 5, sources).expect("a plan"))
    }

    fn offer(task: Task) -> Event {
        Event::Offer(Offer {
            execution: Execution { id: ExecutionId::of(job()), status: Status::Queued, version: 1 },
            task,
        })
    }

    fn offered_plan(plan: Plan) -> Machine {
        let config = AgentConfig::new("thing").expect("a plain name");
        let boot = Boot { running: 0, digest: None, trial: Trial::None };
        let mut machine = Machine::at_boot(config, None, boot, 1, NOW);
        on(&mut machine, Event::Connected);
        on(&mut machine, offer(Task::Update(plan)));
        machine
    }

    /// A machine that has verified the first file of a release.
    fn at_second_file() -> Machine {
        let mut machine = offered_plan(Plan::new(8_192, 5, STREAM).expect("a plan").followed());
        work(&mut machine, 0);
        for index in [0, 1] {
            arrives(&mut machine, index);
            work(&mut machine, 0);
        }
        machine
    }

    fn receiving(sources: Sources, resumed_bytes: u32) -> Machine {
        let mut machine = offered(sources);
        work(&mut machine, resumed_bytes);
        machine
    }

    fn arrives(machine: &mut Machine, index: u32) {
        let block = machine.block(index, 4_096, NOW).expect("the block is missing");
        on(machine, Event::Done(Done::Written(block)));
    }

    /// Accepts every report, and returns the last one.
    fn acknowledge(machine: &mut Machine) -> Option<Report> {
        let mut last = None;
        loop {
            let event = match machine.message(NOW).map(|(message, _)| message) {
                Some(Message::Update { token, report, .. }) => {
                    last = Some(report);
                    Event::UpdateAccepted { token, version: None }
                }
                Some(Message::Describe { .. }) => described(Status::InProgress),
                Some(Message::Blocks(_)) => continue,
                Some(Message::NextJob { .. }) | None => return last,
            };
            on(machine, event);
        }
    }

    #[test]
    fn a_download_continues_where_the_slot_was_kept() {
        assert_eq!(receiving(HTTP, 4_096).fetch(NOW), Some(4_096));
        assert_eq!(receiving(HTTP, 0).fetch(NOW), Some(0));
    }

    #[test]
    fn no_body_is_fetched_before_the_slot_is_prepared_or_once_the_job_is_aborted() {
        assert_eq!(offered(HTTP).fetch(NOW), None);
        let mut machine = receiving(HTTP, 0);
        arrives(&mut machine, 0);
        assert_eq!(machine.operation(NOW), Some(Operation::CheckHeader));
        assert_eq!(machine.fetch(NOW), Some(4_096));
        assert!(machine.abort(NOW));
        assert_eq!(machine.fetch(NOW), None, "the operation in flight ends first");
    }

    #[test]
    fn no_block_is_accepted_while_an_operation_is_in_flight() {
        let mut machine = receiving(STREAM, 0);
        arrives(&mut machine, 0);
        assert_eq!(machine.operation(NOW), Some(Operation::CheckHeader));
        assert_eq!(machine.block(1, 4_096, NOW), None);
        on(&mut machine, Event::Done(Done::HeaderAccepted));
        assert!(machine.block(1, 4_096, NOW).is_some());
    }

    #[test]
    fn an_activation_waits_two_seconds_for_the_report_before_it_while_connected() {
        let mut machine = receiving(STREAM, 0);
        for index in [0, 1] {
            arrives(&mut machine, index);
            work(&mut machine, 0);
        }
        let activates = Some(Operation::SaveJournal(Phase::Activating { slot: 1, boots: 0 }));
        assert_eq!(machine.operation(NOW.plus_ms(1_999)), None);
        assert_eq!(machine.deadline(NOW), Some(NOW.plus_ms(2_000)));
        assert_eq!(machine.clone().operation(NOW.plus_ms(2_000)), activates);
        let mut disconnected = machine.clone();
        on(&mut disconnected, Event::Disconnected);
        assert_eq!(disconnected.operation(NOW), activates);
        let mut changed = machine.clone();
        assert_eq!(acknowledge(&mut machine), Some(Report::Ready));
        assert_eq!(machine.operation(NOW), activates);
        let Some((Message::Update { token, .. }, _)) = changed.message(NOW) else { panic!("the report is due") };
        on(&mut changed, Event::JobsChanged);
        on(&mut changed, Event::UpdateAccepted { token, version: None });
        assert_eq!(changed.operation(NOW), None, "the execution is to be described first");
        assert!(acknowledge(&mut changed).is_none());
        assert_eq!(changed.operation(NOW), activates);
    }

    /// The image is verified and activated in one call, whose instant is that before it.
    #[test]
    fn waiting_for_the_report_and_for_the_application_begins_when_the_work_before_is_done() {
        let mut machine = receiving(STREAM, 0);
        for index in [0, 1] {
            arrives(&mut machine, index);
            work(&mut machine, 0);
        }
        let verified = NOW.plus_ms(60_000);
        machine.worked(verified);
        assert_eq!(machine.operation(verified), None, "the report is to be sent first");
        assert_eq!(acknowledge(&mut machine), Some(Report::Ready));
        work(&mut machine, 0);
        let activated = NOW.plus_ms(120_000);
        machine.worked(activated);
        let end = activated.plus_ms(machine.config().prepare_ms_max);
        assert_eq!(machine.operation(activated), None, "the application is to prepare first");
        assert_eq!(machine.deadline(activated), Some(end));
        assert_eq!(machine.operation(end), Some(Operation::Reset));
    }

    #[test]
    fn nothing_is_sent_once_the_outcome_is_acknowledged() {
        let mut machine = receiving(STREAM, 0);
        assert!(machine.abort(NOW));
        work(&mut machine, 0);
        assert!(matches!(acknowledge(&mut machine), Some(Report::Final(_))));
        on(&mut machine, Event::JobsChanged);
        assert!(machine.message(NOW).is_none());
        assert_eq!(machine.operation(NOW), Some(Operation::ClearJournal));
    }

    #[test]
    fn the_document_is_requested_again_for_the_next_file_until_it_arrives() {
        let mut machine = at_second_file();
        let next = Task::Update(Plan::new(4_096, 6, STREAM).expect("a plan"));
        let mut now = NOW;
        for omitted in [
            Event::Described(Execution { id: ExecutionId::of(job()), status: Status::InProgress, version: 2 }),
            offer(Task::DocumentOmitted),
        ] {
            let message = machine.message(now).map(|(message, _)| message);
            assert!(matches!(message, Some(Message::Describe { document: true, .. })), "{message:?}");
            machine.on(omitted, now);
            assert!(machine.message(now).is_none(), "not at once");
            assert!(machine.operation(now).is_none());
            now = machine.deadline(now).expect("it is requested again");
        }
        assert!(machine.message(now).is_some());
        machine.on(offer(next), now);
        assert_eq!(machine.operation(now), Some(Operation::CheckInstalled));
        let message = machine.message(now.plus_ms(600_000)).map(|(message, _)| message);
        assert!(!matches!(message, Some(Message::Describe { .. })), "{message:?}");
        assert_eq!(machine.image_bytes(), 4_096);
        machine.on(Event::Done(Done::Installed(true)), now);
        let succeeded = Operation::SaveJournal(Phase::Concluded(Outcome::Succeeded));
        assert_eq!(machine.operation(now), Some(succeeded), "no file follows");
    }

    #[test]
    fn a_second_file_after_another_first_one_is_another_file() {
        let plan = |fingerprint| Plan::new(4_096, fingerprint, STREAM).expect("a plan");
        assert_ne!(plan(6).after(&plan(5)).fingerprint(), plan(6).after(&plan(7)).fingerprint());
        assert_ne!(plan(6).after(&plan(5)).fingerprint(), plan(7).after(&plan(5)).fingerprint());
    }

    #[test]
    fn a_next_file_that_is_unsuitable_fails_the_job() {
        let mut machine = at_second_file();
        on(&mut machine, offer(Task::Refused(Reason::WrongSlotLink)));
        let failed = Phase::Concluded(Outcome::Failed(Reason::WrongSlotLink));
        assert_eq!(machine.operation(NOW), Some(Operation::SaveJournal(failed)));
    }

    #[test]
    fn a_first_file_that_is_there_already_is_not_received() {
        let mut machine = offered_plan(Plan::new(8_192, 5, STREAM).expect("a plan").followed());
        assert_eq!(machine.consented(NOW), Some(Operation::CheckInstalled));
        on(&mut machine, Event::Done(Done::Installed(true)));
        let message = machine.message(NOW).map(|(message, _)| message);
        assert!(matches!(message, Some(Message::Describe { document: true, .. })), "{message:?}");
    }

    #[test]
    fn a_job_is_at_its_second_file_when_that_is_needed_received_or_in_the_journal() {
        let plan = Plan::new(4_096, 6, STREAM).expect("a plan");
        let mut machine = offered_plan(Plan::new(8_192, 5, STREAM).expect("a plan").followed());
        assert!(!machine.is_at_second_file(&job(), 6));
        machine = at_second_file();
        assert!(machine.is_at_second_file(&job(), 6));
        assert!(!machine.is_at_second_file(&JobId::new("other").expect("a plain id"), 6));
        on(&mut machine, offer(Task::Update(plan)));
        assert!(machine.is_at_second_file(&job(), 6));
        assert!(!machine.is_at_second_file(&job(), 5));
        let record = machine.record(Phase::Receiving { frontier_bytes: 0 }, 0);
        let config = AgentConfig::new("thing").expect("a plain name");
        let boot = Boot { running: 0, digest: None, trial: Trial::None };
        let machine = Machine::at_boot(config, record, boot, 1, NOW);
        assert!(machine.is_at_second_file(&job(), 6));
        assert!(!machine.is_at_second_file(&job(), 5), "another file of the job was");
        assert!(!machine.is_at_second_file(&JobId::new("other").expect("a plain id"), 6));
    }

    #[test]
    fn a_trial_whose_job_is_over_reports_no_progress() {
        let phase = Phase::Activating { slot: 0, boots: 0 };
        let (execution, local, digest, ran) = (ExecutionId::of(job()), false, [7; 32], None);
        let record = Record { execution, local, fingerprint: 5, image_bytes: 8_192, digest, phase, ran };
        let boot = Boot { running: 0, digest: Some(digest), trial: Trial::Running };
        for (status, sent) in [(Status::InProgress, true), (Status::Canceled, false)] {
            let config = AgentConfig::new("thing").expect("a plain name");
            let mut machine = Machine::at_boot(config, Some(record.clone()), boot, 1, NOW);
            on(&mut machine, Event::Connected);
            assert!(matches!(machine.message(NOW), Some((Message::Describe { .. }, _))));
            on(&mut machine, described(status));
            assert_eq!(machine.message(NOW).is_some(), sent, "{status:?}");
            assert!(machine.is_testing(), "the trial runs to its end");
        }
    }

    #[test]
    fn the_deadline_of_a_transfer_counts_only_while_it_runs_and_is_connected() {
        assert_eq!(offered(STREAM).deadline(NOW), None, "nothing is received yet");
        let mut machine = receiving(STREAM, 0);
        acknowledge(&mut machine);
        assert_eq!(machine.deadline(NOW), Some(NOW.plus_ms(3_000)));
        on(&mut machine, Event::Disconnected);
        assert_eq!(machine.deadline(NOW), None);
    }
}
