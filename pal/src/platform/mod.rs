//! The trait that the agent drives. What a device *can* do; when to do it is the agent's.

pub mod boot;
pub mod config;
#[cfg(any(test, feature = "std"))]
pub mod contract;
#[cfg(any(test, feature = "std"))]
pub mod file;
pub mod hooks;
pub mod management;
pub mod writer;

use crate::fault::Fault;
use crate::image::digest::Digest;
use crate::image::identity::ImageInfo;
use crate::image::slot::SlotId;
use crate::image::version::Version;
use crate::refusal::Refusal;
use crate::store::boot_record::Trial;
use crate::store::monotonic::RollbackCounters;
use crate::verify::signature::{Signature, SignatureKind};

/// What is known after a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootState {
    /// The slot this program runs from, as the boot selector said.
    pub running: SlotId,
    /// The slot that is booted when no trial is on.
    pub confirmed: SlotId,
    /// The trial, or how the last one ended.
    pub trial: Trial,
    /// What the running image says of itself, `None` if it says nothing.
    pub running_image: Option<ImageInfo>,
    /// Rows of the image database that nobody understands: the images in those slots are not known any more.
    pub broken_rows: u8,
    /// The monotonic record, raised to what the running image asks for if it is confirmed; or why it could not be.
    pub floor: Result<RollbackCounters, Fault>,
}

/// Where the running image stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageState {
    /// It stays: every boot without a trial starts it.
    Confirmed,
    /// It runs on trial and waits for a verdict.
    OnTrial,
    /// Its trial is over: the next boot starts the confirmed image.
    RolledBack,
}

impl BootState {
    /// Where the running image stands, as the boot record says.
    #[must_use]
    pub fn image_state(&self) -> ImageState {
        match self.trial {
            _ if self.running == self.confirmed => ImageState::Confirmed,
            Trial::Pending { slot, .. } | Trial::Started { slot, .. } if slot == self.running => ImageState::OnTrial,
            Trial::None | Trial::Pending { .. } | Trial::Started { .. } | Trial::Ended { .. } => ImageState::RolledBack,
        }
    }
}

/// Where an image that was begun goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reception {
    /// The slot it goes to.
    pub slot: SlotId,
    /// Bytes that are kept from an earlier run; everything from here on must be written.
    pub frontier_bytes: u32,
    /// The version of the image that had to make room: one that was confirmed once, and was the oldest of those.
    pub evicted: Option<Version>,
}

/// What the agent does with a device in the course of an update. What else can be done with its images is in
/// [`ImageManagement`](management::ImageManagement).
///
/// One image is received at a time, into the slot that does not run. Writes may come in any order; the boot record is
/// written by [`activate`](Self::activate), last of all. Offsets count from the start of the image.
#[allow(async_fn_in_trait)]
pub trait Platform {
    /// What booted, and how the last trial stands. Ends first what a cut left half done: the raise of the monotonic record
    /// after a commit. Dropped: call again.
    ///
    /// # Errors
    /// [`Fault`] if flash cannot be read or the boot record is not understood.
    async fn boot_state(&mut self) -> Result<BootState, Fault>;

    /// The digest of the first `image_bytes` of the running slot. Dropped: nothing happened.
    ///
    /// # Errors
    /// [`Fault::OutOfRange`] beyond the slot, [`Fault::Read`].
    async fn running_digest(&mut self, image_bytes: u32) -> Result<Digest, Fault>;

    /// Copies the newest journal payload to the start of `out` and returns its length, 0 if none is stored. Dropped:
    /// nothing happened.
    ///
    /// # Errors
    /// [`Fault::JournalBufferTooSmall`], [`Fault::Read`].
    async fn load_journal(&mut self, out: &mut [u8]) -> Result<usize, Fault>;

    /// Stores a journal payload: durable, with all writes before it, when this returns. At every moment before, the
    /// earlier payload is what [`load_journal`](Self::load_journal) finds. Dropped: the earlier or the new one is found.
    ///
    /// # Errors
    /// [`Fault::JournalPayloadTooLong`], and the flash's own.
    async fn store_journal(&mut self, payload: &[u8]) -> Result<(), Fault>;

    /// Starts receiving an image of `image_bytes`; of an earlier run for as many bytes `keep_bytes`, rounded down to a
    /// sector, are taken as written. It goes to the slot of that run; else to one that holds nothing, else to one whose
    /// image failed, else to that of the oldest image: never to the running one, nor to the factory's. The slots stay as
    /// they are, the trial of an earlier image that ended is forgotten. An image that was being received is given up.
    /// Dropped: nothing happened, or that.
    ///
    /// # Errors
    /// [`Refusal::ImageEmpty`], [`Refusal::ImageTooLarge`], [`Refusal::TrialRunning`] while there is no slot to spare.
    async fn begin(&mut self, image_bytes: u32, keep_bytes: u32) -> Result<Reception, Refusal>;

