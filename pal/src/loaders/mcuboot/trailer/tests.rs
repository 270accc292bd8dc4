//! Offsets and bytes compared with MCUboot's own numbers, and its table row by row.

use super::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

const SLOT_BYTES: u32 = 0x1_0000;

fn offsets(align: u32) -> Offsets {
    Offsets::new(SLOT_BYTES, Align::new(align).unwrap(), 8, SLOT_SECTORS_MAX_DEFAULT).unwrap()
}

/// The end of a slot of this alignment with these words.
fn slot_end(align: u32, magic: &[u8], image_ok: u8, copy_done: u8, swap_info: u8) -> Vec<u8> {
    let offsets = offsets(align);
    let mut slot = vec![0xFF; SLOT_BYTES as usize];
    slot[offsets.magic() as usize..].copy_from_slice(magic);
    slot[offsets.image_ok() as usize] = image_ok;
    slot[offsets.copy_done() as usize] = copy_done;
    slot[offsets.swap_info() as usize] = swap_info;
    slot.split_off(offsets.swap_size() as usize)
}

fn trailer(magic: Magic, image_ok: Flag, copy_done: Flag) -> Trailer {
    Trailer { magic, image_ok, copy_done, swap_type: SwapType::None }
}

#[test]
fn the_words_lie_where_mcuboot_has_them() {
    // image_ok, copy_done, swap_info, swap_size as distances from the end: bootutil_public.h by hand.
    for (align, distances) in [(8, [24, 32, 40, 48]), (16, [32, 48, 64, 80]), (32, [64, 96, 128, 160])] {
        let at = offsets(align);
        let found = [at.image_ok(), at.copy_done(), at.swap_info(), at.swap_size()];
        assert_eq!(found, distances.map(|distance| SLOT_BYTES - distance), "{align}");
        assert_eq!(at.magic(), SLOT_BYTES - 16);
        assert_eq!(at.first(), at.swap_size() - 3 * 128 * 8);
    }
}

#[test]
fn the_bytes_of_a_magic_never_change() {
    assert_eq!(Align::EIGHT.magic()[..4], [0x77, 0xC2, 0x95, 0xF3]);
    assert_eq!(Align::new(16).unwrap().magic()[..4], [16, 0, 0x2D, 0xE1]);
    assert_eq!(Align::new(32).unwrap().magic()[..4], [32, 0, 0x2D, 0xE1]);
    assert_eq!(Align::new(32).unwrap().magic()[14..], [0x1F, 0x8A]);
}

#[test]
fn a_trailer_reads_as_its_words_say() {
    for align in [8, 16, 32] {
        let parse = |bytes: &[u8]| Trailer::parse(bytes, Align(align));
        let magic = Align(align).magic();
        assert_eq!(parse(&slot_end(align, &[0xFF; 16], 0xFF, 0xFF, 0xFF)), Trailer::ERASED);
        let tested = parse(&slot_end(align, &magic, 0xFF, 0x01, 0x12));
        let expected = Trailer { swap_type: SwapType::Test, ..trailer(Magic::Good, Flag::Unset, Flag::Set) };
        assert_eq!(tested, expected);
        let kept = parse(&slot_end(align, &magic, 0x01, 0x03, 0x05));
        assert_eq!(kept, trailer(Magic::Good, Flag::Set, Flag::Bad));
        let reverted = parse(&slot_end(align, &magic, 0xFE, 0xFF, 0x04));
        assert_eq!((reverted.image_ok, reverted.swap_type), (Flag::Bad, SwapType::Revert));
    }
}

#[test]
fn a_magic_that_is_torn_anywhere_or_of_another_alignment_is_bad() {
    for (align, bit) in [8, 16, 32].into_iter().flat_map(|align| (0..128).map(move |bit| (align, bit))) {
        let mut magic = Align(align).magic();
        magic[bit / 8] ^= 1 << (bit % 8);
        let torn = Trailer::parse(&slot_end(align, &magic, 0xFF, 0xFF, 0xFF), Align(align));
        assert_eq!(torn.magic, Magic::Bad, "{align} {bit}");
    }
    let foreign = slot_end(32, &Align(16).magic(), 0xFF, 0xFF, 0xFF);
    assert_eq!(Trailer::parse(&foreign, Align(32)).magic, Magic::Bad);
}

