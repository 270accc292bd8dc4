//! The marks in MCUboot's trailers, over a flash: they select the image that the next boot tries, and confirm the
//! running one. `native` decides which image is marked; MCUboot performs the swap.
//!
//! A slot to be marked has its trailer erased first: MCUboot's own library rejects a slot with a torn magic
//! permanently. The magic is written last, so that an incomplete mark is not valid. (MCUboot's library writes it first:
//! a power cut then turns a permanent mark into a trial.) The trailer of the running slot is never erased for a
//! confirmation, which sets one flag.

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

/// The update mode that MCUboot was built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Slot A is the primary and runs; a marked slot B is swapped with it.
    Swap(Swap),
    /// Both slots run in place: of the marked ones, that of the higher version (`MCUBOOT_DIRECT_XIP_REVERT`).
    DirectXip,
}

/// The kind of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The image is tried once, and reverted unless it is confirmed.
    Trial,
    /// The image is permanent.
    Permanent,
}

/// The image that the next boot starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextBoot {
    /// The same as at the last boot.
    Same,
    /// The image in this slot, on trial.
    Trial(SlotId),
    /// The image in this slot, permanently.
    Permanent(SlotId),
    /// The image that ran before.
    GoesBack,
}

/// The state of the running image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialState {
    /// The next boot reverts it unless it is confirmed first.
    OnTrial,
    /// It is permanent according to its trailer.
    Confirmed,
    /// It is permanent because its trailer has nothing that MCUboot acts on: it was installed by a programmer and not
    /// by a swap, or a power cut tore a word. [`Marks::go_back`] is needed to revert it.
    Unwatched,
}

/// The trailers of two slots. Offsets in errors are absolute flash addresses.
#[derive(Clone, Debug)]
pub struct Marks {
    mode: Mode,
    slots: [(Region, Offsets); 2],
    /// The mark that this object wrote: only its own erases and writes are certain to be complete.
    marked: Option<(SlotId, Mark)>,
}

