//! The firmware, linked for slot b.
#![no_std]
#![no_main]

#[cortex_m_rt::entry]
fn main() -> ! {
    w5500_evb_pico::run()
}
