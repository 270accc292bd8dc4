//! The platform of a device with slots in NOR flash: rules only. How bytes get into flash is in `slots` and `records`, how a
//! boot loader is told is behind `boot_control`.

use crate::accept::{Accept, VersionRule};
use crate::boot_control::{BootControl, Change, Found, ImageFormat, OwnSelector};
use crate::boot_record::{BootRecord, TRIAL_ATTEMPTS_MAX, Trial};
use crate::digest::Digest;
use crate::fault::Fault;
use crate::flash::Flash;
use crate::hardware::HardwareId;
use crate::hash;
use crate::header::Component;
use crate::hooks::{NoWatchdog, Reset, Watchdog};
use crate::identity::{Extent, Identity};
use crate::layout::{Geometry, Layout, LayoutError};
use crate::monotonic::{Floor, Floors};
use crate::print::print_by_name;
use crate::records::{RecordSpec, Records};
use crate::refusal::Refusal;
use crate::region::Region;
use crate::signature::Signature;
use crate::signature::Verifier;
use crate::slot::SlotId;
use crate::slots::Incoming;

mod stored;
mod update;

/// The longest payload of the journal, in bytes.
pub const JOURNAL_PAYLOAD_BYTES_MAX: usize = 192;

const JOURNAL: RecordSpec = RecordSpec::new(0x4A, JOURNAL_PAYLOAD_BYTES_MAX);

/// Boots that a trial is given unless somebody chooses otherwise.
pub const TRIAL_ATTEMPTS_DEFAULT: u8 = 3;

/// What a device is, and what it accepts.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Where things lie; the boot selector must use the same.
    pub layout: Layout,
    /// The board.
    pub hardware: HardwareId,
    /// The part that is updated.
    pub component: Component,
    /// Which versions replace the running one.
    pub version_rule: VersionRule,
    /// The least security counter accepted. The running image's own counter and the monotonic record are bounds too.
    pub security_counter_min: u32,
    /// The key epoch that the monotonic record is raised to once this program is confirmed: keys that were issued in an
    /// earlier one are revoked then, for good.
    pub key_epoch: u32,
    /// Boots that a trial is given, 1..=15; see [`TRIAL_ATTEMPTS_DEFAULT`].
    pub trial_attempts: u8,
}

/// Why a configuration does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The layout does not fit this flash.
    Layout(LayoutError),
    /// Not 1..=15 boots.
    TrialAttempts {
        /// What was asked for.
        got: u8,
    },
}

print_by_name!(ConfigError);

/// [`Platform`](crate::Platform) over a flash, keys, a reset, a watchdog and a boot loader.
pub struct Native<F, V, R, W = NoWatchdog, B = OwnSelector> {
    flash: F,
    verifier: V,
    reset: R,
    watchdog: W,
    config: Config,
    boot: B,
    journal: Records,
    floors: Floors,
    incoming: Option<Incoming>,
}

impl<F: Flash, V: Verifier, R: Reset, W: Watchdog, B: BootControl> Native<F, V, R, W, B> {
    /// A platform whose layout fits its flash. Touches no flash.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting and its numbers.
    pub fn new(flash: F, verifier: V, reset: R, watchdog: W, config: Config, boot: B) -> Result<Self, ConfigError> {
        config.layout.check(Geometry::of(&flash)).map_err(ConfigError::Layout)?;
        if !(1..=TRIAL_ATTEMPTS_MAX).contains(&config.trial_attempts) {
            return Err(ConfigError::TrialAttempts { got: config.trial_attempts });
        }
        let journal = Records::new(config.layout.journal(), JOURNAL);
        let floors = Floors::new(&config.layout);
        Ok(Self { flash, verifier, reset, watchdog, config, boot, journal, floors, incoming: None })
    }

    fn region(&self, slot: SlotId) -> Region {
        self.boot.region(&self.config.layout, slot)
    }

    async fn found(&mut self) -> Result<Found, Fault> {
        self.boot.load(&mut self.flash, &self.config.layout, &mut self.watchdog).await
    }

    async fn store(&mut self, record: &BootRecord, change: Change) -> Result<(), Fault> {
        self.boot.store(&mut self.flash, &self.config.layout, record, change).await
    }

    /// What is found, if the running image is confirmed and no trial is on: only then there is a slot to spare.
    async fn at_rest(&mut self) -> Result<Found, Refusal> {
        let found = self.found().await?;
        let on_trial = matches!(found.record.trial, Trial::Pending { .. } | Trial::Started { .. });
        match !on_trial && !found.record.wipe && found.record.confirmed == found.running {
            true => Ok(found),
            false => Err(Refusal::TrialRunning),
        }
    }

    async fn identity(&mut self, slot: SlotId, extent: Extent) -> Result<Identity, Refusal> {
        let region = self.region(slot);
        B::Format::identity(&mut self.flash, region, extent).await
    }

    /// What the running image says of itself; a fault is one, a foreign image is not.
    async fn running_identity(&mut self, running: SlotId) -> Result<Option<Identity>, Fault> {
        match self.identity(running, Extent::Whole).await {
            Ok(identity) => Ok(Some(identity)),
            Err(Refusal::Fault(fault)) => Err(fault),
            Err(_) => Ok(None),
        }
    }

    /// Reads and checks what the image in `slot` says of itself, for a device that runs `running`.
    async fn checked(
        &mut self,
        slot: SlotId,
        extent: Extent,
        image_bytes: u32,
        running: Option<Identity>,
    ) -> Result<Identity, Refusal> {
        let identity = self.identity(slot, extent).await?;
        let floor = self.floor().await?;
        let running_counter = running.and_then(|running| running.security_counter).unwrap_or(0);
        let accept = Accept {
            hardware: &self.config.hardware,
            component: self.config.component,
            running_version: running.map(|running| running.version),
            version_rule: self.config.version_rule,
            security_counter_min: running_counter.max(floor.security_counter).max(self.config.security_counter_min),
            slot,
        };
        identity.check(&accept, image_bytes)?;
        Ok(identity)
    }

    async fn verify(&mut self, digest: &Digest, signature: &Signature<'_>) -> Result<(), Refusal> {
        let Signature { kind, key_id, bytes } = *signature;
        self.verifier.admits(Some(kind))?;
        let floor = self.floor().await?;
        Ok(self.verifier.verify(key_id, kind, digest, bytes, floor.key_epoch)?)
    }

    async fn hash(&mut self, slot: SlotId, image_bytes: u32) -> Result<Digest, Fault> {
        let region = self.region(slot);
        hash::digest(&mut self.flash, region, image_bytes, &mut self.watchdog).await
    }

    /// The monotonic record, or what the confirmed image asks for beyond it, should raising it have failed.
    async fn floor(&mut self) -> Result<Floor, Fault> {
        let stored = self.floors.load(&mut self.flash).await?;
        let Found { running, record } = self.found().await?;
        if running != record.confirmed {
            return Ok(stored);
        }
        let running_image = self.running_identity(running).await?;
        Ok(stored.max(self.asked_by(running_image)))
    }

    /// Raises the monotonic record to what the running image, once confirmed, asks for.
    async fn raise_floor(&mut self, running: Option<Identity>) -> Result<Floor, Fault> {
        let asked = self.asked_by(running);
        self.floors.raise(&mut self.flash, asked).await
    }

    fn asked_by(&self, running: Option<Identity>) -> Floor {
        let security_counter = running.and_then(|running| running.security_counter).unwrap_or(0);
        Floor { security_counter, key_epoch: self.config.key_epoch }
    }
}

#[cfg(test)]
pub(crate) mod tests;
