//! The effects of confirm and rollback.

use super::*;

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
fn a_verdict_is_only_of_the_image_that_runs_on_trial() {
    let digest = Digest([1; 32]);
    let started = |slot| Trial::Started { slot, digest, image_bytes: 9, attempts_left: 2, power_losses: 0 };
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
    let trial =
        Trial::Started { slot: SlotId::B, digest, image_bytes: image.len() as u32, attempts_left: 0, power_losses: 0 };
    let verified = record(&mut flash);
    put_record(&mut flash, BootRecord { trial, ..verified });
    run(device(&mut flash, SlotId::B).roll_back(9)).unwrap();
    let status = record(&mut flash).images.get(SlotId::B).map(|image| image.status);
    assert_eq!(status, Some(crate::store::images::ImageStatus::Failed));
}
