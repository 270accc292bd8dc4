//! Support for foreign boot loaders. [`LoaderBridge`] keeps the boot record next to the state that such a loader reads,
//! because that state cannot hold digest, reason and database, and reconciles the two at every load. The state of a
//! loader is accessed by its adapter, a [`Loader`]; the reconciliation is in `reconcile`.

use super::super::flash::Flash;
use super::super::flash::boot_records::BootRecords;
use super::super::flash::hash;
use super::super::native::boot_control::{BootControl, ImageFormat};
use crate::fault::Fault;
use crate::image::slot::SlotId;
use crate::platform::boot::{BootStatus, Change, LoaderState};
use crate::platform::hooks::Watchdog;
use crate::store::boot_record::{BootRecord, Trial};
use crate::store::images::ImageStatus;
use crate::store::layout::Layout;
use crate::store::region::Region;

mod reconcile;

/// The state of a boot loader. Each operation can be interrupted anywhere and repeated; none loses the previous choice.
#[allow(async_fn_in_trait)]
pub trait Loader {
    /// The format of the images that this loader starts.
    type Format: ImageFormat;

    /// Whether the loader swaps images: the running image is always in the first region of the layout, and a received
    /// image is written to the second. Slots A and B are then names of images, not of regions.
    const SWAPS: bool;

    /// Whether the loader can be made to start the image in the factory slot. Without it, a factory reset is refused.
    const STARTS_FACTORY: bool = false;

    /// See [`BootControl::ERASES_DOWNLOADS`].
    const ERASES_DOWNLOADS: bool = false;

    /// See [`BootControl::STARTS_ANY_IMAGE`].
    const STARTS_ANY_IMAGE: bool = false;

    /// Returns the loader's state of `slot` while the image of `running` runs.
    ///
    /// # Cancel safety
    /// Nothing is written, so cancellation has no effect.
    ///
    /// # Errors
    /// [`Fault::Read`].
    async fn slot_state<F: Flash>(
        &mut self,
        flash: &mut F,
        running: SlotId,
        slot: SlotId,
    ) -> Result<LoaderState, Fault>;

    /// Removes the state left by an earlier image of `slot`, which would be read as a verdict on the next image tried
    /// there. Called before the boot record names that image. Idempotent.
    ///
    /// # Cancel safety
    /// On cancellation the state may remain; call again.
    ///
    /// # Errors
    /// Any error of the flash.
    async fn forget<F: Flash>(&mut self, _flash: &mut F, _running: SlotId, _slot: SlotId) -> Result<(), Fault> {
        Ok(())
    }

    /// See [`BootControl::vacate`].
    ///
    /// # Cancel safety
    /// On cancellation the state may remain; call again.
    ///
    /// # Errors
    /// Any error of the flash.
    async fn vacate<F: Flash>(&mut self, _flash: &mut F, _running: SlotId, _slot: SlotId) -> Result<(), Fault> {
        Ok(())
    }

    /// Makes the next boot revert the running image, which is on trial although the loader's state does not show it.
    /// Idempotent.
    ///
    /// # Cancel safety
    /// On cancellation the change may be incomplete; call again.
    ///
    /// # Errors
    /// Any error of the flash.
    async fn watch<F: Flash>(&mut self, _flash: &mut F, _running: SlotId) -> Result<(), Fault> {
        Ok(())
    }

    /// Makes the next boot try `slot`. Idempotent.
    ///
    /// # Cancel safety
    /// On cancellation the change may be incomplete; call again.
    ///
    /// # Errors
    /// Any error of the flash.
    async fn try_next<F: Flash>(&mut self, flash: &mut F, running: SlotId, slot: SlotId) -> Result<(), Fault>;

    /// Confirms the running image, which is on trial. Idempotent.
    ///
    /// # Cancel safety
    /// On cancellation the change may be incomplete; call again.
    ///
    /// # Errors
    /// Any error of the flash.
    async fn keep<F: Flash>(&mut self, flash: &mut F, running: SlotId) -> Result<(), Fault>;

    /// Gives up the running image, which is on trial. Idempotent.
    ///
    /// # Cancel safety
    /// On cancellation the change may be incomplete; call again.
    ///
    /// # Errors
    /// [`Fault::NoTrialRuns`] or [`Fault::LoaderRefused`] if the loader keeps the image: it then counts as confirmed. Any error
    /// of the flash.
    async fn give_up<F: Flash>(&mut self, flash: &mut F, running: SlotId) -> Result<(), Fault>;

