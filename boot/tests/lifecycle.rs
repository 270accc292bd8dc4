//! Whole updates over a flash file: received, verified, activated, booted, then confirmed, rolled back, or left without a
//! verdict.
#![allow(clippy::unwrap_used)]

mod common;

use common::{BLOCK_BYTES, Device, Nor, booted, image, sign};
use embedded_storage::nor_flash::NorFlashErrorKind;
use ota_boot::{
    BootError, BootReason, REASON_ATTEMPTS_EXHAUSTED, REASON_TRIAL_IMAGE_CORRUPT, ResetCause, VerifyLevel, boot,
};
use ota_pal::{
    Digest, Fault, FileFlash, Flash, Header, LayoutError, Link, NoWatchdog, Reception, Signature, SignatureKind,
    SlotId, Trial, poll_ready,
};
use sha2::{Digest as _, Sha256};

#[test]
fn a_good_image_is_tried_confirmed_and_stays() {
    let device = Device::new("good");
    assert_eq!(booted(&device), (SlotId::A, 1, BootReason::Confirmed));
    let digest = device.update(SlotId::A, 2);
    assert_eq!(booted(&device), (SlotId::B, 2, BootReason::Trial));

    let mut program = device.start(SlotId::B);
    let state = poll_ready(program.boot_state()).unwrap().unwrap();
    assert_eq!((state.running, state.confirmed), (SlotId::B, SlotId::A));
    assert!(matches!(state.trial, Trial::Started { attempts_left: 2, .. }));
    assert_eq!(poll_ready(program.running_digest(3845)).unwrap(), Ok(digest));
    poll_ready(program.confirm()).unwrap().unwrap();

    for _ in 0..5 {
        assert_eq!(booted(&device), (SlotId::B, 2, BootReason::Confirmed));
    }
    device.update(SlotId::B, 3);
    assert_eq!(booted(&device), (SlotId::A, 3, BootReason::Trial));
}

#[test]
fn a_bad_image_is_rolled_back_and_the_reason_stays() {
    let device = Device::new("bad");
    let digest = device.update(SlotId::A, 2);
    assert_eq!(booted(&device), (SlotId::B, 2, BootReason::Trial));
    poll_ready(device.start(SlotId::B).roll_back(0x0601)).unwrap().unwrap();
    assert_eq!(booted(&device), (SlotId::A, 1, BootReason::Confirmed));
    let trial = Trial::Ended { slot: SlotId::B, digest, reason: 0x0601, started: true };
    let record = device.record();
    assert_eq!((record.confirmed, record.trial), (SlotId::A, trial));
    device.update(SlotId::A, 3);
    assert_eq!(booted(&device), (SlotId::B, 3, BootReason::Trial));
}

#[test]
fn an_image_that_never_speaks_is_given_three_boots() {
    let device = Device::new("silent");
    let digest = device.update(SlotId::A, 2);
    for _ in 0..3 {
        assert_eq!(booted(&device), (SlotId::B, 2, BootReason::Trial));
    }
    assert_eq!(booted(&device), (SlotId::A, 1, BootReason::TrialEnded));
    let trial = Trial::Ended { slot: SlotId::B, digest, reason: REASON_ATTEMPTS_EXHAUSTED, started: true };
    assert_eq!(device.record().trial, trial);
    assert_eq!(booted(&device), (SlotId::A, 1, BootReason::Confirmed));
}

#[test]
fn an_image_that_changed_after_activation_is_never_started() {
    let device = Device::new("corrupt");
    let digest = device.update(SlotId::A, 2);
    device.damage(SlotId::B, 2000);
    assert_eq!(booted(&device), (SlotId::A, 1, BootReason::TrialEnded));
    let trial = Trial::Ended { slot: SlotId::B, digest, reason: REASON_TRIAL_IMAGE_CORRUPT, started: false };
    assert_eq!(device.record().trial, trial);
}

#[test]
fn an_image_that_changed_while_on_trial_is_not_started_again() {
    let device = Device::new("decayed");
    device.update(SlotId::A, 2);
    assert_eq!(booted(&device), (SlotId::B, 2, BootReason::Trial));
    device.damage(SlotId::B, 2000);
    assert_eq!(booted(&device), (SlotId::A, 1, BootReason::TrialEnded));
    let ended = |reason, trial| matches!(trial, Trial::Ended { reason: r, started: true, .. } if r == reason);
    assert!(ended(REASON_TRIAL_IMAGE_CORRUPT, device.record().trial));
}

