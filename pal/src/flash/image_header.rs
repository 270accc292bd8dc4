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

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Flips, Ram, header, image, run};
    use super::*;
    use crate::image::version::Version;

    #[test]
    fn a_header_that_is_misread_once_is_read_and_one_that_is_misread_twice_is_none() {
        let header = header(Version::new(1, 0, 2), 200);
        let mut bytes = image(&header);
        bytes.resize(1024, 0xFF);
        let (mut flash, region) = (Ram::<4, 4, 1024>::holding(bytes), Region::new(0, 1024));
        assert_eq!(run(read_header(&mut Flips(&mut flash, 1), region)), Ok(Ok(header)));
        assert!(matches!(run(read_header(&mut Flips(&mut flash, 2), region)), Ok(Err(HeaderError::NotAnImage { .. }))));
    }
}
