//! A release of app and system: both are confirmed, or neither. Its verified app waits in its slot, and runs in every boot
//! in which the system of the release runs. So the trial of the system, and its confirmation, decide about both.

use super::super::super::bisync;
use super::super::super::flash::Flash;
use super::super::Native;
use super::super::boot_control::BootControl;
use super::Components;
use crate::fault::Fault;
use crate::image::digest::Digest;
use crate::image::header::Component;
use crate::image::identity::{Available, ImageInfo};
use crate::image::slot::SlotId;
use crate::image::version::Version;
use crate::platform::boot::Change;
use crate::platform::hooks::{Reset, Watchdog};
use crate::platform::{BootState, ImageState};
use crate::refusal::Refusal;
use crate::store::boot_record::{REASON_APP_NOT_STARTED, REASON_TRIAL_IMAGE_CORRUPT, Trial};
use crate::store::images::ImageStatus;
use crate::verify::signature::{Signature, Verifier};

/// The app of a release is accepted for any system: that of the release is checked when it arrives.
const ANY_SYSTEM: Version = Version::new(u16::MAX, u16::MAX, u32::MAX);

#[bisync]
impl<F: Flash, V: Verifier, R: Reset, W: Watchdog, B: BootControl> Native<F, V, R, W, B> {
    /// Lets the verified image with this digest run together with the system of its release.
    async fn wait_for_system(&mut self, digest: &Digest) -> Result<(), Fault> {
        let mut record = self.found().await?.record;
        let is_it = |status, held: &Digest| status == ImageStatus::Verified && held == digest;
        let verified = record.images.iter().find(|(_, image)| is_it(image.status, &image.digest));
        let (slot, image) = verified.ok_or(Fault::NothingBegun)?;
        record.trial = Trial::WithSystem { slot, digest: *digest, image_bytes: image.image_bytes };
        self.store(&record, Change::RecordOnly).await
    }

    /// Forgets the image that waits for a system of its release.
    async fn stop_waiting(&mut self) -> Result<(), Fault> {
        let mut record = self.found().await?.record;
        if let Trial::WithSystem { .. } = record.trial {
            record.trial = Trial::None;
            self.store(&record, Change::RecordOnly).await?;
        }
        Ok(())
    }

    /// Returns the digest of the image that waits for a system of its release, if it has this length and matches `signature`.
    async fn waits_already(&mut self, image_bytes: u32, signature: &Signature<'_>) -> Result<Option<Digest>, Fault> {
        match self.found().await?.record.trial {
            Trial::WithSystem { slot, digest, image_bytes: held_bytes } if held_bytes == image_bytes => {
                match self.hash(slot, image_bytes).await? == digest {
                    true => self.signed(digest, signature).await,
                    false => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    /// Returns the slot of the image that waits for a system of its release.
    async fn slot_with_system(&mut self) -> Result<Option<SlotId>, Fault> {
        Ok(match self.found().await?.record.trial {
            Trial::WithSystem { slot, .. } => Some(slot),
            _ => None,
        })
    }
}

#[bisync]
impl<F: Flash, V: Verifier, R: Reset, W: Watchdog, B: BootControl> Components<F, V, R, W, B> {
    /// Returns the states of app and system. First confirms the app whose system is confirmed. If the system is on trial
    /// without its app, its trial is returned as ended.
    pub(super) async fn both_states(&mut self) -> Result<(BootState, BootState), Fault> {
        let mut system = self.system.boot_state().await?;
        let mut app = self.app.boot_state().await?;
        if let Trial::WithSystem { slot, digest, image_bytes } = app.trial {
            if slot == app.running && system.is_settled() && self.app.confirm().await.is_ok() {
                app = self.app.boot_state().await?;
            } else if slot != app.running && system.image_state() == ImageState::OnTrial {
                let is_whole = self.app.hash(slot, image_bytes).await.is_ok_and(|found| found == digest);
                system.trial = ended(system.trial, is_whole);
            }
        }
        let release = |image: Option<ImageInfo>| image.map_or(0, |image| image.release_id);
        if release(system.running_image) != 0 && release(system.running_image) == release(app.running_image) {
            system.app_of_release = Some(app.running);
        }
        self.app.config.system_version = match self.is_release {
            true => ANY_SYSTEM,
            false => system.running_image.map_or(Version::default(), |image| image.version),
        };
        Ok((app, system))
    }

    /// Prepares the app for an update of the system: no image waits for a system, unless it is of the same release.
    pub(super) async fn begin_system(&mut self) -> Result<(), Fault> {
        match self.is_release {
            true => Ok(()),
            false => self.app.stop_waiting().await,
        }
    }

    /// Whether the image of this part of a release need not be received: it runs already, or waits. The system is received
    /// in any case for an app that waits, because the trial of a system starts both.
    pub(super) async fn is_there_already(
        &mut self,
        image_bytes: u32,
        signature: &Signature<'_>,
    ) -> Result<Option<Digest>, Fault> {
        if self.selected == Component::System {
            return match self.app.slot_with_system().await? {
                Some(_) => Ok(None),
                None => self.system.runs_already(image_bytes, signature).await,
            };
        }
        let runs = self.app.runs_already(image_bytes, signature).await?;
        if runs.is_none() {
            return self.app.waits_already(image_bytes, signature).await;
        }
        self.app.stop_waiting().await?;
        Ok(runs)
    }

    /// Checks that an image of a release states one; that the system is of the release of the app, and new enough for it; and
    /// that the system that runs is not of this release already: it would start the app without a trial.
    pub(super) async fn check_release(&mut self, image: &ImageInfo) -> Result<(), Refusal> {
        let (mut want, got) = (image.release_id, image.release_id);
        if self.selected == Component::System {
            let waits = self.app.slot_with_system().await?;
            let slot = match waits {
                Some(slot) => slot,
                None => self.app.found().await?.running,
            };
            let app = self.app.identity(slot, Available::Whole).await?;
            want = app.release_id;
            if app.system_min > image.version.major_minor() {
                return Err(Refusal::SystemTooOld { have: image.version, min: app.system_min });
            }
        } else {
            let running = self.system.boot_state().await?.running_image;
            if let Some(system) = running.filter(|system| system.release_id == got) {
                return Err(Refusal::ReleaseMismatch { want: system.release_id, got });
            }
        }
        match got == want && got != 0 {
            true => Ok(()),
            false => Err(Refusal::ReleaseMismatch { want, got }),
        }
    }

    /// Refuses a command about the images of the app while a release is on trial.
    pub(super) async fn check_no_release_on_trial(&mut self) -> Result<(), Refusal> {
        match self.app.slot_with_system().await? {
            Some(_) if !self.system.boot_state().await?.is_settled() => Err(Refusal::TrialRunning),
            _ => Ok(()),
        }
    }

    /// The app of a release was verified: it waits for its system.
    pub(super) async fn app_verified(&mut self, digest: &Digest) -> Result<(), Fault> {
        match self.is_release && self.selected == Component::App {
            true => self.app.wait_for_system(digest).await,
            false => Ok(()),
        }
    }
}

/// The trial of a system that runs without the app of its release: that is damaged, or its boot selector got no release id.
fn ended(trial: Trial, is_app_whole: bool) -> Trial {
    let reason = if is_app_whole { REASON_APP_NOT_STARTED } else { REASON_TRIAL_IMAGE_CORRUPT };
    match trial {
        Trial::Started { slot, digest, .. } => Trial::Ended { slot, digest, reason, started: true },
        trial => trial,
    }
}
