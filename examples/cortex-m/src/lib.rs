//! What depends only on the processor, for the programs of all boards.
//!
//! * [`executor`]: runs the tasks of a firmware.
//! * [`program`]: the program that runs, and the jump to another one.
//! * [`report`]: the line that a boot selector prints.
//! * [`number`]: numbers as text, without `core::fmt`.
//! * [`stack`]: how much of the stack was used.
#![no_std]
#![deny(missing_docs)]

pub mod executor;
pub mod number;
pub mod program;
pub mod report;
pub mod stack;
