//! The staged layout, boot by boot: copies, the effect of power cuts and flash faults, and untouched regions.
#![allow(clippy::unwrap_used)]

mod common;

use common::watched::Watched;
use common::{Device, EXECUTING, booted, image, sign};
use ota_boot::{BootError, BootReason, REASON_TRIAL_IMAGE_CORRUPT, ResetCause, VerifyLevel};
use ota_pal::{
    BootRecord, BootRecords, Digest, Fault, Header, Image, ImageStatus, Region, Signature, SignatureKind, SlotId,
    Source, Trial, poll_ready,
};
use sha2::{Digest as _, Sha256};

fn runs(device: &Device, patch: u32) -> bool {
    device.held(EXECUTING, image(patch).len()) == image(patch)
}

/// Updates a booted device to version 1.0.`patch`, tried and confirmed.
fn updated(device: &Device, running: SlotId, patch: u32) -> SlotId {
    device.update(running, patch);
    let (slot, booted, cause) = booted(device);
    assert_eq!((booted, cause), (patch, BootReason::Trial));
    assert!(runs(device, patch));
    poll_ready(device.start(slot).confirm()).unwrap().unwrap();
    slot
}

#[test]
fn the_image_of_a_new_device_is_adopted_by_the_slot_that_a_new_device_runs_from() {
    for (factory, slot) in [(false, SlotId::A), (true, SlotId::FACTORY)] {
        let device = Device::staged(&format!("adopted-{factory}"), factory);
        assert_eq!(booted(&device), (slot, 1, BootReason::Confirmed));
        assert_eq!(device.held(device.layout().slot(slot), image(1).len()), image(1));
        assert!(runs(&device, 1));
    }
}

#[test]
fn a_good_image_is_copied_tried_confirmed_and_the_earlier_one_is_kept() {
    let device = Device::staged("good", false);
    let (a, ..) = booted(&device);
    let b = updated(&device, a, 2);
    let c = updated(&device, b, 3);
    assert_eq!((a, b, c), (SlotId::A, SlotId::B, SlotId::C));
    assert_eq!(poll_ready(device.start(c).restore_previous()).unwrap(), Ok(b));
    assert_eq!(booted(&device), (b, 2, BootReason::Confirmed));
    assert!(runs(&device, 2));
}

#[test]
fn a_bad_image_is_rolled_back_by_copying_the_confirmed_one() {
    let device = Device::staged("bad", false);
    let (a, ..) = booted(&device);
    device.update(a, 2);
    assert_eq!(booted(&device), (SlotId::B, 2, BootReason::Trial));
    poll_ready(device.start(SlotId::B).roll_back(0x0601)).unwrap().unwrap();
    assert_eq!(booted(&device), (a, 1, BootReason::Confirmed));
    assert!(runs(&device, 1));
}

#[test]
fn an_image_that_never_speaks_is_given_three_boots_and_copied_once() {
    let device = Device::staged("silent", false);
    device.update(booted(&device).0, 2);
    for copied in [true, false, false] {
        let mut flash = Watched::new(&device);
        let boot = device.boot_on(&mut flash, VerifyLevel::Header).unwrap().unwrap();
        assert_eq!((boot.cause, flash.touches(EXECUTING)), (BootReason::Trial, copied));
    }
    assert_eq!(booted(&device), (SlotId::A, 1, BootReason::TrialEnded));
    assert!(runs(&device, 1));
}

#[test]
fn where_the_image_is_already_it_is_not_touched() {
    let device = Device::staged("header_suffices", false);
    let slot = updated(&device, booted(&device).0, 2);
    for verify_level in [VerifyLevel::Header, VerifyLevel::Whole] {
        let mut flash = Watched::new(&device);
        let boot = device.boot_on(&mut flash, verify_level).unwrap().unwrap();
        assert_eq!((boot.slot, boot.cause, flash.touched), (slot, BootReason::Confirmed, vec![]));
    }
}

/// Cuts a boot at each of its operations, then boots again to complete it.
fn cut_everywhere(name: &str, prepare: impl Fn(&Device), check: impl Fn(&Device, usize)) {
    for cut_at in 0.. {
        let device = Device::staged(&format!("{name}-{cut_at}"), false);
        prepare(&device);
        let mut flash = Watched { cut_at: Some(cut_at), ..Watched::new(&device) };
        if device.boot_on(&mut flash, VerifyLevel::Header).is_some() {
            assert!(cut_at > 16, "{name} has {cut_at} operations");
            return;
        }
        check(&device, cut_at);
    }
}

