//! Strategies to run the chosen image: from its slot, or after a copy to the executing region.

use super::bisync;
use super::pal::Flash;
use super::selector::Selector;
use crate::exact::ImageRef;
use crate::outcome::{Boot, BootReason, VerifyLevel};
use ota_pal::{Header, SlotId, Watchdog};

/// Prepares the chosen image to run. A type parameter and not a value: a selector whose images run in place contains no
/// code that copies them.
#[bisync]
#[allow(async_fn_in_trait)]
pub(crate) trait Strategy {
    /// Length in bytes of the longest image that can run.
    fn image_bytes_max(&self) -> u32;

    /// Makes the image on trial run after this boot. Returns `false` if it cannot run, or if the confirmed image could
    /// not be restored afterwards.
    async fn prepare_trial<F: Flash, W: Watchdog>(
        &self,
        selector: &mut Selector<'_, F, W>,
        slot: SlotId,
        exact: ImageRef,
    ) -> bool;

    /// Makes an image that replaces the confirmed one run after this boot. Returns `false` if it cannot run.
    async fn prepare<F: Flash, W: Watchdog>(
        &self,
        selector: &mut Selector<'_, F, W>,
        slot: SlotId,
        exact: ImageRef,
    ) -> bool;

    /// Does the same as [`prepare`](Self::prepare) for an image of which only the header was checked.
    async fn prepare_unverified<F: Flash, W: Watchdog>(
        &self,
        selector: &mut Selector<'_, F, W>,
        slot: SlotId,
        header: &Header,
    ) -> bool;

    /// Makes the confirmed image run after this boot; `None` if it cannot be started.
    async fn start_confirmed<F: Flash, W: Watchdog>(
        &self,
        selector: &mut Selector<'_, F, W>,
        cause: BootReason,
        verify_level: VerifyLevel,
    ) -> Option<Boot>;
}
