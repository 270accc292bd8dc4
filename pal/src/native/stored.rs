//! The stored images of a device: selection of the slot to write, rollback on command, and the factory image.

use super::super::bisync;
use super::super::flash::hash;
use super::super::flash::{self, Flash};
use super::super::native::boot_control::BootControl;
use super::Native;
use super::update::row;
use crate::fault::Fault;
use crate::image::digest::Digest;
use crate::image::identity::{Available, ImageInfo};
use crate::image::slot::SlotId;
use crate::image::version::Version;
use crate::platform::Slots;
use crate::platform::boot::{BootStatus, Change};
use crate::platform::hooks::{Reset, Watchdog};
use crate::refusal::Refusal;
use crate::store::boot_record::Trial;
use crate::store::images::{Image, ImageStatus, Images};
use crate::verify::signature::Signature;
use crate::verify::signature::Verifier;

#[bisync]
impl<F: Flash, V: Verifier, R: Reset, W: Watchdog, B: BootControl> Native<F, V, R, W, B> {
    /// Selects the slot for an image of `image_bytes`.
    pub(super) fn slot_for(&self, running: SlotId, images: &Images, image_bytes: u32) -> Result<SlotId, Refusal> {
        if image_bytes == 0 {
            return Err(Refusal::ImageEmpty);
        }
        let (mut max, mut best) = (0, None);
        for slot in self.config.layout.next_slots(running) {
            let len_bytes = self.region(slot).len_bytes();
            max = max.max(len_bytes);
            let rank = match images.get(slot) {
                Some(Image { status: ImageStatus::Receiving | ImageStatus::Verified, .. }) => (0, Version::default()),
                None => (1, Version::default()),
                Some(Image { status: ImageStatus::Failed, .. }) => (2, Version::default()),
                Some(Image { version, .. }) => (3, *version),
            };
            if image_bytes <= len_bytes && best.is_none_or(|(least, _)| rank < least) {
                best = Some((rank, slot));
            }
        }
        best.map(|(_, slot)| slot).ok_or(Refusal::ImageTooLarge { got: image_bytes, max })
    }

    /// Returns a new row for the running image, which was installed by the manufacturer or before the device had a
    /// database; `None` if the image does not state its length.
    pub(super) async fn row_of_running(
        &mut self,
        running: SlotId,
        identity: Option<ImageInfo>,
    ) -> Result<Option<Image>, Refusal> {
        let Some((identity, image_bytes)) = identity.and_then(|identity| Some((identity, identity.image_bytes?)))
        else {
            return Ok(None);
        };
        let digest = self.hash_unsigned(running, image_bytes).await?;
        Ok(Some(row(&identity, ImageStatus::Preinstalled, image_bytes, digest, "")))
    }

    /// Returns the digest of an image whose signature is not verified here, once two readings agree. A transient bit
    /// error in its row would permanently exclude the image from a rollback.
    async fn hash_unsigned(&mut self, slot: SlotId, image_bytes: u32) -> Result<Digest, Fault> {
        let mut digest = self.hash(slot, image_bytes).await?;
        for _ in 0..2 {
            let earlier = core::mem::replace(&mut digest, self.hash(slot, image_bytes).await?);
            if digest == earlier {
                return Ok(digest);
            }
        }
        Err(Fault::Read { offset_bytes: self.region(slot).offset_bytes() })
    }

    /// See [`ImageManagement::restore_previous`](crate::ImageManagement::restore_previous). Damaged images lose their rows;
    /// unreadable ones are skipped.
    pub async fn restore_previous(&mut self) -> Result<SlotId, Refusal> {
        let BootStatus { running, mut record } = self.status_without_trial().await?;
        let floor = self.floor().await?;
        let mut open = record.images;
        while let Some(slot) = open.newest_confirmed(floor.security_counter, |slot| slot == running) {
            match self.is_whole(&open, slot).await {
                Ok(true) => {
                    record.confirmed = slot;
                    self.store(&record, Change::SetDefault(slot)).await?;
                    return Ok(slot);
                }
                Ok(false) => record.images.set(slot, None),
                Err(_) => {}
            }
            open.set(slot, None);
        }
        Err(Refusal::NoPreviousImage)
    }

