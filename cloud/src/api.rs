//! JSON types of the admin requests and responses, shared by `ota` and `ota-cloud`.

pub mod access;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::job_config::JobConfig;
use crate::model::{Counts, Execution, Image, Job, JobDetails};
use crate::object;
use crate::store::JobSummary;

/// Header of an image upload: the signature in base64; its kind is derived from its format. Absent: an unsigned image.
pub const SIGNATURE_HEADER: &str = "ota-signature";

/// `PUT /api/jobs/{id}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewJob {
    /// Things that get an execution.
    #[serde(default)]
    pub things: Vec<String>,
    /// Groups whose members get one, too.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Whether things that join one of the groups later get one: AWS's `CONTINUOUS`, in place of `SNAPSHOT`.
    #[serde(default)]
    pub continuous: bool,
    /// Files of the job; empty for a job with a custom document.
    #[serde(default)]
    pub files: Vec<NewFile>,
    /// Protocols for the download: `MQTT`, `HTTP`, in order of preference.
    #[serde(default)]
    pub protocols: Vec<Protocol>,
    /// Custom document instead of files; it is not changed.
    #[serde(default)]
    pub document: Option<Box<RawValue>>,
    /// Maximum time that an execution may be in progress. Unit: minutes.
    #[serde(default)]
    pub timeout_minutes: Option<u64>,
    /// Rollout, abort criteria, retries and schedule.
    #[serde(default, deserialize_with = "object::read")]
    pub config: JobConfig,
    /// Whether devices are asked not to postpone the update; theirs to decide. Not for a custom document.
    #[serde(default)]
    pub forced: bool,
    /// Description and the like; only of jobs of the AWS control API.
    #[serde(skip)]
    pub details: JobDetails,
    /// Whether images may be for other hardware than that of the things; such a device rejects them.
    #[serde(default)]
    pub any_hardware: bool,
}

/// Download protocol, spelled as in the job document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// Blocks of an MQTT stream.
    #[serde(rename = "MQTT")]
    Mqtt,
    /// Byte ranges of a signed URL.
    #[serde(rename = "HTTP")]
    Http,
}

/// One file of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewFile {
    /// Id of an uploaded image.
    pub image: String,
    /// Id in the stream; by default the position in the list.
    #[serde(default)]
    pub file_id: Option<u8>,
    /// Path on the device; by default the image's name.
    #[serde(default)]
    pub file_path: Option<String>,
    /// Name of the verification key on the device: `certfile` in the document.
    #[serde(default)]
    pub key_name: Option<String>,
    /// Signature in base64; by default that of the image.
    #[serde(default)]
    pub signature: Option<String>,
    /// `fileType` in the document; by default that of the slot which the image is linked for, if any.
    #[serde(default)]
    pub file_type: Option<u32>,
}

/// Query of `POST /api/jobs/{id}/cancel`, and of `DELETE /api/jobs/{id}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelQuery {
    /// Also cancel executions in progress; also delete a job that has not ended.
    #[serde(default)]
    pub force: bool,
}

/// Response to `PUT /api/jobs/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateResponse {
    /// Things of the job from which no request arrived since the service started, at most `UNSEEN_LISTED_MAX` of them.
    #[serde(default, rename = "unheard")]
    pub unseen: Vec<String>,
    /// Things of the job that it passes over because they are pinned, at most `UNSEEN_LISTED_MAX` of them.
    #[serde(default)]
    pub pinned: Vec<String>,
    /// Number of things whose hardware the service does not have; their devices check it.
    #[serde(default)]
    pub unknown_hardware: u64,
}

/// Response to `POST /api/jobs/{id}/cancel`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelResponse {
    /// Number of cancelled executions.
    pub canceled: u64,
    /// Number of executions in progress that were not cancelled because `force` was not set.
    pub left_in_progress: u64,
}

/// Response to `POST /api/jobs/{id}/retry`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryResponse {
    /// Number of executions that are queued again.
    pub queued: u64,
    /// Number of failed executions that stay because their thing is pinned.
    pub pinned: u64,
}

/// Query of `GET /api/events`; the response is a list of [`crate::model::Event`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventQuery {
    /// Only events after this number.
    #[serde(default)]
    pub after: i64,
    /// Only events of this job.
    #[serde(default)]
    pub job: Option<String>,
    /// Maximum time to wait for the first event. Unit: seconds.
    #[serde(default)]
    pub wait_s: u64,
}

/// `GET /api/jobs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobList {
    /// Newest first.
    pub jobs: Vec<JobRow>,
}

/// One job of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRow {
    /// Its id.
    pub id: String,
    /// `SCHEDULED`, `IN_PROGRESS`, `COMPLETED` or `CANCELED`.
    pub status: String,
    /// Seconds since 1970.
    pub created_at_s: u64,
    /// Number of executions per status.
    pub executions: std::collections::BTreeMap<String, u64>,
    /// Number of things that have no execution yet.
    #[serde(default)]
    pub waiting: u64,
    /// Whether these wait until its rollout is resumed.
    #[serde(default)]
    pub paused: bool,
}

impl JobRow {
    /// Creates the row of a stored job.
    pub fn new(job: &JobSummary, now_s: u64) -> Self {
        let terminal = |status: &str| ota_jobs::Status::parse(status).is_some_and(|status| status.is_terminal());
        let done = !job.continuous && job.waiting == 0 && job.counts.iter().all(|(status, _)| terminal(status));
        let status = job_status(job.canceled, done, job.config.start_s(), now_s).to_owned();
        let (executions, paused) = (job.counts.iter().cloned().collect(), job.paused);
        Self { id: job.id.clone(), status, created_at_s: job.created_at_s, executions, waiting: job.waiting, paused }
    }

