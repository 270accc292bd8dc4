//! The marks in MCUboot's trailers, over a flash: which image the next boot tries, and that the running one stays.
//! Which image is worth a mark is `native`'s to say; the swap is MCUboot's.
//!
//! A slot that is marked has its trailer erased first: of a magic that a cut left torn, MCUboot's own library says that
//! the slot is bad, for ever. Its magic is written last of all, so that half a mark is none. (MCUboot's library writes it
//! first: a cut turns "for good" into "on trial".) The running slot is never erased: confirming sets one flag.

use super::super::super::flash::{self, Flash};
use crate::fault::Fault;
use crate::image::slot::SlotId;
use crate::store::layout::Geometry;
use crate::store::region::Region;
use crate::store::region::WORD_BYTES_MAX;

use super::trailer::{
    Align, Flag, MAGIC_BYTES, Magic, Offsets, Swap, SwapType, Trailer, TrailerError, WORDS_BYTES_MAX,
};
use super::trailer::{SLOT_SECTORS_MAX_DEFAULT, next_swap};

const FLAG_SET: [u8; 1] = [0x01];

/// How MCUboot was built to update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Slot A is the primary and runs; a marked slot B is swapped with it.
    Swap(Swap),
    /// Both slots run in place, of those with a mark the one of the higher version (`MCUBOOT_DIRECT_XIP_REVERT`).
    DirectXip,
}

/// What a slot is marked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It is tried once, and left again unless it is confirmed.
    Trial,
    /// It stays.
    Permanent,
}

/// What the next boot starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextBoot {
    /// What the last one did.
    Same,
    /// The image in this slot, on trial.
    Trial(SlotId),
    /// The image in this slot, for good.
    Permanent(SlotId),
    /// The image that ran before.
    GoesBack,
}

/// How the running image stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The next boot leaves it, unless it is confirmed first.
    OnTrial,
    /// It stays, its trailer says so.
    Confirmed,
    /// It stays because its trailer says nothing that MCUboot would act on: it came by a programmer and not by a swap, or
    /// a cut tore a word. Going back needs [`Marks::go_back`].
    Unwatched,
}

/// The trailers of two slots. Offsets in its errors are absolute flash addresses.
#[derive(Clone, Debug)]
pub struct Marks {
    mode: Mode,
    slots: [(Region, Offsets); 2],
    /// What this object marked: only its own erase and write are known to have ended.
    marked: Option<(SlotId, Mark)>,
}

