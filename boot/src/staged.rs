//! The staged layout: slots store images, and the chosen one is copied to the executing region. The choice is the same
//! as for slots that run in place; only the copying is here.

use super::bisync;
use super::carry_out::carry_out;
use super::copy::{copy, matches};
use super::pal::flash::geometry;
use super::pal::{Flash, hash, read_header};
use super::selector::Selector;
use super::strategy::Strategy;
use crate::exact::ImageRef;
use crate::outcome::{Boot, BootContext, BootError, BootReason, VerifyLevel};
use ota_pal::{Fault, Header, Image, ImageStatus, Layout, Region, SlotId, Source, Trial, Watchdog};

/// Chooses the image to start, as [`boot`](crate::boot()) does, on a device whose slots only store images, and copies
/// it to `executing`, unless that already holds exactly this image. [`Boot::slot`] is the slot of that image.
///
/// `executing` consists of whole sectors outside the layout and is as long as the slots. Images are linked for it and
/// not for a slot ([`Link::Any`](ota_pal::Link::Any)). The watchdog is fed after every erase and write of a copy.
///
/// * An interrupted copy is repeated at the next boot. A trial boot is counted after the copy, so a power cut uses up
///   no attempt.
/// * `executing` has a header only if it holds a whole copy of a verified image, each chunk of which was read back.
///   [`VerifyLevel::Header`] relies on that, unless another slot has the same header. A copy is hashed after its header is
///   written: if the power fails in between, it is hashed at the next boot only with [`VerifyLevel::Whole`]. An image on
///   trial, and the image started after a trial, is always hashed.
/// * If `executing` is RAM, the driver must erase the header in it before this call: RAM may keep the header through a loss
///   of power and lose bytes behind it, and the image of a new device is trusted as it is in `executing`.
/// * The image of a new device is first copied into its slot, and its row is stored: nothing is tried unless the running
///   image can be restored. A slot that lost its image is refilled from the running image.
/// * An image that cannot be copied is treated as damaged.
///
/// # Cancel safety
/// On cancellation `executing` holds the image that ran, the chosen image, or no header.
///
/// # Errors
/// [`BootError`] if there is nothing to start.
#[bisync]
pub async fn boot_staged<F: Flash, W: Watchdog>(
    flash: &mut F,
    layout: &Layout,
    executing: Region,
    watchdog: &mut W,
    verify_level: VerifyLevel,
    context: impl Into<BootContext>,
) -> Result<Boot, BootError> {
    layout.check_beside(geometry(flash), executing).map_err(BootError::Layout)?;
    carry_out(flash, layout, CopyToRun { executing }, watchdog, verify_level, context.into()).await
}

/// Copies images to `executing` and runs them there.
struct CopyToRun {
    executing: Region,
}

#[bisync]
impl Strategy for CopyToRun {
    fn image_bytes_max(&self) -> u32 {
        self.executing.len_bytes()
    }

    async fn prepare_trial<F: Flash, W: Watchdog>(
        &self,
        at: &mut Selector<'_, F, W>,
        slot: SlotId,
        exact: ImageRef,
    ) -> bool {
        if matches(at.flash, self.executing, exact, at.watchdog).await {
            return true;
        }
        self.has_way_back(at).await && self.copy(at, slot, exact).await.is_ok()
    }

    async fn prepare<F: Flash, W: Watchdog>(&self, at: &mut Selector<'_, F, W>, slot: SlotId, exact: ImageRef) -> bool {
        matches(at.flash, self.executing, exact, at.watchdog).await || self.copy(at, slot, exact).await.is_ok()
    }

    async fn prepare_unverified<F: Flash, W: Watchdog>(
        &self,
        at: &mut Selector<'_, F, W>,
        slot: SlotId,
        header: &Header,
    ) -> bool {
        match image_in(at, at.layout.slot(slot), header).await {
            Some(exact) => self.prepare(at, slot, exact).await,
            None => false,
        }
    }

    async fn start_confirmed<F: Flash, W: Watchdog>(
        &self,
        at: &mut Selector<'_, F, W>,
        cause: BootReason,
        verify_level: VerifyLevel,
    ) -> Option<Boot> {
        let slot = at.record.confirmed;
        let waiting = at.runnable(slot).await;
        if self.is_new(at, slot, waiting.as_ref()).await
            && let Some(boot) = self.import_running_image(at, cause).await
        {
            return Some(boot);
        }
        let header_suffices = cause == BootReason::Confirmed && verify_level == VerifyLevel::Header;
        if let Some(header) = waiting.filter(|_| header_suffices)
            && self.runs_by_header(at, slot, &header).await
        {
            return Some(Boot { slot, header, cause });
        }
        let exact = expected(at, slot, waiting.as_ref()).await?;
        if matches(at.flash, self.executing, exact, at.watchdog).await {
            let header = at.runnable_in(self.executing, slot).await?;
            let cause = match waiting {
                Some(_) => cause,
                None => kept(self.copy_back(at, slot, exact).await, cause),
            };
            return Some(Boot { slot, header, cause });
        }
        let header = at.intact(slot, exact.digest, exact.image_bytes).await?;
        self.copy(at, slot, exact).await.ok()?;
        Some(Boot { slot, header, cause })
    }
}

