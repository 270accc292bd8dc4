//! The platform of a device that updates its system firmware apart from its app: two platforms over one flash, of which one
//! is selected. Each has its slots, its records and its boot selector, so that nothing is decided here but whose turn it is.

use super::super::bisync;
use super::super::device::{ImageManagement, Platform};
use super::super::flash::Flash;
use super::Native;
use super::boot_control::{BootControl, OwnSelector};
use crate::fault::Fault;
use crate::image::digest::Digest;
use crate::image::header::Component;
use crate::image::identity::ImageInfo;
use crate::image::slot::SlotId;
use crate::image::version::Version;
use crate::platform::config::ConfigError;
use crate::platform::hooks::{NoWatchdog, Reset, Watchdog};
use crate::platform::{BootState, ImageState, Part, Reception, Slots};
use crate::refusal::Refusal;
use crate::store::images::Images;
use crate::verify::signature::{Signature, SignatureKind, Verifier};

/// The platforms of the app and of the system below it.
///
/// An update concerns the selected one, and begins only while the other has no trial; a release updates both, or neither, and
/// needs our own boot selector. Both have the same types, so that their code is linked once: `&RefCell<F>` is the same flash
/// for both, `&RefCell<W>` the same watchdog. The journal is that of the component that the job updates; the other one is
/// empty. The boot selector starts the slot of the system, whose program starts the slot of the app.
///
/// ```
/// # use core::cell::RefCell;
/// # use ota_pal::blocking::{Components, Flash, Native};
/// # use ota_pal::{DeviceConfig, KeySet, Layout, Reset, SlotId};
/// # fn start<F: Flash>(
/// #     flash: F,
/// #     reset: fn() -> Board,
/// #     (app_layout, app_slot): (Layout, SlotId),
/// #     (system_layout, system_slot): (Layout, SlotId),
/// # ) -> Option<()> {
/// let flash = RefCell::new(flash);
/// let keys = || KeySet::<1>::single("release", &[4; 65]);
/// let app = DeviceConfig::new(app_layout, "my-board").ok()?;
/// let app = Native::new(&flash, keys().ok()?, reset(), app, app_slot).ok()?;
/// let system = DeviceConfig::new(system_layout, "my-board").ok()?;
/// let system = Native::new(&flash, keys().ok()?, reset(), system, system_slot).ok()?;
/// let platform = Components::new(app, system).ok()?;
/// # drop(platform);
/// # Some(())
/// # }
/// # struct Board;
/// # impl Reset for Board {
/// #     fn reset(&mut self) {}
/// # }
/// ```
pub struct Components<F, V, R, W = NoWatchdog, B = OwnSelector> {
    app: Native<F, V, R, W, B>,
    system: Native<F, V, R, W, B>,
    selected: Component,
    /// The job updates both.
    is_release: bool,
    /// The journal of the component that is not selected may have a payload.
    is_other_kept: bool,
}

#[bisync]
impl<F: Flash, V: Verifier, R: Reset, W: Watchdog, B: BootControl> Components<F, V, R, W, B> {
    /// Joins the platforms of both components, whatever [`DeviceConfig::component`](crate::DeviceConfig::component) they
    /// have. The program in the app's running slot runs the agent.
    ///
    /// # Errors
    /// [`ConfigError::Layout`] if the layouts share bytes.
    pub fn new(mut app: Native<F, V, R, W, B>, mut system: Native<F, V, R, W, B>) -> Result<Self, ConfigError> {
        app.config.layout.check_apart(&system.config.layout).map_err(ConfigError::Layout)?;
        app.config.component = Component::App;
        system.config.component = Component::System;
        Ok(Self { app, system, selected: Component::App, is_release: false, is_other_kept: false })
    }

    fn selected(&mut self) -> &mut Native<F, V, R, W, B> {
        match self.selected {
            Component::System => &mut self.system,
            Component::App | Component::Data => &mut self.app,
        }
    }

    fn other(&mut self) -> &mut Native<F, V, R, W, B> {
        match self.selected {
            Component::System => &mut self.app,
            Component::App | Component::Data => &mut self.system,
        }
    }

    /// Returns the states of the selected component and of the other one.
    async fn states(&mut self) -> Result<(BootState, BootState), Fault> {
        let (app, system) = self.both_states().await?;
        Ok(if self.selected == Component::System { (system, app) } else { (app, system) })
    }
}

#[bisync]
impl<F: Flash, V: Verifier, R: Reset, W: Watchdog, B: BootControl> Platform for Components<F, V, R, W, B> {
    /// Returns the state of the selected component, with the broken rows and the fault of the monotonic record of either.
    async fn boot_state(&mut self) -> Result<BootState, Fault> {
        let (state, other) = self.states().await?;
        let broken_rows = state.broken_rows.saturating_add(other.broken_rows);
        Ok(BootState { broken_rows, floor: other.floor.and(state.floor), ..state })
    }

    fn slots(&self, component: Component) -> Option<Slots> {
        match component {
            Component::App => self.app.slots(component),
            Component::System => self.system.slots(component),
            Component::Data => None,
        }
    }

