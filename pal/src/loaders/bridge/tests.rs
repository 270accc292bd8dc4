//! The bridge over a loader that does nothing. Real loaders are in the tests crate.

use super::super::super::native::boot_control::OwnFormat;
use super::super::super::testing::{Ram, run, sha256};
use super::*;
use crate::image::digest::Digest;
use crate::platform::hooks::NoWatchdog;
use crate::store::images::Image;
use crate::store::layout::Geometry;

type Nor = Ram<1, 4, 1024>;

const IMAGE_BYTES: u32 = 500;

/// A loader without a state that ignores every order.
struct Idle<const SWAPS: bool>;

impl<const SWAPS: bool> Loader for Idle<SWAPS> {
    type Format = OwnFormat;

    const SWAPS: bool = SWAPS;

    async fn slot_state<F: Flash>(&mut self, _: &mut F, _: SlotId, _: SlotId) -> Result<LoaderState, Fault> {
        Ok(LoaderState::Unknown)
    }

    async fn try_next<F: Flash>(&mut self, _: &mut F, _: SlotId, _: SlotId) -> Result<(), Fault> {
        Ok(())
    }

    async fn keep<F: Flash>(&mut self, _: &mut F, _: SlotId) -> Result<(), Fault> {
        Ok(())
    }

    async fn give_up<F: Flash>(&mut self, _: &mut F, _: SlotId) -> Result<(), Fault> {
        Ok(())
    }

    async fn switch<F: Flash>(&mut self, _: &mut F, _: SlotId, _: SlotId) -> Result<(), Fault> {
        Ok(())
    }
}

fn layout() -> Layout {
    let geometry = Geometry { word_bytes: 4, erase_bytes: 1024, capacity_bytes: 16 * 1024 };
    Layout::divide(geometry, 2, true).unwrap()
}

/// A record with an image in A, which is confirmed, and one in B.
fn record(digests: [Digest; 2], status: ImageStatus) -> BootRecord {
    let mut record = BootRecord::new_device(SlotId::A);
    for (slot, digest, status) in [(SlotId::A, digests[0], ImageStatus::Confirmed), (SlotId::B, digests[1], status)] {
        record.images.set(slot, Some(Image { status, digest, ..Image::receiving(IMAGE_BYTES) }));
    }
    record
}

/// Stores `record` and loads it through `bridge`.
fn loaded<const SWAPS: bool>(
    bridge: &mut LoaderBridge<Idle<SWAPS>>,
    flash: &mut Nor,
    record: &BootRecord,
) -> BootStatus {
    run(BootRecords::new(&layout()).store(flash, record)).unwrap();
    run(bridge.load(flash, &layout(), &mut NoWatchdog)).unwrap()
}

#[test]
fn the_factory_image_has_its_own_region_if_the_loader_swaps_the_others() {
    let bridge = LoaderBridge::swapping(Idle::<true>, &layout());
    assert_eq!(bridge.region(&layout(), SlotId::FACTORY), layout().factory().unwrap());
    assert_eq!(bridge.region(&layout(), SlotId::A), layout().slot(SlotId::B), "before the first load");
}

#[test]
fn an_image_whose_trial_ended_runs_until_the_loader_has_swapped_it_back() {
    let (mut flash, failed) = (Nor::new(16), [7; IMAGE_BYTES as usize]);
    run(flash.write(layout().slot(SlotId::A).at(0), &failed)).unwrap();
    let digest = sha256(&failed);
    let trial = Trial::Ended { slot: SlotId::B, digest, reason: 9, started: true };
    let before = BootRecord { trial, ..record([Digest([1; 32]), digest], ImageStatus::Failed) };
    let mut bridge = LoaderBridge::swapping(Idle::<true>, &layout());
    assert_eq!(loaded(&mut bridge, &mut flash, &before), BootStatus { running: SlotId::B, record: before });
}

#[test]
fn after_a_switch_the_record_stays_until_the_reset() {
    let (mut flash, before) = (Nor::new(16), record([Digest([1; 32]), Digest([2; 32])], ImageStatus::Confirmed));
    let mut bridge = LoaderBridge::in_place(Idle::<false>, &layout(), SlotId::A);
    let ordered = BootRecord { confirmed: SlotId::B, ..before };
    run(bridge.store(&mut flash, &layout(), &ordered, Change::SetDefault(SlotId::B))).unwrap();
    assert_eq!(loaded(&mut bridge, &mut flash, &ordered), BootStatus { running: SlotId::A, record: ordered });
}

