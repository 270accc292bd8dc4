//! Reads the native header of an image from flash.

use super::super::bisync;
use super::super::flash::{self, Flash};
use crate::fault::Fault;
use crate::image::header::{HEADER_BYTES, Header, HeaderError};
use crate::store::region::Region;

/// Reads the header at the start of a slot. An invalid header is read once more, because a transient bit error must
/// neither prevent a boot nor cause the image to be refused.
///
/// # Cancel safety
/// This function has no side effects.
///
/// # Errors
/// [`Fault::Read`]; the inner error if there is no valid header.
#[bisync]
pub async fn read_header<F: Flash>(flash: &mut F, region: Region) -> Result<Result<Header, HeaderError>, Fault> {
    let mut bytes = [0; HEADER_BYTES];
    flash::read(flash, region.at(0), &mut bytes).await?;
    if let Ok(header) = Header::parse(&bytes) {
        return Ok(Ok(header));
    }
    flash::read(flash, region.at(0), &mut bytes).await?;
    Ok(Header::parse(&bytes))
}