impl Marks {
    /// The trailers of slots A and B, which are primary and secondary. Touches no flash.
    ///
    /// # Errors
    /// [`TrailerError`] if a slot has no room for a trailer of this kind, or MCUboot has none for its sectors.
    pub const fn new(mode: Mode, align: Align, geometry: Geometry, slots: [Region; 2]) -> Result<Self, TrailerError> {
        let (first, second) = match (slot(align, geometry, slots[0]), slot(align, geometry, slots[1])) {
            (Ok(first), Ok(second)) if !first.0.overlaps(second.0) => (first, second),
            (Ok(first), Ok(_)) => return Err(TrailerError::SlotUnsupported { slot_bytes: first.0.len_bytes() }),
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        Ok(Self { mode, slots: [first, second], marked: None })
    }

    /// The longest image that `slot` takes: it ends before the first sector that holds any of the trailer, in both slots
    /// if they are swapped.
    #[must_use]
    pub fn image_bytes_max(&self, slot: SlotId, sector_bytes: u32) -> u32 {
        let [primary, secondary] = self.slots.map(|(_, offsets)| trailer_start(&offsets, sector_bytes));
        match (self.mode, slot) {
            (Mode::Swap(Swap::Move), _) => (primary - sector_bytes).min(secondary),
            (Mode::Swap(Swap::Scratch | Swap::Offset), _) => primary.min(secondary),
            (Mode::DirectXip, SlotId::A) => primary,
            (Mode::DirectXip, _) => secondary,
        }
    }

    /// How MCUboot was built to update.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The slots without their trailers, A first: what a layout gives to images.
    #[must_use]
    pub fn image_regions(&self, sector_bytes: u32) -> [Region; 2] {
        [SlotId::A, SlotId::B]
            .map(|slot| Region::new(self.slot(slot).0.offset_bytes(), self.image_bytes_max(slot, sector_bytes)))
    }

    /// Where the flag of a confirmed image lies in flash.
    pub(crate) fn flag_address(&self, slot: SlotId) -> u32 {
        let (region, offsets) = self.slot(slot);
        region.at(offsets.image_ok())
    }

    /// Marks `slot`, which does not run: MCUboot starts it at the next boot. Calling again changes nothing. Dropped, or
    /// failed: marked or not; call again.
    ///
    /// # Errors
    /// The flash's own.
    pub async fn mark<F: Flash>(&mut self, flash: &mut F, slot: SlotId, mark: Mark) -> Result<(), Fault> {
        if self.marked == Some((slot, mark)) && self.read(flash, slot).await == Ok(marked(mark)) {
            return Ok(());
        }
        let (region, offsets) = self.slot(slot);
        self.unmark(flash, slot).await?;
        if mark == Mark::Permanent {
            flash::write(flash, region.at(offsets.image_ok()), &FLAG_SET).await?;
        }
        // What the mark is for, and the flag, must be durable before the mark can be.
        flash::sync(flash).await?;
        write_magic(flash, region, &offsets).await?;
        flash::sync(flash).await?;
        self.marked = Some((slot, mark));
        Ok(())
    }

    /// Erases the trailer of `slot`, its magic first: MCUboot passes it over. Always erases, because a trailer that reads
    /// as erased may be what a cut left of one. Dropped, or failed: marked, torn or erased; call again.
    ///
    /// # Errors
    /// The flash's own.
    pub async fn unmark<F: Flash>(&mut self, flash: &mut F, slot: SlotId) -> Result<(), Fault> {
        self.marked = None;
        let (region, offsets) = self.slot(slot);
        let sector_bytes = F::ERASE_SIZE as u32;
        let first = trailer_start(&offsets, sector_bytes);
        let mut at = offsets.magic() - offsets.magic() % sector_bytes;
        loop {
            flash::erase_sector(flash, region.at(at)).await?;
            if at == first {
                return flash::sync(flash).await;
            }
            at -= sector_bytes;
        }
    }

    /// How the image that runs from `running` stands. Dropped: nothing happened.
    ///
    /// # Errors
    /// [`Fault::Read`].
    pub async fn standing<F: Flash>(&self, flash: &mut F, running: SlotId) -> Result<Standing, Fault> {
        Ok(standing(self.mode, &self.read(flash, self.runs_from(running)).await?))
    }

    /// Makes the running image stay, and says how it stands then: [`Standing::Unwatched`] has nothing to confirm, and an
    /// image that is still on trial cannot be confirmed: its words are torn.
    /// Calling again changes nothing. Dropped, or failed: it stays or is on trial; call again.
    ///
    /// # Errors
    /// The flash's own.
    pub async fn confirm<F: Flash>(&mut self, flash: &mut F, running: SlotId) -> Result<Standing, Fault> {
        let (region, offsets) = self.slot(self.runs_from(running));
        let found = self.read(flash, self.runs_from(running)).await?;
        if found.magic != Magic::Good {
            return Ok(standing(self.mode, &found));
        }
        if self.mode == Mode::DirectXip && found.copy_done == Flag::Unset {
            set_flag(flash, region.at(offsets.copy_done())).await?;
        }
        // A torn flag cannot be written again; `standing` says what MCUboot makes of it.
        if found.image_ok == Flag::Unset {
            set_flag(flash, region.at(offsets.image_ok())).await?;
        }
        flash::sync(flash).await?;
        self.standing(flash, running).await
    }

    /// Makes the next boot leave the running image for the one before it: of an image on trial that is MCUboot's way, an
    /// unwatched one needs a mark. The caller knows that the other slot still holds the earlier image. Calling again
    /// changes nothing. Dropped, or failed: call again.
    ///
    /// # Errors
    /// [`Fault::NoTrialRuns`] of a confirmed image, and of an unwatched one after a swap by offset; or the flash's own.
    pub async fn go_back<F: Flash>(&mut self, flash: &mut F, running: SlotId) -> Result<(), Fault> {
        match (self.standing(flash, running).await?, self.mode) {
            (Standing::OnTrial, _) => Ok(()),
            (Standing::Confirmed, _) => Err(Fault::NoTrialRuns),
            // By offset, the earlier image is not where MCUboot takes a marked one from.
            (Standing::Unwatched, Mode::Swap(Swap::Offset)) => Err(Fault::NoTrialRuns),
            (Standing::Unwatched, Mode::Swap(_)) => self.mark(flash, SlotId::B, Mark::Permanent).await,
            (Standing::Unwatched, Mode::DirectXip) => self.unmark(flash, running).await,
        }
    }

    /// What the next boot starts, as far as trailers decide it: MCUboot passes a marked image over that it finds invalid,
    /// and in place one whose version is not the highest. Dropped: nothing happened.
    ///
    /// # Errors
    /// [`Fault::Read`].
    pub async fn next_boot<F: Flash>(&self, flash: &mut F, running: SlotId) -> Result<NextBoot, Fault> {
        let (from, other) = match self.mode {
            Mode::Swap(_) => (SlotId::A, SlotId::B),
            Mode::DirectXip => (running, other_slot(running)),
        };
        let runs = self.read(flash, from).await?;
        let waits = self.read_other(flash, other).await;
        Ok(match self.mode {
            Mode::Swap(swap) => match next_swap(swap, &runs, &waits) {
                SwapType::None => NextBoot::Same,
                SwapType::Test => NextBoot::Trial(SlotId::B),
                SwapType::Permanent => NextBoot::Permanent(SlotId::B),
                SwapType::Revert => NextBoot::GoesBack,
            },
            Mode::DirectXip => next_in_place(running, &runs, &waits),
        })
    }

    /// What the trailer of a slot says. Dropped: nothing happened.
    ///
    /// # Errors
    /// [`Fault::Read`].
    pub async fn read<F: Flash>(&self, flash: &mut F, slot: SlotId) -> Result<Trailer, Fault> {
        let (region, offsets) = self.slot(slot);
        let mut words = [0; WORDS_BYTES_MAX];
        let words = &mut words[..offsets.align().words_bytes() as usize];
        flash::read(flash, region.at(offsets.swap_size()), words).await?;
        Ok(Trailer::parse(words, offsets.align()))
    }

    /// What the trailer of a slot says that does not run. What error correction refuses to read, after a cut mark, MCUboot
    /// takes for erased. Dropped: nothing happened.
    pub async fn read_other<F: Flash>(&self, flash: &mut F, slot: SlotId) -> Trailer {
        self.read(flash, slot).await.unwrap_or(Trailer::ERASED)
    }

    /// The slot whose trailer speaks for the running image.
    fn runs_from(&self, running: SlotId) -> SlotId {
        match self.mode {
            Mode::Swap(_) => SlotId::A,
            Mode::DirectXip => running,
        }
    }

    fn slot(&self, slot: SlotId) -> (Region, Offsets) {
        match slot {
            SlotId::A => self.slots[0],
            _ => self.slots[1],
        }
    }
}

const fn slot(align: Align, geometry: Geometry, region: Region) -> Result<(Region, Offsets), TrailerError> {
    let slot_bytes = region.len_bytes();
    let is_inside = match region.offset_bytes().checked_add(slot_bytes) {
        Some(end) => end <= geometry.capacity_bytes,
        None => false,
    };
    let sectors = slot_bytes / geometry.erase_bytes;
    let is_whole =
        region.offset_bytes().is_multiple_of(geometry.erase_bytes) && slot_bytes.is_multiple_of(geometry.erase_bytes);
    if !is_inside || !is_whole || sectors > SLOT_SECTORS_MAX_DEFAULT {
        return Err(TrailerError::SlotUnsupported { slot_bytes });
    }
    match Offsets::new(slot_bytes, align, geometry.word_bytes, SLOT_SECTORS_MAX_DEFAULT) {
        Ok(offsets) if offsets.first() >= 2 * geometry.erase_bytes => Ok((region, offsets)),
        Ok(offsets) => {
            let trailer_bytes = slot_bytes - offsets.first();
            Err(TrailerError::SlotTooSmall { slot_bytes, trailer_bytes })
        }
        Err(error) => Err(error),
    }
}

/// Start of the first sector that holds any of a trailer.
const fn trailer_start(offsets: &Offsets, sector_bytes: u32) -> u32 {
    offsets.first() - offsets.first() % sector_bytes
}

/// The trailer of a slot with this mark.
const fn marked(mark: Mark) -> Trailer {
    let image_ok = match mark {
        Mark::Trial => Flag::Unset,
        Mark::Permanent => Flag::Set,
    };
    Trailer { magic: Magic::Good, image_ok, ..Trailer::ERASED }
}

fn standing(mode: Mode, running: &Trailer) -> Standing {
    match (running.magic, running.image_ok, running.copy_done, mode) {
        (Magic::Good, Flag::Set, _, _) => Standing::Confirmed,
        (Magic::Good, Flag::Unset, Flag::Set, _) => Standing::OnTrial,
        // In place, a torn flag is as good as none, and so is a torn magic: MCUboot erases the image.
        (Magic::Good, _, Flag::Unset | Flag::Bad, Mode::DirectXip) => Standing::Unwatched,
        (_, _, _, Mode::DirectXip) => Standing::OnTrial,
        (_, _, _, Mode::Swap(_)) => Standing::Unwatched,
    }
}

fn next_in_place(running: SlotId, runs: &Trailer, other: &Trailer) -> NextBoot {
    match (other.is_started_in_place(), runs.is_started_in_place()) {
        (true, _) if other.image_ok == Flag::Set => NextBoot::Permanent(other_slot(running)),
        (true, _) => NextBoot::Trial(other_slot(running)),
        (false, true) => NextBoot::Same,
        (false, false) => NextBoot::GoesBack,
    }
}

/// Of the two slots that MCUboot knows, the one that this is not.
fn other_slot(slot: SlotId) -> SlotId {
    if slot == SlotId::A { SlotId::B } else { SlotId::A }
}

/// The magic at the end of whole words, erased bytes before it; one write.
async fn write_magic<F: Flash>(flash: &mut F, region: Region, offsets: &Offsets) -> Result<(), Fault> {
    let mut room = [0xFF; WORD_BYTES_MAX];
    let room = &mut room[..offsets.align().magic_room_bytes() as usize];
    let at = room.len() - MAGIC_BYTES;
    room[at..].copy_from_slice(&offsets.align().magic());
    flash::write(flash, region.at(offsets.magic_room()), room).await
}

/// Sets a flag in a word that reads as erased, twice: a word that a cut left unsure is not written again.
async fn set_flag<F: Flash>(flash: &mut F, at: u32) -> Result<(), Fault> {
    let mut word = [0; WORD_BYTES_MAX];
    let word = &mut word[..flash::word_bytes::<F>() as usize];
    for _ in 0..2 {
        flash::read(flash, at, word).await?;
        if word.iter().any(|byte| *byte != 0xFF) {
            return Err(Fault::Write { offset_bytes: at });
        }
    }
    flash::write(flash, at, &FLAG_SET).await
}

#[cfg(test)]
mod tests;
