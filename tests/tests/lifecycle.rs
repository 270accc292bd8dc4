//! Whole updates without faults: which image runs in the end, how jobs are discovered, and what follows a failed one.

use std::rc::Rc;

use ota_agent::{AgentConfig, Command, Discovery, Notice, StartRefused};
use ota_jobs::{Reason, Status};
use ota_pal::SlotId;
use ota_tests::calm::{WHILE_MS, confirmed, http_order, order, run, world, world_after};
use ota_tests::job::{Kind, Order, Route};
use ota_tests::verifier::Signer;
use ota_tests::world::{Act, Ended, Flow, Setup, World};

#[test]
fn an_accepted_image_stays_a_rejected_one_goes_and_a_silent_one_goes_too() {
    for (kind, verdict, end) in [
        (Kind::Good, (Status::Succeeded, None), (SlotId::B, 2)),
        (Kind::FailsItsTest, (Status::Failed, Some(Reason::SelfTestFailed)), (SlotId::A, 1)),
        (Kind::HangsInItsTest, (Status::Failed, Some(Reason::SelfTestTimedOut)), (SlotId::A, 1)),
    ] {
        let world = world_after(kind);
        assert_eq!(world.verdict("job"), verdict, "{kind:?}");
        assert_eq!(confirmed(&world), end, "{kind:?}");
        assert_eq!(world.boots, if kind == Kind::Good { 2 } else { 3 }, "{kind:?}");
    }
}

#[test]
fn both_transports_bring_the_same_image() {
    for route in [Route::Mqtt, Route::Http, Route::Both] {
        let mut world = world();
        let job = world.job(&Order { route, ..order("job", Kind::Good, 2) });
        let file = job.file.clone();
        world.queue(job);
        run(&mut world);
        let at = world.device.layout.slot(SlotId::B).offset_bytes();
        assert_eq!(world.device.nor.bytes(at, file.len() as u32), *file, "{route:?}");
    }
}

#[test]
fn however_wide_the_window_one_request_asks_for_at_most_128_kib() {
    let mut setup = Setup { slot_sectors: 300, ..Setup::new(1) };
    setup.config = AgentConfig::new("thing").expect("a plain name");
    setup.config.window_bytes_start = 524_288;
    let mut world = World::new(setup);
    world.create(&Order { image_bytes: 1_048_576, ..order("job", Kind::Good, 2) });
    run(&mut world);
    assert_eq!(world.service.largest_request_bytes, 131_072);
    assert_eq!(world.verdict("job"), (Status::Succeeded, None));
}

/// A simulation whose agent polls, or waits for notices.
fn world_with(discovery: Discovery) -> World {
    let mut setup = Setup::new(1);
    setup.config.discovery = discovery;
    World::new(setup)
}

/// Performs `act` after half a minute without events, and runs until a job has succeeded.
fn later(world: &mut World, act: impl Fn(&mut World)) -> Ended {
    world.alarm_ms = Some(30_000);
    world.run(WHILE_MS, |world| {
        if world.alarm_ms.is_some_and(|at_ms| at_ms <= world.now_ms) {
            world.alarm_ms = None;
            act(world);
        }
        let succeeded = world.service.entries.iter().any(|entry| entry.status == Status::Succeeded);
        if succeeded { Flow::Stop } else { Flow::Go }
    })
}

#[test]
fn both_ways_of_discovery_find_a_job_that_comes_later() {
    for discovery in [Discovery::Notified, Discovery::Polled { every_ms: 5_000 }] {
        let mut world = world_with(discovery);
        let ended = later(&mut world, |world| world.create(&order("job", Kind::Good, 2)));
        assert_eq!(ended, Ended::Stopped, "{discovery:?}");
    }
}

#[test]
fn polling_alone_finds_a_job_whose_notices_go_nowhere() {
    let unheard = |world: &mut World| {
        let job = world.job(&order("job", Kind::Good, 2));
        world.service.create(job, world.now_ms);
    };
    let mut polling = world_with(Discovery::Polled { every_ms: 5_000 });
    assert_eq!(later(&mut polling, unheard), Ended::Stopped);
    let mut waiting = world_with(Discovery::Notified);
    assert_eq!(later(&mut waiting, unheard), Ended::Quiet, "it received no notification");
}

#[test]
fn after_a_refused_job_the_next_one_works_without_a_restart() {
    for kind in Kind::ALL {
        if matches!(kind, Kind::Good | Kind::FailsItsTest | Kind::HangsInItsTest) {
            continue; // these end with a restart
        }
        let mut world = world();
        world.create(&order("bad", kind, if kind == Kind::NotNewer { 1 } else { 2 }));
        world.create(&order("good", Kind::Good, 3));
        run(&mut world);
        let (status, reason) = world.verdict("bad");
        assert_eq!((Some(status), reason), (reason.map(Reason::status), kind.reasons().first().copied()), "{kind:?}");
        assert_eq!(world.verdict("good"), (Status::Succeeded, None), "{kind:?}");
        assert_eq!(world.boots, 2, "{kind:?}: one reset, into the good image");
    }
}

