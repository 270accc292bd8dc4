//! [`Platform`] for [`Native`]. Over a blocking flash these futures are ready at the first poll and hold no state.

use super::super::flash::Flash;
use super::super::wait;
use super::Native;
use super::boot_control::BootControl;
use crate::fault::Fault;
use crate::image::digest::Digest;
use crate::image::identity::ImageInfo;
use crate::image::slot::SlotId;
use crate::image::version::Version;
use crate::platform::hooks::{Reset, Watchdog};
use crate::platform::management::ImageManagement;
use crate::platform::{BootState, Platform, Reception};
use crate::refusal::Refusal;
use crate::store::images::Images;
use crate::verify::signature::{Signature, SignatureKind, Verifier};

impl<F: Flash, V: Verifier, R: Reset, W: Watchdog, B: BootControl> Platform for Native<F, V, R, W, B> {
    async fn boot_state(&mut self) -> Result<BootState, Fault> {
        wait!(Self::boot_state(self))
    }

    async fn running_digest(&mut self, image_bytes: u32) -> Result<Digest, Fault> {
        wait!(Self::running_digest(self, image_bytes))
    }

    async fn load_journal(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        wait!(Self::load_journal(self, out))
    }

    async fn store_journal(&mut self, payload: &[u8]) -> Result<(), Fault> {
        wait!(Self::store_journal(self, payload))
    }

    async fn begin(&mut self, image_bytes: u32, keep_bytes: u32) -> Result<Reception, Refusal> {
        wait!(Self::begin(self, image_bytes, keep_bytes))
    }

    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), Fault> {
        wait!(Self::write(self, offset_bytes, bytes))
    }

    async fn erase_ahead(&mut self) -> Result<bool, Fault> {
        wait!(Self::erase_ahead(self))
    }

    async fn hash_ahead(&mut self, frontier_bytes: u32) -> Result<bool, Fault> {
        wait!(Self::hash_ahead(self, frontier_bytes))
    }

    async fn check_header(&mut self) -> Result<ImageInfo, Refusal> {
        wait!(Self::check_header(self))
    }

    fn check_kind(&self, kind: Option<SignatureKind>) -> Result<(), Refusal> {
        Self::check_kind(self, kind)
    }

    async fn seal(&mut self, signature: Option<&Signature<'_>>, source: &str) -> Result<Digest, Refusal> {
        wait!(Self::seal(self, signature, source))
    }

    async fn runs_already(&mut self, image_bytes: u32, signature: &Signature<'_>) -> Result<Option<Digest>, Fault> {
        wait!(Self::runs_already(self, image_bytes, signature))
    }

    async fn activate(&mut self, slot: SlotId, digest: &Digest, image_bytes: u32) -> Result<(), Refusal> {
        wait!(Self::activate(self, slot, digest, image_bytes))
    }

    async fn confirm(&mut self) -> Result<(), Fault> {
        wait!(Self::confirm(self))
    }

    async fn roll_back(&mut self, reason: u16) -> Result<(), Fault> {
        wait!(Self::roll_back(self, reason))
    }

    async fn abandon(&mut self, slot: SlotId) -> Result<(), Refusal> {
        wait!(Self::abandon(self, slot))
    }

    fn feed_watchdog(&mut self) {
        Self::feed_watchdog(self)
    }

    fn reset(&mut self) {
        Self::reset(self)
    }
}

impl<F: Flash, V: Verifier, R: Reset, W: Watchdog, B: BootControl> ImageManagement for Native<F, V, R, W, B> {
    fn end_at(&mut self, image_bytes: u32) -> Result<(), Fault> {
        Self::end_at(self, image_bytes)
    }

    async fn images(&mut self) -> Result<Images, Fault> {
        wait!(Self::images(self))
    }

    async fn restore_previous(&mut self) -> Result<SlotId, Refusal> {
        wait!(Self::restore_previous(self))
    }

    async fn erase_images(&mut self, version: Version) -> Result<(), Refusal> {
        wait!(Self::erase_images(self, version))
    }

    async fn verify_factory(&mut self, signature: &Signature<'_>) -> Result<Digest, Refusal> {
        wait!(Self::verify_factory(self, signature))
    }

    async fn factory_reset(&mut self) -> Result<(), Refusal> {
        wait!(Self::factory_reset(self))
    }
}
