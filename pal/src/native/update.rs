//! The steps of an update: receive, verify, activate, confirm or roll back.

use super::super::bisync;
use super::super::flash::{self, Flash};
use super::super::native::boot_control::BootControl;
use super::super::native::slots::SlotWriter;
use super::Native;
use crate::fault::Fault;
use crate::image::digest::Digest;
use crate::image::header::Component;
use crate::image::identity::{Available, ImageInfo};
use crate::image::slot::SlotId;
use crate::platform::boot::{BootStatus, Change};
use crate::platform::hooks::{Reset, Watchdog};
use crate::platform::{BootState, Reception, Slots};
use crate::refusal::Refusal;
use crate::store::boot_record::{BootRecord, Trial};
use crate::store::images::{Image, ImageStatus, Images, Source};
use crate::verify::signature::Signature;
use crate::verify::signature::{SignatureKind, Verifier};

#[bisync]
impl<F: Flash, V: Verifier, R: Reset, W: Watchdog, B: BootControl> Native<F, V, R, W, B> {
    /// See [`Platform::boot_state`](crate::Platform::boot_state).
    pub async fn boot_state(&mut self) -> Result<BootState, Fault> {
        let BootStatus { running, record } = self.found().await?;
        // The shortest image fits every slot, and there are at least two.
        let free = self.slot_for(running, &record.images, 1).unwrap_or(running);
        self.slots = Some(Slots { running, free });
        let BootRecord { confirmed, trial, broken_rows, .. } = record;
        let running_image = self.running_identity(running).await?;
        let floor = match running == confirmed {
            true => self.raise_floor(running_image).await,
            false => self.floors.load(&mut self.flash).await,
        };
        Ok(BootState { running, confirmed, free, trial, running_image, app_of_release: None, broken_rows, floor })
    }

    /// See [`Platform::slots`](crate::Platform::slots).
    pub fn slots(&self, component: Component) -> Option<Slots> {
        self.slots.filter(|_| component == Component::App || component == self.config.component)
    }

    /// See [`Platform::running_digest`](crate::Platform::running_digest).
    pub async fn running_digest(&mut self, image_bytes: u32) -> Result<Digest, Fault> {
        let running = self.found().await?.running;
        self.hash(running, image_bytes).await
    }

    /// See [`Platform::load_journal`](crate::Platform::load_journal).
    pub async fn load_journal(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        Ok(self.journal.load(&mut self.flash, out).await?.unwrap_or(0))
    }

    /// See [`Platform::store_journal`](crate::Platform::store_journal).
    pub async fn store_journal(&mut self, payload: &[u8]) -> Result<(), Fault> {
        self.journal.store(&mut self.flash, payload).await
    }

    /// See [`Platform::begin`](crate::Platform::begin).
    pub async fn begin(&mut self, image_bytes: u32, keep_bytes: u32) -> Result<Reception, Refusal> {
        let BootStatus { running, mut record } = self.status_without_trial().await?;
        let slot = self.slot_for(running, &record.images, image_bytes)?;
        // First, so that a power cut leaves the earlier image with its row and without the loader's state.
        self.boot.vacate(&mut self.flash, running, slot).await?;
        self.slots = Some(Slots { running, free: slot });
        let earlier = record.images.get(slot);
        let status = earlier.filter(|earlier| earlier.image_bytes == image_bytes).map(|earlier| earlier.status);
        let keep_bytes = match status {
            Some(ImageStatus::Receiving | ImageStatus::Verified) if !B::ERASES_DOWNLOADS => keep_bytes.min(image_bytes),
            _ => 0,
        };
        let evicted = earlier.filter(|earlier| earlier.status.was_confirmed()).map(|earlier| earlier.version);
        if status != Some(ImageStatus::Receiving) || record.trial != Trial::None {
            record.trial = Trial::None; // it belongs to an earlier image
            record.images.set(slot, Some(Image::receiving(image_bytes)));
            self.store(&record, Change::RecordOnly).await?;
        }
        let frontier_bytes = keep_bytes - keep_bytes % F::ERASE_SIZE as u32;
        self.incoming = Some(SlotWriter::new(slot, self.region(slot), image_bytes, frontier_bytes));
        Ok(Reception { slot, frontier_bytes, evicted })
    }