impl Marks {
    /// Creates the trailers of slots A and B, the primary and the secondary. No flash access.
    ///
    /// # Errors
    /// [`TrailerError`] if a slot has no room for such a trailer, or MCUboot does not support its sectors.
    pub const fn new(mode: Mode, align: Align, geometry: Geometry, slots: [Region; 2]) -> Result<Self, TrailerError> {
        let (first, second) = match (slot(align, geometry, slots[0]), slot(align, geometry, slots[1])) {
            (Ok(first), Ok(second)) if !first.0.overlaps(second.0) => (first, second),
            (Ok(first), Ok(_)) => return Err(TrailerError::SlotUnsupported { slot_bytes: first.0.len_bytes() }),
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        Ok(Self { mode, slots: [first, second], marked: None })
    }

    /// Length in bytes of the longest image in `slot`: it ends before the first sector that contains any of the
    /// trailer, in both slots if they are swapped.
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

    /// The update mode that MCUboot was built with.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The slots without their trailers, A first: the image regions for a layout.
    #[must_use]
    pub fn image_regions(&self, sector_bytes: u32) -> [Region; 2] {
        [SlotId::A, SlotId::B]
            .map(|slot| Region::new(self.slot(slot).0.offset_bytes(), self.image_bytes_max(slot, sector_bytes)))
    }

    /// The flash address of the flag of a confirmed image.
    pub(crate) fn flag_address(&self, slot: SlotId) -> u32 {
        let (region, offsets) = self.slot(slot);
        region.at(offsets.image_ok())
    }

    /// Marks `slot`, which does not run: MCUboot starts it at the next boot. Idempotent.
    ///
    /// # Cancel safety
    /// On cancellation or failure the slot may or may not be marked; call again.
    ///
    /// # Errors
    /// Any error of the flash.
    pub async fn mark<F: Flash>(&mut self, flash: &mut F, slot: SlotId, mark: Mark) -> Result<(), Fault> {
        if self.marked == Some((slot, mark)) && self.read(flash, slot).await == Ok(marked(mark)) {
            return Ok(());
        }
        let (region, offsets) = self.slot(slot);
        self.unmark(flash, slot).await?;
        if mark == Mark::Permanent {
            flash::write(flash, region.at(offsets.image_ok()), &FLAG_SET).await?;
        }
        // The image and the flag must be durable before the mark is.
        flash::sync(flash).await?;
        write_magic(flash, region, &offsets).await?;
        flash::sync(flash).await?;
        self.marked = Some((slot, mark));
        Ok(())
    }

    /// Erases the trailer of `slot`, its magic first, so that MCUboot skips it. Always erases, because a trailer that
    /// reads as erased may be partially written.
    ///
    /// # Cancel safety
    /// On cancellation or failure the slot is marked, torn or erased; call again.
    ///
    /// # Errors
    /// Any error of the flash.
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

    /// Returns the state of the image that runs from `running`.
    ///
    /// # Cancel safety
    /// Nothing is written, so cancellation has no effect.
    ///
    /// # Errors
    /// [`Fault::Read`].
    pub async fn trial_state<F: Flash>(&self, flash: &mut F, running: SlotId) -> Result<TrialState, Fault> {
        Ok(trial_state(self.mode, &self.read(flash, self.runs_from(running)).await?))
    }

    /// Confirms the running image and returns its state. [`TrialState::Unwatched`] needs no confirmation.
    /// [`TrialState::OnTrial`] means that the image cannot be confirmed: its trailer is torn. Idempotent.
    ///
    /// # Cancel safety
    /// On cancellation or failure the image is confirmed or still on trial; call again.
    ///
    /// # Errors
    /// Any error of the flash.
    pub async fn confirm<F: Flash>(&mut self, flash: &mut F, running: SlotId) -> Result<TrialState, Fault> {
        let (region, offsets) = self.slot(self.runs_from(running));
        let found = self.read(flash, self.runs_from(running)).await?;
        if found.magic != Magic::Good {
            return Ok(trial_state(self.mode, &found));
        }
        if self.mode == Mode::DirectXip && found.copy_done == Flag::Unset {
            set_flag(flash, region.at(offsets.copy_done())).await?;
        }
        // A torn flag cannot be written again; `trial_state` determines how MCUboot reads it.
        if found.image_ok == Flag::Unset {
            set_flag(flash, region.at(offsets.image_ok())).await?;
        }
        flash::sync(flash).await?;
        self.trial_state(flash, running).await
    }

    /// Makes the next boot revert the running image to the one before it. MCUboot reverts an image on trial by itself;
    /// an unwatched one needs a mark. The caller ensures that the other slot still holds the earlier image. Idempotent.
    ///
    /// # Cancel safety
    /// On cancellation or failure the change may be incomplete; call again.
    ///
    /// # Errors
    /// [`Fault::NoTrialRuns`] if the image is confirmed, or unwatched after a swap by offset; any flash error.
    pub async fn go_back<F: Flash>(&mut self, flash: &mut F, running: SlotId) -> Result<(), Fault> {
        match (self.trial_state(flash, running).await?, self.mode) {
            (TrialState::OnTrial, _) => Ok(()),
            (TrialState::Confirmed, _) => Err(Fault::NoTrialRuns),
            // With a swap by offset, the earlier image is not where MCUboot reads a marked one.
            (TrialState::Unwatched, Mode::Swap(Swap::Offset)) => Err(Fault::NoTrialRuns),
            (TrialState::Unwatched, Mode::Swap(_)) => self.mark(flash, SlotId::B, Mark::Permanent).await,
            (TrialState::Unwatched, Mode::DirectXip) => self.unmark(flash, running).await,
        }
    }

    /// Returns what the next boot starts, as far as trailers decide it: MCUboot skips a marked image that is invalid
    /// and, in place, one whose version is not the highest.
    ///
    /// # Cancel safety
    /// Nothing is written, so cancellation has no effect.
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

    /// Reads the trailer of a slot.
    ///
    /// # Cancel safety
    /// Nothing is written, so cancellation has no effect.
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

    /// Reads the trailer of a slot that does not run. If error correction refuses to read it, after an interrupted
    /// mark, it is erased for MCUboot as well.
    ///
    /// # Cancel safety
    /// Nothing is written, so cancellation has no effect.
    pub async fn read_other<F: Flash>(&self, flash: &mut F, slot: SlotId) -> Trailer {
        self.read(flash, slot).await.unwrap_or(Trailer::ERASED)
    }

    /// The slot whose trailer applies to the running image.
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

/// Start of the first sector that contains any of a trailer.
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

fn trial_state(mode: Mode, running: &Trailer) -> TrialState {
    match (running.magic, running.image_ok, running.copy_done, mode) {
        (Magic::Good, Flag::Set, _, _) => TrialState::Confirmed,
        (Magic::Good, Flag::Unset, Flag::Set, _) => TrialState::OnTrial,
        // In place, a torn flag counts as absent, and so does a torn magic: MCUboot erases the image.
        (Magic::Good, _, Flag::Unset | Flag::Bad, Mode::DirectXip) => TrialState::Unwatched,
        (_, _, _, Mode::DirectXip) => TrialState::OnTrial,
        (_, _, _, Mode::Swap(_)) => TrialState::Unwatched,
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

/// Returns the other one of MCUboot's two slots.
fn other_slot(slot: SlotId) -> SlotId {
    if slot == SlotId::A { SlotId::B } else { SlotId::A }
}

/// Writes the magic at the end of whole words, preceded by erased bytes, in one write.
async fn write_magic<F: Flash>(flash: &mut F, region: Region, offsets: &Offsets) -> Result<(), Fault> {
    let mut room = [0xFF; WORD_BYTES_MAX];
    let room = &mut room[..offsets.align().magic_room_bytes() as usize];
    let at = room.len() - MAGIC_BYTES;
    room[at..].copy_from_slice(&offsets.align().magic());
    flash::write(flash, region.at(offsets.magic_room()), room).await
}

/// Sets a flag if its word reads as erased twice: a word that a power cut left unstable is not written again.
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
