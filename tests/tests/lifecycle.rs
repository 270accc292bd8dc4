//! Whole updates without faults: which image runs in the end, how jobs are discovered, and what follows a failed one.

use std::rc::Rc;

use ota_agent::{AgentConfig, Command, Discovery, Notice, StartRefused};
use ota_jobs::{Reason, Status};
use ota_pal::SlotId;
use ota_tests::fixtures::{WHILE_MS, confirmed, http_order, order, run, sim, sim_after};
use ota_tests::job::{Kind, Order, Route};
use ota_tests::sim::{Act, Ended, Flow, Setup, Simulation};
use ota_tests::verifier::Signer;

#[test]
fn an_accepted_image_stays_a_rejected_or_hanging_one_is_rolled_back() {
    for (kind, verdict, end) in [
        (Kind::Good, (Status::Succeeded, None), (SlotId::B, 2)),
        (Kind::FailsItsTest, (Status::Failed, Some(Reason::SelfTestFailed)), (SlotId::A, 1)),
        (Kind::HangsInItsTest, (Status::Failed, Some(Reason::SelfTestTimedOut)), (SlotId::A, 1)),
    ] {
        let sim = sim_after(kind);
        assert_eq!(sim.verdict("job"), verdict, "{kind:?}");
        assert_eq!(confirmed(&sim), end, "{kind:?}");
        assert_eq!(sim.boots, if kind == Kind::Good { 2 } else { 3 }, "{kind:?}");
    }
}

#[test]
fn both_transports_bring_the_same_image() {
    for route in [Route::Mqtt, Route::Http, Route::Both] {
        let mut sim = sim();
        let job = sim.job(&Order { route, ..order("job", Kind::Good, 2) });
        let file = job.file.clone();
        sim.queue(job);
        run(&mut sim);
        let at = sim.device.layout.slot(SlotId::B).offset_bytes();
        assert_eq!(sim.device.nor.bytes(at, file.len() as u32), *file, "{route:?}");
    }
}

#[test]
fn however_wide_the_window_one_request_asks_for_at_most_128_kib() {
    let mut setup = Setup { slot_sectors: 300, ..Setup::new(1) };
    setup.config = AgentConfig::new("thing").expect("a plain name");
    setup.config.window_bytes_start = 524_288;
    let mut sim = Simulation::new(setup);
    sim.create(&Order { image_bytes: 1_048_576, ..order("job", Kind::Good, 2) });
    run(&mut sim);
    assert_eq!(sim.service.largest_request_bytes, 131_072);
    assert_eq!(sim.verdict("job"), (Status::Succeeded, None));
}

/// A simulation whose agent polls, or waits for notices.
const POLLED: Discovery = Discovery::Polled { every_ms: 5_000, jitter_ms: 0, polls_max: None };

fn sim_with(discovery: Discovery) -> Simulation {
    let mut setup = Setup::new(1);
    setup.config.discovery = discovery;
    Simulation::new(setup)
}

/// Performs `act` after half a minute without events, and runs until a job has succeeded.
fn later(sim: &mut Simulation, act: impl Fn(&mut Simulation)) -> Ended {
    sim.alarm_ms = Some(30_000);
    sim.run(WHILE_MS, |sim| {
        if sim.alarm_ms.is_some_and(|at_ms| at_ms <= sim.now_ms) {
            sim.alarm_ms = None;
            act(sim);
        }
        let succeeded = sim.service.entries.iter().any(|entry| entry.status == Status::Succeeded);
        if succeeded { Flow::Stop } else { Flow::Go }
    })
}

#[test]
fn both_ways_of_discovery_find_a_job_that_comes_later() {
    for discovery in [Discovery::Notified, POLLED] {
        let mut sim = sim_with(discovery);
        let ended = later(&mut sim, |sim| sim.create(&order("job", Kind::Good, 2)));
        assert_eq!(ended, Ended::Stopped, "{discovery:?}");
    }
}

#[test]
fn polling_alone_finds_a_job_whose_notices_go_nowhere() {
    let without_notices = |sim: &mut Simulation| {
        let job = sim.job(&order("job", Kind::Good, 2));
        sim.service.create(job, sim.now_ms);
    };
    let mut polling = sim_with(POLLED);
    assert_eq!(later(&mut polling, without_notices), Ended::Stopped);
    let mut waiting = sim_with(Discovery::Notified);
    assert_eq!(later(&mut waiting, without_notices), Ended::Quiet, "it received no notification");
}

#[test]
fn after_a_refused_job_the_next_one_works_without_a_restart() {
    for kind in Kind::ALL {
        if matches!(kind, Kind::Good | Kind::FailsItsTest | Kind::HangsInItsTest) {
            continue; // these end with a restart
        }
        let mut sim = sim();
        sim.create(&order("bad", kind, if kind == Kind::NotNewer { 1 } else { 2 }));
        sim.create(&order("good", Kind::Good, 3));
        run(&mut sim);
        let (status, reason) = sim.verdict("bad");
        assert_eq!((Some(status), reason), (reason.map(Reason::status), kind.reasons().first().copied()), "{kind:?}");
        assert_eq!(sim.verdict("good"), (Status::Succeeded, None), "{kind:?}");
        assert_eq!(sim.boots, 2, "{kind:?}: one reset, into the good image");
    }
}

