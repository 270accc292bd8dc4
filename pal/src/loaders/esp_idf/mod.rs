//! Devices that ESP-IDF's second stage bootloader starts: its choice in flash, and its image format. Byte compatible.
//!
//! * [`otadata`]: the 32 bytes that name a slot, and the rule by which the bootloader chooses. Pure.
//! * [`loader`]: the two sectors they lie in, changed so that a power cut leaves the old choice or the new one.
//! * [`image`]: what an application image says about itself.
//! * [`boot`]: both behind the traits of this crate.
//!
//! The bootloader must be built with `CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE`: without it nobody ends a trial that hangs.
//! ESP-IDF keeps neither a digest nor a reason; both stay in a record of our own.

pub mod boot;
pub mod error;
pub mod image;
pub mod loader;
pub mod otadata;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use boot::{EspIdf, EspImages};
pub use error::OtaDataError;
pub use image::{Descriptor, Image, ImageError};
pub use loader::OtaData;
pub use otadata::{App, Entry, Sector, Slots, State};
