//! Tests of what a job does in each of its states, by events and the operations that follow.

use super::super::event::{Event, Offer, Report, Sources, Task};
use super::super::{Boot, Execution, Machine, Outcome, Ran, Trial};
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
    let mut machine = Machine::at_boot(config, None, Boot::CONFIRMED, 1, NOW);
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
fn a_cancellation_takes_effect_when_the_operation_in_flight_has_ended() {
    let mut machine = receiving(STREAM, 0);
    arrives(&mut machine, 0);
    assert_eq!(machine.operation(NOW), Some(Operation::CheckHeader));
    while machine.notice().is_some() {}
    machine.on(described(Status::Canceled), NOW);
    assert_eq!(machine.notice(), None);
    machine.on(Event::Done(Done::HeaderAccepted), NOW);
    assert!(machine.notice().is_some());
    assert_eq!(machine.operation(NOW), Some(Operation::ClearJournal));
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
    let record = machine.record(Phase::Receiving { frontier_bytes: 0 }, Ran { slot: 0, app: None });
    let config = AgentConfig::new("thing").expect("a plain name");
    let machine = Machine::at_boot(config, record, Boot::CONFIRMED, 1, NOW);
    assert!(machine.is_at_second_file(&job(), 6));
    assert!(!machine.is_at_second_file(&job(), 5), "another file of the job was");
    assert!(!machine.is_at_second_file(&JobId::new("other").expect("a plain id"), 6));
}

#[test]
fn a_trial_whose_job_is_over_reports_no_progress() {
    let phase = Phase::Activating { slot: 0, boots: 0 };
    let (execution, local, digest, ran) = (ExecutionId::of(job()), false, [7; 32], None);
    let record = Record { execution, local, fingerprint: 5, image_bytes: 8_192, digest, phase, ran };
    let boot = Boot { digest: Some(digest), trial: Trial::Running, ..Boot::CONFIRMED };
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
