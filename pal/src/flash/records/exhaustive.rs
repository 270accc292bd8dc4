//! Properties of every region of records, checked exhaustively over the stated domains. These contain more states than
//! power cuts in a test produce: every byte and every bit of a record is damaged, and each sector has every kind of
//! earlier content. The number of cases is printed and asserted.

extern crate std;

use super::super::super::bisync;
use super::super::super::testing::{CUTS, Op, Ram, run};
use super::*;
use crate::crc::crc32;
use crate::store::record_format::{AT_FORMAT, AT_PAYLOAD_LEN, AT_SEQUENCE, FORMAT};
use std::println;
use std::vec;
use std::vec::Vec;

use embedded_storage::nor_flash::NorFlashErrorKind;

/// Size of a record room of the journal, the kind that is checked here.
const RECORD_BYTES: usize = JOURNAL.room_bytes();
/// Sector size, with room for at least two records.
const E: usize = (2 * RECORD_BYTES).next_power_of_two();
const ROOMS: usize = E / RECORD_BYTES;

type Nor = Ram<1, 4, E>;

/// Returns a record of this kind, number and payload, and the length of its used part.
fn record_of(spec: RecordSpec, sequence: u32, payload: &[u8]) -> ([u8; RECORD_BYTES], usize) {
    let mut record = [0xFF; RECORD_BYTES_MAX];
    put(&mut record, AT_PAYLOAD, payload);
    let end = emit(&mut record, spec, sequence, payload.len());
    (*record.first_chunk().unwrap(), end)
}

fn records(flash: &Nor) -> Records {
    Records::new(Region::new(0, flash.bytes.len() as u32), JOURNAL)
}

/// Returns the payload that is found after a reset.
fn found(flash: &mut Nor) -> Option<Vec<u8>> {
    let mut out = [0; PAYLOAD_BYTES_MAX];
    let len = run(records(flash).load(flash, &mut out)).expect("all of it can be read");
    len.map(|len| out[..len].to_vec())
}

fn place(flash: &mut Nor, sector: usize, room: usize, record: &[u8]) {
    flash.bytes[sector * E + room * RECORD_BYTES..][..record.len()].copy_from_slice(record);
}

const OLDER: &[u8] = b"older";
const NEWEST: &[u8] = b"the newest";

/// Places an older record and the newest one, the latter in the same sector or in the next one. Applies each case of
/// `damage` to the newest record, and checks that the older one is found exactly if a used byte has changed.
fn damaged(cases: usize, damage: impl Fn(usize, &mut [u8])) {
    for (sector, room) in [(0, 1), (1, 0)] {
        let mut flash = Nor::holding(vec![0xFF; 2 * E]);
        place(&mut flash, 0, 0, &record_of(JOURNAL, 7, OLDER).0);
        let (whole, end) = record_of(JOURNAL, 8, NEWEST);
        for case in 0..cases {
            let mut record = whole;
            damage(case, &mut record);
            place(&mut flash, sector, room, &record);
            let expected = if record[..end] == whole[..end] { NEWEST } else { OLDER };
            assert_eq!(found(&mut flash).as_deref(), Some(expected), "case {case} in sector {sector}");
        }
    }
}

/// Domain: every length of the head and of the tail of the newest record that a power cut left written, with the rest
/// erased, cleared or arbitrary. The newest record is found if its used part is complete, otherwise the previous one.
#[test]
fn a_record_that_was_written_in_part_gives_the_one_before() {
    for rest in [0xFF, 0x00, 0xA5] {
        damaged(RECORD_BYTES + 1, |len, record| record[len..].fill(rest));
        damaged(RECORD_BYTES + 1, |len, record| record[..len].fill(rest));
    }
    println!("{} heads and tails", 2 * 2 * 3 * (RECORD_BYTES + 1));
}

/// Domain: every bit of the newest record, every two bits of its used part, and every value of every used byte. A
/// change in the used part causes the previous record to be found.
#[test]
fn a_flipped_bit_gives_the_one_before() {
    let flip = |record: &mut [u8], bit: usize| record[bit / 8] ^= 1 << (bit % 8);
    let bits = 8 * (AT_PAYLOAD + NEWEST.len());
    damaged(8 * RECORD_BYTES, |bit, record| flip(record, bit));
    damaged(bits * bits, |pair, record| {
        flip(record, pair / bits);
        flip(record, pair % bits);
    });
    damaged(256 * bits / 8, |case, record| record[case / 256] = case as u8);
    println!("{} changes", 2 * (8 * RECORD_BYTES + bits * bits + 32 * bits));
}

/// Domain: every bit of the room of the older record. The newest record is found after any such change.
#[test]
fn what_happens_to_an_older_record_changes_nothing() {
    let mut flash = Nor::holding(vec![0xFF; 2 * E]);
    let (whole, _) = record_of(JOURNAL, 7, OLDER);
    place(&mut flash, 1, 0, &record_of(JOURNAL, 8, NEWEST).0);
    for bit in 0..8 * RECORD_BYTES {
        let mut record = whole;
        record[bit / 8] ^= 1 << (bit % 8);
        place(&mut flash, 0, 0, &record);
        assert_eq!(found(&mut flash).as_deref(), Some(NEWEST), "bit {bit}");
    }
    println!("{} changes", 8 * RECORD_BYTES);
}

