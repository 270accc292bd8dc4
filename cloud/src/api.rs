//! The shapes of the admin requests and answers: what `ota` sends and `ota-cloud` takes, as JSON.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::{Execution, Job};
use crate::store::JobSummary;

/// Header of an image upload: the signature in base64; its form tells its kind. Absent: an unsigned image.
pub const SIGNATURE_HEADER: &str = "ota-signature";

/// `PUT /api/jobs/{id}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewJob {
    /// Who gets an execution.
    pub things: Vec<String>,
    /// What the job carries; empty for a job with a document of its own.
    #[serde(default)]
    pub files: Vec<NewFile>,
    /// How devices may fetch it: `MQTT`, `HTTP`, in order of preference.
    #[serde(default)]
    pub protocols: Vec<Protocol>,
    /// A custom document instead of files; handed on untouched, byte by byte.
    #[serde(default)]
    pub document: Option<Box<RawValue>>,
    /// How long an execution may be in progress. Unit: minutes.
    #[serde(default)]
    pub timeout_minutes: Option<u64>,
}

/// A way to fetch an image, spelt as in the job document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// Blocks of an MQTT stream.
    #[serde(rename = "MQTT")]
    Mqtt,
    /// Ranges of a signed URL.
    #[serde(rename = "HTTP")]
    Http,
}

/// One file of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewFile {
    /// Id of an uploaded image.
    pub image: String,
    /// Its number in the stream; its place in the list unless given.
    #[serde(default)]
    pub file_id: Option<u8>,
    /// Where the device shall put it; the image's name unless given.
    #[serde(default)]
    pub file_path: Option<String>,
    /// The device's name of the key: `certfile` in the document.
    #[serde(default)]
    pub key_name: Option<String>,
    /// The device's idea of what kind of file it is.
    #[serde(default)]
    pub file_type: Option<u32>,
}

/// Query of `POST /api/jobs/{id}/cancel`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelQuery {
    /// Also what is in progress.
    #[serde(default)]
    pub force: bool,
}

/// Answer to `PUT /api/jobs/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateResponse {
    /// Things of the job from which no request arrived since the service started, at most `UNSEEN_LISTED_MAX` of them.
    #[serde(default, rename = "unheard")]
    pub unseen: Vec<String>,
}

/// Answer to `POST /api/jobs/{id}/cancel`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelResponse {
    /// Executions that it ended.
    pub canceled: u64,
    /// Executions in progress that go on, because it was not by force.
    pub left_in_progress: u64,
}

/// Query of `GET /api/events`; the answer is a list of [`crate::model::Event`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventQuery {
    /// Only events after this number.
    #[serde(default)]
    pub after: i64,
    /// Only events of this job.
    #[serde(default)]
    pub job: Option<String>,
    /// How long to wait for the first one. Unit: seconds.
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
    /// `IN_PROGRESS`, `COMPLETED` or `CANCELED`.
    pub status: String,
    /// Seconds since 1970.
    pub created_at_s: u64,
    /// Executions in each status.
    pub executions: std::collections::BTreeMap<String, u64>,
}

impl JobRow {
    /// The row of a stored job.
    pub fn new(job: &JobSummary) -> Self {
        let terminal = |status: &str| ota_jobs::Status::parse(status).is_some_and(|status| status.is_terminal());
        let done = job.counts.iter().all(|(status, _)| terminal(status));
        let status = job_status(job.canceled, done).to_owned();
        let executions = job.counts.iter().cloned().collect();
        Self { id: job.id.clone(), status, created_at_s: job.created_at_s, executions }
    }
}

/// Source: AWS IoT Jobs, job states.
pub(crate) fn job_status(canceled: bool, done: bool) -> &'static str {
    match (canceled, done) {
        (true, _) => "CANCELED",
        (false, true) => "COMPLETED",
        (false, false) => "IN_PROGRESS",
    }
}

/// `GET /api/jobs/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobView {
    /// Its id.
    pub id: String,
    /// `IN_PROGRESS`, `COMPLETED` or `CANCELED`.
    pub status: String,
    /// Seconds since 1970.
    pub created_at_s: u64,
    /// The document as it is stored; URLs are signed when a device fetches it.
    pub document: Box<RawValue>,
    /// One for each thing.
    pub executions: Vec<ExecutionRow>,
}

/// One thing's part of a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExecutionRow {
    /// The thing.
    pub thing: String,
    /// In AWS's words.
    pub status: String,
    /// Is that its end?
    pub terminal: bool,
    /// What the device said last.
    pub details: Option<Box<RawValue>>,
    /// See [`Execution::version`].
    pub version: u64,
    /// Seconds since 1970.
    pub updated_at_s: u64,
}

impl JobView {
    /// The view of a stored job.
    pub fn new(job: &Job, executions: &[Execution]) -> Self {
        let done = executions.iter().all(|e| e.status.is_terminal());
        let raw = |text: &str| RawValue::from_string(text.to_owned()).ok();
        let view = |e: &Execution| ExecutionRow {
            thing: e.thing.clone(),
            status: e.status.as_str().to_owned(),
            terminal: e.status.is_terminal(),
            details: e.details.as_deref().and_then(raw),
            version: e.version,
            updated_at_s: e.updated_at_s,
        };
        Self {
            id: job.id.clone(),
            status: job_status(job.canceled, done).to_owned(),
            created_at_s: job.created_at_s,
            document: raw(&job.document).unwrap_or_default(),
            executions: executions.iter().map(view).collect(),
        }
    }
}

/// Body of every refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// For people.
    pub error: String,
}
