//! What an image says of itself, and whether a device accepts it. Nothing here reads flash.

pub mod accept;
pub mod digest;
pub mod format;
pub mod hardware;
pub mod header;
pub mod identity;
pub mod slot;
pub mod version;
