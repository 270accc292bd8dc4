//! embassy-boot: its marks, written by its own code, and the running image, determined by digest. Blocks are written to
//! the DFU partition by `slots`, in any order: embassy-boot's own writer erases a sector again when it returns to it.
//!
//! The state word does not identify the running image. A power cut while an image is confirmed can leave `Revert`
//! although nothing was reverted, and an interrupted revert ends as `Boot` (observed in embassy-boot 0.7). The digest
//! of the active partition identifies the image.

use embassy_boot::{FirmwareState, FirmwareUpdaterError, State};
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};

use super::super::flash::hash;
use super::super::flash::{self, Flash};
use super::super::loaders::bridge::Loader;
use super::super::native::boot_control::OwnFormat;
use crate::fault::Fault;
use crate::image::digest::Digest;
use crate::image::slot::SlotId;
use crate::platform::boot::LoaderState;
use crate::platform::hooks::Watchdog;
use crate::store::layout::Geometry;
use crate::store::region::Region;
use crate::store::region::WORD_BYTES_MAX;

/// Progress words that embassy-boot needs for each page of the active partition, swap and revert together.
const PROGRESS_WORDS_PER_PAGE: u32 = 4;

/// The state word and the word that marks the progress as valid.
const STATE_WORDS: u32 = 2;

/// Why partitions are unsuitable for embassy-boot, which would panic or overwrite its own data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionError {
    /// A partition does not consist of whole pages inside the flash.
    NotPages {
        /// Its start.
        offset_bytes: u32,
        /// Its length.
        len_bytes: u32,
    },
    /// Two partitions share bytes.
    Overlap {
        /// Start of the first partition.
        first_offset_bytes: u32,
        /// Start of the second partition.
        second_offset_bytes: u32,
    },
    /// The DFU partition is not at least one page longer than the active one.
    DfuTooSmall {
        /// Its length.
        got: u32,
        /// The length needed.
        min: u32,
    },
    /// The state partition has no room for the progress of a swap and a revert.
    StateTooSmall {
        /// Its length.
        got: u32,
        /// The length needed.
        min: u32,
    },
}

/// The running image, and the action of the next boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The earlier image runs; the next boot swaps in the new image.
    Waits,
    /// The new image runs; the next boot reverts it, unless it is confirmed first.
    OnTrial,
    /// The new image runs and is not reverted, regardless of the state word.
    Stays,
    /// The earlier image runs and no swap is pending: the new image was never tried, or was reverted.
    NotTaken,
}

/// The partitions of embassy-boot in one flash, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitions {
    active: Region,
    dfu: Region,
    state: Region,
}

impl Partitions {
    /// Creates the partitions if embassy-boot can swap them. No flash access.
    ///
    /// # Errors
    /// [`PartitionError`] for the rule broken.
    pub fn new(geometry: Geometry, active: Region, dfu: Region, state: Region) -> Result<Self, PartitionError> {
        let page_bytes = geometry.erase_bytes;
        for region in [active, dfu, state] {
            let (offset_bytes, len_bytes) = (region.offset_bytes(), region.len_bytes());
            let is_inside = offset_bytes.checked_add(len_bytes).is_some_and(|end| end <= geometry.capacity_bytes);
            let is_whole = offset_bytes.is_multiple_of(page_bytes) && len_bytes.is_multiple_of(page_bytes);
            if !is_inside || !is_whole || len_bytes == 0 {
                return Err(PartitionError::NotPages { offset_bytes, len_bytes });
            }
        }
        for (first, second) in [(active, dfu), (dfu, state), (state, active)] {
            if first.overlaps(second) {
                let (first_offset_bytes, second_offset_bytes) = (first.offset_bytes(), second.offset_bytes());
                return Err(PartitionError::Overlap { first_offset_bytes, second_offset_bytes });
            }
        }
        let min = active.len_bytes().saturating_add(page_bytes);
        if dfu.len_bytes() < min {
            return Err(PartitionError::DfuTooSmall { got: dfu.len_bytes(), min });
        }
        let words = STATE_WORDS + PROGRESS_WORDS_PER_PAGE * (active.len_bytes() / page_bytes);
        let min = words.saturating_mul(geometry.word_bytes);
        if state.len_bytes() < min {
            return Err(PartitionError::StateTooSmall { got: state.len_bytes(), min });
        }
        Ok(Self { active, dfu, state })
    }

