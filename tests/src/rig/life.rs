//! The life of an update on a device under another's boot loader: received, sealed and tried, then kept, rolled back or given
//! up, by a program that is as good as the agent. The power may go anywhere.

use ota_pal::{Digest, ImageState, Platform, Refusal, Trial, now};
use sha2::{Digest as _, Sha256};

use super::{Rig, Turn, update};
use crate::nor::{Blow, Mishap, Tear};

/// The reason that a program gives for a rollback.
pub const REASON: u16 = 0x0601;

/// Boots after which an update must have come to its end, cut or not.
const BOOTS_MAX: u32 = 20;
/// Boots after the end, at which nothing may change any more.
const BOOTS_AFTER: u32 = 4;

/// What the new image does on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// It is kept.
    Passes,
    /// It rolls back.
    Fails,
    /// It hangs before it ever looks at the boot record.
    Hangs,
}

/// How an update was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The new image stays.
    Succeeded,
    /// The old one does, and why.
    Failed {
        /// What the boot record says.
        reason: u16,
    },
    /// The platform did not take the new one.
    Refused(Refusal),
    /// The loader stopped: the device is dead.
    Dead,
}

/// How many updates were reported so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// As succeeded.
    pub succeeded: u32,
    /// As failed.
    pub failed: u32,
    /// As refused.
    pub refused: u32,
    /// Not at all: the device is dead.
    pub dead: u32,
    /// Anyhow, and not as it was.
    pub untrue: u32,
}

/// A device and the update that it is to live through.
pub struct Life<R> {
    rig: R,
    image: Vec<u8>,
    behaviour: Behaviour,
}

impl<R: Rig> Life<R> {
    /// A device that runs image 1 and is offered this one.
    pub fn new(behaviour: Behaviour, image: Vec<u8>) -> Self {
        Self { rig: R::new(), image, behaviour }
    }

    /// Boots until something is reported. Panics if nothing ever is, or if anything runs but one of the two images.
    pub fn live(&self) -> Report {
        (0..BOOTS_MAX).find_map(|_| self.boot()).expect("an update comes to its end")
    }

    /// Whether what a report says is what runs, now and at the boots to come.
    pub fn is_true(&self, report: Report) -> bool {
        let is_new = match report {
            Report::Succeeded => true,
            Report::Failed { .. } | Report::Refused(_) => false,
            Report::Dead => return true,
        };
        (0..BOOTS_AFTER).all(|_| {
            let runs = if is_new { self.runs_new() } else { self.rig.runs(1) };
            runs & (self.rig.reset() == Turn::Runs)
        })
    }

    fn runs_new(&self) -> bool {
        self.rig.running(self.image.len()) == self.image
    }

    /// One boot and the program that it starts; `None` when the power goes or the program resets.
    fn boot(&self) -> Option<Report> {
        match self.rig.reset() {
            Turn::Dead => return Some(Report::Dead),
            Turn::Cut => return None,
            Turn::Runs => {}
        }
        assert!(self.runs_new() || self.rig.runs(1), "a whole image runs");
        if self.runs_new() && self.behaviour == Behaviour::Hangs {
            return None;
        }
        now(self.program(&mut self.rig.board()))?
    }

    /// What to do next is decided by what the platform says.
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

/// Cuts an update to image 2 at every operation, in each of these ways.
pub fn cut_everywhere<R: Rig>(behaviour: Behaviour, tears: &[Tear]) -> Counts {
    let mut counts = Counts::default();
    for tear in tears {
        for at in 0.. {
            let life = Life::<R>::new(behaviour, R::image(2));
            life.rig.nor().plan([Mishap { at, blow: Blow::Cut(*tear) }]);
            let report = life.live();
            if life.rig.nor().is_mishap_due() {
                break;
            }
            let count = match report {
                Report::Succeeded => &mut counts.succeeded,
                Report::Failed { .. } => &mut counts.failed,
                Report::Refused(_) => &mut counts.refused,
                Report::Dead => &mut counts.dead,
            };
            *count += 1;
            counts.untrue += u32::from(!life.is_true(report));
        }
    }
    println!(
        "{} {behaviour:?} {tears:?}: {counts:?}",
        std::any::type_name::<R>().rsplit("::").next().unwrap_or_default()
    );
    counts
}
