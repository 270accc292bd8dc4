//! The platform of a device with slots in NOR flash: rules only. Blocks are written in `slots`, records in
//! `flash::records`; the boot loader is accessed through `boot_control`.

use super::bisync;
use super::flash::floors::MonotonicRecords;
use super::flash::hash;
use super::flash::records::Records;
use super::flash::{self, Flash};
use super::native::boot_control::{BootControl, ImageFormat, OwnSelector};
use super::native::slots::SlotWriter;
use crate::fault::Fault;
use crate::image::accept::AcceptancePolicy;
use crate::image::digest::Digest;
use crate::image::identity::{Available, ImageInfo};
use crate::image::slot::SlotId;
use crate::platform::Slots;
use crate::platform::boot::{BootStatus, Change};
use crate::platform::config::{ConfigError, DeviceConfig, JOURNAL};
use crate::platform::hooks::{NoWatchdog, Reset, Watchdog};
use crate::refusal::Refusal;
use crate::store::boot_record::{BootRecord, TRIAL_ATTEMPTS_MAX, Trial};
use crate::store::monotonic::RollbackCounters;
use crate::store::region::Region;
use crate::verify::signature::Signature;
use crate::verify::signature::Verifier;

pub mod boot_control;
pub mod components;
pub mod erase;
mod platform;
pub(crate) mod slots;
mod stored;
mod update;

/// Implementation of [`Platform`](crate::Platform) with a flash, keys, a reset, a watchdog and a boot loader.
pub struct Native<F, V, R, W = NoWatchdog, B = OwnSelector> {
    flash: F,
    verifier: V,
    reset: R,
    watchdog: W,
    config: DeviceConfig,
    boot: B,
    journal: Records,
    floors: MonotonicRecords,
    incoming: Option<SlotWriter>,
    /// As of the last boot state or reception.
    slots: Option<Slots>,
}

#[bisync]
impl<F: Flash, V: Verifier, R: Reset> Native<F, V, R, NoWatchdog, OwnSelector> {
    /// Creates a platform for our own boot selector, which started the program in slot `running`, without a watchdog.
    /// Does not access the flash.
    ///
    /// # Errors
    /// [`ConfigError`] if the layout does not fit the flash, or a setting is out of range.
    pub fn new(flash: F, verifier: V, reset: R, config: DeviceConfig, running: SlotId) -> Result<Self, ConfigError> {
        let selector = OwnSelector::new(&config.layout, running);
        Self::from_parts(flash, verifier, reset, NoWatchdog, config, selector)
    }

    /// Adds a watchdog, which long operations feed.
    pub fn with_watchdog<W: Watchdog>(self, watchdog: W) -> Native<F, V, R, W, OwnSelector> {
        let Self { flash, verifier, reset, config, boot, journal, floors, incoming, slots, .. } = self;
        Native { flash, verifier, reset, watchdog, config, boot, journal, floors, incoming, slots }
    }
}

#[bisync]
impl<F: Flash, V: Verifier, R: Reset, W: Watchdog, B: BootControl> Native<F, V, R, W, B> {
    /// Creates a platform from its parts. Does not access the flash.
    ///
    /// # Errors
    /// [`ConfigError`] if the layout does not fit the flash, or a setting is out of range.
    pub fn from_parts(
        flash: F,
        verifier: V,
        reset: R,
        watchdog: W,
        config: DeviceConfig,
        boot: B,
    ) -> Result<Self, ConfigError> {
        config.layout.check(flash::geometry(&flash)).map_err(ConfigError::Layout)?;
        if !(1..=TRIAL_ATTEMPTS_MAX).contains(&config.trial_attempts) {
            return Err(ConfigError::TrialAttempts { got: config.trial_attempts });
        }
        let journal = Records::new(config.layout.journal(), JOURNAL);
        let floors = MonotonicRecords::new(&config.layout);
        Ok(Self { flash, verifier, reset, watchdog, config, boot, journal, floors, incoming: None, slots: None })
    }

    fn region(&self, slot: SlotId) -> Region {
        self.boot.region(&self.config.layout, slot)
    }

