//! Tests of the image database over whole updates, of rollback on command, of erasing, and of the factory image up to
//! the request of a reset. The reset itself is in the tests of `ota-boot`.

use super::super::super::flash::Flash;
use super::super::super::flash::boot_records::BootRecords;
use super::super::super::flash::floors::MonotonicRecords;
use super::super::super::flash::records::Records;
use super::super::super::testing::{CUTS, Ram, header, image, public_key, run, sha256, sign, signing_key};
use super::super::tests::{Counted, Device, NoReset, Nor, SECTOR, receive, running_image, verify};
use super::super::{DeviceConfig, Native, OwnSelector};
use crate::image::accept::VersionRule;
use crate::image::digest::Digest;
use crate::image::hardware::HardwareId;
use crate::image::header::{Component, Header};
use crate::image::slot::SlotId;
use crate::image::version::Version;
use crate::platform::config::TRIAL_ATTEMPTS_DEFAULT;
use crate::platform::hooks::NoWatchdog;
use crate::refusal::Refusal;
use crate::store::boot_record;
use crate::store::boot_record::{BootRecord, Trial};
use crate::store::images::{ImageStatus, Images};
use crate::store::layout::{Geometry, Layout};
use crate::store::monotonic::RollbackCounters;
use crate::verify::keys::KeySet;
use crate::verify::signature::Signature;
use crate::verify::signature::{SignatureKind, SignatureRefusal};
use std::vec::Vec;

/// Returns the layout of a device with three slots and a factory slot, on the same flash part as in the other tests.
fn layout() -> Layout {
    Layout::divide(Geometry { word_bytes: 4, erase_bytes: SECTOR as u32, capacity_bytes: 26 * SECTOR as u32 }, 3, true)
        .unwrap()
}

/// Returns the platform of the program in `running` on such a device.
fn device(flash: &mut Nor, running: SlotId) -> Device<'_> {
    let mut keys = KeySet::new();
    keys.add(public_key("key", &signing_key("key"))).unwrap();
    let config = DeviceConfig {
        layout: layout(),
        hardware: HardwareId::new("board").unwrap(),
        component: Component::App,
        version_rule: VersionRule::Newer,
        security_counter_min: 0,
        key_epoch: 0,
        system_version: crate::Version::default(),
        trial_attempts: TRIAL_ATTEMPTS_DEFAULT,
    };
    let selector = OwnSelector::new(&config.layout, running);
    Native::from_parts(flash, keys, NoReset, NoWatchdog, config, selector).unwrap()
}

/// Returns a flash as manufactured: version 1.0.1 in the factory slot, and nothing else.
fn flash() -> Nor {
    let mut flash = Nor::new(26);
    run(Flash::write(&mut flash, layout().slot(SlotId::FACTORY).offset_bytes(), &running_image())).unwrap();
    flash
}

fn version(patch: u32, security_counter: u32) -> Header {
    Header { security_counter, ..header(Version::new(1, 0, patch), 1345 + patch) }
}

fn record(flash: &mut Nor) -> BootRecord {
    run(BootRecords::new(&layout()).load(flash)).unwrap()
}

/// Receives, tries and confirms an image while `running` runs, and returns the slot that runs afterwards.
fn update(flash: &mut Nor, running: SlotId, header: Header) -> SlotId {
    let image = image(&header);
    let mut old = device(flash, running);
    let free = run(old.boot_state()).unwrap().free;
    let begun = receive(&mut old, &image);
    assert_eq!(free, begun.slot);
    assert_eq!(run(old.boot_state()).unwrap().free, begun.slot, "it is being received");
    let digest = verify(&mut old, &image).unwrap();
    run(old.activate(begun.slot, &digest, image.len() as u32)).unwrap();
    let mut tried = record(flash);
    let Trial::Pending { slot, digest, image_bytes, .. } = tried.trial else { panic!("{tried:?}") };
    tried.trial = Trial::Started { slot, digest, image_bytes, attempts_left: 0, power_losses: 0 };
    run(BootRecords::new(&layout()).store(flash, &tried)).unwrap();
    run(device(flash, slot).confirm()).unwrap();
    slot
}

