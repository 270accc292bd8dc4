//! Devices that are started by ESP-IDF's second stage bootloader: its boot choice in flash, and its image format. Byte
//! compatible.
//!
//! * [`otadata`]: the 32 bytes that name a slot, and the rule by which the bootloader chooses. Pure.
//! * [`loader`]: the two sectors with the entries, changed such that a power cut leaves the old choice or the new one.
//! * [`image`]: the description that an application image contains.
//! * [`boot`]: implementations of this crate's traits.
//!
//! The bootloader must be built with `CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE`: without it, a trial that hangs is never
//! ended. ESP-IDF stores neither a digest nor a reason; both are in the boot record.

pub mod boot;
pub mod error;
pub mod image;
pub mod loader;
pub mod otadata;

#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

pub use boot::{EspIdf, EspImages};
pub use error::OtaDataError;
pub use image::{Descriptor, Image, ImageError};
pub use loader::OtaData;
pub use otadata::{App, Entry, Sector, Slots, State};
