//! Tests of the rules of `native`: when an image may be received, what is verified, and the effects of confirm and
//! rollback. Boots are in the tests of `ota-boot`.

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
    let trial = Trial::Started { slot: SlotId::B, digest: Digest([1; 32]), image_bytes: 9, attempts_left: 2 };
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
fn a_good_image_is_received_verified_and_activated_once() {
    let mut flash = flash();
    let image = image(&new_header());
    let mut device = device(&mut flash, SlotId::A);
    let begun = receive(&mut device, &image);
    assert_eq!(begun, Reception { slot: SlotId::B, frontier_bytes: 0, evicted: None });
    assert_eq!(run(device.check_header()), Ok(new_header().into()));
    let digest = verify(&mut device, &image).unwrap();
    assert_eq!(digest, sha256(&image));
    assert_eq!(run(device.write(0, &[0; 4])), Err(Fault::NothingBegun), "a verified image is not written");

    let image_bytes = image.len() as u32;
    run(device.activate(SlotId::B, &digest, image_bytes)).unwrap();
    let trial = Trial::Pending { slot: SlotId::B, digest, image_bytes, attempts_left: 3 };
    assert_eq!(run(device.boot_state()).unwrap().trial, trial);
    device.flash.ops.clear();
    run(device.activate(SlotId::B, &digest, image_bytes)).unwrap();
    assert_eq!(device.flash.ops, [], "activating again changes nothing");
    assert_eq!(run(device.begin(image_bytes, 0)), Err(Refusal::TrialRunning), "the slot has a pending trial");
}

#[test]
fn lengths_that_do_not_fit_the_slot_are_refused() {
    let mut flash = flash();
    let mut device = device(&mut flash, SlotId::A);
    assert_eq!(run(device.begin(0, 0)), Err(Refusal::ImageEmpty));
    let got = SLOT_BYTES + 1;
    assert_eq!(run(device.begin(got, 0)), Err(Refusal::ImageTooLarge { got, max: SLOT_BYTES }));
    assert!(run(device.begin(SLOT_BYTES, 0)).is_ok());
}

#[test]
fn kept_bytes_are_rounded_down_to_a_sector_and_never_exceed_the_image() {
    let mut flash = flash();
    let mut device = device(&mut flash, SlotId::A);
    let sector = SECTOR as u32;
    for (keep_bytes, frontier_bytes) in [(0, 0), (sector - 1, 0), (sector, sector), (2600, 2048), (u32::MAX, 2048)] {
        let begun = run(device.begin(3000, keep_bytes)).unwrap();
        assert_eq!(begun.frontier_bytes, frontier_bytes, "{keep_bytes}");
    }
}

#[test]
fn without_an_image_begun_nothing_is_written_or_verified() {
    let mut flash = flash();
    let mut device = device(&mut flash, SlotId::A);
    assert_eq!(run(device.write(0, &[0; 4])), Err(Fault::NothingBegun));
    assert_eq!(run(device.idle_step(0)), Err(Fault::NothingBegun));
    assert_eq!(run(device.check_header()), Err(Refusal::Fault(Fault::NothingBegun)));
    assert_eq!(verify(&mut device, b""), Err(Refusal::Fault(Fault::NothingBegun)));
}

#[test]
fn a_tampered_image_is_not_verified() {
    let mut flash = flash();
    let genuine = image(&new_header());
    let mut tampered = genuine.clone();
    *tampered.last_mut().unwrap() ^= 1;
    let mut device = device(&mut flash, SlotId::A);
    receive(&mut device, &tampered);
    assert_eq!(verify(&mut device, &genuine), Err(Refusal::Signature(SignatureRefusal::SignatureInvalid)));
}