fn rows(flash: &mut Nor) -> Vec<(SlotId, u32, ImageStatus)> {
    let images: Images = record(flash).images;
    images.iter().map(|(slot, image)| (slot, image.version.patch, image.status)).collect()
}

fn signature(image: &[u8]) -> Vec<u8> {
    sign(&signing_key("key"), &sha256(image))
}

fn verify_factory(flash: &mut Nor, running: SlotId) -> Result<Digest, Refusal> {
    let der = signature(&running_image());
    run(device(flash, running).verify_factory(&Signature {
        kind: SignatureKind::Sha256Ecdsa,
        key_id: None,
        bytes: &der,
    }))
}

#[test]
fn every_image_gets_its_row_and_when_all_slots_are_good_the_oldest_makes_room() {
    let mut flash = flash();
    let mut running = SlotId::FACTORY;
    for (patch, slot) in [(2, SlotId::A), (3, SlotId::B), (4, SlotId::C)] {
        running = update(&mut flash, running, version(patch, 0));
        assert_eq!(running, slot);
    }
    let factory = (SlotId::FACTORY, 1, ImageStatus::Preinstalled);
    let good = |slot, patch| (slot, patch, ImageStatus::Confirmed);
    assert_eq!(rows(&mut flash), [good(SlotId::A, 2), good(SlotId::B, 3), good(SlotId::C, 4), factory]);
    assert_eq!(run(device(&mut flash, running).boot_state()).unwrap().free, SlotId::A);
    let begun = run(device(&mut flash, running).begin(1000, 0)).unwrap();
    assert_eq!((begun.slot, begun.evicted), (SlotId::A, Some(Version::new(1, 0, 2))));
    let again = run(device(&mut flash, running).begin(1000, 0)).unwrap();
    assert_eq!((again.slot, again.evicted), (SlotId::A, None), "the same slot, and no image is reported twice");
    assert_eq!(rows(&mut flash)[0], (SlotId::A, 0, ImageStatus::Receiving));
    assert_eq!(record(&mut flash).images.get(SlotId::B).unwrap().source.as_str(), "job-7");
}

#[test]
fn a_slot_whose_image_failed_is_taken_before_one_whose_image_was_good() {
    let mut flash = flash();
    let mut running = SlotId::FACTORY;
    for patch in 2..5 {
        running = update(&mut flash, running, version(patch, 0));
    }
    let mut record = record(&mut flash);
    record.images.fail(SlotId::B);
    run(BootRecords::new(&layout()).store(&mut flash, &record)).unwrap();
    let begun = run(device(&mut flash, running).begin(1000, 0)).unwrap();
    assert_eq!((begun.slot, begun.evicted), (SlotId::B, None));
}

#[test]
fn what_another_length_left_is_not_kept() {
    let mut flash = flash();
    run(device(&mut flash, SlotId::FACTORY).begin(3000, 0)).unwrap();
    let keep = |flash: &mut Nor, image_bytes| run(device(flash, SlotId::FACTORY).begin(image_bytes, 2048)).unwrap();
    assert_eq!(keep(&mut flash, 3000).frontier_bytes, 2048);
    assert_eq!(keep(&mut flash, 3001).frontier_bytes, 0);
}

#[test]
fn the_way_back_leads_to_the_newest_whole_image_that_was_confirmed_once() {
    let mut flash = flash();
    let mut running = SlotId::FACTORY;
    for patch in 2..5 {
        running = update(&mut flash, running, version(patch, 0));
    }
    flash.bytes[layout().slot(SlotId::B).offset_bytes() as usize + 700] ^= 1;
    assert_eq!(run(device(&mut flash, running).restore_previous()), Ok(SlotId::A), "B is newer, but damaged");
    let record = record(&mut flash);
    assert_eq!((record.confirmed, record.trial), (SlotId::A, Trial::None));
    assert!(record.images.get(SlotId::B).is_none() && record.images.get(SlotId::C).is_some());
    let refused = run(device(&mut flash, running).begin(1000, 0));
    assert_eq!(refused, Err(Refusal::TrialRunning), "nothing is received before the reset");
}