#[test]
fn after_an_image_that_failed_its_test_the_next_one_works() {
    let mut world = world();
    world.create(&order("bad", Kind::FailsItsTest, 2));
    world.create(&order("good", Kind::Good, 3));
    run(&mut world);
    assert_eq!(world.verdict("good"), (Status::Succeeded, None));
    assert_eq!(confirmed(&world), (SlotId::B, 3));
}

#[test]
fn the_image_that_runs_already_succeeds_without_a_reset() {
    let mut world = world();
    let job = world.job(&order("first", Kind::Good, 2));
    let again = ota_tests::job::Job { id: "again".into(), ..job.clone() };
    world.checks.released(&again);
    world.queue(job);
    world.queue(again);
    run(&mut world);
    assert_eq!(world.verdict("again"), (Status::Succeeded, None));
    assert_eq!(world.boots, 2);
}

#[test]
fn one_call_takes_the_device_from_version_1_to_version_2_and_touches_no_job() {
    let mut world = world();
    let job = world.job(&http_order("offered", Kind::Good, 2));
    let document = job.document.clone();
    world.queue(job); // its server has the file
    world.take_back("offered", Status::Canceled);
    world.act(Act::UpdateNow(document.clone()));
    world.act(Act::UpdateNow(document));
    run(&mut world);
    assert_eq!(world.checks.refused, [StartRefused::Busy], "the second call came during the first update");
    assert_eq!(confirmed(&world), (SlotId::B, 2));
    assert_eq!(world.service.words.len(), 0);
}

#[test]
fn a_call_with_a_document_that_cannot_work_changes_nothing() {
    for (kind, refused) in [
        (Kind::Unsigned, StartRefused::Document(Reason::SignatureMissing)),
        (Kind::Custom, StartRefused::NotAnUpdate),
        (Kind::DocumentTooDeep, StartRefused::Document(Reason::DocumentTooDeep)),
    ] {
        let mut world = world();
        let document = world.job(&order("x", kind, 2)).document;
        world.act(Act::UpdateNow(document));
        run(&mut world);
        assert_eq!(world.checks.refused, [refused], "{kind:?}");
        assert_eq!(world.notices(), [Notice::CheckStarted, Notice::NoUpdate], "{kind:?}");
    }
}

#[test]
fn an_unsigned_image_comes_to_run_on_a_bench_that_says_it_takes_such() {
    let mut world = world();
    world.device.signer = Rc::new(Signer::Nobody);
    world.create(&order("job", Kind::Good, 2));
    run(&mut world);
    assert_eq!((world.verdict("job"), confirmed(&world)), ((Status::Succeeded, None), (SlotId::B, 2)));
}

#[test]
fn a_kind_of_signature_that_no_key_makes_is_refused_before_anything_is_fetched() {
    for kind in ["sig-sha256-ed25519", "sig-sha256-rsa"] {
        let mut world = world();
        world.device.signer = Rc::new(Signer::new("ours", true));
        let document = world.job(&order("x", Kind::Good, 2)).document;
        world.act(Act::UpdateNow(document.replace("sig-sha256-ecdsa", kind)));
        run(&mut world);
        assert_eq!(world.checks.refused, [StartRefused::Document(Reason::UnknownSignatureKind)], "{kind}");
    }
}

#[test]
fn a_job_that_the_user_gives_up_is_aborted_and_the_old_image_stays() {
    let mut world = world();
    world.create(&order("job", Kind::Good, 2));
    world.checks.excuses.push(Reason::AbortedByUser);
    let mut aborted = false;
    world.run(WHILE_MS, |world| {
        if !aborted && world.checks.progress.len() == 40 {
            aborted = true;
            world.act(Act::Command(Command::Abort));
        }
        Flow::Go
    });
    assert_eq!(world.checks.violations, [] as [String; 0]);
    assert_eq!(world.verdict("job"), (Status::Failed, Some(Reason::AbortedByUser)));
    assert_eq!((confirmed(&world), world.boots), ((SlotId::A, 1), 1));
}

#[test]
fn the_image_goes_to_the_slot_that_does_not_run() {
    let mut world = world();
    for (patch, slot) in [(2, SlotId::B), (3, SlotId::A), (4, SlotId::B)] {
        let running = confirmed(&world).0;
        let before = world.device.image_digest(running);
        world.create(&order(&format!("job-{patch}"), Kind::Good, patch));
        run(&mut world);
        assert_eq!((confirmed(&world), world.device.image_digest(running)), ((slot, patch), before));
    }
}
