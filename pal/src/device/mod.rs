//! The traits that the agent drives. They define what a device *can* do; the agent decides when.

mod management;
mod writer;

use super::bisync;
use crate::fault::Fault;
use crate::image::digest::Digest;
use crate::image::header::Component;
use crate::image::identity::ImageInfo;
use crate::image::slot::SlotId;
use crate::platform::{BootState, Part, Reception, Slots};
use crate::refusal::Refusal;
use crate::verify::signature::{Signature, SignatureKind};

pub use management::ImageManagement;
pub use writer::{Size, VerifiedImage, Writer};

/// The operations of a device that an update needs. Other operations on images are in
/// [`ImageManagement`].
///
/// One image is received at a time, into a slot that does not run. Blocks may be written in any order. The boot record
/// names the image for the next boot only after [`activate`](Self::activate). Offsets are relative to the start of the
/// image.
#[bisync]
#[allow(async_fn_in_trait)]
pub trait Platform {
    /// Returns the running image, the confirmed slot and the state of the trial. First completes the raise of the
    /// monotonic record if a power cut interrupted it after the image was confirmed.
    ///
    /// # Cancel safety
    /// The raise may be incomplete; call again.
    ///
    /// # Errors
    /// [`Fault`] if flash cannot be read or the boot record is invalid.
    async fn boot_state(&mut self) -> Result<BootState, Fault>;

    /// Returns the slots of a component, as of the last [`boot_state`](Self::boot_state) or [`begin`](Self::begin); `None`
    /// before these, or if this device does not have the component. A device with one component returns its slots for
    /// [`Component::App`], whichever component it is.
    fn slots(&self, component: Component) -> Option<Slots>;

    /// Selects what the other methods access: a component that [`slots`](Self::slots) returns the slots of. Does nothing on a
    /// device with one component.
    fn select(&mut self, _part: Part) {}

    /// Whether a job can update app and system together: both or neither. Their images are received one after the other, the
    /// app first, each as a [`Part::OfRelease`]; only that of the system is activated.
    fn takes_releases(&self) -> bool {
        false
    }

    /// Returns the digest of the first `image_bytes` of the running slot.
    ///
    /// # Cancel safety
    /// This method has no side effects.
    ///
    /// # Errors
    /// [`Fault::OutOfRange`] beyond the slot, [`Fault::Read`].
    async fn running_digest(&mut self, image_bytes: u32) -> Result<Digest, Fault>;

    /// Copies the newest journal payload to the start of `out` and returns its length; 0 if none is stored.
    ///
    /// # Cancel safety
    /// This method does not change flash.
    ///
    /// # Errors
    /// [`Fault::JournalBufferTooSmall`], [`Fault::Read`].
    async fn load_journal(&mut self, out: &mut [u8]) -> Result<usize, Fault>;

    /// Stores a journal payload. It is durable, with all earlier writes, when this method returns; until then
    /// [`load_journal`](Self::load_journal) returns the earlier payload.
    ///
    /// # Cancel safety
    /// The stored payload is the earlier or the new one.
    ///
    /// # Errors
    /// [`Fault::JournalPayloadTooLong`], and the errors of the flash.
    async fn store_journal(&mut self, payload: &[u8]) -> Result<(), Fault>;

    /// Starts receiving an image of `image_bytes`, and discards the image that was being received.
    ///
    /// The slot is one whose image was being received or is verified, but was not confirmed; otherwise one without an
    /// image, one whose image failed, or the one with the oldest image, in this order. It is never the running slot nor
    /// the factory slot. If its image was being received or is verified, and has this length, its first `keep_bytes`,
    /// rounded down to a sector, count as written, unless the boot loader erases downloads. No slot is erased; the
    /// result of an earlier trial is removed from the boot record.
    ///
    /// # Cancel safety
    /// The slot may or may not be recorded as receiving; call again.
    ///
    /// # Errors
    /// [`Refusal::ImageEmpty`], [`Refusal::ImageTooLarge`], [`Refusal::TrialRunning`] while a trial or a factory reset
    /// is pending or the running image is not confirmed, or a fault.
    async fn begin(&mut self, image_bytes: u32, keep_bytes: u32) -> Result<Reception, Refusal>;

