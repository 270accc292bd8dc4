//! Links the boot selector for the start of the flash, and the firmware for each slot, as `src/lib.rs` has them.

use link::Memory;

const RAM: Memory = Memory(0x2000_0000, 0x4_0000);
/// The boot ROM copies the first 256 bytes to RAM, and starts them: they make the flash readable.
const SECOND_STAGE: &str = "SECTIONS { .boot2 0x10000000 : { KEEP(*(.boot2)); } > BOOT2 }";
const NO_SECOND_STAGE: &str = "SECTIONS { /DISCARD/ : { *(.boot2) } }";

fn main() {
    let boot2 = format!("MEMORY {{ BOOT2 : ORIGIN = 0x10000000, LENGTH = 0x100 }}\n{SECOND_STAGE}");
    link::program("boot-selector", Memory(0x1000_0100, 0xFF00), RAM, &boot2);
    for (name, origin) in [("slot-a", 0x1002_0000), ("slot-b", 0x100C_0000), ("slot-factory", 0x1016_0000)] {
        link::slot(name, Memory(origin, 0xA_0000), 512, RAM, NO_SECOND_STAGE);
    }
}
