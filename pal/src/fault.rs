//! Errors of the device or of its caller. Reasons to refuse an image are in `refusal`.

use crate::print::print_by_name;

/// An error of the device or of its caller; the image is not the cause. Offsets are absolute flash addresses in bytes
/// unless a variant states otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A read failed.
    Read {
        /// Start of the read.
        offset_bytes: u32,
    },
    /// A write failed.
    Write {
        /// Start of the write.
        offset_bytes: u32,
    },
    /// An erase failed.
    Erase {
        /// Start of the sector.
        offset_bytes: u32,
    },
    /// The data read back differ from the data written.
    ReadBack {
        /// Start of the first chunk that differs.
        offset_bytes: u32,
    },
    /// The barrier failed: earlier writes may not be durable.
    Sync,
    /// A range exceeds the image or its slot. Offsets are relative to the start of the slot.
    OutOfRange {
        /// Start of the range.
        offset_bytes: u32,
        /// Its length.
        len_bytes: usize,
        /// The limit it exceeds.
        limit_bytes: u32,
    },
    /// A block starts inside a flash word, or ends inside one before the end of the image. The offset is relative to
    /// the start of the slot.
    NotAligned {
        /// Start of the block.
        offset_bytes: u32,
        /// Its length.
        len_bytes: usize,
        /// Size of a flash word.
        word_bytes: u32,
    },
    /// No image is being received: call `begin` first.
    NothingBegun,
    /// A journal payload is longer than [`JOURNAL_PAYLOAD_BYTES_MAX`](crate::JOURNAL_PAYLOAD_BYTES_MAX).
    JournalPayloadTooLong {
        /// Length of the payload in bytes.
        got: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The stored journal payload does not fit the caller's buffer.
    JournalBufferTooSmall {
        /// Length of the buffer in bytes.
        got: usize,
        /// Length of the payload in bytes.
        need: usize,
    },
    /// The boot record has a correct CRC, but its format is unknown or its fields contradict each other.
    BootRecordInvalid {
        /// Its format number; 0 if the record is longer than every format supported by this program.
        format: u8,
    },
    /// The monotonic record has a correct CRC, but its format is unknown.
    MonotonicRecordInvalid {
        /// Its format number.
        format: u8,
    },
    /// The running image is not on trial, so there is no trial to end.
    NoTrialRuns,
    /// A boot loader other than ours does not allow the operation in its current state.
    LoaderRefused {
        /// The error number that the loader's own tools use for this case; 0 if there is none.
        code: i32,
    },
}

print_by_name!(Fault);
