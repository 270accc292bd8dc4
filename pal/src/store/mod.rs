//! The data in flash besides the images: positions and formats. No flash access here.

pub mod boot_record;
pub mod images;
pub mod layout;
pub mod monotonic;
pub(crate) mod record_format;
pub mod region;