#[test]
fn an_image_that_was_only_verified_is_on_trial_if_it_runs() {
    let digest = Digest([2; 32]);
    let (mut flash, before) = (Nor::new(16), record([Digest([1; 32]), digest], ImageStatus::Verified));
    let mut bridge = LoaderBridge::in_place(Idle::<false>, &layout(), SlotId::B);
    let trial = Trial::Started { slot: SlotId::B, digest, image_bytes: IMAGE_BYTES, attempts_left: 0, power_losses: 0 };
    let found = loaded(&mut bridge, &mut flash, &before);
    assert_eq!(found, BootStatus { running: SlotId::B, record: BootRecord { trial, ..before } });
}

/// A loader that reports this state of every slot and counts orders to watch the running image.
struct Fixed {
    state: LoaderState,
    watched: u32,
}

impl Loader for Fixed {
    type Format = OwnFormat;

    const SWAPS: bool = false;

    async fn slot_state<F: Flash>(&mut self, _: &mut F, _: SlotId, _: SlotId) -> Result<LoaderState, Fault> {
        Ok(self.state)
    }

    async fn watch<F: Flash>(&mut self, _: &mut F, _: SlotId) -> Result<(), Fault> {
        self.watched += 1;
        Ok(())
    }

    async fn try_next<F: Flash>(&mut self, _: &mut F, _: SlotId, _: SlotId) -> Result<(), Fault> {
        Ok(())
    }

    async fn keep<F: Flash>(&mut self, _: &mut F, _: SlotId) -> Result<(), Fault> {
        Err(Fault::Write { offset_bytes: 0 })
    }

    async fn give_up<F: Flash>(&mut self, _: &mut F, _: SlotId) -> Result<(), Fault> {
        Ok(())
    }

    async fn switch<F: Flash>(&mut self, _: &mut F, _: SlotId, _: SlotId) -> Result<(), Fault> {
        Ok(())
    }
}

/// The program in B, of a loader with this state.
fn in_b(state: LoaderState) -> LoaderBridge<Fixed> {
    LoaderBridge::in_place(Fixed { state, watched: 0 }, &layout(), SlotId::B)
}

#[test]
fn the_loader_confirms_no_image_without_a_verdict_however_often_the_record_is_loaded() {
    let digest = Digest([2; 32]);
    let verified = record([Digest([1; 32]), digest], ImageStatus::Verified);
    let trial = Trial::Pending { slot: SlotId::B, digest, image_bytes: IMAGE_BYTES, attempts_left: 1 };
    let started =
        Trial::Started { slot: SlotId::B, digest, image_bytes: IMAGE_BYTES, attempts_left: 0, power_losses: 0 };
    for trial in [Trial::None, trial] {
        let mut flash = Nor::new(16);
        run(BootRecords::new(&layout()).store(&mut flash, &BootRecord { trial, ..verified })).unwrap();
        for boot in 0..2 {
            let mut bridge = in_b(LoaderState::Confirmed);
            for load in 1..4 {
                let found = run(bridge.load(&mut flash, &layout(), &mut NoWatchdog)).unwrap();
                assert_eq!((found.record.trial, found.record.confirmed), (started, SlotId::A), "{boot} {load}");
                assert_eq!(bridge.loader.watched, load, "{trial:?}, boot {boot}");
            }
        }
    }
}

#[test]
fn a_confirmation_that_was_interrupted_is_completed_if_it_reached_the_loader() {
    let digest = Digest([2; 32]);
    let trial = Trial::Started { slot: SlotId::B, digest, image_bytes: IMAGE_BYTES, attempts_left: 0, power_losses: 0 };
    let before = BootRecord { trial, ..record([Digest([1; 32]), digest], ImageStatus::Verified) };
    for (state, confirmed) in [(LoaderState::Confirmed, SlotId::B), (LoaderState::Testing, SlotId::A)] {
        let mut flash = Nor::new(16);
        run(BootRecords::new(&layout()).store(&mut flash, &before)).unwrap();
        let after = BootRecord { confirmed: SlotId::B, trial: Trial::None, ..before };
        let interrupted = run(in_b(state).store(&mut flash, &layout(), &after, Change::Confirm));
        assert_eq!(interrupted, Err(Fault::Write { offset_bytes: 0 }));
        for _ in 0..2 {
            let found = run(in_b(state).load(&mut flash, &layout(), &mut NoWatchdog)).unwrap().record;
            let is_over = confirmed == SlotId::B;
            assert_eq!((found.confirmed, found.trial), (confirmed, if is_over { Trial::None } else { trial }));
        }
    }
}
