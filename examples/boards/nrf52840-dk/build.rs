//! Links the boot selector for the start of the flash, and the firmware for each slot, as `src/lib.rs` has them.

use link::Memory;

const RAM: Memory = Memory(0x2000_0000, 0x4_0000);

fn main() {
    link::program("boot-selector", Memory(0x0000_0000, 0x8000), RAM, "");
    link::slot("slot-a", Memory(0x0001_0000, 0x7_8000), 512, RAM, "");
    link::slot("slot-b", Memory(0x0008_8000, 0x7_8000), 512, RAM, "");
}
