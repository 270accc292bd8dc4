//! Payloads that survive a power cut at any moment: the journal, the boot record and the monotonic record.
//!
//! Records are appended to a bank, each with a sequence number and a CRC; the newest valid one is current. A bank is
//! one sector, or as many as hold one record where sectors are small. When a bank is full, the next bank of the region
//! is erased and used, so the bank with the newest record is never erased. After a reset, erased words cannot be
//! distinguished from partly written ones, so the first record after each reset starts a new bank: no word is ever
//! written twice. The cost is one erase per reset that is followed by a store.
//!
//! A bank that cannot be erased or written is passed over: a region of `n` banks works while two are good. Worn banks are
//! not remembered. A store tries one again, at the cost of an erase, whenever it is next, possibly after every reset.

use super::super::bisync;
use super::super::flash::{self, Flash};
use crate::bytes::{put, u32_at};
use crate::fault::Fault;
use crate::store::record_format::{AT_PAYLOAD, AT_SEQUENCE, RECORD_BYTES_MAX, RecordSpec, emit, parse};
use crate::store::region::{Region, WORD_BYTES_MAX};

/// By how much the number of a torn record may exceed that of the newest one; what exceeds it more is no number.
const TORN_AHEAD_MAX: u32 = 1 << 16;

/// A region with records of one kind.
#[derive(Debug)]
pub(crate) struct Records {
    region: Region,
    spec: RecordSpec,
    /// `None` after a reset and during a store, so that after a failed or cancelled store the position is read from
    /// flash.
    head: Option<Head>,
}

/// The position of the newest record, and that of the next one.
#[derive(Clone, Copy, Debug)]
struct Head {
    bank: u32,
    sequence: u32,
    /// Index of the first room of the bank that is certainly erased; if it is beyond the last room, there is none.
    free: u32,
}

/// The newest record found.
#[derive(Clone, Copy)]
struct Newest {
    bank: u32,
    at: u32,
    sequence: u32,
}

#[bisync]
impl Records {
    pub(crate) const fn new(region: Region, spec: RecordSpec) -> Self {
        Self { region, spec, head: None }
    }

    /// Copies the newest payload to the start of `out` and returns its length; `None` if there is no valid record.
    ///
    /// # Cancel safety
    /// This method does not change flash.
    pub(crate) async fn load<F: Flash>(&mut self, flash: &mut F, out: &mut [u8]) -> Result<Option<usize>, Fault> {
        let copy = |payload: &[u8]| {
            let (got, need) = (out.len(), payload.len());
            out.get_mut(..need).ok_or(Fault::JournalBufferTooSmall { got, need })?.copy_from_slice(payload);
            Ok(need)
        };
        self.load_with(flash, copy).await?.transpose()
    }

