//! What is activated, and beside which trial.

use super::*;

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
fn an_image_that_was_not_verified_is_not_activated_by_its_digest() {
    let mut flash = flash();
    let image = image(&new_header());
    let mut device = device(&mut flash, SlotId::A);
    receive(&mut device, &image);
    let refused = run(device.activate(SlotId::B, &sha256(&image), image.len() as u32));
    assert_eq!(refused, Err(Refusal::DigestMismatch { slot: SlotId::B }));
}

#[test]
fn an_image_that_failed_its_trial_is_not_activated_again() {
    let (mut flash, image) = (flash(), image(&new_header()));
    let mut old = device(&mut flash, SlotId::A);
    receive(&mut old, &image);
    let digest = verify(&mut old, &image).unwrap();
    let mut failed = record(&mut flash);
    failed.images.fail(SlotId::B);
    put_record(&mut flash, failed);
    let refused = run(device(&mut flash, SlotId::A).activate(SlotId::B, &digest, image.len() as u32));
    assert_eq!(refused, Err(Refusal::DigestMismatch { slot: SlotId::B }));
    assert_eq!(record(&mut flash), failed);
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
fn a_verified_image_is_activated_in_place_of_an_older_pending_one_and_beside_no_other_trial() {
    let (mut flash, image) = (flash(), image(&new_header()));
    let mut old = device(&mut flash, SlotId::A);
    receive(&mut old, &image);
    let (digest, other, image_bytes) = (verify(&mut old, &image).unwrap(), Digest([1; 32]), image.len() as u32);
    let verified = record(&mut flash);
    let pending = |digest, attempts_left| Trial::Pending { slot: SlotId::B, digest, image_bytes, attempts_left };
    let started = |slot, digest| Trial::Started { slot, digest, image_bytes, attempts_left: 1, power_losses: 0 };
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
