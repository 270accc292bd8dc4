//! The image being received: writes blocks to its slot, erases each sector before its first write, and hashes the
//! image. Whether an image may be received, and is accepted, is decided in `native`.

use super::super::bisync;
use super::super::flash::hash::Hashing;
use super::super::flash::{self, CHUNK_BYTES, Flash};
use crate::fault::Fault;
use crate::image::digest::Digest;
use crate::image::slot::SlotId;
use crate::platform::hooks::Watchdog;
use crate::store::region::Region;

/// Number of sectors kept erased beyond the last one written. One erase overlaps with network latency; more would only
/// wear the flash if the download ends early.
const ERASE_AHEAD_SECTORS: u32 = 1;

/// An image being received. All offsets are relative to the start of the slot.
pub(crate) struct SlotWriter {
    pub(crate) slot: SlotId,
    pub(crate) image_bytes: u32,
    region: Region,
    /// The sectors before this offset are erased or kept; all others are erased before they are written. A multiple of
    /// the sector.
    erased_bytes: u32,
    /// The end of the highest block written.
    written_bytes: u32,
    hashing: Hashing,
}

#[bisync]
impl SlotWriter {
    /// Creates the writer of an image of `image_bytes` whose first `kept_bytes`, whole sectors, are already written.
    pub(crate) fn new(slot: SlotId, region: Region, image_bytes: u32, kept_bytes: u32) -> Self {
        let hashing = Hashing::new();
        Self { slot, image_bytes, region, erased_bytes: kept_bytes, written_bytes: kept_bytes, hashing }
    }

    /// Writes a block and verifies it by reading it back. Feeds the watchdog after each sector that is erased before.
    ///
    /// # Cancel safety
    /// The content of its words is undefined. The same holds after an error.
    pub(crate) async fn write<F: Flash, W: Watchdog>(
        &mut self,
        flash: &mut F,
        watchdog: &mut W,
        offset_bytes: u32,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let end_bytes = self.block_end::<F>(offset_bytes, bytes.len())?;
        if offset_bytes < self.hashing.hashed_bytes() {
            self.hashing = Hashing::new(); // it covers bytes that are about to change
        }
        self.written_bytes = self.written_bytes.max(end_bytes);
        while self.erased_bytes < end_bytes {
            self.erase_next(flash).await?;
            watchdog.feed();
        }
        flash::write(flash, self.region.at(offset_bytes), bytes).await
    }

    /// Sets the length of the image, at most the announced one.
    pub(crate) fn end_at(&mut self, image_bytes: u32) -> Result<(), Fault> {
        if image_bytes < self.written_bytes || image_bytes > self.image_bytes {
            let (offset_bytes, len_bytes) = (self.written_bytes, image_bytes as usize);
            return Err(Fault::OutOfRange { offset_bytes, len_bytes, limit_bytes: self.image_bytes });
        }
        self.image_bytes = image_bytes;
        Ok(())
    }

    /// Erases one sector ahead, if one is due, and returns whether it did.
    ///
    /// # Cancel safety
    /// The sector is erased again by a later call.
    pub(crate) async fn erase_ahead<F: Flash>(&mut self, flash: &mut F) -> Result<bool, Fault> {
        let sector_bytes = F::ERASE_SIZE as u32;
        let ahead_bytes =
            self.written_bytes.next_multiple_of(sector_bytes).saturating_add(ERASE_AHEAD_SECTORS * sector_bytes);
        let limit_bytes = ahead_bytes.min(self.image_bytes);
        let is_due = self.erased_bytes < limit_bytes;
        if is_due {
            self.erase_next(flash).await?;
        }
        Ok(is_due)
    }

    /// Hashes a step of the bytes below `frontier_bytes` and returns whether more can be hashed now.
    ///
    /// # Cancel safety
    /// The next call continues at the last completed chunk.
    pub(crate) async fn hash_ahead<F: Flash>(&mut self, flash: &mut F, frontier_bytes: u32) -> Result<bool, Fault> {
        let limit_bytes = match frontier_bytes < self.image_bytes {
            true => frontier_bytes - frontier_bytes % CHUNK_BYTES as u32,
            false => self.image_bytes,
        };
        self.hashing.step(flash, self.region, limit_bytes).await?;
        Ok(self.hashing.hashed_bytes() < limit_bytes)
    }

