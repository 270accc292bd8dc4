//! The firmware, linked for slot b.
#![no_std]
#![no_main]

#[cortex_m_rt::entry]
fn main() -> ! {
    nucleo_h743zi::run()
}
