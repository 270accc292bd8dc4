//! Reasons to refuse an image. Errors of the device itself are in `fault`.

use crate::fault::Fault;
use crate::image::format::FormatError;
use crate::image::hardware::HardwareId;
use crate::image::header::{Component, HeaderError};
use crate::image::slot::SlotId;
use crate::image::version::{MajorMinor, Version};
use crate::print::print_by_name;
use crate::verify::signature::SignatureRefusal;

/// The reason an image is refused, or the [`Fault`] that prevented the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An error of the device; the image is not the cause.
    Fault(Fault),
    /// The image has no bytes.
    ImageEmpty,
    /// The image does not fit the slot. Unit: bytes.
    ImageTooLarge {
        /// The announced length.
        got: u32,
        /// The largest length that fits.
        max: u32,
    },
    /// The running image is not confirmed, or a trial is pending: no slot is free.
    TrialRunning,
    /// The slot contains the running program.
    SlotRuns {
        /// The slot.
        slot: SlotId,
    },
    /// The slot does not contain the image that was verified.
    DigestMismatch {
        /// The slot.
        slot: SlotId,
    },
    /// There is no earlier image that was confirmed, is intact and passes the rollback check.
    NoPreviousImage,
    /// No slot holds an image of this version.
    NoSuchImage {
        /// The version.
        version: Version,
    },
    /// The device has no factory slot.
    NoFactorySlot,
    /// The signature of the factory image was not verified on this device.
    FactoryNotVerified,
    /// The image does not start with a valid native header.
    ImageHeaderInvalid(HeaderError),
    /// The image is not valid in the format of this device's boot loader.
    FormatInvalid(FormatError),
    /// The image does not state the hardware it was built for.
    HardwareIdMissing,
    /// The image was built for other hardware.
    WrongHardware {
        /// The hardware it was built for.
        got: HardwareId,
    },
    /// The image was built for another component of the device.
    WrongComponent {
        /// The component it was built for.
        got: Component,
    },
    /// The version rule requires a newer image.
    VersionNotNewer {
        /// The running version.
        have: Version,
        /// The offered version.
        got: Version,
    },
    /// The security counter of the image is below the minimum.
    SecurityCounterTooLow {
        /// The minimum.
        have: u32,
        /// The counter of the image.
        got: u32,
    },
    /// The image requires a later version of the system firmware.
    SystemTooOld {
        /// The version that runs.
        have: Version,
        /// The lowest version that the image runs on.
        min: MajorMinor,
    },
    /// The image is not of the release of the other image in its job, or of no release.
    ReleaseMismatch {
        /// The release of the other image.
        want: u64,
        /// The release of the image.
        got: u64,
    },
    /// The image is linked for another slot.
    WrongSlotLink {
        /// The slot it would be written to.
        slot: SlotId,
    },
    /// The announced length differs from the length in the image header. Unit: bytes.
    ImageLengthMismatch {
        /// The announced length.
        announced: u32,
        /// The length in the header.
        header: u32,
    },
    /// The signature was refused.
    Signature(SignatureRefusal),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<SignatureRefusal> for Refusal {
    fn from(refusal: SignatureRefusal) -> Self {
        Self::Signature(refusal)
    }
}

print_by_name!(Refusal);
