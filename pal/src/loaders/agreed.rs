//! Readings of image headers that have no checksum: a transient bit error must change neither version nor security counter.

use crate::fault::Fault;
use crate::image::identity::ImageInfo;
use crate::refusal::Refusal;
use crate::store::region::Region;

/// The most readings of one image.
const READINGS_MAX: u32 = 3;

/// Reads until two consecutive results agree, and returns them.
///
/// # Cancel safety
/// That of `read`.
///
/// # Errors
/// The refusal that two readings agree on; [`Fault::Read`] if none of [`READINGS_MAX`] agree.
pub(super) async fn agreed(
    region: Region,
    mut read: impl AsyncFnMut() -> Result<ImageInfo, Refusal>,
) -> Result<ImageInfo, Refusal> {
    let mut found = read().await;
    for _ in 1..READINGS_MAX {
        let earlier = core::mem::replace(&mut found, read().await);
        if found == earlier {
            return found;
        }
    }
    Err(Fault::Read { offset_bytes: region.offset_bytes() }.into())
}
