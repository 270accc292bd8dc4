//! Everything that touches registers. The only unsafe code of the firmware is in here, each block with its reason.
#![allow(unsafe_code)]

pub mod clock;
pub mod console;
pub mod ethernet;
mod interrupts;
pub mod nor;
pub mod random;
mod registers;
pub mod reset;
pub mod watchdog;
