//! The firmware, linked for slot b.
#![no_std]
#![no_main]

use mps2::program;

#[cortex_m_rt::entry]
fn main() -> ! {
    program::main()
}
