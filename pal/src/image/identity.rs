//! The fields of an image that a device checks before it accepts the image, whatever its format.

use crate::image::hardware::HardwareId;
use crate::image::header::{Component, Header, Link};
use crate::image::version::{MajorMinor, Version};

/// How much of an image is in flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Available {
    /// At least its first [`HEADER_BYTES`](crate::HEADER_BYTES).
    Head,
    /// All of it.
    Whole,
}

/// The image's description of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageInfo {
    /// The part that it replaces.
    pub component: Component,
    /// The slots that it runs from.
    pub link: Link,
    /// The board it is for; `None` while the bytes that contain it are not yet available.
    pub hardware: Option<HardwareId>,
    /// Its version.
    pub version: Version,
    /// Its security counter; `None` while the bytes that contain it are not yet available.
    pub security_counter: Option<u32>,
    /// Its length in bytes; `None` while the bytes that contain it are not yet available.
    pub image_bytes: Option<u32>,
    /// The lowest version of the system firmware that it runs on.
    pub system_min: MajorMinor,
    /// The release that it belongs to; 0 if it does not state one.
    pub release_id: u64,
}

impl From<Header> for ImageInfo {
    fn from(header: Header) -> Self {
        Self {
            component: header.component,
            link: header.link,
            hardware: Some(header.hardware),
            version: header.version,
            security_counter: Some(header.security_counter),
            image_bytes: Some(header.image_bytes()),
            system_min: header.system_min,
            release_id: header.release_id,
        }
    }
}
