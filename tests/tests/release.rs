//! A job that updates app and system of a device: both are confirmed, or neither. Power cuts are in `cuts.rs`.

use ota_agent::machine::Notice;
use ota_agent::{AgentState, Command};
use ota_jobs::{Reason, Status};
use ota_pal::{Component, Link, SlotId, Trial};
use ota_tests::fixtures::{WHILE_MS, order, run};
use ota_tests::job::{self, BOTH_COMPONENTS, Job, Kind, Order, Route};
use ota_tests::rng::Rng;
use ota_tests::sim::{Act, Ended, Flow, Setup, Simulation};

const BOTH: [Component; 2] = [Component::App, Component::System];
/// The files in the other order.
const SYSTEM_FIRST: [(u32, Link); 2] = [BOTH_COMPONENTS[1], BOTH_COMPONENTS[0]];
const LINKED: [(u32, Link); 4] = [
    (0x1B, Link::Only(SlotId::B)),
    (0x0A, Link::Only(SlotId::A)),
    (0x0B, Link::Only(SlotId::B)),
    (0x1A, Link::Only(SlotId::A)),
];
const NEW: [(SlotId, u32); 2] = [(SlotId::B, 2); 2];
const OLD: [(SlotId, u32); 2] = [(SlotId::A, 1); 2];

fn with_system() -> Simulation {
    Simulation::new(Setup { system: true, ..Setup::new(1) })
}

fn of(id: &str, kind: Kind, patch: u32) -> Order {
    Order { image_bytes: 12_000 + patch, ..order(id, kind, patch) }
}

fn confirmed(sim: &Simulation) -> [(SlotId, u32); 2] {
    BOTH.map(|component| sim.device.of(component).confirmed())
}

/// Whether the second file of the release is to be received next.
fn is_at_second_file(sim: &Simulation) -> bool {
    sim.checks.notices.iter().any(|notice| matches!(notice, Notice::VerifySucceeded { .. }))
}

/// Queues a job with a release whose second file was changed after it was signed.
fn queue_tampered(sim: &mut Simulation, files: &[(u32, Link)]) {
    let mut job = job::release(&of("tampered", Kind::Good, 2), files, &sim.device.signer, &mut Rng::new(3));
    let mut file = job.others[0].file.to_vec();
    file[5_000] ^= 1;
    (job.others[0].file, job.kind) = (file.into(), Kind::Tampered);
    sim.checks.released(&job);
    sim.queue(job);
}

#[test]
fn a_job_with_both_components_updates_both() {
    for route in [Route::Mqtt, Route::Http, Route::Both] {
        for files in [&BOTH_COMPONENTS[..], &SYSTEM_FIRST, &LINKED] {
            let mut sim = with_system();
            for (patch, slot) in [(2, SlotId::B), (3, SlotId::A), (4, SlotId::B)] {
                let id = format!("job-{patch}");
                sim.create_release(&Order { route, ..of(&id, Kind::Good, patch) }, files);
                run(&mut sim);
                assert_eq!(sim.verdict(&id), (Status::Succeeded, None), "{route:?} {files:?}");
                assert_eq!(confirmed(&sim), [(slot, patch); 2]);
                assert_eq!(BOTH.map(|component| sim.device.of(component).record().trial), [Trial::None; 2]);
            }
        }
    }
}

#[test]
fn a_trial_that_fails_or_hangs_rolls_back_both() {
    for (kind, reason) in
        [(Kind::FailsItsTest, Reason::SelfTestFailed), (Kind::HangsInItsTest, Reason::SelfTestTimedOut)]
    {
        for next in BOTH {
            let mut sim = with_system();
            sim.create_release(&of("bad", kind, 2), &BOTH_COMPONENTS);
            run(&mut sim);
            assert_eq!(sim.verdict("bad"), (Status::Failed, Some(reason)));
            assert_eq!(confirmed(&sim), OLD);
            sim.create(&Order { component: next, ..of("next", Kind::Good, 3) });
            run(&mut sim);
            assert_eq!(sim.verdict("next"), (Status::Succeeded, None));
            let other = BOTH.iter().position(|component| *component != next).expect("there are two");
            assert_eq!(confirmed(&sim)[other], (SlotId::A, 1), "nothing of the release is left");
        }
    }
}

#[test]
fn one_bad_file_refuses_the_release() {
    for files in [BOTH_COMPONENTS, SYSTEM_FIRST] {
        let mut sim = with_system();
        queue_tampered(&mut sim, &files);
        run(&mut sim);
        assert_eq!(sim.verdict("tampered"), (Status::Failed, Some(Reason::SignatureInvalid)));
        assert_eq!(confirmed(&sim), OLD);
    }
}

#[test]
fn a_release_that_runs_succeeds_without_a_block() {
    let mut sim = with_system();
    let job = sim.create_release(&of("first", Kind::Good, 2), &BOTH_COMPONENTS);
    run(&mut sim);
    sim.service.largest_request_bytes = 0;
    let again = Job { id: "again".into(), ..job };
    sim.checks.released(&again);
    sim.queue(again);
    run(&mut sim);
    assert_eq!(sim.verdict("again"), (Status::Succeeded, None));
    assert_eq!((confirmed(&sim), sim.service.largest_request_bytes), (NEW, 0));
}