#[bisync]
impl CopyToRun {
    /// Whether `executing` has the image of a new device, which has no row: the slot has none, or has the same after the
    /// power failed before the row was stored.
    async fn is_new<F: Flash, W: Watchdog>(
        &self,
        at: &mut Selector<'_, F, W>,
        slot: SlotId,
        waiting: Option<&Header>,
    ) -> bool {
        at.record.images.get(slot).is_none()
            && match waiting {
                None => true,
                Some(header) => {
                    at.record.trial == Trial::None && read_header(at.flash, self.executing).await == Ok(Ok(*header))
                }
            }
    }

    /// Copies the image of a new device into its slot and stores its row: the digest shows later that the slot was damaged.
    /// Only the manufacturer writes `executing` before the first boot, so it is trusted.
    async fn import_running_image<F: Flash, W: Watchdog>(
        &self,
        at: &mut Selector<'_, F, W>,
        cause: BootReason,
    ) -> Option<Boot> {
        let slot = at.record.confirmed;
        let header = at.runnable_in(self.executing, slot).await?;
        let exact = image_in(at, self.executing, &header).await?;
        if !matches(at.flash, at.layout.slot(slot), exact, at.watchdog).await
            && let Err(fault) = self.copy_back(at, slot, exact).await
        {
            return Some(Boot { slot, header, cause: BootReason::NotStored(fault) });
        }
        let ImageRef { digest, image_bytes } = exact;
        let Header { version, security_counter, .. } = header;
        let (status, source) = (ImageStatus::Preinstalled, Source::new(""));
        at.record.images.set(slot, Some(Image { status, version, security_counter, image_bytes, digest, source }));
        Some(Boot { slot, header, cause: at.store(cause).await })
    }

    /// Whether the confirmed image could be copied back after another one ran. Refills its slot now if the slot lost
    /// the image.
    async fn has_way_back<F: Flash, W: Watchdog>(&self, at: &mut Selector<'_, F, W>) -> bool {
        let slot = at.record.confirmed;
        let waiting = at.runnable(slot).await;
        if self.is_new(at, slot, waiting.as_ref()).await {
            return self
                .import_running_image(at, BootReason::Confirmed)
                .await
                .is_some_and(|boot| boot.cause == BootReason::Confirmed);
        }
        let Some(exact) = expected(at, slot, waiting.as_ref()).await else { return false };
        if waiting.is_some() && matches(at.flash, at.layout.slot(slot), exact, at.watchdog).await {
            return true;
        }
        matches(at.flash, self.executing, exact, at.watchdog).await && self.copy_back(at, slot, exact).await.is_ok()
    }

    /// Whether `executing` has the same header as the slot and no other slot has it, so that no digest is needed to
    /// distinguish the images. The header is read twice, because a partially written one may read differently each
    /// time.
    async fn runs_by_header<F: Flash, W: Watchdog>(
        &self,
        at: &mut Selector<'_, F, W>,
        slot: SlotId,
        header: &Header,
    ) -> bool {
        for _ in 0..2 {
            if read_header(at.flash, self.executing).await != Ok(Ok(*header)) {
                return false;
            }
        }
        for other in at.layout.next_slots(slot).chain([SlotId::FACTORY]) {
            let region = at.layout.slot(other);
            if other != slot && region.len_bytes() > 0 && read_header(at.flash, region).await == Ok(Ok(*header)) {
                return false;
            }
        }
        true
    }

    async fn copy<F: Flash, W: Watchdog>(
        &self,
        at: &mut Selector<'_, F, W>,
        slot: SlotId,
        exact: ImageRef,
    ) -> Result<(), Fault> {
        copy(at.flash, at.layout.slot(slot), self.executing, exact, at.watchdog).await
    }

    async fn copy_back<F: Flash, W: Watchdog>(
        &self,
        at: &mut Selector<'_, F, W>,
        slot: SlotId,
        exact: ImageRef,
    ) -> Result<(), Fault> {
        copy(at.flash, self.executing, at.layout.slot(slot), exact, at.watchdog).await
    }
}

/// The image that the slot must hold: the one in its row, or, without a row, the one found in the slot.
#[bisync]
async fn expected<F: Flash, W: Watchdog>(
    at: &mut Selector<'_, F, W>,
    slot: SlotId,
    waiting: Option<&Header>,
) -> Option<ImageRef> {
    match (at.record.images.get(slot), waiting) {
        (Some(image), _) => Some(ImageRef { digest: image.digest, image_bytes: image.image_bytes }),
        (None, Some(header)) => image_in(at, at.layout.slot(slot), header).await,
        (None, None) => None,
    }
}

/// The image in a region, if two readings agree. `None` if it cannot be read, or reads differently each time.
#[bisync]
async fn image_in<F: Flash, W: Watchdog>(
    at: &mut Selector<'_, F, W>,
    region: Region,
    header: &Header,
) -> Option<ImageRef> {
    let image_bytes = header.image_bytes();
    for _ in 0..2 {
        if let Ok(digest) = hash::digest(at.flash, region, image_bytes, at.watchdog).await {
            let exact = ImageRef { digest, image_bytes };
            if matches(at.flash, region, exact, at.watchdog).await {
                return Some(exact);
            }
        }
    }
    None
}

/// The reason to return for a running image: it is started even if its slot could not be refilled.
fn kept(copied: Result<(), Fault>, cause: BootReason) -> BootReason {
    match copied {
        Ok(()) => cause,
        Err(fault) => BootReason::NotStored(fault),
    }
}
