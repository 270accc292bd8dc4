//! What the Linux device, its boot selector and the demo share: how they connect, what their flash file looks like, and
//! the lines that they print.

pub mod connect;
pub mod device;
pub mod lines;
pub mod parent;
pub mod rig;
