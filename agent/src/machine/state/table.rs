//! Prints the transition table, which is `docs/states.md`, and checks what holds of the whole of it.

extern crate std;

use std::collections::HashSet;
use std::fmt::Write;
use std::string::String;
use std::vec::Vec;
use std::{env, format, fs};

use super::super::execution::{Execution, ExecutionId};
use super::super::journal::{Ran, Record};
use super::super::window::Window;
use super::super::{AgentConfig, Boot, Event, Machine, Offer, Plan, Sources, Task, Trial};
use super::*;
use ota_jobs::{JobId, Status};

const DIGEST: [u8; 32] = [0; 32];
const REASON: Reason = Reason::SelfTestFailed;
const NOW: Instant = Instant::from_ms(0);
const CONTEXT: Context =
    Context { now: NOW, done_bytes: 0, block_bytes: 4096, local: false, is_followed: false, prepare_ms_max: 0 };
const FOLLOWED: Context = Context { is_followed: true, ..CONTEXT };
const SLOT: u8 = 1;

/// Every state, once.
fn states() -> Vec<State> {
    let outcomes = [Outcome::Succeeded, Outcome::Failed(REASON)];
    let mut states = std::vec![
        State::CheckingInstalled,
        State::AskingDownload { keep_bytes: 0, ask_at: NOW, why: None },
        State::SavingJob { keep_bytes: 0 },
        State::PreparingSlot { keep_bytes: 0 },
        State::Receiving { slot: SLOT, resumed_bytes: 0 },
        State::Verifying { slot: SLOT },
        State::RequestingFile,
        State::AskingReset { slot: SLOT, ask_at: NOW, why: None },
        State::Announcing { slot: SLOT, until: NOW },
        State::SavingActivation { slot: SLOT, boots: 0 },
        State::Activating { slot: SLOT },
        State::SavingActivation { slot: SLOT, boots: 1 },
        State::PreparingReset { until: NOW },
        State::Resetting,
        State::SelfTesting { until: NOW },
        State::Confirming,
        State::RollingBack(REASON),
        State::InvalidatingImage { slot: SLOT },
    ];
    states.extend(outcomes.map(State::SavingOutcome));
    states.extend(outcomes.map(State::Reporting));
    states.extend([State::ClearingJournal, State::Idle]);
    states
}

/// Every input, with its name in the table.
fn inputs() -> Vec<(&'static str, Input)> {
    let block = Window::new(1, 256, 0, 256).offer(0, 1, NOW).expect("the block is missing");
    let begun = |frontier_bytes| Done::Begun { slot: SLOT, frontier_bytes, evicted: None };
    std::vec![
        ("Installed(true)", Input::Done(Done::Installed(true))),
        ("Installed(false)", Input::Done(Done::Installed(false))),
        ("JournalSaved", Input::Done(Done::JournalSaved)),
        ("Begun at a block's start", Input::Done(begun(8192))),
        ("Begun inside a block", Input::Done(begun(8193))),
        ("Written", Input::Done(Done::Written(block))),
        ("HeaderAccepted", Input::Done(Done::HeaderAccepted)),
        ("IdleStepped", Input::Done(Done::IdleStepped { more: false })),
        ("AllBlocksStored", Input::AllBlocksStored),
        ("SourcesExhausted", Input::SourcesExhausted(REASON)),
        ("NextFile", Input::NextFile),
        ("Verified", Input::Done(Done::Verified { digest: DIGEST })),
        ("Activated", Input::Done(Done::Activated)),
        ("Confirmed", Input::Done(Done::Confirmed)),
        ("RolledBack", Input::Done(Done::RolledBack)),
        ("Invalidated", Input::Done(Done::Invalidated)),
        ("Failed", Input::Done(Done::Failed(REASON))),
        ("Consent(Now)", Input::Consent(Consent::Now)),
        ("Consent(Later)", Input::Consent(Consent::Later { ms: 0, why: WhyLater::Held })),
        ("Consent(Refused)", Input::Consent(Consent::Refused)),
        ("Prepared", Input::Prepared),
        ("SelfTest(passed)", Input::SelfTest(Ok(()))),
        ("SelfTest(failed)", Input::SelfTest(Err(REASON))),
        ("Deadline", Input::Deadline),
        ("ReportSettled", Input::ReportSettled),
        ("Cancelled", Input::Cancelled),
        ("Aborted", Input::Aborted),
    ]
}

/// The name of a state, with its outcome: the word before its other data.
fn name(state: &impl core::fmt::Debug) -> String {
    let text = format!("{state:?}");
    match text.split_once(" {") {
        Some((name, data)) if data.contains("boots: 1") => format!("{name} after a reset"),
        Some((name, _)) => name.into(),
        None => text.replace(&format!("{REASON:?}"), "reason"),
    }
}

fn cell(value: Option<impl core::fmt::Debug>) -> String {
    value.as_ref().map_or(String::new(), name)
}

fn operation(state: &State) -> String {
    match state {
        State::Receiving { .. } => "the transfer's".into(),
        _ => match state.facts().operation {
            Some(Operation::SaveJournal(phase)) => format!("SaveJournal({})", name(&phase)),
            operation => cell(operation),
        },
    }
}