    /// Writes a block and returns when it reads back. `offset_bytes` is a multiple of the flash word; only the block that
    /// ends the image may have a ragged length. A block is written once between two `begin`s. Dropped, or failed: the
    /// block's place holds anything; `begin` again, keeping what lies below it.
    ///
    /// # Errors
    /// [`Fault::OutOfRange`], [`Fault::NotAligned`], [`Fault::NothingBegun`], and the flash's own.
    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), Fault>;

    /// Erases one sector ahead of the writes; `true` if there is more to do now. Dropped: the sector is erased again.
    ///
    /// # Errors
    /// [`Fault::NothingBegun`], [`Fault::Erase`].
    async fn erase_ahead(&mut self) -> Result<bool, Fault>;

    /// Hashes a step of what lies below `frontier_bytes`, from flash; `true` if there is more to do now. Everything below
    /// must have been written. Dropped: the next call goes on.
    ///
    /// # Errors
    /// [`Fault::NothingBegun`], [`Fault::Read`].
    async fn hash_ahead(&mut self, frontier_bytes: u32) -> Result<bool, Fault>;

    /// Checks the received image's header, once its first bytes are written. Saves bandwidth, decides nothing:
    /// [`seal`](Self::seal) checks again. Dropped: nothing happened.
    ///
    /// # Errors
    /// The [`Refusal`] of the header's check.
    async fn check_header(&mut self) -> Result<ImageInfo, Refusal>;

    /// Whether an image may come with a signature of this kind, or, `None`, without any. Saves bandwidth, decides nothing:
    /// [`seal`](Self::seal) asks again.
    ///
    /// # Errors
    /// [`Refusal::Signature`].
    fn admits(&self, kind: Option<SignatureKind>) -> Result<(), Refusal>;

    /// Decides over the received image: hashes it from flash, verifies the signature, checks the header. Without a signature
    /// it is taken only where the device says so by [`AcceptUnsigned`](crate::AcceptUnsigned). The digest is the seal that
    /// [`activate`](Self::activate) asks for; nothing more can be written then. The database gets its row, with the job that
    /// brought it as `source`. Dropped: not sealed, call again.
    ///
    /// # Errors
    /// [`Refusal::Signature`], the refusals of the header's check, or a fault.
    async fn seal(&mut self, signature: Option<&Signature<'_>>, source: &str) -> Result<Digest, Refusal>;

    /// The running image's digest, if it is confirmed, has this length, and is what `signature` signs; otherwise `None`.
    /// Dropped: nothing happened.
    ///
    /// # Errors
    /// [`Fault`] if flash cannot be read.
    async fn runs_already(&mut self, image_bytes: u32, signature: &Signature<'_>) -> Result<Option<Digest>, Fault>;

    /// Gives a sealed image its trial at the next reset: hashes the slot again, then writes the boot record. Calling again
    /// changes nothing. Dropped: the trial is on or it is not; call again.
    ///
    /// # Errors
    /// [`Refusal::SlotRuns`], [`Refusal::TrialRunning`], [`Refusal::DigestMismatch`], or a fault.
    async fn activate(&mut self, slot: SlotId, digest: &Digest, image_bytes: u32) -> Result<(), Refusal>;

    /// Makes the running image the confirmed one, and then raises the monotonic record to its security counter and to the
    /// key epoch that this program asks for; a raise that fails is tried again by [`boot_state`](Self::boot_state). Calling
    /// again changes nothing. Dropped: confirmed or not; call again.
    ///
    /// # Errors
    /// [`Fault::NoTrialRuns`] after [`roll_back`](Self::roll_back), or the flash's own.
    async fn confirm(&mut self) -> Result<(), Fault>;

    /// Ends the running trial for `reason`; the caller resets. The first reason stays, calling again changes nothing.
    /// Dropped: ended or not; call again.
    ///
    /// # Errors
    /// [`Fault::NoTrialRuns`] if the running image is not on trial, or the flash's own.
    async fn roll_back(&mut self, reason: u16) -> Result<(), Fault>;

    /// Makes the image in `slot` one that cannot be started: erases its first sector. For an image whose trial the boot
    /// selector can neither count nor end, because its records cannot be written any more. Calling again changes nothing.
    /// Dropped: done or not; call again.
    ///
    /// # Errors
    /// [`Refusal::SlotRuns`] for the running slot and the confirmed one, or the flash's own.
    async fn abandon(&mut self, slot: SlotId) -> Result<(), Refusal>;

    /// Feeds the watchdog.
    fn feed_watchdog(&mut self);

    /// Resets the device. Real hardware never returns; a host process exits; a simulated device returns.
    fn reset(&mut self);
}
