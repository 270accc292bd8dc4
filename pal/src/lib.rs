//! Device-side platform: image headers, flash slots, the journal, the boot record and signatures.
//!
//! The crate contains no jobs, networking or JSON. The agent drives [`Platform`]; [`Native`] implements it over any NOR
//! flash. The modules, in the order of an update:
//!
//! * [`flash`]: three operations and a barrier, and what is built on them: checked writes, hashes, records.
//! * [`image`]: the header of every image, and the check that decides whether this device accepts it.
//! * [`native`]: the implementation of [`Platform`]: receives an image, verifies it, activates it, confirms it.
//! * [`verify`]: signatures and keys.
//! * [`store`]: the flash layout and the encoding of its contents: boot record, image database, monotonic record.
//! * [`device`]: the traits that the agent drives, and the receiver of a sequential image.
//! * [`platform`]: state, configuration and hooks; `conformance`, the checks for a port (feature `std`).
//! * [`loaders`]: boot loaders other than ours, each behind a feature.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(any(test, feature = "std"))]
extern crate std;

mod bytes;
mod crc;
mod print;
#[path = "flash/yielding.rs"]
mod yielding;

pub mod fault;
pub mod image;
pub mod platform;
pub mod refusal;
pub mod store;
pub mod verify;

#[cfg(test)]
mod fixtures;

// The modules that wait for flash are compiled twice from one source: as written, and for blocking drivers without
// `async` and `.await`, so that the compiler generates no futures: smaller code (`tests/size/run`). `#[bisync]` makes the
// difference; an item marked `only_async` or `only_sync` is in one form only.

/// The modules that access flash, for async drivers. The crate root re-exports these names.
#[path = "."]
pub mod asynchronous {
    pub mod device;
    pub mod flash;
    pub mod loaders;
    pub mod native;
    #[cfg(test)]
    pub(crate) mod testing;

    pub(crate) use bisync_macros::{
        internal_delete as only_sync, internal_noop as bisync, internal_noop as only_async,
    };

    pub use device::{ImageManagement, Platform, Size, VerifiedImage, Writer};
    pub use flash::boot_records::BootRecords;
    pub use flash::floors::MonotonicRecords;
    pub use flash::image_header::read_header;
    pub use flash::joined::ConcatFlash;
    pub use flash::{Async, Blocking, Flash, erase_sector, hash, is_erased, poll_ready};
    pub use loaders::bridge::{Loader, LoaderBridge};
    pub use native::Native;
    pub use native::boot_control::{BootControl, ImageFormat, OwnFormat, OwnSelector};
    pub use native::components::Components;
    pub use native::erase::erase_slots;
}

/// The modules that access flash, for blocking drivers: the same source without `async`, and smaller.
#[path = "."]
#[allow(clippy::duplicate_mod)]
pub mod blocking {
    pub mod device;
    pub mod flash;
    pub mod native;
    #[cfg(test)]
    pub(crate) mod testing;

    pub(crate) use bisync_macros::{
        internal_delete as only_async, internal_noop as only_sync, internal_strip_async as bisync,
    };
    pub use device::{ImageManagement, Platform, Size, VerifiedImage, Writer};
    pub use flash::boot_records::BootRecords;
    pub use flash::floors::MonotonicRecords;
    pub use flash::image_header::read_header;
    pub use flash::joined::ConcatFlash;
    pub use flash::{Blocking, Flash, erase_sector, hash, is_erased};
    pub use native::Native;
    pub use native::boot_control::{BootControl, ImageFormat, OwnFormat, OwnSelector};
    pub use native::components::Components;
    pub use native::erase::erase_slots;
}

pub use asynchronous::{
    Async, Blocking, BootControl, BootRecords, Components, ConcatFlash, Flash, ImageFormat, ImageManagement, Loader,
    LoaderBridge, MonotonicRecords, Native, OwnFormat, OwnSelector, Platform, Size, VerifiedImage, Writer, device,
    erase_sector, erase_slots, flash, hash, is_erased, loaders, native, poll_ready, read_header,
};

#[cfg(feature = "littlefs")]
pub use flash::littlefs::FileSlots;
#[cfg(any(test, feature = "std"))]
pub use platform::file::FileFlash;

pub use fault::Fault;
pub use image::accept::{AcceptancePolicy, VersionRule};
pub use image::digest::{Digest, DigestInvalid};
pub use image::format::FormatError;
pub use image::hardware::{HardwareId, HardwareIdInvalid};
pub use image::header::{Component, HEADER_BYTES, Header, HeaderError, Link};
pub use image::identity::{Available, ImageInfo};
pub use image::slot::{SLOTS_MAX, SlotId};
pub use image::version::{MajorMinor, Version, VersionTextInvalid};
pub use platform::boot::{BootStatus, Change, LoaderState};
pub use platform::config::{ConfigError, DeviceConfig, JOURNAL_PAYLOAD_BYTES_MAX, TRIAL_ATTEMPTS_DEFAULT};
pub use platform::hooks::{NoWatchdog, Reset, Watchdog};
pub use platform::{BootState, ImageState, Part, Reception, Slots};
pub use refusal::Refusal;
pub use store::boot_record::{
    BootRecord, POWER_LOSSES_MAX, REASON_ATTEMPTS_EXHAUSTED, REASON_TRIAL_IMAGE_CORRUPT, TRIAL_ATTEMPTS_MAX, Trial,
};
pub use store::images::{Image, ImageStatus, Images, Source};
pub use store::layout::{Geometry, Layout, LayoutError, RecordRegions};
pub use store::monotonic::RollbackCounters;
pub use store::region::Region;
pub use verify::keys::{Key, KeyError, KeySet, SIGNATURE_BYTES_MAX};
pub use verify::signature::{AcceptDigest, AcceptUnsigned, Signature, SignatureKind, SignatureRefusal, Verifier};
pub use yielding::Yielding;
