//! The identity of an image from its head and from the whole, and the state of each loader. Whole updates are in the
//! tests crate.

use super::super::super::super::loaders::mcuboot::image::tests::{BOARD, COUNTER, image, slot};
use super::super::super::super::loaders::mcuboot::trailer::{Align, Swap};
use super::super::super::super::testing::{Ram, run};
use super::*;
use crate::image::hardware::HardwareId;
use crate::image::version::Version;
use crate::store::layout::Geometry;

type Nor = Ram<4, 8, 1024>;

const SLOT_BYTES: u32 = 8 * 1024;

fn marks(mode: Mode) -> Marks {
    let slots = [Region::new(0, SLOT_BYTES), Region::new(SLOT_BYTES, SLOT_BYTES)];
    let geometry = Geometry { word_bytes: 8, erase_bytes: 1024, capacity_bytes: 2 * SLOT_BYTES };
    Marks::new(mode, Align::EIGHT, geometry, slots).unwrap()
}

fn identity<const BOARD_NAMED: bool>(image: &[u8], extent: Available) -> Result<ImageInfo, Refusal> {
    let (mut flash, region) = slot(image);
    run(McubootImages::<BOARD_NAMED>::identity(&mut flash, region, extent))
}

/// Writes bytes at a distance from the end of a slot, as a swap or a power cut leaves them there.
fn put(flash: &mut Nor, slot: SlotId, from_end: usize, bytes: &[u8]) {
    let end = if slot == SlotId::A { 1 } else { 2 } * SLOT_BYTES as usize;
    flash.bytes[end - from_end..][..bytes.len()].copy_from_slice(bytes);
}

/// An image on trial in a slot: magic and copy done.
fn on_trial(slot: SlotId) -> Nor {
    let mut flash = Nor::new(16);
    put(&mut flash, slot, 16, &Align::EIGHT.magic());
    put(&mut flash, slot, 32, &[0x01]);
    flash
}

#[test]
fn an_image_says_the_rest_when_all_of_it_is_there() {
    let whole = image(&[COUNTER, BOARD], &[]);
    let head = identity::<true>(&whole, Available::Head).unwrap();
    assert_eq!((head.version, head.link, head.component), (Version::new(1, 2, 3), Link::Any, Component::App));
    assert_eq!((head.hardware, head.security_counter, head.image_bytes), (None, None, None));
    let all = identity::<true>(&whole, Available::Whole).unwrap();
    assert_eq!(all.hardware, Some(HardwareId::new("nrf52840dk").unwrap()));
    assert_eq!((all.security_counter, all.image_bytes), (Some(7), Some(whole.len() as u32)));
}

#[test]
fn an_image_without_a_counter_has_the_lowest_and_one_without_a_board_is_refused_unless_that_is_configured() {
    let no_counter = identity::<true>(&image(&[BOARD], &[]), Available::Whole).unwrap();
    assert_eq!(no_counter.security_counter, Some(0));
    let missing = Refusal::HardwareIdMissing;
    assert_eq!(identity::<true>(&image(&[COUNTER], &[]), Available::Whole), Err(missing));
    assert_eq!(identity::<false>(&image(&[COUNTER], &[]), Available::Whole).map(|found| found.hardware), Ok(None));
    let no_image = Refusal::FormatInvalid(ImageError::NotAnImage { magic: u32::MAX }.into());
    assert_eq!(identity::<true>(&[], Available::Head), Err(no_image));
}

#[test]
fn each_loader_takes_only_its_own_marks() {
    let (swap, in_place) = (marks(Mode::Swap(Swap::Move)), marks(Mode::DirectXip));
    assert!(Swapping::<true>::new(swap.clone()).is_some() && InPlace::<true>::new(swap).is_none());
    assert!(Swapping::<true>::new(in_place.clone()).is_none() && InPlace::<true>::new(in_place).is_some());
}

