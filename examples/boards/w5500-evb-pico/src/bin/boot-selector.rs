//! The boot selector.
#![no_std]
#![no_main]

#[cortex_m_rt::entry]
fn main() -> ! {
    w5500_evb_pico::select()
}
