//! Boot of images that run from their slots.

use super::bisync;
use super::carry_out::carry_out;
use super::pal::Flash;
use super::selector::Selector;
use super::strategy::Strategy;
use crate::exact::ImageRef;
use crate::outcome::{Boot, BootContext, BootError, BootReason, VerifyLevel};
use ota_pal::{Header, Layout, SlotId, Watchdog};

/// Chooses the slot to start and stores the changes of this boot before it returns. The watchdog is fed while a slot is
/// hashed or erased. `context` is a [`ResetCause`](crate::ResetCause), or, if the caller is a system, a [`BootContext`].
///
/// # Cancel safety
/// On cancellation a trial boot may have been counted, and slots may have been erased for a factory reset.
///
/// # Errors
/// [`BootError`] if there is nothing to start.
#[bisync]
pub async fn boot<F: Flash, W: Watchdog>(
    flash: &mut F,
    layout: &Layout,
    watchdog: &mut W,
    verify_level: VerifyLevel,
    context: impl Into<BootContext>,
) -> Result<Boot, BootError> {
    carry_out(flash, layout, InPlace, watchdog, verify_level, context.into()).await
}

struct InPlace;

#[bisync]
impl Strategy for InPlace {
    fn image_bytes_max(&self) -> u32 {
        u32::MAX
    }

    async fn prepare_trial<F: Flash, W: Watchdog>(&self, _: &mut Selector<'_, F, W>, _: SlotId, _: ImageRef) -> bool {
        true
    }

    async fn prepare<F: Flash, W: Watchdog>(&self, _: &mut Selector<'_, F, W>, _: SlotId, _: ImageRef) -> bool {
        true
    }

    async fn prepare_unverified<F: Flash, W: Watchdog>(
        &self,
        _: &mut Selector<'_, F, W>,
        _: SlotId,
        _: &Header,
    ) -> bool {
        true
    }

    async fn start_confirmed<F: Flash, W: Watchdog>(
        &self,
        selector: &mut Selector<'_, F, W>,
        cause: BootReason,
        verify_level: VerifyLevel,
    ) -> Option<Boot> {
        let slot = selector.record.confirmed;
        let header = match (verify_level, selector.record.images.get(slot).copied()) {
            (VerifyLevel::Whole, Some(image)) => selector.intact(slot, image.digest, image.image_bytes).await,
            _ => selector.runnable(slot).await,
        };
        header.map(|header| Boot { slot, header, cause })
    }
}
