//! MCUboot as a [`Loader`]: [`Swapping`] and [`InPlace`], and its images as a format. The slots of the layout hold only
//! images: use [`Marks::image_regions`] for it, which excludes the trailers.
//!
//! In place, MCUboot starts the image of the highest version that has a mark, and erases images without a mark at every
//! boot. An update must therefore be newer than the running image, and a reset discards the blocks received before it.

use super::super::super::flash::Flash;
use super::super::super::loaders::agreed::agreed;
use super::super::super::loaders::bridge::Loader;
use super::super::super::native::boot_control::ImageFormat;
use crate::fault::Fault;
use crate::image::header::{Component, Link};
use crate::image::identity::{Available, ImageInfo};
use crate::image::slot::SlotId;
use crate::image::version::MajorMinor;
use crate::platform::boot::LoaderState;
use crate::refusal::Refusal;
use crate::store::region::Region;

use super::image::{ImageError, read_image_header};
use super::marks::{Mark, Marks, Mode, TrialState};
use super::tlvs::read_tlvs;
use super::trailer::{Flag, Magic, Trailer};

/// Images that `imgtool` made for the application. Each must name its board. If `BOARD_NAMED` is false, an image that
/// names no board is accepted on any.
///
/// The first image of a device needs the TLV as well; otherwise its version and its security counter are not used.
#[derive(Clone, Copy, Debug)]
pub struct McubootImages<const BOARD_NAMED: bool = true>;

impl<const BOARD_NAMED: bool> ImageFormat for McubootImages<BOARD_NAMED> {
    async fn identity<F: Flash>(flash: &mut F, region: Region, extent: Available) -> Result<ImageInfo, Refusal> {
        agreed(region, async || Self::identity_once(flash, region, extent).await).await
    }
}

impl<const BOARD_NAMED: bool> McubootImages<BOARD_NAMED> {
    async fn identity_once<F: Flash>(flash: &mut F, region: Region, extent: Available) -> Result<ImageInfo, Refusal> {
        let header = read_image_header(flash, region).await?.map_err(refused)?;
        let mut identity = ImageInfo {
            component: Component::App,
            link: Link::Any,
            hardware: None,
            version: header.version,
            security_counter: None,
            image_bytes: None,
            system_min: MajorMinor::default(),
            release_id: 0,
        };
        if extent == Available::Whole {
            let tlvs = read_tlvs(flash, region, &header).await?.map_err(refused)?;
            if BOARD_NAMED && tlvs.hardware.is_none() {
                return Err(refused(ImageError::HardwareIdMissing));
            }
            identity.hardware = tlvs.hardware;
            // The whole image is present: without a counter it has the lowest.
            identity.security_counter = Some(tlvs.security_counter.unwrap_or(0));
            identity.image_bytes = Some(tlvs.image_bytes);
        }
        Ok(identity)
    }
}

fn refused(error: ImageError) -> Refusal {
    match error {
        ImageError::HardwareIdMissing => Refusal::HardwareIdMissing,
        other => Refusal::FormatInvalid(other.into()),
    }
}

/// MCUboot that swaps. Slots are names of images, not regions: the running image is always in the primary region.
#[derive(Clone, Debug)]
pub struct Swapping<const BOARD_NAMED: bool = true>(Marks);

/// MCUboot that runs either slot in place, with `MCUBOOT_DIRECT_XIP_REVERT`.
#[derive(Clone, Debug)]
pub struct InPlace<const BOARD_NAMED: bool = true>(Marks);

impl<const BOARD_NAMED: bool> Swapping<BOARD_NAMED> {
    /// Creates the loader for these marks; `None` if they are of an MCUboot that runs in place.
    #[must_use]
    pub fn new(marks: Marks) -> Option<Self> {
        matches!(marks.mode(), Mode::Swap(_)).then_some(Self(marks))
    }
}

impl<const BOARD_NAMED: bool> InPlace<BOARD_NAMED> {
    /// Creates the loader for these marks; `None` if they are of an MCUboot that swaps.
    #[must_use]
    pub fn new(marks: Marks) -> Option<Self> {
        (marks.mode() == Mode::DirectXip).then_some(Self(marks))
    }
}

impl<const BOARD_NAMED: bool> Loader for Swapping<BOARD_NAMED> {
    type Format = McubootImages<BOARD_NAMED>;

    const SWAPS: bool = true;

    async fn slot_state<F: Flash>(
        &mut self,
        flash: &mut F,
        running: SlotId,
        slot: SlotId,
    ) -> Result<LoaderState, Fault> {
        if slot == running {
            return Ok(state_of_running(self.0.trial_state(flash, SlotId::A).await?));
        }
        let waits = self.0.read_other(flash, SlotId::B).await;
        let is_mark = waits.magic == Magic::Good && waits.image_ok != Flag::Bad;
        Ok(if is_mark { LoaderState::Pending } else { LoaderState::Unknown })
    }