    /// The state of a job of which so much is done.
    pub fn status_of(job: &Job, counts: &Counts, now_s: u64) -> &'static str {
        job_status(job.canceled, !job.continuous && counts.is_ended(), job.config.start_s(), now_s)
    }
}

/// Source: AWS IoT Jobs, job states.
pub(crate) fn job_status(canceled: bool, done: bool, start_s: Option<u64>, now_s: u64) -> &'static str {
    match (canceled, done) {
        (true, _) => "CANCELED",
        (false, true) => "COMPLETED",
        (false, false) if start_s.is_some_and(|start_s| start_s > now_s) => "SCHEDULED",
        (false, false) => "IN_PROGRESS",
    }
}

/// `GET /api/jobs/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobView {
    /// Its id.
    pub id: String,
    /// `SCHEDULED`, `IN_PROGRESS`, `COMPLETED` or `CANCELED`.
    pub status: String,
    /// Seconds since 1970.
    pub created_at_s: u64,
    /// Document as stored; URLs are signed when a device requests it.
    pub document: Box<RawValue>,
    /// Rollout, abort criteria, retries and schedule.
    #[serde(default)]
    pub config: JobConfig,
    /// One per thing that has one.
    pub executions: Vec<ExecutionRow>,
    /// Number of things that have no execution yet.
    #[serde(default)]
    pub waiting: u64,
    /// Whether things that join its groups get it.
    #[serde(default)]
    pub continuous: bool,
    /// Whether its rollout is paused.
    #[serde(default)]
    pub paused: bool,
}

/// Execution of a job for one thing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExecutionRow {
    /// The thing.
    pub thing: String,
    /// Status in AWS's spelling.
    pub status: String,
    /// Whether the status is final.
    pub terminal: bool,
    /// Number of the execution; above 1 after a retry.
    #[serde(default = "first_number")]
    pub number: u64,
    /// Last status details from the device.
    pub details: Option<Box<RawValue>>,
    /// See [`Execution::version`].
    pub version: u64,
    /// Seconds since 1970.
    pub updated_at_s: u64,
}

/// Of a service that does not retry.
fn first_number() -> u64 {
    1
}

impl JobView {
    /// Creates the view of a stored job.
    pub fn new(job: &Job, executions: &[Execution], waiting: u64, now_s: u64) -> Self {
        let done = !job.continuous && waiting == 0 && executions.iter().all(|e| e.status.is_terminal());
        let raw = |text: &str| RawValue::from_string(text.to_owned()).ok();
        let view = |e: &Execution| ExecutionRow {
            thing: e.thing.clone(),
            status: e.status.as_str().to_owned(),
            terminal: e.status.is_terminal(),
            number: e.number,
            details: e.details.as_deref().and_then(raw),
            version: e.version,
            updated_at_s: e.updated_at_s,
        };
        Self {
            id: job.id.clone(),
            status: job_status(job.canceled, done, job.config.start_s(), now_s).to_owned(),
            created_at_s: job.created_at_s,
            document: raw(&job.document).unwrap_or_default(),
            config: job.config.clone(),
            executions: executions.iter().map(view).collect(),
            waiting,
            continuous: job.continuous,
            paused: job.paused,
        }
    }
}

/// Query of `GET /api/images`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ImageQuery {
    /// Number of the page, from 1.
    #[serde(default)]
    pub page: u32,
    /// Only images with this digest, in lower-case hexadecimal.
    #[serde(default)]
    pub sha256: Option<String>,
}

/// `GET /api/images`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageList {
    /// Newest first, at most `PAGE_ROWS_MAX`.
    pub images: Vec<ImageRow>,
    /// Number of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
}

/// One image of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRow {
    /// As in the response to its upload.
    #[serde(flatten)]
    pub image: Image,
    /// Time of the upload. Seconds since 1970.
    pub created_at_s: u64,
}

impl From<(Image, u64)> for ImageRow {
    fn from((image, created_at_s): (Image, u64)) -> Self {
        Self { image, created_at_s }
    }
}

/// `GET /api/groups`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupList {
    /// Sorted by name.
    pub groups: Vec<GroupRow>,
}

/// One group of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRow {
    /// Its name.
    pub name: String,
    /// Number of its things.
    pub things: u64,
}

/// `GET /api/groups/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// Its things, sorted.
    pub things: Vec<String>,
}

/// `POST` and `DELETE /api/groups/{name}/things`; `GET /api/pins` and `GET /api/releases/{id}/unreached`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Members {
    /// Things that join or leave the group, are pinned, or were not reached.
    pub things: Vec<String>,
}

/// Body of every error response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// Human-readable message.
    pub error: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_scheduled_until_its_start_unless_it_is_cancelled() {
        for (canceled, done, start_s, expected) in [
            (false, false, Some(101), "SCHEDULED"),
            (false, false, Some(100), "IN_PROGRESS"),
            (false, false, None, "IN_PROGRESS"),
            (false, true, Some(100), "COMPLETED"),
            (true, false, Some(101), "CANCELED"),
        ] {
            assert_eq!(job_status(canceled, done, start_s, 100), expected);
        }
    }
}
