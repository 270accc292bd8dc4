//! Tests of the machine as a whole: boots, connections, and the jobs and updates that meet in it.

use super::*;
use ota_jobs::Status;
use std::vec::Vec;

const NOW: Instant = Instant::from_ms(10_000);
const BEFORE: Instant = Instant::from_ms(9_999);
const DIGEST: [u8; 32] = [7; 32];

fn booted(record: Option<Record>, trial: Trial) -> Machine {
    let config = AgentConfig::new("thing").expect("a plain name");
    Machine::at_boot(config, record, Boot { trial, ..Boot::CONFIRMED }, 1, NOW)
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
    let execution =
        Execution { id: ExecutionId::of(JobId::new(id).expect("a plain id")), status: Status::InProgress, version: 1 };
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

/// On demand, an interrupted download is a reason to request a job, until another job took its place.
#[test]
fn another_job_ends_the_wait_for_the_interrupted_one() {
    let mut machine = booted(Some(record(false, Phase::Receiving { frontier_bytes: 2_048 })), Trial::None);
    machine.config.discovery = Discovery::OnDemand;
    machine.on(Event::Connected, NOW);
    assert!(matches!(machine.message(NOW), Some((Message::NextJob { .. }, _))));
    machine.on(offer("other", 6), NOW);
    assert!(!machine.is_idle() && machine.interrupted.is_none());
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
        assert_eq!(machine.record(phase, Ran { slot: 0, app: None }), Some(Record { phase, ..found.clone() }));
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

    let execution =
        Execution { id: ExecutionId::of(JobId::new("job").expect("a plain id")), status: Status::Queued, version: 3 };
    let sources = Sources { stream: true, http: false };
    let task = Task::Update(Plan::new(4_096, 5, sources).expect("a plan"));
    machine.on(Event::Offer(Offer { execution, task }), NOW);
    assert!(machine.message(NOW).is_none());
    for event in [Event::JobsChanged, Event::NoJob] {
        let mut machine = machine.clone();
        machine.on(event, NOW);
        assert!(matches!(machine.message(NOW), Some((Message::Describe { document: false, .. }, _))));
    }
}

/// Only a message that the service sends by itself can name one: `$next` has pending executions only.
#[test]
fn an_execution_that_is_over_is_not_started() {
    let mut machine = booted(None, Trial::None);
    machine.on(Event::Connected, NOW);
    let Event::Offer(mut over) = offer("job", 5) else { panic!("an offer") };
    over.execution.status = Status::Canceled;
    machine.on(Event::Offer(over), NOW);
    assert!(machine.is_idle());
}

/// The job was deleted during the trial and created again: the version is that of an execution which has not begun.
#[test]
fn a_version_of_another_execution_is_not_used_for_the_outcome() {
    let execution = |number| ExecutionId { number, ..record(false, Phase::Receiving { frontier_bytes: 0 }).execution };
    let phase = Phase::Activating { slot: 0, boots: 0 };
    let record = Record { execution: execution(1), ..record(false, phase) };
    let boot = Boot { digest: Some(DIGEST), trial: Trial::Running, ..Boot::CONFIRMED };
    let config = AgentConfig::new("thing").expect("a plain name");
    let mut machine = Machine::at_boot(config, Some(record), boot, 1, NOW);
    machine.on(Event::Connected, NOW);
    assert!(matches!(machine.message(NOW), Some((Message::Describe { .. }, _))));
    machine.on(Event::Described(Execution { id: execution(2), status: Status::InProgress, version: 7 }), NOW);
    assert!(machine.judge(Ok(()), NOW));
    for done in [Done::Confirmed, Done::JournalSaved] {
        assert!(machine.operation(NOW).is_some());
        machine.on(Event::Done(done), NOW);
        while machine.notice().is_some() {}
    }
    let message = machine.message(NOW).map(|(message, _)| message);
    assert!(matches!(message, Some(Message::Describe { .. })), "{message:?}");
}

/// Returns a machine that receives a job's image of four blocks, and has requested none of them.
fn receiving() -> Machine {
    let mut machine = booted(None, Trial::None);
    machine.on(Event::Connected, NOW);
    machine.on(offer("job", 5), NOW);
    while let Some(operation) = machine.consented(NOW) {
        let done = match operation {
            Operation::CheckInstalled => Done::Installed(false),
            Operation::SaveJournal(_) => Done::JournalSaved,
            Operation::Begin { .. } => Done::Begun { slot: 1, frontier_bytes: 0, evicted: None },
            Operation::IdleStep { .. } => Done::IdleStepped { more: false },
            other => panic!("{other:?} before a block"),
        };
        machine.on(Event::Done(done), NOW);
        while machine.notice().is_some() {}
    }
    machine
}

/// No block is requested meanwhile, so none can arrive.
#[test]
fn a_download_goes_on_after_a_suspension_longer_than_the_longest_silence() {
    let mut machine = receiving();
    machine.suspend();
    let later = NOW.plus_ms(2 * machine.config.silence_ms_max);
    assert!(machine.operation(later).is_none() && machine.resume(later));
    assert_eq!((machine.operation(later), machine.state()), (None, AgentState::Downloading));
}

/// The end of the journal's progress: only the same file of the same job continues there.
#[test]
fn a_download_resumes_only_if_the_job_and_its_file_are_those_of_the_journal() {
    for (id, fingerprint, keep_bytes) in
        [("job", 5, Some(2_048)), ("job", 6, None), ("other", 5, None), ("other", 6, None)]
    {
        let mut machine = booted(Some(record(false, Phase::Receiving { frontier_bytes: 2_048 })), Trial::None);
        machine.on(Event::Connected, NOW);
        let execution =
            Execution { id: ExecutionId::of(JobId::new(id).expect("a plain id")), status: Status::Queued, version: 1 };
        let plan = Plan::new(4_096, fingerprint, Sources { stream: true, http: false }).expect("a plan");
        machine.on(Event::Offer(Offer { execution, task: Task::Update(plan) }), NOW);
        let resumed = keep_bytes.map(|frontier_bytes| Operation::SaveJournal(Phase::Receiving { frontier_bytes }));
        let first = machine.consented(NOW);
        assert_eq!(first, Some(resumed.unwrap_or(Operation::CheckInstalled)), "{id} {fingerprint}");
    }
}
