//! The working state of a boot: the flash, the record, and the images in the slots.

use super::bisync;
use super::copy::matches;
use super::pal::{BootRecords, Flash, read_header};
use crate::exact::ImageRef;
use crate::outcome::BootReason;
use ota_pal::{BootRecord, Digest, Header, Layout, Region, SlotId, Watchdog};

/// The state of one boot.
pub(crate) struct Selector<'s, F, W> {
    pub(crate) flash: &'s mut F,
    pub(crate) layout: &'s Layout,
    pub(crate) watchdog: &'s mut W,
    pub(crate) records: BootRecords,
    pub(crate) record: BootRecord,
    /// Length in bytes of the longest image that can run.
    pub(crate) image_bytes_max: u32,
}

#[bisync]
impl<F: Flash, W: Watchdog> Selector<'_, F, W> {
    /// Stores the record. Returns `cause`, or the reason for a failure to store.
    pub(crate) async fn store(&mut self, cause: BootReason) -> BootReason {
        match self.records.store(self.flash, &self.record).await {
            Ok(()) => cause,
            Err(fault) => BootReason::NotStored(fault),
        }
    }

    /// Returns the header of the image in `slot` if the slot holds exactly this image.
    pub(crate) async fn intact(&mut self, slot: SlotId, digest: Digest, image_bytes: u32) -> Option<Header> {
        let header = self.runnable(slot).await?;
        let region = self.layout.slot(slot);
        matches(self.flash, region, ImageRef { digest, image_bytes }, self.watchdog).await.then_some(header)
    }

    /// Returns the header of the image in `slot` if there is one that is linked for the slot and fits.
    pub(crate) async fn runnable(&mut self, slot: SlotId) -> Option<Header> {
        let header = self.runnable_in(self.layout.slot(slot), slot).await?;
        (header.image_bytes() <= self.image_bytes_max).then_some(header)
    }

    /// Returns the header of the image in `region` if there is one that is linked for `slot` and fits.
    pub(crate) async fn runnable_in(&mut self, region: Region, slot: SlotId) -> Option<Header> {
        let header = read_header(self.flash, region).await.ok()?.ok()?;
        (header.link.allows(slot) && header.image_bytes() <= region.len_bytes()).then_some(header)
    }
}