    /// Returns the digest of the whole image, read from flash.
    ///
    /// # Cancel safety
    /// The digest is incomplete; call again.
    pub(crate) async fn digest<F: Flash, W: Watchdog>(
        &mut self,
        flash: &mut F,
        watchdog: &mut W,
    ) -> Result<Digest, Fault> {
        while self.hash_ahead(flash, self.image_bytes).await? {
            watchdog.feed();
        }
        Ok(self.hashing.clone().finish())
    }

    /// Returns the end of a block, if that is within the image and aligned to words.
    fn block_end<F: Flash>(&self, offset_bytes: u32, len_bytes: usize) -> Result<u32, Fault> {
        let limit_bytes = self.image_bytes;
        let end_bytes = u32::try_from(len_bytes)
            .ok()
            .and_then(|len_bytes| offset_bytes.checked_add(len_bytes))
            .filter(|end_bytes| *end_bytes <= limit_bytes)
            .ok_or(Fault::OutOfRange { offset_bytes, len_bytes, limit_bytes })?;
        let word_bytes = flash::word_bytes::<F>();
        let end_fits = end_bytes.is_multiple_of(word_bytes) || end_bytes == limit_bytes;
        match offset_bytes.is_multiple_of(word_bytes) && end_fits {
            true => Ok(end_bytes),
            false => Err(Fault::NotAligned { offset_bytes, len_bytes, word_bytes }),
        }
    }

    async fn erase_next<F: Flash>(&mut self, flash: &mut F) -> Result<(), Fault> {
        flash::erase_sector(flash, self.region.at(self.erased_bytes)).await?;
        self.erased_bytes += F::ERASE_SIZE as u32;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Op, Ram, run, sha256};
    use super::*;
    use crate::platform::hooks::NoWatchdog;
    use std::vec::Vec;

    const SECTOR: usize = 1024;
    const REGION: Region = Region::new(SECTOR as u32, 8 * SECTOR as u32);
    /// Four sectors and a remainder that is not a multiple of the word.
    const IMAGE_BYTES: usize = 4 * SECTOR + 333;
    const BLOCK: usize = 512;

    type Nor = Ram<1, 4, SECTOR>;

    fn image() -> Vec<u8> {
        (0..IMAGE_BYTES).map(|index| (index as u8).wrapping_mul(7) ^ (index >> 8) as u8).collect()
    }

    /// Returns a flash whose slot contains an older image, and the writer of a new one.
    fn begun() -> (Nor, SlotWriter) {
        (Nor::holding([0x5A; 10 * SECTOR].to_vec()), SlotWriter::new(SlotId::B, REGION, IMAGE_BYTES as u32, 0))
    }

    fn write_blocks(nor: &mut Nor, incoming: &mut SlotWriter, indices: impl Iterator<Item = usize>) {
        let image = image();
        for index in indices {
            let start = index * BLOCK;
            let block = &image[start..IMAGE_BYTES.min(start + BLOCK)];
            run(incoming.write(nor, &mut NoWatchdog, start as u32, block)).unwrap();
        }
    }

    fn held(nor: &Nor) -> &[u8] {
        &nor.bytes[SECTOR..SECTOR + IMAGE_BYTES]
    }

    #[test]
    fn blocks_in_any_order_make_the_image_and_touch_nothing_else() {
        for indices in [[0, 1, 2, 3, 4, 5, 6, 7, 8], [8, 7, 6, 5, 4, 3, 2, 1, 0], [1, 3, 0, 2, 8, 5, 7, 4, 6]] {
            let (mut nor, mut incoming) = begun();
            write_blocks(&mut nor, &mut incoming, indices.into_iter());
            assert_eq!(held(&nor), image());
            assert_eq!(run(incoming.digest(&mut nor, &mut NoWatchdog)), Ok(sha256(&image())));
            assert!(nor.bytes[..SECTOR].iter().all(|byte| *byte == 0x5A), "before the slot");
            assert!(nor.bytes[6 * SECTOR..].iter().all(|byte| *byte == 0x5A), "beyond the image's sectors");
            assert!(
                nor.bytes[SECTOR + IMAGE_BYTES..6 * SECTOR].iter().all(|byte| *byte == 0xFF),
                "the last word's rest"
            );
        }
    }

    #[test]
    fn a_sector_is_erased_when_it_is_first_touched_and_once() {
        let (mut nor, mut incoming) = begun();
        write_blocks(&mut nor, &mut incoming, 0..9);
        let erased: Vec<_> = nor.ops.iter().filter(|op| matches!(op, Op::Erase(_))).copied().collect();
        assert_eq!(erased, [1, 2, 3, 4, 5].map(|sector| Op::Erase(sector * SECTOR as u32)));
        assert_eq!(nor.ops[..2], [Op::Erase(SECTOR as u32), Op::Write(SECTOR as u32)]);
    }

