//! The positions of slots and records in flash, checked once. No flash access here.

use crate::image::slot::{SLOTS_MAX, SlotId};
use crate::print::print_by_name;
use crate::store::record_format::{SECTOR_BYTES_MIN, sectors_min};
use crate::store::region::Region;
use crate::store::region::WORD_BYTES_MAX;

/// The sizes of a flash part, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The unit of reads and writes: the larger of the two.
    pub word_bytes: u32,
    /// The unit of erases, a sector.
    pub erase_bytes: u32,
    /// The capacity of the part; of a part beyond 4 GiB, as much as 32 bits address.
    pub capacity_bytes: u32,
}

/// The positions of slots and records, checked against a geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Entries beyond the count are empty.
    slots: [Region; SLOTS_MAX],
    slot_count: usize,
    factory: Option<Region>,
    records: RecordRegions,
    /// The flash that the regions were checked against.
    geometry: Geometry,
}

/// The positions of the three kinds of records. Each needs two sectors, or more if the sector is smaller than a record;
/// further sectors spread the wear, and a region works while two of its banks of records are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRegions {
    /// The agent's journal.
    pub journal: Region,
    /// The boot record.
    pub boot: Region,
    /// The counters that only increase: security counter and key epoch.
    pub monotonic: Region,
}

/// Why a layout is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// The word of the flash is not a power of two up to 32 bytes, or its sector is not a multiple of 32 bytes that
    /// holds a record; or one of them is not that of the geometry that the layout was made with.
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
    /// Fewer than two slots, or more than [`SLOTS_MAX`]. An update needs a slot that is not running.
    SlotCount {
        /// Slots given.
        got: usize,
    },
    /// Two regions share bytes.
    Overlap {
        /// Start of the first region.
        first_offset_bytes: u32,
        /// Start of the second region.
        second_offset_bytes: u32,
    },
}

print_by_name!(LayoutError);

impl Layout {
    /// Creates a layout whose regions are whole sectors, inside the flash, and do not overlap. It has two to four slots
    /// from A on, which may differ in length, and no factory slot.
    ///
    /// In a `const`, an invalid layout does not compile:
    ///
    /// ```
    /// # use ota_pal::{Geometry, Layout, RecordRegions, Region};
    /// # const GEOMETRY: Geometry = Geometry { word_bytes: 4, erase_bytes: 4096, capacity_bytes: 65_536 };
    /// # const RECORDS: RecordRegions = RecordRegions {
    /// #     journal: Region::new(32_768, 8_192),
    /// #     boot: Region::new(40_960, 8_192),
    /// #     monotonic: Region::new(49_152, 8_192),
    /// # };
    /// const SLOTS: [Region; 2] = [Region::new(0, 16_384), Region::new(16_384, 16_384)];
    /// const LAYOUT: Layout = match Layout::new(GEOMETRY, &SLOTS, RECORDS) {
    ///     Ok(layout) => layout,
    ///     Err(_) => panic!("no layout"),
    /// };
    /// ```
    ///
    /// ```compile_fail
    /// # use ota_pal::{Geometry, Layout, RecordRegions, Region};
    /// # const GEOMETRY: Geometry = Geometry { word_bytes: 4, erase_bytes: 4096, capacity_bytes: 65_536 };
    /// # const RECORDS: RecordRegions = RecordRegions {
    /// #     journal: Region::new(32_768, 8_192),
    /// #     boot: Region::new(40_960, 8_192),
    /// #     monotonic: Region::new(49_152, 8_192),
    /// # };
    /// const SLOTS: [Region; 1] = [Region::new(0, 16_384)];
    /// const LAYOUT: Layout = match Layout::new(GEOMETRY, &SLOTS, RECORDS) {
    ///     Ok(layout) => layout,
    ///     Err(_) => panic!("no layout"),
    /// };
    /// ```
    ///
    /// # Errors
    /// [`LayoutError`] for the first rule broken.
    pub const fn new(geometry: Geometry, slots: &[Region], records: RecordRegions) -> Result<Self, LayoutError> {
        if slots.len() < 2 || slots.len() > SLOTS_MAX {
            return Err(LayoutError::SlotCount { got: slots.len() });
        }
        let mut all = [Region::new(0, 0); SLOTS_MAX];
        let mut index = 0;
        while index < slots.len() {
            all[index] = slots[index];
            index += 1;
        }
        Self { slots: all, slot_count: slots.len(), factory: None, records, geometry }.checked()
    }

    /// Returns the same layout with a factory slot.
    ///
    /// # Errors
    /// [`LayoutError`] for the first rule broken.
    pub const fn with_factory(self, geometry: Geometry, factory: Region) -> Result<Self, LayoutError> {
        Self { factory: Some(factory), geometry, ..self }.checked()
    }

