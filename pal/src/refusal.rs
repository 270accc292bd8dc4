//! Why an image is not accepted. Errors of the device itself are in `fault`.

use crate::fault::Fault;
use crate::image::format::FormatError;
use crate::image::hardware::HardwareId;
use crate::image::header::{Component, HeaderError};
use crate::image::slot::SlotId;
use crate::image::version::Version;
use crate::print::print_by_name;
use crate::verify::signature::SignatureRefusal;

/// Why an image is not taken, or the device's own [`Fault`] on the way to find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The device's own trouble.
    Fault(Fault),
    /// An image of no bytes.
    ImageEmpty,
    /// The image does not fit the slot. Bytes.
    ImageTooLarge {
        /// Announced.
        got: u32,
        /// What the slot holds.
        max: u32,
    },
    /// The running image is not confirmed, or a trial waits for its reset: there is no slot to spare.
    TrialRunning,
    /// The slot holds the program that is running.
    SlotRuns {
        /// The slot named.
        slot: SlotId,
    },
    /// What the slot holds is not what was verified.
    DigestMismatch {
        /// The slot named.
        slot: SlotId,
    },
    /// There is no earlier image that was confirmed, is whole, and may still run.
    NoPreviousImage,
    /// No slot holds an image of this version.
    NoSuchImage {
        /// The version named.
        version: Version,
    },
    /// This device has no factory slot.
    NoFactorySlot,
    /// The signature of the factory image was never verified here.
    FactoryNotVerified,
    /// The image does not start with a header of ours.
    ImageHeaderInvalid(HeaderError),
    /// The image is not valid in the format of this device's boot loader.
    FormatInvalid(FormatError),
    /// The image does not name the hardware that it is for.
    HardwareIdMissing,
    /// An image for other hardware.
    WrongHardware {
        /// The hardware it is for.
        got: HardwareId,
    },
    /// An image for another part of the device.
    WrongComponent {
        /// The part it is for.
        got: Component,
    },
    /// The version rule asks for a newer image.
    VersionNotNewer {
        /// The version that runs.
        have: Version,
        /// The version offered.
        got: Version,
    },
    /// The image is older than the oldest that may still run.
    SecurityCounterTooLow {
        /// The least counter accepted.
        have: u32,
        /// The image's counter.
        got: u32,
    },
    /// The image is linked for the other slot.
    WrongSlotLink {
        /// The slot it would go to.
        slot: SlotId,
    },
    /// The job announced another length than the image's own header. Bytes.
    ImageLengthMismatch {
        /// As announced.
        announced: u32,
        /// As the header says.
        header: u32,
    },
    /// The signature does not hold.
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
