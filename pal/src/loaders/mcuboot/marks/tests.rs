//! Marks and confirmations over the test flash of this crate, cut at every operation. Whole updates are in the tests
//! crate.

use super::super::super::super::testing::{CUTS, Op, Ram, run};
use super::*;
use std::vec::Vec;

const SECTOR: usize = 1024;
/// Enough sectors for the status of words of 32 bytes, and four for an image.
const SLOT_SECTORS: usize = 17;
const SLOT_BYTES: u32 = (SLOT_SECTORS * SECTOR) as u32;
const MODES: [Mode; 3] = [Mode::Swap(Swap::Scratch), Mode::Swap(Swap::Offset), Mode::DirectXip];

type Nor<const W: usize> = Ram<1, W, SECTOR>;

fn nor<const W: usize>() -> Nor<W> {
    Nor::new(2 * SLOT_SECTORS)
}

fn marks_of<const W: usize>(mode: Mode, align: u32) -> Marks {
    let geometry = Geometry::of(&nor::<W>());
    let slots = [Region::new(0, SLOT_BYTES), Region::new(SLOT_BYTES, SLOT_BYTES)];
    Marks::new(mode, Align::new(align).unwrap(), geometry, slots).unwrap()
}

/// Writes the words of a trailer as MCUboot does after a swap, or a programmer.
fn put<const W: usize>(flash: &mut Nor<W>, marks: &Marks, slot: SlotId, words: Trailer) {
    let (region, offsets) = marks.slot(slot);
    let flags = [(words.image_ok, offsets.image_ok()), (words.copy_done, offsets.copy_done())];
    for (flag, at) in flags.into_iter().filter(|(flag, _)| *flag != Flag::Unset) {
        let byte = if flag == Flag::Set { 0x01 } else { 0x7F };
        run(flash::write(flash, region.at(at), &[byte])).unwrap();
    }
    match words.magic {
        Magic::Good => run(write_magic(flash, region, &offsets)).unwrap(),
        Magic::Bad => {
            run(flash::write(flash, region.at(offsets.magic() - offsets.magic() % W as u32), &[0; 32][..W])).unwrap()
        }
        Magic::Unset => {}
    }
    flash.power_on();
}

fn good(image_ok: Flag, copy_done: Flag) -> Trailer {
    Trailer { magic: Magic::Good, image_ok, copy_done, ..Trailer::ERASED }
}

const ON_TRIAL: Trailer = Trailer { magic: Magic::Good, copy_done: Flag::Set, ..Trailer::ERASED };

fn a_mark_is_found_by_mcuboot<const W: usize>(align: u32) {
    for (mode, mark) in MODES.into_iter().flat_map(|mode| [Mark::Trial, Mark::Permanent].map(|mark| (mode, mark))) {
        let (mut flash, mut words) = (nor::<W>(), marks_of::<W>(mode, align));
        put(&mut flash, &words, SlotId::A, good(Flag::Set, Flag::Set));
        run(words.mark(&mut flash, SlotId::B, mark)).unwrap();
        let expected = match mark {
            Mark::Trial => NextBoot::Trial(SlotId::B),
            Mark::Permanent => NextBoot::Permanent(SlotId::B),
        };
        assert_eq!(run(words.next_boot(&mut flash, SlotId::A)), Ok(expected));
        let bytes = flash.bytes.clone();
        flash.ops.clear();
        run(words.mark(&mut flash, SlotId::B, mark)).unwrap();
        assert_eq!((&flash.ops[..], flash.bytes == bytes), (&[][..], true), "marking again changes nothing");
        run(words.unmark(&mut flash, SlotId::B)).unwrap();
        assert_eq!(run(words.next_boot(&mut flash, SlotId::A)), Ok(NextBoot::Same));
    }
}

/// Runs `act` with a cut at every operation, and again after it: the bytes end as without a cut. Returns the number of
/// cuts.
fn cut_everywhere<const W: usize>(before: &Nor<W>, mut act: impl FnMut(&mut Nor<W>) -> Result<(), Fault>) -> usize {
    let copy = || {
        let mut flash = nor::<W>();
        for at in (0..before.bytes.len()).step_by(W).filter(|at| before.bytes[*at..at + W].iter().any(|b| *b != 0xFF)) {
            run(flash.write(at as u32, &before.bytes[at..at + W])).unwrap();
        }
        flash.power_on();
        flash
    };
    let mut whole = copy();
    act(&mut whole).unwrap();
    let (operations, expected) = (whole.ops.len(), whole.bytes);
    for (operation, cut) in (0..operations).flat_map(|operation| CUTS.map(|cut| (operation, cut))) {
        let mut flash = copy();
        flash.cut = Some((operation, cut));
        act(&mut flash).unwrap_err();
        flash.power_on();
        act(&mut flash).unwrap();
        assert!(flash.bytes == expected, "{operation} {cut:?}");
    }
    operations * CUTS.len()
}

