//! How the devices of a release are.

use serde::{Deserialize, Serialize};

use crate::model::Counts;

/// How far a release is, and what its devices report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Executions per status, and things that have none yet.
    pub counts: Counts,
    /// Of the failed: those that failed their self-test, or went back to the image before.
    pub self_test_failed: u64,
    /// Of those in progress: those that reported nothing for the time of the halt rule.
    pub silent: u64,
    /// Executions that began before that time, ended or not.
    pub begun: u64,
    /// Of those that are not ended, or have no execution yet: those whose application postpones the update, or that are not
    /// available.
    pub on_hold: u64,
}

/// JSON of [`Health`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthView {
    /// Number of devices.
    pub devices: u64,
    /// Devices that did not get it yet.
    pub waiting: u64,
    /// Number of executions per status.
    pub executions: std::collections::BTreeMap<String, u64>,
    /// See [`Health::self_test_failed`].
    pub self_test_failed: u64,
    /// See [`Health::silent`].
    pub silent: u64,
    /// See [`Health::on_hold`].
    pub on_hold: u64,
}

impl From<&Health> for HealthView {
    fn from(health: &Health) -> Self {
        let Health { counts, self_test_failed, silent, on_hold, .. } = health;
        Self {
            devices: counts.notified() + counts.waiting,
            waiting: counts.waiting,
            executions: counts.executions.iter().map(|(status, count)| ((*status).to_owned(), *count)).collect(),
            self_test_failed: *self_test_failed,
            silent: *silent,
            on_hold: *on_hold,
        }
    }
}
