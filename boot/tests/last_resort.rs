//! A factory image without a row, and copies at the limits of a region: what is started, and what is not.
#![allow(clippy::unwrap_used)]

mod common;

use common::watched::Watched;
use common::{Device, EXECUTING, booted, image};
use ota_boot::{BootError, BootReason, ResetCause, VerifyLevel, boot_staged};
use ota_pal::image::header::Body;
use ota_pal::{
    BootRecord, BootRecords, Digest, Fault, FileFlash, Flash, Geometry, Header, Image, ImageStatus, Layout,
    MonotonicRecords, NoWatchdog, Region, RollbackCounters, SlotId, Source, Trial, poll_ready,
};
use sha2::{Digest as _, Sha256};

/// Builds version 1.0.`patch` with this security counter and length.
fn image_of(patch: u32, security_counter: u32, image_bytes: u32) -> Vec<u8> {
    let header = Header::parse(&image(patch)).unwrap();
    let header = Header { security_counter, body: Body::new(512, image_bytes - 512).unwrap(), ..header };
    let mut image = header.emit().to_vec();
    image.resize(512, 0);
    image.resize(image_bytes as usize, patch as u8);
    image
}

fn store(device: &Device, record: &BootRecord) {
    poll_ready(BootRecords::new(&device.layout()).store(&mut device.flash(), record)).unwrap().unwrap();
}

/// A device whose confirmed slot A is empty, with a factory image of this security counter that has no row.
fn without_a_row(name: &str, security_counter: u32) -> Device {
    let device = Device::staged(name, true);
    device.damage_at(EXECUTING, 0);
    device.burn(SlotId::FACTORY, &image_of(5, security_counter, 3_845));
    store(&device, &BootRecord::new_device(SlotId::A));
    device
}

fn raise_to(device: &Device, security_counter: u32) {
    let floor = RollbackCounters { security_counter, key_epoch: 0 };
    poll_ready(MonotonicRecords::new(&device.layout()).raise(&mut device.flash(), floor)).unwrap().unwrap();
}

#[test]
fn a_factory_image_without_a_row_is_the_last_resort_and_is_confirmed() {
    let device = Device::with_factory("rowless");
    store(&device, &BootRecord::new_device(SlotId::A));
    assert_eq!(booted(&device), (SlotId::FACTORY, 1, BootReason::FellBack { from: SlotId::A }));
    assert_eq!(device.record().confirmed, SlotId::FACTORY);
    assert_eq!(booted(&device), (SlotId::FACTORY, 1, BootReason::Confirmed), "it stays");
}

#[test]
fn a_factory_image_that_was_just_found_unfit_is_not_its_own_last_resort() {
    let device = Device::staged("own", true);
    device.damage_at(EXECUTING, 0);
    device.burn(SlotId::FACTORY, &image(5));
    let image = image(5);
    let row = Image {
        status: ImageStatus::Confirmed,
        version: Header::parse(&image).unwrap().version,
        security_counter: 0,
        image_bytes: image.len() as u32,
        digest: Digest([0; 32]),
        source: Source::new(""),
    };
    let mut record = BootRecord::new_device(SlotId::FACTORY);
    record.images.set(SlotId::FACTORY, Some(row));
    store(&device, &record);
    assert_eq!(device.boot(), Err(BootError::NoBootableImage));
}

#[test]
fn a_factory_image_without_a_row_is_copied_to_where_it_runs() {
    let device = without_a_row("copied", 0);
    assert_eq!(booted(&device), (SlotId::FACTORY, 5, BootReason::FellBack { from: SlotId::A }));
    assert_eq!(device.held(EXECUTING, 3_845), image_of(5, 0, 3_845));
}