#[test]
fn an_image_without_signature_is_verified_only_where_the_device_says_so() {
    let image = image(&new_header());
    let (mut flash, mut bench) = (flash(), flash());
    let mut device = device(&mut flash, SlotId::A);
    receive(&mut device, &image);
    let missing = Refusal::Signature(SignatureRefusal::SignatureMissing);
    assert_eq!((device.check_kind(None), run(device.verify(None, ""))), (Err(missing), Err(missing)));

    let config = config(&bench);
    let verifier = AcceptUnsigned(KeySet::<1>::new());
    let selector = OwnSelector::new(&config.layout, SlotId::A);
    let mut device = Native::from_parts(&mut bench, verifier, NoReset, NoWatchdog, config, selector).unwrap();
    run(device.begin(image.len() as u32, 0)).unwrap();
    run(device.write(0, &image)).unwrap();
    assert_eq!((device.check_kind(None), run(device.verify(None, ""))), (Ok(()), Ok(sha256(&image))));
}

#[test]
fn an_image_of_a_revoked_key_is_neither_verified_nor_known_to_run() {
    let mut flash = flash();
    let (running, image) = (running_image(), image(&new_header()));
    let mut device = device(&mut flash, SlotId::A);
    run(device.floors.raise(&mut device.flash, RollbackCounters { security_counter: 0, key_epoch: 1 })).unwrap();
    receive(&mut device, &image);
    let revoked = SignatureRefusal::KeyRevoked { epoch: 0, epoch_min: 1 };
    assert_eq!(verify(&mut device, &image), Err(Refusal::Signature(revoked)));
    let der = sign(&signing_key("key"), &sha256(&running));
    let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &der };
    assert_eq!(run(device.runs_already(running.len() as u32, &signature)), Ok(None));
}

#[test]
fn a_flash_that_changed_after_the_seal_is_not_activated() {
    let mut flash = flash();
    let image = image(&new_header());
    let mut device = device(&mut flash, SlotId::A);
    receive(&mut device, &image);
    let digest = verify(&mut device, &image).unwrap();
    let at = device.config.layout.slot(SlotId::B).offset_bytes() as usize + 1000;
    device.flash.bytes[at] ^= 1;
    let refused = run(device.activate(SlotId::B, &digest, image.len() as u32));
    assert_eq!(refused, Err(Refusal::DigestMismatch { slot: SlotId::B }));
    let record = record(&mut flash);
    assert_eq!((record.confirmed, record.trial), (SlotId::A, Trial::None));
}

#[test]
fn an_image_that_was_not_verified_is_not_activated_whoever_names_its_digest() {
    let mut flash = flash();
    let image = image(&new_header());
    let mut device = device(&mut flash, SlotId::A);
    receive(&mut device, &image);
    let refused = run(device.activate(SlotId::B, &sha256(&image), image.len() as u32));
    assert_eq!(refused, Err(Refusal::DigestMismatch { slot: SlotId::B }));
}

#[test]
fn a_trial_has_as_many_boots_as_the_device_says() {
    for trial_attempts in [1, 15] {
        let mut flash = flash();
        let image = image(&new_header());
        let mut device = device(&mut flash, SlotId::A);
        device.config.trial_attempts = trial_attempts;
        receive(&mut device, &image);
        let digest = verify(&mut device, &image).unwrap();
        run(device.activate(SlotId::B, &digest, image.len() as u32)).unwrap();
        let trial = record(&mut flash).trial;
        assert!(matches!(trial, Trial::Pending { attempts_left, .. } if attempts_left == trial_attempts), "{trial:?}");
    }
}

#[test]
fn a_signed_image_that_this_device_does_not_take_is_not_verified() {
    let good = new_header();
    let older = Header { version: Version::new(1, 0, 1), ..good };
    let foreign = Header { hardware: HardwareId::new("other").unwrap(), ..good };
    let linked = Header { link: Link::Only(SlotId::A), ..good };
    let (have, got) = (older.version, older.version);
    for (header, refusal) in [
        (older, Refusal::VersionNotNewer { have, got }),
        (foreign, Refusal::WrongHardware { got: foreign.hardware }),
        (linked, Refusal::WrongSlotLink { slot: SlotId::B }),
    ] {
        let mut flash = flash();
        let image = image(&header);
        let mut device = device(&mut flash, SlotId::A);
        receive(&mut device, &image);
        assert_eq!(run(device.check_header()), Err(refusal));
        assert_eq!(verify(&mut device, &image), Err(refusal));
    }
    let mut flash = flash();
    let mut device = device(&mut flash, SlotId::A);
    receive(&mut device, &[0xFF; 1024]);
    let refusal = Refusal::ImageHeaderInvalid(HeaderError::NotAnImage { magic: [0xFF; 4] });
    assert_eq!(verify(&mut device, &[0xFF; 1024]), Err(refusal));
}

