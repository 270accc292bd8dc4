//! Boot loaders that are not ours: [`LoaderBridge`] keeps our boot record beside the words that such a loader reads, because
//! digest, reason and database have no place in them, and reconciles the two at every look. What a loader's words are is
//! its adapter's, a [`Loader`]; how the two are reconciled is in `reconcile`.

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

/// The words of a boot loader. Each operation can be cut anywhere and done again; none loses the choice that stood before.
#[allow(async_fn_in_trait)]
pub trait Loader {
    /// How the images that this loader starts say what they are.
    type Format: ImageFormat;

    /// Whether the loader swaps: the running image is always in the first region of the layout, and what is received goes
    /// to the second. Slots A and B are names of images then, not of places.
    const SWAPS: bool;

    /// Whether the loader can be told to start the image in the factory slot; a factory reset is refused without.
    const STARTS_FACTORY: bool = false;

    /// As [`BootControl::ERASES_DOWNLOADS`].
    const ERASES_DOWNLOADS: bool = false;

    /// What the words say of `slot`, while the image of `running` runs. Dropped: nothing happened.
    ///
    /// # Errors
    /// [`Fault::Read`].
    async fn slot_state<F: Flash>(
        &mut self,
        flash: &mut F,
        running: SlotId,
        slot: SlotId,
    ) -> Result<LoaderState, Fault>;

    /// Takes away what the words still say of an earlier image of `slot`, which would be taken for a verdict on the one that
    /// is tried next. Comes before our record names that one. Calling again changes nothing. Dropped: call again.
    ///
    /// # Errors
    /// The flash's own.
    async fn forget<F: Flash>(&mut self, _flash: &mut F, _running: SlotId, _slot: SlotId) -> Result<(), Fault> {
        Ok(())
    }

    /// Has the next boot go back from the running image, which is on trial although the words do not say so. Calling again
    /// changes nothing. Dropped: call again.
    ///
    /// # Errors
    /// The flash's own.
    async fn watch<F: Flash>(&mut self, _flash: &mut F, _running: SlotId) -> Result<(), Fault> {
        Ok(())
    }

    /// Has the next boot try `slot`. Calling again changes nothing. Dropped: call again.
    ///
    /// # Errors
    /// The flash's own.
    async fn try_next<F: Flash>(&mut self, flash: &mut F, running: SlotId, slot: SlotId) -> Result<(), Fault>;

    /// Keeps the running image, which is on trial. Calling again changes nothing. Dropped: call again.
    ///
    /// # Errors
    /// The flash's own.
    async fn keep<F: Flash>(&mut self, flash: &mut F, running: SlotId) -> Result<(), Fault>;

    /// Gives up the running image, which is on trial. Calling again changes nothing. Dropped: call again.
    ///
    /// # Errors
    /// The flash's own.
    async fn give_up<F: Flash>(&mut self, flash: &mut F, running: SlotId) -> Result<(), Fault>;

    /// Has every boot from now on start `slot`, which was kept once. Calling again changes nothing. Dropped: call again.
    ///
    /// # Errors
    /// The flash's own.
    async fn switch<F: Flash>(&mut self, flash: &mut F, running: SlotId, slot: SlotId) -> Result<(), Fault>;
}

/// A [`BootControl`] over the words of another loader.
#[derive(Debug)]
pub struct LoaderBridge<L> {
    loader: L,
    records: BootRecords,
    /// The slot whose image runs: what the board knows, or, with a loader that swaps, what was found out.
    running: Option<SlotId>,
    /// Whether this program told the loader to switch: what runs until the reset is not what is confirmed then.
    switched: bool,
    /// Whether this program has seen the record: what still waits at the first look, the loader passed over.
    looked: bool,
}

impl<L: Loader> LoaderBridge<L> {
    /// The loader of a part that runs in place; the board knows from which slot.
    #[must_use]
    pub const fn in_place(loader: L, layout: &Layout, running: SlotId) -> Self {
        Self { loader, records: BootRecords::new(layout), running: Some(running), switched: false, looked: false }
    }

    /// A loader that swaps: which image runs is found out by its digest.
    #[must_use]
    pub const fn swapping(loader: L, layout: &Layout) -> Self {
        Self { loader, records: BootRecords::new(layout), running: None, switched: false, looked: false }
    }

    /// The slot whose image runs. With a loader that swaps it is the one on trial if its digest is what runs.
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
        if stored.wipe && !self.switched {
            self.finish_factory_reset(flash, layout, watchdog, running, &mut record).await;
        }
        self.reconcile(flash, running, &mut record).await?;
        self.looked = true;
        if record != stored {
            self.end_if_gone(flash, layout, watchdog, &mut record).await;
            // Counted before it happens.
            self.records.store(flash, &record).await?;
            self.try_again(flash, running, &stored, &record).await?;
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
        match change {
            // Before the record names what never runs.
            Change::Switch(slot) if slot.is_factory() && !L::STARTS_FACTORY => {
                return Err(Fault::LoaderRefused { code: 0 });
            }
            Change::Keep => self.loader.keep(flash, running).await?,
            Change::Try(slot) => self.loader.forget(flash, running, slot).await?,
            Change::Note | Change::Revert | Change::Switch(_) => {}
        }
        self.records.store(flash, record).await?;
        match change {
            Change::Note | Change::Keep => Ok(()),
            Change::Try(slot) => self.loader.try_next(flash, running, slot).await,
            Change::Revert => self.loader.give_up(flash, running).await,
            Change::Switch(slot) => {
                self.switched = true;
                self.loader.switch(flash, running, slot).await
            }
        }
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

/// The slot whose image lies in `primary`, where a loader that swaps starts what it starts: the one on trial or the confirmed
/// one; or, while a switch between two is under way and not booted yet, an earlier one.
async fn who_runs<F: Flash, W: Watchdog>(
    flash: &mut F,
    primary: Region,
    watchdog: &mut W,
    record: &BootRecord,
) -> Result<SlotId, Fault> {
    if let Trial::Pending { slot, digest, image_bytes, .. } | Trial::Started { slot, digest, image_bytes, .. } =
        record.trial
    {
        let runs = hash::holds(flash, primary, &digest, image_bytes, watchdog).await?;
        return Ok(if runs { slot } else { record.confirmed });
    }
    // The confirmed one first: the same image may lie in two slots.
    let confirmed = record.images.get(record.confirmed).map(|image| (record.confirmed, image));
    let others = record.images.iter().filter(|(slot, _)| *slot != record.confirmed);
    for (slot, image) in confirmed.into_iter().chain(others) {
        let counts = image.status.was_confirmed() || image.status == ImageStatus::Failed;
        if counts && hash::holds(flash, primary, &image.digest, image.image_bytes, watchdog).await == Ok(true) {
            return Ok(slot);
        }
    }
    Ok(record.confirmed)
}
