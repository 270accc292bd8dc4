//! Tests of the rules of `native`, by step of an update, and what they share. Boots are in the tests of `ota-boot`.

use super::super::device::Platform;
use super::super::flash::boot_records::BootRecords;
use super::super::flash::image_header::read_header;
use super::super::only_async;
use super::super::testing::{CUTS, Op, Ram, header, image, public_key, run, sha256, sign, signing_key};
use super::*;
use crate::image::accept::VersionRule;
use crate::image::hardware::HardwareId;
use crate::image::header::Component;
use crate::image::header::{Header, HeaderError, Link};
use crate::image::version::Version;
use crate::platform::config::TRIAL_ATTEMPTS_DEFAULT;
use crate::platform::{ImageState, Reception};
use crate::store::layout::{Geometry, Layout, LayoutError};
use crate::verify::keys::KeySet;
use crate::verify::signature::{AcceptUnsigned, SignatureKind, SignatureRefusal};
use proptest::prelude::*;
use std::vec::Vec;

mod activate;
mod begin;
mod verdict;
mod verify;

pub(crate) const NEW_DEVICE: BootRecord = BootRecord::new_device(SlotId::A);
pub(crate) const SECTOR: usize = 1024;
const SLOT_BYTES: u32 = 5 * SECTOR as u32;

pub(crate) type Nor = Ram<1, 4, SECTOR>;
pub(crate) type Device<'a> = Native<&'a mut Nor, KeySet<1>, NoReset>;

pub(crate) struct NoReset;

impl Reset for NoReset {
    fn reset(&mut self) {}
}

pub(crate) fn config(flash: &Nor) -> DeviceConfig {
    DeviceConfig {
        layout: Layout::split(Geometry::of(flash)).unwrap(),
        hardware: HardwareId::new("board").unwrap(),
        component: Component::App,
        version_rule: VersionRule::Newer,
        security_counter_min: 0,
        key_epoch: 0,
        system_version: crate::Version::default(),
        trial_attempts: TRIAL_ATTEMPTS_DEFAULT,
    }
}

pub(crate) fn device(flash: &mut Nor, running: SlotId) -> Device<'_> {
    let mut keys = KeySet::new();
    keys.add(public_key("key", &signing_key("key"))).unwrap();
    let config = config(flash);
    let selector = OwnSelector::new(&config.layout, running);
    Native::from_parts(flash, keys, NoReset, NoWatchdog, config, selector).unwrap()
}

/// Returns a flash with version 1.0.1 in slot A.
pub(crate) fn flash() -> Nor {
    let mut flash = Nor::new(16);
    let at = Layout::split(Geometry::of(&flash)).unwrap().slot(SlotId::A).offset_bytes();
    run(flash.write(at, &running_image())).unwrap();
    flash.ops.clear();
    flash
}

pub(crate) fn running_image() -> Vec<u8> {
    image(&header(Version::new(1, 0, 1), 1000))
}

pub(crate) fn new_header() -> Header {
    header(Version::new(1, 0, 2), 2345)
}

pub(crate) fn receive(device: &mut Device<'_>, image: &[u8]) -> Reception {
    let begun = run(device.begin(image.len() as u32, 0)).unwrap();
    for (index, block) in image.chunks(512).enumerate() {
        run(device.write(index as u32 * 512, block)).unwrap();
    }
    begun
}

pub(crate) fn verify(device: &mut Device<'_>, signed: &[u8]) -> Result<Digest, Refusal> {
    let der = sign(&signing_key("key"), &sha256(signed));
    run(device.verify(Some(&Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &der }), "job-7"))
}

pub(crate) fn record(flash: &mut Nor) -> BootRecord {
    let layout = config(flash).layout;
    run(BootRecords::new(&layout).load(flash)).unwrap()
}

pub(crate) fn put_record(flash: &mut Nor, record: BootRecord) {
    let layout = config(flash).layout;
    run(BootRecords::new(&layout).store(flash, &record)).unwrap();
}

pub(crate) fn trial_started() -> BootRecord {
    let trial =
        Trial::Started { slot: SlotId::B, digest: Digest([1; 32]), image_bytes: 9, attempts_left: 2, power_losses: 0 };
    BootRecord { confirmed: SlotId::A, trial, ..NEW_DEVICE }
}

