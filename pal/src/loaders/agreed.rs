//! Readings of image headers that have no checksum: a transient bit error must change neither version nor security counter.

use crate::fault::Fault;
use crate::image::identity::ImageInfo;
use crate::refusal::Refusal;
use crate::store::region::Region;

/// Reads until two of up to three results agree, and returns these.
///
/// # Cancel safety
/// That of `read`.
///
/// # Errors
/// The refusal that two readings agree on; [`Fault::Read`] if no two do.
pub(super) async fn agreed(
    region: Region,
    mut read: impl AsyncFnMut() -> Result<ImageInfo, Refusal>,
) -> Result<ImageInfo, Refusal> {
    let (first, second) = (read().await, read().await);
    if first == second {
        return first;
    }
    let third = read().await;
    if third == first || third == second {
        third
    } else {
        Err(Fault::Read { offset_bytes: region.offset_bytes() }.into())
    }
}