#[test]
fn the_security_counter_never_falls_below_the_running_image_nor_the_configured_one() {
    let running = Header { security_counter: 4, ..header(Version::new(1, 0, 1), 1000) };
    for (configured, have) in [(0, 4), (6, 6)] {
        let mut flash = Nor::new(16);
        let config = DeviceConfig { security_counter_min: configured, ..config(&flash) };
        run(flash.write(config.layout.slot(SlotId::A).offset_bytes(), &image(&running))).unwrap();
        let offered = image(&Header { security_counter: 3, ..new_header() });
        let mut device = device(&mut flash, SlotId::A);
        device.config = config;
        receive(&mut device, &offered);
        assert_eq!(run(device.check_header()), Err(Refusal::SecurityCounterTooLow { have, got: 3 }));
    }
}

#[test]
fn the_running_slot_is_never_activated_nor_touched_on_trial() {
    let mut flash = flash();
    let digest = Digest([1; 32]);
    let refused = run(device(&mut flash, SlotId::A).activate(SlotId::A, &digest, 9));
    assert_eq!(refused, Err(Refusal::SlotRuns { slot: SlotId::A }));
    // On trial from B, then rolled back but not reset: A is the confirmed image.
    put_record(&mut flash, trial_started());
    for _ in 0..2 {
        let mut device = device(&mut flash, SlotId::B);
        assert_eq!(run(device.begin(1000, 0)), Err(Refusal::TrialRunning));
        assert_eq!(run(device.activate(SlotId::A, &digest, 9)), Err(Refusal::TrialRunning));
        run(device.roll_back(7)).unwrap();
    }
}

#[test]
fn confirming_makes_the_running_slot_the_confirmed_one_and_repeats_harmlessly() {
    let mut flash = flash();
    put_record(&mut flash, trial_started());
    run(device(&mut flash, SlotId::B).confirm()).unwrap();
    let confirmed = BootRecord { confirmed: SlotId::B, trial: Trial::None, ..NEW_DEVICE };
    assert_eq!(record(&mut flash), confirmed);
    flash.ops.clear();
    run(device(&mut flash, SlotId::B).confirm()).unwrap();
    assert_eq!(flash.ops, []);
    assert_eq!(run(device(&mut flash, SlotId::B).roll_back(1)), Err(Fault::NoTrialRuns));
}

#[test]
fn a_roll_back_keeps_its_first_reason_and_cannot_be_confirmed() {
    let mut flash = flash();
    put_record(&mut flash, trial_started());
    let mut device = device(&mut flash, SlotId::B);
    run(device.roll_back(0x0601)).unwrap();
    run(device.roll_back(0x0602)).unwrap();
    assert_eq!(run(device.confirm()), Err(Fault::NoTrialRuns));
    let trial = Trial::Ended { slot: SlotId::B, digest: Digest([1; 32]), reason: 0x0601, started: true };
    assert_eq!(record(&mut flash), BootRecord { confirmed: SlotId::A, trial, ..NEW_DEVICE });
}

#[test]
fn the_state_of_the_running_image_is_what_the_boot_record_says() {
    let trial = Trial::Ended { slot: SlotId::B, digest: Digest([1; 32]), reason: 7, started: true };
    let ended = BootRecord { confirmed: SlotId::A, trial, ..NEW_DEVICE };
    for (record, running, state) in [
        (NEW_DEVICE, SlotId::A, ImageState::Confirmed),
        (trial_started(), SlotId::A, ImageState::Confirmed),
        (trial_started(), SlotId::B, ImageState::OnTrial),
        (ended, SlotId::A, ImageState::Confirmed),
        (ended, SlotId::B, ImageState::RolledBack),
    ] {
        let mut flash = flash();
        put_record(&mut flash, record);
        let found = run(device(&mut flash, running).boot_state()).unwrap();
        assert_eq!((found.running, found.image_state()), (running, state), "{record:?}");
    }
}

