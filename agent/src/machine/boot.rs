//! What a life begins with: the journal's job held against what the boot record says of the image that runs.
//! One pure function; everything that a reset can interrupt is decided here.

use ota_jobs::Reason;

use super::control::Step;
use super::journal::{Outcome, Phase, Record};
use super::time::Instant;

/// Boots in which a trial may fail to start before the job has failed: a boot selector whose records cannot be written
/// would start the old image for ever.
const BOOTS_MAX: u8 = 5;

/// What the device knows of itself at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// The slot that runs.
    pub running: u8,
    /// SHA-256 over as many bytes of it as the journal's job has; needed only while a job is activating.
    pub digest: Option<[u8; 32]>,
    /// The boot record's word on trials.
    pub trial: Trial,
}

/// What became of the last image that was activated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// Nothing on trial.
    None,
    /// The running image is on trial.
    Running,
    /// The trial of this image is over, and not in its favour.
    Ended {
        /// Where it lies.
        slot: u8,
        /// Its hash.
        digest: [u8; 32],
        /// The stored reason.
        reason: Reason,
    },
}

/// How the machine goes on with the journal's job.
pub(super) enum Beginning {
    /// From this step.
    At(Step),
    /// When the service offers the job again.
    WhenOffered,
}

pub(super) fn beginning(record: &Record, boot: &Boot, testing_until: Instant) -> Beginning {
    let (slot, digest, boots) = match record.phase {
        Phase::Receiving { .. } if boot.trial != Trial::Running => return Beginning::WhenOffered,
        // An image on trial that the journal does not know as activated: its test is due all the same.
        Phase::Receiving { .. } => return Beginning::At(Step::Testing { until: testing_until }),
        // The service heard, or will, that it failed: what runs all the same must go.
        Phase::Concluded(Outcome::Failed(reason)) if boot.trial == Trial::Running => {
            return Beginning::At(Step::RollingBack(reason));
        }
        Phase::Concluded(outcome) => return Beginning::At(Step::Reporting(outcome)),
        Phase::Activating { slot, digest, boots } => (slot, digest, boots),
    };
    let runs = boot.running == slot && boot.digest == Some(digest);
    Beginning::At(match boot.trial {
        Trial::Running if boot.running == slot => Step::Testing { until: testing_until },
        Trial::None | Trial::Ended { .. } if runs => Step::Concluding(Outcome::Succeeded), // confirmed, then the power went
        Trial::Ended { slot: tried, digest: tried_digest, reason } if tried == slot && tried_digest == digest => {
            Step::Concluding(Outcome::Failed(reason))
        }
        // Another image took the slot over: what the job brought is not there any more.
        _ if boot.running == slot => Step::Concluding(Outcome::Failed(Reason::DigestMismatch)),
        // No trial started: the power went between journal and boot record, or the boot selector cannot store its count.
        _ if boots >= BOOTS_MAX => Step::Abandoning { slot },
        Trial::None | Trial::Running | Trial::Ended { .. } => Step::Deciding { slot, digest, boots: boots + 1 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ota_jobs::JobId;

    const DIGEST: [u8; 32] = [7; 32];
    const UNTIL: Instant = Instant::from_ms(99);

    fn step(phase: Phase, running: u8, digest: [u8; 32], trial: Trial) -> Option<Step> {
        let job = JobId::new("j").expect("a plain id");
        let record = Record { job, local: false, fingerprint: 1, image_bytes: 9, phase };
        match beginning(&record, &Boot { running, digest: Some(digest), trial }, UNTIL) {
            Beginning::At(step) => Some(step),
            Beginning::WhenOffered => None,
        }
    }

    #[test]
    fn the_decision_is_by_running_slot_and_digest() {
        let activating = Phase::Activating { slot: 1, digest: DIGEST, boots: 0 };
        let ended = |slot, digest| Trial::Ended { slot, digest, reason: Reason::SelfTestFailed };
        let succeeded = Some(Step::Concluding(Outcome::Succeeded));
        let failed = |reason| Some(Step::Concluding(Outcome::Failed(reason)));
        let again = Some(Step::Deciding { slot: 1, digest: DIGEST, boots: 1 });
        let testing = Some(Step::Testing { until: UNTIL });
        for (running, digest, trial, want) in [
            (1, DIGEST, Trial::None, succeeded), // power failed between confirmation and report
            (1, DIGEST, Trial::Running, testing),
            (0, [0; 32], ended(1, DIGEST), failed(Reason::SelfTestFailed)),
            (0, [0; 32], Trial::None, again),
            (0, [0; 32], ended(1, [8; 32]), again), // an older image's trial, not this one's
            (1, [8; 32], Trial::None, failed(Reason::DigestMismatch)),
        ] {
            assert_eq!(step(activating, running, digest, trial), want, "{running} {trial:?}");
        }
        let often = Phase::Activating { slot: 1, digest: DIGEST, boots: BOOTS_MAX };
        assert_eq!(step(often, 0, [0; 32], Trial::None), Some(Step::Abandoning { slot: 1 }));
        assert_eq!(step(often, 1, DIGEST, Trial::Running), testing);
        let outcome = Outcome::Failed(Reason::ImageTooShort);
        let back = Some(Step::RollingBack(Reason::ImageTooShort));
        assert_eq!(step(Phase::Concluded(outcome), 1, DIGEST, Trial::Running), back);
        assert_eq!(step(Phase::Concluded(outcome), 0, DIGEST, Trial::None), Some(Step::Reporting(outcome)));
        assert_eq!(step(Phase::Receiving { frontier_bytes: 4096 }, 0, DIGEST, Trial::None), None);
    }
}
