//! What can be done with the images of a device beside updates.

use super::Platform;
use crate::fault::Fault;
use crate::image::digest::Digest;
use crate::image::slot::SlotId;
use crate::image::version::Version;
use crate::refusal::Refusal;
use crate::store::images::Images;
use crate::verify::signature::Signature;

/// The images of a device: which there are, the way back, the factory's, and images of unknown length.
#[allow(async_fn_in_trait)]
pub trait ImageManagement: Platform {
    /// The image being received ends here, before the length that [`begin`](Platform::begin) was told: nothing beyond was
    /// written.
    ///
    /// # Errors
    /// [`Fault::NothingBegun`], [`Fault::OutOfRange`] for a length that begins before what was written, or beyond that of
    /// `begin`.
    fn end_at(&mut self, image_bytes: u32) -> Result<(), Fault>;

    /// What the slots hold. Dropped: nothing happened.
    ///
    /// # Errors
    /// [`Fault`] if flash cannot be read or the boot record is not understood.
    async fn images(&mut self) -> Result<Images, Fault>;

    /// Makes the newest earlier image that was confirmed once, is whole and may still run the confirmed one; the caller
    /// resets. What runs now stays in its slot. Dropped: done or not; call again before a reset.
    ///
    /// # Errors
    /// [`Refusal::NoPreviousImage`], [`Refusal::TrialRunning`] unless the running image is confirmed, or a fault. The device
    /// goes on as it is.
    async fn restore_previous(&mut self) -> Result<SlotId, Refusal>;

    /// Erases the images of this version, and their rows. Dropped, or failed: they may be damaged; call again.
    ///
    /// # Errors
    /// [`Refusal::NoSuchImage`], [`Refusal::SlotRuns`] for the running or confirmed image and the factory's,
    /// [`Refusal::TrialRunning`] for the one on trial, or a fault.
    async fn erase_images(&mut self, version: Version) -> Result<(), Refusal>;

    /// Verifies the image in the factory slot, as [`seal`](Platform::seal) does a received one, and keeps that in the database:
    /// without it there is no factory reset. Dropped: call again.
    ///
    /// # Errors
    /// [`Refusal::NoFactorySlot`], [`Refusal::Signature`], the refusals of the header's check, or a fault.
    async fn verify_factory(&mut self, signature: &Signature<'_>) -> Result<Digest, Refusal>;

    /// Orders a factory reset, which the boot selector carries out: all slots and rows but the factory's are erased, and its
    /// image runs. The monotonic record stays. The caller resets. Dropped: ordered or not; call again.
    ///
    /// # Errors
    /// [`Refusal::NoFactorySlot`], [`Refusal::FactoryNotVerified`], [`Refusal::DigestMismatch`] if its image was damaged,
    /// [`Refusal::SecurityCounterTooLow`] if it may not run any more, or a fault.
    async fn factory_reset(&mut self) -> Result<(), Refusal>;
}
