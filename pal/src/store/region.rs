//! A range of flash.

/// The largest unit of reads and writes this crate works with.
pub const WORD_BYTES_MAX: usize = 32;

/// A range of flash, in bytes. `Layout::new` checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    offset_bytes: u32,
    len_bytes: u32,
}

impl Region {
    /// The range of `len_bytes` that starts at `offset_bytes`.
    #[must_use]
    pub const fn new(offset_bytes: u32, len_bytes: u32) -> Self {
        Self { offset_bytes, len_bytes }
    }

    /// Where the region starts, in bytes from the start of the flash.
    #[must_use]
    pub const fn offset_bytes(self) -> u32 {
        self.offset_bytes
    }

    /// How long the region is.
    #[must_use]
    pub const fn len_bytes(self) -> u32 {
        self.len_bytes
    }

    /// The flash address of an offset that lies inside.
    pub(crate) const fn at(self, offset_bytes: u32) -> u32 {
        self.offset_bytes + offset_bytes
    }

    pub(crate) const fn overlaps(self, other: Self) -> bool {
        self.offset_bytes < other.offset_bytes + other.len_bytes
            && other.offset_bytes < self.offset_bytes + self.len_bytes
    }
}
