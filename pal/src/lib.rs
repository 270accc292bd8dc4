//! What a device can do: image header, flash slots, journal, boot record and signatures.
//!
//! The crate knows nothing of jobs, networks or JSON. The agent drives [`Platform`]; [`Native`] implements it over
//! any NOR flash. A tour, in the order of an update:
//!
//! * [`flash`]: the three operations everything stands on, and a barrier; [`layout`] says what lies where.
//! * [`header`]: the first bytes of every image; [`accept`]: the check that decides whether this device takes it.
//! * `slots`: writes blocks into the slot that does not run, and reads back what it wrote.
//! * [`digest`]: SHA-256 over flash, in steps. [`signature`]: who may sign, and whether they did.
//! * `records`: payloads that survive a power cut at any moment: the journal, [`boot_record`] with the database of
//!   [`images`], and [`monotonic`], which is only ever raised.
//! * [`platform`]: the trait and its errors. [`native`]: the implementation.
//! * [`writer`]: an image that comes piece by piece, by other ways than the agent's.
//! * `contract`: what every platform must promise, as checks that a port is put through (feature `std`).
//! * [`mcuboot`]: the trailers and images of a boot loader that is not ours.
//! * `embassy_boot`: the marks of another (feature `embassy-boot`).
//! * [`esp_idf`]: devices that ESP-IDF's bootloader starts, behind the doors of [`boot_control`] and [`foreign`].
//! * [`joined`]: two parts as one flash, for images that wait outside the controller.
//! * `littlefs`: slots that are files of a littlefs2 file system (feature `littlefs`).
//! * `file`: a flash that is a file, for Linux devices and tests (feature `std`).
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(any(test, feature = "std"))]
extern crate std;

mod bytes;
mod crc;
mod der;
pub mod keys;
mod print;
mod records;
mod slots;

pub mod accept;
pub mod boot_control;
pub mod boot_record;
#[cfg(any(test, feature = "std"))]
pub mod contract;
pub mod digest;
#[cfg(feature = "embassy-boot")]
pub mod embassy_boot;
pub mod esp_idf;
pub mod fault;
#[cfg(any(test, feature = "std"))]
pub mod file;
pub mod flash;
pub mod foreign;
pub mod format;
pub mod hardware;
pub mod hash;
pub mod header;
pub mod hooks;
pub mod identity;
pub mod images;
pub mod joined;
pub mod layout;
#[cfg(feature = "littlefs")]
pub mod littlefs;
pub mod mcuboot;
pub mod monotonic;
pub mod native;
pub mod platform;
pub mod refusal;
pub mod region;
pub mod signature;
pub mod slot;
pub mod version;
pub mod wipe;
pub mod writer;

#[cfg(test)]
mod testing;

pub use accept::{Accept, VersionRule};
pub use boot_control::{BootControl, Change, Found, ImageFormat, OwnFormat, OwnSelector};
pub use boot_record::{BootRecord, BootRecords, Trial};
pub use digest::Digest;
pub use fault::Fault;
#[cfg(any(test, feature = "std"))]
pub use file::FileFlash;
pub use flash::{Async, Blocking, Flash, erase_sector, is_erased, now};
pub use foreign::{Foreign, Loader, LoaderState};
pub use format::FormatError;
pub use hardware::{HardwareId, HardwareIdInvalid};
pub use header::{Component, HEADER_BYTES, Header, HeaderError, Link};
pub use hooks::{NoWatchdog, Reset, Watchdog};
pub use identity::{Extent, Identity};
pub use images::{Image, Images, Source, Standing};
pub use joined::Joined;
pub use keys::{Key, KeyError, KeySet, SIGNATURE_BYTES_MAX};
pub use layout::{Geometry, Layout, LayoutError, RecordRegions};
#[cfg(feature = "littlefs")]
pub use littlefs::FileSlots;
pub use monotonic::{Floor, Floors};
pub use native::{Config, ConfigError, JOURNAL_PAYLOAD_BYTES_MAX, Native};
pub use platform::{Begun, BootState, ImageState, Platform};
pub use refusal::Refusal;
pub use region::Region;
pub use signature::{AcceptUnsigned, Signature, SignatureKind, SignatureRefusal, Verifier};
pub use slot::{SLOTS_MAX, SlotId};
pub use slots::read_header;
pub use version::{Version, VersionTextInvalid};
pub use wipe::erase_slots;
pub use writer::{Sealed, Size, Writer};
