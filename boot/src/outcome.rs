//! The outcome of a boot: the slot to start and the reason, the level of verification, and the errors.

use ota_pal::{Fault, Header, LayoutError, SlotId};

/// The slot to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// The slot.
    pub slot: SlotId,
    /// The header of its image.
    pub header: Header,
    /// Why this slot was chosen.
    pub cause: BootReason,
}

/// Why a slot was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootReason {
    /// It is confirmed, and no trial is in progress.
    Confirmed,
    /// It is on trial, and this boot was counted.
    Trial,
    /// It is of the release of the system that runs; if that is on trial, its trial is that of both.
    WithSystem,
    /// It is confirmed, and this boot ended a trial of another slot; the boot record has the reason.
    TrialEnded,
    /// It is confirmed, and this boot failed to store its changes. A trial is postponed: without a stored count it
    /// might never end.
    NotStored(Fault),
    /// The image of the confirmed slot cannot be started. This is the newest one that can, and it is confirmed from now
    /// on.
    FellBack {
        /// The slot that was confirmed before.
        from: SlotId,
    },
    /// This boot carried out a factory reset.
    FactoryReset,
    /// This boot carried out a factory reset, except for sectors that cannot be erased; no row describes them any more.
    FactoryResetInPart(Fault),
}

/// Why the device was reset, if the board can determine it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetCause {
    /// The supply failed: power on, or brown-out. The first [`POWER_LOSSES_MAX`](ota_pal::POWER_LOSSES_MAX) boots of a trial
    /// after a power loss use up no attempt.
    PowerLoss,
    /// A watchdog, a fault, software, a pin; or unknown.
    Other,
}

/// The circumstances of a boot. The first selector of a device passes its [`ResetCause`] alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootContext {
    /// Why the device was reset.
    pub reset_cause: ResetCause,
    /// The [release](Header::release_id) of the system that runs, which starts the app; 0 if it starts no app.
    pub system_release: u64,
}

impl From<ResetCause> for BootContext {
    fn from(reset_cause: ResetCause) -> Self {
        Self { reset_cause, system_release: 0 }
    }
}

/// How much of an image a boot checks before it starts the image. An image on trial or fallen back to is always hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyLevel {
    /// Its header.
    Header,
    /// The whole image, if the image database has its digest. Hashing extends the boot time accordingly.
    Whole,
}

/// Why nothing can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootError {
    /// Flash cannot be read, or a record has an unknown format.
    Fault(Fault),
    /// The layout was made for another flash, or the executing region does not consist of whole sectors beside it.
    Layout(LayoutError),
    /// No slot holds an image that was verified, is intact, and meets the security counter.
    NoBootableImage,
}

impl From<Fault> for BootError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