    /// Makes every boot from now on start `slot`, which was once confirmed. Idempotent.
    ///
    /// # Cancel safety
    /// On cancellation the change may be incomplete; call again.
    ///
    /// # Errors
    /// Any error of the flash.
    async fn switch<F: Flash>(&mut self, flash: &mut F, running: SlotId, slot: SlotId) -> Result<(), Fault>;
}

/// A [`BootControl`] over the state of a foreign boot loader.
#[derive(Debug)]
pub struct LoaderBridge<L> {
    loader: L,
    records: BootRecords,
    /// The slot whose image runs: given by the board, or, with a loader that swaps, determined by digest.
    running: Option<SlotId>,
    /// Whether this program ordered a switch: the image that runs until the reset is then not the confirmed one.
    switched: bool,
    /// Whether this program has loaded the record before. A trial still pending at the first load was skipped by the
    /// loader.
    looked: bool,
}

impl<L: Loader> LoaderBridge<L> {
    /// Creates the bridge for a loader whose images run in place; the board provides the running slot. A loader that swaps
    /// does not compile:
    ///
    #[cfg_attr(feature = "mcuboot", doc = "```")]
    #[cfg_attr(not(feature = "mcuboot"), doc = "```ignore")]
    /// use ota_pal::{Layout, LoaderBridge, SlotId, loaders::mcuboot::InPlace};
    /// let _: fn(InPlace, &Layout, SlotId) -> LoaderBridge<InPlace> = LoaderBridge::in_place;
    /// ```
    ///
    /// ```compile_fail
    /// use ota_pal::{Layout, LoaderBridge, SlotId, loaders::mcuboot::Swapping};
    /// let _: fn(Swapping, &Layout, SlotId) -> LoaderBridge<Swapping> = LoaderBridge::in_place;
    /// ```
    #[must_use]
    pub const fn in_place(loader: L, layout: &Layout, running: SlotId) -> Self {
        const { assert!(!L::SWAPS, "this loader swaps images: use LoaderBridge::swapping") };
        Self { loader, records: BootRecords::new(layout), running: Some(running), switched: false, looked: false }
    }

    /// Creates the bridge for a loader that swaps; the running image is determined by its digest. A loader whose images run
    /// in place does not compile:
    ///
    #[cfg_attr(feature = "mcuboot", doc = "```")]
    #[cfg_attr(not(feature = "mcuboot"), doc = "```ignore")]
    /// use ota_pal::{Layout, LoaderBridge, loaders::mcuboot::Swapping};
    /// let _: fn(Swapping, &Layout) -> LoaderBridge<Swapping> = LoaderBridge::swapping;
    /// ```
    ///
    /// ```compile_fail
    /// use ota_pal::{Layout, LoaderBridge, loaders::mcuboot::InPlace};
    /// let _: fn(InPlace, &Layout) -> LoaderBridge<InPlace> = LoaderBridge::swapping;
    /// ```
    #[must_use]
    pub const fn swapping(loader: L, layout: &Layout) -> Self {
        const { assert!(L::SWAPS, "this loader runs images in place: use LoaderBridge::in_place") };
        Self { loader, records: BootRecords::new(layout), running: None, switched: false, looked: false }
    }

    /// Returns the slot whose image runs. With a loader that swaps, it is the one on trial if the running image has its
    /// digest.
    async fn find_running<F: Flash, W: Watchdog>(
        &mut self,
        flash: &mut F,
        layout: &Layout,
        watchdog: &mut W,
        record: Option<&BootRecord>,
    ) -> Result<SlotId, Fault> {
        if let Some(running) = self.running {
            return Ok(running);
        }
        let running = match record {
            None => SlotId::A,
            Some(record) => who_runs(flash, layout.slot(SlotId::A), watchdog, record).await?,
        };
        self.running = Some(running);
        Ok(running)
    }
}

impl<L: Loader> BootControl for LoaderBridge<L> {
    type Format = L::Format;

    const ERASES_DOWNLOADS: bool = L::ERASES_DOWNLOADS;
    const STARTS_ANY_IMAGE: bool = L::STARTS_ANY_IMAGE;