/// Asserts that the region has no header or holds one of these images completely.
fn holds_one_or_none(device: &Device, region: Region, patches: &[u32]) {
    if let Ok(header) = Header::parse(&device.held(region, 64)) {
        assert!(patches.contains(&header.version.patch));
        assert_eq!(device.held(region, 3845), image(header.version.patch));
    }
}

#[test]
fn an_adoption_that_is_cut_anywhere_is_done_again() {
    cut_everywhere(
        "adopt",
        |_| {},
        |device, _| {
            let slot = device.layout().slot(SlotId::A);
            holds_one_or_none(device, slot, &[1]);
            assert_eq!(booted(device), (SlotId::A, 1, BootReason::Confirmed));
            assert_eq!(device.held(slot, 3845), image(1));
            assert_eq!(row_of_a(device), Some(preinstalled()));
        },
    );
}

#[test]
fn a_copy_that_is_cut_anywhere_is_done_again_and_costs_no_boot_of_the_trial() {
    let prepare = |device: &Device| {
        device.update(booted(device).0, 2);
    };
    cut_everywhere("copy", prepare, |device, cut_at| {
        holds_one_or_none(device, EXECUTING, &[1, 2]);
        let is_whole = runs(device, 2);
        assert_eq!(booted(device), (SlotId::B, 2, BootReason::Trial));
        let counted = matches!(device.record().trial, Trial::Started { attempts_left: 2, .. });
        assert!(counted || is_whole, "cut at {cut_at}: {:?}", device.record().trial);
        assert!(runs(device, 2));
    });
}

#[test]
fn a_copy_back_that_is_cut_anywhere_is_done_again() {
    let prepare = |device: &Device| {
        device.update(booted(device).0, 2);
        poll_ready(device.start(booted(device).0).roll_back(0x0601)).unwrap().unwrap();
    };
    cut_everywhere("back", prepare, |device, _| {
        holds_one_or_none(device, EXECUTING, &[1, 2]);
        assert_eq!(booted(device).0, SlotId::A);
        assert!(runs(device, 1));
    });
}

#[test]
fn a_bit_misread_anywhere_is_not_copied_for_good() {
    for reads in 0.. {
        let device = Device::staged("misread", false);
        device.update(booted(&device).0, 2);
        let mut flash = Watched { misread_in: Some(reads), ..Watched::new(&device) };
        let boot = device.boot_on(&mut flash, VerifyLevel::Header).unwrap().unwrap();
        assert!(runs(&device, boot.header.version.patch), "read {reads}");
        if flash.misread_in.is_some() {
            assert!(reads > 64, "a boot has {reads} reads");
            return;
        }
    }
}

#[test]
fn a_trial_whose_image_cannot_be_copied_ends_and_the_confirmed_image_is_copied_back() {
    let device = Device::staged("refuses", false);
    let digest = device.update(booted(&device).0, 2);
    let one_sector = Region::new(EXECUTING.offset_bytes() + 1024, 1024);
    let mut flash = Watched { refused: Some(one_sector), ..Watched::new(&device) };
    let unbootable = device.boot_on(&mut flash, VerifyLevel::Header).unwrap();
    assert_eq!(unbootable, Err(BootError::NoBootableImage), "no copy to it succeeds any more");
    let ended = Trial::Ended { slot: SlotId::B, digest, reason: REASON_TRIAL_IMAGE_CORRUPT, started: false };
    assert_eq!(device.record().trial, ended);
    assert_eq!(booted(&device), (SlotId::A, 1, BootReason::Confirmed), "it recovered");
    assert!(runs(&device, 1));
}

/// All bytes were read back, and some are others when the copy is hashed.
#[test]
fn a_copy_that_is_not_the_image_in_the_end_leaves_no_header() {
    let device = Device::staged("fades", false);
    device.update(booted(&device).0, 2);
    let (header, second) = (EXECUTING.offset_bytes(), Region::new(EXECUTING.offset_bytes() + 1024, 1024));
    let mut flash = Watched { fades: Some((header, second)), ..Watched::new(&device) };
    let unbootable = device.boot_on(&mut flash, VerifyLevel::Header).unwrap();
    assert_eq!(unbootable, Err(BootError::NoBootableImage));
    assert!(Header::parse(&device.held(EXECUTING, 64)).is_err(), "the next boot would start it by its header");
}

#[test]
fn a_slot_that_lost_the_confirmed_image_is_given_it_again_before_another_is_tried() {
    let device = Device::staged("heals", false);
    let (a, ..) = booted(&device);
    device.update(a, 2);
    device.damage(a, 2000);
    assert_eq!(booted(&device), (SlotId::B, 2, BootReason::Trial));
    assert_eq!(device.held(device.layout().slot(a), 3845), image(1));
    poll_ready(device.start(SlotId::B).roll_back(0x0601)).unwrap().unwrap();
    assert_eq!(booted(&device), (a, 1, BootReason::Confirmed));
}