    async fn found(&mut self) -> Result<BootStatus, Fault> {
        self.boot.load(&mut self.flash, &self.config.layout, &mut self.watchdog).await
    }

    async fn store(&mut self, record: &BootRecord, change: Change) -> Result<(), Fault> {
        self.boot.store(&mut self.flash, &self.config.layout, record, change).await
    }

    /// Returns the boot status if the running image is confirmed, and no trial and no factory reset is pending: only
    /// then may a slot be overwritten.
    async fn status_without_trial(&mut self) -> Result<BootStatus, Refusal> {
        let found = self.found().await?;
        let on_trial = matches!(found.record.trial, Trial::Pending { .. } | Trial::Started { .. });
        match !on_trial && !found.record.factory_reset_pending && found.record.confirmed == found.running {
            true => Ok(found),
            false => Err(Refusal::TrialRunning),
        }
    }

    async fn identity(&mut self, slot: SlotId, extent: Available) -> Result<ImageInfo, Refusal> {
        let region = self.region(slot);
        B::Format::identity(&mut self.flash, region, extent).await
    }

    /// Returns the information in the running image; `None` if it is not valid in the format of this device.
    async fn running_identity(&mut self, running: SlotId) -> Result<Option<ImageInfo>, Fault> {
        match self.identity(running, Available::Whole).await {
            Ok(identity) => Ok(Some(identity)),
            Err(Refusal::Fault(fault)) => Err(fault),
            Err(_) => Ok(None),
        }
    }

    /// Reads the information in the image in `slot`, and checks whether a device that runs `running` accepts the image.
    async fn checked(
        &mut self,
        slot: SlotId,
        extent: Available,
        image_bytes: u32,
        running: Option<ImageInfo>,
    ) -> Result<ImageInfo, Refusal> {
        let identity = self.identity(slot, extent).await?;
        let floor = self.floor().await?;
        let running_counter = running.and_then(|running| running.security_counter).unwrap_or(0);
        let accept = AcceptancePolicy {
            hardware: &self.config.hardware,
            component: self.config.component,
            running_version: running.map(|running| running.version),
            version_rule: self.config.version_rule,
            security_counter_min: running_counter.max(floor.security_counter).max(self.config.security_counter_min),
            slot,
            system_version: self.config.system_version,
        };
        identity.check(&accept, image_bytes)?;
        Ok(identity)
    }

    async fn check_signature(&mut self, digest: &Digest, signature: &Signature<'_>) -> Result<(), Refusal> {
        let Signature { kind, key_id, bytes } = *signature;
        self.verifier.check_kind(Some(kind))?;
        let floor = self.floor().await?;
        Ok(self.verifier.verify(key_id, kind, digest, bytes, floor.key_epoch)?)
    }

    async fn hash(&mut self, slot: SlotId, image_bytes: u32) -> Result<Digest, Fault> {
        let region = self.region(slot);
        hash::digest(&mut self.flash, region, image_bytes, &mut self.watchdog).await
    }

    /// Returns the monotonic record, or the values that the confirmed image requires if those are higher, because
    /// raising the record may have failed.
    async fn floor(&mut self) -> Result<RollbackCounters, Fault> {
        let stored = self.floors.load(&mut self.flash).await?;
        let BootStatus { running, record } = self.found().await?;
        if running != record.confirmed {
            return Ok(stored);
        }
        let running_image = self.running_identity(running).await?;
        Ok(stored.max(self.required_by(running_image)))
    }

    /// Raises the monotonic record to the values that the running image requires. Called only if that is confirmed.
    async fn raise_floor(&mut self, running: Option<ImageInfo>) -> Result<RollbackCounters, Fault> {
        let asked = self.required_by(running);
        self.floors.raise(&mut self.flash, asked).await
    }

    fn required_by(&self, running: Option<ImageInfo>) -> RollbackCounters {
        let security_counter = running.and_then(|running| running.security_counter).unwrap_or(0);
        RollbackCounters { security_counter, key_epoch: self.config.key_epoch }
    }
}

#[cfg(test)]
pub(crate) mod tests;
