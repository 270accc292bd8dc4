//! What a loader did since our record was stored, as far as its words and what runs tell; and what a cut left half done
//! between the two.

use super::super::super::flash::Flash;
use super::super::super::flash::hash;
use super::super::super::native::boot_control::BootControl;
use super::super::super::native::wipe;
use super::{Foreign, Loader};
use crate::fault::Fault;
use crate::image::digest::Digest;
use crate::image::slot::SlotId;
use crate::platform::boot::LoaderState;
use crate::platform::hooks::Watchdog;
use crate::store::boot_record::REASON_ATTEMPTS_EXHAUSTED;
use crate::store::boot_record::{BootRecord, Trial};
use crate::store::images::{Image, Images, Standing};
use crate::store::layout::Layout;

/// So often a switch is tried that did not come about: the power may have gone before the loader heard of it.
const SWITCH_ATTEMPTS: u8 = 1;

impl<L: Loader> Foreign<L> {
    /// Brings `record` to what is true.
    pub(super) async fn reconcile<F: Flash>(
        &mut self,
        flash: &mut F,
        running: SlotId,
        record: &mut BootRecord,
    ) -> Result<(), Fault> {
        match record.trial {
            Trial::Pending { slot, digest, image_bytes, .. } | Trial::Started { slot, digest, image_bytes, .. }
                if slot == running =>
            {
                // Nobody keeps an image before its first look is stored, unless it was kept once before.
                let is_new = matches!(record.trial, Trial::Pending { .. })
                    && record.images.get(slot).is_some_and(|image| image.standing == Standing::Verified);
                record.trial = Trial::Started { slot, digest, image_bytes, attempts_left: 0 };
                match self.loader.slot_state(flash, running, slot).await? {
                    LoaderState::Kept if !is_new => {
                        // The power went between the loader's word and our record.
                        (record.confirmed, record.trial) = (slot, Trial::None);
                        record.images.confirm(slot);
                    }
                    LoaderState::Kept | LoaderState::Nothing => self.loader.watch(flash, running).await?,
                    LoaderState::Waiting | LoaderState::Trying | LoaderState::GivenUp => {}
                }
            }
            Trial::Pending { slot, digest, image_bytes, attempts_left } => {
                match self.loader.slot_state(flash, running, slot).await? {
                    LoaderState::GivenUp | LoaderState::Trying => went_back(record, slot, digest),
                    // A cut before the loader heard it; or a trial that never came as far as this, or an image that the
                    // loader does not take, of which its words may keep no trace: not for ever again.
                    LoaderState::Waiting if self.looked => {}
                    LoaderState::Waiting | LoaderState::Nothing | LoaderState::Kept => {
                        match attempts_left.checked_sub(1) {
                            None => went_back(record, slot, digest),
                            Some(attempts_left) => {
                                record.trial = Trial::Pending { slot, digest, image_bytes, attempts_left };
                            }
                        }
                    }
                }
            }
            Trial::Started { slot, digest, .. } => went_back(record, slot, digest),
            Trial::Ended { slot, .. } if slot == running => self.loader.give_up(flash, running).await?,
            // How a trial of a third slot ended does not explain it either.
            Trial::None | Trial::Ended { .. } if record.confirmed != running && !self.switched => {
                other_runs(running, record);
            }
            Trial::None | Trial::Ended { .. } => {}
        }
        Ok(())
    }

    /// Ends a trial that is to be tried again and cannot be: loaders erase what they do not take.
    pub(super) async fn end_if_gone<F: Flash, W: Watchdog>(
        &self,
        flash: &mut F,
        layout: &Layout,
        watchdog: &mut W,
        record: &mut BootRecord,
    ) {
        let Trial::Pending { slot, digest, image_bytes, .. } = record.trial else { return };
        if hash::holds(flash, self.region(layout, slot), &digest, image_bytes, watchdog).await != Ok(true) {
            went_back(record, slot, digest);
        }
    }

    /// Has the loader try again what `record` names anew.
    pub(super) async fn try_again<F: Flash>(
        &mut self,
        flash: &mut F,
        running: SlotId,
        stored: &BootRecord,
        record: &BootRecord,
    ) -> Result<(), Fault> {
        match (stored.trial, record.trial) {
            (Trial::Pending { .. }, Trial::Pending { slot, .. }) => self.loader.try_next(flash, running, slot).await,
            (_, Trial::Pending { slot, .. }) => self.loader.switch(flash, running, slot).await,
            _ => Ok(()),
        }
    }

    /// Carries a factory reset out where the factory's program runs; elsewhere the loader did not hear of it, or did not
    /// start that program: the order is forgotten, and nothing was erased.
    pub(super) async fn finish_factory_reset<F: Flash, W: Watchdog>(
        &mut self,
        flash: &mut F,
        layout: &Layout,
        watchdog: &mut W,
        running: SlotId,
        record: &mut BootRecord,
    ) {
        if running.is_factory() {
            // A sector that is worn out stays as it is; the order ends all the same.
            let _ = wipe::erase_slots(flash, layout, watchdog).await;
            let factory = record.images.get(SlotId::FACTORY).copied();
            record.images = Images::NONE;
            record.images.set(SlotId::FACTORY, factory);
        }
        (record.confirmed, record.wipe) = (running, false);
    }
}

/// What runs is not what our record says, and no trial explains it.
fn other_runs(running: SlotId, record: &mut BootRecord) {
    let (wanted, row) = (record.confirmed, record.images.get(record.confirmed).copied());
    match (record.images.get(running), row) {
        // Verified here and never confirmed: it is on trial, whoever had it started.
        (Some(Image { standing: Standing::Verified, digest, image_bytes, .. }), _) => {
            let (digest, image_bytes) = (*digest, *image_bytes);
            record.trial = Trial::Started { slot: running, digest, image_bytes, attempts_left: 0 };
        }
        // Ours said "switch" before the loader heard it; or it heard it, and does not start that image.
        (_, Some(Image { standing: Standing::Made | Standing::Good, digest, image_bytes, .. })) => {
            record.confirmed = running;
            record.trial = Trial::Pending { slot: wanted, digest, image_bytes, attempts_left: SWITCH_ATTEMPTS };
        }
        // Somebody else switched.
        _ => record.confirmed = running,
    }
}

fn went_back(record: &mut BootRecord, slot: SlotId, digest: Digest) {
    record.trial = Trial::Ended { slot, digest, reason: REASON_ATTEMPTS_EXHAUSTED, started: true };
    record.images.fail(slot);
}
