//! Records on flash of every geometry, interrupted anywhere, and in banks that are worn.

use super::super::super::testing::{CUTS, Cut, Op, Ram, run};
use super::*;
use crate::store::record_format::{AT_KIND, AT_PAYLOAD_LEN, FORMAT};
use proptest::prelude::*;
use std::vec::Vec;

const SECTORS: usize = 2;

fn region<const E: usize>() -> Region {
    Region::new(0, (SECTORS * E) as u32)
}

fn journal<const E: usize>() -> Records {
    Records::new(region::<E>(), JOURNAL)
}

fn load<F: Flash>(records: &mut Records, flash: &mut F) -> Result<Option<Vec<u8>>, Fault> {
    let mut out = [0; PAYLOAD_BYTES_MAX];
    let len = run(records.load(flash, &mut out))?;
    Ok(len.map(|len| out[..len].to_vec()))
}

/// Returns a payload whose content and length depend on `number`.
fn payload(number: u8) -> Vec<u8> {
    (0..1 + number % PAYLOAD_BYTES_MAX as u8).map(|index| number ^ index).collect()
}

fn the_newest_payload_is_found<const R: usize, const W: usize, const E: usize>() {
    let mut flash = Ram::<R, W, E>::new(SECTORS);
    assert_eq!(load(&mut journal::<E>(), &mut flash), Ok(None));
    let mut records = journal::<E>();
    for number in 1..=60 {
        run(records.store(&mut flash, &payload(number))).unwrap();
        assert_eq!(load(&mut records, &mut flash), Ok(Some(payload(number))), "before a reset, W {W} E {E}");
        assert_eq!(load(&mut journal::<E>(), &mut flash), Ok(Some(payload(number))), "after a reset");
        if number % 7 == 0 {
            records = journal::<E>();
        }
    }
}

#[test]
fn the_newest_payload_is_found_on_every_geometry() {
    the_newest_payload_is_found::<1, 1, 256>();
    the_newest_payload_is_found::<1, 4, 4096>();
    the_newest_payload_is_found::<4, 1, 4096>();
    the_newest_payload_is_found::<1, 8, 2048>();
    the_newest_payload_is_found::<4, 16, 512>();
    the_newest_payload_is_found::<32, 32, 1024>();
}

#[test]
fn a_read_that_is_refused_once_brings_no_older_record_back() {
    let mut flash = Ram::<1, 4, 4096>::new(SECTORS);
    let mut records = journal::<4096>();
    for number in 1..=3 {
        run(records.store(&mut flash, &payload(number))).unwrap();
    }
    for read in 0..30 {
        flash.deaf = Some(read);
        assert_eq!(load(&mut journal::<4096>(), &mut flash), Ok(Some(payload(3))), "{read}");
    }
    assert_eq!(flash.deaf, None, "every one of these reads failed once");
}

/// A partly written record keeps its number, because unstable bits may make it valid later.
#[test]
fn the_number_of_a_torn_record_is_not_used_again() {
    let mut flash = Ram::<1, 4, 4096>::new(SECTORS);
    let mut records = journal::<4096>();
    run(records.store(&mut flash, &payload(1))).unwrap();
    flash.ops.clear();
    flash.cut = Some((1, Cut::Half)); // operation 0 is the barrier, 1 the write
    run(records.store(&mut flash, &payload(2))).unwrap_err();
    flash.power_on();
    run(journal::<4096>().store(&mut flash, &payload(3))).unwrap();
    let sequence = |at: usize| u32_at(&flash.bytes, at + AT_SEQUENCE);
    let torn = JOURNAL.room_bytes();
    assert_eq!([0, torn, 4096].map(sequence), [1, 2, 3]);
}

/// A bank fails, the power fails while the next one is written, and then the first works again.
#[test]
fn the_number_of_a_torn_record_behind_a_bank_that_failed_once_is_not_used_again() {
    let mut flash = Ram::<1, 4, 1024>::new(3);
    let records = || Records::new(Region::new(0, 3 * 1024), JOURNAL);
    run(records().store(&mut flash, &payload(1))).unwrap();
    flash.power_on();
    flash.stuck = Some(1024 + AT_PAYLOAD);
    flash.cut = Some((4, Cut::Half)); // a barrier, an erase and a write of bank 1, an erase, and this write of bank 2
    run(records().store(&mut flash, &payload(50))).unwrap_err();
    flash.power_on();
    flash.stuck = None;
    run(records().store(&mut flash, &payload(3))).unwrap();
    assert_eq!(load(&mut records(), &mut flash), Ok(Some(payload(3))));
    let [stored, torn] = [1024, 2048].map(|at| u32_at(&flash.bytes, at + AT_SEQUENCE));
    assert!(flash.ops.contains(&Op::Write(1024)) && is_later(stored, torn), "{stored} after {torn}");
}