#[test]
fn without_an_earlier_image_there_is_no_way_back_and_the_device_goes_on() {
    let mut flash = flash();
    assert_eq!(run(device(&mut flash, SlotId::FACTORY).restore_previous()), Err(Refusal::NoPreviousImage));
    let running = update(&mut flash, SlotId::FACTORY, version(2, 0));
    let before = record(&mut flash);
    assert_eq!(run(device(&mut flash, running).restore_previous()), Err(Refusal::NoPreviousImage));
    assert_eq!(record(&mut flash), before);
}

#[test]
fn the_way_back_never_leads_below_the_security_counter() {
    let mut flash = flash();
    let running = update(&mut flash, SlotId::FACTORY, version(2, 1));
    let running = update(&mut flash, running, version(3, 2));
    assert_eq!(
        run(MonotonicRecords::new(&layout()).load(&mut flash)),
        Ok(RollbackCounters { security_counter: 2, key_epoch: 0 })
    );
    assert_eq!(run(device(&mut flash, running).restore_previous()), Err(Refusal::NoPreviousImage));
    let offered = image(&version(4, 1));
    let mut device = device(&mut flash, running);
    receive(&mut device, &offered);
    assert_eq!(run(device.check_header()), Err(Refusal::SecurityCounterTooLow { have: 2, got: 1 }));
}

#[test]
fn the_security_counter_is_raised_after_the_commit_and_a_cut_raise_is_repeated_at_the_next_boot() {
    for (operation, cut) in (0..10).flat_map(|operation| CUTS.map(|cut| (operation, cut))) {
        let mut flash = flash();
        let image = image(&version(2, 7));
        let mut old = device(&mut flash, SlotId::FACTORY);
        receive(&mut old, &image);
        let digest = verify(&mut old, &image).unwrap();
        run(old.activate(SlotId::A, &digest, image.len() as u32)).unwrap();
        let mut tried = record(&mut flash);
        tried.trial = Trial::Started {
            slot: SlotId::A,
            digest,
            image_bytes: image.len() as u32,
            attempts_left: 0,
            power_losses: 0,
        };
        run(BootRecords::new(&layout()).store(&mut flash, &tried)).unwrap();
        let floor = |flash: &mut Nor| run(MonotonicRecords::new(&layout()).load(flash)).unwrap().security_counter;
        assert_eq!(floor(&mut flash), 0, "not before the commit");
        flash.power_on();
        flash.cut = Some((operation, cut));
        let _ = run(device(&mut flash, SlotId::A).confirm());
        flash.power_on();
        if record(&mut flash).confirmed != SlotId::A {
            assert_eq!(floor(&mut flash), 0, "{operation} {cut:?}");
            continue;
        }
        let state = run(device(&mut flash, SlotId::A).boot_state()).unwrap();
        assert_eq!(state.floor.map(|floor| floor.security_counter), Ok(7), "{operation} {cut:?}");
        assert_eq!(floor(&mut flash), 7);
    }
}

