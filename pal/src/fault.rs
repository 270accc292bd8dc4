//! Errors of the device itself or of its caller. Errors about an image are in `refusal`.

use crate::print::print_by_name;

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
    /// The state of a boot loader other than ours does not allow the operation.
    LoaderRefused {
        /// The error number that the loader's own tools use for this case; 0 if they have none.
        code: i32,
    },
}

print_by_name!(Fault);
