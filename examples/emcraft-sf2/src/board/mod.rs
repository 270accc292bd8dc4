//! Everything that touches registers. The only unsafe code of the firmware is in here, each block with its reason. What depends only
//! on the processor, or on the emulator, is that of the other board.
#![allow(unsafe_code)]

pub mod clock;
pub mod console;
pub mod ddr;
pub mod ethernet;
pub mod handover;
mod interrupts;
pub mod nor;
#[path = "../../../mps2/src/board/random.rs"]
pub mod random;
mod registers;
pub mod reset;
mod spi;
