//! The steps of a job, and the table of what follows what. One arm per row; the reason for a guard stands beside it.

use ota_jobs::Reason;

use super::event::{Done, Report};
use super::journal::{Outcome, Phase};
use super::time::Instant;

/// Where a job stands. While the machine is in a step, that step's one operation is due or in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Is it the running image already?
    Comparing,
    /// The journal takes the job, before the first byte of an older one is overwritten.
    Claiming { keep_bytes: u32 },
    /// A slot is taken.
    Beginning { keep_bytes: u32 },
    /// Blocks come in.
    Receiving { slot: u8 },
    /// Read back, hashed, verified.
    Sealing { slot: u8 },
    /// The journal takes the decision to activate, before the boot record does.
    /// `boots` have passed since it first did, and the boot selector did not start the trial.
    Deciding { slot: u8, digest: [u8; 32], boots: u8 },
    /// The boot record takes it. From here on the trial runs, whatever the service says.
    Activating { slot: u8, digest: [u8; 32] },
    /// The next boot decides. The last word may still leave until then.
    Leaving { until: Instant },
    /// The new image runs on trial; without a verdict it ends at the deadline.
    Testing { until: Instant },
    /// The boot record takes the verdict.
    Confirming,
    /// The boot record takes the verdict, and the previous image comes back.
    RollingBack(Reason),
    /// The image of a trial that never started goes, so that it never will.
    Abandoning { slot: u8 },
    /// The journal takes the outcome, before the service hears it.
    Concluding(Outcome),
    /// The service hears it, until it says that it did.
    Reporting(Outcome),
    /// The journal forgets the job.
    Settling,
}

/// How long the last word before a reset may take.
const LAST_WORD_MS: u64 = 2_000;

impl Step {
    /// Whether the service can still stop the job: not once the boot record is being written.
    pub(super) fn can_be_withdrawn(&self) -> bool {
        match self {
            Step::Comparing
            | Step::Claiming { .. }
            | Step::Beginning { .. }
            | Step::Receiving { .. }
            | Step::Sealing { .. }
            | Step::Deciding { .. } => true,
            Step::Activating { .. }
            | Step::Leaving { .. }
            | Step::Testing { .. }
            | Step::Confirming
            | Step::RollingBack(_)
            | Step::Abandoning { .. }
            | Step::Concluding(_)
            | Step::Reporting(_)
            | Step::Settling => false,
        }
    }

    /// The step after `done`; `None` where an operation does not end the step.
    pub(super) fn after(self, done: Done, now: Instant) -> Option<Step> {
        use Done as D;
        Some(match (self, done) {
            (Step::Comparing, D::Compared(true)) => Step::Concluding(Outcome::Succeeded), // it runs and is confirmed
            (Step::Comparing, D::Compared(false)) => Step::Claiming { keep_bytes: 0 },
            (Step::Comparing, D::Failed(_)) => Step::Claiming { keep_bytes: 0 }, // cannot tell: fetching it is safe

            (Step::Claiming { keep_bytes }, D::Journaled) => Step::Beginning { keep_bytes },
            (Step::Claiming { .. }, D::Failed(reason)) => failed(reason),

            (Step::Beginning { .. }, D::Begun { slot, .. }) => Step::Receiving { slot },
            (Step::Beginning { .. }, D::Failed(reason)) => failed(reason),

            (Step::Receiving { .. }, D::Written(_) | D::HeaderFits | D::Ahead(_) | D::Journaled) => return None,
            (Step::Receiving { .. }, D::Failed(reason)) => failed(reason),

            (Step::Sealing { slot }, D::Sealed { digest }) => Step::Deciding { slot, digest, boots: 0 },
            (Step::Sealing { .. }, D::Failed(reason)) => failed(reason), // nothing was activated yet

            (Step::Deciding { slot, digest, .. }, D::Journaled) => Step::Activating { slot, digest },
            (Step::Deciding { .. }, D::Failed(reason)) => failed(reason),

            (Step::Activating { .. }, D::Activated) => Step::Leaving { until: now.plus_ms(LAST_WORD_MS) },
            (Step::Activating { .. }, D::Failed(reason)) => failed(reason), // the shell looked: no trial is on

            (Step::Confirming, D::Confirmed) => Step::Concluding(Outcome::Succeeded),
            (Step::Confirming, D::Failed(reason)) => Step::RollingBack(reason), // an image that cannot be kept is not kept

            // Also when the record could not be written: the boot selector ends the trial when its attempts run out.
            (Step::RollingBack(_), D::RolledBack | D::Failed(_)) => Step::Leaving { until: now },

            // Also when the image cannot be erased either: nothing is left to do from here.
            (Step::Abandoning { .. }, D::Abandoned | D::Failed(_)) => failed(Reason::BootRecordFailed),

            // Also when the journal failed: boot record and digest tell the same truth after a reset.
            (Step::Concluding(outcome), D::Journaled | D::Failed(_)) => Step::Reporting(outcome),
            // A stale record is settled again after the next reset, when the service says that the job is over.
            (Step::Settling, D::Journaled | D::Failed(_)) => return None,

            // A step whose operation cannot end like this, or that has none: the answer is nobody's.
            (
                Step::Comparing
                | Step::Claiming { .. }
                | Step::Beginning { .. }
                | Step::Receiving { .. }
                | Step::Sealing { .. }
                | Step::Deciding { .. }
                | Step::Activating { .. }
                | Step::Leaving { .. }
                | Step::Testing { .. }
                | Step::Confirming
                | Step::RollingBack(_)
                | Step::Abandoning { .. }
                | Step::Concluding(_)
                | Step::Reporting(_)
                | Step::Settling,
                _,
            ) => return None,
        })
    }

    /// What the service should hear on entering the step.
    pub(super) fn report(&self) -> Option<Report> {
        match self {
            Step::Deciding { .. } => Some(Report::Ready),
            Step::Testing { .. } => Some(Report::Testing),
            Step::Reporting(outcome) => Some(Report::Final(*outcome)),
            Step::Comparing
            | Step::Claiming { .. }
            | Step::Beginning { .. }
            | Step::Receiving { .. }
            | Step::Sealing { .. }
            | Step::Activating { .. }
            | Step::Leaving { .. }
            | Step::Confirming
            | Step::RollingBack(_)
            | Step::Abandoning { .. }
            | Step::Concluding(_)
            | Step::Settling => None,
        }
    }

    /// What the journal must hold while the step's operation runs.
    pub(super) fn phase(&self) -> Option<Phase> {
        match *self {
            Step::Claiming { keep_bytes } => Some(Phase::Receiving { frontier_bytes: keep_bytes }),
            Step::Deciding { slot, digest, boots } => Some(Phase::Activating { slot, digest, boots }),
            Step::Concluding(outcome) => Some(Phase::Concluded(outcome)),
            Step::Comparing
            | Step::Beginning { .. }
            | Step::Receiving { .. }
            | Step::Sealing { .. }
            | Step::Activating { .. }
            | Step::Leaving { .. }
            | Step::Testing { .. }
            | Step::Confirming
            | Step::RollingBack(_)
            | Step::Abandoning { .. }
            | Step::Reporting(_)
            | Step::Settling => None,
        }
    }
}

fn failed(reason: Reason) -> Step {
    Step::Concluding(Outcome::Failed(reason))
}
