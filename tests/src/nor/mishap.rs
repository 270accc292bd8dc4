//! What can go wrong with a flash.

/// What comes over the next operations. Operations are writes and erases, and count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The operation is refused and changes nothing; the device goes on.
    Fail {
        /// Which operation.
        at: u32,
    },
    /// The operation is done, and called refused.
    Deny {
        /// Which operation.
        at: u32,
    },
    /// From this operation on, no sector in this range can be erased any more.
    WearOut {
        /// Which operation.
        at: u32,
        /// In bytes from the start of the flash.
        range: (u32, u32),
    },
    /// The operation is called done, and changes nothing.
    Ignore {
        /// Which operation.
        at: u32,
    },
    /// One bit of what is read is not what lies there; read again, it is.
    Misread {
        /// Which read.
        at: u32,
    },
    /// The power goes at the operation: it never returns, and neither does anything after it.
    Cut {
        /// Which operation.
        at: u32,
        /// What it leaves.
        tear: Tear,
    },
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
