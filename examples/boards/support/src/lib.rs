//! What the firmware and the boot selectors of all boards share. A board brings its drivers and its [`Place`].
//!
//! * [`select`]: the boot selector.
//! * [`run`]: the firmware.
//! * [`wiznet`]: an Ethernet controller behind SPI.
#![no_std]
#![deny(missing_docs)]

use ota_pal::{Geometry, Layout, RecordRegions, Region};

mod firmware;
mod selector;
pub mod wiznet;

pub use firmware::{run, start};
pub use selector::select;

/// Where things are in a board's flash.
pub struct Place {
    /// The address of its first byte.
    pub base: u32,
    /// Records and slots.
    pub layout: Layout,
    /// The settings, which the factory writes and no program changes.
    pub settings: Region,
}

/// The layout of a flash; a constant that the compiler checks: panics if it does not suit the flash.
pub const fn layout(geometry: Geometry, records: RecordRegions, slots: [Region; 2], factory: Option<Region>) -> Layout {
    let layout = match (Layout::new(geometry, &slots, records), factory) {
        (Ok(layout), Some(factory)) => layout.with_factory(geometry, factory),
        (layout, _) => layout,
    };
    match layout {
        Ok(layout) => layout,
        Err(_) => panic!("the layout does not suit the flash"),
    }
}

/// A locally administered address of the processor's unique number.
pub fn address(unique: [u8; 5]) -> [u8; 6] {
    let [a, b, c, d, e] = unique;
    [0x02, a, b, c, d, e]
}

/// A panic resets: a trial counts it.
#[panic_handler]
fn on_panic(info: &core::panic::PanicInfo<'_>) -> ! {
    log::error!("{info}");
    cortex_m::peripheral::SCB::sys_reset()
}