/// The row of image 1 as its manufacturer installed it.
fn preinstalled() -> Image {
    Image {
        status: ImageStatus::Preinstalled,
        version: Header::parse(&image(1)).unwrap().version,
        security_counter: 0,
        image_bytes: image(1).len() as u32,
        digest: Digest(Sha256::digest(image(1)).into()),
        source: Source::new(""),
    }
}

fn row_of_a(device: &Device) -> Option<Image> {
    device.record().images.get(SlotId::A).copied()
}

#[test]
fn a_slot_that_rotted_before_the_first_update_is_given_the_running_image_again() {
    let device = Device::staged("rotted", false);
    let (a, ..) = booted(&device);
    assert_eq!(row_of_a(&device), Some(preinstalled()));
    device.damage(a, 2000);
    device.update(a, 2);
    assert_eq!(booted(&device), (SlotId::B, 2, BootReason::Trial));
    poll_ready(device.start(SlotId::B).roll_back(0x0601)).unwrap().unwrap();
    assert_eq!(booted(&device), (a, 1, BootReason::Confirmed));
    assert!(runs(&device, 1));
}

#[test]
fn without_a_way_back_nothing_is_tried() {
    let device = Device::staged("no-way", false);
    let (a, ..) = booted(&device);
    device.update(a, 2);
    device.damage(a, 2000);
    let mut flash = Watched { refused: Some(device.layout().slot(a)), ..Watched::new(&device) };
    let boot = device.boot_on(&mut flash, VerifyLevel::Header).unwrap().unwrap();
    assert_eq!((boot.slot, boot.header.version.patch), (a, 1), "{:?}", boot.cause);
    assert!(!flash.touches(EXECUTING) && runs(&device, 1));
    assert!(matches!(device.record().trial, Trial::Ended { reason: REASON_TRIAL_IMAGE_CORRUPT, .. }));
}

#[test]
fn an_image_that_runs_is_started_even_if_no_slot_takes_it() {
    let device = Device::staged("adopts-not", false);
    let mut flash = Watched { refused: Some(device.layout().slot(SlotId::A)), ..Watched::new(&device) };
    let boot = device.boot_on(&mut flash, VerifyLevel::Header).unwrap().unwrap();
    assert!(matches!(boot.cause, BootReason::NotStored(Fault::Erase { .. })), "{:?}", boot.cause);
    assert!(runs(&device, 1));
}

#[test]
fn a_damaged_byte_where_images_run_is_seen_by_a_whole_look_and_copied_over() {
    let device = Device::staged("decayed", false);
    let slot = updated(&device, booted(&device).0, 2);
    device.damage_at(EXECUTING, 2000);
    let boot = device.boot_with(VerifyLevel::Whole).unwrap();
    assert_eq!((boot.slot, boot.cause), (slot, BootReason::Confirmed));
    assert!(runs(&device, 2));
}

#[test]
fn when_both_copies_of_the_confirmed_image_are_gone_the_newest_good_one_runs() {
    let device = Device::staged("gone", false);
    let (a, ..) = booted(&device);
    let b = updated(&device, a, 2);
    device.damage(b, 2000);
    device.damage_at(EXECUTING, 0);
    assert_eq!(booted(&device), (a, 1, BootReason::FellBack { from: b }));
    assert!(runs(&device, 1));
    assert_eq!(booted(&device), (a, 1, BootReason::Confirmed));
}

#[test]
fn two_images_of_one_header_are_told_apart_by_their_digests() {
    for factory in [false, true] {
        let device = Device::staged(&format!("twins-{factory}"), factory);
        let (first, ..) = booted(&device);
        let mut twin = image(1);
        *twin.last_mut().unwrap() ^= 1;
        device.burn(SlotId::B, &twin);
        let row = |bytes: &[u8]| Image {
            status: ImageStatus::Confirmed,
            version: Header::parse(bytes).unwrap().version,
            security_counter: 0,
            image_bytes: bytes.len() as u32,
            digest: Digest(Sha256::digest(bytes).into()),
            source: Source::new(""),
        };
        let mut record = BootRecord::new_device(SlotId::B);
        record.images.set(first, Some(row(&image(1))));
        record.images.set(SlotId::B, Some(row(&twin)));
        poll_ready(BootRecords::new(&device.layout()).store(&mut device.flash(), &record)).unwrap().unwrap();
        assert_eq!(booted(&device), (SlotId::B, 1, BootReason::Confirmed));
        assert_eq!(device.held(EXECUTING, 3845), twin);
    }
}

