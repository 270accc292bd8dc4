//! The board SF2 of Emcraft, as QEMU emulates it: a SmartFusion2 with a Cortex-M3 at 142 MHz, Ethernet, 64 MiB of DDR, and 16 MiB of
//! NOR flash behind SPI, from which no code runs.
//!
//! `board` is everything that touches registers, `layout` where images and records are. The programs are in `bin`: the boot
//! selector, which copies an image to DDR, and the firmware, which is linked once.
#![no_std]
#![deny(unsafe_code, missing_docs)]

pub mod board;
pub mod layout;
pub mod program;
