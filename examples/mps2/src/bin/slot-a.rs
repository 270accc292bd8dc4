//! The firmware, linked for slot a.
#![no_std]
#![no_main]

use mps2::program;

#[cortex_m_rt::entry]
fn main() -> ! {
    program::main()
}
