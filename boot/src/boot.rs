//! Carries a boot decision out: reads the record, hashes a slot on trial, stores the count, looks for an image that can run.

use ota_pal::{
    BootRecord, BootRecords, Digest, Fault, Flash, Floor, Floors, Header, Image, Layout, Region, SlotId, Trial,
    Watchdog, erase_slots, read_header,
};

use crate::copy::{Exact, holds};
use crate::select::{Decision, fallback, select};

/// The slot to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// The slot.
    pub slot: SlotId,
    /// The header of the image in it.
    pub header: Header,
    /// Why this one.
    pub cause: Cause,
}

/// Why a slot was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It is confirmed, and no trial is on.
    Confirmed,
    /// It is on trial, and this boot was counted.
    Trial,
    /// It is confirmed, and a trial of another slot was ended at this boot; the boot record says why.
    TrialEnded,
    /// It is confirmed, and something that this boot had to store could not be stored. Without its count, a trial could go
    /// on for ever: it waits.
    NotStored(Fault),
    /// The image of the confirmed slot cannot be started: this is the newest that can, and it is confirmed from now on.
    FellBack {
        /// The slot that was confirmed.
        from: SlotId,
    },
    /// A factory reset was carried out at this boot.
    FactoryReset,
    /// The same, but for sectors that cannot be erased; no image in them is known any more.
    FactoryResetInPart(Fault),
}

/// How much of an image a boot looks at before it starts it. One on trial, or fallen back to, is always hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scrutiny {
    /// Its header.
    Header,
    /// The whole of it, where the image database has its digest: a boot takes as long as hashing it does.
    Whole,
}

/// Why nothing can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootError {
    /// Flash cannot be read, or a record is not understood.
    Fault(Fault),
    /// No slot holds an image that was verified, is whole, and may still run.
    NoBootableImage,
}

impl From<Fault> for BootError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Chooses the slot to start, and stores what this boot changes before it returns. The watchdog is fed while a slot is
/// hashed or erased.
///
/// Dropped: a trial boot may have been counted, slots may have been erased for a factory reset.
///
/// # Errors
/// [`BootError`] if there is nothing to start.
pub async fn boot<F: Flash, W: Watchdog>(
    flash: &mut F,
    layout: &Layout,
    watchdog: &mut W,
    scrutiny: Scrutiny,
) -> Result<Boot, BootError> {
    carry_out(flash, layout, InPlace, watchdog, scrutiny).await
}

/// Where images run. A type, not a value: a selector that starts images in place carries no code that copies them.
pub(crate) trait Place {
    /// The region that an image is copied to before it runs; `None` if it runs from its slot.
    fn executing(&self) -> Option<Region>;
}

struct InPlace;

impl Place for InPlace {
    fn executing(&self) -> Option<Region> {
        None
    }
}

pub(crate) async fn carry_out<F: Flash, W: Watchdog>(
    flash: &mut F,
    layout: &Layout,
    place: impl Place,
    watchdog: &mut W,
    scrutiny: Scrutiny,
) -> Result<Boot, BootError> {
    let mut records = BootRecords::new(layout);
    let record = records.load(flash).await?;
    let mut selector = Selector { flash, layout, place, watchdog, records, record };
    let decision = select(&record);
    // A factory's image that was not whole must not be started by its header.
    let scrutiny = if decision == Decision::Wipe { Scrutiny::Whole } else { scrutiny };
    let cause = match decision {
        Decision::Confirmed => Cause::Confirmed,
        Decision::GiveUp(ended) => selector.end_trial(ended).await,
        Decision::Try { counted, corrupt } => match selector.try_image(counted).await {
            Some(Ok(boot)) => return Ok(boot),
            Some(Err(fault)) => Cause::NotStored(fault),
            None => selector.end_trial(corrupt).await,
        },
        Decision::Wipe => selector.factory_reset().await,
    };
    selector.start_confirmed(cause, scrutiny).await
}

pub(crate) struct Selector<'s, F, W, P> {
    pub(crate) flash: &'s mut F,
    pub(crate) layout: &'s Layout,
    pub(crate) place: P,
    pub(crate) watchdog: &'s mut W,
    records: BootRecords,
    pub(crate) record: BootRecord,
}

