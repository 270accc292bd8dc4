//! Whole updates over a flash file: received, sealed, activated, booted, then confirmed, rolled back, or left without a word.
//! Every step opens the file anew, as a reset does.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use embedded_storage::nor_flash::NorFlashErrorKind;

use ota_boot::{Boot, BootError, Cause, REASON_ATTEMPTS_EXHAUSTED, REASON_TRIAL_IMAGE_CORRUPT, boot};
use ota_pal::header::Body;
use ota_pal::{
    Begun, BootRecord, Component, Config, Digest, Fault, FileFlash, Flash, Geometry, HardwareId, Header, Key, KeySet,
    Layout, Link, Native, NoWatchdog, Platform, Reset, Signature, SignatureKind, SlotId, Trial, Version, VersionRule,
    now,
};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use sha2::{Digest as _, Sha256};

const CAPACITY_BYTES: u32 = 24 * 1024;
const BLOCK_BYTES: usize = 512;

type Nor = FileFlash<8, 1024>;

struct NoReset;

impl Reset for NoReset {
    fn reset(&mut self) {}
}

/// A device that is nothing but its flash file.
struct Device(PathBuf);

impl Drop for Device {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Device {
    /// A new device with version 1.0.1 in slot A.
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ota-boot-{}-{test}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let device = Self(path);
        device.burn(SlotId::A, &image(1));
        device
    }

    fn flash(&self) -> Nor {
        Nor::open(&self.0, CAPACITY_BYTES).unwrap()
    }

    fn layout(&self) -> Layout {
        Layout::split(Geometry::of(&self.flash())).unwrap()
    }

    /// Writes an image as a factory does.
    fn burn(&self, slot: SlotId, image: &[u8]) {
        let (mut flash, at) = (self.flash(), self.layout().slot(slot).offset_bytes());
        let mut padded = image.to_vec();
        padded.resize(image.len().next_multiple_of(8), 0xFF);
        now(Flash::write(&mut flash, at, &padded)).unwrap().unwrap();
    }

    /// Clears a byte of a slot behind everybody's back.
    fn damage(&self, slot: SlotId, offset_bytes: u32) {
        let at = self.layout().slot(slot).offset_bytes() + offset_bytes;
        let mut bytes = std::fs::read(&self.0).unwrap();
        bytes[at as usize] ^= 0x55;
        std::fs::write(&self.0, bytes).unwrap();
    }

    fn boot(&self) -> Result<Boot, BootError> {
        now(boot(&mut self.flash(), &self.layout(), &mut NoWatchdog)).unwrap()
    }

    fn record(&self) -> BootRecord {
        now(ota_pal::BootRecords::new(&self.layout()).load(&mut self.flash())).unwrap().unwrap()
    }

    /// The program in slot `running` starts.
    fn start(&self, running: SlotId) -> Native<Nor, KeySet<1>, NoReset> {
        let public = signing_key().verifying_key().to_sec1_point(false);
        let mut keys = KeySet::new();
        keys.add(Key::new("release", public.as_bytes()).unwrap()).unwrap();
        let config = Config {
            layout: self.layout(),
            hardware: HardwareId::new("board").unwrap(),
            component: Component::App,
            version_rule: VersionRule::Newer,
            security_counter_min: 0,
            running,
            trial_attempts: 3,
        };
        Native::new(self.flash(), keys, NoReset, NoWatchdog, config).unwrap()
    }

    /// Receives and activates version 1.0.`patch` from slot `running`.
    fn update(&self, running: SlotId, patch: u32) -> Digest {
        let image = image(patch);
        let mut program = self.start(running);
        let begun = now(program.begin(image.len() as u32, 0)).unwrap().unwrap();
        for (index, block) in image.chunks(BLOCK_BYTES).enumerate() {
            now(program.write((index * BLOCK_BYTES) as u32, block)).unwrap().unwrap();
        }
        let der = sign(&image);
        let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: Some("release"), bytes: &der };
        let digest = now(program.seal(Some(&signature))).unwrap().unwrap();
        now(program.activate(begun.slot, &digest, image.len() as u32)).unwrap().unwrap();
        digest
    }
}

fn signing_key() -> SigningKey {
    SigningKey::from_slice(&Sha256::digest("release key of this run")).unwrap()
}

fn sign(image: &[u8]) -> Vec<u8> {
    let signature: p256::ecdsa::Signature = signing_key().sign_prehash(&Sha256::digest(image)).unwrap();
    signature.to_der().as_bytes().to_vec()
}

fn image(patch: u32) -> Vec<u8> {
    let header = Header {
        component: Component::App,
        link: Link::Any,
        hardware: HardwareId::new("board").unwrap(),
        version: Version::new(1, 0, patch),
        security_counter: 0,
        load_address: 0,
        body: Body::new(512, 3333).unwrap(),
        release_id: u64::from(patch),
    };
    let mut image = header.emit().to_vec();
    image.resize(512, 0);
    image.resize(header.image_bytes() as usize, patch as u8);
    image
}

fn booted(device: &Device) -> (SlotId, u32, Cause) {
    let boot = device.boot().unwrap();
    (boot.slot, boot.header.version.patch, boot.cause)
}

