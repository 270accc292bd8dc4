//! Links the boot selector for the start of the flash, and the firmware for each slot, as `src/lib.rs` has them.

use link::Memory;

const RAM: Memory = Memory(0x2000_0000, 0xA_0000);

fn main() {
    link::program("boot-selector", Memory(0x0800_0000, 0x1_0000), RAM, "");
    link::slot("slot-a", Memory(0x0802_0000, 0x8_0000), 512, RAM, "");
    link::slot("slot-b", Memory(0x0810_0000, 0x8_0000), 512, RAM, "");
}
