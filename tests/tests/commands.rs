//! Commands of the application other than updates, over several boots: each is executed or refused with a named reason, and
//! reported.

use ota_agent::{Command, Notice};
use ota_jobs::{Reason, Status};
use ota_pal::{SlotId, Version};
use ota_tests::calm::{confirmed, order, run, world};
use ota_tests::job::Kind;
use ota_tests::world::{Act, Setup, World};

const OLD: Version = Version::new(1, 0, 1);
const NEW: Version = Version::new(1, 0, 2);

fn updated(world: &mut World, patch: u32) {
    let id = format!("job-{patch}");
    world.create(&order(&id, Kind::Good, patch));
    run(world);
    assert_eq!(world.verdict(&id), (Status::Succeeded, None));
}

/// The application's notices after `act`.
fn told(world: &mut World, act: Act) -> Notice {
    let before = world.notices().len();
    world.act(act);
    run(world);
    let of_a_check = |notice: &Notice| matches!(notice, Notice::CheckStarted | Notice::NoUpdate);
    let mut heard: Vec<_> = world.notices()[before..].iter().filter(|notice| !of_a_check(notice)).copied().collect();
    assert_eq!(heard.len(), 1, "{heard:?}");
    heard.remove(0)
}

#[test]
fn a_rollback_on_command_brings_the_earlier_image_back_and_is_told() {
    let mut world = world();
    updated(&mut world, 2);
    assert_eq!(told(&mut world, Act::Command(Command::RollBack)), Notice::RolledBack { to: SlotId::A.number() });
    assert_eq!(confirmed(&world), (SlotId::A, 1));
    updated(&mut world, 3);
}

#[test]
fn without_an_older_image_a_rollback_fails_by_name_and_the_device_still_runs() {
    let mut world = world();
    let boots = world.boots;
    assert_eq!(told(&mut world, Act::Command(Command::RollBack)), Notice::RollbackFailed(Reason::NoPreviousImage));
    assert_eq!((confirmed(&world), world.boots), ((SlotId::A, 1), boots + 1), "the one boot of the run, no reset");
    updated(&mut world, 2);
}

#[test]
fn a_factory_reset_leaves_the_factorys_image_alone_and_is_told() {
    let mut world = World::new(Setup { factory_slot: true, ..Setup::new(1) });
    updated(&mut world, 2);
    updated(&mut world, 3);
    assert_eq!(told(&mut world, Act::FactoryReset), Notice::FactoryReset);
    assert_eq!(confirmed(&world), (SlotId::FACTORY, 1));
    let rows: Vec<_> = world.device.record().images.iter().map(|(slot, image)| (slot, image.version)).collect();
    assert_eq!(rows, [(SlotId::FACTORY, OLD)]);
    updated(&mut world, 4);
}

#[test]
fn without_a_factory_slot_a_factory_reset_fails_by_name() {
    let mut world = world();
    updated(&mut world, 2);
    assert_eq!(told(&mut world, Act::FactoryReset), Notice::FactoryResetFailed(Reason::NoFactorySlot));
    assert_eq!(confirmed(&world), (SlotId::B, 2));
}

#[test]
fn a_stored_image_is_erased_by_its_version_and_the_running_one_is_not() {
    let mut world = world();
    updated(&mut world, 2);
    assert_eq!(told(&mut world, Act::Command(Command::EraseImages(NEW))), Notice::EraseFailed(Reason::SlotRuns));
    assert_eq!(told(&mut world, Act::Command(Command::EraseImages(OLD))), Notice::ImageErased((1, 0, 1)));
    assert_eq!(told(&mut world, Act::Command(Command::EraseImages(OLD))), Notice::EraseFailed(Reason::NoSuchImage));
    assert_eq!(told(&mut world, Act::Command(Command::RollBack)), Notice::RollbackFailed(Reason::NoPreviousImage));
    assert_eq!(confirmed(&world), (SlotId::B, 2));
}

#[test]
fn when_all_slots_hold_good_images_the_oldest_leaves_and_is_named() {
    let mut world = World::new(Setup { factory_slot: true, ..Setup::new(1) });
    for patch in 2..5 {
        updated(&mut world, patch);
    }
    let full = |world: &World| {
        let evicted = |notice: &Notice| match notice {
            Notice::StoreFull { evicted } => Some(*evicted),
            _ => None,
        };
        world.notices().iter().filter_map(evicted).collect::<Vec<_>>()
    };
    assert_eq!(full(&world), [], "three slots take three images");
    updated(&mut world, 5);
    updated(&mut world, 6);
    assert_eq!(full(&world), [(1, 0, 2), (1, 0, 3)]);
}

#[test]
fn while_a_job_is_at_hand_commands_wait_for_its_end() {
    let mut world = world();
    updated(&mut world, 2);
    world.create(&order("job-3", Kind::Good, 3));
    let mut asked = false;
    world.run(900_000, |world| {
        if !asked && world.checks.progress.last().is_some_and(|progress| progress.done_bytes > 20_000) {
            asked = true;
            world.act(Act::Command(Command::RollBack));
            world.act(Act::Command(Command::EraseImages(OLD)));
        }
        ota_tests::world::Flow::Go
    });
    let busy =
        |notice: &&Notice| matches!(notice, Notice::RollbackFailed(Reason::Busy) | Notice::EraseFailed(Reason::Busy));
    assert_eq!(world.notices().iter().filter(busy).count(), 2);
}