/// The banks wear out while they contain valid records, which then remain.
#[test]
fn a_region_works_while_two_of_its_banks_are_good() {
    for (banks, worn) in [(3, 0..1), (3, 1..2), (3, 2..3), (4, 0..2), (4, 1..3), (4, 2..4), (5, 1..4)] {
        for unwritable in [None, Some(worn.start * 1024 + AT_PAYLOAD)] {
            let mut flash = Ram::<1, 4, 1024>::new(banks);
            let new = || Records::new(Region::new(0, banks as u32 * 1024), JOURNAL);
            let mut records = new();
            for number in 1..=90 {
                run(records.store(&mut flash, &payload(number))).unwrap();
                assert_eq!(load(&mut new(), &mut flash), Ok(Some(payload(number))), "{worn:?} of {banks}");
                if number == 20 {
                    // One bank cannot be written, the others cannot be erased.
                    flash.stuck = unwritable;
                    flash.unerasable = worn.start + usize::from(unwritable.is_some())..worn.end;
                }
                if number % 7 == 0 {
                    records = new();
                }
            }
        }
    }
}

#[test]
fn a_store_fails_once_all_banks_but_the_newest_have_failed_and_works_as_soon_as_one_is_good() {
    let mut flash = Ram::<1, 4, 1024>::new(4);
    let mut records = Records::new(Region::new(0, 4 * 1024), JOURNAL);
    run(records.store(&mut flash, b"newest")).unwrap();
    flash.stuck = Some(JOURNAL.room_bytes() + AT_PAYLOAD); // the room after it
    flash.unerasable = 1..4;
    assert_eq!(run(records.store(&mut flash, b"lost")), Err(Fault::Erase { offset_bytes: 3 * 1024 }));
    assert_eq!(load(&mut records, &mut flash).unwrap().as_deref(), Some(&b"newest"[..]));
    flash.unerasable = 1..3;
    run(records.store(&mut flash, b"next")).unwrap();
    assert_eq!(load(&mut records, &mut flash).unwrap().as_deref(), Some(&b"next"[..]));
}

/// Cuts each operation of a store in each way, then does the same to a second store.
fn a_cut_leaves_the_old_or_the_new<const W: usize, const E: usize>() {
    for earlier in 0..12 {
        for (operation, cut) in (0..4).flat_map(|operation| CUTS.map(|cut| (operation, cut))) {
            let mut flash = Ram::<1, W, E>::new(SECTORS);
            let mut records = journal::<E>();
            for number in 0..earlier {
                run(records.store(&mut flash, &payload(number))).unwrap();
            }
            let mut allowed = [None, Some(payload(100))];
            if earlier > 0 {
                allowed[0] = Some(payload(earlier - 1));
            }
            flash.power_on();
            flash.cut = Some((operation, cut));
            let stored = run(records.store(&mut flash, &payload(100)));
            flash.power_on();
            let found = load(&mut journal::<E>(), &mut flash).unwrap();
            assert!(allowed.contains(&found), "{earlier} {operation} {cut:?}: {found:?}");
            assert!(stored.is_err() || found == allowed[1]);

            let mut records = journal::<E>();
            flash.cut = Some((operation, cut));
            let _ = run(records.store(&mut flash, &payload(101)));
            flash.power_on();
            let again = load(&mut journal::<E>(), &mut flash).unwrap();
            assert!(again == found || again == Some(payload(101)), "{earlier} {operation} {cut:?}: {again:?}");
            run(journal::<E>().store(&mut flash, &payload(102))).unwrap();
            assert_eq!(load(&mut journal::<E>(), &mut flash), Ok(Some(payload(102))));
        }
    }
}

#[test]
fn a_cut_anywhere_in_a_store_leaves_the_old_payload_or_the_new() {
    a_cut_leaves_the_old_or_the_new::<1, 1024>();
    a_cut_leaves_the_old_or_the_new::<4, 256>();
    a_cut_leaves_the_old_or_the_new::<8, 4096>();
    a_cut_leaves_the_old_or_the_new::<16, 512>();
    a_cut_leaves_the_old_or_the_new::<32, 1024>();
}

