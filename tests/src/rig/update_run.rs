//! An update on a device under a foreign boot loader: received, verified and tried, then confirmed, rolled back or ended, by
//! a program that replaces the agent. The power may be cut at any operation.

use ota_pal::{Digest, ImageState, Platform, Refusal, Trial, poll_ready};
use sha2::{Digest as _, Sha256};

use super::{Rig, Turn, update, update_and_keep};
use crate::nor::{CutEffect, FlashFault, PlannedFault};

/// The reason that the program gives for a rollback.
pub const REASON: u16 = 0x0601;

/// Boots within which an update must end, cut or not.
const BOOTS_MAX: u32 = 20;
/// Boots after the end, in which nothing may change.
const BOOTS_AFTER: u32 = 4;

/// What the new image does on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// It is confirmed.
    Passes,
    /// It rolls back.
    Fails,
    /// It hangs before it reads the boot record.
    Hangs,
}

/// How an update was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The new image is confirmed.
    Succeeded,
    /// The old image remains.
    Failed {
        /// The reason in the boot record.
        reason: u16,
    },
    /// The platform refused the new image.
    Refused(Refusal),
    /// The loader stopped: the device is bricked.
    Dead,
}

/// Number of updates by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// As succeeded.
    pub succeeded: u32,
    /// As failed.
    pub failed: u32,
    /// As refused.
    pub refused: u32,
    /// Bricked: no report.
    pub dead: u32,
    /// With a report that differs from what runs.
    pub untrue: u32,
}

/// A device and the update that it runs.
pub struct UpdateRun<R> {
    rig: R,
    /// The number of the image that runs before the update.
    old: u32,
    image: Vec<u8>,
    behaviour: Behaviour,
}

impl<R: Rig> UpdateRun<R> {
    /// A device that runs image 1 and is offered this one.
    pub fn new(behaviour: Behaviour, image: Vec<u8>) -> Self {
        Self { rig: R::new(), old: 1, image, behaviour }
    }

    /// A device that runs image `old` after updates to all images up to it, and is offered the next one.
    pub fn after(old: u32, behaviour: Behaviour) -> Self {
        let rig = R::new();
        for number in 2..=old {
            update_and_keep(&rig, number).expect("a good update");
        }
        Self { rig, old, image: R::image(old + 1), behaviour }
    }

    /// Boots until an outcome is reported. Panics if none is, or if anything but one of the two images runs.
    pub fn run(&self) -> Report {
        (0..BOOTS_MAX).find_map(|_| self.boot()).expect("an update ends")
    }

    /// Whether the reported image runs, now and at the following boots.
    pub fn is_true(&self, report: Report) -> bool {
        let is_new = match report {
            Report::Succeeded => true,
            Report::Failed { .. } | Report::Refused(_) => false,
            Report::Dead => return true,
        };
        (0..BOOTS_AFTER).all(|_| {
            let runs = if is_new { self.runs_new() } else { self.rig.runs(self.old) };
            runs & (self.rig.reset() == Turn::Runs)
        })
    }

    fn runs_new(&self) -> bool {
        self.rig.running(self.image.len()) == self.image
    }

    /// One boot and the program that it starts; `None` if the power is cut or the program resets.
    fn boot(&self) -> Option<Report> {
        match self.rig.reset() {
            Turn::Dead => return Some(Report::Dead),
            Turn::Cut => return None,
            Turn::Runs => {}
        }
        assert!(self.runs_new() || self.rig.runs(self.old), "a complete image runs");
        if self.runs_new() && self.behaviour == Behaviour::Hangs {
            return None;
        }
        poll_ready(self.program(&mut self.rig.board()))?
    }

    /// Chooses the next step from the state that the platform reports.
    async fn program(&self, board: &mut R::Board) -> Option<Report> {
        let state = board.boot_state().await.expect("it can be read");
        match (state.image_state(), state.trial) {
            (ImageState::OnTrial, _) if self.behaviour == Behaviour::Fails => {
                board.roll_back(REASON).await.expect("it is on trial");
                None
            }
            (ImageState::OnTrial, _) => {
                board.confirm().await.expect("it is on trial");
                Some(Report::Succeeded)
            }
            (ImageState::Confirmed, _) if self.runs_new() => Some(Report::Succeeded),
            (ImageState::Confirmed, Trial::Ended { reason, .. }) => Some(Report::Failed { reason }),
            (ImageState::Confirmed, Trial::Pending { slot, .. }) => {
                let digest = Digest(Sha256::digest(&self.image).into());
                board.activate(slot, &digest, self.image.len() as u32).await.err().map(Report::Refused)
            }
            (ImageState::Confirmed, _) => update(board, &self.image).await.err().map(Report::Refused),
            (ImageState::RolledBack, _) => None,
        }
    }
}

/// Cuts an update from image `old` to the next one at every operation, with each of these effects.
pub fn cut_everywhere<R: Rig>(old: u32, behaviour: Behaviour, effects: &[CutEffect]) -> Counts {
    let mut counts = Counts::default();
    for effect in effects {
        for at in 0.. {
            let run = UpdateRun::<R>::after(old, behaviour);
            run.rig.nor().plan([PlannedFault { at, fault: FlashFault::Cut(*effect) }]);
            let report = run.run();
            if run.rig.nor().is_fault_due() {
                break;
            }
            let count = match report {
                Report::Succeeded => &mut counts.succeeded,
                Report::Failed { .. } => &mut counts.failed,
                Report::Refused(_) => &mut counts.refused,
                Report::Dead => &mut counts.dead,
            };
            *count += 1;
            counts.untrue += u32::from(!run.is_true(report));
        }
    }
    println!(
        "{} from {old} {behaviour:?} {effects:?}: {counts:?}",
        std::any::type_name::<R>().rsplit("::").next().unwrap_or_default()
    );
    counts
}
