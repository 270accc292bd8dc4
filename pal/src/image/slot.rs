//! The names of slots. `layout` has their positions.

/// The most slots that a device can have besides the factory slot.
pub const SLOTS_MAX: usize = 4;

/// A slot for images.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SlotId(u8);

impl SlotId {
    /// The first slot; a new device without a factory slot runs from it.
    pub const A: Self = Self(0);
    /// The second slot.
    pub const B: Self = Self(1);
    /// The third slot, if the layout has one.
    pub const C: Self = Self(2);
    /// The fourth slot, if the layout has one.
    pub const D: Self = Self(3);
    /// The slot that no update writes. It is booted when nothing else is valid, and by a factory reset.
    pub const FACTORY: Self = Self(15);

    /// Returns the slot of this number: 0..=3 for A to D, 15 for the factory slot.
    #[must_use]
    #[inline(never)] // for size
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0..=3 | 15 => Some(Self(number)),
            _ => None,
        }
    }

    /// The number of the slot in flash.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Whether this is the factory slot.
    #[must_use]
    pub const fn is_factory(self) -> bool {
        self.0 == Self::FACTORY.0
    }

    /// The index of this slot in a table of all slots, with the factory slot last.
    pub(crate) const fn index(self) -> usize {
        if self.is_factory() { SLOTS_MAX } else { self.0 as usize }
    }
}

impl core::fmt::Display for SlotId {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str(["A", "B", "C", "D", "factory"][self.index()])
    }
}

impl core::fmt::Debug for SlotId {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, out)
    }
}