#[test]
fn a_factory_image_without_a_row_starts_at_the_security_counter_or_above_and_not_below() {
    for (counter, starts) in [(2, false), (3, true), (4, true)] {
        let device = without_a_row(&format!("counter-{counter}"), counter);
        raise_to(&device, 3);
        assert_eq!(
            device.boot().map(|boot| boot.slot),
            if starts { Ok(SlotId::FACTORY) } else { Err(BootError::NoBootableImage) }
        );
        assert_eq!(device.held(EXECUTING, 3_845) == image_of(5, counter, 3_845), starts);
    }
}

#[test]
fn after_a_trial_that_ended_the_header_of_what_runs_is_not_enough() {
    let device = Device::staged("ended", false);
    let (a, ..) = booted(&device);
    device.update(a, 2);
    device.damage(SlotId::B, 2_000);
    device.damage_at(EXECUTING, 2_000);
    assert_eq!(booted(&device), (a, 1, BootReason::TrialEnded));
    assert_eq!(device.held(EXECUTING, image(1).len()), image(1), "it is copied again");
}

#[test]
fn a_boot_that_goes_by_the_header_reads_no_body() {
    for factory in [false, true] {
        let device = Device::staged(&format!("quick-{factory}"), factory);
        let (slot, ..) = booted(&device);
        let mut flash = Watched::new(&device);
        let boot = device.boot_on(&mut flash, VerifyLevel::Header).unwrap().unwrap();
        assert_eq!((boot.slot, boot.cause), (slot, BootReason::Confirmed));
        assert!(flash.bytes_read(EXECUTING) <= 4 * 64, "{}", flash.bytes_read(EXECUTING));
        assert!(flash.bytes_read(device.layout().slot(slot)) <= 4 * 64);
    }
}

#[test]
fn a_slot_that_has_an_image_and_no_row_is_not_taken_for_a_new_one() {
    let device = Device::staged("unlisted", false);
    device.burn(SlotId::A, &image(7));
    assert_eq!(booted(&device), (SlotId::A, 7, BootReason::Confirmed));
    assert_eq!(device.held(EXECUTING, image(7).len()), image(7));
}

#[test]
fn a_slot_that_has_a_row_and_no_image_is_not_taken_for_a_new_one() {
    let device = Device::staged("listed", false);
    let (a, ..) = booted(&device);
    device.update(a, 2);
    let (b, ..) = booted(&device);
    poll_ready(device.start(b).confirm()).unwrap().unwrap();
    device.damage(b, 0);
    device.damage_at(EXECUTING, 2_000);
    assert_eq!(booted(&device), (a, 1, BootReason::FellBack { from: b }), "the running image does not match the row");
    assert_eq!(device.held(EXECUTING, image(1).len()), image(1));
}

#[test]
fn an_image_is_tried_on_a_new_device_only_once_its_own_is_kept() {
    for kept in [true, false] {
        let device = Device::staged(&format!("tried-{kept}"), false);
        let next = image(7);
        device.burn(SlotId::B, &next);
        let digest = Digest(Sha256::digest(&next).into());
        let trial = Trial::Pending { slot: SlotId::B, digest, image_bytes: next.len() as u32, attempts_left: 3 };
        store(&device, &BootRecord { trial, ..BootRecord::new_device(SlotId::A) });
        let slot = device.layout().slot(SlotId::A);
        let mut flash = Watched { refused: (!kept).then_some(slot), ..Watched::new(&device) };
        let boot = device.boot_on(&mut flash, VerifyLevel::Header).unwrap().unwrap();
        assert_eq!(
            (boot.slot, boot.cause == BootReason::Trial),
            if kept { (SlotId::B, true) } else { (SlotId::A, false) }
        );
        assert_eq!(device.held(slot, image(1).len()) == image(1), kept);
        let runs = if kept { next } else { image(1) };
        assert_eq!(device.held(EXECUTING, runs.len()), runs);
    }
}

