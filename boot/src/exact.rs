//! An image identified by digest and length.

use ota_pal::Digest;

/// The digest and length of an image in flash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImageRef {
    pub(crate) digest: Digest,
    pub(crate) image_bytes: u32,
}
