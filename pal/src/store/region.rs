//! A range of flash.

/// The largest supported unit of reads and writes, in bytes.
pub const WORD_BYTES_MAX: usize = 32;

/// A range of flash, in bytes. `Layout::new` checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    offset_bytes: u32,
    len_bytes: u32,
}

impl Region {
    /// Creates the range of `len_bytes` that starts at `offset_bytes`.
    #[must_use]
    pub const fn new(offset_bytes: u32, len_bytes: u32) -> Self {
        Self { offset_bytes, len_bytes }
    }

    /// Start of the region, in bytes from the start of the flash.
    #[must_use]
    pub const fn offset_bytes(self) -> u32 {
        self.offset_bytes
    }

    /// Length of the region, in bytes.
    #[must_use]
    pub const fn len_bytes(self) -> u32 {
        self.len_bytes
    }

    /// The flash address of an offset inside the region.
    pub(crate) const fn at(self, offset_bytes: u32) -> u32 {
        self.offset_bytes + offset_bytes
    }

    pub(crate) const fn overlaps(self, other: Self) -> bool {
        self.offset_bytes < other.offset_bytes + other.len_bytes
            && other.offset_bytes < self.offset_bytes + self.len_bytes
    }
}