fn print() -> String {
    let mut page = String::from(
        "# The transition table of a job\n\n\
        Printed from `agent/src/machine/state.rs` by its test; `UPDATE=1 cargo test -p ota-agent states_md` writes this page.\n\n\
        ## What holds in a state\n\n\
        | state | operation | report on entry | notice on entry | can be cancelled | deadline |\n|---|---|---|---|---|---|\n",
    );
    for state in states() {
        let Facts { report, on_entry, cancellable, deadline, .. } = state.facts();
        let yes = |flag| if flag { "yes" } else { "" };
        let columns = [
            name(&state),
            operation(&state),
            cell(report),
            cell(on_entry),
            yes(cancellable).into(),
            yes(deadline.is_some()).into(),
        ];
        writeln!(page, "| {} |", columns.join(" | ")).expect("a string");
    }
    page.push_str(
        "\n## What follows from an input\n\n\
        Inputs that are not listed leave the state as it is. A cancellation or an abort waits for the operation in flight, and \
        goes before its result.\n\n| state | input | next state | notice |\n|---|---|---|---|\n",
    );
    for state in states() {
        for (input_name, input) in inputs() {
            let (last, followed) = (state.next(input, &CONTEXT), state.next(input, &FOLLOWED));
            let followed = followed.filter(|_| followed != last);
            for (transition, condition) in [(last, ""), (followed, ", and another file follows")] {
                if let Some(Transition { next, notice }) = transition {
                    let columns = [name(&state), format!("{input_name}{condition}"), name(&next), cell(notice)];
                    writeln!(page, "| {} |", columns.join(" | ")).expect("a string");
                }
            }
        }
    }
    page.push_str(
        "\n## Where a job begins\n\n\
        After a boot, `agent/src/machine/resume.rs` decides by the journal, the running image and the trial in the boot record. \
        The outcome of an update of the application is not reported: `Reporting` is `ClearingJournal` there. \
        In `Idle`, a request then begins a job, also that of the journal (`agent/src/machine/service.rs`).\n\n\
        | journal | running image | trial | state |\n|---|---|---|---|\n",
    );
    for row in entries_at_boot() {
        writeln!(page, "| {} |", row.join(" | ")).expect("a string");
    }
    page.push_str("\n| in `Idle` | state |\n|---|---|\n");
    for (request, state) in entries_by_request() {
        writeln!(page, "| {request} | {state} |").expect("a string");
    }
    page
}

