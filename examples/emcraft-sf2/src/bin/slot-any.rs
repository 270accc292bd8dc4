//! The firmware, linked for the region of DDR that the boot selector copies it to: it may be stored in any slot.
#![no_std]
#![no_main]

use emcraft_sf2::program;

#[cortex_m_rt::entry]
fn main() -> ! {
    program::main()
}
