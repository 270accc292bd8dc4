//! JSON types of the admin requests about releases, shared by `ota` and `ota-cloud`.

use serde::{Deserialize, Serialize};

use crate::api::{JobRow, NewFile, NewJob};
use crate::health::{Health, HealthView};
use crate::job_config::JobConfig;
use crate::model::Job;
use crate::object;
use crate::release_plan::{HaltRule, Mode};
use crate::store::ReleaseRecord;

/// State of a release that was halted, and of one that was taken back; otherwise it has the state of its job.
pub const HALTED: &str = "HALTED";
/// See [`HALTED`].
pub const REVERTED: &str = "REVERTED";

/// `PUT /api/releases/{id}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRelease {
    /// Its job: things or groups, images, rate.
    pub job: NewJob,
    /// When the devices get it.
    #[serde(default)]
    pub mode: Mode,
    /// What halts it.
    #[serde(default, deserialize_with = "object::read")]
    pub halt: HaltRule,
}

/// `GET /api/releases`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleaseList {
    /// Newest first.
    pub releases: Vec<ReleaseView>,
}

/// `GET /api/releases/{id}`, and one of the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleaseView {
    /// Id of the release and of its job.
    pub id: String,
    /// `HALTED`, `REVERTED`, or the state of the job.
    pub status: String,
    /// When the devices get it.
    pub mode: Mode,
    /// What halts it.
    pub halt: HaltRule,
    /// Why it was halted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The release that it takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverts: Option<String>,
    /// Seconds since 1970.
    pub created_at_s: u64,
    /// Whether its rollout is paused.
    #[serde(default)]
    pub paused: bool,
    /// Rollout and schedule of the job.
    pub config: JobConfig,
    /// How its devices are.
    pub health: HealthView,
    /// Number of devices that it did not reach before it was cancelled, or ended. They are in `GET /api/releases/{id}/unreached`.
    #[serde(default)]
    pub unreached: u64,
}

impl ReleaseView {
    /// Creates the view of a stored release with its job, which did not reach this number of devices.
    pub fn new(release: &ReleaseRecord, job: &Job, health: &Health, unreached: u64, now_s: u64) -> Self {
        let status = match (release.is_reverted, &release.halted) {
            (true, _) => REVERTED,
            (false, Some(_)) => HALTED,
            (false, None) => JobRow::status_of(job, &health.counts, now_s),
        };
        Self {
            id: release.id.clone(),
            status: status.to_owned(),
            mode: release.plan.mode,
            halt: release.plan.halt.clone(),
            reason: release.halted.clone(),
            reverts: release.plan.reverts.clone(),
            created_at_s: job.created_at_s,
            paused: job.paused,
            config: job.config.clone(),
            health: health.into(),
            unreached,
        }
    }
}

/// `POST /api/releases/{id}/halt`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HaltRequest {
    /// Why, in words.
    #[serde(default)]
    pub reason: String,
}

/// `POST /api/releases/{id}/revert`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevertRequest {
    /// Images for all devices that the release reached; by default each gets what it had before.
    #[serde(default)]
    pub files: Vec<NewFile>,
}

/// Response to `POST /api/releases/{id}/revert`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevertResponse {
    /// The new releases, one for each image that devices had before.
    pub releases: Vec<RevertingRelease>,
    /// Devices whose images before are not known: name one to get it to them.
    #[serde(default)]
    pub without: Vec<String>,
    /// Devices that get none because they are pinned: another revert includes them once they are not.
    #[serde(default)]
    pub pinned: Vec<String>,
    /// Whether an image is older than that of the release: devices that accept newer versions only reject it.
    #[serde(default)]
    pub older: bool,
}

/// A release that takes back another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevertingRelease {
    /// Its id.
    pub id: String,
    /// Number of its devices.
    pub devices: u64,
}
