//! What lies where in flash, checked once. Nothing here reads or writes.

use crate::flash::{Flash, WORD_BYTES_MAX, word_bytes};
use crate::records::{RECORD_BYTES, SECTORS_MIN};

/// One of the two image slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotId {
    /// The first slot; a new device runs from it.
    A,
    /// The second slot.
    B,
}

impl SlotId {
    /// The slot that is not this one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl core::fmt::Display for SlotId {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

/// The sizes of a flash part, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The unit of reads and writes: the larger of the two.
    pub word_bytes: u32,
    /// The unit of erases, a sector.
    pub erase_bytes: u32,
    /// The whole part; of a part beyond 4 GiB, what 32 bits address.
    pub capacity_bytes: u32,
}

impl Geometry {
    /// The geometry of `flash`.
    pub fn of<F: Flash>(flash: &F) -> Self {
        Self {
            word_bytes: word_bytes::<F>(),
            erase_bytes: F::ERASE_SIZE as u32,
            capacity_bytes: u32::try_from(flash.capacity()).unwrap_or(u32::MAX),
        }
    }
}

/// A range of flash, in bytes. [`Layout::new`] checks it.
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

    const fn overlaps(self, other: Self) -> bool {
        self.offset_bytes < other.offset_bytes + other.len_bytes
            && other.offset_bytes < self.offset_bytes + self.len_bytes
    }
}

/// Where the slots, the journal and the boot record lie; checked against a geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    slots: [Region; 2],
    journal: Region,
    boot_record: Region,
}

/// Why a layout does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// The flash's word is no power of two up to 32 bytes, or its sector no multiple of 32 bytes that holds a record.
    GeometryUnsupported {
        /// The flash's word.
        word_bytes: u32,
        /// The flash's sector.
        erase_bytes: u32,
    },
    /// A region does not consist of whole sectors.
    NotSectorAligned {
        /// Start of the region.
        offset_bytes: u32,
        /// Its length.
        len_bytes: u32,
        /// The flash's sector.
        erase_bytes: u32,
    },
    /// A region ends beyond the flash.
    OutOfRange {
        /// Start of the region.
        offset_bytes: u32,
        /// Its length.
        len_bytes: u32,
        /// The flash's capacity.
        capacity_bytes: u32,
    },
    /// A region has too few sectors for its purpose.
    TooFewSectors {
        /// Start of the region.
        offset_bytes: u32,
        /// Sectors it has.
        got: u32,
        /// Sectors it needs.
        min: u32,
    },
    /// Two regions share bytes.
    Overlap {
        /// Start of the one.
        first_offset_bytes: u32,
        /// Start of the other.
        second_offset_bytes: u32,
    },
}

impl Layout {
    /// A layout whose regions are whole sectors, lie inside the flash and do not overlap.
    ///
    /// Slots may differ in length. The journal and the boot record need two sectors each, further ones spread the wear.
    ///
    /// # Errors
    /// [`LayoutError`] names the first rule broken, with its numbers.
    pub const fn new(
        geometry: Geometry,
        slots: [Region; 2],
        journal: Region,
        boot_record: Region,
    ) -> Result<Self, LayoutError> {
        let layout = Self { slots, journal, boot_record };
        match layout.check(geometry) {
            Ok(()) => Ok(layout),
            Err(error) => Err(error),
        }
    }

    /// The whole flash: boot record and journal of two sectors each, and two slots of equal length in the rest.
    ///
    /// # Errors
    /// [`LayoutError`] if the geometry is not supported or leaves no sector for a slot.
    pub const fn split(geometry: Geometry) -> Result<Self, LayoutError> {
        if let Err(error) = check_geometry(geometry) {
            return Err(error);
        }
        let records_bytes = SECTORS_MIN * geometry.erase_bytes;
        let slots_bytes = geometry.capacity_bytes.saturating_sub(2 * records_bytes);
        let slot_bytes = slots_bytes / 2 / geometry.erase_bytes * geometry.erase_bytes;
        let slot_a = Region::new(2 * records_bytes, slot_bytes);
        let slot_b = Region::new(2 * records_bytes + slot_bytes, slot_bytes);
        Self::new(geometry, [slot_a, slot_b], Region::new(records_bytes, records_bytes), Region::new(0, records_bytes))
    }

    /// Whether this layout fits `geometry`.
    pub(crate) const fn check(&self, geometry: Geometry) -> Result<(), LayoutError> {
        if let Err(error) = check_geometry(geometry) {
            return Err(error);
        }
        let regions =
            [(self.slots[0], 1), (self.slots[1], 1), (self.journal, SECTORS_MIN), (self.boot_record, SECTORS_MIN)];
        let mut index = 0;
        while index < regions.len() {
            let (region, sectors_min) = regions[index];
            if let Err(error) = check_region(geometry, region, sectors_min) {
                return Err(error);
            }
            let mut earlier = 0;
            while earlier < index {
                if regions[earlier].0.overlaps(region) {
                    return Err(LayoutError::Overlap {
                        first_offset_bytes: regions[earlier].0.offset_bytes,
                        second_offset_bytes: region.offset_bytes,
                    });
                }
                earlier += 1;
            }
            index += 1;
        }
        Ok(())
    }

    /// Where `slot` lies.
    #[must_use]
    pub const fn slot(&self, slot: SlotId) -> Region {
        match slot {
            SlotId::A => self.slots[0],
            SlotId::B => self.slots[1],
        }
    }