    fn select(&mut self, part: Part) {
        let component = part.component();
        self.is_release = part == Part::OfRelease(component);
        self.is_other_kept |= component != self.selected;
        self.selected = component;
    }

    fn takes_releases(&self) -> bool {
        true
    }

    async fn running_digest(&mut self, image_bytes: u32) -> Result<Digest, Fault> {
        self.selected().running_digest(image_bytes).await
    }

    /// Selects the component whose journal has a payload. If none has, selects the one on trial, the system first; or else
    /// the app.
    async fn load_journal(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        for component in [Component::System, Component::App] {
            self.selected = component;
            let len = self.selected().load_journal(out).await?;
            if len > 0 {
                return Ok(len);
            }
        }
        let (_, system) = self.states().await?;
        if system.image_state() == ImageState::OnTrial {
            self.selected = Component::System;
        }
        Ok(0)
    }

    /// Empties the journal of the other component first, if that was selected before.
    ///
    /// # Cancel safety
    /// The stored payload is the earlier or the new one, or none if the component changed.
    async fn store_journal(&mut self, payload: &[u8]) -> Result<(), Fault> {
        if self.is_other_kept {
            self.other().store_journal(&[]).await?;
            self.is_other_kept = false;
        }
        self.selected().store_journal(payload).await
    }

    /// Refuses with [`Refusal::TrialRunning`] also while the other component is on trial: an image is tried on a confirmed
    /// one.
    async fn begin(&mut self, image_bytes: u32, keep_bytes: u32) -> Result<Reception, Refusal> {
        let (_, other) = self.states().await?;
        if !other.is_settled() {
            return Err(Refusal::TrialRunning);
        }
        if self.selected == Component::System {
            self.begin_system().await?;
        }
        self.selected().begin(image_bytes, keep_bytes).await
    }

    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), Fault> {
        self.selected().write(offset_bytes, bytes).await
    }

    async fn idle_step(&mut self, frontier_bytes: u32) -> Result<bool, Fault> {
        self.selected().idle_step(frontier_bytes).await
    }

    async fn check_header(&mut self) -> Result<ImageInfo, Refusal> {
        let image = self.selected().check_header().await?;
        if self.is_release {
            self.check_release(&image).await?;
        }
        Ok(image)
    }

    /// Passes what either component accepts, because it is called before the component is selected.
    fn check_kind(&self, kind: Option<SignatureKind>) -> Result<(), Refusal> {
        self.app.check_kind(kind).or(self.system.check_kind(kind))
    }

    async fn verify(&mut self, signature: Option<&Signature<'_>>, source: &str) -> Result<Digest, Refusal> {
        if self.is_release {
            self.check_header().await?;
        }
        let digest = self.selected().verify(signature, source).await?;
        self.app_verified(&digest).await?;
        Ok(digest)
    }

    async fn runs_already(&mut self, image_bytes: u32, signature: &Signature<'_>) -> Result<Option<Digest>, Fault> {
        match self.is_release {
            true => self.is_there_already(image_bytes, signature).await,
            false => self.selected().runs_already(image_bytes, signature).await,
        }
    }

    async fn activate(&mut self, slot: SlotId, digest: &Digest, image_bytes: u32) -> Result<(), Refusal> {
        self.selected().activate(slot, digest, image_bytes).await
    }

    async fn confirm(&mut self) -> Result<(), Fault> {
        self.selected().confirm().await?;
        // A release is confirmed with its system. Should its app not be now, the next boot state does it.
        let _ = self.states().await;
        Ok(())
    }

    async fn roll_back(&mut self, reason: u16) -> Result<(), Fault> {
        self.selected().roll_back(reason).await
    }

    async fn invalidate(&mut self, slot: SlotId) -> Result<(), Refusal> {
        self.selected().invalidate(slot).await
    }

    fn feed_watchdog(&mut self) {
        self.app.feed_watchdog();
    }

    fn watchdog_ms(&self) -> Option<u32> {
        self.app.watchdog_ms()
    }

    fn reset(&mut self) {
        self.app.reset();
    }
}

/// Image management of the app; only [`end_at`](ImageManagement::end_at) concerns the selected component. While a release is on
/// trial, the app is neither rolled back nor reset.
#[bisync]
impl<F: Flash, V: Verifier, R: Reset, W: Watchdog, B: BootControl> ImageManagement for Components<F, V, R, W, B> {
    fn end_at(&mut self, image_bytes: u32) -> Result<(), Fault> {
        self.selected().end_at(image_bytes)
    }

    async fn images(&mut self) -> Result<Images, Fault> {
        self.app.images().await
    }

    async fn restore_previous(&mut self) -> Result<SlotId, Refusal> {
        self.check_no_release_on_trial().await?;
        self.app.restore_previous().await
    }

    async fn erase_images(&mut self, version: Version) -> Result<(), Refusal> {
        self.app.erase_images(version).await
    }

    async fn verify_factory(&mut self, signature: &Signature<'_>) -> Result<Digest, Refusal> {
        self.app.verify_factory(signature).await
    }

    async fn factory_reset(&mut self) -> Result<(), Refusal> {
        self.check_no_release_on_trial().await?;
        self.app.factory_reset().await
    }
}

mod release;

#[cfg(test)]
mod tests;