/// A flash with a bit error in one read.
struct Misreading {
    flash: Nor,
    reads_before: usize,
    bit: usize,
}

#[bisync]
impl Flash for Misreading {
    const READ_SIZE: usize = Nor::READ_SIZE;
    const WRITE_SIZE: usize = Nor::WRITE_SIZE;
    const ERASE_SIZE: usize = Nor::ERASE_SIZE;

    fn capacity(&self) -> usize {
        self.flash.capacity()
    }
    async fn read(&mut self, offset_bytes: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        self.flash.read(offset_bytes, out).await?;
        if self.reads_before == 0 {
            out[self.bit / 8] ^= 1 << (self.bit % 8);
        }
        self.reads_before = self.reads_before.wrapping_sub(1);
        Ok(())
    }
    async fn write(&mut self, _: u32, _: &[u8]) -> Result<(), NorFlashErrorKind> {
        unreachable!("a load writes nothing")
    }
    async fn erase(&mut self, _: u32, _: u32) -> Result<(), NorFlashErrorKind> {
        unreachable!("a load erases nothing")
    }
    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        unreachable!("a load changes nothing")
    }
}

/// Domain: every bit of every read of a load, with the newest record in any room. The newest record is found despite
/// one bit error.
#[test]
fn a_bit_that_is_misread_once_never_brings_the_one_before_back() {
    let mut cases = 0;
    for (at, reads_before) in (1..2 * ROOMS).flat_map(|at| (0..4 * ROOMS).map(move |reads| (at, reads))) {
        let mut flash = Nor::holding(vec![0xFF; 2 * E]);
        place(&mut flash, 0, 0, &record_of(JOURNAL, 7, OLDER).0);
        place(&mut flash, at / ROOMS, at % ROOMS, &record_of(JOURNAL, 8, NEWEST).0);
        let mut flash = Misreading { flash, reads_before, bit: 0 };
        for bit in 0..8 * RECORD_BYTES {
            (flash.reads_before, flash.bit) = (reads_before, bit);
            let mut out = [0; PAYLOAD_BYTES_MAX];
            let len = run(records(&flash.flash).load(&mut flash, &mut out));
            assert_eq!(len, Ok(Some(NEWEST.len())), "bit {bit} of read {reads_before}, the newest in room {at}");
            assert_eq!(&out[..NEWEST.len()], NEWEST);
            cases += 1;
        }
    }
    println!("{cases} bits misread");
}

/// Domain: every set of written bytes of a record with a payload of 6 bytes, the other bytes erased: 2 to the 18th.
#[test]
fn of_all_sets_of_written_bytes_only_the_whole_record_counts() {
    let (whole, end) = record_of(JOURNAL, 0x0102_0304, b"abcdef");
    let mut intact = 0;
    for written in 0..1_u32 << end {
        let mut record = [0xFF; RECORD_BYTES];
        for at in (0..end).filter(|at| written >> at & 1 == 1) {
            record[at] = whole[at];
        }
        let is_whole = record == whole;
        assert_eq!(parse(&record, JOURNAL).is_some(), is_whole, "{written:b}");
        intact += u32::from(is_whole);
    }
    println!("{} sets, {intact} of them whole", 1_u32 << end);
    assert!(intact > 0 && end >= 16);
}

/// Domain: every length of a payload and every word size. The payload is found, and the longest one fits its room.
#[test]
fn every_length_of_a_payload_is_found_again() {
    fn on_words_of<const W: usize>() {
        for len in 0..=PAYLOAD_BYTES_MAX {
            let payload: Vec<u8> = (0..len).map(|at| (at * 7 + len) as u8).collect();
            let mut flash = Ram::<1, W, E>::new(2);
            let mut records = Records::new(Region::new(0, 2 * E as u32), JOURNAL);
            for _ in 0..ROOMS + 1 {
                run(records.store(&mut flash, &payload)).unwrap();
            }
            let mut out = [0; PAYLOAD_BYTES_MAX];
            assert_eq!(run(records.load(&mut flash, &mut out)), Ok(Some(len)));
            assert_eq!(out[..len], payload);
        }
    }
    on_words_of::<1>();
    on_words_of::<4>();
    on_words_of::<8>();
    on_words_of::<16>();
    on_words_of::<32>();
    println!("{} payloads", 5 * (PAYLOAD_BYTES_MAX + 1));
}

/// The content of a sector. The number is the distance of a record from the first sequence number.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Holds {
    Erased,
    Cleared,
    Garbage,
    /// A valid record in the first room.
    First(u32),
    /// A valid record in the last room, and an older one in the first.
    Last(u32),
    /// The head of a record that is newer than all others.
    Torn,
    /// Complete and later records that must be ignored.
    OtherKind,
    OtherFormat,
    TooLong,
}

