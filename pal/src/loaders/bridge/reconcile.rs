//! Reconciles the boot record with the actions of a foreign loader since the record was stored, as far as its state and
//! the running image show them, and completes changes that a power cut interrupted.

use super::super::super::flash::Flash;
use super::super::super::flash::hash;
use super::super::super::native::boot_control::BootControl;
use super::super::super::native::erase;
use super::{Loader, LoaderBridge};
use crate::fault::Fault;
use crate::image::slot::SlotId;
use crate::platform::boot::LoaderState;
use crate::platform::hooks::Watchdog;
use crate::store::boot_record::REASON_ATTEMPTS_EXHAUSTED;
use crate::store::boot_record::{BootRecord, Trial};
use crate::store::images::{Image, ImageStatus, Images};
use crate::store::layout::Layout;

/// The relation between the boot record and the running image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Situation {
    /// The image on trial runs.
    TrialRuns {
        /// Its slot.
        slot: SlotId,
        /// Whether the image is to become permanent: its confirmation has begun, or it was confirmed before, and the
        /// loader was ordered to switch to it.
        is_decided: bool,
    },
    /// Another image runs, and no start of the trial was observed.
    TrialPending {
        /// The slot on trial.
        slot: SlotId,
    },
    /// Another image runs, after a start of the trial was observed.
    TrialStarted,
    /// The image of the ended trial runs.
    EndedRuns,
    /// The confirmed image runs, and no trial is in progress.
    ConfirmedRuns,
    /// An image runs that is not confirmed, and no trial in the record explains it, nor does the ended trial of a third
    /// slot.
    OtherRuns,
}

impl Situation {
    fn of(record: &BootRecord, running: SlotId) -> Self {
        match record.trial {
            Trial::Pending { slot, .. } | Trial::Started { slot, .. } if slot == running => {
                let confirms = matches!(record.trial, Trial::Started { attempts_left: CONFIRMATION_BEGUN, .. });
                let was_confirmed = record.images.get(slot).is_some_and(|image| image.status.was_confirmed());
                Self::TrialRuns { slot, is_decided: confirms || was_confirmed }
            }
            Trial::Pending { slot, .. } => Self::TrialPending { slot },
            Trial::Started { .. } => Self::TrialStarted,
            Trial::Ended { slot, .. } if slot == running => Self::EndedRuns,
            Trial::None | Trial::Ended { .. } | Trial::WithSystem { .. } => match record.confirmed == running {
                true => Self::ConfirmedRuns,
                false => Self::OtherRuns,
            },
        }
    }
}

/// The reaction to a situation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// Nothing.
    None,
    /// The running image is confirmed in the record.
    Confirm,
    /// The loader is to revert the running image at the next boot unless it is confirmed.
    Watch,
    /// The loader is to revert the running image at the next boot.
    GiveUp,
    /// The loader is to try the pending image again, while the trial has attempts left.
    TryAgain,
    /// The trial is over: the loader reverted it.
    EndTrial,
    /// The record is changed to match the running image.
    AcceptRunning,
}

/// The table: situation x state of the loader -> action. `looked`: this program has loaded the record before, so the
/// loader did not run since. `switched`: this program ordered a switch, which takes effect at the reset.
fn action(situation: Situation, loader: LoaderState, looked: bool, switched: bool) -> Action {
    use LoaderState as L;
    use Situation as S;
    match (situation, loader) {
        // A power cut occurred between the loader's confirmation and the store of the record, or after a switch.
        (S::TrialRuns { is_decided: true, .. }, L::Confirmed) => Action::Confirm,
        // Without a verdict the loader's state is stale, or was written by another program.
        (S::TrialRuns { is_decided: false, .. }, L::Confirmed) => Action::Watch,
        (S::TrialRuns { .. }, L::Unknown) => Action::Watch,
        (S::TrialRuns { .. }, L::Pending | L::Testing | L::Reverted) => Action::None,
        (S::TrialPending { .. }, L::Reverted | L::Testing) => Action::EndTrial,
        (S::TrialPending { .. }, L::Pending) if looked => Action::None,
        // A power cut occurred before the loader's state was written; or the loader rejected the image or ended its
        // trial early, possibly without a trace. The attempts are therefore limited.
        (S::TrialPending { .. }, L::Pending | L::Unknown | L::Confirmed) => Action::TryAgain,
        (S::TrialStarted, _) => Action::EndTrial,
        (S::EndedRuns, _) => Action::GiveUp,
        (S::OtherRuns, _) if !switched => Action::AcceptRunning,
        (S::ConfirmedRuns | S::OtherRuns, _) => Action::None,
    }
}

/// The attempts left in the record of a trial whose confirmation has begun. The loader counts them, so there are none in
/// any other record of a trial that was started.
const CONFIRMATION_BEGUN: u8 = 1;

/// Retries of a switch that the loader did not perform: the power may have failed before its state was written.
const SWITCH_ATTEMPTS: u8 = 1;