#[test]
fn a_stored_version_is_erased_but_not_what_runs_nor_the_factorys() {
    let mut flash = flash();
    verify_factory(&mut flash, SlotId::FACTORY).unwrap();
    let running = update(&mut flash, SlotId::FACTORY, version(2, 0));
    let running = update(&mut flash, running, version(3, 0));
    let feeds = Counted::default();
    let fed = feeds.0.clone();
    let mut device = device(&mut flash, running).with_watchdog(feeds);
    let refused = |slot| Err(Refusal::SlotRuns { slot });
    assert_eq!(run(device.erase_images(Version::new(1, 0, 3))), refused(SlotId::B));
    assert_eq!(run(device.erase_images(Version::new(1, 0, 1))), refused(SlotId::FACTORY));
    assert_eq!(run(device.invalidate(SlotId::FACTORY)), refused(SlotId::FACTORY));
    let version = Version::new(9, 9, 9);
    assert_eq!(run(device.erase_images(version)), Err(Refusal::NoSuchImage { version }));
    let region = layout().slot(SlotId::A);
    fed.set(0);
    run(device.erase_images(Version::new(1, 0, 2))).unwrap();
    assert_eq!(fed.get(), region.len_bytes() / SECTOR as u32, "the watchdog is fed at every sector");
    let erased = &flash.bytes[region.offset_bytes() as usize..][..region.len_bytes() as usize];
    assert!(erased.iter().all(|byte| *byte == 0xFF));
    assert!(record(&mut flash).images.get(SlotId::A).is_none());
}

#[test]
fn a_version_of_which_one_image_must_stay_loses_none() {
    let mut flash = flash();
    let running = update(&mut flash, SlotId::FACTORY, version(2, 0));
    let running = update(&mut flash, running, version(3, 0));
    let mut record = record(&mut flash);
    let twin = record.images.get(running).copied();
    record.images.set(SlotId::A, twin); // the same version is in a slot that does not run, too
    run(BootRecords::new(&layout()).store(&mut flash, &record)).unwrap();
    flash.ops.clear();
    let refused = run(device(&mut flash, running).erase_images(Version::new(1, 0, 3)));
    assert_eq!((refused, flash.ops.as_slice()), (Err(Refusal::SlotRuns { slot: running }), &[][..]));
}

#[test]
fn an_image_that_cannot_be_read_is_no_way_back_and_the_one_before_it_is() {
    let mut flash = flash();
    let mut running = SlotId::FACTORY;
    for patch in 2..5 {
        running = update(&mut flash, running, version(patch, 0));
    }
    let unreadable = layout().slot(SlotId::B).offset_bytes() as usize / SECTOR + 1;
    flash.unreadable = unreadable..unreadable + 1;
    assert_eq!(run(device(&mut flash, running).restore_previous()), Ok(SlotId::A));
}

#[test]
fn while_the_monotonic_record_cannot_be_raised_the_running_image_is_the_floor() {
    let mut flash = flash();
    let running = update(&mut flash, SlotId::FACTORY, version(2, 0));
    let monotonic = layout().monotonic();
    let first = monotonic.offset_bytes() as usize / SECTOR;
    let running = {
        let image = image(&version(3, 5));
        let mut old = device(&mut flash, running);
        let begun = receive(&mut old, &image);
        let digest = verify(&mut old, &image).unwrap();
        run(old.activate(begun.slot, &digest, image.len() as u32)).unwrap();
        let mut tried = record(&mut flash);
        let (trial, image_bytes) = (begun.slot, image.len() as u32);
        tried.trial = Trial::Started { slot: trial, digest, image_bytes, attempts_left: 0, power_losses: 0 };
        run(BootRecords::new(&layout()).store(&mut flash, &tried)).unwrap();
        flash.unerasable = first..first + monotonic.len_bytes() as usize / SECTOR;
        run(device(&mut flash, trial).confirm()).unwrap();
        trial
    };
    assert!(run(device(&mut flash, running).boot_state()).unwrap().floor.is_err(), "the fault is reported");
    assert_eq!(run(device(&mut flash, running).restore_previous()), Err(Refusal::NoPreviousImage), "counters too low");
}