    /// Where the journal lies.
    #[must_use]
    pub const fn journal(&self) -> Region {
        self.journal
    }

    /// Where the boot record lies.
    #[must_use]
    pub const fn boot_record(&self) -> Region {
        self.boot_record
    }
}

const fn check_geometry(geometry: Geometry) -> Result<(), LayoutError> {
    let Geometry { word_bytes, erase_bytes, .. } = geometry;
    let word_fits = word_bytes.is_power_of_two() && word_bytes <= WORD_BYTES_MAX as u32;
    let sector_fits = erase_bytes % WORD_BYTES_MAX as u32 == 0 && erase_bytes >= RECORD_BYTES as u32;
    if word_fits && sector_fits { Ok(()) } else { Err(LayoutError::GeometryUnsupported { word_bytes, erase_bytes }) }
}

const fn check_region(geometry: Geometry, region: Region, sectors_min: u32) -> Result<(), LayoutError> {
    let Region { offset_bytes, len_bytes } = region;
    let Geometry { erase_bytes, capacity_bytes, .. } = geometry;
    if offset_bytes % erase_bytes != 0 || len_bytes % erase_bytes != 0 {
        return Err(LayoutError::NotSectorAligned { offset_bytes, len_bytes, erase_bytes });
    }
    match offset_bytes.checked_add(len_bytes) {
        Some(end_bytes) if end_bytes <= capacity_bytes => {}
        _ => return Err(LayoutError::OutOfRange { offset_bytes, len_bytes, capacity_bytes }),
    }
    let got = len_bytes / erase_bytes;
    if got < sectors_min {
        return Err(LayoutError::TooFewSectors { offset_bytes, got, min: sectors_min });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry { word_bytes: 4, erase_bytes: 4096, capacity_bytes: 64 * 1024 };

    fn layout(slots: [Region; 2], journal: Region, boot_record: Region) -> Result<Layout, LayoutError> {
        Layout::new(GEOMETRY, slots, journal, boot_record)
    }

    #[test]
    fn a_split_flash_gives_two_equal_slots_that_end_inside() {
        const LAYOUT: Layout = match Layout::split(GEOMETRY) {
            Ok(layout) => layout,
            Err(_) => panic!("a const layout is checked by the compiler"),
        };
        assert_eq!(LAYOUT.slot(SlotId::A), Region::new(0x4000, 0x6000));
        assert_eq!(LAYOUT.slot(SlotId::B), Region::new(0xA000, 0x6000));
        assert_eq!(LAYOUT.boot_record(), Region::new(0, 0x2000));
        assert_eq!(LAYOUT.journal(), Region::new(0x2000, 0x2000));
    }

    #[test]
    fn regions_that_share_a_sector_are_refused() {
        let slots = [Region::new(0x4000, 0x2000), Region::new(0x5000, 0x2000)];
        let refused = layout(slots, Region::new(0, 0x2000), Region::new(0x2000, 0x2000));
        assert_eq!(refused, Err(LayoutError::Overlap { first_offset_bytes: 0x4000, second_offset_bytes: 0x5000 }));
    }

    #[test]
    fn a_region_beyond_the_flash_is_refused_even_when_its_end_wraps() {
        for region in [Region::new(0xF000, 0x2000), Region::new(0xFFFF_F000, 0x2000)] {
            let refused =
                layout([Region::new(0, 0x1000), region], Region::new(0x2000, 0x2000), Region::new(0x4000, 0x2000));
            assert!(matches!(refused, Err(LayoutError::OutOfRange { .. })), "{refused:?}");
        }
    }

    #[test]
    fn records_need_two_sectors_and_slots_one() {
        let slots = [Region::new(0x4000, 0x1000), Region::new(0x5000, 0x1000)];
        let one_sector = layout(slots, Region::new(0, 0x1000), Region::new(0x2000, 0x2000));
        assert_eq!(one_sector, Err(LayoutError::TooFewSectors { offset_bytes: 0, got: 1, min: 2 }));
        let no_slot = layout([Region::new(0x4000, 0), slots[1]], Region::new(0, 0x2000), Region::new(0x2000, 0x2000));
        assert_eq!(no_slot, Err(LayoutError::TooFewSectors { offset_bytes: 0x4000, got: 0, min: 1 }));
    }

    #[test]
    fn a_ragged_region_and_an_odd_geometry_are_refused() {
        let ragged = layout(
            [Region::new(0x4000, 0x1000), Region::new(0x5000, 0x0800)],
            Region::new(0, 0x2000),
            Region::new(0x2000, 0x2000),
        );
        assert!(matches!(ragged, Err(LayoutError::NotSectorAligned { len_bytes: 0x0800, .. })));
        for (word_bytes, erase_bytes) in [(3, 4096), (64, 4096), (4, 128), (4, 1000), (0, 4096), (4, 0)] {
            let odd = Geometry { word_bytes, erase_bytes, capacity_bytes: 1 << 20 };
            assert_eq!(Layout::split(odd), Err(LayoutError::GeometryUnsupported { word_bytes, erase_bytes }));
        }
    }

    #[test]
    fn a_flash_too_small_for_two_slots_is_refused() {
        let small = Geometry { capacity_bytes: 5 * 4096, ..GEOMETRY };
        assert!(matches!(Layout::split(small), Err(LayoutError::TooFewSectors { got: 0, min: 1, .. })));
    }
}
