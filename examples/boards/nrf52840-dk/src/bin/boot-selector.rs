//! The boot selector.
#![no_std]
#![no_main]

#[cortex_m_rt::entry]
fn main() -> ! {
    nrf52840_dk::select()
}