#[test]
fn a_factory_reset_needs_a_verified_whole_and_allowed_image() {
    let mut flash = flash();
    let running = update(&mut flash, SlotId::FACTORY, version(2, 0));
    let order = |flash: &mut Nor| run(device(flash, running).factory_reset());
    assert_eq!(order(&mut flash), Err(Refusal::FactoryNotVerified), "it has a row, but was not verified");
    let der = signature(b"another image");
    let foreign = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &der };
    let refused = run(device(&mut flash, running).verify_factory(&foreign));
    assert_eq!(refused, Err(Refusal::Signature(SignatureRefusal::SignatureInvalid)));
    assert_eq!(verify_factory(&mut flash, running), Ok(sha256(&running_image())));
    let stored = flash.ops.len();
    assert_eq!(verify_factory(&mut flash, running), Ok(sha256(&running_image())));
    assert_eq!(flash.ops.len(), stored, "a program may repeat it at every boot");

    let at = layout().slot(SlotId::FACTORY).offset_bytes() as usize + 700;
    flash.bytes[at] ^= 1;
    assert_eq!(order(&mut flash), Err(Refusal::DigestMismatch { slot: SlotId::FACTORY }));
    flash.bytes[at] ^= 1;
    let trial = Trial::Ended { slot: SlotId::B, digest: Digest([7; 32]), reason: 1, started: true };
    let tried = BootRecord { trial, ..record(&mut flash) };
    run(BootRecords::new(&layout()).store(&mut flash, &tried)).unwrap();
    assert_eq!(order(&mut flash), Ok(()));
    let ordered = record(&mut flash);
    assert_eq!((ordered.confirmed, ordered.factory_reset_pending), (SlotId::FACTORY, true));
    assert_eq!(ordered.trial, Trial::None, "no image but the factory's is started any more");

    run(BootRecords::new(&layout())
        .store(&mut flash, &BootRecord { factory_reset_pending: false, confirmed: running, ..ordered }))
    .unwrap();
    run(MonotonicRecords::new(&layout()).raise(&mut flash, RollbackCounters { security_counter: 1, key_epoch: 0 }))
        .unwrap();
    assert_eq!(order(&mut flash), Err(Refusal::SecurityCounterTooLow { have: 1, got: 0 }));
}

#[test]
fn a_device_without_a_factory_slot_says_so() {
    let mut flash = super::super::tests::flash();
    let mut device = super::super::tests::device(&mut flash, SlotId::A);
    assert_eq!(run(device.factory_reset()), Err(Refusal::NoFactorySlot));
    let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &[] };
    assert_eq!(run(device.verify_factory(&signature)), Err(Refusal::NoFactorySlot));
}

#[test]
fn a_cut_anywhere_in_a_database_write_leaves_the_old_row_or_the_new() {
    type Wide = Ram<1, 32, SECTOR>;
    for (operation, cut) in (0..4).flat_map(|operation| CUTS.map(|cut| (operation, cut))) {
        let mut flash = Wide::new(26);
        let layout = Layout::divide(Geometry::of(&flash), 3, true).unwrap();
        let mut records = BootRecords::new(&layout);
        let mut old = BootRecord::new_device(SlotId::FACTORY);
        old.images.set(SlotId::A, Some(crate::store::images::Image::receiving(1)));
        let mut new = old;
        new.images.set(SlotId::A, Some(crate::store::images::Image::receiving(2)));
        run(records.store(&mut flash, &old)).unwrap();
        flash.power_on();
        flash.cut = Some((operation, cut));
        let stored = run(records.store(&mut flash, &new));
        flash.power_on();
        let found = run(BootRecords::new(&layout).load(&mut flash)).unwrap();
        assert!(found == new || (found == old && stored.is_err()), "{operation} {cut:?}: {found:?}");
    }
}

