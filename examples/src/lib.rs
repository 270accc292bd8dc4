//! Shared code of the Linux device, its boot selector and the demo: connections, flash layout, and the lines that they
//! print.

pub mod availability;
pub mod bench;
pub mod connect;
pub mod device;
pub mod lines;
pub mod parent;