const HOLDS: [Holds; 12] = [
    Holds::Erased,
    Holds::Cleared,
    Holds::Garbage,
    Holds::First(1),
    Holds::First(2),
    Holds::First(6),
    Holds::Last(3),
    Holds::Last(5),
    Holds::Torn,
    Holds::OtherKind,
    Holds::OtherFormat,
    Holds::TooLong,
];

fn payload_of(later: u32) -> Vec<u8> {
    vec![b'a' + later as u8; 3 + later as usize]
}

/// Fills a sector, and returns the distance of its newest valid record, if any.
fn fill(flash: &mut Nor, sector: usize, holds: Holds, base: u32) -> Option<u32> {
    let ours = |later: u32| record_of(JOURNAL, base.wrapping_add(later), &payload_of(later)).0;
    // The CRC is computed again, so that the record is invalid only because of the change.
    let changed = |at: usize, bytes: &[u8], len: usize| {
        let mut record = ours(9);
        put(&mut record, at, bytes);
        let crc = crc32(&record[AT_SEQUENCE..AT_PAYLOAD + len]);
        put(&mut record, 0, &crc.to_le_bytes());
        record
    };
    let (len, long) = (payload_of(9).len(), PAYLOAD_BYTES_MAX + 1);
    match holds {
        Holds::Erased => flash.bytes[sector * E..][..E].fill(0xFF),
        Holds::Cleared => flash.bytes[sector * E..][..E].fill(0x00),
        Holds::Garbage => {
            for (at, byte) in flash.bytes[sector * E..][..E].iter_mut().enumerate() {
                *byte = (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0];
            }
        }
        Holds::First(later) => place(flash, sector, 0, &ours(later)),
        Holds::Last(later) => {
            place(flash, sector, 0, &ours(later - 1));
            place(flash, sector, ROOMS - 1, &ours(later));
        }
        Holds::Torn => place(flash, sector, 0, &ours(8)[..AT_PAYLOAD + 2]),
        Holds::OtherKind => place(flash, sector, 0, &record_of(OTHER, base.wrapping_add(9), &payload_of(9)).0),
        Holds::OtherFormat => place(flash, sector, 0, &changed(AT_FORMAT, &[FORMAT + 1], len)),
        Holds::TooLong => place(flash, sector, 0, &changed(AT_PAYLOAD_LEN, &(long as u16).to_le_bytes(), long)),
    }
    match holds {
        Holds::First(later) | Holds::Last(later) => Some(later),
        _ => None,
    }
}

/// Domain: two and three sectors, each with one of twelve kinds of content (erased, cleared, garbage, older and newer
/// records in the first and the last room, a torn record, and records of another kind, of another format or of
/// excessive length), and sequence numbers that start at 0, wrap around, or cross half their range. Of three sectors that
/// start at 0, none or any one cannot be erased. The newest valid record is found. A store preserves it until the new one is valid: after a power cut at every operation and in every
/// way, one of the two is found, and the next store succeeds.
#[test]
fn whatever_the_sectors_hold_the_newest_intact_record_is_found_and_a_store_keeps_it_or_replaces_it() {
    let (mut regions, mut stores) = (0, 0);
    let bases = [0, u32::MAX - 4, u32::MAX / 2 - 4];
    let good = [2, 3].into_iter().flat_map(|sectors| bases.map(|base| (sectors, base, 0..0)));
    for (sectors, base, worn) in good.chain((0..3).map(|worn| (3, 0, worn..worn + 1))) {
        for case in 0..HOLDS.len().pow(sectors as u32) {
            let mut flash = Nor::holding(vec![0xFF; sectors * E]);
            let holds = |sector: usize| HOLDS[case / HOLDS.len().pow(sector as u32) % HOLDS.len()];
            let newest = (0..sectors).filter_map(|sector| fill(&mut flash, sector, holds(sector), base)).max();
            let old = newest.map(payload_of);
            let told = (0..sectors).map(holds).collect::<Vec<_>>();
            assert_eq!(found(&mut flash), old, "{told:?}");
            regions += 1;
            let before = flash.bytes.clone();
            for cut in [None].into_iter().chain((0..4).flat_map(|at| CUTS.map(|cut| Some((at, cut))))) {
                let mut flash = Nor::holding(before.clone());
                (flash.cut, flash.unerasable) = (cut, worn.clone());
                let stored = run(records(&flash).store(&mut flash, b"new"));
                assert!(cut.is_some() || flash.ops.iter().filter(|op| matches!(op, Op::Erase(_))).count() == 1);
                flash.power_on();
                let left = found(&mut flash);
                assert!(
                    left.as_deref() == Some(b"new") || (stored.is_err() && left == old),
                    "{told:?} {cut:?}: {left:?}"
                );
                run(records(&flash).store(&mut flash, b"next")).unwrap();
                assert_eq!(found(&mut flash).as_deref(), Some(&b"next"[..]), "{told:?} {cut:?}");
                stores += 1;
            }
        }
    }
    println!("{regions} regions, {stores} stores");
    assert!(regions >= 5_000);
}
