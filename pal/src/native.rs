//! The platform of a device with two slots in NOR flash and a boot selector that reads our boot record (crate `ota-boot`).
//! Rules only: how bytes get into flash is in `slots` and `records`.

use crate::accept::{Accept, VersionRule};
use crate::boot_record::{BootRecord, BootRecords, TRIAL_ATTEMPTS_MAX, Trial};
use crate::digest::{self, Digest};
use crate::error::{Fault, Refusal};
use crate::flash::{self, Flash};
use crate::hardware::HardwareId;
use crate::header::{Component, Header};
use crate::layout::{Geometry, Layout, LayoutError, Region, SlotId};
use crate::platform::{Begun, BootState, NoWatchdog, Platform, Reset, Signature, Watchdog};
use crate::records::{Kind, Records};
use crate::signature::{SignatureKind, Verifier};
use crate::slots::{Incoming, read_header};

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
    /// The least security counter accepted. The running image's own counter is a bound too.
    pub security_counter_min: u32,
    /// The slot this program runs from: the boot selector tells it.
    pub running: SlotId,
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

/// [`Platform`] over a flash, keys, a reset and a watchdog.
pub struct Native<F, V, R, W = NoWatchdog> {
    flash: F,
    verifier: V,
    reset: R,
    watchdog: W,
    config: Config,
    /// Keys issued before it are revoked.
    key_epoch: u32,
    journal: Records,
    boot: BootRecords,
    incoming: Option<Incoming>,
}

impl<F: Flash, V: Verifier, R: Reset, W: Watchdog> Native<F, V, R, W> {
    /// A platform whose layout fits its flash. Touches no flash.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting and its numbers.
    pub fn new(flash: F, verifier: V, reset: R, watchdog: W, config: Config) -> Result<Self, ConfigError> {
        config.layout.check(Geometry::of(&flash)).map_err(ConfigError::Layout)?;
        if !(1..=TRIAL_ATTEMPTS_MAX).contains(&config.trial_attempts) {
            return Err(ConfigError::TrialAttempts { got: config.trial_attempts });
        }
        let journal = Records::new(config.layout.journal(), Kind::Journal);
        let boot = BootRecords::new(&config.layout);
        Ok(Self { flash, verifier, reset, watchdog, config, key_epoch: 0, journal, boot, incoming: None })
    }

    /// Where the running program lies.
    fn running_region(&self) -> Region {
        self.config.layout.slot(self.config.running)
    }

    async fn running_header(&mut self) -> Result<Option<Header>, Fault> {
        let region = self.running_region();
        Ok(read_header(&mut self.flash, region).await?.ok())
    }

    /// The boot record, if the running image is confirmed and no trial is on: only then there is a slot to spare.
    async fn record_at_rest(&mut self) -> Result<BootRecord, Refusal> {
        let record = self.boot.load(&mut self.flash).await?;
        let at_rest = !matches!(record.trial, Trial::Pending { .. } | Trial::Started { .. });
        match at_rest && record.confirmed == self.config.running {
            true => Ok(record),
            false => Err(Refusal::TrialRunning),
        }
    }

    /// Reads and checks the header of the slot that receives.
    async fn checked_header(&mut self, slot: SlotId, image_bytes: u32) -> Result<Header, Refusal> {
        let running = self.running_header().await?;
        let header = read_header(&mut self.flash, self.config.layout.slot(slot)).await?;
        let header = header.map_err(Refusal::ImageHeaderInvalid)?;
        let accept = Accept {
            hardware: &self.config.hardware,
            component: self.config.component,
            running_version: running.map(|running| running.version),
            version_rule: self.config.version_rule,
            security_counter_min: running
                .map_or(0, |running| running.security_counter)
                .max(self.config.security_counter_min),
            slot,
        };
        header.check(&accept, image_bytes)?;
        Ok(header)
    }

    fn verify(&self, digest: &Digest, signature: &Signature<'_>) -> Result<(), Refusal> {
        let Signature { kind, key_id, bytes } = *signature;
        Ok(self.verifier.verify(key_id, kind, digest, bytes, self.key_epoch)?)
    }

    async fn store_record(&mut self, confirmed: SlotId, trial: Trial) -> Result<(), Fault> {
        self.boot.store(&mut self.flash, &BootRecord { confirmed, trial }).await
    }
}

impl<F: Flash, V: Verifier, R: Reset, W: Watchdog> Platform for Native<F, V, R, W> {
    async fn boot_state(&mut self) -> Result<BootState, Fault> {
        let BootRecord { confirmed, trial } = self.boot.load(&mut self.flash).await?;
        let running_header = self.running_header().await?;
        Ok(BootState { running: self.config.running, confirmed, trial, running_header })
    }

    async fn running_digest(&mut self, image_bytes: u32) -> Result<Digest, Fault> {
        let region = self.running_region();
        digest::digest(&mut self.flash, region, image_bytes, &mut self.watchdog).await
    }

    async fn load_journal(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        Ok(self.journal.load(&mut self.flash, out).await?.unwrap_or(0))
    }

    async fn store_journal(&mut self, payload: &[u8]) -> Result<(), Fault> {
        self.journal.store(&mut self.flash, payload).await
    }