/// Boots with the image of slot B, its row and the confirmed image shortened to `image_bytes`.
fn short(image_bytes: u32) -> Result<SlotId, BootError> {
    let device = Device::staged(&format!("short-{image_bytes}"), false);
    let image = image(7);
    device.burn(SlotId::B, &image);
    let row = Image {
        status: ImageStatus::Confirmed,
        version: Header::parse(&image).unwrap().version,
        security_counter: 0,
        image_bytes,
        digest: Digest(Sha256::digest(&image[..image_bytes as usize]).into()),
        source: Source::new(""),
    };
    let mut record = BootRecord::new_device(SlotId::B);
    record.images.set(SlotId::B, Some(row));
    store(&device, &record);
    device.boot().map(|boot| boot.slot)
}

#[test]
fn an_image_that_ends_before_its_header_does_is_not_copied() {
    assert_eq!(short(63), Err(BootError::NoBootableImage));
    assert_eq!(short(64), Ok(SlotId::B));
    assert_eq!(short(65), Ok(SlotId::B));
}

#[test]
fn an_image_as_long_as_its_slot_is_copied_and_one_byte_more_is_not() {
    const KIB: u32 = 1_024;
    for (image_bytes, fits) in [(6 * KIB - 1, true), (6 * KIB, true), (6 * KIB + 1, false)] {
        let geometry = Geometry { word_bytes: 8, erase_bytes: KIB, capacity_bytes: 26 * KIB };
        let layout = Layout::divide(geometry, 3, false).unwrap();
        assert_eq!(layout.slot(SlotId::A).len_bytes(), 6 * KIB);
        let executing = Region::new(geometry.capacity_bytes, 7 * KIB);
        let path = std::env::temp_dir().join(format!("ota-boot-{}-limit-{image_bytes}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut flash = FileFlash::<8, 1024>::open(&path, geometry.capacity_bytes + executing.len_bytes()).unwrap();
        let mut image = image_of(3, 0, image_bytes);
        image.resize(image.len().next_multiple_of(8), 0xFF);
        poll_ready(Flash::write(&mut flash, executing.offset_bytes(), &image)).unwrap().unwrap();

        let boot = poll_ready(boot_staged(
            &mut flash,
            &layout,
            executing,
            &mut NoWatchdog,
            VerifyLevel::Header,
            ResetCause::Other,
        ))
        .unwrap()
        .unwrap();
        let limit_bytes = 6 * KIB;
        let refused = Fault::OutOfRange { offset_bytes: 0, len_bytes: image_bytes as usize, limit_bytes };
        assert_eq!(boot.cause, if fits { BootReason::Confirmed } else { BootReason::NotStored(refused) });
        let all = std::fs::read(&path).unwrap();
        let held = |region: Region| &all[region.offset_bytes() as usize..][..region.len_bytes() as usize];
        let copied = held(layout.slot(SlotId::A))[..image_bytes.min(limit_bytes) as usize]
            == image[..image_bytes.min(limit_bytes) as usize];
        assert_eq!(copied, fits);
        assert!(held(layout.slot(SlotId::B)).iter().all(|byte| *byte == 0xFF), "the following slot is unchanged");
        let _ = std::fs::remove_file(&path);
    }
}

#[test]
fn a_copy_writes_no_word_twice_whatever_its_length() {
    for image_bytes in [577, 1_024, 1_025, 1_280, 2_047, 3_000, 5_120] {
        let device = Device::staged(&format!("once-{image_bytes}"), true);
        device.damage_at(EXECUTING, 0);
        device.burn(SlotId::FACTORY, &image_of(5, 0, image_bytes));
        store(&device, &BootRecord::new_device(SlotId::A));
        let mut flash = Watched::new(&device);
        let boot = device.boot_on(&mut flash, VerifyLevel::Header).unwrap().unwrap();
        assert_eq!((boot.slot, boot.header.image_bytes()), (SlotId::FACTORY, image_bytes));
        assert_eq!(device.held(EXECUTING, image_bytes as usize), image_of(5, 0, image_bytes));
    }
}
