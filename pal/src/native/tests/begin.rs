//! When an image may be received, which bytes are kept, and what invalidation leaves.

use super::*;

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
    assert_eq!(run(Platform::idle_step(&mut device, 0)), Err(Fault::NothingBegun));
    assert_eq!(run(device.check_header()), Err(Refusal::Fault(Fault::NothingBegun)));
    assert_eq!(verify(&mut device, b""), Err(Refusal::Fault(Fault::NothingBegun)));
}

#[test]
fn a_trial_that_ended_is_forgotten_when_the_next_image_begins() {
    let mut flash = flash();
    let trial = Trial::Ended { slot: SlotId::B, digest: Digest([1; 32]), reason: 0x0601, started: true };
    put_record(&mut flash, BootRecord { confirmed: SlotId::A, trial, ..NEW_DEVICE });
    run(device(&mut flash, SlotId::A).begin(1000, 0)).unwrap();
    let receiving = record(&mut flash);
    assert_eq!(receiving.trial, Trial::None);
    // The trial of a third slot, while the reception in B was interrupted.
    let trial = Trial::Ended { slot: SlotId::C, digest: Digest([1; 32]), reason: 0x0601, started: true };
    put_record(&mut flash, BootRecord { trial, ..receiving });
    run(device(&mut flash, SlotId::A).begin(1000, 0)).unwrap();
    assert_eq!(record(&mut flash), receiving);
    flash.ops.clear();
    run(device(&mut flash, SlotId::A).begin(1000, 0)).unwrap();
    assert_eq!(flash.ops, [], "the record is stored only if it changes");
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
    run(Platform::invalidate(&mut device, SlotId::B)).unwrap();
    assert_eq!(run(read_header(&mut device.flash, region)), Ok(Err(HeaderError::NotAnImage { magic: [0xFF; 4] })));
}

#[test]
fn a_slot_that_does_not_exist_is_not_erased() {
    let mut flash = flash();
    let mut device = device(&mut flash, SlotId::A);
    for slot in [SlotId::C, SlotId::D] {
        let refused = Refusal::Fault(Fault::OutOfRange { offset_bytes: 0, len_bytes: SECTOR, limit_bytes: 0 });
        assert_eq!(run(device.invalidate(slot)), Err(refused));
    }
    assert_eq!(flash.ops, []);
}