#[test]
fn the_secondary_slots_wish_comes_first_and_a_trial_ends_by_itself() {
    use Flag::{Bad, Set, Unset};
    let good = |image_ok, copy_done| trailer(Magic::Good, image_ok, copy_done);
    let next = |primary, secondary| next_swap(Swap::Move, &primary, &secondary);
    let (none, on_trial) = (Trailer::ERASED, good(Unset, Set));
    for primary in [none, on_trial, good(Set, Set), trailer(Magic::Bad, Set, Set)] {
        assert_eq!(next(primary, good(Unset, Unset)), SwapType::Test);
        assert_eq!(next(primary, good(Set, Unset)), SwapType::Permanent);
    }
    for secondary in [none, trailer(Magic::Bad, Unset, Unset), trailer(Magic::Bad, Set, Set), good(Bad, Unset)] {
        assert_eq!(next(on_trial, secondary), SwapType::Revert);
        for stays in [none, good(Set, Set), good(Bad, Set), good(Unset, Unset), good(Unset, Bad)] {
            assert_eq!(next(stays, secondary), SwapType::None);
        }
        assert_eq!(next(trailer(Magic::Bad, Unset, Set), secondary), SwapType::None);
    }
}

#[test]
fn only_swap_by_offset_reverts_by_the_secondary_slots_words() {
    let secondary = trailer(Magic::Good, Flag::Unset, Flag::Set);
    assert_eq!(next_swap(Swap::Offset, &Trailer::ERASED, &secondary), SwapType::Revert);
    assert_eq!(next_swap(Swap::Move, &Trailer::ERASED, &secondary), SwapType::Test);
}

#[test]
fn in_place_an_image_without_magic_or_tried_and_not_confirmed_is_not_started() {
    use Flag::{Bad, Set, Unset};
    for (image_ok, copy_done) in [(Unset, Unset), (Set, Unset), (Set, Set), (Unset, Bad), (Set, Bad), (Bad, Unset)] {
        assert!(trailer(Magic::Good, image_ok, copy_done).is_started_in_place(), "{image_ok:?} {copy_done:?}");
        for magic in [Magic::Unset, Magic::Bad] {
            assert!(!trailer(magic, image_ok, copy_done).is_started_in_place());
        }
    }
    for image_ok in [Unset, Bad] {
        assert!(!trailer(Magic::Good, image_ok, Set).is_started_in_place());
    }
}

#[test]
fn what_does_not_fit_is_refused_with_its_numbers() {
    for got in [0, 4, 12, 64] {
        assert_eq!(Align::new(got), Err(TrailerError::AlignUnsupported { got }));
    }
    let eight = |slot_bytes, word_bytes, sectors_max| Offsets::new(slot_bytes, Align::EIGHT, word_bytes, sectors_max);
    assert_eq!(eight(4096, 16, 1), Err(TrailerError::AlignBelowWord { align_bytes: 8, word_bytes: 16 }));
    let trailer_bytes = 128 * 3 * 8 + 48;
    assert_eq!(
        eight(trailer_bytes, 8, 128),
        Err(TrailerError::SlotTooSmall { slot_bytes: trailer_bytes, trailer_bytes })
    );
    assert!(eight(trailer_bytes + 8, 8, 128).is_ok());
    assert_eq!(eight(4100, 4, 1), Err(TrailerError::SlotUnsupported { slot_bytes: 4100 }));
    assert_eq!(eight(4096, 8, u32::MAX), Err(TrailerError::SlotUnsupported { slot_bytes: 4096 }));
}

proptest! {
    #[test]
    fn any_bytes_say_something(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for align in [8, 16, 32] {
            let trailer = Trailer::parse(&bytes, Align(align));
            let _ = next_swap(Swap::Offset, &trailer, &trailer);
        }
    }
}

#[test]
fn the_kind_of_swap_is_the_low_half_of_its_byte() {
    for (byte, kind) in [
        (0x00, SwapType::None),
        (0x01, SwapType::None),
        (0x02, SwapType::Test),
        (0x13, SwapType::Permanent),
        (0x24, SwapType::Revert),
        (0x05, SwapType::None),
        (0xFF, SwapType::None),
    ] {
        assert_eq!(parse_swap_info(byte), kind, "{byte:#x}");
    }
}
