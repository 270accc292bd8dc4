//! What a loader did since our record was stored, as far as its words and what runs tell; and what a cut left half done
//! between the two.

use super::super::super::flash::Flash;
use super::super::super::flash::hash;
use super::super::super::native::boot_control::BootControl;
use super::super::super::native::wipe;
use super::{Loader, LoaderBridge};
use crate::fault::Fault;
use crate::image::slot::SlotId;
use crate::platform::boot::LoaderState;
use crate::platform::hooks::Watchdog;
use crate::store::boot_record::REASON_ATTEMPTS_EXHAUSTED;
use crate::store::boot_record::{BootRecord, Trial};
use crate::store::images::{Image, ImageStatus, Images};
use crate::store::layout::Layout;

/// How the boot record and the running image relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Situation {
    /// The image on trial runs.
    TrialRuns {
        /// Its slot.
        slot: SlotId,
        /// Whether this is its first boot, and it was never confirmed before.
        is_new: bool,
    },
    /// Another image runs, and the trial was not seen to start.
    TrialPending {
        /// The slot on trial.
        slot: SlotId,
    },
    /// Another image runs, after the trial was seen to start.
    TrialStarted,
    /// The image of the ended trial runs.
    EndedRuns,
    /// The confirmed image runs, and no trial is on.
    ConfirmedRuns,
    /// An image runs that is not the confirmed one, and no trial explains it: how that of a third slot ended does not, either.
    OtherRuns,
}

impl Situation {
    fn of(record: &BootRecord, running: SlotId) -> Self {
        match record.trial {
            Trial::Pending { slot, .. } | Trial::Started { slot, .. } if slot == running => {
                let is_pending = matches!(record.trial, Trial::Pending { .. });
                let row = record.images.get(slot);
                let is_new = is_pending && row.is_some_and(|image| image.status == ImageStatus::Verified);
                Self::TrialRuns { slot, is_new }
            }
            Trial::Pending { slot, .. } => Self::TrialPending { slot },
            Trial::Started { .. } => Self::TrialStarted,
            Trial::Ended { slot, .. } if slot == running => Self::EndedRuns,
            Trial::None | Trial::Ended { .. } if record.confirmed == running => Self::ConfirmedRuns,
            Trial::None | Trial::Ended { .. } => Self::OtherRuns,
        }
    }
}

/// What is done about a situation.
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
    /// The record follows the running image.
    AcceptRunning,
}

/// The table: situation x state of the loader -> action. `looked`: this program has read the record before, so the loader did
/// not run since. `switched`: this program ordered a switch, which comes at the reset.
fn action(situation: Situation, loader: LoaderState, looked: bool, switched: bool) -> Action {
    use LoaderState as L;
    use Situation as S;
    match (situation, loader) {
        // A new image is not confirmed before its first boot is stored, so the loader's state is stale.
        (S::TrialRuns { is_new: true, .. }, L::Kept) => Action::Watch,
        // A power cut between the loader's confirmation and our record.
        (S::TrialRuns { is_new: false, .. }, L::Kept) => Action::Confirm,
        (S::TrialRuns { .. }, L::Nothing) => Action::Watch,
        (S::TrialRuns { .. }, L::Waiting | L::Trying | L::GivenUp) => Action::None,
        (S::TrialPending { .. }, L::GivenUp | L::Trying) => Action::EndTrial,
        (S::TrialPending { .. }, L::Waiting) if looked => Action::None,
        // A power cut before the loader's state was written; or an image that the loader does not accept, or whose trial
        // ended early, of which it may keep no trace: not without end.
        (S::TrialPending { .. }, L::Waiting | L::Nothing | L::Kept) => Action::TryAgain,
        (S::TrialStarted, _) => Action::EndTrial,
        (S::EndedRuns, _) => Action::GiveUp,
        (S::OtherRuns, _) if !switched => Action::AcceptRunning,
        (S::ConfirmedRuns | S::OtherRuns, _) => Action::None,
    }
}

/// So often a switch is tried that did not come about: the power may have gone before the loader heard of it.
const SWITCH_ATTEMPTS: u8 = 1;

impl<L: Loader> LoaderBridge<L> {
    /// Changes `record` to what happened since it was stored, and the loader's state to what the record asks for.
    pub(super) async fn reconcile<F: Flash>(
        &mut self,
        flash: &mut F,
        running: SlotId,
        record: &mut BootRecord,
    ) -> Result<(), Fault> {
        let situation = Situation::of(record, running);
        let loader = match situation {
            Situation::TrialRuns { slot, .. } | Situation::TrialPending { slot } => {
                self.loader.slot_state(flash, running, slot).await?
            }
            _ => LoaderState::Nothing, // is not read below
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
            Action::GiveUp => self.loader.give_up(flash, running).await?,
            Action::TryAgain => try_once_more(record),
            Action::EndTrial => end_trial(record),
            Action::AcceptRunning => other_runs(running, record),
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
            end_trial(record);
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
        (Some(Image { status: ImageStatus::Verified, digest, image_bytes, .. }), _) => {
            let (digest, image_bytes) = (*digest, *image_bytes);
            record.trial = Trial::Started { slot: running, digest, image_bytes, attempts_left: 0 };
        }
        // Ours said "switch" before the loader heard it; or it heard it, and does not start that image.
        (_, Some(Image { status: ImageStatus::Preinstalled | ImageStatus::Confirmed, digest, image_bytes, .. })) => {
            record.confirmed = running;
            record.trial = Trial::Pending { slot: wanted, digest, image_bytes, attempts_left: SWITCH_ATTEMPTS };
        }
        // Somebody else switched.
        _ => record.confirmed = running,
    }
}

/// The trial is started, with no attempt of ours left: the loader counts.
fn start(record: &mut BootRecord) {
    if let Trial::Pending { slot, digest, image_bytes, .. } | Trial::Started { slot, digest, image_bytes, .. } =
        record.trial
    {
        record.trial = Trial::Started { slot, digest, image_bytes, attempts_left: 0 };
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
