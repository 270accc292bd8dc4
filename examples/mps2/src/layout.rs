//! The layout of the flash, which boot selector and firmware share.

use ota_pal::{Geometry, Layout, RecordRegions, Region};

/// Address of the first byte of the flash.
pub const FLASH_BASE: u32 = 0x2100_0000;
/// What the flash is.
pub const GEOMETRY: Geometry = Geometry { word_bytes: 4, erase_bytes: 4096, capacity_bytes: 16 << 20 };
/// The settings, which the factory writes and no program changes.
pub const SETTINGS: Region = Region::new(0x8000, 0x1000);
/// Records, two slots that updates are written to, and the factory slot.
pub const LAYOUT: Layout = match layout() {
    Ok(layout) => layout,
    Err(_) => panic!("checked by the compiler"),
};

const fn layout() -> Result<Layout, ota_pal::LayoutError> {
    let records = RecordRegions {
        boot: Region::new(0x0000, 0x2000),
        journal: Region::new(0x2000, 0x2000),
        monotonic: Region::new(0x4000, 0x2000),
    };
    // `build.rs` links the programs for these offsets.
    let slots = [Region::new(0x10_0000, 0x10_0000), Region::new(0x20_0000, 0x10_0000)];
    match Layout::new(GEOMETRY, &slots, records) {
        Ok(layout) => layout.with_factory(GEOMETRY, Region::new(0x30_0000, 0x10_0000)),
        Err(error) => Err(error),
    }
}
