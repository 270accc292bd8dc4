//! Configuration of a device.

use crate::image::accept::VersionRule;
use crate::image::hardware::{HardwareId, HardwareIdInvalid};
use crate::image::header::Component;
use crate::image::version::Version;
use crate::print::print_by_name;
use crate::store::layout::{Layout, LayoutError};
use crate::store::record_format::RecordSpec;

/// The maximum length of a journal payload in bytes.
pub const JOURNAL_PAYLOAD_BYTES_MAX: usize = 192;

pub(crate) const JOURNAL: RecordSpec = RecordSpec::new(0x4A, JOURNAL_PAYLOAD_BYTES_MAX);

/// The default number of boots of a trial.
pub const TRIAL_ATTEMPTS_DEFAULT: u8 = 3;

/// Configuration of a device: its hardware, its flash layout, and which images it accepts.
#[derive(Clone, Copy, Debug)]
pub struct DeviceConfig {
    /// The flash layout; must equal that of the boot selector.
    pub layout: Layout,
    /// The board.
    pub hardware: HardwareId,
    /// The component that is updated.
    pub component: Component,
    /// Which versions may replace the running one.
    pub version_rule: VersionRule,
    /// The minimum security counter. The counter of the running image and the monotonic record are minimums too.
    pub security_counter_min: u32,
    /// The key epoch to which the monotonic record is raised once this program is confirmed. Keys of earlier epochs are
    /// then permanently revoked.
    pub key_epoch: u32,
    /// The version of the system firmware that the app runs on; images that require a later one are refused. 0.0.0, if there
    /// is none; [`Components`](crate::Components) sets it.
    pub system_version: Version,
    /// Number of boots of a trial, 1..=15; see [`TRIAL_ATTEMPTS_DEFAULT`].
    pub trial_attempts: u8,
}

impl DeviceConfig {
    /// Creates a configuration for the hardware id `hardware` with the defaults: component `app`, newer versions only,
    /// minimum security counter 0, key epoch 0, no system firmware, and [`TRIAL_ATTEMPTS_DEFAULT`] boots of a trial.
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
            system_version: Version::default(),
            trial_attempts: TRIAL_ATTEMPTS_DEFAULT,
        })
    }
}

/// Errors of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The layout does not fit this flash.
    Layout(LayoutError),
    /// The number of boots of a trial is not in 1..=15.
    TrialAttempts {
        /// The configured number.
        got: u8,
    },
}

print_by_name!(ConfigError);
