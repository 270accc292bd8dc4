//! The vectors and the weaknesses that were measured on ESP-IDF's own code, and the application's writes to otadata.

use super::*;

const TWO: Table = Table { slots: 2, factory: false };
const TWO_AND_FACTORY: Table = Table { slots: 2, factory: true };
const ERASED: Entry = Entry([0xFF; ENTRY_BYTES]);

fn otadata(entries: [Entry; 2]) -> Vec<u8> {
    let mut bytes = vec![0xFF; 2 * SECTOR_BYTES];
    for (sector, entry) in entries.iter().enumerate() {
        bytes[sector * SECTOR_BYTES..][..ENTRY_BYTES].copy_from_slice(&entry.0);
    }
    bytes
}

fn entries(otadata: &[u8]) -> [(u32, u32); 2] {
    [0, 1].map(|sector| Entry::of(otadata, sector)).map(|entry| (entry.seq(), entry.state()))
}

fn booted(table: Table, otadata: &mut [u8]) -> Start {
    boot(table, otadata, |_| true, whole).expect("the power stays")
}

/// The steps of esp_ota_set_boot_partition: the active entry is rewritten if it selects the slot; otherwise the other one
/// gets the next number that selects it.
fn set_boot(otadata: &[u8], slots: u32, slot: u32) -> [Step; 2] {
    let found = [Entry::of(otadata, 0), Entry::of(otadata, 1)];
    let (sector, seq) = match active(&found) {
        None => (0, slot + 1),
        Some(sector) if (found[sector].seq() - 1) % slots == slot => (sector, found[sector].seq()),
        Some(sector) => {
            let base = (slot + 1) % slots;
            (1 - sector, (0..).map(|i| base + i * slots).find(|seq| *seq >= found[sector].seq()).expect("there is one"))
        }
    };
    rewrite(sector, Entry::new(seq, NEW))
}

/// The steps of esp_ota_mark_app_valid_cancel_rollback: the active entry, in place.
fn mark_valid(otadata: &[u8]) -> [Step; 2] {
    let found = [Entry::of(otadata, 0), Entry::of(otadata, 1)];
    let sector = active(&found).expect("an image runs");
    rewrite(sector, found[sector].with_state(VALID))
}

fn rewrite(sector: usize, entry: Entry) -> [Step; 2] {
    [Step::Erase { sector }, Step::Write { sector, entry }]
}

/// What a power cut leaves of a step.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Before,
    Half,
    Bits(u32),
    After,
}

fn cuts() -> impl Iterator<Item = Cut> {
    [Cut::Before, Cut::Half, Cut::After].into_iter().chain((1..200).map(Cut::Bits))
}

fn cut(otadata: &mut [u8], step: Step, cut: Cut) -> bool {
    let before = otadata.to_vec();
    whole(otadata, step);
    let sector = match step {
        Step::Erase { sector } | Step::Write { sector, .. } => sector,
    };
    let len = if matches!(step, Step::Erase { .. }) { SECTOR_BYTES } else { ENTRY_BYTES };
    for index in 0..len {
        let at = sector * SECTOR_BYTES + index;
        let done = match cut {
            Cut::Before => 0,
            Cut::Half => 0xFF * u8::from(index < len / 2),
            Cut::Bits(seed) => (seed.wrapping_mul(2_654_435_761).rotate_left(index as u32 * 7 % 32) >> 11) as u8,
            Cut::After => 0xFF,
        };
        otadata[at] = before[at] & !done | otadata[at] & done;
    }
    false
}

/// All that two steps of the application can leave when one of them is cut.
fn left(before: &[u8], steps: [Step; 2]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (at, how) in [0, 1].into_iter().flat_map(|at| cuts().map(move |how| (at, how))) {
        let mut otadata = before.to_vec();
        for step in &steps[..at] {
            whole(&mut otadata, *step);
        }
        cut(&mut otadata, steps[at], how);
        all.push(otadata);
    }
    all
}

#[test]
fn the_crc_of_a_number_is_what_otatool_computes() {
    assert_eq!([1, 2, 3, 4].map(crc), [0x4743_989A, 0x55F6_3774, 0xED4A_5011, 0x709D_68A8]);
}

