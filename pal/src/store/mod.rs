//! What lies in flash beside the images: where, and in which bytes. Nothing here reads or writes.

pub mod boot_record;
pub mod images;
pub mod layout;
pub mod monotonic;
pub(crate) mod record_format;
pub mod region;
