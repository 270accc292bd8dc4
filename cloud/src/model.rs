//! Records of the store: executions, jobs, images, accounts, events.
//! They have no behaviour beyond simple queries.

use std::collections::BTreeMap;

use ota_jobs::Status;
use serde::{Deserialize, Serialize};

use crate::job_config::JobConfig;
use crate::limits::TARGETS_LISTED_MAX;
use crate::role::Role;

/// Execution of a job for one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Position in the queue among executions queued in the same second.
    pub seq: i64,
    /// Job id.
    pub job_id: String,
    /// Thing name.
    pub thing: String,
    /// Execution number; the first is 1.
    pub number: u64,
    /// Current status.
    pub status: Status,
    /// Last status details of the device, a JSON object of strings.
    pub details: Option<String>,
    /// Time of creation. Seconds since 1970.
    pub queued_at_s: u64,
    /// Time of the start. Seconds since 1970; absent while queued.
    pub started_at_s: Option<u64>,
    /// Time of the last change. Seconds since 1970.
    pub updated_at_s: u64,
    /// Starts at 1, incremented with every change.
    pub version: u64,
    /// Expiry of the job's in-progress timer. Seconds since 1970.
    pub job_deadline_s: Option<u64>,
    /// Expiry of the step timer set by the device. Seconds since 1970.
    pub step_deadline_s: Option<u64>,
}

impl Execution {
    /// Returns the earlier deadline. Source: AWS IoT Jobs, "step timers".
    pub fn deadline_s(&self) -> Option<u64> {
        match (self.job_deadline_s, self.step_deadline_s) {
            (Some(job), Some(step)) => Some(job.min(step)),
            (job, step) => job.or(step),
        }
    }

    /// Returns whether the execution is queued or in progress.
    pub fn is_pending(&self) -> bool {
        !self.status.is_terminal()
    }
}

/// An uploaded file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Id assigned by the service, also the name of its file in the data directory.
    pub id: String,
    /// Name given by the uploader.
    pub name: String,
    /// Length of the file.
    pub size_bytes: u64,
    /// SHA-256 of the file, lower-case hexadecimal.
    pub sha256: String,
    /// Signature over the digest in base64; its kind is derived from its format. Absent: unsigned.
    pub signature: Option<String>,
}

/// Where an object of the S3 API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    /// Any name: there are no buckets to create.
    pub bucket: String,
    /// Its key.
    pub key: String,
}

/// A stream that was created apart from a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Its id.
    pub id: String,
    /// Description.
    pub description: Option<String>,
    /// The role that AWS would assume.
    pub role_arn: String,
    /// Seconds since 1970.
    pub created_at_s: u64,
}

/// A file of such a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamObject {
    /// Its id in the stream.
    pub file_id: u8,
    /// The object that it was made from.
    pub object: ObjectName,
    /// Its image, which is the object's version.
    pub image_id: String,
}

/// An update of CreateOTAUpdate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtaUpdate {
    /// Its id.
    pub id: String,
    /// Its job.
    pub job_id: String,
    /// JSON of the request.
    pub request: String,
    /// Seconds since 1970.
    pub created_at_s: u64,
}

/// A template of jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobTemplate {
    /// Its id.
    pub id: String,
    /// Settings of jobs, in JSON.
    pub settings: String,
    /// Seconds since 1970.
    pub created_at_s: u64,
}

/// An account or a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Time of creation. Seconds since 1970.
    pub created_at_s: u64,
}

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Things that have no execution yet.
    pub waiting: u64,
    /// Executions per status.
    pub executions: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Number of executions with this status.
    pub fn of(&self, status: Status) -> u64 {
        self.executions.get(status.as_str()).copied().unwrap_or_default()
    }

    /// Whether nothing more happens.
    pub fn is_ended(&self) -> bool {
        self.waiting == 0 && self.of(Status::Queued) == 0 && self.of(Status::InProgress) == 0
    }

    /// Number of things that have an execution.
    pub fn notified(&self) -> u64 {
        self.executions.values().sum()
    }

    /// Number of executions that have ended as FAILED, REJECTED or TIMED_OUT.
    pub fn failed(&self) -> u64 {
        [Status::Failed, Status::Rejected, Status::TimedOut].map(|status| self.of(status)).iter().sum()
    }

    /// Number of executions that have ended.
    pub fn ended(&self) -> u64 {
        self.notified() - self.of(Status::Queued) - self.of(Status::InProgress)
    }
}

