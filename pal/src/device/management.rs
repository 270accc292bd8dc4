//! Operations on the images of a device apart from updates.

use super::super::bisync;
use super::Platform;
use crate::fault::Fault;
use crate::image::digest::Digest;
use crate::image::slot::SlotId;
use crate::image::version::Version;
use crate::refusal::Refusal;
use crate::store::images::Images;
use crate::verify::signature::Signature;

/// Image management: the list of images, rollback on command, the factory image, and images of unknown length.
#[bisync]
#[allow(async_fn_in_trait)]
pub trait ImageManagement: Platform {
    /// Sets the length of the image being received to `image_bytes`, at most the length passed to
    /// [`begin`](Platform::begin).
    ///
    /// # Errors
    /// [`Fault::NothingBegun`]; [`Fault::OutOfRange`] if `image_bytes` is below the end of the data written, or above
    /// the length passed to `begin`.
    fn end_at(&mut self, image_bytes: u32) -> Result<(), Fault>;

    /// Returns the image of each slot.
    ///
    /// # Cancel safety
    /// This method has no side effects.
    ///
    /// # Errors
    /// [`Fault`] if flash cannot be read or the boot record is invalid.
    async fn images(&mut self) -> Result<Images, Fault>;

    /// Confirms the newest earlier image that was confirmed before, is intact and passes the rollback check; the caller
    /// resets. The running image remains in its slot.
    ///
    /// # Cancel safety
    /// The switch may or may not be stored; call again before a reset.
    ///
    /// # Errors
    /// [`Refusal::NoPreviousImage`], [`Refusal::TrialRunning`] unless the running image is confirmed, or a fault. The
    /// confirmed image is then unchanged.
    async fn restore_previous(&mut self) -> Result<SlotId, Refusal>;

    /// Erases the images of this version, and their rows in the database.
    ///
    /// # Cancel safety
    /// The images may be partly erased; call again. The same holds after an error.
    ///
    /// # Errors
    /// [`Refusal::NoSuchImage`], [`Refusal::SlotRuns`] for the running, the confirmed and the factory image,
    /// [`Refusal::TrialRunning`] for the image on trial and for one that waits for the system of its release, or a fault.
    async fn erase_images(&mut self, version: Version) -> Result<(), Refusal>;

    /// Verifies the image in the factory slot, as [`verify`](Platform::verify) does for a received one, and records the
    /// result in the database. A factory reset requires it.
    ///
    /// # Cancel safety
    /// The result may not be recorded; call again.
    ///
    /// # Errors
    /// [`Refusal::NoFactorySlot`], [`Refusal::Signature`], the refusals of the header check, or a fault.
    async fn verify_factory(&mut self, signature: &Signature<'_>) -> Result<Digest, Refusal>;

    /// Requests a factory reset, which the boot selector performs: it erases all slots and rows except the factory's,
    /// and starts the factory image. The monotonic record is kept. The caller resets.
    ///
    /// # Cancel safety
    /// The request may or may not be stored; call again.
    ///
    /// # Errors
    /// [`Refusal::NoFactorySlot`], [`Refusal::FactoryNotVerified`], [`Refusal::DigestMismatch`] if the factory image is
    /// damaged, [`Refusal::SecurityCounterTooLow`] if it fails the rollback check, or a fault.
    async fn factory_reset(&mut self) -> Result<(), Refusal>;
}
