//! A device whose system is a component apart from the app: each is updated, tried and rolled back by itself. Power cuts are in
//! `cuts.rs`.

use ota_jobs::{Reason, Status};
use ota_pal::{BootRecord, Component, Digest, Link, Signature, SignatureKind, SlotId, Trial, poll_ready};
use ota_tests::fixtures::{WHILE_MS, order, run, sim};
use ota_tests::image::{Behaviour, header, image};
use ota_tests::job::{Job, Kind, Order, Route};
use ota_tests::nor::{PlainView, View};
use ota_tests::rng::Rng;
use ota_tests::sim::{Act, Ended, Flow, Setup, Simulation};

const BOTH: [Component; 2] = [Component::App, Component::System];

fn with_system() -> Simulation {
    Simulation::new(Setup { system: true, ..Setup::new(1) })
}

fn other_of(component: Component) -> Component {
    if component == Component::App { Component::System } else { Component::App }
}

fn of(component: Component, id: &str, kind: Kind, patch: u32) -> Order {
    Order { component, image_bytes: 12_000 + patch, ..order(id, kind, patch) }
}

/// What must not change: the boot record, and of the confirmed image slot, version and digest.
fn state(sim: &Simulation, component: Component) -> (BootRecord, (SlotId, u32), Option<Digest>) {
    let device = sim.device.of(component);
    (device.record(), device.confirmed(), device.image_digest(device.record().confirmed))
}

fn refused(sim: &Simulation, job: &str, reason: Reason) {
    assert_eq!(sim.verdict(job), (reason.status(), Some(reason)));
}

#[test]
fn an_update_of_one_component_leaves_digest_version_and_boot_record_of_the_other() {
    for component in BOTH {
        for route in [Route::Mqtt, Route::Http, Route::Both] {
            let mut sim = with_system();
            for (patch, slot) in [(2, SlotId::B), (3, SlotId::A)] {
                let (other, id) = (state(&sim, other_of(component)), format!("job-{patch}"));
                sim.create(&Order { route, ..of(component, &id, Kind::Good, patch) });
                run(&mut sim);
                assert_eq!(sim.verdict(&id), (Status::Succeeded, None), "{component:?} {route:?}");
                assert_eq!(sim.device.of(component).confirmed(), (slot, patch));
                assert_eq!(state(&sim, other_of(component)), other);
            }
        }
    }
}

#[test]
fn both_components_are_updated_one_after_the_other() {
    let mut sim = with_system();
    for (patch, component) in (2..8).zip([BOTH[1], BOTH[0], BOTH[0], BOTH[1], BOTH[1], BOTH[0]]) {
        let id = format!("job-{patch}");
        sim.create(&of(component, &id, Kind::Good, patch));
    }
    run(&mut sim);
    for patch in 2..8 {
        assert_eq!(sim.verdict(&format!("job-{patch}")), (Status::Succeeded, None), "{patch}");
    }
    assert_eq!(BOTH.map(|component| sim.device.of(component).confirmed().1), [7, 6]);
}

#[test]
fn a_trial_that_fails_or_hangs_rolls_back_its_component_only() {
    for component in BOTH {
        for (kind, reason) in
            [(Kind::FailsItsTest, Reason::SelfTestFailed), (Kind::HangsInItsTest, Reason::SelfTestTimedOut)]
        {
            let mut sim = with_system();
            let other = state(&sim, other_of(component));
            sim.create(&of(component, "bad", kind, 2));
            run(&mut sim);
            refused(&sim, "bad", reason);
            assert_eq!(sim.device.of(component).confirmed(), (SlotId::A, 1));
            assert_eq!(state(&sim, other_of(component)), other);
            sim.create(&of(other_of(component), "good", Kind::Good, 3));
            run(&mut sim);
            assert_eq!(sim.verdict("good"), (Status::Succeeded, None));
        }
    }
}

#[test]
fn each_kind_of_bad_image_of_the_system_is_refused_by_name() {
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Good) {
        let mut sim = with_system();
        sim.create(&of(Component::System, "job", kind, if kind == Kind::NotNewer { 1 } else { 2 }));
        run(&mut sim);
        refused(&sim, "job", kind.reasons()[0]);
        assert_eq!(BOTH.map(|component| sim.device.of(component).confirmed()), [(SlotId::A, 1); 2], "{kind:?}");
    }
}