    /// Divides the whole flash into records of the fewest sectors needed and two slots of equal length.
    ///
    /// # Errors
    /// [`LayoutError`] if the geometry is not supported or leaves no sector for a slot.
    pub const fn split(geometry: Geometry) -> Result<Self, LayoutError> {
        Self::divide(geometry, 2, false)
    }

    /// Divides the whole flash into records of the fewest sectors needed and `slot_count` slots of equal length, plus
    /// one for the factory if `factory` is set.
    ///
    /// # Errors
    /// [`LayoutError`] if the geometry is not supported or leaves no sector for a slot.
    pub const fn divide(geometry: Geometry, slot_count: usize, factory: bool) -> Result<Self, LayoutError> {
        Self::divide_part(geometry, Region::new(0, geometry.capacity_bytes), slot_count, factory)
    }

    /// Divides `part` of the flash as [`divide`](Self::divide) divides the whole: for one of two components.
    ///
    /// # Errors
    /// [`LayoutError`] if the geometry is not supported, `part` is not within the flash, does not start at a sector, or leaves
    /// no sector for a slot.
    pub const fn divide_part(
        geometry: Geometry,
        part: Region,
        slot_count: usize,
        factory: bool,
    ) -> Result<Self, LayoutError> {
        if let Err(error) = check_geometry(geometry) {
            return Err(error);
        }
        if slot_count < 2 || slot_count > SLOTS_MAX {
            return Err(LayoutError::SlotCount { got: slot_count });
        }
        let record_bytes = sectors_min(geometry.erase_bytes) * geometry.erase_bytes;
        let parts = slot_count as u32 + factory as u32;
        let slot_bytes =
            part.len_bytes().saturating_sub(3 * record_bytes) / parts / geometry.erase_bytes * geometry.erase_bytes;
        let start_bytes = part.offset_bytes();
        if start_bytes > geometry.capacity_bytes || part.len_bytes() > geometry.capacity_bytes - start_bytes {
            let (offset_bytes, len_bytes) = (start_bytes, part.len_bytes());
            return Err(LayoutError::OutOfRange { offset_bytes, len_bytes, capacity_bytes: geometry.capacity_bytes });
        }
        let mut regions = [Region::new(0, 0); SLOTS_MAX + 1];
        let mut index = 0;
        while index < parts as usize {
            regions[index] = Region::new(start_bytes + 3 * record_bytes + index as u32 * slot_bytes, slot_bytes);
            index += 1;
        }
        let records = RecordRegions {
            boot: Region::new(start_bytes, record_bytes),
            journal: Region::new(start_bytes + record_bytes, record_bytes),
            monotonic: Region::new(start_bytes + 2 * record_bytes, record_bytes),
        };
        match Self::new(geometry, regions.split_at(slot_count).0, records) {
            Ok(layout) if factory => layout.with_factory(geometry, regions[slot_count]),
            split => split,
        }
    }

    /// Number of sectors for the records of a divided flash.
    #[must_use]
    pub const fn record_sectors(erase_bytes: u32) -> u32 {
        3 * sectors_min(erase_bytes)
    }

    /// Checks that a flash of `geometry` has the sectors and the words that the layout was made for, and at least its
    /// capacity. The regions were checked by the constructor.
    ///
    /// # Errors
    /// [`LayoutError::GeometryUnsupported`], [`LayoutError::OutOfRange`].
    pub const fn check(&self, geometry: Geometry) -> Result<(), LayoutError> {
        let Geometry { word_bytes, erase_bytes, capacity_bytes } = geometry;
        let len_bytes = self.geometry.capacity_bytes;
        if word_bytes != self.geometry.word_bytes || erase_bytes != self.geometry.erase_bytes {
            return Err(LayoutError::GeometryUnsupported { word_bytes, erase_bytes });
        }
        if capacity_bytes < len_bytes {
            return Err(LayoutError::OutOfRange { offset_bytes: 0, len_bytes, capacity_bytes });
        }
        Ok(())
    }

    /// Does [`check`](Self::check), and checks that `region` consists of whole sectors of that flash and overlaps no region
    /// of this layout.
    ///
    /// # Errors
    /// [`LayoutError`] for the first rule broken.
    pub fn check_beside(&self, geometry: Geometry, region: Region) -> Result<(), LayoutError> {
        self.check(geometry)?;
        check_region(geometry, region, 1)?;
        self.check_clear_of(region)
    }

    const fn checked(self) -> Result<Self, LayoutError> {
        match self.check_regions() {
            Ok(()) => Ok(self),
            Err(error) => Err(error),
        }
    }

