//! [`Platform`] for [`Native`].

use super::super::bisync;
use super::super::device::{ImageManagement, Platform};
use super::super::flash::Flash;
use super::Native;
use super::boot_control::BootControl;
use crate::fault::Fault;
use crate::image::digest::Digest;
use crate::image::header::Component;
use crate::image::identity::ImageInfo;
use crate::image::slot::SlotId;
use crate::image::version::Version;
use crate::platform::hooks::{Reset, Watchdog};
use crate::platform::{BootState, Reception, Slots};
use crate::refusal::Refusal;
use crate::store::images::Images;
use crate::verify::signature::{Signature, SignatureKind, Verifier};

#[bisync]
impl<F: Flash, V: Verifier, R: Reset, W: Watchdog, B: BootControl> Platform for Native<F, V, R, W, B> {
    async fn boot_state(&mut self) -> Result<BootState, Fault> {
        Self::boot_state(self).await
    }

    fn slots(&self, component: Component) -> Option<Slots> {
        Self::slots(self, component)
    }

    async fn running_digest(&mut self, image_bytes: u32) -> Result<Digest, Fault> {
        Self::running_digest(self, image_bytes).await
    }

    async fn load_journal(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        Self::load_journal(self, out).await
    }

    async fn store_journal(&mut self, payload: &[u8]) -> Result<(), Fault> {
        Self::store_journal(self, payload).await
    }

    async fn begin(&mut self, image_bytes: u32, keep_bytes: u32) -> Result<Reception, Refusal> {
        Self::begin(self, image_bytes, keep_bytes).await
    }

    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), Fault> {
        Self::write(self, offset_bytes, bytes).await
    }

    async fn idle_step(&mut self, frontier_bytes: u32) -> Result<bool, Fault> {
        Self::idle_step(self, frontier_bytes).await
    }

    async fn check_header(&mut self) -> Result<ImageInfo, Refusal> {
        Self::check_header(self).await
    }

    fn check_kind(&self, kind: Option<SignatureKind>) -> Result<(), Refusal> {
        Self::check_kind(self, kind)
    }

    async fn verify(&mut self, signature: Option<&Signature<'_>>, source: &str) -> Result<Digest, Refusal> {
        Self::verify(self, signature, source).await
    }

    async fn runs_already(&mut self, image_bytes: u32, signature: &Signature<'_>) -> Result<Option<Digest>, Fault> {
        Self::runs_already(self, image_bytes, signature).await
    }

    async fn activate(&mut self, slot: SlotId, digest: &Digest, image_bytes: u32) -> Result<(), Refusal> {
        Self::activate(self, slot, digest, image_bytes).await
    }

    async fn confirm(&mut self) -> Result<(), Fault> {
        Self::confirm(self).await
    }

    async fn roll_back(&mut self, reason: u16) -> Result<(), Fault> {
        Self::roll_back(self, reason).await
    }

    async fn invalidate(&mut self, slot: SlotId) -> Result<(), Refusal> {
        Self::invalidate(self, slot).await
    }

    fn feed_watchdog(&mut self) {
        Self::feed_watchdog(self)
    }

    fn watchdog_ms(&self) -> Option<u32> {
        Self::watchdog_ms(self)
    }

    fn reset(&mut self) {
        Self::reset(self)
    }
}

#[bisync]
impl<F: Flash, V: Verifier, R: Reset, W: Watchdog, B: BootControl> ImageManagement for Native<F, V, R, W, B> {
    fn end_at(&mut self, image_bytes: u32) -> Result<(), Fault> {
        Self::end_at(self, image_bytes)
    }

    async fn images(&mut self) -> Result<Images, Fault> {
        Self::images(self).await
    }

    async fn restore_previous(&mut self) -> Result<SlotId, Refusal> {
        Self::restore_previous(self).await
    }

    async fn erase_images(&mut self, version: Version) -> Result<(), Refusal> {
        Self::erase_images(self, version).await
    }

    async fn verify_factory(&mut self, signature: &Signature<'_>) -> Result<Digest, Refusal> {
        Self::verify_factory(self, signature).await
    }

    async fn factory_reset(&mut self) -> Result<(), Refusal> {
        Self::factory_reset(self).await
    }
}
