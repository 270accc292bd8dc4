//! The boot-loader abstraction used by `native`, and its implementation for our own selector. Others are in `loaders`.

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

/// Interface to a device's boot loader: selects what it starts and reports what it did.
#[allow(async_fn_in_trait)]
#[bisync]
pub trait BootControl {
    /// The format in which images for this loader describe themselves.
    type Format: ImageFormat;

    /// Whether the loader erases, at every boot, any slot that it is not set to try. A download then restarts after
    /// each boot.
    const ERASES_DOWNLOADS: bool = false;

    /// Whether the loader, if it cannot start the chosen image, starts any other that it finds valid. An image that was
    /// refused is then made unbootable.
    const STARTS_ANY_IMAGE: bool = false;

    /// Returns the running slot and the boot record. First completes an update of record and loader that a power cut
    /// interrupted.
    ///
    /// # Cancel safety
    /// The update may be incomplete; call again.
    ///
    /// # Errors
    /// [`Fault::BootRecordInvalid`], and the errors of the flash.
    async fn load<F: Flash, W: Watchdog>(
        &mut self,
        flash: &mut F,
        layout: &Layout,
        watchdog: &mut W,
    ) -> Result<BootStatus, Fault>;

    /// Stores `record` and applies `change` to the loader. Both are durable when this method returns. Idempotent.
    ///
    /// # Cancel safety
    /// The next [`load`](Self::load) returns the earlier record or the new one. The same holds after an error.
    ///
    /// # Errors
    /// The errors of the flash.
    async fn store<F: Flash>(
        &mut self,
        flash: &mut F,
        layout: &Layout,
        record: &BootRecord,
        change: Change,
    ) -> Result<(), Fault>;

    /// Removes the loader's state by which it would start `slot`, before the first sector of that slot is erased: an
    /// image written there is started after it was activated, not before. `running` is confirmed. Idempotent.
    ///
    /// # Cancel safety
    /// The state may remain, and the running image is still started; call again.
    ///
    /// # Errors
    /// The errors of the flash and refusals of the loader; then the slot must not be written.
    async fn vacate<F: Flash>(&mut self, _flash: &mut F, _running: SlotId, _slot: SlotId) -> Result<(), Fault> {
        Ok(())
    }

    /// Returns the region of the image that is assigned to `slot`. A loader that swaps images always has the running
    /// one in the same region.
    fn region(&self, layout: &Layout, slot: SlotId) -> Region {
        layout.slot(slot)
    }
}

/// A format in which images describe themselves.
#[allow(async_fn_in_trait)]
#[bisync]
pub trait ImageFormat {
    /// Returns the information in the image at the start of `region`; `extent` states how much of the image is present.
    ///
    /// # Cancel safety
    /// This function has no side effects.
    ///
    /// # Errors
    /// The [`Refusal`] for an invalid image, or [`Fault::Read`].
    async fn identity<F: Flash>(flash: &mut F, region: Region, extent: Available) -> Result<ImageInfo, Refusal>;
}

/// Our own boot selector, crate `ota-boot`, which reads only the boot record.
#[derive(Debug)]
pub struct OwnSelector {
    running: SlotId,
    records: BootRecords,
}

impl OwnSelector {
    /// Creates the selector of this layout; it started the program in `running`.
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

/// The format of images that start with our own [`Header`](crate::Header).
#[derive(Clone, Copy, Debug)]
pub struct OwnFormat;

#[bisync]
impl ImageFormat for OwnFormat {
    async fn identity<F: Flash>(flash: &mut F, region: Region, _extent: Available) -> Result<ImageInfo, Refusal> {
        let header = read_header(flash, region).await?;
        Ok(ImageInfo::from(header.map_err(Refusal::ImageHeaderInvalid)?))
    }
}