fn a_cut_mark_is_made_again<const W: usize>(align: u32) {
    for (mode, mark) in MODES.into_iter().flat_map(|mode| [Mark::Trial, Mark::Permanent].map(|mark| (mode, mark))) {
        for left in [Trailer::ERASED, Trailer { magic: Magic::Bad, ..Trailer::ERASED }, good(Flag::Set, Flag::Bad)] {
            let (mut flash, words) = (nor::<W>(), marks_of::<W>(mode, align));
            put(&mut flash, &words, SlotId::B, left);
            let cuts = cut_everywhere(&flash, |flash| run(words.clone().mark(flash, SlotId::B, mark)));
            assert!(cuts >= 4 * 4, "{cuts}");
        }
    }
}

#[test]
fn a_mark_is_found_by_mcuboot_and_made_once() {
    a_mark_is_found_by_mcuboot::<1>(8);
    a_mark_is_found_by_mcuboot::<4>(16);
    a_mark_is_found_by_mcuboot::<8>(8);
    a_mark_is_found_by_mcuboot::<16>(16);
    a_mark_is_found_by_mcuboot::<32>(32);
}

#[test]
fn a_mark_cut_anywhere_and_made_again_ends_in_the_same_bytes_whatever_lay_there() {
    a_cut_mark_is_made_again::<1>(8);
    a_cut_mark_is_made_again::<8>(32);
    a_cut_mark_is_made_again::<16>(16);
    a_cut_mark_is_made_again::<32>(32);
}

#[test]
fn a_cut_never_turns_a_permanent_mark_into_a_trial_nor_a_trial_into_a_permanent_one() {
    for (mark, wrong) in [(Mark::Permanent, NextBoot::Trial(SlotId::B)), (Mark::Trial, NextBoot::Permanent(SlotId::B))]
    {
        for (operation, cut) in (0..32).flat_map(|operation| CUTS.map(|cut| (operation, cut))) {
            let (mut flash, mut words) = (nor::<8>(), marks_of::<8>(Mode::Swap(Swap::Move), 8));
            put(&mut flash, &words, SlotId::A, good(Flag::Set, Flag::Set));
            flash.cut = Some((operation, cut));
            let made = run(words.mark(&mut flash, SlotId::B, mark));
            flash.power_on();
            let next = run(words.next_boot(&mut flash, SlotId::A)).unwrap();
            assert_ne!(next, wrong, "{operation} {cut:?}");
            assert!(made.is_err() || next != NextBoot::Same, "{operation} {cut:?}");
        }
    }
}

#[test]
fn a_mark_leaves_the_image_and_the_running_slot_alone() {
    let (mut flash, mut words) = (nor::<4>(), marks_of::<4>(Mode::Swap(Swap::Move), 8));
    put(&mut flash, &words, SlotId::A, ON_TRIAL);
    run(words.mark(&mut flash, SlotId::B, Mark::Trial)).unwrap();
    let image_end = SLOT_BYTES + trailer_start(&words.slot(SlotId::B).1, SECTOR as u32);
    let touched = |op: &Op| match op {
        Op::Erase(at) | Op::Write(at) => Some(*at),
        Op::Sync => None,
    };
    let touched: Vec<u32> = flash.ops.iter().filter_map(touched).collect();
    assert!(touched.iter().all(|at| *at >= image_end), "{touched:?}");
    assert_eq!(touched[0], 2 * SLOT_BYTES - SECTOR as u32, "the sector of the magic is erased first");
}

#[test]
fn an_image_ends_before_the_trailer_of_both_slots() {
    let max = |mode| marks_of::<8>(mode, 8).image_bytes_max(SlotId::B, SECTOR as u32);
    // 17 sectors; 3 * 128 * 8 + 48 bytes of trailer take the last four.
    assert_eq!(max(Mode::DirectXip), 13 * 1024);
    assert_eq!(max(Mode::Swap(Swap::Scratch)), 13 * 1024);
    assert_eq!(max(Mode::Swap(Swap::Move)), 12 * 1024, "one sector must be free");
}