    #[test]
    fn one_sector_is_erased_ahead_and_none_beyond_the_image() {
        let (mut nor, mut incoming) = begun();
        assert_eq!(run(incoming.erase_ahead(&mut nor)), Ok(true));
        assert_eq!(run(incoming.erase_ahead(&mut nor)), Ok(false));
        assert_eq!(nor.ops, [Op::Erase(SECTOR as u32)]);
        write_blocks(&mut nor, &mut incoming, 0..9);
        nor.ops.clear();
        assert_eq!(run(incoming.erase_ahead(&mut nor)), Ok(false));
        assert_eq!(nor.ops, []);
    }

    #[test]
    fn what_lies_beyond_the_kept_bytes_is_erased_again() {
        let (mut nor, mut incoming) = begun();
        write_blocks(&mut nor, &mut incoming, 0..7);
        // After a reset two sectors are kept; the third, which contains half of the next block, is written again.
        let mut incoming = SlotWriter::new(SlotId::B, REGION, IMAGE_BYTES as u32, 2 * SECTOR as u32);
        nor.ops.clear();
        write_blocks(&mut nor, &mut incoming, 4..9);
        assert_eq!(nor.ops[0], Op::Erase(3 * SECTOR as u32));
        assert_eq!(held(&nor), image());
        assert_eq!(run(incoming.digest(&mut nor, &mut NoWatchdog)), Ok(sha256(&image())));
    }

    #[test]
    fn a_block_that_does_not_read_back_is_refused_where_it_differs() {
        let (mut nor, mut incoming) = begun();
        nor.stuck = Some(SECTOR + 300);
        let written = run(incoming.write(&mut nor, &mut NoWatchdog, 0, &image()[..BLOCK]));
        assert_eq!(written, Err(Fault::ReadBack { offset_bytes: SECTOR as u32 + 256 }));
        nor.stuck = Some(SECTOR + IMAGE_BYTES - 1);
        let ragged = run(incoming.write(&mut nor, &mut NoWatchdog, 4 * SECTOR as u32, &image()[4 * SECTOR..]));
        assert!(matches!(ragged, Err(Fault::ReadBack { .. })), "{ragged:?}");
    }

    #[test]
    fn blocks_outside_the_image_or_off_the_words_are_refused() {
        let (mut nor, mut incoming) = begun();
        let limit_bytes = IMAGE_BYTES as u32;
        let mut refused = |offset_bytes, len_bytes| {
            let fault =
                run(incoming.write(&mut nor, &mut NoWatchdog, offset_bytes, &[0; 2048][..len_bytes])).unwrap_err();
            (fault, nor.ops.len())
        };
        for (offset_bytes, len_bytes) in [(limit_bytes - 1, 2), (4096, 334), (u32::MAX - 3, 4), (u32::MAX - 3, 2048)] {
            let fault = Fault::OutOfRange { offset_bytes, len_bytes, limit_bytes };
            assert_eq!(refused(offset_bytes, len_bytes), (fault, 0));
        }
        for (offset_bytes, len_bytes) in [(2, 4), (0, 6), (4096, 332 - 1)] {
            let fault = Fault::NotAligned { offset_bytes, len_bytes, word_bytes: 4 };
            assert_eq!(refused(offset_bytes, len_bytes), (fault, 0));
        }
    }

    #[test]
    fn the_hash_follows_the_frontier_in_steps() {
        let mut nor = Ram::<1, 4, SECTOR>::new(32);
        let mut incoming = SlotWriter::new(SlotId::A, Region::new(0, 32 * SECTOR as u32), 20_000, 0);
        run(incoming.write(&mut nor, &mut NoWatchdog, 0, &[3; 20_000])).unwrap();
        assert_eq!(run(incoming.hash_ahead(&mut nor, 10_000)), Ok(true));
        assert_eq!(incoming.hashing.hashed_bytes(), 4096);
        assert_eq!(run(incoming.hash_ahead(&mut nor, 5000)), Ok(false));
        assert_eq!(incoming.hashing.hashed_bytes(), 4864, "whole chunks only");
        assert_eq!(run(incoming.hash_ahead(&mut nor, 100)), Ok(false));
        assert_eq!(run(incoming.digest(&mut nor, &mut NoWatchdog)), Ok(sha256(&[3; 20_000])));
    }