    async fn begin(&mut self, image_bytes: u32, keep_bytes: u32) -> Result<Begun, Refusal> {
        let record = self.record_at_rest().await?;
        let slot = record.confirmed.other();
        let region = self.config.layout.slot(slot);
        if image_bytes == 0 {
            return Err(Refusal::ImageEmpty);
        }
        if image_bytes > region.len_bytes() {
            return Err(Refusal::ImageTooLarge { got: image_bytes, max: region.len_bytes() });
        }
        if let Trial::Ended { .. } = record.trial {
            self.store_record(record.confirmed, Trial::None).await?; // it is not the trial of what comes now
        }
        let keep_bytes = keep_bytes.min(image_bytes);
        let frontier_bytes = keep_bytes - keep_bytes % F::ERASE_SIZE as u32;
        self.incoming = Some(Incoming::new(slot, region, image_bytes, frontier_bytes));
        Ok(Begun { slot, frontier_bytes })
    }

    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), Fault> {
        let incoming = self.incoming.as_mut().ok_or(Fault::NothingBegun)?;
        incoming.write(&mut self.flash, offset_bytes, bytes).await
    }

    async fn erase_ahead(&mut self) -> Result<bool, Fault> {
        let incoming = self.incoming.as_mut().ok_or(Fault::NothingBegun)?;
        incoming.erase_ahead(&mut self.flash).await
    }

    async fn hash_ahead(&mut self, frontier_bytes: u32) -> Result<bool, Fault> {
        let incoming = self.incoming.as_mut().ok_or(Fault::NothingBegun)?;
        incoming.hash_ahead(&mut self.flash, frontier_bytes).await
    }

    async fn check_header(&mut self) -> Result<Header, Refusal> {
        let incoming = self.incoming.as_ref().ok_or(Fault::NothingBegun)?;
        let (slot, image_bytes) = (incoming.slot, incoming.image_bytes);
        self.checked_header(slot, image_bytes).await
    }

    fn admits(&self, kind: Option<SignatureKind>) -> Result<(), Refusal> {
        Ok(self.verifier.admits(kind)?)
    }

    async fn seal(&mut self, signature: Option<&Signature<'_>>) -> Result<Digest, Refusal> {
        let incoming = self.incoming.as_mut().ok_or(Fault::NothingBegun)?;
        let (slot, image_bytes) = (incoming.slot, incoming.image_bytes);
        let digest = incoming.digest(&mut self.flash, &mut self.watchdog).await?;
        match signature {
            Some(signature) => self.verify(&digest, signature)?,
            None => self.verifier.admits(None)?,
        }
        // The signature covers the header, so from here on it may be believed.
        self.checked_header(slot, image_bytes).await?;
        self.incoming = None;
        Ok(digest)
    }

    async fn runs_already(&mut self, image_bytes: u32, signature: &Signature<'_>) -> Result<Option<Digest>, Fault> {
        let state = self.boot_state().await?;
        let same_length = state.running_header.is_some_and(|header| header.image_bytes() == image_bytes);
        if state.running != state.confirmed || !same_length {
            return Ok(None);
        }
        let digest = self.running_digest(image_bytes).await?;
        Ok(self.verify(&digest, signature).is_ok().then_some(digest))
    }

    async fn activate(&mut self, slot: SlotId, digest: &Digest, image_bytes: u32) -> Result<(), Refusal> {
        if slot == self.config.running {
            return Err(Refusal::SlotRuns { slot });
        }
        let record = self.boot.load(&mut self.flash).await?;
        match record.trial {
            // Its trial is on already, and goes on at the next reset: the selector could not count it at this one.
            Trial::Started { slot: tried, digest: held, .. } if tried == slot && held == *digest => return Ok(()),
            Trial::Started { .. } => return Err(Refusal::TrialRunning),
            _ if record.confirmed != self.config.running => return Err(Refusal::TrialRunning),
            Trial::None | Trial::Pending { .. } | Trial::Ended { .. } => {}
        }
        let region = self.config.layout.slot(slot);
        let found = digest::digest(&mut self.flash, region, image_bytes, &mut self.watchdog).await?;
        if found != *digest {
            return Err(Refusal::DigestMismatch { slot });
        }
        let trial = Trial::Pending { slot, digest: found, image_bytes, attempts_left: self.config.trial_attempts };
        if record.trial != trial {
            self.store_record(record.confirmed, trial).await?;
        }
        Ok(())
    }

    async fn confirm(&mut self) -> Result<(), Fault> {
        let BootRecord { confirmed, trial } = self.boot.load(&mut self.flash).await?;
        let running = self.config.running;
        match trial {
            _ if confirmed == running => Ok(()),
            Trial::Started { slot, .. } if slot == running => self.store_record(running, Trial::None).await,
            _ => Err(Fault::NoTrialRuns),
        }
    }

    async fn roll_back(&mut self, reason: u16) -> Result<(), Fault> {
        let BootRecord { confirmed, trial } = self.boot.load(&mut self.flash).await?;
        match trial {
            Trial::Started { slot, digest, .. } if slot == self.config.running => {
                let ended = Trial::Ended { slot, digest, reason, started: true };
                self.store_record(confirmed, ended).await
            }
            Trial::Ended { slot, .. } if slot == self.config.running => Ok(()),
            _ => Err(Fault::NoTrialRuns),
        }
    }

    async fn abandon(&mut self, slot: SlotId) -> Result<(), Refusal> {
        let record = self.boot.load(&mut self.flash).await?;
        if slot == self.config.running || slot == record.confirmed {
            return Err(Refusal::SlotRuns { slot });
        }
        self.incoming = None;
        Ok(flash::erase_sector(&mut self.flash, self.config.layout.slot(slot).at(0)).await?)
    }

    fn feed_watchdog(&mut self) {
        self.watchdog.feed();
    }

    fn reset(&mut self) {
        self.reset.reset();
    }
}

#[cfg(test)]
mod tests;