/// The journals that a boot finds, with their names in the table.
fn journals() -> [(&'static str, Option<Phase>); 6] {
    [
        ("empty", None),
        ("Receiving", Some(receiving(4096))),
        ("Activating", Some(Phase::Activating { slot: SLOT, boots: 0 })),
        ("Activating, after five boots without a trial", Some(Phase::Activating { slot: SLOT, boots: 5 })),
        ("Concluded(Succeeded)", Some(Phase::Concluded(Outcome::Succeeded))),
        ("Concluded(Failed(reason))", Some(Phase::Concluded(Outcome::Failed(REASON)))),
    ]
}

/// The machine after a boot. The job in the journal was activated in `SLOT`, or succeeded there.
fn booted(phase: Option<Phase>, running: u8, digest: [u8; 32], trial: Trial) -> Machine {
    let ran = (phase == Some(Phase::Concluded(Outcome::Succeeded))).then_some(Ran { slot: SLOT, app: None });
    let execution = ExecutionId::of(JobId::new("job").expect("a plain id"));
    let record = phase.map(|phase| Record {
        execution,
        local: false,
        fingerprint: 5,
        image_bytes: 9,
        digest: DIGEST,
        phase,
        ran,
    });
    let config = AgentConfig::new("thing").expect("a plain name");
    Machine::at_boot(config, record, Boot { running, digest: Some(digest), trial, ..Boot::CONFIRMED }, 1, NOW)
}

fn state_of(machine: &Machine) -> String {
    machine.job.as_ref().map_or("Idle".into(), |job| name(&job.state()))
}

/// One row for each journal and running image; the trials that lead to the same state are together.
fn entries_at_boot() -> Vec<[String; 4]> {
    let other = [9; 32];
    let running = [("the job's", SLOT, DIGEST), ("another, in its slot", SLOT, other), ("another", 0, other)];
    let ended = |digest| Trial::Ended { slot: SLOT, digest, reason: REASON };
    let trials = [
        ("none", Trial::None),
        ("of the running image", Trial::Running),
        ("of the job's image, ended", ended(DIGEST)),
        ("of another image, ended", ended(other)),
        ("of the running image, ended and kept", Trial::Kept(REASON)),
    ];
    let mut rows: Vec<[String; 4]> = Vec::new();
    for (journal, phase) in journals() {
        for (image, slot, digest) in running {
            for (trial_name, trial) in trials {
                let row = [journal, image, trial_name].map(String::from);
                let state = state_of(&booted(phase, slot, digest, trial));
                let same = rows.iter_mut().find(|row| row[..2] == [journal, image] && row[3] == state);
                match same {
                    Some(same) => same[2] = format!("{}; {trial_name}", same[2]),
                    None => rows.push([row[0].clone(), row[1].clone(), row[2].clone(), state]),
                }
            }
        }
    }
    join(rows)
}

/// Makes one of rows that differ only in the running image.
fn join(rows: Vec<[String; 4]>) -> Vec<[String; 4]> {
    let mut joined: Vec<[String; 4]> = Vec::new();
    for row in rows {
        match joined.iter_mut().find(|one| one[0] == row[0] && one[2..] == row[2..]) {
            Some(one) => one[1] = format!("{}; {}", one[1], row[1]),
            None => joined.push(row),
        }
    }
    joined
}

/// The state in which a job of the service, or an update of the application, begins.
fn entries_by_request() -> [(&'static str, String); 4] {
    let plan = Plan::new(9, 5, Sources { stream: true, http: false }).expect("a plan");
    let offered = |phase, task| {
        let mut machine = booted(phase, 0, DIGEST, Trial::None);
        let id = ExecutionId::of(JobId::new("job").expect("a plain id"));
        let execution = Execution { id, status: Status::InProgress, version: 1 };
        machine.on(Event::Offer(Offer { execution, task }), NOW);
        state_of(&machine)
    };
    let mut local = booted(None, 0, DIGEST, Trial::None);
    assert!(local.update_now(plan, NOW));
    [
        ("a job with an update", offered(None, Task::Update(plan))),
        ("the job whose download is in the journal", offered(Some(receiving(4096)), Task::Update(plan))),
        ("a job that is unsuitable for this device", offered(None, Task::Refused(REASON))),
        ("an update of the application", state_of(&local)),
    ]
}

#[test]
fn states_md_is_the_print_of_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/states.md");
    if env::var_os("UPDATE").is_some() {
        fs::write(path, print()).expect("the page can be written");
    }
    assert_eq!(fs::read_to_string(path).expect("the page is there"), print(), "UPDATE=1 writes it");
}

/// From every state a job ends: no state waits for an input that nothing causes.
#[test]
fn every_state_leads_to_idle() {
    let kind = core::mem::discriminant::<State>;
    let mut reaching = HashSet::from([kind(&State::Idle)]);
    for _ in states() {
        for state in states() {
            let mut leads = inputs().into_iter().filter_map(|(_, input)| state.next(input, &CONTEXT));
            // After a reset the journal's job resumes, in `SelfTesting` or with its outcome.
            if matches!(state, State::Resetting) || leads.any(|to| reaching.contains(&kind(&to.next))) {
                reaching.insert(kind(&state));
            }
        }
    }
    assert!(states().iter().all(|state| reaching.contains(&kind(state))));
}

/// A failure that leaves the state would never be reported.
#[test]
fn a_failed_operation_always_leads_on() {
    let failed = Input::Done(Done::Failed(REASON));
    for state in states().iter().filter(|state| state.facts().operation.is_some_and(|it| it != Operation::Reset)) {
        assert!(state.next(failed, &CONTEXT).is_some(), "{state:?}");
    }
}

#[test]
fn a_cancellation_stops_every_state_before_the_boot_record_is_written_and_none_behind() {
    let stopped = |state: &State| state.next(Input::Cancelled, &CONTEXT).map(|to| (to.next, to.notice));
    let states = states();
    let boot_record = states.iter().position(|state| matches!(state, State::Activating { .. })).expect("a state");
    for (at, state) in states.iter().enumerate().filter(|(_, state)| !matches!(state, State::Reporting(_))) {
        let want = (at < boot_record).then_some((State::ClearingJournal, Some(Notice::Cancelled)));
        assert_eq!(stopped(state), want, "{state:?}");
        assert_eq!(state.facts().cancellable, at < boot_record, "{state:?}");
        let aborted = state.next(Input::Aborted, &CONTEXT).map(|to| to.next);
        let want = (at < boot_record).then_some(State::SavingOutcome(Outcome::Failed(Reason::AbortedByUser)));
        assert_eq!(aborted, want, "{state:?}");
    }
}

#[test]
fn a_local_job_has_nothing_to_report() {
    let local = Context { local: true, ..CONTEXT };
    let saved = State::SavingOutcome(Outcome::Succeeded).next(Input::Done(Done::JournalSaved), &local);
    assert_eq!(saved.map(|to| to.next), Some(State::ClearingJournal));
}

#[test]
fn the_slot_is_prepared_again_until_the_kept_bytes_end_at_a_block() {
    for (frontier_bytes, keep_bytes) in
        [(0, None), (1, Some(0)), (4_095, Some(0)), (8_192, None), (12_300, Some(12_288))]
    {
        let done = Input::Done(Done::Begun { slot: SLOT, frontier_bytes, evicted: None });
        let next = State::PreparingSlot { keep_bytes: 99_999 }.next(done, &CONTEXT).map(|to| to.next);
        let received = State::Receiving { slot: SLOT, resumed_bytes: frontier_bytes };
        assert_eq!(next, Some(keep_bytes.map_or(received, |keep_bytes| State::PreparingSlot { keep_bytes })));
    }
}