/// A header in flash without its body would be started.
#[test]
fn the_body_of_a_copy_is_durable_before_its_header() {
    let device = Device::staged("durable", false);
    device.update(booted(&device).0, 2);
    let mut flash = Watched::new(&device);
    assert_eq!(device.boot_on(&mut flash, VerifyLevel::Header).unwrap().unwrap().cause, BootReason::Trial);
    let header = flash.touched.iter().rposition(|at| *at == EXECUTING.offset_bytes()).unwrap();
    assert!(flash.syncs.contains(&header), "{header} of {:?}", flash.syncs);
}

#[test]
fn a_factory_reset_leaves_the_factorys_image_where_images_run() {
    let device = Device::staged("reset", true);
    let running = updated(&device, booted(&device).0, 2);
    let der = sign(&image(1));
    let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &der };
    poll_ready(device.start(running).verify_factory(&signature)).unwrap().unwrap();
    poll_ready(device.start(running).factory_reset()).unwrap().unwrap();
    assert_eq!(booted(&device), (SlotId::FACTORY, 1, BootReason::FactoryReset));
    assert!(runs(&device, 1));
    assert_eq!(booted(&device), (SlotId::FACTORY, 1, BootReason::Confirmed));
}

/// Erases and writes where images run since the watchdog was fed.
type Since = std::rc::Rc<std::cell::Cell<u32>>;

struct Feeds(Since);

impl ota_pal::Watchdog for Feeds {
    fn feed(&mut self) {
        self.0.set(0);
    }
}

/// A flash that finds the most erases and writes between two feeds.
struct Paced {
    nor: common::Nor,
    since: Since,
    most: u32,
}

impl Paced {
    fn count(&mut self, at: u32) {
        if at >= EXECUTING.offset_bytes() {
            self.since.set(self.since.get() + 1);
            self.most = self.most.max(self.since.get());
        }
    }
}

impl ota_pal::Flash for Paced {
    const READ_SIZE: usize = <common::Nor as ota_pal::Flash>::READ_SIZE;
    const WRITE_SIZE: usize = <common::Nor as ota_pal::Flash>::WRITE_SIZE;
    const ERASE_SIZE: usize = <common::Nor as ota_pal::Flash>::ERASE_SIZE;

    fn capacity(&self) -> usize {
        ota_pal::Flash::capacity(&self.nor)
    }
    async fn read(&mut self, at: u32, out: &mut [u8]) -> Result<(), embedded_storage::nor_flash::NorFlashErrorKind> {
        ota_pal::Flash::read(&mut self.nor, at, out).await
    }
    async fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), embedded_storage::nor_flash::NorFlashErrorKind> {
        self.count(at);
        ota_pal::Flash::write(&mut self.nor, at, bytes).await
    }
    async fn erase(&mut self, from: u32, to: u32) -> Result<(), embedded_storage::nor_flash::NorFlashErrorKind> {
        self.count(from);
        ota_pal::Flash::erase(&mut self.nor, from, to).await
    }
    async fn sync(&mut self) -> Result<(), embedded_storage::nor_flash::NorFlashErrorKind> {
        ota_pal::Flash::sync(&mut self.nor).await
    }
}

#[test]
fn the_watchdog_is_fed_after_every_erase_and_write_of_a_copy() {
    let device = Device::staged("paced", false);
    let (a, ..) = booted(&device);
    device.update(a, 2);
    let since = Since::default();
    let mut flash = Paced { nor: device.flash(), since: since.clone(), most: 0 };
    let (layout, mut watchdog) = (device.layout(), Feeds(since));
    let boot =
        ota_boot::boot_staged(&mut flash, &layout, EXECUTING, &mut watchdog, VerifyLevel::Header, ResetCause::Other);
    assert_eq!(poll_ready(boot).unwrap().unwrap().cause, BootReason::Trial);
    assert_eq!(flash.most, 1);
}

#[test]
fn a_region_to_run_from_that_is_not_whole_sectors_beside_the_layout_is_refused_before_anything_is_written() {
    let device = Device::staged("ragged", false);
    let (first, slot) = (EXECUTING.offset_bytes(), device.layout().slot(SlotId::B));
    for executing in [slot, Region::new(first + 8, 4096), Region::new(first, 5000), Region::new(first, 6 * 1024)] {
        let (mut flash, layout) = (Watched::new(&device), device.layout());
        let (watchdog, level) = (&mut ota_pal::NoWatchdog, VerifyLevel::Header);
        let boot = ota_boot::boot_staged(&mut flash, &layout, executing, watchdog, level, ResetCause::Other);
        let refused = poll_ready(boot).unwrap();
        assert!(matches!(refused, Err(BootError::Layout(_))), "{executing:?}: {refused:?}");
        assert_eq!(flash.touched, [] as [u32; 0]);
    }
}