#[test]
fn a_trial_that_ended_is_forgotten_when_the_next_image_begins() {
    let mut flash = flash();
    let trial = Trial::Ended { slot: SlotId::B, digest: Digest([1; 32]), reason: 0x0601, started: true };
    put_record(&mut flash, BootRecord { confirmed: SlotId::A, trial, ..NEW_DEVICE });
    run(device(&mut flash, SlotId::A).begin(1000, 0)).unwrap();
    assert_eq!(record(&mut flash).trial, Trial::None);
}

#[test]
fn an_abandoned_image_is_none_and_the_running_and_the_confirmed_one_cannot_be_abandoned() {
    let mut flash = flash();
    put_record(&mut flash, trial_started());
    assert_eq!(run(device(&mut flash, SlotId::B).invalidate(SlotId::A)), Err(Refusal::SlotRuns { slot: SlotId::A }));
    assert_eq!(run(device(&mut flash, SlotId::B).invalidate(SlotId::B)), Err(Refusal::SlotRuns { slot: SlotId::B }));
    let mut device = device(&mut flash, SlotId::A);
    let region = device.config.layout.slot(SlotId::B);
    run(device.flash.write(region.offset_bytes(), &new_header().emit())).unwrap();
    run(device.invalidate(SlotId::B)).unwrap();
    assert_eq!(run(read_header(&mut device.flash, region)), Ok(Err(HeaderError::NotAnImage { magic: [0xFF; 4] })));
}

#[test]
fn an_image_that_is_not_on_trial_cannot_be_confirmed() {
    let mut flash = flash();
    assert_eq!(run(device(&mut flash, SlotId::B).confirm()), Err(Fault::NoTrialRuns));
    assert_eq!(record(&mut flash), NEW_DEVICE);
}

#[test]
fn a_cut_in_a_verdict_leaves_the_trial_or_the_verdict() {
    for (operation, cut) in (0..4).flat_map(|operation| CUTS.map(|cut| (operation, cut))) {
        let mut flash = flash();
        put_record(&mut flash, trial_started());
        flash.power_on();
        flash.cut = Some((operation, cut));
        let confirmed = run(device(&mut flash, SlotId::B).confirm());
        flash.power_on();
        let new = BootRecord { confirmed: SlotId::B, trial: Trial::None, ..NEW_DEVICE };
        let found = record(&mut flash);
        assert!(found == new || (found == trial_started() && confirmed.is_err()), "{operation} {cut:?}: {found:?}");
        run(device(&mut flash, SlotId::B).confirm()).unwrap();
        assert_eq!(record(&mut flash), new);
    }
}

#[test]
fn only_the_signed_and_confirmed_image_runs_already() {
    let mut flash = flash();
    let running = running_image();
    let len = running.len() as u32;
    let ask = |flash: &mut Nor, image_bytes, signed: &[u8], running| {
        let der = sign(&signing_key("key"), &sha256(signed));
        let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &der };
        run(device(flash, running).runs_already(image_bytes, &signature)).unwrap()
    };
    assert_eq!(ask(&mut flash, len, &running, SlotId::A), Some(sha256(&running)));
    assert_eq!(ask(&mut flash, len + 1, &running, SlotId::A), None, "another length");
    assert_eq!(ask(&mut flash, len, b"another image", SlotId::A), None, "another image's signature");
    put_record(&mut flash, BootRecord { confirmed: SlotId::B, trial: Trial::None, ..NEW_DEVICE });
    assert_eq!(ask(&mut flash, len, &running, SlotId::A), None, "not confirmed");
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
    const FUTURE_BYTES_MAX: usize = 1920;
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

