//! The door between the rules of `native` and a device's boot loader: ours here, others in `foreign`.

use super::super::bisync;
use super::super::flash::Flash;
use super::super::flash::boot_records::BootRecords;
use super::super::flash::image_header::read_header;
use crate::fault::Fault;
use crate::image::identity::{Available, ImageInfo};
use crate::image::slot::SlotId;
use crate::platform::boot::{BootStatus, Change};
use crate::platform::hooks::Watchdog;
use crate::refusal::Refusal;
use crate::store::boot_record::BootRecord;
use crate::store::layout::Layout;
use crate::store::region::Region;

/// How a device's boot loader is told what to start, and what it says it did.
#[allow(async_fn_in_trait)]
#[bisync]
pub trait BootControl {
    /// How the images that this loader starts say what they are.
    type Format: ImageFormat;

    /// Whether the loader erases, at every boot, a slot that it was not told to try: a download then begins anew after each.
    const ERASES_DOWNLOADS: bool = false;

    /// What runs, and the boot record, after finishing what a cut left half done between the record and the loader.
    /// Dropped: call again.
    ///
    /// # Errors
    /// [`Fault::BootRecordInvalid`], and the flash's own.
    async fn load<F: Flash, W: Watchdog>(
        &mut self,
        flash: &mut F,
        layout: &Layout,
        watchdog: &mut W,
    ) -> Result<BootStatus, Fault>;

    /// Stores `record` and tells the loader of `change`; durable when this returns. Calling again changes nothing. Dropped,
    /// or failed: the next [`load`](Self::load) finds the earlier record or the new one.
    ///
    /// # Errors
    /// The flash's own.
    async fn store<F: Flash>(
        &mut self,
        flash: &mut F,
        layout: &Layout,
        record: &BootRecord,
        change: Change,
    ) -> Result<(), Fault>;

    /// Where the image that goes by the name of `slot` lies. A loader that swaps has the running one always at one place.
    fn region(&self, layout: &Layout, slot: SlotId) -> Region {
        layout.slot(slot)
    }
}

/// How images say what they are.
#[allow(async_fn_in_trait)]
#[bisync]
pub trait ImageFormat {
    /// What the image at the start of `region` says of itself, of which `extent` lies there. Dropped: nothing happened.
    ///
    /// # Errors
    /// The [`Refusal`] that names what is wrong with the image, or [`Fault::Read`].
    async fn identity<F: Flash>(flash: &mut F, region: Region, extent: Available) -> Result<ImageInfo, Refusal>;
}

/// Our own boot selector, crate `ota-boot`: the boot record is all that it reads.
#[derive(Debug)]
pub struct OwnSelector {
    running: SlotId,
    records: BootRecords,
}

impl OwnSelector {
    /// The selector of this layout, which started the program in `running`.
    #[must_use]
    pub const fn new(layout: &Layout, running: SlotId) -> Self {
        Self { running, records: BootRecords::new(layout) }
    }
}

#[bisync]
impl BootControl for OwnSelector {
    type Format = OwnFormat;

    async fn load<F: Flash, W: Watchdog>(
        &mut self,
        flash: &mut F,
        _layout: &Layout,
        _watchdog: &mut W,
    ) -> Result<BootStatus, Fault> {
        Ok(BootStatus { running: self.running, record: self.records.load(flash).await? })
    }

    async fn store<F: Flash>(
        &mut self,
        flash: &mut F,
        _layout: &Layout,
        record: &BootRecord,
        _change: Change,
    ) -> Result<(), Fault> {
        self.records.store(flash, record).await
    }
}

/// Images that start with our own [`Header`](crate::Header).
#[derive(Clone, Copy, Debug)]
pub struct OwnFormat;

#[bisync]
impl ImageFormat for OwnFormat {
    async fn identity<F: Flash>(flash: &mut F, region: Region, _extent: Available) -> Result<ImageInfo, Refusal> {
        let header = read_header(flash, region).await?;
        Ok(ImageInfo::from(header.map_err(Refusal::ImageHeaderInvalid)?))
    }
}
