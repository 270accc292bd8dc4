//! What the firmware and the boot selectors of all boards share. A board brings its drivers and its [`Place`].
//!
//! * [`select`]: the boot selector.
//! * [`run`]: the firmware.
//! * [`Tolerant`]: a flash with error correction.
//! * [`wiznet`]: an Ethernet controller behind SPI.
#![no_std]
#![deny(missing_docs)]

use cortex_m::peripheral::SCB;
use ota_pal::{Geometry, Layout, RecordRegions, Region, SlotId, Watchdog};

mod firmware;
mod selector;
mod tolerant;
pub mod wiznet;

pub use firmware::{run, start_console};
pub use selector::select;
pub use tolerant::Tolerant;

/// Processor cycles in which a debugger reads the console several times.
const CONSOLE_CYCLES: u32 = 10_000_000;

/// Where things are in a board's flash.
pub struct Place {
    /// The address of its first byte.
    pub base: u32,
    /// Records and slots.
    pub layout: Layout,
    /// The settings, which the factory writes and no program changes.
    pub settings: Region,
}

/// A watchdog that runs, as the function that feeds it.
pub struct Feeder<F>(pub F);

impl<F: FnMut()> Watchdog for Feeder<F> {
    fn feed(&mut self) {
        (self.0)();
    }
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

/// A locally administered address, from all bytes of the processor's unique number: any part of it may be that of another one.
pub fn address(unique: &[u8]) -> [u8; 6] {
    let mut address = [0x02_u8, 0, 0, 0, 0, 0];
    for (at, byte) in unique.iter().enumerate() {
        let folded = &mut address[1 + at % 5];
        *folded = folded.rotate_left(3) ^ byte;
    }
    address
}

/// Compares where `build.rs` links the firmware with where `place` has its slots; panics, in a constant, if they differ.
pub const fn check_links(place: &Place, slot_a: &str, slot_b: &str) {
    check_link(place, SlotId::A, slot_a);
    check_link(place, SlotId::B, slot_b);
}

const fn check_link(place: &Place, slot: SlotId, address: &str) {
    match u32::from_str_radix(address, 10) {
        Ok(address) => {
            assert!(address == place.base + place.layout.slot(slot).offset_bytes(), "build.rs has another slot")
        }
        Err(_) => panic!("an address of build.rs is no number"),
    }
}

/// Resets, once the debugger has read the last line of the console.
pub(crate) fn stop() -> ! {
    cortex_m::asm::delay(CONSOLE_CYCLES);
    SCB::sys_reset()
}

/// A panic resets: a trial counts it.
#[panic_handler]
fn on_panic(info: &core::panic::PanicInfo<'_>) -> ! {
    log::error!("{info}");
    stop()
}
