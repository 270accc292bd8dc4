//! SHA-256 over flash, in bounded steps so that a watchdog can be fed and the network served between them.

use super::super::bisync;
use sha2::{Digest as _, Sha256};

use super::super::flash::{self, CHUNK_BYTES, Flash};
use crate::fault::Fault;
use crate::image::digest::Digest;
use crate::platform::hooks::Watchdog;
use crate::store::region::Region;

/// Maximum number of bytes hashed by one step.
pub const HASH_STEP_BYTES: u32 = 4096;

/// Returns the digest of the first `image_bytes` of a region, read from flash, and feeds the watchdog after each step.
/// Both the platform of the agent and boot selectors use it.
///
/// # Cancel safety
/// This function has no side effects.
///
/// # Errors
/// [`Fault::OutOfRange`] if the image is longer than the region, [`Fault::Read`].
#[bisync]
pub async fn digest<F: Flash, W: Watchdog>(
    flash: &mut F,
    region: Region,
    image_bytes: u32,
    watchdog: &mut W,
) -> Result<Digest, Fault> {
    if image_bytes > region.len_bytes() {
        let (offset_bytes, len_bytes, limit_bytes) = (0, image_bytes as usize, region.len_bytes());
        return Err(Fault::OutOfRange { offset_bytes, len_bytes, limit_bytes });
    }
    let mut hashing = Hashing::new();
    while hashing.hashed_bytes() < image_bytes {
        hashing.step(flash, region, image_bytes).await?;
        watchdog.feed();
    }
    Ok(hashing.finish())
}

/// Returns whether a region contains exactly the image of this digest and length. A mismatch is checked a second time,
/// because a transient bit error must cause neither the loss of an image nor a copy.
///
/// # Cancel safety
/// This function has no side effects.
///
/// # Errors
/// [`Fault::Read`] if both attempts fail, [`Fault::OutOfRange`].
#[bisync]
pub async fn matches<F: Flash, W: Watchdog>(
    flash: &mut F,
    region: Region,
    wanted: &Digest,
    image_bytes: u32,
    watchdog: &mut W,
) -> Result<bool, Fault> {
    let first = digest(flash, region, image_bytes, watchdog).await;
    if first == Ok(*wanted) {
        return Ok(true);
    }
    let second = digest(flash, region, image_bytes, watchdog).await;
    second.or(first).map(|found| found == *wanted)
}

/// A hash in progress. It covers every byte below `hashed_bytes` exactly once.
#[derive(Clone)]
pub(crate) struct Hashing {
    state: Sha256,
    hashed_bytes: u32,
}

#[bisync]
impl Hashing {
    pub(crate) fn new() -> Self {
        Self { state: Sha256::new(), hashed_bytes: 0 }
    }

    /// Returns the number of bytes hashed so far.
    pub(crate) fn hashed_bytes(&self) -> u32 {
        self.hashed_bytes
    }

    /// Continues the hash towards `limit_bytes`, by at most [`HASH_STEP_BYTES`]. A limit that is not a multiple of
    /// [`CHUNK_BYTES`] must be the end of the image, because the next read starts at `hashed_bytes`.
    ///
    /// # Cancel safety
    /// The hash and `hashed_bytes` are consistent; the next step continues there.
    pub(crate) async fn step<F: Flash>(
        &mut self,
        flash: &mut F,
        region: Region,
        limit_bytes: u32,
    ) -> Result<(), Fault> {
        let limit_bytes = limit_bytes.min(self.hashed_bytes.saturating_add(HASH_STEP_BYTES));
        while self.hashed_bytes < limit_bytes {
            let wanted = ((limit_bytes - self.hashed_bytes) as usize).min(CHUNK_BYTES);
            let whole_words = wanted.next_multiple_of(flash::word_bytes::<F>() as usize);
            let mut chunk = [0; CHUNK_BYTES];
            flash::read(flash, region.at(self.hashed_bytes), &mut chunk[..whole_words]).await?;
            self.state.update(&chunk[..wanted]);
            self.hashed_bytes += wanted as u32;
        }
        Ok(())
    }

    /// Returns the digest of all bytes hashed.
    pub(crate) fn finish(self) -> Digest {
        Digest(self.state.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Flips, Ram, run, sha256};
    use super::*;

    struct Counting(u32);

    impl Watchdog for Counting {
        fn feed(&mut self) {
            self.0 += 1;
        }
    }

    #[test]
    fn the_watchdog_is_fed_at_every_step_of_a_hash() {
        let mut flash = Ram::<4, 4, 1024>::new(16);
        let mut watchdog = Counting(0);
        let region = Region::new(0, 16 * 1024);
        let found = run(digest(&mut flash, region, 3 * HASH_STEP_BYTES + 1, &mut watchdog));
        assert_eq!(found, Ok(sha256(&[0xFF; 3 * HASH_STEP_BYTES as usize + 1])));
        assert_eq!(watchdog.0, 4);
    }

    #[test]
    fn an_image_longer_than_its_region_is_refused() {
        let mut flash = Ram::<4, 4, 1024>::new(4);
        let refused = run(digest(&mut flash, Region::new(0, 1024), 1025, &mut Counting(0)));
        assert_eq!(refused, Err(Fault::OutOfRange { offset_bytes: 0, len_bytes: 1025, limit_bytes: 1024 }));
    }

    #[test]
    fn an_image_as_long_as_its_region_is_hashed_and_found_if_every_byte_is_its_own() {
        let (mut flash, region) = (Ram::<4, 4, 1024>::new(2), Region::new(1024, 1024));
        let whole = sha256(&[0xFF; 1024]);
        assert_eq!(run(digest(&mut flash, region, 1024, &mut Counting(0))), Ok(whole));
        assert_eq!(run(matches(&mut flash, region, &whole, 1024, &mut Counting(0))), Ok(true));
        flash.bytes[2047] = 0xFE;
        assert_eq!(run(matches(&mut flash, region, &whole, 1024, &mut Counting(0))), Ok(false));
    }
    /// One reading of four is wrong in the first of two hashes, or in both.
    #[test]
    fn an_image_that_is_misread_once_is_found_and_one_that_is_misread_twice_is_not() {
        let (mut flash, region) = (Ram::<4, 4, 1024>::new(1), Region::new(0, 1024));
        let whole = sha256(&[0xFF; 1024]);
        for (misread, found) in [(1, true), (4, true), (5, false)] {
            let mut flash = Flips(&mut flash, misread);
            assert_eq!(run(matches(&mut flash, region, &whole, 1024, &mut Counting(0))), Ok(found), "{misread}");
        }
    }
}
