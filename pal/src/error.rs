//! The two errors of a platform, split by who must act: [`Fault`] is about this device, [`Refusal`] about the image.

use crate::esp_idf::image::ImageError;
use crate::hardware::HardwareId;
use crate::header::{Component, HeaderError};
use crate::signature::SignatureRefusal;
use crate::slot::SlotId;
use crate::version::Version;

/// Trouble of the device or of its caller; the image is not to blame. Offsets are absolute flash addresses in bytes
/// unless a variant says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The flash refused a read.
    Read {
        /// Where.
        offset_bytes: u32,
    },
    /// The flash refused a write.
    Write {
        /// Where.
        offset_bytes: u32,
    },
    /// The flash refused an erase.
    Erase {
        /// Start of the sector.
        offset_bytes: u32,
    },
    /// What was written does not read back.
    ReadBack {
        /// Start of the first chunk that differs.
        offset_bytes: u32,
    },
    /// The barrier failed: what was written may not be durable.
    Sync,
    /// A range leaves the image or its slot. Offsets count from the start of the slot.
    OutOfRange {
        /// Start of the range.
        offset_bytes: u32,
        /// Its length.
        len_bytes: usize,
        /// What it had to stay within.
        limit_bytes: u32,
    },
    /// A block starts, or ends before the end of the image, inside a flash word. The offset counts from the start of the slot.
    NotAligned {
        /// Start of the block.
        offset_bytes: u32,
        /// Its length.
        len_bytes: usize,
        /// Size of a flash word.
        word_bytes: u32,
    },
    /// An operation on the image being received, but none is: call `begin` first.
    NothingBegun,
    /// A journal payload over [`JOURNAL_PAYLOAD_BYTES_MAX`](crate::JOURNAL_PAYLOAD_BYTES_MAX).
    JournalPayloadTooLong {
        /// Bytes handed in.
        got: usize,
        /// The limit.
        max: usize,
    },
    /// The stored journal does not fit the caller's buffer.
    JournalBufferTooSmall {
        /// Bytes of the buffer.
        got: usize,
        /// Bytes stored.
        need: usize,
    },
    /// A boot record that passes its CRC but is of an unknown format, or contradicts itself.
    BootRecordInvalid {
        /// Its format number; 0 if it is longer than any this program knows.
        format: u8,
    },
    /// A monotonic record that passes its CRC but is of an unknown format.
    MonotonicRecordInvalid {
        /// Its format number.
        format: u8,
    },
    /// A verdict on a trial, but the running image is not on trial.
    NoTrialRuns,
    /// The words of a foreign boot loader do not allow what was asked.
    LoaderRefused {
        /// The number that this loader's own programs know the case by; ESP-IDF's `esp_err_t`. 0 if it has no word for it.
        code: i32,
    },
}

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
    /// The image is none that ESP-IDF's bootloader starts.
    EspImageInvalid(ImageError),
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

/// Errors print as their name and their numbers; prose belongs to whoever shows them to a person.
macro_rules! print_by_name {
    ($($error:ty),+) => {$(
        impl core::fmt::Display for $error {
            fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Debug::fmt(self, out)
            }
        }
        impl core::error::Error for $error {}
    )+};
}
print_by_name!(
    Fault,
    Refusal,
    HeaderError,
    SignatureRefusal,
    crate::signature::KeyError,
    crate::layout::LayoutError,
    crate::mcuboot::ImageError,
    crate::mcuboot::TrailerError,
    crate::native::ConfigError,
    crate::esp_idf::error::OtaDataError,
    ImageError,
    crate::version::VersionTextInvalid
);
