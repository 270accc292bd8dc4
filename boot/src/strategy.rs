//! How the chosen image comes to run: from its slot, or copied to where images run.

use super::bisync;
use super::pal::Flash;
use super::selector::Selector;
use crate::exact::ImageRef;
use crate::outcome::{Boot, BootReason, VerifyLevel};
use ota_pal::{Header, SlotId, Watchdog};

/// What a boot does with the image that it chose. A type, not a value: a selector whose images run in place carries no code
/// that copies them.
#[bisync]
#[allow(async_fn_in_trait)]
pub(crate) trait Strategy {
    /// The longest image that can run.
    fn image_bytes_max(&self) -> u32;

    /// Makes the image on trial run at the end of this boot, if the confirmed one can be brought back.
    async fn prepare_trial<F: Flash, W: Watchdog>(
        &self,
        selector: &mut Selector<'_, F, W>,
        slot: SlotId,
        exact: ImageRef,
    ) -> bool;

    /// Makes an image that replaces the confirmed one run at the end of this boot.
    async fn prepare<F: Flash, W: Watchdog>(
        &self,
        selector: &mut Selector<'_, F, W>,
        slot: SlotId,
        exact: ImageRef,
    ) -> bool;

    /// As [`prepare`](Self::prepare), for an image of which only its header is known.
    async fn prepare_unverified<F: Flash, W: Watchdog>(
        &self,
        selector: &mut Selector<'_, F, W>,
        slot: SlotId,
        header: &Header,
    ) -> bool;

    /// Makes the confirmed image run at the end of this boot; `None` if it cannot be started.
    async fn start_confirmed<F: Flash, W: Watchdog>(
        &self,
        selector: &mut Selector<'_, F, W>,
        cause: BootReason,
        scrutiny: VerifyLevel,
    ) -> Option<Boot>;
}