/// A job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Id in AWS's character set, at most 64 characters.
    pub id: String,
    /// Job document, a JSON object; URLs are placeholders, see `serve::jobs::document`.
    pub document: String,
    /// Stream that delivers its files.
    pub stream: Option<String>,
    /// Maximum time that an execution may be in progress.
    pub timeout_s: Option<u64>,
    /// Rollout, abort criteria, retries and schedule.
    pub config: JobConfig,
    /// Whether things that join its groups get it: it ends only when it is cancelled.
    pub continuous: bool,
    /// Whether it was cancelled.
    pub canceled: bool,
    /// Whether it was cancelled with its executions in progress.
    pub canceled_by_force: bool,
    /// Whether its rollout is paused: no further thing gets it.
    pub paused: bool,
    /// What it has beside what it does.
    pub details: JobDetails,
    /// Time of creation. Seconds since 1970.
    pub created_at_s: u64,
}

/// What a job has beside what it does: texts of people, and how it was created.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct JobDetails {
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The groups and things that the job names, at most [`TARGETS_LISTED_MAX`].
    pub targets: Vec<JobTarget>,
    /// Configuration of signed URLs, as it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presigned_url_config: Option<PresignedUrlConfig>,
    /// Why it was cancelled: a code, and a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    /// See `reason_code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The template that it was created from, as an ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_template_arn: Option<String>,
}

impl JobDetails {
    /// Adds targets that are not listed yet, as long as there is room.
    pub fn add_targets(&mut self, targets: impl Iterator<Item = JobTarget>) {
        for target in targets {
            if self.targets.len() >= TARGETS_LISTED_MAX {
                return;
            }
            if !self.targets.contains(&target) {
                self.targets.push(target);
            }
        }
    }
}

/// A target of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JobTarget {
    /// A thing, by name.
    Thing(String),
    /// A group, by name.
    Group(String),
}

/// Configuration of signed URLs in the JSON of AWS. It has no effect: URLs are signed by the service, for its own time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PresignedUrlConfig {
    /// The role that AWS assumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// Unit: seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_sec: Option<u64>,
}

/// A thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thing {
    /// Its name.
    pub name: String,
    /// Attributes by name.
    pub attributes: BTreeMap<String, String>,
    /// Starts at 1, incremented with every change of the attributes.
    pub version: u64,
}

/// A group of things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Description.
    pub description: Option<String>,
    /// Seconds since 1970.
    pub created_at_s: u64,
}

/// One file of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFile {
    /// File id from the job document, 0..=255.
    pub file_id: u32,
    /// Id of the image.
    pub image_id: String,
    /// Length of the file.
    pub size_bytes: u64,
}

/// Audit event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Number; increases from event to event.
    pub seq: i64,
    /// Time. Milliseconds since 1970.
    pub at_ms: u64,
    /// Kind of object: `image`, `job`, `execution`, `thing`, `group`, `stream`, `access`.
    pub kind: String,
    /// The account or token that made the change; absent if a device or the service did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<String>,
    /// Job id, if the event belongs to a job.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub job_id: Option<String>,
    /// Thing name, if the event belongs to a thing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub thing: Option<String>,
    /// Human-readable description.
    pub text: String,
}

/// Audit event before it has a number and a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditNote {
    /// See [`Event::kind`].
    pub kind: &'static str,
    /// See [`Event::by`].
    pub by: Option<String>,
    /// See [`Event::job_id`].
    pub job_id: Option<String>,
    /// See [`Event::thing`].
    pub thing: Option<String>,
    /// See [`Event::text`].
    pub text: String,
}

impl AuditNote {
    /// A note that belongs to no job and no thing, of a change that the service made.
    pub fn new(kind: &'static str, text: impl Into<String>) -> Self {
        Self { kind, by: None, job_id: None, thing: None, text: text.into() }
    }

    /// The note of a change that an account or token made.
    pub fn by(self, by: impl Into<String>) -> Self {
        Self { by: Some(by.into()), ..self }
    }

    /// The note of a job.
    pub fn of_job(self, id: impl Into<String>) -> Self {
        Self { job_id: Some(id.into()), ..self }
    }

    /// The note of a thing.
    pub fn of_thing(self, name: impl Into<String>) -> Self {
        Self { thing: Some(name.into()), ..self }
    }
}