#[test]
fn a_device_without_a_system_refuses_its_file_before_any_block() {
    for file_type in [0x10, 0x1B] {
        let mut sim = sim();
        sim.checks.allowed_failures = vec![Reason::NoFileForThisDevice];
        sim.create_release(&order("job", Kind::Good, 2), &[(file_type, Link::Any)]);
        run(&mut sim);
        refused(&sim, "job", Reason::NoFileForThisDevice);
        assert_eq!(sim.service.largest_request_bytes, 0);
    }
}

#[test]
fn a_system_that_is_linked_for_a_slot_is_received_for_its_free_one() {
    let mut sim = with_system();
    let files = [(0x1A, Link::Only(SlotId::A)), (0x1B, Link::Only(SlotId::B))];
    for (patch, slot) in [(2, SlotId::B), (3, SlotId::A)] {
        sim.create_release(&of(Component::System, &format!("job-{patch}"), Kind::Good, patch), &files);
        run(&mut sim);
        assert_eq!(sim.device.of(Component::System).confirmed(), (slot, patch));
    }
    assert_eq!(sim.device.confirmed(), (SlotId::A, 1));
}

/// The app runs from another slot than the system.
#[test]
fn a_system_that_runs_already_succeeds_at_a_reset_at_any_step() {
    let ready = || {
        let mut sim = with_system();
        let job = sim.job(&of(Component::System, "first", Kind::Good, 2));
        sim.queue(job.clone());
        run(&mut sim);
        let again = Job { id: "again".into(), ..job };
        sim.checks.released(&again);
        sim.queue(again);
        sim
    };
    let steps = {
        let mut sim = ready();
        let before = sim.steps;
        run(&mut sim);
        before..sim.steps
    };
    for at in steps {
        let mut sim = ready();
        let mut reset = false;
        let ended = sim.run(WHILE_MS, |sim| {
            if sim.steps >= at && !std::mem::replace(&mut reset, true) {
                sim.act(Act::Reset);
            }
            Flow::Go
        });
        assert_eq!((&sim.checks.violations[..], ended), (&[][..], Ended::Quiet), "step {at}");
        assert_eq!(sim.verdict("again"), (Status::Succeeded, None), "step {at}");
    }
}

#[test]
fn a_system_that_was_installed_by_cable_is_tested_and_confirmed() {
    for (behaviour, confirmed) in [(Behaviour::Passes, (SlotId::B, 2)), (Behaviour::Fails, (SlotId::A, 1))] {
        let mut sim = with_system();
        let other = state(&sim, Component::App);
        install(&sim, behaviour);
        sim.checks.touched(&sim.device, 0);
        sim.checks.violations.clear();
        run_with_installed(&mut sim);
        let system = sim.device.of(Component::System);
        assert_eq!(system.confirmed(), confirmed);
        assert!(!matches!(system.record().trial, Trial::Pending { .. } | Trial::Started { .. }));
        assert_eq!(state(&sim, Component::App), other);
    }
}

/// Writes version 1.0.2 of the system and starts its trial, without an agent.
fn install(sim: &Simulation, behaviour: Behaviour) {
    let system = sim.device.of(Component::System);
    let header = header(2, 9_000, behaviour, ota_pal::RollbackCounters::default());
    let file = image(&ota_pal::Header { component: Component::System, ..header }, &mut Rng::new(7));
    let der = system.signer.sign(&file);
    let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &der };
    let flash: PlainView = View(system.nor.clone());
    let mut board = system.platform(flash, SlotId::A, 0);
    let installed = poll_ready(async {
        let begun = board.begin(file.len() as u32, 0).await?;
        board.write(0, &file).await?;
        let digest = board.verify(Some(&signature), "cable").await?;
        board.activate(begun.slot, &digest, file.len() as u32).await
    });
    installed.expect("memory never waits").expect("a good image");
}

/// Runs until no event is left. For the checks, the installed image is not a verified one.
fn run_with_installed(sim: &mut Simulation) {
    let ended = sim.run(WHILE_MS, |_| Flow::Go);
    assert_eq!(ended, Ended::Quiet);
    let unknown = |violation: &String| violation.contains("the running image was verified");
    assert!(sim.checks.violations.iter().all(unknown), "{:?}", sim.checks.violations);
}
