//! What a device is, and what it accepts.

use crate::image::accept::VersionRule;
use crate::image::hardware::HardwareId;
use crate::image::header::Component;
use crate::print::print_by_name;
use crate::store::layout::{Layout, LayoutError};
use crate::store::record_format::RecordSpec;

/// The longest payload of the journal, in bytes.
pub const JOURNAL_PAYLOAD_BYTES_MAX: usize = 192;

pub(crate) const JOURNAL: RecordSpec = RecordSpec::new(0x4A, JOURNAL_PAYLOAD_BYTES_MAX);

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