#[test]
fn the_greater_number_is_started_and_the_first_of_equals() {
    for (seqs, slot) in [([1, 2], 1), ([3, 2], 0), ([3, 4], 1), ([2, 2], 1), ([5, 4], 0)] {
        let mut bytes = otadata(seqs.map(|seq| Entry::new(seq, VALID)));
        assert_eq!(booted(TWO, &mut bytes), Start::Ota(slot), "{seqs:?}");
    }
    assert_eq!(active(&[2, 2].map(|seq| Entry::new(seq, VALID))), Some(0));
}

#[test]
fn without_an_entry_the_factory_image_is_started_or_the_first_slot_which_is_written_down() {
    let mut bytes = otadata([ERASED; 2]);
    assert_eq!(booted(TWO_AND_FACTORY, &mut bytes), Start::Factory);
    assert_eq!(bytes, otadata([ERASED; 2]));
    assert_eq!(booted(TWO, &mut bytes), Start::Ota(0));
    assert_eq!(bytes, otadata([Entry::new(1, VALID), ERASED]));
}

#[test]
fn a_wrong_crc_and_no_valid_entry_start_the_factory_image_or_the_first_that_verifies() {
    let mut torn = Entry::new(2, VALID);
    torn.0[AT_CRC] ^= 1;
    assert_eq!(booted(TWO_AND_FACTORY, &mut otadata([torn, ERASED])), Start::Factory);
    assert_eq!(booted(TWO, &mut otadata([torn, ERASED])), Start::Ota(0));
    assert_eq!(booted(TWO, &mut otadata([torn, Entry::new(2, VALID)])), Start::Ota(1));
}

#[test]
fn a_new_image_is_started_once_and_aborted_when_it_said_nothing() {
    let mut bytes = otadata([Entry::new(1, VALID), Entry::new(2, NEW)]);
    assert_eq!(booted(TWO, &mut bytes), Start::Ota(1));
    assert_eq!(entries(&bytes), [(1, VALID), (2, PENDING_VERIFY)]);
    assert_eq!(booted(TWO, &mut bytes), Start::Ota(0));
    assert_eq!(entries(&bytes), [(1, VALID), (2, ABORTED)]);
}

#[test]
fn both_entries_are_aborted_before_anything_and_no_crc_is_asked() {
    let mut torn = Entry::new(7, PENDING_VERIFY);
    torn.0[AT_CRC] ^= 1;
    let mut bytes = otadata([torn, Entry::new(2, PENDING_VERIFY)]);
    assert_eq!(booted(TWO_AND_FACTORY, &mut bytes), Start::Factory);
    assert_eq!(entries(&bytes), [(7, ABORTED), (2, ABORTED)]);
}

#[test]
fn images_that_do_not_verify_are_passed_over_downwards_to_the_factory_and_then_upwards() {
    let table = Table { slots: 4, factory: true };
    let mut tried = Vec::new();
    for last in [Start::Ota(2), Start::Ota(1), Start::Ota(0), Start::Factory, Start::Ota(3)] {
        tried.push(last);
        let verifies = |partition| partition == last || !tried.contains(&partition);
        let mut bytes = otadata([Entry::new(3, VALID), Entry::new(2, VALID)]);
        assert_eq!(boot(table, &mut bytes, verifies, whole), Some(last));
    }
    let mut bytes = otadata([Entry::new(3, VALID), Entry::new(2, VALID)]);
    assert_eq!(boot(table, &mut bytes, |_| false, whole), Some(Start::Nothing));
}

#[test]
fn the_crc_does_not_cover_the_state_so_a_torn_state_is_started_and_never_watched() {
    for state in (0..=15).chain([UNDEFINED]) {
        let mut bytes = otadata([Entry::new(1, VALID), Entry::new(2, state)]);
        let first = booted(TWO, &mut bytes);
        let again = booted(TWO, &mut bytes);
        let [_, (_, left)] = entries(&bytes);
        let expected = match state {
            NEW => (Start::Ota(1), Start::Ota(0), ABORTED),
            PENDING_VERIFY => (Start::Ota(0), Start::Ota(0), ABORTED), // aborted before it ran
            INVALID | ABORTED => (Start::Ota(0), Start::Ota(0), state),
            _ => (Start::Ota(1), Start::Ota(1), state), // not on trial: it is never taken back
        };
        assert_eq!((first, again, left), expected, "state {state}");
    }
}