impl<L: Loader> LoaderBridge<L> {
    /// Updates `record` with the events since it was stored, and the loader's state as the record requires. Returns whether
    /// the loader keeps the running image although its trial ended.
    pub(super) async fn reconcile<F: Flash>(
        &mut self,
        flash: &mut F,
        running: SlotId,
        record: &mut BootRecord,
    ) -> Result<bool, Fault> {
        let situation = Situation::of(record, running);
        let loader = match situation {
            Situation::TrialRuns { slot, .. } | Situation::TrialPending { slot } => {
                self.loader.slot_state(flash, running, slot).await?
            }
            _ => LoaderState::Unknown, // not used below
        };
        if matches!(situation, Situation::TrialRuns { .. }) {
            start(record);
        }
        match action(situation, loader, self.looked, self.switched) {
            Action::None => {}
            Action::Confirm => {
                (record.confirmed, record.trial) = (running, Trial::None);
                record.images.confirm(running);
            }
            Action::Watch => self.loader.watch(flash, running).await?,
            Action::GiveUp => return self.give_up(flash, running).await,
            Action::TryAgain => try_once_more(record),
            Action::EndTrial => end_trial(record),
            Action::AcceptRunning => {
                other_runs(running, record);
                if matches!(record.trial, Trial::Started { .. }) {
                    self.loader.watch(flash, running).await?;
                }
            }
        }
        Ok(false)
    }

    /// Gives up the running image, whose trial ended. Returns whether the loader keeps it: it was confirmed at the loader by
    /// another program, or the earlier image is gone.
    async fn give_up<F: Flash>(&mut self, flash: &mut F, running: SlotId) -> Result<bool, Fault> {
        match self.loader.give_up(flash, running).await {
            Ok(()) => Ok(false),
            Err(Fault::NoTrialRuns | Fault::LoaderRefused { .. }) => Ok(!self.switched),
            Err(fault) => Err(fault),
        }
    }

    /// Stores that the confirmation of the running image has begun: if the power fails before its end, the loader's state
    /// alone cannot show whose decision it is.
    pub(super) async fn begin_confirmation<F: Flash>(&mut self, flash: &mut F) -> Result<(), Fault> {
        let Some(mut record) = self.records.stored(flash).await? else { return Ok(()) };
        if let Trial::Started { attempts_left, .. } = &mut record.trial {
            *attempts_left = CONFIRMATION_BEGUN;
            self.records.store(flash, &record).await?;
        }
        Ok(())
    }

    /// Ends a trial that is due for a retry but whose image is gone: some loaders erase images that they reject.
    pub(super) async fn end_if_gone<F: Flash, W: Watchdog>(
        &self,
        flash: &mut F,
        layout: &Layout,
        watchdog: &mut W,
        record: &mut BootRecord,
    ) {
        let Trial::Pending { slot, digest, image_bytes, .. } = record.trial else { return };
        if hash::matches(flash, self.region(layout, slot), &digest, image_bytes, watchdog).await != Ok(true) {
            end_trial(record);
        }
    }

    /// Repeats the order to the loader to try the slot that `record` newly names.
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

    /// Completes a factory reset if the factory image runs. Otherwise the order did not reach the loader, or the loader
    /// did not start that image: the order is cleared and nothing is erased.
    pub(super) async fn finish_factory_reset<F: Flash, W: Watchdog>(
        &mut self,
        flash: &mut F,
        layout: &Layout,
        watchdog: &mut W,
        running: SlotId,
        record: &mut BootRecord,
    ) {
        if running.is_factory() {
            // A worn-out sector is left as it is; the reset is complete nevertheless.
            let _ = erase::erase_slots(flash, layout, watchdog).await;
            let factory = record.images.get(SlotId::FACTORY).copied();
            record.images = Images::NONE;
            record.images.set(SlotId::FACTORY, factory);
        }
        (record.confirmed, record.factory_reset_pending) = (running, false);
    }
}

/// Handles a running image that differs from the record without a trial that explains it.
fn other_runs(running: SlotId, record: &mut BootRecord) {
    let (wanted, row) = (record.confirmed, record.images.get(record.confirmed).copied());
    match (record.images.get(running), row) {
        // Verified on this device and never confirmed: it is on trial, regardless of what started it.
        (Some(Image { status: ImageStatus::Verified, digest, image_bytes, .. }), _) => {
            let (digest, image_bytes) = (*digest, *image_bytes);
            record.trial = Trial::Started { slot: running, digest, image_bytes, attempts_left: 0, power_losses: 0 };
        }
        // A switch was recorded, but the loader's state was not written, or the loader did not start that image.
        (_, Some(Image { status: ImageStatus::Preinstalled | ImageStatus::Confirmed, digest, image_bytes, .. })) => {
            record.confirmed = running;
            record.trial = Trial::Pending { slot: wanted, digest, image_bytes, attempts_left: SWITCH_ATTEMPTS };
        }
        // Another program switched.
        _ => record.confirmed = running,
    }
}

/// Marks the trial as started with no attempts left in the record: the loader counts them.
fn start(record: &mut BootRecord) {
    if let Trial::Pending { slot, digest, image_bytes, .. } | Trial::Started { slot, digest, image_bytes, .. } =
        record.trial
    {
        record.trial = Trial::Started { slot, digest, image_bytes, attempts_left: 0, power_losses: 0 };
    }
}

/// Counts an attempt, or ends a trial that has none left.
fn try_once_more(record: &mut BootRecord) {
    if let Trial::Pending { attempts_left, .. } = &mut record.trial {
        match attempts_left.checked_sub(1) {
            Some(left) => *attempts_left = left,
            None => end_trial(record),
        }
    }
}

fn end_trial(record: &mut BootRecord) {
    if let Trial::Pending { slot, digest, .. } | Trial::Started { slot, digest, .. } = record.trial {
        record.trial = Trial::Ended { slot, digest, reason: REASON_ATTEMPTS_EXHAUSTED, started: true };
        record.images.fail(slot);
    }
}
