//! JSON of the responses about jobs. Members are those of the service model `iot` of botocore.

use ota_jobs::Status;
use serde::Serialize;

use super::arn::arn;
use super::job_settings::{TargetSelection, TimeoutConfig};
use crate::api::job_status;
use crate::job_config::JobConfig;
use crate::limits::WINDOWS_LISTED;
use crate::maintenance;
use crate::model::{Counts, Job, JobTarget, PresignedUrlConfig};
use crate::schedule;
use crate::store::ListedJob;

/// ListJobs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobPage {
    /// Newest first.
    pub jobs: Vec<JobRow>,
    /// Token of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// One job of a list. Times are seconds since 1970.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRow {
    job_arn: String,
    job_id: String,
    target_selection: TargetSelection,
    created_at: u64,
    last_updated_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<u64>,
    status: String,
}

impl JobRow {
    /// The row of a stored job.
    pub fn new(region: &str, job: ListedJob) -> Self {
        Self {
            job_arn: arn(region, "job", &job.id),
            job_id: job.id,
            target_selection: TargetSelection::of(job.continuous),
            created_at: job.created_at_s,
            last_updated_at: job.updated_at_s,
            completed_at: completed_at(&job.state, job.updated_at_s),
            status: job.state,
        }
    }
}

fn completed_at(status: &str, updated_at_s: u64) -> Option<u64> {
    matches!(status, "COMPLETED" | "CANCELED").then_some(updated_at_s)
}

/// DescribeJob.
#[derive(Debug, Serialize)]
pub struct DescribedJob {
    job: JobView,
}

/// A job. Times are seconds since 1970.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct JobView {
    #[serde(flatten)]
    row: JobRow,
    force_canceled: bool,
    targets: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presigned_url_config: Option<PresignedUrlConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_template_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_config: Option<TimeoutConfig>,
    /// Rate, abort criteria, retries and schedule, under AWS's names.
    #[serde(flatten)]
    config: JobConfig,
    job_process_details: ProcessDetails,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scheduled_job_rollouts: Vec<ScheduledRollout>,
}

/// Begin of a maintenance window.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ScheduledRollout {
    /// `YYYY-MM-DD HH:MM` in UTC, as that of a schedule.
    start_time: String,
}

/// The next maintenance windows of a job.
fn scheduled(job: &Job, now_s: u64) -> Vec<ScheduledRollout> {
    let starts_s = match job.canceled {
        true => Vec::new(),
        false => maintenance::next_starts(job.config.windows(), now_s, WINDOWS_LISTED),
    };
    starts_s.into_iter().map(|at_s| ScheduledRollout { start_time: schedule::written(at_s) }).collect()
}

/// Number of things per status.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessDetails {
    number_of_canceled_things: u64,
    number_of_succeeded_things: u64,
    number_of_failed_things: u64,
    number_of_rejected_things: u64,
    number_of_queued_things: u64,
    number_of_in_progress_things: u64,
    number_of_removed_things: u64,
    number_of_timed_out_things: u64,
}

impl From<&Counts> for ProcessDetails {
    fn from(counts: &Counts) -> Self {
        Self {
            number_of_canceled_things: counts.of(Status::Canceled),
            number_of_succeeded_things: counts.of(Status::Succeeded),
            number_of_failed_things: counts.of(Status::Failed),
            number_of_rejected_things: counts.of(Status::Rejected),
            number_of_queued_things: counts.of(Status::Queued),
            number_of_in_progress_things: counts.of(Status::InProgress),
            number_of_removed_things: counts.of(Status::Removed),
            number_of_timed_out_things: counts.of(Status::TimedOut),
        }
    }
}

impl DescribedJob {
    /// The view of a stored job. `updated_at_s`: the last change of an execution.
    pub fn new(region: &str, job: Job, counts: &Counts, updated_at_s: Option<u64>, now_s: u64) -> Self {
        let done = !job.continuous && counts.is_ended();
        let scheduled_job_rollouts = scheduled(&job, now_s);
        let row = ListedJob {
            seq: 0,
            state: job_status(job.canceled, done, job.config.start_s(), now_s).to_owned(),
            id: job.id,
            continuous: job.continuous,
            created_at_s: job.created_at_s,
            updated_at_s: updated_at_s.unwrap_or_default().max(job.created_at_s),
        };
        let target = |target: &JobTarget| match target {
            JobTarget::Thing(name) => arn(region, "thing", name),
            JobTarget::Group(name) => arn(region, "thinggroup", name),
        };
        let details = job.details;
        Self {
            job: JobView {
                row: JobRow::new(region, row),
                force_canceled: job.canceled_by_force,
                targets: details.targets.iter().map(target).collect(),
                reason_code: details.reason_code,
                comment: details.comment,
                description: details.description,
                presigned_url_config: details.presigned_url_config,
                job_template_arn: details.job_template_arn,
                timeout_config: job.timeout_s.map(TimeoutConfig::of_seconds),
                config: job.config,
                job_process_details: counts.into(),
                scheduled_job_rollouts,
            },
        }
    }
}
