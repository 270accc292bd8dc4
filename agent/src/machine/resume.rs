//! Decides how to resume after a reset, from the journal and the boot record.

use ota_jobs::{JobId, Reason};

use super::journal::{Outcome, Phase, Ran, Record};
use super::state::State;
use super::time::Instant;

/// Boots in which a trial may fail to start before the job fails. Without a limit, the job of a device whose boot
/// selector cannot write its records would never end: every boot starts the old image.
const BOOTS_MAX: u8 = 5;

/// The state of the device after a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// The slot that runs.
    pub running: u8,
    /// See [`Ran::app`].
    pub app_of_release: Option<u8>,
    /// SHA-256 over as many bytes of it as the journal's image has; needed only while a job is activating.
    pub digest: Option<[u8; 32]>,
    /// The trial, according to the boot record.
    pub trial: Trial,
}

impl Boot {
    /// Slot 0 runs, and there is no trial.
    #[cfg(test)]
    pub(super) const CONFIRMED: Self = Self { running: 0, app_of_release: None, digest: None, trial: Trial::None };

    /// Whether what ran when an update succeeded still runs. An older agent did not store the app of a release.
    fn still_runs(&self, ran: Ran) -> bool {
        ran.slot == self.running && (ran.app.is_none() || ran.app == self.app_of_release)
    }
}

/// The trial of the image that was activated last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// No trial.
    None,
    /// The running image is on trial.
    Running,
    /// The trial of this image ended without confirmation.
    Ended {
        /// The slot that holds it.
        slot: u8,
        /// SHA-256 of the whole file.
        digest: [u8; 32],
        /// The stored reason.
        reason: Reason,
    },
    /// The trial of the running image ended without confirmation, for this reason, but the boot loader cannot revert it.
    Kept(Reason),
}

/// The journal's job, of a record of which [`resume`] returned `None`: what is compared with the job that the service offers.
#[derive(Clone, Debug)]
pub(super) struct Interrupted {
    job: JobId,
    /// Started by the application: the service does not offer it.
    pub(super) local: bool,
    /// Of the file; see [`Plan`](super::Plan).
    pub(super) fingerprint: u32,
    /// All bytes of the file before this one are in flash; 0 unless it was being received.
    pub(super) frontier_bytes: u32,
}

impl Interrupted {
    pub(super) fn new(record: Record) -> Self {
        let Record { execution, local, fingerprint, phase, .. } = record;
        let frontier_bytes = match phase {
            Phase::Receiving { frontier_bytes } => frontier_bytes,
            Phase::Activating { .. } | Phase::Concluded(_) => 0,
        };
        Self { job: execution.job, local, fingerprint, frontier_bytes }
    }

    /// Whether it is `job`, at the file with this fingerprint.
    pub(super) fn is_of(&self, job: &JobId, fingerprint: u32) -> bool {
        self.job == *job && self.fingerprint == fingerprint
    }
}

/// The state in which the journal's job resumes; `None` when it resumes once the service offers it again. An image on trial is
/// then not its own: it was activated by other means, and is tested first.
#[inline(never)] // for size
pub(super) fn resume(record: &Record, boot: &Boot, trial_deadline: Instant) -> Option<State> {
    let testing = State::SelfTesting { until: trial_deadline };
    let (slot, boots) = match record.phase {
        Phase::Receiving { .. } => return None,
        // The reported outcome is a failure, so the image on trial must not be confirmed.
        Phase::Concluded(Outcome::Failed(reason)) if boot.trial == Trial::Running => {
            return Some(State::RollingBack(reason));
        }
        // The image of the job was confirmed before.
        Phase::Concluded(_) if boot.trial == Trial::Running => return None,
        Phase::Concluded(_) if record.local => return Some(State::ClearingJournal),
        Phase::Concluded(Outcome::Succeeded) if record.ran.is_some_and(|ran| !boot.still_runs(ran)) => {
            return Some(State::Reporting(Outcome::Failed(Reason::RolledBack)));
        }
        Phase::Concluded(outcome) => return Some(State::Reporting(outcome)),
        Phase::Activating { slot, boots } => (slot, boots),
    };
    let runs = boot.running == slot && boot.digest == Some(record.digest);
    let failed = |reason| State::SavingOutcome(Outcome::Failed(reason));
    Some(match boot.trial {
        Trial::Running if runs => testing,
        Trial::Running => return None,
        Trial::Ended { slot: tried, digest, reason } if tried == slot && digest == record.digest => match runs {
            // The agent was started again before the reset that ends the trial.
            true => State::RollingBack(reason),
            false => failed(reason),
        },
        Trial::Kept(reason) if runs => failed(reason), // it stays, but its self-test failed
        // The power failed after the confirmation and before the outcome was saved.
        Trial::None | Trial::Ended { .. } if runs => State::SavingOutcome(Outcome::Succeeded),
        // Another image is in the slot.
        _ if boot.running == slot => failed(Reason::DigestMismatch),
        // No trial started: the power failed between journal and boot record, or the boot selector cannot store its count. The
        // application is not asked again: the boot record may name the trial already, which the next reset starts.
        _ if boots >= BOOTS_MAX => State::InvalidatingImage { slot },
        Trial::None | Trial::Ended { .. } | Trial::Kept(_) => State::SavingActivation { slot, boots: boots + 1 },
    })
}