    /// The region for a received image: as much of the DFU partition as the active partition holds.
    #[must_use]
    pub const fn receiving(&self) -> Region {
        Region::new(self.dfu.offset_bytes(), self.active.len_bytes())
    }

    /// The region of the running image.
    #[must_use]
    pub const fn running(&self) -> Region {
        self.active
    }

    /// Makes the next boot swap in the received image. Idempotent until that boot.
    ///
    /// # Cancel safety
    /// On cancellation or failure the mark may or may not be set; call again.
    ///
    /// # Errors
    /// Any error of the flash, [`Fault::ReadBack`] if the mark does not read back as written.
    pub async fn mark_updated<F: Flash>(&self, flash: &mut F) -> Result<(), Fault> {
        flash::sync(flash).await?;
        self.with_state(flash, async |state| state.mark_updated().await).await?;
        self.expect(flash, State::Swap).await
    }

    /// Confirms the running image. Idempotent.
    ///
    /// # Cancel safety
    /// On cancellation or failure the image is confirmed or still on trial; [`judge`](Self::judge) distinguishes the
    /// two; call again.
    ///
    /// # Errors
    /// Any error of the flash, [`Fault::ReadBack`] if the mark does not read back as written.
    pub async fn mark_booted<F: Flash>(&self, flash: &mut F) -> Result<(), Fault> {
        self.with_state(flash, async |state| state.mark_booted().await).await?;
        self.expect(flash, State::Boot).await
    }

    /// Determines the state of an update to the image of `image_bytes` with digest `new`. The active partition is
    /// hashed, because the state word alone can be wrong. The watchdog is fed once per step.
    ///
    /// # Cancel safety
    /// Nothing is written, so cancellation has no effect.
    ///
    /// # Errors
    /// [`Fault::Read`], [`Fault::OutOfRange`] if the image is longer than the partition.
    pub async fn judge<F: Flash, W: Watchdog>(
        &self,
        flash: &mut F,
        new: &Digest,
        image_bytes: u32,
        watchdog: &mut W,
    ) -> Result<Verdict, Fault> {
        let state = self.state(flash).await?;
        let new_runs = hash::digest(flash, self.active, image_bytes, watchdog).await? == *new;
        Ok(match (new_runs, state) {
            (true, State::Swap) => Verdict::OnTrial,
            // embassy-boot reverts only an image that is marked as swapped.
            (true, State::Boot | State::Revert | State::DfuDetach) => Verdict::Stays,
            (false, State::Swap) => Verdict::Waits,
            (false, State::Boot | State::Revert | State::DfuDetach) => Verdict::NotTaken,
        })
    }

    async fn state<F: Flash>(&self, flash: &mut F) -> Result<State, Fault> {
        self.with_state(flash, async |state| state.get_state().await).await
    }

    async fn expect<F: Flash>(&self, flash: &mut F, expected: State) -> Result<(), Fault> {
        flash::sync(flash).await?;
        match self.state(flash).await? {
            found if found == expected => Ok(()),
            _ => Err(Fault::ReadBack { offset_bytes: self.state.offset_bytes() }),
        }
    }

