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
mod tests;