#[test]
fn after_an_image_that_failed_its_test_the_next_one_works() {
    let mut sim = sim();
    sim.create(&order("bad", Kind::FailsItsTest, 2));
    sim.create(&order("good", Kind::Good, 3));
    run(&mut sim);
    assert_eq!(sim.verdict("good"), (Status::Succeeded, None));
    assert_eq!(confirmed(&sim), (SlotId::B, 3));
}

#[test]
fn the_image_that_runs_already_succeeds_without_a_reset() {
    let mut sim = sim();
    let job = sim.job(&order("first", Kind::Good, 2));
    let again = ota_tests::job::Job { id: "again".into(), ..job.clone() };
    sim.checks.released(&again);
    sim.queue(job);
    sim.queue(again);
    run(&mut sim);
    assert_eq!(sim.verdict("again"), (Status::Succeeded, None));
    assert_eq!(sim.boots, 2);
}

#[test]
fn one_call_takes_the_device_from_version_1_to_version_2_and_touches_no_job() {
    let mut sim = sim();
    let job = sim.job(&http_order("offered", Kind::Good, 2));
    let document = job.document.clone();
    sim.queue(job); // its server has the file
    sim.take_back("offered", Status::Canceled);
    sim.act(Act::UpdateNow(document.clone()));
    sim.act(Act::UpdateNow(document));
    run(&mut sim);
    assert_eq!(sim.checks.refused, [StartRefused::Busy], "the second call came during the first update");
    assert_eq!(confirmed(&sim), (SlotId::B, 2));
    assert_eq!(sim.service.updates.len(), 0);
}

#[test]
fn a_call_with_a_document_that_cannot_work_changes_nothing() {
    for (kind, refused) in [
        (Kind::Unsigned, StartRefused::Unsuitable(Reason::SignatureMissing)),
        (Kind::Custom, StartRefused::NotAnUpdate),
        (Kind::DocumentTooDeep, StartRefused::Unsuitable(Reason::DocumentTooDeep)),
    ] {
        let mut sim = sim();
        let document = sim.job(&order("x", kind, 2)).document;
        sim.act(Act::UpdateNow(document));
        run(&mut sim);
        assert_eq!(sim.checks.refused, [refused], "{kind:?}");
        assert_eq!(sim.notices(), [Notice::CheckStarted, Notice::NoUpdate], "{kind:?}");
    }
}

#[test]
fn of_three_jobs_only_the_one_that_an_approved_signer_signed_is_installed() {
    let mut sim = sim();
    sim.device.signer = Rc::new(Signer::new("ours", true));
    let refused = [("unsigned", Kind::Unsigned), ("foreign", Kind::ForeignKey)];
    for (id, kind) in refused {
        sim.create(&order(id, kind, 2));
    }
    sim.create(&order("signed", Kind::Good, 2));
    run(&mut sim);
    let reasons = [Reason::SignatureMissing, Reason::SignatureInvalid];
    for ((id, _), reason) in refused.into_iter().zip(reasons) {
        assert_eq!(sim.verdict(id).1, Some(reason), "{id}");
    }
    assert_eq!((sim.verdict("signed"), confirmed(&sim)), ((Status::Succeeded, None), (SlotId::B, 2)));
}

#[test]
fn an_unsigned_image_runs_on_a_device_that_accepts_unsigned_images() {
    let mut sim = sim();
    sim.device.signer = Rc::new(Signer::Nobody);
    sim.create(&order("job", Kind::Good, 2));
    run(&mut sim);
    assert_eq!((sim.verdict("job"), confirmed(&sim)), ((Status::Succeeded, None), (SlotId::B, 2)));
}

#[test]
fn a_kind_of_signature_that_no_key_makes_is_refused_before_anything_is_fetched() {
    for kind in ["sig-sha256-ed25519", "sig-sha256-rsa"] {
        let mut sim = sim();
        sim.device.signer = Rc::new(Signer::new("ours", true));
        let document = sim.job(&order("x", Kind::Good, 2)).document;
        sim.act(Act::UpdateNow(document.replace("sig-sha256-ecdsa", kind)));
        run(&mut sim);
        assert_eq!(sim.checks.refused, [StartRefused::Unsuitable(Reason::UnknownSignatureKind)], "{kind}");
    }
}

#[test]
fn a_job_that_the_user_aborts_is_aborted_and_the_old_image_stays() {
    let mut sim = sim();
    sim.create(&order("job", Kind::Good, 2));
    sim.checks.allowed_failures.push(Reason::AbortedByUser);
    let mut aborted = false;
    sim.run(WHILE_MS, |sim| {
        if !aborted && sim.checks.progress.len() == 40 {
            aborted = true;
            sim.act(Act::Command(Command::Abort));
        }
        Flow::Go
    });
    assert_eq!(sim.checks.violations, [] as [String; 0]);
    assert_eq!(sim.verdict("job"), (Status::Failed, Some(Reason::AbortedByUser)));
    assert_eq!((confirmed(&sim), sim.boots), ((SlotId::A, 1), 1));
}

#[test]
fn the_image_goes_to_the_slot_that_does_not_run() {
    let mut sim = sim();
    for (patch, slot) in [(2, SlotId::B), (3, SlotId::A), (4, SlotId::B)] {
        let running = confirmed(&sim).0;
        let before = sim.device.image_digest(running);
        sim.create(&order(&format!("job-{patch}"), Kind::Good, patch));
        run(&mut sim);
        assert_eq!((confirmed(&sim), sim.device.image_digest(running)), ((slot, patch), before));
    }
}