    /// Returns whether a slot contains the image of its row.
    async fn is_whole(&mut self, images: &Images, slot: SlotId) -> Result<bool, Fault> {
        let Some(image) = images.get(slot) else { return Ok(false) };
        let region = self.region(slot);
        hash::matches(&mut self.flash, region, &image.digest, image.image_bytes, &mut self.watchdog).await
    }

    /// See [`ImageManagement::erase_images`](crate::ImageManagement::erase_images). The rows are removed last, so that the
    /// command can be repeated after a power cut.
    pub async fn erase_images(&mut self, version: Version) -> Result<(), Refusal> {
        let BootStatus { running, mut record } = self.found().await?;
        let is_it = |image: &Image| image.version == version && image.status != ImageStatus::Receiving;
        let images = record.images;
        let picked = || images.iter().filter(|(_, image)| is_it(image)).map(|(slot, _)| slot);
        if picked().next().is_none() {
            return Err(Refusal::NoSuchImage { version });
        }
        for slot in picked() {
            match record.trial {
                _ if slot == running || slot == record.confirmed || slot.is_factory() => {
                    return Err(Refusal::SlotRuns { slot });
                }
                Trial::Pending { slot: tried, .. }
                | Trial::Started { slot: tried, .. }
                | Trial::WithSystem { slot: tried, .. }
                    if tried == slot =>
                {
                    return Err(Refusal::TrialRunning);
                }
                _ => {}
            }
        }
        for slot in picked() {
            self.erase_image(slot).await?;
            record.images.set(slot, None);
        }
        // A slot without an image is the next one.
        let free = self.slot_for(running, &record.images, 1)?;
        self.slots = Some(Slots { running, free });
        Ok(self.store(&record, Change::RecordOnly).await?)
    }

    async fn erase_image(&mut self, slot: SlotId) -> Result<(), Refusal> {
        let region = self.region(slot);
        for at in (0..region.len_bytes()).step_by(F::ERASE_SIZE) {
            flash::erase_sector(&mut self.flash, region.at(at)).await?;
            self.watchdog.feed();
        }
        Ok(())
    }

    /// See [`ImageManagement::verify_factory`](crate::ImageManagement::verify_factory).
    pub async fn verify_factory(&mut self, signature: &Signature<'_>) -> Result<Digest, Refusal> {
        let slot = self.factory_slot()?;
        let identity = self.identity(slot, Available::Whole).await?;
        let max = self.region(slot).len_bytes();
        let image_bytes = identity.image_bytes.unwrap_or(max);
        if image_bytes > max {
            return Err(Refusal::ImageTooLarge { got: image_bytes, max });
        }
        let digest = self.hash(slot, image_bytes).await?;
        self.check_signature(&digest, signature).await?;
        self.checked(slot, Available::Whole, image_bytes, None).await?;
        let mut record = self.found().await?.record;
        let row = row(&identity, ImageStatus::Confirmed, image_bytes, digest, "");
        if record.images.get(slot) != Some(&row) {
            record.images.set(slot, Some(row));
            self.store(&record, Change::RecordOnly).await?;
        }
        Ok(digest)
    }

    /// See [`ImageManagement::factory_reset`](crate::ImageManagement::factory_reset). The rows of the other images are kept
    /// until the boot selector has verified the factory image, as a fallback in case it is damaged.
    pub async fn factory_reset(&mut self) -> Result<(), Refusal> {
        let slot = self.factory_slot()?;
        let mut record = self.found().await?.record;
        let verified = record.images.get(slot).filter(|image| image.status == ImageStatus::Confirmed);
        let image = *verified.ok_or(Refusal::FactoryNotVerified)?;
        let floor = self.floor().await?;
        if image.security_counter < floor.security_counter {
            let (have, got) = (floor.security_counter, image.security_counter);
            return Err(Refusal::SecurityCounterTooLow { have, got });
        }
        if !self.is_whole(&record.images, slot).await? {
            return Err(Refusal::DigestMismatch { slot });
        }
        self.incoming = None;
        (record.confirmed, record.trial, record.factory_reset_pending) = (slot, Trial::None, true);
        Ok(self.store(&record, Change::SetDefault(slot)).await?)
    }

    fn factory_slot(&self) -> Result<SlotId, Refusal> {
        self.config.layout.factory().map(|_| SlotId::FACTORY).ok_or(Refusal::NoFactorySlot)
    }
}

#[cfg(test)]
mod tests;