    const fn check_regions(&self) -> Result<(), LayoutError> {
        let geometry = self.geometry;
        if let Err(error) = check_geometry(geometry) {
            return Err(error);
        }
        let regions = self.regions(sectors_min(geometry.erase_bytes));
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
                        first_offset_bytes: regions[earlier].0.offset_bytes(),
                        second_offset_bytes: region.offset_bytes(),
                    });
                }
                earlier += 1;
            }
            index += 1;
        }
        Ok(())
    }

    /// Returns the slot that contains the byte at `offset_bytes` of the flash, such as an address of the running
    /// program.
    #[must_use]
    pub fn slot_at(&self, offset_bytes: u32) -> Option<SlotId> {
        let holds = |region: Region| offset_bytes.wrapping_sub(region.offset_bytes()) < region.len_bytes();
        self.next_slots(SlotId::FACTORY).chain([SlotId::FACTORY]).find(|slot| holds(self.slot(*slot)))
    }

    /// Whether `region` overlaps no region of this layout.
    #[must_use]
    pub fn is_clear_of(&self, region: Region) -> bool {
        self.check_clear_of(region).is_ok()
    }

    /// Checks that no region of this layout shares bytes with one of `other`.
    pub(crate) fn check_apart(&self, other: &Self) -> Result<(), LayoutError> {
        other.regions(0).iter().try_for_each(|(theirs, _)| self.check_clear_of(*theirs))
    }

    fn check_clear_of(&self, region: Region) -> Result<(), LayoutError> {
        match self.regions(0).iter().find(|(mine, _)| mine.overlaps(region)) {
            None => Ok(()),
            Some((mine, _)) => Err(LayoutError::Overlap {
                first_offset_bytes: mine.offset_bytes(),
                second_offset_bytes: region.offset_bytes(),
            }),
        }
    }

    /// Every region with the number of sectors that it needs: zero for a slot that does not exist.
    const fn regions(&self, record_sectors: u32) -> [(Region, u32); SLOTS_MAX + 4] {
        let RecordRegions { journal, boot, monotonic } = self.records;
        let absent = (Region::new(0, 0), 0);
        let mut regions = [absent; SLOTS_MAX + 4];
        let mut index = 0;
        while index < self.slot_count {
            regions[index] = (self.slots[index], 1);
            index += 1;
        }
        if let Some(factory) = self.factory {
            regions[SLOTS_MAX] = (factory, 1);
        }
        regions[SLOTS_MAX + 1] = (journal, record_sectors);
        regions[SLOTS_MAX + 2] = (boot, record_sectors);
        regions[SLOTS_MAX + 3] = (monotonic, record_sectors);
        regions
    }

    /// Returns the region of `slot`; it is empty if the layout has no such slot.
    #[must_use]
    pub const fn slot(&self, slot: SlotId) -> Region {
        match self.factory {
            Some(factory) if slot.is_factory() => factory,
            None if slot.is_factory() => Region::new(0, 0),
            _ => self.slots[slot.index()],
        }
    }

    /// Returns the region of the factory slot, if there is one.
    #[must_use]
    pub const fn factory(&self) -> Option<Region> {
        self.factory
    }

    /// The number of slots, without the factory slot.
    #[must_use]
    pub const fn slot_count(&self) -> usize {
        self.slot_count
    }

    /// Iterates over the slots that updates use, in order, while `from` runs: first those behind it, then those before
    /// it.
    pub fn next_slots(&self, from: SlotId) -> impl Iterator<Item = SlotId> + use<> {
        let count = self.slot_count;
        let first = if from.is_factory() { count - 1 } else { from.index() };
        (1..=count)
            .filter_map(move |step| SlotId::from_number(((first + step) % count) as u8))
            .filter(move |slot| *slot != from)
    }

    /// Returns the region of the journal.
    #[must_use]
    pub const fn journal(&self) -> Region {
        self.records.journal
    }

    /// Returns the region of the boot record.
    #[must_use]
    pub const fn boot_record(&self) -> Region {
        self.records.boot
    }

    /// Returns the region of the monotonic record.
    #[must_use]
    pub const fn monotonic(&self) -> Region {
        self.records.monotonic
    }
}

const fn check_geometry(geometry: Geometry) -> Result<(), LayoutError> {
    let Geometry { word_bytes, erase_bytes, .. } = geometry;
    let word_fits = word_bytes.is_power_of_two() && word_bytes <= WORD_BYTES_MAX as u32;
    let sector_fits = erase_bytes % WORD_BYTES_MAX as u32 == 0 && erase_bytes >= SECTOR_BYTES_MIN;
    if word_fits && sector_fits { Ok(()) } else { Err(LayoutError::GeometryUnsupported { word_bytes, erase_bytes }) }
}

const fn check_region(geometry: Geometry, region: Region, sectors_min: u32) -> Result<(), LayoutError> {
    let (offset_bytes, len_bytes) = (region.offset_bytes(), region.len_bytes());
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
mod tests;
