//! What can go wrong with a flash.

/// What comes over one of the next operations, which are writes and erases and count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mishap {
    /// Which operation; of a [`Blow::Misread`], which read.
    pub at: u32,
    /// What comes over it.
    pub blow: Blow,
}

/// What can come over an operation, or a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// It is refused and changes nothing; the device goes on.
    Fail,
    /// It is done, and called refused.
    Deny,
    /// It is called done, and changes nothing.
    Ignore,
    /// One bit of what is read is not what lies there; read again, it is.
    Misread,
    /// From this operation on, no sector in this range, in bytes from the start of the flash, can be erased any more.
    WearOut(u32, u32),
    /// The power goes: it never returns, and neither does anything after it.
    Cut(Tear),
}

/// What an operation leaves that the power went at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// It had not begun.
    Before,
    /// Its first bytes are done, be it in the middle of a word.
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
    /// It is done, and nobody heard. What an erase leaves then may be too weak to keep a write.
    After,
}

impl Tear {
    /// All ways.
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
