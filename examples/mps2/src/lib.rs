//! The board MPS2 with the image AN385, as QEMU emulates it: a Cortex-M3 at 25 MHz with Ethernet, and 16 MiB of memory that serve
//! as NOR flash, because QEMU keeps them in a file.
//!
//! `board` is everything that touches registers, `layout` where images and records are. The programs are in `bin`: the boot
//! selector, and the firmware once for each slot, because its code runs in place.
#![no_std]
#![deny(unsafe_code, missing_docs)]

pub mod board;
pub mod layout;
pub mod program;
