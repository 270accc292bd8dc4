//! Copies one image from region to region such that a power cut at any operation is detectable. `staged` decides which
//! image is copied where.

use super::bisync;
use super::pal::flash::{CHUNK_BYTES, WORD_BYTES_MAX, read, sync, write};
use super::pal::{Flash, erase_sector, hash};
use crate::exact::ImageRef;
use ota_pal::{Fault, HEADER_BYTES, Region, Watchdog};

/// Attempts per copy. A failed copy is retried once, so that a single refused flash operation does not reject an image.
const ATTEMPTS: usize = 2;

const HEADER_END_BYTES: u32 = HEADER_BYTES.next_multiple_of(WORD_BYTES_MAX) as u32;

/// Whether a region holds exactly this image; `false` if the region cannot be read.
#[bisync]
pub(crate) async fn matches<F: Flash, W: Watchdog>(
    flash: &mut F,
    region: Region,
    exact: ImageRef,
    watchdog: &mut W,
) -> bool {
    hash::matches(flash, region, &exact.digest, exact.image_bytes, watchdog).await == Ok(true)
}

/// Makes `to` hold exactly this image, copied from `from`. The header is written after everything else; if the copy
/// fails, `to` has no header.
///
/// # Cancel safety
/// On cancellation `to` has no header, or holds a whole copy, each chunk of which was read back; the copy may not have been
/// hashed yet.
///
/// # Errors
/// [`Fault::OutOfRange`] if the image does not fit, any error of the flash, [`Fault::ReadBack`] if the copy does not
/// have the expected digest.
#[bisync]
pub(crate) async fn copy<F: Flash, W: Watchdog>(
    flash: &mut F,
    from: Region,
    to: Region,
    exact: ImageRef,
    watchdog: &mut W,
) -> Result<(), Fault> {
    let (len_bytes, limit_bytes) = (exact.image_bytes as usize, to.len_bytes().min(from.len_bytes()));
    if exact.image_bytes > limit_bytes || exact.image_bytes < HEADER_END_BYTES {
        return Err(Fault::OutOfRange { offset_bytes: 0, len_bytes, limit_bytes });
    }
    let mut fault = Fault::ReadBack { offset_bytes: to.offset_bytes() };
    for _ in 0..ATTEMPTS {
        match copy_once(flash, from, to, exact.image_bytes, watchdog).await {
            Ok(()) if matches(flash, to, exact, watchdog).await => return Ok(()),
            Ok(()) => {}
            Err(refused) => fault = refused,
        }
    }
    let _ = erase_sector(flash, to.offset_bytes()).await; // already unbootable; a failed erase changes nothing
    Err(fault)
}

/// Copies once. The first sector is erased first and programmed last, with its header last of all.
#[bisync]
async fn copy_once<F: Flash, W: Watchdog>(
    flash: &mut F,
    from: Region,
    to: Region,
    image_bytes: u32,
    watchdog: &mut W,
) -> Result<(), Fault> {
    let sector_bytes = F::ERASE_SIZE as u32;
    erase_sector(flash, to.offset_bytes()).await?;
    watchdog.feed();
    for at in (sector_bytes..image_bytes).step_by(F::ERASE_SIZE) {
        erase_sector(flash, to.offset_bytes() + at).await?;
        watchdog.feed();
        program(flash, from, to, (at, image_bytes.min(at.saturating_add(sector_bytes))), watchdog).await?;
    }
    program(flash, from, to, (HEADER_END_BYTES, image_bytes.min(sector_bytes)), watchdog).await?;
    sync(flash).await?;
    program(flash, from, to, (0, HEADER_END_BYTES), watchdog).await?;
    sync(flash).await
}

/// Programs the bytes between two offsets, and feeds the watchdog after each chunk; `start` is word-aligned. The last word
/// is padded with the bytes that follow in the source.
#[bisync]
async fn program<F: Flash, W: Watchdog>(
    flash: &mut F,
    from: Region,
    to: Region,
    (start, end): (u32, u32),
    watchdog: &mut W,
) -> Result<(), Fault> {
    for at in (start..end).step_by(CHUNK_BYTES) {
        let mut chunk = [0; CHUNK_BYTES];
        let len = ((end - at) as usize).min(CHUNK_BYTES);
        let words = &mut chunk[..len.next_multiple_of(WORD_BYTES_MAX)];
        read(flash, from.offset_bytes() + at, words).await?;
        write(flash, to.offset_bytes() + at, words).await?;
        watchdog.feed();
    }
    Ok(())
}