#[test]
fn a_good_image_is_tried_confirmed_and_stays() {
    let device = Device::new("good");
    assert_eq!(booted(&device), (SlotId::A, 1, Cause::Confirmed));
    let digest = device.update(SlotId::A, 2);
    assert_eq!(booted(&device), (SlotId::B, 2, Cause::Trial));

    let mut program = device.start(SlotId::B);
    let state = now(program.boot_state()).unwrap().unwrap();
    assert_eq!((state.running, state.confirmed), (SlotId::B, SlotId::A));
    assert!(matches!(state.trial, Trial::Started { attempts_left: 2, .. }));
    assert_eq!(now(program.running_digest(3845)).unwrap(), Ok(digest));
    now(program.confirm()).unwrap().unwrap();

    for _ in 0..5 {
        assert_eq!(booted(&device), (SlotId::B, 2, Cause::Confirmed));
    }
    device.update(SlotId::B, 3);
    assert_eq!(booted(&device), (SlotId::A, 3, Cause::Trial));
}

#[test]
fn a_bad_image_is_rolled_back_and_the_reason_stays() {
    let device = Device::new("bad");
    let digest = device.update(SlotId::A, 2);
    assert_eq!(booted(&device), (SlotId::B, 2, Cause::Trial));
    now(device.start(SlotId::B).roll_back(0x0601)).unwrap().unwrap();
    assert_eq!(booted(&device), (SlotId::A, 1, Cause::Confirmed));
    let trial = Trial::Ended { slot: SlotId::B, digest, reason: 0x0601, started: true };
    assert_eq!(device.record(), BootRecord { confirmed: SlotId::A, trial });
    device.update(SlotId::A, 3);
    assert_eq!(booted(&device), (SlotId::B, 3, Cause::Trial));
}

#[test]
fn an_image_that_never_speaks_is_given_three_boots() {
    let device = Device::new("silent");
    let digest = device.update(SlotId::A, 2);
    for _ in 0..3 {
        assert_eq!(booted(&device), (SlotId::B, 2, Cause::Trial));
    }
    assert_eq!(booted(&device), (SlotId::A, 1, Cause::TrialEnded));
    let trial = Trial::Ended { slot: SlotId::B, digest, reason: REASON_ATTEMPTS_EXHAUSTED, started: true };
    assert_eq!(device.record().trial, trial);
    assert_eq!(booted(&device), (SlotId::A, 1, Cause::Confirmed));
}

#[test]
fn an_image_that_changed_after_activation_is_never_started() {
    let device = Device::new("corrupt");
    let digest = device.update(SlotId::A, 2);
    device.damage(SlotId::B, 2000);
    assert_eq!(booted(&device), (SlotId::A, 1, Cause::TrialEnded));
    let trial = Trial::Ended { slot: SlotId::B, digest, reason: REASON_TRIAL_IMAGE_CORRUPT, started: false };
    assert_eq!(device.record().trial, trial);
}

#[test]
fn an_image_that_changed_while_on_trial_is_not_started_again() {
    let device = Device::new("decayed");
    device.update(SlotId::A, 2);
    assert_eq!(booted(&device), (SlotId::B, 2, Cause::Trial));
    device.damage(SlotId::B, 2000);
    assert_eq!(booted(&device), (SlotId::A, 1, Cause::TrialEnded));
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
    now(Flash::erase(&mut device.flash(), from, to)).unwrap().unwrap();
    device.burn(SlotId::A, &linked.emit());
    assert_eq!(device.boot(), Err(BootError::NoBootableImage));
}

#[test]
fn a_download_goes_on_after_a_reset_where_the_journal_says() {
    let device = Device::new("resume");
    let image = image(2);
    let image_bytes = image.len() as u32;
    let mut program = device.start(SlotId::A);
    now(program.begin(image_bytes, 0)).unwrap().unwrap();
    for (index, block) in image.chunks(BLOCK_BYTES).enumerate().take(5) {
        now(program.write((index * BLOCK_BYTES) as u32, block)).unwrap().unwrap();
    }
    now(program.store_journal(&2560_u32.to_le_bytes())).unwrap().unwrap();
    drop(program);

    let mut program = device.start(SlotId::A);
    let mut frontier = [0; 4];
    assert_eq!(now(program.load_journal(&mut frontier)).unwrap(), Ok(4));
    let begun = now(program.begin(image_bytes, u32::from_le_bytes(frontier))).unwrap().unwrap();
    assert_eq!(begun, Begun { slot: SlotId::B, frontier_bytes: 2048 });
    for (index, block) in image.chunks(BLOCK_BYTES).enumerate().skip(4) {
        now(program.write((index * BLOCK_BYTES) as u32, block)).unwrap().unwrap();
    }
    let der = sign(&image);
    let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &der };
    assert_eq!(now(program.seal(Some(&signature))).unwrap(), Ok(Digest(Sha256::digest(&image).into())));
}

/// A flash whose boot record region takes no writes.
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
    let boot = now(boot(&mut WornOut(device.flash()), &device.layout(), &mut NoWatchdog)).unwrap().unwrap();
    assert_eq!(boot.slot, SlotId::A);
    assert!(matches!(boot.cause, Cause::TrialNotStored(Fault::Erase { .. })), "{:?}", boot.cause);
}