    /// See [`Platform::write`](crate::Platform::write).
    pub async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), Fault> {
        let incoming = self.incoming.as_mut().ok_or(Fault::NothingBegun)?;
        incoming.write(&mut self.flash, &mut self.watchdog, offset_bytes, bytes).await
    }

    /// See [`ImageManagement::end_at`](crate::ImageManagement::end_at).
    pub fn end_at(&mut self, image_bytes: u32) -> Result<(), Fault> {
        self.incoming.as_mut().ok_or(Fault::NothingBegun)?.end_at(image_bytes)
    }

    /// See [`Platform::idle_step`](crate::Platform::idle_step).
    pub async fn idle_step(&mut self, frontier_bytes: u32) -> Result<bool, Fault> {
        let incoming = self.incoming.as_mut().ok_or(Fault::NothingBegun)?;
        if incoming.erase_ahead(&mut self.flash).await? {
            return Ok(true);
        }
        incoming.hash_ahead(&mut self.flash, frontier_bytes).await
    }

    /// See [`Platform::check_header`](crate::Platform::check_header).
    pub async fn check_header(&mut self) -> Result<ImageInfo, Refusal> {
        let incoming = self.incoming.as_ref().ok_or(Fault::NothingBegun)?;
        let (slot, image_bytes) = (incoming.slot, incoming.image_bytes);
        let running = self.found().await?.running;
        let running = self.running_identity(running).await?;
        self.checked(slot, Available::Head, image_bytes, running).await
    }

    /// See [`Platform::check_kind`](crate::Platform::check_kind).
    pub fn check_kind(&self, kind: Option<SignatureKind>) -> Result<(), Refusal> {
        Ok(self.verifier.check_kind(kind)?)
    }

    /// See [`Platform::verify`](crate::Platform::verify).
    pub async fn verify(&mut self, signature: Option<&Signature<'_>>, source: &str) -> Result<Digest, Refusal> {
        let verified = self.verify_received(signature, source).await;
        if B::STARTS_ANY_IMAGE
            && let (Err(_), Some(incoming)) = (&verified, self.incoming.take())
        {
            let start = self.region(incoming.slot).at(0);
            // The cause is returned, and not that the sector cannot be erased: nothing else would make the image unbootable.
            let _ = flash::erase_sector(&mut self.flash, start).await;
        }
        verified
    }

    async fn verify_received(&mut self, signature: Option<&Signature<'_>>, source: &str) -> Result<Digest, Refusal> {
        let incoming = self.incoming.as_mut().ok_or(Fault::NothingBegun)?;
        let (slot, image_bytes) = (incoming.slot, incoming.image_bytes);
        let digest = incoming.digest(&mut self.flash, &mut self.watchdog).await?;
        match signature {
            Some(signature) => self.check_signature(&digest, signature).await?,
            None => self.verifier.check_kind(None)?,
        }
        let BootStatus { running, mut record } = self.found().await?;
        let running_image = self.running_identity(running).await?;
        // The signature covers the header, so its contents are now authentic.
        let identity = self.checked(slot, Available::Whole, image_bytes, running_image).await?;
        if record.images.get(running).is_none() {
            record.images.set(running, self.row_of_running(running, running_image).await?);
        }
        record.images.set(slot, Some(row(&identity, ImageStatus::Verified, image_bytes, digest, source)));
        self.store(&record, Change::RecordOnly).await?;
        self.incoming = None;
        Ok(digest)
    }

    /// See [`Platform::runs_already`](crate::Platform::runs_already).
    pub async fn runs_already(&mut self, image_bytes: u32, signature: &Signature<'_>) -> Result<Option<Digest>, Fault> {
        let state = self.boot_state().await?;
        let same_length = state.running_image.is_some_and(|image| image.image_bytes == Some(image_bytes));
        if state.running != state.confirmed || !same_length {
            return Ok(None);
        }
        let digest = self.running_digest(image_bytes).await?;
        self.signed(digest, signature).await
    }

    /// Returns the digest if it matches `signature`.
    pub(super) async fn signed(&mut self, digest: Digest, signature: &Signature<'_>) -> Result<Option<Digest>, Fault> {
        match self.check_signature(&digest, signature).await {
            Err(Refusal::Fault(fault)) => Err(fault),
            verified => Ok(verified.is_ok().then_some(digest)),
        }
    }

    /// See [`Platform::activate`](crate::Platform::activate).
    pub async fn activate(&mut self, slot: SlotId, digest: &Digest, image_bytes: u32) -> Result<(), Refusal> {
        let BootStatus { running, mut record } = self.found().await?;
        if slot == running {
            return Err(Refusal::SlotRuns { slot });
        }
        match record.trial {
            // The trial has started. The boot selector could not store the count of this boot, so the confirmed image
            // runs; the trial continues at the next reset.
            Trial::Started { slot: tried, digest: held, .. } if tried == slot && held == *digest => return Ok(()),
            Trial::Started { .. } => return Err(Refusal::TrialRunning),
            _ if record.confirmed != running || record.factory_reset_pending => return Err(Refusal::TrialRunning),
            Trial::None | Trial::WithSystem { .. } | Trial::Pending { .. } | Trial::Ended { .. } => {}
        }
        // A pending trial keeps its count, which failures of the boot loader reduce.
        let waits =
            matches!(record.trial, Trial::Pending { slot: of, digest: held, .. } if of == slot && held == *digest);
        let verified = |image: &Image| image.status == ImageStatus::Verified && image.digest == *digest;
        if !waits && !record.images.get(slot).is_some_and(verified) {
            return Err(Refusal::DigestMismatch { slot });
        }
        if self.hash(slot, image_bytes).await? != *digest {
            return Err(Refusal::DigestMismatch { slot });
        }
        if !waits {
            let attempts_left = self.config.trial_attempts;
            record.trial = Trial::Pending { slot, digest: *digest, image_bytes, attempts_left };
            self.store(&record, Change::Test(slot)).await?;
        }
        Ok(())
    }

    /// See [`Platform::confirm`](crate::Platform::confirm).
    pub async fn confirm(&mut self) -> Result<(), Fault> {
        let BootStatus { running, mut record } = self.found().await?;
        match record.trial {
            _ if record.confirmed == running => {}
            Trial::Started { slot, .. } | Trial::WithSystem { slot, .. } if slot == running => {
                (record.confirmed, record.trial) = (running, Trial::None);
                record.images.confirm(running);
                self.store(&record, Change::Confirm).await?;
            }
            _ => return Err(Fault::NoTrialRuns),
        }
        // The image is confirmed even if the raise fails; the next boot repeats the raise.
        if let Ok(running_image) = self.running_identity(running).await {
            let _ = self.raise_floor(running_image).await;
        }
        Ok(())
    }

    /// See [`Platform::roll_back`](crate::Platform::roll_back).
    pub async fn roll_back(&mut self, reason: u16) -> Result<(), Fault> {
        let BootStatus { running, mut record } = self.found().await?;
        match record.trial {
            Trial::Started { slot, digest, .. } if slot == running => {
                record.trial = Trial::Ended { slot, digest, reason, started: true };
                record.images.fail(slot);
                self.store(&record, Change::Revert).await
            }
            Trial::Ended { slot, .. } if slot == running => Ok(()),
            _ => Err(Fault::NoTrialRuns),
        }
    }

    /// See [`Platform::invalidate`](crate::Platform::invalidate).
    pub async fn invalidate(&mut self, slot: SlotId) -> Result<(), Refusal> {
        let BootStatus { running, record } = self.found().await?;
        if slot == running || slot == record.confirmed || slot.is_factory() {
            return Err(Refusal::SlotRuns { slot });
        }
        // The region of a slot that does not exist is empty and starts at 0: the first sector of something else.
        if self.config.layout.slot(slot).len_bytes() == 0 {
            return Err(Fault::OutOfRange { offset_bytes: 0, len_bytes: F::ERASE_SIZE, limit_bytes: 0 }.into());
        }
        self.incoming = None;
        let start = self.region(slot).at(0);
        Ok(flash::erase_sector(&mut self.flash, start).await?)
    }

    /// See [`ImageManagement::images`](crate::ImageManagement::images).
    pub async fn images(&mut self) -> Result<Images, Fault> {
        Ok(self.found().await?.record.images)
    }

    /// See [`Platform::feed_watchdog`](crate::Platform::feed_watchdog).
    pub fn feed_watchdog(&mut self) {
        self.watchdog.feed();
    }

    /// See [`Platform::watchdog_ms`](crate::Platform::watchdog_ms).
    pub fn watchdog_ms(&self) -> Option<u32> {
        self.watchdog.idle_ms().map(|ms| ms.max(1))
    }

    /// See [`Platform::reset`](crate::Platform::reset).
    pub fn reset(&mut self) {
        self.reset.reset();
    }
}

/// Returns the row of a complete image.
pub(super) fn row(identity: &ImageInfo, status: ImageStatus, image_bytes: u32, digest: Digest, source: &str) -> Image {
    let (version, source) = (identity.version, Source::new(source));
    let security_counter = identity.security_counter.unwrap_or(0);
    Image { status, version, security_counter, image_bytes, digest, source }
}