    /// Runs embassy-boot's own code over the state partition.
    async fn with_state<F: Flash, T>(
        &self,
        flash: &mut F,
        act: impl AsyncFnOnce(&mut FirmwareState<'_, &mut Part<'_, F>>) -> Result<T, FirmwareUpdaterError>,
    ) -> Result<T, Fault> {
        let mut word = [0; WORD_BYTES_MAX];
        let word = &mut word[..flash::word_bytes::<F>() as usize];
        let mut part = Part { flash, region: self.state, fault: None };
        let acted = act(&mut FirmwareState::new(&mut part, word)).await;
        let unknown = Fault::Read { offset_bytes: self.state.offset_bytes() };
        acted.map_err(|_| part.fault.unwrap_or(unknown))
    }
}

/// Runs under a [`LoaderBridge`](crate::LoaderBridge), with images in the native format. Slot A of the layout is
/// [`running`](Partitions::running), slot B is [`receiving`](Partitions::receiving).
///
/// After a confirmation, a return to the earlier image is not possible: embassy-boot leaves it one page away from where
/// it reads images.
impl Loader for Partitions {
    type Format = OwnFormat;

    const SWAPS: bool = true;

    async fn slot_state<F: Flash>(
        &mut self,
        flash: &mut F,
        running: SlotId,
        slot: SlotId,
    ) -> Result<LoaderState, Fault> {
        Ok(match (self.state(flash).await?, slot == running) {
            (State::Swap, true) => LoaderState::Testing,
            (State::Swap, false) => LoaderState::Pending,
            // A running image that is not marked as swapped is not reverted; an interrupted confirmation can leave
            // `Revert`.
            (State::Boot | State::Revert | State::DfuDetach, true) => LoaderState::Confirmed,
            // `Revert` may stem from an earlier update, and an interrupted revert leaves `Boot`.
            (State::Boot | State::Revert | State::DfuDetach, false) => LoaderState::Unknown,
        })
    }

    async fn try_next<F: Flash>(&mut self, flash: &mut F, _running: SlotId, _slot: SlotId) -> Result<(), Fault> {
        self.mark_updated(flash).await
    }

    async fn keep<F: Flash>(&mut self, flash: &mut F, _running: SlotId) -> Result<(), Fault> {
        self.mark_booted(flash).await
    }

    async fn give_up<F: Flash>(&mut self, flash: &mut F, _running: SlotId) -> Result<(), Fault> {
        match self.state(flash).await? {
            State::Swap => Ok(()),
            State::Boot | State::Revert | State::DfuDetach => Err(Fault::NoTrialRuns),
        }
    }

    async fn switch<F: Flash>(&mut self, _flash: &mut F, running: SlotId, slot: SlotId) -> Result<(), Fault> {
        if slot == running { Ok(()) } else { Err(Fault::NoTrialRuns) }
    }
}

/// A partition as embassy-boot accesses it. Keeps the fault, because embassy-boot discards its offset.
struct Part<'a, F> {
    flash: &'a mut F,
    region: Region,
    fault: Option<Fault>,
}

impl<F: Flash> Part<'_, F> {
    fn told<T>(&mut self, done: Result<T, Fault>) -> Result<T, NorFlashErrorKind> {
        done.map_err(|fault| {
            self.fault = Some(fault);
            NorFlashErrorKind::Other
        })
    }
}

impl<F> ErrorType for Part<'_, F> {
    type Error = NorFlashErrorKind;
}

impl<F: Flash> ReadNorFlash for Part<'_, F> {
    const READ_SIZE: usize = F::READ_SIZE;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let read = flash::read(self.flash, self.region.at(offset), bytes).await;
        self.told(read)
    }

    fn capacity(&self) -> usize {
        self.region.len_bytes() as usize
    }
}

impl<F: Flash> NorFlash for Part<'_, F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        for sector in (from..to).step_by(F::ERASE_SIZE) {
            let erased = flash::erase_sector(self.flash, self.region.at(sector)).await;
            self.told(erased)?;
        }
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let written = flash::write(self.flash, self.region.at(offset), bytes).await;
        self.told(written)
    }
}

#[cfg(test)]
mod tests;