    #[test]
    fn a_write_below_the_hashed_mark_starts_the_hash_again() {
        let (mut nor, mut incoming) = begun();
        write_blocks(&mut nor, &mut incoming, (0..9).filter(|index| *index != 1));
        while run(incoming.hash_ahead(&mut nor, 3 * SECTOR as u32)).unwrap() {}
        write_blocks(&mut nor, &mut incoming, 1..2);
        assert_eq!(run(incoming.digest(&mut nor, &mut NoWatchdog)), Ok(sha256(&image())));
    }

    #[test]
    fn reads_coarser_than_writes_are_respected() {
        let mut nor = Ram::<16, 1, SECTOR>::new(4);
        let mut incoming = SlotWriter::new(SlotId::A, Region::new(0, 4 * SECTOR as u32), 1025, 0);
        let fault = run(incoming.write(&mut nor, &mut NoWatchdog, 8, &[1; 16])).unwrap_err();
        assert_eq!(fault, Fault::NotAligned { offset_bytes: 8, len_bytes: 16, word_bytes: 16 });
        run(incoming.write(&mut nor, &mut NoWatchdog, 0, &[1; 1025])).unwrap();
        assert_eq!(run(incoming.digest(&mut nor, &mut NoWatchdog)), Ok(sha256(&[1; 1025])));
    }

    #[test]
    fn an_image_ends_no_earlier_than_its_last_block_and_no_later_than_announced() {
        let (mut nor, mut incoming) = begun();
        write_blocks(&mut nor, &mut incoming, 0..2);
        let (offset_bytes, limit_bytes) = (1024, IMAGE_BYTES as u32);
        for (end_bytes, fits) in [(1023, false), (limit_bytes + 1, false), (limit_bytes, true), (1024, true)] {
            let refused = Err(Fault::OutOfRange { offset_bytes, len_bytes: end_bytes as usize, limit_bytes });
            assert_eq!(incoming.end_at(end_bytes), if fits { Ok(()) } else { refused });
        }
        assert_eq!(
            run(incoming.write(&mut nor, &mut NoWatchdog, 1024, &[0; 4])),
            Err(Fault::OutOfRange { offset_bytes: 1024, len_bytes: 4, limit_bytes: 1024 })
        );
    }

    #[test]
    fn an_image_of_whole_sectors_erases_them_and_no_other() {
        let (mut nor, mut incoming) = (begun().0, SlotWriter::new(SlotId::B, REGION, 2 * SECTOR as u32, 0));
        run(incoming.write(&mut nor, &mut NoWatchdog, 0, &[1; 2 * SECTOR])).unwrap();
        assert_eq!(run(incoming.erase_ahead(&mut nor)), Ok(false));
        assert_eq!(nor.ops, [Op::Erase(SECTOR as u32), Op::Erase(2 * SECTOR as u32), Op::Write(SECTOR as u32)]);
    }

    #[test]
    fn a_write_at_the_hashed_mark_keeps_the_hash() {
        let (mut nor, mut incoming) = begun();
        write_blocks(&mut nor, &mut incoming, 0..2);
        assert_eq!(run(incoming.hash_ahead(&mut nor, 1024)), Ok(false));
        write_blocks(&mut nor, &mut incoming, 2..3);
        assert_eq!(incoming.hashing.hashed_bytes(), 1024);
    }

    struct Counting(u32);

    impl Watchdog for Counting {
        fn feed(&mut self) {
            self.0 += 1;
        }
    }

    /// The first block behind many lost ones erases every sector before it.
    #[test]
    fn the_watchdog_is_fed_after_each_sector_that_a_block_erases() {
        let (mut nor, mut incoming) = begun();
        let mut watchdog = Counting(0);
        run(incoming.write(&mut nor, &mut watchdog, 3 * SECTOR as u32, &[1; 4])).unwrap();
        assert_eq!(watchdog.0, 4);
        run(incoming.write(&mut nor, &mut watchdog, 0, &[1; 4])).unwrap();
        assert_eq!(watchdog.0, 4, "it is erased already");
    }

    #[test]
    fn the_watchdog_is_fed_between_the_steps_of_a_digest() {
        let mut nor = Ram::<1, 4, SECTOR>::new(32);
        let mut incoming = SlotWriter::new(SlotId::A, Region::new(0, 32 * SECTOR as u32), 20_000, 0);
        run(incoming.write(&mut nor, &mut NoWatchdog, 0, &[3; 20_000])).unwrap();
        let mut watchdog = Counting(0);
        assert_eq!(run(incoming.digest(&mut nor, &mut watchdog)), Ok(sha256(&[3; 20_000])));
        assert_eq!(watchdog.0, 4, "five steps of at most 4,096 bytes");
    }
}