    /// Writes a block and verifies it by reading it back. `offset_bytes` must be a multiple of the flash word, as must
    /// the length of every block but the one at the end of the image. A block may be written once between two calls of
    /// `begin`.
    ///
    /// # Cancel safety
    /// The content of the block is undefined; call `begin` again and keep only what precedes it. The same holds after
    /// an error.
    ///
    /// # Errors
    /// [`Fault::OutOfRange`], [`Fault::NotAligned`], [`Fault::NothingBegun`], and the errors of the flash.
    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), Fault>;

    /// Uses idle time: erases one sector ahead of the writes or, if none is due, hashes one step of the bytes below
    /// `frontier_bytes` from flash. Returns `true` if another step is due now. All bytes below the frontier must have
    /// been written.
    ///
    /// # Cancel safety
    /// The sector is erased again by a later call; hashing continues at the last completed chunk.
    ///
    /// # Errors
    /// [`Fault::NothingBegun`], [`Fault::Erase`], [`Fault::Read`].
    async fn idle_step(&mut self, frontier_bytes: u32) -> Result<bool, Fault>;

    /// Checks the header of the image being received, once its first bytes are written. This early check saves
    /// bandwidth only; [`verify`](Self::verify) checks again.
    ///
    /// # Cancel safety
    /// This method has no side effects.
    ///
    /// # Errors
    /// The [`Refusal`] of the header check.
    async fn check_header(&mut self) -> Result<ImageInfo, Refusal>;

    /// Checks whether an image may have a signature of this kind, or none if `kind` is `None`. This early check saves
    /// bandwidth only; [`verify`](Self::verify) checks again.
    ///
    /// # Errors
    /// [`Refusal::Signature`].
    fn check_kind(&self, kind: Option<SignatureKind>) -> Result<(), Refusal>;

    /// Verifies the received image: hashes it from flash, verifies the signature and checks the header. Returns the
    /// digest, which [`activate`](Self::activate) requires; no block can be written afterwards.
    ///
    /// An image without a signature is accepted only by a device configured with
    /// [`AcceptUnsigned`](crate::AcceptUnsigned). The image is recorded in the database, with `source`, the job that
    /// delivered it.
    ///
    /// # Cancel safety
    /// The image is not verified; call again.
    ///
    /// # Errors
    /// [`Refusal::Signature`], the refusals of the header check, or a fault.
    async fn verify(&mut self, signature: Option<&Signature<'_>>, source: &str) -> Result<Digest, Refusal>;

    /// Returns the digest of the running image if that is confirmed, has this length and matches `signature`; otherwise
    /// `None`.
    ///
    /// # Cancel safety
    /// This method has no side effects.
    ///
    /// # Errors
    /// [`Fault`] if flash cannot be read.
    async fn runs_already(&mut self, image_bytes: u32, signature: &Signature<'_>) -> Result<Option<Digest>, Fault>;

    /// Schedules the trial of a verified image for the next reset: hashes the slot again, then writes the boot record.
    /// Idempotent.
    ///
    /// # Cancel safety
    /// The trial may or may not be scheduled; call again.
    ///
    /// # Errors
    /// [`Refusal::SlotRuns`], [`Refusal::TrialRunning`], [`Refusal::DigestMismatch`], or a fault.
    async fn activate(&mut self, slot: SlotId, digest: &Digest, image_bytes: u32) -> Result<(), Refusal>;

    /// Confirms the running image, then raises the monotonic record to its security counter and to the key epoch of
    /// this program. A raise that fails is retried by [`boot_state`](Self::boot_state). Idempotent.
    ///
    /// # Cancel safety
    /// The image may or may not be confirmed; call again.
    ///
    /// # Errors
    /// [`Fault::NoTrialRuns`] after [`roll_back`](Self::roll_back), or the errors of the flash.
    async fn confirm(&mut self) -> Result<(), Fault>;

    /// Ends the running trial with `reason`; the caller resets. Idempotent: the first reason is kept.
    ///
    /// # Cancel safety
    /// The trial may or may not have ended; call again.
    ///
    /// # Errors
    /// [`Fault::NoTrialRuns`] if the running image is not on trial, or the errors of the flash.
    async fn roll_back(&mut self, reason: u16) -> Result<(), Fault>;

    /// Makes the image in `slot` unbootable by erasing its first sector. Used when the boot records can no longer be
    /// written, so that the boot selector can neither count nor end the trial. Idempotent.
    ///
    /// # Cancel safety
    /// The sector may be partly erased; call again.
    ///
    /// # Errors
    /// [`Refusal::SlotRuns`] for the running and the confirmed slot, or the errors of the flash.
    async fn invalidate(&mut self, slot: SlotId) -> Result<(), Refusal>;

    /// Feeds the watchdog.
    fn feed_watchdog(&mut self);

    /// How often the watchdog is fed while nothing is done; `None` if that is not needed.
    fn watchdog_ms(&self) -> Option<u32>;

    /// Resets the device. Does not return on hardware; a host process exits; a simulated device returns.
    fn reset(&mut self);
}