#[test]
fn a_store_that_failed_is_looked_up_and_not_guessed() {
    for (operation, cut) in (0..4).flat_map(|operation| CUTS.map(|cut| (operation, cut))) {
        let mut flash = Ram::<1, 4, 1024>::new(SECTORS);
        let mut records = journal::<1024>();
        run(records.store(&mut flash, b"one")).unwrap();
        flash.power_on();
        flash.cut = Some((operation, cut));
        let _ = run(records.store(&mut flash, b"two"));
        flash.power_on(); // without a reset: the same `Records` is used
        run(records.store(&mut flash, b"three")).unwrap();
        assert_eq!(load(&mut journal::<1024>(), &mut flash).unwrap().as_deref(), Some(&b"three"[..]));
    }
}

#[test]
fn what_was_written_before_is_durable_before_the_record() {
    let mut flash = Ram::<1, 4, 1024>::new(SECTORS);
    run(journal::<1024>().store(&mut flash, b"x")).unwrap();
    assert_eq!(flash.ops, [Op::Sync, Op::Erase(0), Op::Write(0), Op::Sync]);
}

#[test]
fn the_first_record_lies_in_the_first_sector_of_any_number() {
    for sectors in [2, 3, 5] {
        let mut flash = Ram::<1, 4, 1024>::new(sectors);
        let mut records = Records::new(Region::new(0, sectors as u32 * 1024), JOURNAL);
        run(records.store(&mut flash, b"x")).unwrap();
        assert_eq!(flash.ops, [Op::Sync, Op::Erase(0), Op::Write(0), Op::Sync], "{sectors} sectors");
    }
}

#[test]
fn an_erased_room_is_read_once_and_a_damaged_one_twice() {
    let mut flash = Ram::<1, 4, 1024>::new(SECTORS);
    let rooms = SECTORS * (1024 / JOURNAL.room_bytes());
    for (damage, reads) in [(0xFF, rooms), (0x00, rooms + 1)] {
        flash.bytes[JOURNAL.room_bytes()] = damage;
        flash.deaf = Some(1_000);
        assert_eq!(load(&mut journal::<1024>(), &mut flash), Ok(None));
        assert_eq!(flash.deaf, Some(1_000 - reads));
    }
}

#[test]
fn a_record_that_does_not_read_back_is_not_stored() {
    let mut flash = Ram::<1, 4, 1024>::new(SECTORS);
    flash.stuck = Some(AT_PAYLOAD);
    let stored = run(journal::<1024>().store(&mut flash, b"abcd"));
    assert!(matches!(stored, Err(Fault::ReadBack { .. })), "{stored:?}");
    assert_eq!(load(&mut journal::<1024>(), &mut flash), Ok(None));
}

#[test]
fn the_sequence_goes_on_across_the_end_of_its_numbers() {
    assert!(is_later(0, u32::MAX) && !is_later(u32::MAX, 0));
    assert!(is_later(2, 1) && !is_later(1, 1));
    assert!(is_later((1 << 31) - 1, 0) && !is_later(1 << 31, 0), "half of all numbers are later");
}

#[test]
fn payloads_that_do_not_fit_are_refused_with_their_lengths() {
    let mut flash = Ram::<1, 4, 1024>::new(SECTORS);
    let long = [0; PAYLOAD_BYTES_MAX + 1];
    let refused = run(journal::<1024>().store(&mut flash, &long));
    assert_eq!(refused, Err(Fault::JournalPayloadTooLong { got: 193, max: 192 }));
    run(journal::<1024>().store(&mut flash, &long[1..])).unwrap();
    let small = run(journal::<1024>().load(&mut flash, &mut [0; 191]));
    assert_eq!(small, Err(Fault::JournalBufferTooSmall { got: 191, need: 192 }));
}

#[test]
fn records_of_another_kind_are_not_ours() {
    let mut flash = Ram::<1, 4, 1024>::new(SECTORS);
    run(Records::new(region::<1024>(), OTHER).store(&mut flash, b"boot")).unwrap();
    assert_eq!(load(&mut journal::<1024>(), &mut flash), Ok(None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_flash_contents_load_or_not_and_take_a_record(bytes in proptest::collection::vec(any::<u8>(), 2048)) {
        let mut flash = Ram::<1, 4, 1024>::holding(bytes);
        let _ = load(&mut journal::<1024>(), &mut flash);
        run(journal::<1024>().store(&mut flash, b"new")).unwrap();
        prop_assert_eq!(load(&mut journal::<1024>(), &mut flash).unwrap().unwrap(), b"new");
    }

    #[test]
    fn any_record_of_our_kind_parses_or_not(mut record: [u8; 32], len in 0_u16..300) {
        let mut whole = [0; RECORD_BYTES_MAX];
        put(&mut record, AT_KIND, &[JOURNAL.tag, FORMAT]);
        put(&mut record, AT_PAYLOAD_LEN, &len.to_le_bytes());
        put(&mut whole, 0, &record);
        let _ = parse(&whole, JOURNAL);
    }
}
