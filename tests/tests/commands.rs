//! Commands of the application other than updates, over several boots: each is executed or refused with a named reason, and
//! reported.

use ota_agent::{Command, Notice};
use ota_jobs::{Reason, Status};
use ota_pal::{SlotId, Version};
use ota_tests::fixtures::{confirmed, order, run, sim};
use ota_tests::job::Kind;
use ota_tests::sim::{Act, Setup, Simulation};

const OLD: Version = Version::new(1, 0, 1);
const NEW: Version = Version::new(1, 0, 2);

fn updated(sim: &mut Simulation, patch: u32) {
    let id = format!("job-{patch}");
    sim.create(&order(&id, Kind::Good, patch));
    run(sim);
    assert_eq!(sim.verdict(&id), (Status::Succeeded, None));
}

/// The application's notices after `act`.
fn notice_after(sim: &mut Simulation, act: Act) -> Notice {
    let before = sim.notices().len();
    sim.act(act);
    run(sim);
    let of_a_check = |notice: &Notice| matches!(notice, Notice::CheckStarted | Notice::NoUpdate);
    let mut notices: Vec<_> = sim.notices()[before..].iter().filter(|notice| !of_a_check(notice)).copied().collect();
    assert_eq!(notices.len(), 1, "{notices:?}");
    notices.remove(0)
}

#[test]
fn a_rollback_on_command_restores_the_earlier_image_and_is_reported() {
    let mut sim = sim();
    updated(&mut sim, 2);
    assert_eq!(notice_after(&mut sim, Act::Command(Command::RollBack)), Notice::RolledBack { to: SlotId::A.number() });
    assert_eq!(confirmed(&sim), (SlotId::A, 1));
    updated(&mut sim, 3);
}

#[test]
fn without_an_older_image_a_rollback_fails_by_name_and_the_device_still_runs() {
    let mut sim = sim();
    let boots = sim.boots;
    assert_eq!(
        notice_after(&mut sim, Act::Command(Command::RollBack)),
        Notice::RollbackFailed(Reason::NoPreviousImage)
    );
    assert_eq!((confirmed(&sim), sim.boots), ((SlotId::A, 1), boots + 1), "the one boot of the run, no reset");
    updated(&mut sim, 2);
}

#[test]
fn a_factory_reset_leaves_the_factory_image_unchanged_and_is_reported() {
    let mut sim = Simulation::new(Setup { factory_slot: true, ..Setup::new(1) });
    updated(&mut sim, 2);
    updated(&mut sim, 3);
    assert_eq!(notice_after(&mut sim, Act::FactoryReset), Notice::FactoryReset);
    assert_eq!(confirmed(&sim), (SlotId::FACTORY, 1));
    let rows: Vec<_> = sim.device.record().images.iter().map(|(slot, image)| (slot, image.version)).collect();
    assert_eq!(rows, [(SlotId::FACTORY, OLD)]);
    updated(&mut sim, 4);
}

#[test]
fn without_a_factory_slot_a_factory_reset_fails_by_name() {
    let mut sim = sim();
    updated(&mut sim, 2);
    assert_eq!(notice_after(&mut sim, Act::FactoryReset), Notice::FactoryResetFailed(Reason::NoFactorySlot));
    assert_eq!(confirmed(&sim), (SlotId::B, 2));
}

#[test]
fn a_stored_image_is_erased_by_its_version_and_the_running_one_is_not() {
    let mut sim = sim();
    updated(&mut sim, 2);
    assert_eq!(notice_after(&mut sim, Act::Command(Command::EraseImages(NEW))), Notice::EraseFailed(Reason::SlotRuns));
    assert_eq!(notice_after(&mut sim, Act::Command(Command::EraseImages(OLD))), Notice::ImageErased((1, 0, 1)));
    assert_eq!(
        notice_after(&mut sim, Act::Command(Command::EraseImages(OLD))),
        Notice::EraseFailed(Reason::NoSuchImage)
    );
    assert_eq!(
        notice_after(&mut sim, Act::Command(Command::RollBack)),
        Notice::RollbackFailed(Reason::NoPreviousImage)
    );
    assert_eq!(confirmed(&sim), (SlotId::B, 2));
}

#[test]
fn when_all_slots_hold_good_images_the_oldest_leaves_and_is_named() {
    let mut sim = Simulation::new(Setup { factory_slot: true, ..Setup::new(1) });
    for patch in 2..5 {
        updated(&mut sim, patch);
    }
    let full = |sim: &Simulation| {
        let evicted = |notice: &Notice| match notice {
            Notice::StoreFull { evicted } => Some(*evicted),
            _ => None,
        };
        sim.notices().iter().filter_map(evicted).collect::<Vec<_>>()
    };
    assert_eq!(full(&sim), [], "three slots take three images");
    updated(&mut sim, 5);
    updated(&mut sim, 6);
    assert_eq!(full(&sim), [(1, 0, 2), (1, 0, 3)]);
}

#[test]
fn while_a_job_is_at_hand_commands_wait_for_its_end() {
    let mut sim = sim();
    updated(&mut sim, 2);
    sim.create(&order("job-3", Kind::Good, 3));
    let mut asked = false;
    sim.run(900_000, |sim| {
        if !asked && sim.checks.progress.last().is_some_and(|progress| progress.done_bytes > 20_000) {
            asked = true;
            sim.act(Act::Command(Command::RollBack));
            sim.act(Act::Command(Command::EraseImages(OLD)));
        }
        ota_tests::sim::Flow::Go
    });
    let busy =
        |notice: &&Notice| matches!(notice, Notice::RollbackFailed(Reason::Busy) | Notice::EraseFailed(Reason::Busy));
    assert_eq!(sim.notices().iter().filter(busy).count(), 2);
}
