//! Shared code of the Linux device, its boot selector and the demo: connections, flash layout, and the lines that they
//! print; and the emulated board.

pub mod availability;
pub mod bench;
#[cfg(feature = "demo")]
pub mod certificates;
pub mod connect;
pub mod device;
#[cfg(feature = "demo")]
pub mod emulator;
pub mod lines;
pub mod parent;