#[test]
fn a_configuration_that_does_not_fit_is_refused() {
    for got in [0, 16] {
        let mut flash = flash();
        let config = DeviceConfig { trial_attempts: got, ..config(&flash) };
        let refused = Native::from_parts(
            &mut flash,
            KeySet::<1>::new(),
            NoReset,
            NoWatchdog,
            config,
            OwnSelector::new(&config.layout, SlotId::A),
        )
        .err();
        assert_eq!(refused, Some(ConfigError::TrialAttempts { got }));
    }
    let config = config(&flash());
    let mut smaller = Nor::new(15);
    let refused = Native::from_parts(
        &mut smaller,
        KeySet::<1>::new(),
        NoReset,
        NoWatchdog,
        config,
        OwnSelector::new(&config.layout, SlotId::A),
    )
    .err();
    assert!(matches!(refused, Some(ConfigError::Layout(LayoutError::OutOfRange { .. }))), "{refused:?}");
}

#[test]
fn the_journal_is_durable_with_the_blocks_before_it() {
    let mut flash = flash();
    let mut device = device(&mut flash, SlotId::A);
    let mut out = [0; 16];
    assert_eq!(run(device.load_journal(&mut out)), Ok(0));
    receive(&mut device, &[1; 512]);
    run(device.store_journal(b"frontier 512")).unwrap();
    assert_eq!(run(device.load_journal(&mut out)), Ok(12));
    assert_eq!(&out[..12], b"frontier 512");
    let last_block = flash.ops.iter().rposition(|op| matches!(op, Op::Write(at) if *at >= 4096)).unwrap();
    assert_eq!(flash.ops[last_block + 1], Op::Sync);
    assert_eq!(flash.ops.last(), Some(&Op::Sync));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_flash_contents_are_a_boot_state_or_a_fault(bytes in proptest::collection::vec(any::<u8>(), 16 * SECTOR)) {
        let mut flash = Nor::holding(bytes);
        let mut device = device(&mut flash, SlotId::A);
        let _ = run(device.boot_state());
        let _ = run(device.load_journal(&mut [0; 192]));
        let _ = run(device.begin(1000, 0));
        let _ = run(device.check_header());
    }
}

#[only_async]
#[test]
fn no_future_holds_a_large_buffer() {
    // On a host with 64-bit pointers: a boot record and its encoding, but no third buffer of that size.
    const FUTURE_BYTES_MAX: usize = 2150;
    fn bytes(future: impl Future) -> usize {
        size_of_val(&future)
    }
    let mut flash = flash();
    let mut device = device(&mut flash, SlotId::A);
    let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &[] };
    let digest = Digest([0; 32]);
    let sizes = [
        bytes(device.store_journal(&[])),
        bytes(device.write(0, &[])),
        bytes(device.verify(Some(&signature), "job-7")),
        bytes(device.activate(SlotId::B, &digest, 1)),
        bytes(device.roll_back(1)),
    ];
    assert!(sizes.iter().all(|size| *size <= FUTURE_BYTES_MAX), "{sizes:?}");
}

/// Counts how often it is called.
#[derive(Default)]
pub(super) struct Counted(pub(super) std::rc::Rc<core::cell::Cell<u32>>);

impl Watchdog for Counted {
    fn feed(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

impl Reset for Counted {
    fn reset(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn watchdog_and_reset_are_those_of_the_device_and_every_hash_feeds_the_watchdog() {
    let (mut flash, image) = (flash(), image(&header(Version::new(1, 0, 2), 4_500)));
    let (config, feeds, resets) = (config(&flash), Counted::default(), Counted::default());
    let (fed, reset) = (feeds.0.clone(), resets.0.clone());
    let mut keys = KeySet::<1>::new();
    keys.add(public_key("key", &signing_key("key"))).unwrap();
    let selector = OwnSelector::new(&config.layout, SlotId::A);
    let mut device = Native::from_parts(&mut flash, keys, resets, feeds, config, selector).unwrap();
    Platform::feed_watchdog(&mut device);
    Platform::reset(&mut device);
    assert_eq!((fed.get(), reset.get()), (1, 1));
    assert_eq!(Platform::watchdog_ms(&device), Some(1_000));

    let begun = run(device.begin(image.len() as u32, 0)).unwrap();
    run(device.write(0, &image)).unwrap();
    let der = sign(&signing_key("key"), &sha256(&image));
    let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &der };
    let digest = run(device.verify(Some(&signature), "job")).unwrap();
    let verified = fed.get();
    assert!(verified > 1, "while the new image is hashed");
    run(device.activate(begun.slot, &digest, image.len() as u32)).unwrap();
    assert!(fed.get() >= verified + 2, "an image of more than one step");
}

/// Without a wait the pump would feed it without end.
#[test]
fn the_watchdog_is_fed_once_a_millisecond_at_most() {
    struct Tight;
    impl Watchdog for Tight {
        fn feed(&mut self) {}

        fn idle_ms(&self) -> Option<u32> {
            Some(0)
        }
    }
    let mut flash = flash();
    assert_eq!(device(&mut flash, SlotId::A).with_watchdog(Tight).watchdog_ms(), Some(1));
}
