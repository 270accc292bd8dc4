//! Faults of a flash.

/// A fault at one of the next operations, which are writes and erases and are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedFault {
    /// Index of the operation; for a [`FlashFault::Misread`], of the read.
    pub at: u32,
    /// The fault.
    pub fault: FlashFault,
}

/// A fault of an operation or a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashFault {
    /// It fails and changes nothing; the device continues.
    Fail,
    /// It is carried out and reported as failed.
    Deny,
    /// It is reported as successful and changes nothing.
    Ignore,
    /// One bit is read wrong; the next read is correct.
    Misread,
    /// From this operation on, no sector in this range, in bytes from the start of the flash, can be erased.
    WearOut(u32, u32),
    /// The power is cut: neither this operation nor any later one returns.
    Cut(CutEffect),
}

/// The state in which a power cut leaves an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutEffect {
    /// Not begun.
    Before,
    /// Its first bytes are done, possibly up to the middle of a word.
    Head,
    /// Its last bytes are done.
    Tail,
    /// Some of the bits are done.
    Bits,
    /// Some of the bits are done, and some read differently each time.
    Unstable,
    /// Some of the bits are done, and the part's error correction refuses to read the words until they are erased.
    Unreadable,
    /// An erase that spans sectors of the part stops between two of them. Elsewhere it is as [`CutEffect::Head`].
    Between,
    /// It is done but never returns. After an erase, the cells may be too weakly erased to retain a write.
    After,
}

impl CutEffect {
    /// All of them.
    pub const ALL: [CutEffect; 8] = [
        CutEffect::Before,
        CutEffect::Head,
        CutEffect::Tail,
        CutEffect::Bits,
        CutEffect::Unstable,
        CutEffect::Unreadable,
        CutEffect::Between,
        CutEffect::After,
    ];
}
