//! The boot selector.
#![no_std]
#![no_main]

#[cortex_m_rt::entry]
fn main() -> ! {
    nucleo_l4r5zi::select()
}
