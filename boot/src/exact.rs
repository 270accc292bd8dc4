//! An image by its digest and length.

use ota_pal::Digest;

/// An image where it lies, and what it hashes to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImageRef {
    pub(crate) digest: Digest,
    pub(crate) image_bytes: u32,
}
