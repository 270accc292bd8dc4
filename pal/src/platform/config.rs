//! What a device is, and what it accepts.

use crate::image::accept::VersionRule;
use crate::image::hardware::{HardwareId, HardwareIdInvalid};
use crate::image::header::Component;
use crate::print::print_by_name;
use crate::store::layout::{Layout, LayoutError};
use crate::store::record_format::RecordSpec;

/// The longest payload of the journal, in bytes.
pub const JOURNAL_PAYLOAD_BYTES_MAX: usize = 192;

pub(crate) const JOURNAL: RecordSpec = RecordSpec::new(0x4A, JOURNAL_PAYLOAD_BYTES_MAX);

/// Boots that a trial is given by default.
pub const TRIAL_ATTEMPTS_DEFAULT: u8 = 3;

/// What a device is, and what it accepts.
#[derive(Clone, Copy, Debug)]
pub struct DeviceConfig {
    /// The layout of the flash, the same as in the boot selector.
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

impl DeviceConfig {
    /// The defaults for a device of the hardware id `hardware`: the component `app`, newer versions only, no least security
    /// counter, key epoch 0, and [`TRIAL_ATTEMPTS_DEFAULT`] boots for a trial.
    ///
    /// # Errors
    /// [`HardwareIdInvalid`].
    pub fn new(layout: Layout, hardware: &str) -> Result<Self, HardwareIdInvalid> {
        Ok(Self {
            layout,
            hardware: HardwareId::new(hardware)?,
            component: Component::App,
            version_rule: VersionRule::Newer,
            security_counter_min: 0,
            key_epoch: 0,
            trial_attempts: TRIAL_ATTEMPTS_DEFAULT,
        })
    }
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
