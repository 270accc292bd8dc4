//! Faults of a flash.

/// A fault at one of the next operations, which are writes and erases and are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mishap {
    /// Index of the operation; for a [`Blow::Misread`], of the read.
    pub at: u32,
    /// The fault.
    pub blow: Blow,
}

/// A fault of an operation or a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
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
    Cut(Tear),
}

/// The state in which a power cut leaves an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
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
    /// An erase that spans sectors of the part stops between two of them. Elsewhere it is as [`Tear::Head`].
    Between,
    /// It is done but never returns. After an erase, the cells may be too weakly erased to retain a write.
    After,
}

impl Tear {
    /// All of them.
    pub const ALL: [Tear; 8] = [
        Tear::Before,
        Tear::Head,
        Tear::Tail,
        Tear::Bits,
        Tear::Unstable,
        Tear::Unreadable,
        Tear::Between,
        Tear::After,
    ];
}