    async fn load<F: Flash, W: Watchdog>(
        &mut self,
        flash: &mut F,
        layout: &Layout,
        watchdog: &mut W,
    ) -> Result<BootStatus, Fault> {
        let stored = self.records.stored(flash).await?;
        let running = self.find_running(flash, layout, watchdog, stored.as_ref()).await?;
        let Some(stored) = stored else {
            self.looked = true;
            return Ok(BootStatus { running, record: BootRecord::new_device(running) });
        };
        let mut record = stored;
        if stored.factory_reset_pending && !self.switched {
            self.finish_factory_reset(flash, layout, watchdog, running, &mut record).await;
        }
        let is_kept = self.reconcile(flash, running, &mut record).await?;
        self.looked = true;
        if record != stored {
            self.end_if_gone(flash, layout, watchdog, &mut record).await;
            // The attempt is counted before it is made.
            self.records.store(flash, &record).await?;
            self.try_again(flash, running, &stored, &record).await?;
        }
        if is_kept {
            record.confirmed = running; // stored only when the next download removes the trial
        }
        Ok(BootStatus { running, record })
    }

    async fn store<F: Flash>(
        &mut self,
        flash: &mut F,
        _layout: &Layout,
        record: &BootRecord,
        change: Change,
    ) -> Result<(), Fault> {
        let running = self.running.unwrap_or(record.confirmed);
        let mut record = *record;
        if matches!(record.trial, Trial::Ended { slot, .. } if slot == record.confirmed) {
            // The loader keeps this image. The format has no trial of a confirmed slot: the slot confirmed before stays in it.
            record.confirmed = self.records.stored(flash).await?.map_or(running, |stored| stored.confirmed);
        }
        match change {
            // Refused before the record names an image that would never run.
            Change::SetDefault(slot) if slot.is_factory() && !L::STARTS_FACTORY => {
                return Err(Fault::LoaderRefused { code: 0 });
            }
            Change::Confirm => {
                self.begin_confirmation(flash).await?;
                self.loader.keep(flash, running).await?;
            }
            Change::Test(slot) => self.loader.forget(flash, running, slot).await?,
            Change::RecordOnly | Change::Revert | Change::SetDefault(_) => {}
        }
        self.records.store(flash, &record).await?;
        match change {
            Change::RecordOnly | Change::Confirm => Ok(()),
            Change::Test(slot) => self.loader.try_next(flash, running, slot).await,
            Change::Revert => self.loader.give_up(flash, running).await,
            Change::SetDefault(slot) => {
                self.switched = true;
                self.loader.switch(flash, running, slot).await
            }
        }
    }

    async fn vacate<F: Flash>(&mut self, flash: &mut F, running: SlotId, slot: SlotId) -> Result<(), Fault> {
        // An update of other firmware has no boot record. Until its trial ends, the loader may revert to the image in `slot`.
        if self.loader.slot_state(flash, running, running).await? == LoaderState::Testing {
            return Err(Fault::LoaderRefused { code: 0 });
        }
        self.loader.vacate(flash, running, slot).await
    }

    fn region(&self, layout: &Layout, slot: SlotId) -> Region {
        match self.running {
            _ if slot.is_factory() => layout.slot(slot),
            Some(running) if L::SWAPS && slot == running => layout.slot(SlotId::A),
            _ if L::SWAPS => layout.slot(SlotId::B),
            _ => layout.slot(slot),
        }
    }
}

/// Returns the slot whose image is in `primary`, from which a loader that swaps starts images: the one on trial or the
/// confirmed one, or an earlier one while a switch has not been booted yet.
async fn who_runs<F: Flash, W: Watchdog>(
    flash: &mut F,
    primary: Region,
    watchdog: &mut W,
    record: &BootRecord,
) -> Result<SlotId, Fault> {
    if let Trial::Pending { slot, digest, image_bytes, .. } | Trial::Started { slot, digest, image_bytes, .. } =
        record.trial
    {
        let runs = hash::matches(flash, primary, &digest, image_bytes, watchdog).await?;
        return Ok(if runs { slot } else { record.confirmed });
    }
    // The confirmed slot is checked first: two slots may hold the same image.
    let confirmed = record.images.get(record.confirmed).map(|image| (record.confirmed, image));
    let others = record.images.iter().filter(|(slot, _)| *slot != record.confirmed);
    for (slot, image) in confirmed.into_iter().chain(others) {
        let counts = image.status.was_confirmed() || image.status == ImageStatus::Failed;
        if counts && hash::matches(flash, primary, &image.digest, image.image_bytes, watchdog).await == Ok(true) {
            return Ok(slot);
        }
    }
    Ok(record.confirmed)
}

#[cfg(test)]
mod tests;