#[test]
fn a_cut_while_an_image_is_marked_valid_can_lead_back_to_the_old_one_without_a_trace() {
    let before = otadata([Entry::new(1, VALID), Entry::new(2, PENDING_VERIFY)]);
    let mut old = 0;
    for mut bytes in left(&before, mark_valid(&before)) {
        let started = booted(TWO, &mut bytes);
        assert!(matches!(started, Start::Ota(0 | 1)), "{started:?}");
        old += u32::from(started == Start::Ota(0) && entries(&bytes) == [(1, VALID), (SEQ_ERASED, UNDEFINED)]);
    }
    assert!(old > 0, "the erase was done, the write was not");
}

#[test]
fn a_cut_while_the_bootloader_marks_an_image_as_started_can_lose_it_without_a_trace() {
    let mut lost = 0;
    for (at, how) in [0, 1].into_iter().flat_map(|at| cuts().map(move |how| (at, how))) {
        let mut bytes = otadata([Entry::new(1, VALID), Entry::new(2, NEW)]);
        let mut steps = 0;
        let started = boot(
            TWO,
            &mut bytes,
            |_| true,
            |otadata, step| {
                steps += 1;
                if steps == at + 1 { cut(otadata, step, how) } else { whole(otadata, step) }
            },
        );
        assert_eq!(started, None);
        let started = booted(TWO, &mut bytes);
        assert!(matches!(started, Start::Ota(0 | 1)), "{started:?}");
        lost += u32::from(started == Start::Ota(0) && entries(&bytes) == [(1, VALID), (SEQ_ERASED, UNDEFINED)]);
    }
    assert!(lost > 0, "the erase was done, the write was not");
}

#[test]
fn a_cut_while_a_slot_is_chosen_starts_a_slot_that_can_run_and_the_factory_image_if_there_is_nothing_else() {
    let before = otadata([Entry::new(1, VALID), ERASED]);
    for mut bytes in left(&before, set_boot(&before, 2, 1)) {
        let started = booted(TWO, &mut bytes);
        assert!(matches!(started, Start::Ota(0 | 1)), "{started:?}");
    }
    let before = otadata([ERASED; 2]);
    let mut factory = 0;
    for mut bytes in left(&before, set_boot(&before, 2, 0)) {
        let started = booted(TWO_AND_FACTORY, &mut bytes);
        assert!(matches!(started, Start::Factory | Start::Ota(0)), "{started:?}");
        factory += u32::from(started == Start::Factory);
    }
    assert!(factory > 0);
}

/// Source: issue 1280 of ruuvi, on esp_ota_set_boot_partition.
#[test]
fn after_a_fall_back_the_next_choice_overwrites_the_entry_of_the_slot_that_runs() {
    let three = Table { slots: 3, factory: false };
    let mut bytes = otadata([Entry::new(1, VALID), Entry::new(2, VALID)]);
    assert_eq!(boot(three, &mut bytes, |partition| partition != Start::Ota(1), whole), Some(Start::Ota(0)));
    for step in set_boot(&bytes, 3, 2) {
        whole(&mut bytes, step);
    }
    assert_eq!(entries(&bytes), [(3, NEW), (2, VALID)], "the only sound image is not named any more");
}

/// Source: get_state_partition of esp_ota_ops.c, which takes the first entry that selects the slot.
#[test]
fn when_both_entries_stand_for_one_slot_its_state_is_read_from_the_stale_one() {
    let mut bytes = otadata([Entry::new(1, INVALID), Entry::new(3, VALID)]);
    assert_eq!(booted(TWO, &mut bytes), Start::Ota(0));
    let reported = entries(&bytes).into_iter().find(|(seq, _)| (seq - 1) % TWO.slots == 0);
    assert_eq!(reported, Some((1, INVALID)), "the running, valid image is reported as invalid");
}