    /// Returns the result of `read` for the newest payload; `None` if there is no valid record.
    ///
    /// # Cancel safety
    /// This method does not change flash.
    pub(crate) async fn load_with<F: Flash, T>(
        &mut self,
        flash: &mut F,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, Fault> {
        let mut record = [0; RECORD_BYTES_MAX];
        let Some(Newest { at, .. }) = self.newest(flash, &mut record).await? else {
            return Ok(None);
        };
        // The record was valid when it was found: flash with inconsistent reads is a read fault.
        self.read(flash, at, &mut record).await?.ok_or(Fault::Read { offset_bytes: at })?;
        let (_, payload) = parse(&record, self.spec).ok_or(Fault::Read { offset_bytes: at })?;
        Ok(Some(read(payload)))
    }

    /// Appends a record. It is durable, with all earlier writes, when this method returns. Fails if every bank but that
    /// of the newest record fails, with the fault of the last one.
    ///
    /// # Cancel safety
    /// The newest payload is the earlier or the new one. The same holds after an error.
    pub(crate) async fn store<F: Flash>(&mut self, flash: &mut F, payload: &[u8]) -> Result<(), Fault> {
        let (got, max) = (payload.len(), self.spec.payload_bytes_max);
        if got > max {
            return Err(Fault::JournalPayloadTooLong { got, max });
        }
        let fill = &mut |room: &mut [u8]| {
            put(room, 0, payload);
            got
        };
        self.store_with(flash, fill).await
    }

    /// Appends a record whose payload `fill` writes to the buffer passed to it; `fill` returns the length of the
    /// payload. Otherwise like [`store`](Self::store).
    pub(crate) async fn store_with<F: Flash>(
        &mut self,
        flash: &mut F,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Result<(), Fault> {
        let mut record = [0; RECORD_BYTES_MAX];
        let head = match self.head.take() {
            Some(head) => head,
            None => self.head_after_boot(flash, &mut record).await?,
        };
        record.fill(0xFF);
        let payload_len = fill(&mut record[AT_PAYLOAD..AT_PAYLOAD + self.spec.payload_bytes_max]);
        // The data that the record refers to must be durable before the record is.
        flash::sync(flash).await?;
        let banks = self.banks::<F>();
        let (mut sequence, mut step) = (head.sequence, u32::from(head.free >= self.rooms_in_bank::<F>()));
        loop {
            let (bank, index) = match step {
                0 => (head.bank, head.free),
                _ => ((head.bank + step) % banks, 0),
            };
            // Another number for each attempt: a torn record could become valid later.
            sequence = sequence.wrapping_add(1);
            let len =
                emit(&mut record, self.spec, sequence, payload_len).next_multiple_of(flash::word_bytes::<F>() as usize);
            let erased = if index == 0 { self.erase(flash, bank).await } else { Ok(()) };
            let written = match erased {
                Ok(()) => flash::write(flash, self.at::<F>(bank, index), &record[..len]).await,
                Err(_) => erased,
            };
            match written {
                Ok(()) => {
                    flash::sync(flash).await?;
                    self.head = Some(Head { bank, sequence, free: index + 1 });
                    return Ok(());
                }
                Err(fault) if step + 1 >= banks => return Err(fault),
                Err(_) => step += 1,
            }
        }
    }

    async fn erase<F: Flash>(&self, flash: &mut F, bank: u32) -> Result<(), Fault> {
        let (start, end) = (self.at::<F>(bank, 0), self.at::<F>(bank + 1, 0));
        for at in (start..end).step_by(F::ERASE_SIZE) {
            flash::erase_sector(flash, at).await?;
        }
        Ok(())
    }

    /// Returns the position after a reset: no room of any sector is certainly erased. Sequence numbers are skipped that
    /// may belong to partly written records, which unstable bits could make valid later: one for the room after the
    /// newest record, and those found at the start of the banks, where a store that passed over a bank left off.
    async fn head_after_boot<F: Flash>(&self, flash: &mut F, room: &mut [u8; RECORD_BYTES_MAX]) -> Result<Head, Fault> {
        let free = u32::MAX;
        let (bank, mut sequence) = match self.newest(flash, room).await? {
            Some(Newest { bank, sequence, .. }) => (bank, sequence.wrapping_add(1)),
            None => (self.banks::<F>() - 1, 0),
        };
        for bank in 0..self.banks::<F>() {
            let start = &mut room[..WORD_BYTES_MAX];
            if flash::read(flash, self.at::<F>(bank, 0), start).await.is_ok() {
                let ahead = u32_at(start, AT_SEQUENCE).wrapping_sub(sequence);
                if ahead <= TORN_AHEAD_MAX {
                    sequence = sequence.wrapping_add(ahead);
                }
            }
        }
        Ok(Head { bank, sequence, free })
    }

    /// Finds the newest record by reading every room of the region into `room`. A room that cannot be read has no
    /// record: flash with error correction fails reads of a partly written word. Fails if no room can be read.
    async fn newest<F: Flash>(
        &self,
        flash: &mut F,
        room: &mut [u8; RECORD_BYTES_MAX],
    ) -> Result<Option<Newest>, Fault> {
        let mut newest: Option<Newest> = None;
        let (mut readable, mut unread) = (false, Ok(None));
        for bank in 0..self.banks::<F>() {
            for index in 0..self.rooms_in_bank::<F>() {
                let at = self.at::<F>(bank, index);
                let sequence = match self.read(flash, at, room).await {
                    Ok(sequence) => sequence,
                    Err(fault) => {
                        unread = Err(fault);
                        continue;
                    }
                };
                readable = true;
                let Some(sequence) = sequence else { continue };
                if newest.is_none_or(|newest| is_later(sequence, newest.sequence)) {
                    newest = Some(Newest { bank, at, sequence });
                }
            }
        }
        if readable { Ok(newest) } else { unread }
    }

    /// Reads a room and returns the sequence number of its record if there is a valid one. Content that is neither
    /// valid nor erased is read once more, because a transient bit error must not cause a return to an older record.
    async fn read<F: Flash>(
        &self,
        flash: &mut F,
        at: u32,
        room: &mut [u8; RECORD_BYTES_MAX],
    ) -> Result<Option<u32>, Fault> {
        let room = &mut room[..self.spec.room_bytes()];
        for _ in 0..2 {
            flash::read(flash, at, room).await?;
            if let Some((sequence, _)) = parse(room, self.spec) {
                return Ok(Some(sequence));
            }
            if room.iter().all(|byte| *byte == 0xFF) {
                break;
            }
        }
        Ok(None)
    }

    /// Returns the size of a bank: the fewest whole sectors that hold a record.
    fn bank_bytes<F: Flash>(&self) -> u32 {
        self.spec.room_bytes().next_multiple_of(F::ERASE_SIZE) as u32
    }

    fn banks<F: Flash>(&self) -> u32 {
        self.region.len_bytes() / self.bank_bytes::<F>()
    }

    fn rooms_in_bank<F: Flash>(&self) -> u32 {
        self.bank_bytes::<F>() / self.spec.room_bytes() as u32
    }

    fn at<F: Flash>(&self, bank: u32, index: u32) -> u32 {
        self.region.at(bank * self.bank_bytes::<F>() + index * self.spec.room_bytes() as u32)
    }
}

/// Returns whether `a` is later than `b`; sequence numbers wrap around.
fn is_later(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 31
}

/// Two kinds of records for the tests.
#[cfg(test)]
const JOURNAL: RecordSpec = RecordSpec::new(0x4A, PAYLOAD_BYTES_MAX);
#[cfg(test)]
const OTHER: RecordSpec = RecordSpec::new(0x42, PAYLOAD_BYTES_MAX);
#[cfg(test)]
const PAYLOAD_BYTES_MAX: usize = 192;

#[cfg(test)]
mod exhaustive;

#[cfg(test)]
mod tests {
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
}