#[test]
fn an_image_on_trial_is_confirmed_by_one_write() {
    for mode in MODES {
        let (mut flash, mut words) = (nor::<8>(), marks_of::<8>(mode, 8));
        put(&mut flash, &words, SlotId::A, ON_TRIAL);
        assert_eq!(run(words.trial_state(&mut flash, SlotId::A)), Ok(TrialState::OnTrial));
        assert_eq!(run(words.next_boot(&mut flash, SlotId::A)), Ok(NextBoot::GoesBack));
        assert_eq!(run(words.confirm(&mut flash, SlotId::A)), Ok(TrialState::Confirmed));
        assert_eq!(flash.ops, [Op::Write(SLOT_BYTES - 24), Op::Sync]);
        assert_eq!(run(words.confirm(&mut flash, SlotId::A)), Ok(TrialState::Confirmed));
        assert_eq!(flash.ops, [Op::Write(SLOT_BYTES - 24), Op::Sync, Op::Sync]);
        assert_eq!(run(words.next_boot(&mut flash, SlotId::A)), Ok(NextBoot::Same));
    }
}

#[test]
fn in_place_the_running_slots_own_trailer_is_confirmed_copy_done_first() {
    let (mut flash, mut words) = (nor::<8>(), marks_of::<8>(Mode::DirectXip, 8));
    put(&mut flash, &words, SlotId::B, good(Flag::Unset, Flag::Unset));
    assert_eq!(run(words.confirm(&mut flash, SlotId::B)), Ok(TrialState::Confirmed));
    assert_eq!(flash.ops, [Op::Write(2 * SLOT_BYTES - 32), Op::Write(2 * SLOT_BYTES - 24), Op::Sync]);
}

#[test]
fn a_confirmation_writes_nothing_without_a_good_magic() {
    for (mode, magic) in MODES.into_iter().flat_map(|mode| [Magic::Unset, Magic::Bad].map(|magic| (mode, magic))) {
        let (mut flash, mut words) = (nor::<8>(), marks_of::<8>(mode, 8));
        put(&mut flash, &words, SlotId::A, Trailer { magic, ..ON_TRIAL });
        let expected = if mode == Mode::DirectXip { TrialState::OnTrial } else { TrialState::Unwatched };
        assert_eq!(run(words.confirm(&mut flash, SlotId::A)), Ok(expected));
        assert_eq!(flash.ops, []);
    }
}

#[test]
fn a_torn_flag_is_not_written_again() {
    for (mode, expected) in [(Mode::Swap(Swap::Move), TrialState::Unwatched), (Mode::DirectXip, TrialState::OnTrial)] {
        let (mut flash, mut words) = (nor::<8>(), marks_of::<8>(mode, 8));
        put(&mut flash, &words, SlotId::A, good(Flag::Bad, Flag::Set));
        assert_eq!(run(words.confirm(&mut flash, SlotId::A)), Ok(expected));
        assert_eq!(flash.ops, [Op::Sync]);
    }
}

#[test]
fn a_confirmation_cut_anywhere_leaves_a_trial_or_an_image_that_stays() {
    for (operation, cut) in (0..2).flat_map(|operation| CUTS.map(|cut| (operation, cut))) {
        let (mut flash, mut words) = (nor::<8>(), marks_of::<8>(Mode::Swap(Swap::Move), 8));
        put(&mut flash, &words, SlotId::A, ON_TRIAL);
        flash.cut = Some((operation, cut));
        let told = run(words.confirm(&mut flash, SlotId::A));
        flash.power_on();
        let next = run(words.next_boot(&mut flash, SlotId::A)).unwrap();
        let trial_state = run(words.trial_state(&mut flash, SlotId::A)).unwrap();
        assert_eq!(next == NextBoot::GoesBack, trial_state == TrialState::OnTrial, "{operation} {cut:?}");
        assert!(told.is_err(), "{operation} {cut:?}");
    }
}