#[test]
fn the_words_of_a_loader_that_swaps_follow_the_image_and_not_the_place() {
    let mut flash = on_trial(SlotId::A);
    let mut loader = Swapping::<true>(marks(Mode::Swap(Swap::Move)));
    assert_eq!(run(loader.slot_state(&mut flash, SlotId::B, SlotId::B)), Ok(LoaderState::Testing));
    assert_eq!(run(loader.slot_state(&mut flash, SlotId::B, SlotId::A)), Ok(LoaderState::Unknown));
    run(loader.try_next(&mut flash, SlotId::B, SlotId::A)).unwrap();
    assert_eq!(run(loader.slot_state(&mut flash, SlotId::B, SlotId::A)), Ok(LoaderState::Pending));
    run(loader.keep(&mut flash, SlotId::B)).unwrap();
    assert_eq!(run(loader.slot_state(&mut flash, SlotId::B, SlotId::B)), Ok(LoaderState::Confirmed));
    assert_eq!(run(loader.give_up(&mut flash, SlotId::B)), Err(Fault::NoTrialRuns));
}

#[test]
fn in_place_a_tried_image_is_given_up_and_one_with_a_torn_magic_cannot_be_kept() {
    let mut loader = InPlace::<true>(marks(Mode::DirectXip));
    let mut flash = on_trial(SlotId::B);
    assert_eq!(run(loader.slot_state(&mut flash, SlotId::A, SlotId::B)), Ok(LoaderState::Reverted));
    assert_eq!(run(loader.switch(&mut flash, SlotId::A, SlotId::B)), Err(Fault::NoTrialRuns));
    put(&mut flash, SlotId::B, 16, &[0]);
    assert_eq!(run(loader.slot_state(&mut flash, SlotId::A, SlotId::B)), Ok(LoaderState::Unknown));
    let refused = run(loader.keep(&mut flash, SlotId::B));
    assert_eq!(refused, Err(Fault::Write { offset_bytes: 2 * SLOT_BYTES - 24 }));
}

#[test]
fn in_place_a_switch_takes_the_running_images_mark_away() {
    let mut loader = InPlace::<true>(marks(Mode::DirectXip));
    let mut flash = on_trial(SlotId::A);
    put(&mut flash, SlotId::A, 24, &[0x01]);
    run(loader.try_next(&mut flash, SlotId::B, SlotId::B)).unwrap();
    run(loader.keep(&mut flash, SlotId::B)).unwrap();
    assert_eq!(run(loader.give_up(&mut flash, SlotId::B)), Err(Fault::NoTrialRuns));
    assert_eq!(run(loader.slot_state(&mut flash, SlotId::B, SlotId::A)), Ok(LoaderState::Confirmed));
    run(loader.switch(&mut flash, SlotId::B, SlotId::A)).unwrap();
    assert_eq!(run(loader.slot_state(&mut flash, SlotId::A, SlotId::B)), Ok(LoaderState::Unknown));
}

#[test]
fn a_slot_that_is_vacated_loses_its_mark_and_the_running_one_keeps_its() {
    let marked = || {
        let mut flash = on_trial(SlotId::A);
        put(&mut flash, SlotId::A, 24, &[0x01]);
        put(&mut flash, SlotId::B, 16, &Align::EIGHT.magic());
        flash
    };
    let mut swapping = Swapping::<true>(marks(Mode::Swap(Swap::Move)));
    let mut in_place = InPlace::<true>(marks(Mode::DirectXip));
    let (mut swapped, mut other) = (marked(), marked());
    run(swapping.vacate(&mut swapped, SlotId::A, SlotId::B)).unwrap();
    run(in_place.vacate(&mut other, SlotId::A, SlotId::B)).unwrap();
    for flash in [&swapped, &other] {
        let (running, vacated) = flash.bytes.split_at(SLOT_BYTES as usize);
        assert_eq!(running, &marked().bytes[..SLOT_BYTES as usize]);
        assert!(vacated.iter().all(|byte| *byte == 0xFF));
    }
    // A download that is resumed erases nothing again. In place, a trailer that reads as erased may be partially erased.
    let before = (swapped.ops.len(), other.ops.len());
    run(swapping.vacate(&mut swapped, SlotId::A, SlotId::B)).unwrap();
    run(in_place.vacate(&mut other, SlotId::A, SlotId::B)).unwrap();
    assert!(swapped.ops.len() == before.0 && other.ops.len() > before.1);
}
