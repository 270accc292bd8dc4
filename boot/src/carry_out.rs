//! Carries out a boot decision: reads the record, hashes a slot on trial, stores the count, and falls back to another
//! image if the confirmed one cannot be started.

use super::bisync;
use super::pal::flash::geometry;
use super::pal::{BootRecords, Flash, MonotonicRecords, erase_slots};
use super::selector::Selector;
use super::strategy::Strategy;
use crate::exact::ImageRef;
use crate::outcome::{Boot, BootContext, BootError, BootReason, VerifyLevel};
use crate::select::{Decision, fallback, select};
use ota_pal::{BootRecord, Fault, Image, Layout, RollbackCounters, SlotId, Trial, Watchdog};

#[bisync]
pub(crate) async fn carry_out<F: Flash, W: Watchdog>(
    flash: &mut F,
    layout: &Layout,
    strategy: impl Strategy,
    watchdog: &mut W,
    verify_level: VerifyLevel,
    context: BootContext,
) -> Result<Boot, BootError> {
    layout.check(geometry(flash)).map_err(BootError::Layout)?;
    let mut records = BootRecords::new(layout);
    let record = records.load(flash).await?;
    let image_bytes_max = strategy.image_bytes_max();
    let selector = Selector { flash, layout, watchdog, records, record, image_bytes_max };
    let mut run = Run { selector, strategy };
    let decision = select(&record, context.reset_cause);
    // A factory image that failed the check before a factory reset must not be started by its header alone.
    let verify_level = if decision == Decision::FactoryReset { VerifyLevel::Whole } else { verify_level };
    let cause = match decision {
        Decision::Confirmed => BootReason::Confirmed,
        Decision::EndTrial(ended) => run.end_trial(ended).await,
        Decision::Try { counted, corrupt } => match run.try_image(counted).await {
            Some(Ok(boot)) => return Ok(boot),
            Some(Err(fault)) => BootReason::NotStored(fault),
            None => run.end_trial(corrupt).await,
        },
        Decision::WithSystem { slot, digest, image_bytes } => {
            match run.with_system(slot, ImageRef { digest, image_bytes }, context.system_release).await {
                Some(boot) => return Ok(boot),
                None => BootReason::Confirmed,
            }
        }
        Decision::FactoryReset => run.factory_reset().await,
    };
    run.start_confirmed(cause, verify_level).await
}

struct Run<'s, F, W, S> {
    selector: Selector<'s, F, W>,
    strategy: S,
}