#[test]
fn a_release_comes_through_a_reset_or_a_lost_connection_at_any_step() {
    let ready = || {
        let mut sim = with_system();
        sim.create_release(&of("job", Kind::Good, 2), &BOTH_COMPONENTS);
        sim
    };
    let mut whole = ready();
    run(&mut whole);
    for act in [Act::Reset, Act::Disconnect { ms: 500 }] {
        for at in 0..whole.steps {
            let mut sim = ready();
            let mut acted = false;
            let ended = sim.run(WHILE_MS, |sim| {
                if sim.steps >= at && !std::mem::replace(&mut acted, true) {
                    sim.act(act.clone());
                }
                Flow::Go
            });
            assert_eq!((&sim.checks.violations[..], ended), (&[][..], Ended::Quiet), "{act:?} at step {at}");
            assert_eq!((sim.verdict("job"), confirmed(&sim)), ((Status::Succeeded, None), NEW), "{act:?}, {at}");
        }
    }
}

#[test]
fn a_release_that_is_cancelled_at_its_second_file_leaves_nothing_to_a_later_system() {
    let mut sim = with_system();
    sim.create_release(&of("release", Kind::Good, 2), &BOTH_COMPONENTS);
    let mut is_cancelled = false;
    sim.run(WHILE_MS, |sim| {
        let is_received = sim.checks.progress.last().is_some_and(|progress| progress.done_bytes > 4_000);
        if is_at_second_file(sim) && is_received && !std::mem::replace(&mut is_cancelled, true) {
            sim.take_back("release", Status::Canceled);
            sim.create(&Order { component: Component::System, ..of("system", Kind::Good, 2) });
        }
        Flow::Go
    });
    assert_eq!(sim.checks.violations, [""; 0]);
    assert!(is_cancelled);
    assert_eq!(sim.verdict("release"), (Status::Canceled, None));
    assert_eq!(sim.verdict("system"), (Status::Succeeded, None));
    assert_eq!(confirmed(&sim), [(SlotId::A, 1), (SlotId::B, 2)], "the app is of the same release id, but of no job");
}

#[test]
fn an_app_that_is_damaged_after_its_verification_rolls_back_the_system() {
    let mut sim = with_system();
    sim.checks.allowed_failures = vec![Reason::TrialImageCorrupt];
    sim.create_release(&of("job", Kind::Good, 2), &BOTH_COMPONENTS);
    let mut is_damaged = false;
    sim.run(WHILE_MS, |sim| {
        if is_at_second_file(sim) && !std::mem::replace(&mut is_damaged, true) {
            sim.device.nor.burn(sim.device.layout.slot(SlotId::B).offset_bytes() + 5_000, &[0; 64]);
        }
        Flow::Go
    });
    assert_eq!(sim.checks.violations, [""; 0]);
    assert_eq!(sim.verdict("job"), (Status::Failed, Some(Reason::TrialImageCorrupt)));
    assert_eq!(confirmed(&sim), OLD);
}

/// The application sees two downloads, and one reset.
#[test]
fn the_two_files_of_a_release_are_two_downloads_and_one_trial() {
    let mut sim = with_system();
    sim.create_release(&of("job", Kind::Good, 2), &BOTH_COMPONENTS);
    run(&mut sim);
    let count = |is_it: fn(&Notice) -> bool| sim.checks.notices.iter().filter(|notice| is_it(notice)).count();
    assert_eq!(count(|notice| matches!(notice, Notice::UpdateAvailable { .. })), 2);
    assert_eq!(count(|notice| matches!(notice, Notice::VerifySucceeded { .. })), 2);
    assert_eq!(count(|notice| *notice == Notice::SelfTestStarted), 1);
    assert_eq!(sim.boots, 2);
    assert!(sim.checks.states.contains(&AgentState::Preparing));
}

/// The command concerns the app alone. The connection is lost after the trial began, so that the outcome waits.
#[test]
fn a_release_whose_app_is_rolled_back_before_its_success_is_reported_has_failed() {
    let mut sim = with_system();
    sim.create_release(&of("job", Kind::Good, 2), &BOTH_COMPONENTS);
    let (mut rollback, mut is_offline) = (Some(Act::Command(Command::RollBack)), false);
    sim.run(WHILE_MS, |sim| {
        if sim.boots > 1 && !std::mem::replace(&mut is_offline, true) {
            sim.act(Act::Disconnect { ms: 60_000 });
        }
        if sim.checks.states.last() == Some(&AgentState::Reporting)
            && let Some(rollback) = rollback.take()
        {
            sim.act(rollback);
        }
        Flow::Go
    });
    assert_eq!(sim.checks.violations, [""; 0]);
    assert_eq!(confirmed(&sim), [(SlotId::A, 1), (SlotId::B, 2)]);
    assert_eq!(sim.verdict("job"), (Status::Failed, Some(Reason::RolledBack)));
}
