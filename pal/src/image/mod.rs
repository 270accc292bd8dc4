//! Descriptions of images, and the check whether a device accepts one. No flash access here.

pub mod accept;
pub mod digest;
pub mod format;
pub mod hardware;
pub mod header;
pub mod identity;
pub mod slot;
pub mod version;