#[test]
fn an_image_that_nobody_verified_is_not_booted_even_if_the_confirmed_one_is_gone() {
    let device = Device::new("unverified");
    device.burn(SlotId::B, &image(7));
    device.damage(SlotId::A, 0);
    assert_eq!(device.boot(), Err(BootError::NoBootableImage));
}

#[test]
fn an_image_linked_for_the_other_slot_is_not_booted() {
    let device = Device::new("linked");
    let mut linked = Header::parse(&image(7)).unwrap();
    linked.link = Link::Only(SlotId::B);
    let region = device.layout().slot(SlotId::A);
    let (from, to) = (region.offset_bytes(), region.offset_bytes() + region.len_bytes());
    poll_ready(Flash::erase(&mut device.flash(), from, to)).unwrap().unwrap();
    device.burn(SlotId::A, &linked.emit());
    assert_eq!(device.boot(), Err(BootError::NoBootableImage));
}

#[test]
fn a_download_goes_on_after_a_reset_where_the_journal_says() {
    let device = Device::new("resume");
    let image = image(2);
    let image_bytes = image.len() as u32;
    let mut program = device.start(SlotId::A);
    poll_ready(program.begin(image_bytes, 0)).unwrap().unwrap();
    for (index, block) in image.chunks(BLOCK_BYTES).enumerate().take(5) {
        poll_ready(program.write((index * BLOCK_BYTES) as u32, block)).unwrap().unwrap();
    }
    poll_ready(program.store_journal(&2560_u32.to_le_bytes())).unwrap().unwrap();
    drop(program);

    let mut program = device.start(SlotId::A);
    let mut frontier = [0; 4];
    assert_eq!(poll_ready(program.load_journal(&mut frontier)).unwrap(), Ok(4));
    let begun = poll_ready(program.begin(image_bytes, u32::from_le_bytes(frontier))).unwrap().unwrap();
    assert_eq!(begun, Reception { slot: SlotId::B, frontier_bytes: 2048, evicted: None });
    for (index, block) in image.chunks(BLOCK_BYTES).enumerate().skip(4) {
        poll_ready(program.write((index * BLOCK_BYTES) as u32, block)).unwrap().unwrap();
    }
    let der = sign(&image);
    let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &der };
    assert_eq!(poll_ready(program.verify(Some(&signature), "job")).unwrap(), Ok(Digest(Sha256::digest(&image).into())));
}

/// A flash that refuses writes to the region of the boot record.
struct WornOut(Nor);

impl Flash for WornOut {
    const READ_SIZE: usize = <Nor as Flash>::READ_SIZE;
    const WRITE_SIZE: usize = <Nor as Flash>::WRITE_SIZE;
    const ERASE_SIZE: usize = <Nor as Flash>::ERASE_SIZE;

    fn capacity(&self) -> usize {
        Flash::capacity(&self.0)
    }
    async fn read(&mut self, at: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        Flash::read(&mut self.0, at, out).await
    }
    async fn write(&mut self, _: u32, _: &[u8]) -> Result<(), NorFlashErrorKind> {
        Err(NorFlashErrorKind::Other)
    }
    async fn erase(&mut self, _: u32, _: u32) -> Result<(), NorFlashErrorKind> {
        Err(NorFlashErrorKind::Other)
    }
    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        Ok(())
    }
}

#[test]
fn a_trial_that_cannot_be_counted_is_not_started() {
    let device = Device::new("worn");
    device.update(SlotId::A, 2);
    let boot = device.boot_on(&mut WornOut(device.flash()), VerifyLevel::Header).unwrap().unwrap();
    assert_eq!(boot.slot, SlotId::A);
    assert!(matches!(boot.cause, BootReason::NotStored(Fault::Erase { .. })), "{:?}", boot.cause);
}

#[test]
fn a_flash_of_other_sectors_than_the_layouts_is_refused_before_it_is_read() {
    let device = Device::new("sectors");
    let path = std::env::temp_dir().join(format!("ota-boot-{}-coarse", std::process::id()));
    let mut coarse = FileFlash::<8, 2048>::open(&path, 26 * 1024).unwrap();
    let (layout, watchdog, level) = (device.layout(), &mut NoWatchdog, VerifyLevel::Header);
    let booted = boot(&mut coarse, &layout, watchdog, level, ResetCause::Other);
    let refused = LayoutError::GeometryUnsupported { word_bytes: 8, erase_bytes: 2048 };
    assert_eq!(poll_ready(booted).unwrap(), Err(BootError::Layout(refused)));
    std::fs::remove_file(&path).unwrap();
}
