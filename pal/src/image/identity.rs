//! What an image says of itself, whatever its format: what a device asks before it takes it.

use crate::image::hardware::HardwareId;
use crate::image::header::{Component, Header, Link};
use crate::image::version::Version;

/// How much of an image lies in flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Available {
    /// Its first [`HEADER_BYTES`](crate::HEADER_BYTES) at least.
    Head,
    /// All of it.
    Whole,
}

/// What an image says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageInfo {
    /// What it replaces.
    pub component: Component,
    /// Where it runs.
    pub link: Link,
    /// The board it is for; `None` while the place where its format has it is not there yet.
    pub hardware: Option<HardwareId>,
    /// Its version.
    pub version: Version,
    /// Its security counter; `None` while the place where its format has it is not there yet.
    pub security_counter: Option<u32>,
    /// Its length; `None` while the places where its format has it are not there yet.
    pub image_bytes: Option<u32>,
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
        }
    }
}
