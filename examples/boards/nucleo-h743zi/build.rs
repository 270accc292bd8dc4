//! Links the boot selector for the start of the flash, and the firmware for each slot, as `src/lib.rs` has them.

use link::Memory;

/// The RAM that the Ethernet controller reaches.
const RAM: Memory = Memory(0x2400_0000, 0x8_0000);

/// The alignment of a table of 166 vectors.
const BODY_OFFSET: u32 = 1024;

fn main() {
    link::program("boot-selector", Memory(0x0800_0000, 0x2_0000), RAM, "");
    link::slot("slot-a", Memory(0x0808_0000, 0x8_0000), BODY_OFFSET, RAM, "");
    link::slot("slot-b", Memory(0x0818_0000, 0x8_0000), BODY_OFFSET, RAM, "");
}
