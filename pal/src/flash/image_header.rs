//! Reads the native header of an image from flash.

use super::super::bisync;
use super::super::flash::{self, Flash};
use crate::fault::Fault;
use crate::image::header::{HEADER_BYTES, Header, HeaderError};
use crate::store::region::Region;

/// The header at the start of a slot. What is none is read once more: one bit misread must not stop a boot, nor refuse an
/// image. Dropped: nothing happened.
///
/// # Errors
/// [`Fault::Read`]; the inner error if there is no header.
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
