//! The state, configuration and hooks of a device, and the checks for a port.

pub mod boot;
pub mod config;
#[cfg(any(test, feature = "std"))]
pub mod conformance;
#[cfg(any(test, feature = "std"))]
pub mod file;
pub mod hooks;

use crate::fault::Fault;
use crate::image::header::Component;
use crate::image::identity::ImageInfo;
use crate::image::slot::SlotId;
use crate::image::version::Version;
use crate::store::boot_record::Trial;
use crate::store::monotonic::RollbackCounters;

/// The state of the device after a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootState {
    /// The slot this program runs from, as reported by the boot selector.
    pub running: SlotId,
    /// The slot that is booted when no trial is pending or started.
    pub confirmed: SlotId,
    /// The slot for the next image: the one that [`Platform::begin`](crate::Platform::begin) selects for an image that
    /// fits every slot.
    pub free: SlotId,
    /// The trial, or the result of the last one.
    pub trial: Trial,
    /// Information from the running image; `None` if its header is not valid.
    pub running_image: Option<ImageInfo>,
    /// The slot that the app runs from, if this is the state of a system and both are of one release.
    pub app_of_release: Option<SlotId>,
    /// Number of rows of the image database that could not be decoded. The images in those slots are unknown.
    pub broken_rows: u8,
    /// The monotonic record, raised to the values of the running image if that is confirmed; or the fault that
    /// prevented it.
    pub floor: Result<RollbackCounters, Fault>,
}

/// Two slots of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// The slot that it runs from.
    pub running: SlotId,
    /// The slot for its next image, as [`BootState::free`].
    pub free: SlotId,
}

/// What a job updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// One component.
    Alone(Component),
    /// One component of a release that has both.
    OfRelease(Component),
}

impl Part {
    /// The component.
    #[must_use]
    pub fn component(self) -> Component {
        let (Self::Alone(component) | Self::OfRelease(component)) = self;
        component
    }
}

/// The state of the running image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageState {
    /// Permanent: every boot without a trial starts it.
    Confirmed,
    /// On trial: to be confirmed or rolled back.
    OnTrial,
    /// Its trial has ended: the next boot starts the confirmed image.
    RolledBack,
}

impl BootState {
    /// Whether the running image is confirmed, and no trial is pending or started.
    pub(crate) fn is_settled(&self) -> bool {
        self.running == self.confirmed && !matches!(self.trial, Trial::Pending { .. } | Trial::Started { .. })
    }

    /// Returns the state of the running image according to the boot record.
    #[must_use]
    pub fn image_state(&self) -> ImageState {
        match self.trial {
            _ if self.running == self.confirmed => ImageState::Confirmed,
            Trial::Pending { slot, .. } | Trial::Started { slot, .. } if slot == self.running => ImageState::OnTrial,
            Trial::WithSystem { slot, .. } if slot == self.running => ImageState::OnTrial,
            Trial::None | Trial::WithSystem { .. } | Trial::Pending { .. } => ImageState::RolledBack,
            Trial::Started { .. } | Trial::Ended { .. } => ImageState::RolledBack,
        }
    }
}

/// Where the reception of an image starts or continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reception {
    /// The slot the image is written to.
    pub slot: SlotId,
    /// Bytes kept from an earlier reception; everything from this offset on must be written.
    pub frontier_bytes: u32,
    /// The version of the replaced image, if that was confirmed before. It is the oldest such image.
    pub evicted: Option<Version>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::Digest;

    #[test]
    fn the_running_image_is_confirmed_on_trial_or_rolled_back() {
        let (a, b, c, digest) = (SlotId::A, SlotId::B, SlotId::C, Digest([0; 32]));
        let pending = |slot| Trial::Pending { slot, digest, image_bytes: 1, attempts_left: 1 };
        let started = |slot| Trial::Started { slot, digest, image_bytes: 1, attempts_left: 1, power_losses: 0 };
        let ended = |slot| Trial::Ended { slot, digest, reason: 1, started: true };
        let with_system = |slot| Trial::WithSystem { slot, digest, image_bytes: 1 };
        for (running, trial, state) in [
            (a, Trial::None, ImageState::Confirmed),
            (a, pending(b), ImageState::Confirmed),
            (b, pending(b), ImageState::OnTrial),
            (b, started(b), ImageState::OnTrial),
            (b, pending(c), ImageState::RolledBack),
            (b, started(c), ImageState::RolledBack),
            (b, with_system(b), ImageState::OnTrial),
            (b, with_system(c), ImageState::RolledBack),
            (a, with_system(b), ImageState::Confirmed),
            (b, ended(b), ImageState::RolledBack),
            (b, Trial::None, ImageState::RolledBack),
        ] {
            let floor = Ok(RollbackCounters::default());
            let boot = BootState {
                running,
                confirmed: a,
                free: c,
                trial,
                running_image: None,
                app_of_release: None,
                broken_rows: 0,
                floor,
            };
            assert_eq!(boot.image_state(), state, "{running} runs, {trial:?}");
        }
    }
}