#[test]
fn an_unwatched_image_goes_back_by_a_mark_and_one_on_trial_by_itself() {
    for (mode, expected) in
        [(Mode::Swap(Swap::Move), NextBoot::Permanent(SlotId::B)), (Mode::DirectXip, NextBoot::GoesBack)]
    {
        let (mut flash, mut words) = (nor::<8>(), marks_of::<8>(mode, 8));
        put(&mut flash, &words, SlotId::A, good(Flag::Unset, Flag::Bad));
        run(words.go_back(&mut flash, SlotId::A)).unwrap();
        assert_eq!(run(words.next_boot(&mut flash, SlotId::A)), Ok(expected));
    }
    let (mut flash, mut words) = (nor::<8>(), marks_of::<8>(Mode::Swap(Swap::Move), 8));
    put(&mut flash, &words, SlotId::A, ON_TRIAL);
    run(words.go_back(&mut flash, SlotId::A)).unwrap();
    assert_eq!(flash.ops, []);
    run(words.confirm(&mut flash, SlotId::A)).unwrap();
    assert_eq!(run(words.go_back(&mut flash, SlotId::A)), Err(Fault::NoTrialRuns));
    let (mut flash, mut offset) = (nor::<8>(), marks_of::<8>(Mode::Swap(Swap::Offset), 8));
    assert_eq!(run(offset.go_back(&mut flash, SlotId::A)), Err(Fault::NoTrialRuns));
}

#[test]
fn slots_that_mcuboot_cannot_manage_are_refused() {
    let geometry = Geometry { word_bytes: 8, erase_bytes: 1024, capacity_bytes: 1 << 20 };
    let refused = |geometry, len_bytes| {
        let slots = [Region::new(0, SLOT_BYTES), Region::new(SLOT_BYTES, len_bytes)];
        Marks::new(Mode::DirectXip, Align::EIGHT, geometry, slots).err()
    };
    assert_eq!(refused(geometry, 129 * 1024), Some(TrailerError::SlotUnsupported { slot_bytes: 129 * 1024 }));
    assert_eq!(refused(geometry, 5120), Some(TrailerError::SlotTooSmall { slot_bytes: 5120, trailer_bytes: 3120 }));
    assert_eq!(refused(geometry, 6144), None);
    let shared = [Region::new(0, SLOT_BYTES), Region::new(SLOT_BYTES - 1024, SLOT_BYTES)];
    let unsupported = Some(TrailerError::SlotUnsupported { slot_bytes: SLOT_BYTES });
    assert_eq!(Marks::new(Mode::DirectXip, Align::EIGHT, geometry, shared).err(), unsupported);
    let outside = Geometry { capacity_bytes: 2 * SLOT_BYTES - 1024, ..geometry };
    assert_eq!(refused(outside, SLOT_BYTES), unsupported);
    assert_eq!(refused(geometry, 6144 + 8), Some(TrailerError::SlotUnsupported { slot_bytes: 6152 }));
    let wide = Geometry { word_bytes: 16, ..geometry };
    assert_eq!(refused(wide, SLOT_BYTES), Some(TrailerError::AlignBelowWord { align_bytes: 8, word_bytes: 16 }));
}

#[test]
fn a_mark_that_changed_since_is_made_again() {
    let (mut flash, mut words) = (nor::<8>(), marks_of::<8>(Mode::DirectXip, 8));
    run(words.mark(&mut flash, SlotId::B, Mark::Trial)).unwrap();
    *flash.bytes.last_mut().unwrap() = 0;
    run(words.mark(&mut flash, SlotId::B, Mark::Trial)).unwrap();
    assert_eq!(run(words.read(&mut flash, SlotId::B)), Ok(marked(Mark::Trial)));
}

#[test]
fn every_sector_of_a_trailer_is_erased_the_last_first_and_no_other() {
    let (mut flash, mut words) = (nor::<8>(), marks_of::<8>(Mode::DirectXip, 8));
    run(words.unmark(&mut flash, SlotId::B)).unwrap();
    // 48 bytes of words, and 3 * 128 * 8 bytes of status.
    let sectors = [16, 15, 14, 13].map(|sector| Op::Erase(SLOT_BYTES + sector * SECTOR as u32));
    assert_eq!(flash.ops, [&sectors[..], &[Op::Sync]].concat());
}

#[test]
fn a_slot_has_at_most_128_sectors() {
    let geometry = Geometry { word_bytes: 8, erase_bytes: SECTOR as u32, capacity_bytes: 300 * SECTOR as u32 };
    for (sectors, fits) in [(127, true), (128, true), (129, false)] {
        let slot_bytes = sectors * SECTOR as u32;
        let slots = [Region::new(0, slot_bytes), Region::new(slot_bytes, slot_bytes)];
        let marks = Marks::new(Mode::DirectXip, Align::EIGHT, geometry, slots).map(|_| ());
        assert_eq!(marks, if fits { Ok(()) } else { Err(TrailerError::SlotUnsupported { slot_bytes }) });
    }
}