#[bisync]
impl<F: Flash, W: Watchdog, S: Strategy> Run<'_, F, W, S> {
    /// Starts the image on trial if its slot holds exactly that image. `None` if it does not, an error if the boot
    /// cannot be counted.
    async fn try_image(&mut self, counted: Trial) -> Option<Result<Boot, Fault>> {
        let Trial::Started { slot, digest, image_bytes, .. } = counted else { return None };
        let header = self.selector.intact(slot, digest, image_bytes).await?;
        let exact = ImageRef { digest, image_bytes };
        if !self.strategy.prepare_trial(&mut self.selector, slot, exact).await {
            return None;
        }
        self.selector.record.trial = counted;
        let stored = self.selector.records.store(self.selector.flash, &self.selector.record).await;
        Some(stored.map(|()| Boot { slot, header, cause: BootReason::Trial }))
    }

    /// Starts the image if the slot holds exactly that image, and the system that runs is of its release.
    async fn with_system(&mut self, slot: SlotId, exact: ImageRef, system_release: u64) -> Option<Boot> {
        let header = self.selector.runnable(slot).await?;
        if header.release_id != system_release || system_release == 0 {
            return None;
        }
        let header = self.selector.intact(slot, exact.digest, exact.image_bytes).await?;
        let prepared = self.strategy.prepare_trial(&mut self.selector, slot, exact).await;
        prepared.then_some(Boot { slot, header, cause: BootReason::WithSystem })
    }

    async fn end_trial(&mut self, ended: Trial) -> BootReason {
        self.selector.record.trial = ended;
        if let Trial::Ended { slot, .. } = ended {
            self.selector.record.images.fail(slot);
        }
        self.selector.store(BootReason::TrialEnded).await
    }

    /// Erases everything except the factory image, provided that image is intact. Otherwise clears the request and
    /// erases nothing.
    async fn factory_reset(&mut self) -> BootReason {
        let factory = self.selector.record.images.get(SlotId::FACTORY).copied();
        let whole = match factory {
            Some(Image { digest, image_bytes, .. }) => {
                self.selector.intact(SlotId::FACTORY, digest, image_bytes).await.is_some()
                    && self
                        .strategy
                        .prepare(&mut self.selector, SlotId::FACTORY, ImageRef { digest, image_bytes })
                        .await
            }
            None => false,
        };
        if !whole {
            self.selector.record.factory_reset_pending = false;
            return self.selector.store(BootReason::Confirmed).await;
        }
        let cause = match erase_slots(self.selector.flash, self.selector.layout, self.selector.watchdog).await {
            Ok(()) => BootReason::FactoryReset,
            Err(fault) => BootReason::FactoryResetInPart(fault),
        };
        self.selector.record = BootRecord::new_device(SlotId::FACTORY);
        self.selector.record.images.set(SlotId::FACTORY, factory);
        self.selector.store(cause).await
    }

    /// Starts the confirmed image, or else the newest image that can be started.
    async fn start_confirmed(&mut self, cause: BootReason, verify_level: VerifyLevel) -> Result<Boot, BootError> {
        match self.strategy.start_confirmed(&mut self.selector, cause, verify_level).await {
            Some(boot) => Ok(boot),
            None => self.fall_back(self.selector.record.confirmed).await,
        }
    }

    /// Starts the newest image other than that of slot `from`, and removes the rows of those that cannot be started.
    /// The factory row is kept: its digest identifies a damaged image.
    async fn fall_back(&mut self, from: SlotId) -> Result<Boot, BootError> {
        let floor = MonotonicRecords::new(self.selector.layout).load(self.selector.flash).await?;
        let factory = self.selector.record.images.get(SlotId::FACTORY).copied();
        self.selector.record.images.set(from, None);
        while let Some(slot) = fallback(&self.selector.record, floor.security_counter) {
            let Some(image) = self.selector.record.images.get(slot).copied() else { break };
            let Image { digest, image_bytes, .. } = image;
            if let Some(header) = self.selector.intact(slot, digest, image_bytes).await
                && self.strategy.prepare(&mut self.selector, slot, ImageRef { digest, image_bytes }).await
            {
                (self.selector.record.confirmed, self.selector.record.factory_reset_pending) = (slot, false);
                self.selector.record.images.set(SlotId::FACTORY, factory);
                let cause = self.selector.store(BootReason::FellBack { from }).await;
                return Ok(Boot { slot, header, cause });
            }
            self.selector.record.images.set(slot, None);
        }
        let last_resort = if factory.is_none() { self.last_resort(from, floor).await } else { None };
        last_resort.ok_or(BootError::NoBootableImage)
    }

    /// Starts a factory image that has no row. It was not verified on this device, but only the manufacturer writes its
    /// slot.
    async fn last_resort(&mut self, from: SlotId, floor: RollbackCounters) -> Option<Boot> {
        let slot = SlotId::FACTORY;
        let header = self.selector.runnable(slot).await.filter(|_| slot != from)?;
        if header.security_counter < floor.security_counter
            || !self.strategy.prepare_unverified(&mut self.selector, slot, &header).await
        {
            return None;
        }
        (self.selector.record.confirmed, self.selector.record.factory_reset_pending) = (slot, false);
        Some(Boot { slot, header, cause: self.selector.store(BootReason::FellBack { from }).await })
    }
}
