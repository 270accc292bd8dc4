//! The firmware, linked for the factory slot.
#![no_std]
#![no_main]

use mps2::program;

#[cortex_m_rt::entry]
fn main() -> ! {
    program::main()
}