impl<F: Flash, W: Watchdog, P: Place> Selector<'_, F, W, P> {
    /// Starts the image on trial, if its slot holds exactly that one: `None` if not, an error if the boot cannot be counted.
    async fn try_image(&mut self, counted: Trial) -> Option<Result<Boot, Fault>> {
        let Trial::Started { slot, digest, image_bytes, .. } = counted else { return None };
        let header = self.intact(slot, digest, image_bytes).await?;
        if !self.place_trial(slot, Exact { digest, image_bytes }).await {
            return None;
        }
        self.record.trial = counted;
        let stored = self.records.store(self.flash, &self.record).await;
        Some(stored.map(|()| Boot { slot, header, cause: Cause::Trial }))
    }

    async fn end_trial(&mut self, ended: Trial) -> Cause {
        self.record.trial = ended;
        if let Trial::Ended { slot, .. } = ended {
            self.record.images.fail(slot);
        }
        self.store(Cause::TrialEnded).await
    }

    /// Erases everything but the factory's image, if that is whole; else the order is forgotten and the others stay.
    async fn factory_reset(&mut self) -> Cause {
        let factory = self.record.images.get(SlotId::FACTORY).copied();
        let whole = match factory {
            Some(Image { digest, image_bytes, .. }) => {
                self.intact(SlotId::FACTORY, digest, image_bytes).await.is_some()
                    && self.place(SlotId::FACTORY, Exact { digest, image_bytes }).await
            }
            None => false,
        };
        if !whole {
            self.record.wipe = false;
            return self.store(Cause::Confirmed).await;
        }
        let cause = match erase_slots(self.flash, self.layout, self.watchdog).await {
            Ok(()) => Cause::FactoryReset,
            Err(fault) => Cause::FactoryResetInPart(fault),
        };
        self.record = BootRecord::new_device(SlotId::FACTORY);
        self.record.images.set(SlotId::FACTORY, factory);
        self.store(cause).await
    }

    async fn store(&mut self, cause: Cause) -> Cause {
        match self.records.store(self.flash, &self.record).await {
            Ok(()) => cause,
            Err(fault) => Cause::NotStored(fault),
        }
    }

    /// Starts the confirmed image, or the newest one that can be started instead.
    async fn start_confirmed(&mut self, cause: Cause, scrutiny: Scrutiny) -> Result<Boot, BootError> {
        let confirmed = self.record.confirmed;
        if let Some(executing) = self.place.executing() {
            return match self.start_staged(executing, cause, scrutiny).await {
                Some(boot) => Ok(boot),
                None => self.fall_back(confirmed).await,
            };
        }
        let header = match (scrutiny, self.record.images.get(confirmed).copied()) {
            (Scrutiny::Whole, Some(image)) => self.intact(confirmed, image.digest, image.image_bytes).await,
            _ => self.runnable(confirmed).await,
        };
        match header {
            Some(header) => Ok(Boot { slot: confirmed, header, cause }),
            None => self.fall_back(confirmed).await,
        }
    }

    /// Images that cannot be started lose their rows, but for the factory's, whose digest tells that it is damaged.
    async fn fall_back(&mut self, from: SlotId) -> Result<Boot, BootError> {
        let floor = Floors::new(self.layout).load(self.flash).await?;
        let factory = self.record.images.get(SlotId::FACTORY).copied();
        self.record.images.set(from, None);
        while let Some(slot) = fallback(&self.record, floor.security_counter, |slot| slot == from) {
            let Some(image) = self.record.images.get(slot).copied() else { break };
            let Image { digest, image_bytes, .. } = image;
            if let Some(header) = self.intact(slot, digest, image_bytes).await
                && self.place(slot, Exact { digest, image_bytes }).await
            {
                (self.record.confirmed, self.record.wipe) = (slot, false);
                self.record.images.set(SlotId::FACTORY, factory);
                let cause = self.store(Cause::FellBack { from }).await;
                return Ok(Boot { slot, header, cause });
            }
            self.record.images.set(slot, None);
        }
        let last_resort = if factory.is_none() { self.last_resort(from, floor).await } else { None };
        last_resort.ok_or(BootError::NoBootableImage)
    }

    /// The factory's image without a row: nobody verified it here, and nobody but the factory could write it.
    async fn last_resort(&mut self, from: SlotId, floor: Floor) -> Option<Boot> {
        let slot = SlotId::FACTORY;
        let header = self.runnable(slot).await.filter(|_| slot != from)?;
        if header.security_counter < floor.security_counter || !self.place_unverified(slot, &header).await {
            return None;
        }
        (self.record.confirmed, self.record.wipe) = (slot, false);
        Some(Boot { slot, header, cause: self.store(Cause::FellBack { from }).await })
    }

    /// The header of the image in a slot, if the slot holds exactly this one.
    pub(crate) async fn intact(&mut self, slot: SlotId, digest: Digest, image_bytes: u32) -> Option<Header> {
        let header = self.runnable(slot).await?;
        let region = self.layout.slot(slot);
        holds(self.flash, region, Exact { digest, image_bytes }, self.watchdog).await.then_some(header)
    }

    /// The header of the image in a slot, if there is one that is linked for it and fits.
    pub(crate) async fn runnable(&mut self, slot: SlotId) -> Option<Header> {
        let header = self.runnable_in(self.layout.slot(slot), slot).await?;
        let fits = |region: Region| header.image_bytes() <= region.len_bytes();
        self.place.executing().is_none_or(fits).then_some(header)
    }

    /// The header of the image in a region, if there is one that is linked for `slot` and fits.
    pub(crate) async fn runnable_in(&mut self, region: Region, slot: SlotId) -> Option<Header> {
        let header = read_header(self.flash, region).await.ok()?.ok()?;
        (header.link.allows(slot) && header.image_bytes() <= region.len_bytes()).then_some(header)
    }
}
