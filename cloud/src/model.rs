//! The records that the store keeps and the rules work on: executions, jobs, images, events.
//! No behaviour but small questions about one record.

use ota_jobs::Status;
use serde::{Deserialize, Serialize};

/// One thing's part of one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Position in the queue among executions of the same second.
    pub seq: i64,
    /// The job.
    pub job_id: String,
    /// The thing.
    pub thing: String,
    /// Which attempt of this job at this thing; the first is 1.
    pub number: u64,
    /// Where it stands.
    pub status: Status,
    /// What the device said last, a JSON object of strings.
    pub details: Option<String>,
    /// Seconds since 1970.
    pub queued_at_s: u64,
    /// Seconds since 1970; absent while queued.
    pub started_at_s: Option<u64>,
    /// Seconds since 1970.
    pub updated_at_s: u64,
    /// Starts at 1, grows by one with every update.
    pub version: u64,
    /// When the in-progress timer of the job runs out. Seconds since 1970.
    pub job_deadline_s: Option<u64>,
    /// When the step timer that the device set runs out. Seconds since 1970.
    pub step_deadline_s: Option<u64>,
}

impl Execution {
    /// The timer that runs out first decides. Source: AWS IoT Jobs, "step timers".
    pub fn deadline_s(&self) -> Option<u64> {
        match (self.job_deadline_s, self.step_deadline_s) {
            (Some(job), Some(step)) => Some(job.min(step)),
            (job, step) => job.or(step),
        }
    }

    /// Is it queued or in progress?
    pub fn is_pending(&self) -> bool {
        !self.status.is_terminal()
    }
}

/// An uploaded file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The server's name for it, also of its file below the data directory.
    pub id: String,
    /// The uploader's name for it.
    pub name: String,
    /// Length of the file.
    pub size_bytes: u64,
    /// SHA-256 of the file, lower-case hexadecimal.
    pub sha256: String,
    /// Signature over that digest in base64, whose form tells its kind; absent: unsigned.
    pub signature: Option<String>,
}

/// A job as it is created and stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// AWS's charset, at most 64 characters.
    pub id: String,
    /// The job document, a JSON object; URLs to sign are placeholders, see `serve::document`.
    pub document: String,
    /// The stream that carries its files.
    pub stream: Option<String>,
    /// How long an execution may be in progress.
    pub timeout_s: Option<u64>,
    /// Was it cancelled?
    pub canceled: bool,
    /// Seconds since 1970.
    pub created_at_s: u64,
}

/// One file of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFile {
    /// 0..=255, from the job document.
    pub file_id: u32,
    /// The image that it is.
    pub image_id: String,
    /// Length of the file.
    pub size_bytes: u64,
}

/// One line of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Grows by at least one from event to event.
    pub seq: i64,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// What kind of thing happened: `image`, `job`, `execution`.
    pub kind: String,
    /// The job, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub job_id: Option<String>,
    /// The thing, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub thing: Option<String>,
    /// For people.
    pub text: String,
}

/// What an event says before it has a number and a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditNote {
    /// See [`Event::kind`].
    pub kind: &'static str,
    /// See [`Event::job_id`].
    pub job_id: Option<String>,
    /// See [`Event::thing`].
    pub thing: Option<String>,
    /// See [`Event::text`].
    pub text: String,
}