    /// MCUboot erases the trailer when it swaps; a mark that it ignored remains. Not erased without need: a download
    /// that is resumed begins again.
    async fn vacate<F: Flash>(&mut self, flash: &mut F, _running: SlotId, _slot: SlotId) -> Result<(), Fault> {
        match self.0.read(flash, SlotId::B).await {
            Ok(Trailer::ERASED) => Ok(()),
            _ => self.0.unmark(flash, SlotId::B).await,
        }
    }

    async fn try_next<F: Flash>(&mut self, flash: &mut F, _running: SlotId, _slot: SlotId) -> Result<(), Fault> {
        self.0.mark(flash, SlotId::B, Mark::Trial).await
    }

    async fn keep<F: Flash>(&mut self, flash: &mut F, _running: SlotId) -> Result<(), Fault> {
        keep(&mut self.0, flash, SlotId::A).await
    }

    async fn give_up<F: Flash>(&mut self, flash: &mut F, _running: SlotId) -> Result<(), Fault> {
        self.0.go_back(flash, SlotId::A).await
    }

    async fn switch<F: Flash>(&mut self, flash: &mut F, running: SlotId, slot: SlotId) -> Result<(), Fault> {
        match slot == running {
            true => Ok(()),
            false => self.0.mark(flash, SlotId::B, Mark::Permanent).await,
        }
    }
}

impl<const BOARD_NAMED: bool> Loader for InPlace<BOARD_NAMED> {
    type Format = McubootImages<BOARD_NAMED>;

    const SWAPS: bool = false;

    const ERASES_DOWNLOADS: bool = true;

    async fn slot_state<F: Flash>(
        &mut self,
        flash: &mut F,
        running: SlotId,
        slot: SlotId,
    ) -> Result<LoaderState, Fault> {
        if slot == running {
            return Ok(state_of_running(self.0.trial_state(flash, slot).await?));
        }
        let words = self.0.read_other(flash, slot).await;
        Ok(match (words.magic, words.copy_done, words.image_ok) {
            (Magic::Good, _, Flag::Set) => LoaderState::Confirmed,
            (Magic::Good, Flag::Set, Flag::Unset | Flag::Bad) => LoaderState::Reverted,
            (Magic::Good, Flag::Unset | Flag::Bad, _) => LoaderState::Pending,
            (Magic::Unset | Magic::Bad, ..) => LoaderState::Unknown,
        })
    }

    /// The mark of the earlier image would start a new one, whose version is higher, without a trial.
    async fn vacate<F: Flash>(&mut self, flash: &mut F, _running: SlotId, slot: SlotId) -> Result<(), Fault> {
        self.0.unmark(flash, slot).await
    }

    async fn try_next<F: Flash>(&mut self, flash: &mut F, _running: SlotId, slot: SlotId) -> Result<(), Fault> {
        self.0.mark(flash, slot, Mark::Trial).await
    }

    async fn keep<F: Flash>(&mut self, flash: &mut F, running: SlotId) -> Result<(), Fault> {
        keep(&mut self.0, flash, running).await
    }

    async fn give_up<F: Flash>(&mut self, flash: &mut F, running: SlotId) -> Result<(), Fault> {
        self.0.go_back(flash, running).await
    }

    /// MCUboot starts the highest version. If the running image has it, its mark must be removed.
    async fn switch<F: Flash>(&mut self, flash: &mut F, running: SlotId, slot: SlotId) -> Result<(), Fault> {
        let stands = self.0.read_other(flash, slot).await.is_started_in_place();
        match slot == running {
            true => Ok(()),
            false if stands => self.0.unmark(flash, running).await,
            false => Err(Fault::NoTrialRuns),
        }
    }
}

fn state_of_running(trial_state: TrialState) -> LoaderState {
    match trial_state {
        TrialState::Confirmed => LoaderState::Confirmed,
        TrialState::OnTrial => LoaderState::Testing,
        // The verdict is left to the program: the image can stay, or can be reverted by a mark.
        TrialState::Unwatched => LoaderState::Unknown,
    }
}

async fn keep<F: Flash>(marks: &mut Marks, flash: &mut F, place: SlotId) -> Result<(), Fault> {
    match marks.confirm(flash, place).await? {
        TrialState::Confirmed | TrialState::Unwatched => Ok(()),
        TrialState::OnTrial => Err(Fault::Write { offset_bytes: marks.flag_address(place) }),
    }
}

#[cfg(test)]
mod tests;