#[cfg(test)]
mod tests {
    use super::super::execution::ExecutionId;
    use super::*;
    use ota_jobs::JobId;

    const DIGEST: [u8; 32] = [7; 32];
    const UNTIL: Instant = Instant::from_ms(99);

    fn resumed(phase: Phase, running: u8, digest: [u8; 32], trial: Trial) -> Option<State> {
        resumed_if(false, None, phase, &Boot { running, digest: Some(digest), trial, ..Boot::CONFIRMED })
    }

    fn resumed_if(local: bool, ran: Option<Ran>, phase: Phase, boot: &Boot) -> Option<State> {
        let execution = ExecutionId::of(JobId::new("j").expect("a plain id"));
        let record = Record { execution, local, fingerprint: 1, image_bytes: 9, digest: DIGEST, phase, ran };
        resume(&record, boot, UNTIL)
    }

    #[test]
    fn the_decision_is_by_running_slot_and_digest() {
        let activating = Phase::Activating { slot: 1, boots: 0 };
        let ended = |slot, digest| Trial::Ended { slot, digest, reason: Reason::SelfTestFailed };
        let succeeded = Some(State::SavingOutcome(Outcome::Succeeded));
        let failed = |reason| Some(State::SavingOutcome(Outcome::Failed(reason)));
        let again = Some(State::SavingActivation { slot: 1, boots: 1 });
        let testing = Some(State::SelfTesting { until: UNTIL });
        for (running, digest, trial, want) in [
            (1, DIGEST, Trial::None, succeeded), // power failed between confirmation and report
            (1, DIGEST, Trial::Running, testing),
            (0, [0; 32], ended(1, DIGEST), failed(Reason::SelfTestFailed)),
            (1, DIGEST, ended(1, DIGEST), Some(State::RollingBack(Reason::SelfTestFailed))),
            (1, DIGEST, ended(0, DIGEST), succeeded), // of an earlier image
            (1, DIGEST, Trial::Kept(Reason::SelfTestFailed), failed(Reason::SelfTestFailed)),
            (0, [0; 32], Trial::Kept(Reason::SelfTestFailed), again), // of an earlier image
            (0, [0; 32], Trial::None, again),
            (0, [0; 32], ended(1, [8; 32]), again), // an older image's trial, not this one's
            (1, [8; 32], Trial::None, failed(Reason::DigestMismatch)),
            (0, DIGEST, Trial::Running, None), // another image is on trial, from another slot
            (1, [8; 32], Trial::Running, None), // another image is on trial, in its slot
            (0, DIGEST, Trial::None, again),   // the same image runs, from another slot
        ] {
            assert_eq!(resumed(activating, running, digest, trial), want, "{running} {trial:?}");
        }
        let often = Phase::Activating { slot: 1, boots: BOOTS_MAX };
        assert_eq!(resumed(often, 0, [0; 32], Trial::None), Some(State::InvalidatingImage { slot: 1 }));
        assert_eq!(resumed(often, 1, DIGEST, Trial::Running), testing);
        let outcome = Outcome::Failed(Reason::ImageTooShort);
        let back = Some(State::RollingBack(Reason::ImageTooShort));
        assert_eq!(resumed(Phase::Concluded(outcome), 1, DIGEST, Trial::Running), back);
        assert_eq!(resumed(Phase::Concluded(outcome), 0, DIGEST, Trial::None), Some(State::Reporting(outcome)));
        let receiving = Phase::Receiving { frontier_bytes: 4096 };
        assert_eq!(resumed(receiving, 0, DIGEST, Trial::None), None);
        assert_eq!(resumed(receiving, 0, DIGEST, Trial::Running), None, "not of this job");
    }

    #[test]
    fn a_success_is_reported_only_while_its_image_runs_and_another_image_on_trial_is_tested_first() {
        let succeeded = Phase::Concluded(Outcome::Succeeded);
        let reported = |outcome| Some(State::Reporting(outcome));
        let rolled_back = reported(Outcome::Failed(Reason::RolledBack));
        let of = |slot, app| Some(Ran { slot, app });
        for (ran, app_of_release, trial, want) in [
            (None, None, Trial::None, reported(Outcome::Succeeded)), // stored by an older agent
            (of(0, None), None, Trial::None, reported(Outcome::Succeeded)),
            (of(1, None), None, Trial::None, rolled_back),
            (of(0, None), None, Trial::Running, None),
            (of(0, None), Some(1), Trial::None, reported(Outcome::Succeeded)), // stored by an older agent
            (of(0, Some(1)), Some(1), Trial::None, reported(Outcome::Succeeded)),
            (of(0, Some(1)), Some(0), Trial::None, rolled_back),
            (of(0, Some(1)), None, Trial::None, rolled_back), // the app that runs is of another release
        ] {
            let boot = Boot { app_of_release, trial, ..Boot::CONFIRMED };
            assert_eq!(resumed_if(false, ran, succeeded, &boot), want, "{ran:?} {boot:?}");
        }
    }

    #[test]
    fn the_outcome_of_a_local_update_is_not_reported() {
        for outcome in [Outcome::Succeeded, Outcome::Failed(Reason::ImageTooShort)] {
            let resumed = |local| resumed_if(local, None, Phase::Concluded(outcome), &Boot::CONFIRMED);
            assert_eq!(resumed(true), Some(State::ClearingJournal));
            assert_eq!(resumed(false), Some(State::Reporting(outcome)));
        }
    }
}
