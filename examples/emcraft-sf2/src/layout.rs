//! The layout of the flash, which boot selector and firmware share.

use ota_pal::{Geometry, Layout, RecordRegions, Region};

/// What the flash is: an S25FL128 with sectors of 64 KiB.
pub const GEOMETRY: Geometry = Geometry { word_bytes: 1, erase_bytes: 0x1_0000, capacity_bytes: 16 << 20 };
/// The settings, which the factory writes and no program changes.
pub const SETTINGS: Region = Region::new(0x6_0000, 0x1_0000);
/// The region of DDR that an image is copied to. The boot selector joins it to the end of the flash.
pub const EXECUTING: Region = Region::new(GEOMETRY.capacity_bytes, 0x10_0000);
/// Records, two slots that updates are written to, and the factory slot.
pub const LAYOUT: Layout = match layout() {
    Ok(layout) => layout,
    Err(_) => panic!("checked by the compiler"),
};

const fn layout() -> Result<Layout, ota_pal::LayoutError> {
    let records = RecordRegions {
        boot: Region::new(0x0_0000, 0x2_0000),
        journal: Region::new(0x2_0000, 0x2_0000),
        monotonic: Region::new(0x4_0000, 0x2_0000),
    };
    let slots = [Region::new(0x10_0000, 0x10_0000), Region::new(0x20_0000, 0x10_0000)];
    match Layout::new(GEOMETRY, &slots, records) {
        Ok(layout) => layout.with_factory(GEOMETRY, Region::new(0x30_0000, 0x10_0000)),
        Err(error) => Err(error),
    }
}
