//! What the service has about a device beside its jobs: the last report of the device, its hardware, and whether it is pinned.

use serde::{Deserialize, Serialize};

/// The last report of a device about itself. The texts are the device's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Whether an update could begin.
    pub available: bool,
    /// What the device is busy with, if it is not available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Hardware id, as in image headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<String>,
    /// Version of the running app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Version of the running system firmware.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_version: Option<String>,
    /// Images with a lower security counter are rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_counter: Option<u32>,
    /// When it arrived. Seconds since 1970.
    pub at_s: u64,
}

/// A device of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Thing name.
    pub thing: String,
    /// Whether new jobs pass it over.
    #[serde(default)]
    pub pinned: bool,
    /// Hardware id that a person set; for a device that reports none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_hardware: Option<String>,
    /// Absent: the device sent none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<DeviceReport>,
    /// Whether it is connected; absent with an external broker, which does not pass that on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected: Option<bool>,
    /// When its connection began or ended, or its last request arrived; absent if none did since the service started, or more things
    /// than `SEEN_THINGS_MAX` were seen. Seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at_s: Option<u64>,
}

impl Device {
    /// The hardware id: the reported one, or else the one that was set.
    pub fn hardware(&self) -> Option<&str> {
        let reported = self.report.as_ref().and_then(|report| report.hardware.as_deref());
        reported.or(self.set_hardware.as_deref())
    }

    /// Whether the device reported that no update can begin.
    pub fn is_unavailable(&self) -> bool {
        self.report.as_ref().is_some_and(|report| !report.available)
    }
}

/// `GET /api/things/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceView {
    /// As in the list.
    #[serde(flatten)]
    pub device: Device,
    /// The pending jobs of the device; absent without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
}

/// The pending jobs of a device, of which it gets the next one when the first has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Id of the first one.
    pub first: String,
    /// `QUEUED` or `IN_PROGRESS`.
    pub status: String,
    /// Since when it has this status. Seconds since 1970.
    pub since_s: u64,
    /// Whether its document has no `afr_ota`: the agent leaves such a job to the application.
    pub custom: bool,
    /// Number of jobs behind it.
    pub behind: u64,
}

impl Queue {
    /// What the jobs behind the first one wait for, in a sentence; empty without any.
    pub fn hint(&self) -> &'static str {
        match (self.behind, self.custom) {
            (0, _) => "",
            (_, false) => "The others begin when it has ended.",
            (_, true) => {
                "Its document has no afr_ota, so it is for the application of the device: the others wait until that reports its end, or it is cancelled."
            }
        }
    }
}

/// `GET /api/things`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceList {
    /// Sorted by name, at most `PAGE_ROWS_MAX`.
    pub things: Vec<Device>,
    /// Number of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
}

/// Query of `GET /api/things`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct DeviceQuery {
    /// Part of the name.
    #[serde(default)]
    pub filter: String,
    /// Number of the page, from 1.
    #[serde(default)]
    pub page: u32,
}

/// `PUT /api/things/{name}/hardware`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetHardware {
    /// Hardware id, as in image headers.
    pub hardware: String,
}