#[test]
fn a_row_that_nobody_understands_counts_as_none_and_everything_else_stays() {
    let mut flash = flash();
    let running = update(&mut flash, SlotId::FACTORY, version(2, 0));
    let running = update(&mut flash, running, version(3, 0));
    let layout = layout();
    let mut records = Records::new(layout.boot_record(), boot_record::RECORDS);
    let mut payload = [0; 512];
    let len = run(records.load(&mut flash, &mut payload)).unwrap().unwrap();
    payload[44 + 1] = 9; // the first row, of slot A: an invalid status
    run(records.store(&mut flash, &payload[..len])).unwrap();
    assert_eq!(
        rows(&mut flash),
        [(SlotId::B, 3, ImageStatus::Confirmed), (SlotId::FACTORY, 1, ImageStatus::Preinstalled)]
    );
    assert_eq!(record(&mut flash).confirmed, running);
    assert_eq!(run(device(&mut flash, running).boot_state()).unwrap().broken_rows, 1, "and it is reported");
    assert_eq!(run(device(&mut flash, running).restore_previous()), Err(Refusal::NoPreviousImage));
    assert_eq!(update(&mut flash, running, version(4, 0)), SlotId::C);
}

#[test]
fn the_running_image_makes_no_room_although_it_is_the_oldest() {
    let mut flash = flash();
    let mut running = SlotId::FACTORY;
    for patch in 2..5 {
        running = update(&mut flash, running, version(patch, 0));
    }
    let switched = BootRecord { confirmed: SlotId::A, ..record(&mut flash) };
    run(BootRecords::new(&layout()).store(&mut flash, &switched)).unwrap();
    let begun = run(device(&mut flash, SlotId::A).begin(1000, 0)).unwrap();
    assert_eq!((begun.slot, begun.evicted), (SlotId::B, Some(Version::new(1, 0, 3))));
}

#[test]
fn neither_the_confirmed_image_nor_one_on_trial_is_erased_and_others_are() {
    let erase = |flash: &mut Nor, running, patch| run(device(flash, running).erase_images(Version::new(1, 0, patch)));
    let refused = |slot| Err(Refusal::SlotRuns { slot });
    let mut flash = flash();
    let mut running = SlotId::FACTORY;
    for patch in 2..5 {
        running = update(&mut flash, running, version(patch, 0));
    }
    let settled = record(&mut flash);
    let (slot, digest) = (SlotId::B, settled.images.get(SlotId::B).unwrap().digest);
    let pending = Trial::Pending { slot, digest, image_bytes: 1, attempts_left: 3 };
    run(BootRecords::new(&layout()).store(&mut flash, &BootRecord { trial: pending, ..settled })).unwrap();
    assert_eq!(erase(&mut flash, SlotId::C, 3), Err(Refusal::TrialRunning));
    assert_eq!(erase(&mut flash, SlotId::C, 4), refused(SlotId::C));

    let started = Trial::Started { slot, digest, image_bytes: 1, attempts_left: 0, power_losses: 0 };
    run(BootRecords::new(&layout()).store(&mut flash, &BootRecord { trial: started, ..settled })).unwrap();
    assert_eq!(erase(&mut flash, SlotId::B, 3), refused(SlotId::B), "it runs");
    assert_eq!(erase(&mut flash, SlotId::B, 4), refused(SlotId::C), "it is confirmed");
    assert_eq!(erase(&mut flash, SlotId::B, 2), Ok(()), "it is neither");
    assert_eq!(rows(&mut flash).len(), 3);
}

#[test]
fn a_factory_image_as_long_as_its_slot_is_verified_and_a_longer_one_is_not() {
    let region = layout().slot(SlotId::FACTORY);
    for (more, result) in [(0, true), (1, false)] {
        let empty = header(Version::new(1, 0, 1), 1);
        let body_bytes = region.len_bytes() - (empty.image_bytes() - 1) + more;
        let whole = image(&header(Version::new(1, 0, 1), body_bytes));
        let der = signature(&whole);
        let (mut flash, max) = (Nor::new(26), region.len_bytes());
        run(Flash::write(&mut flash, region.offset_bytes(), &whole[..max as usize])).unwrap();
        let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &der };
        let verified = run(device(&mut flash, SlotId::A).verify_factory(&signature));
        let too_large = Err(Refusal::ImageTooLarge { got: max + 1, max });
        assert_eq!(verified, if result { Ok(sha256(&whole)) } else { too_large });
    }
}