#[test]
fn a_verdict_is_only_of_the_image_that_runs_on_trial() {
    let digest = Digest([1; 32]);
    let started = |slot| Trial::Started { slot, digest, image_bytes: 9, attempts_left: 2 };
    let ended = |slot| Trial::Ended { slot, digest, reason: 7, started: true };
    for (running, confirmed, trial) in [
        (SlotId::B, SlotId::A, started(SlotId::C)),
        (SlotId::B, SlotId::A, Trial::None),
        (SlotId::A, SlotId::A, ended(SlotId::B)),
        (SlotId::A, SlotId::A, started(SlotId::B)),
    ] {
        let (mut flash, before) = (flash(), BootRecord { confirmed, trial, ..NEW_DEVICE });
        put_record(&mut flash, before);
        assert_eq!(run(device(&mut flash, running).roll_back(9)), Err(Fault::NoTrialRuns), "{running} {trial:?}");
        let confirm = if running == confirmed { Ok(()) } else { Err(Fault::NoTrialRuns) };
        assert_eq!(run(device(&mut flash, running).confirm()), confirm, "{running} {trial:?}");
        assert_eq!(record(&mut flash), before);
    }
}

#[test]
fn the_image_of_a_trial_that_is_rolled_back_is_marked_as_failed() {
    let (mut flash, image) = (flash(), image(&new_header()));
    let mut old = device(&mut flash, SlotId::A);
    receive(&mut old, &image);
    let digest = verify(&mut old, &image).unwrap();
    let trial = Trial::Started { slot: SlotId::B, digest, image_bytes: image.len() as u32, attempts_left: 0 };
    let verified = record(&mut flash);
    put_record(&mut flash, BootRecord { trial, ..verified });
    run(device(&mut flash, SlotId::B).roll_back(9)).unwrap();
    let status = record(&mut flash).images.get(SlotId::B).map(|image| image.status);
    assert_eq!(status, Some(crate::store::images::ImageStatus::Failed));
}

#[test]
fn a_verified_image_is_activated_in_place_of_an_older_pending_one_and_beside_no_other_trial() {
    let (mut flash, image) = (flash(), image(&new_header()));
    let mut old = device(&mut flash, SlotId::A);
    receive(&mut old, &image);
    let (digest, other, image_bytes) = (verify(&mut old, &image).unwrap(), Digest([1; 32]), image.len() as u32);
    let verified = record(&mut flash);
    let pending = |digest, attempts_left| Trial::Pending { slot: SlotId::B, digest, image_bytes, attempts_left };
    let started = |slot, digest| Trial::Started { slot, digest, image_bytes, attempts_left: 1 };
    let fresh = pending(digest, TRIAL_ATTEMPTS_DEFAULT);
    for (before, result, after) in [
        (Trial::None, Ok(()), fresh),
        (pending(other, 1), Ok(()), fresh),
        (pending(digest, 1), Ok(()), pending(digest, 1)),
        (started(SlotId::B, digest), Ok(()), started(SlotId::B, digest)),
        (started(SlotId::B, other), Err(Refusal::TrialRunning), started(SlotId::B, other)),
        (started(SlotId::C, digest), Err(Refusal::TrialRunning), started(SlotId::C, digest)),
    ] {
        put_record(&mut flash, BootRecord { trial: before, ..verified });
        assert_eq!(run(device(&mut flash, SlotId::A).activate(SlotId::B, &digest, image_bytes)), result, "{before:?}");
        assert_eq!(record(&mut flash).trial, after, "{before:?}");
    }
}

#[test]
fn after_the_order_of_a_factory_reset_nothing_is_received_or_activated() {
    let (mut flash, image) = (flash(), image(&new_header()));
    let mut old = device(&mut flash, SlotId::A);
    receive(&mut old, &image);
    let digest = verify(&mut old, &image).unwrap();
    let ordered = BootRecord { factory_reset_pending: true, ..record(&mut flash) };
    put_record(&mut flash, ordered);
    let mut device = device(&mut flash, SlotId::A);
    assert_eq!(run(device.activate(SlotId::B, &digest, image.len() as u32)), Err(Refusal::TrialRunning));
    assert_eq!(run(device.begin(1000, 0)), Err(Refusal::TrialRunning));
    assert_eq!(record(&mut flash), ordered);
}

/// Counts how often it is called.
#[derive(Default)]
struct Counted(std::rc::Rc<core::cell::Cell<u32>>);

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
    device.feed_watchdog();
    device.reset();
    assert_eq!((fed.get(), reset.get()), (1, 1));

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
