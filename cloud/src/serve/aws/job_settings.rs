//! Settings of jobs in the JSON of the AWS control API, which requests, templates and responses have in common.

use serde::{Deserialize, Serialize};

use crate::job_config::{AbortConfig, JobConfig, RetryConfig, RolloutConfig};
use crate::model::PresignedUrlConfig;
use crate::schedule::ScheduleConfig;

/// Whether things that join a group of the job get it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TargetSelection {
    /// They do.
    Continuous,
    /// They do not.
    #[default]
    Snapshot,
}

impl TargetSelection {
    /// Of a job.
    pub fn of(continuous: bool) -> Self {
        if continuous { Self::Continuous } else { Self::Snapshot }
    }
}

/// Timer of executions in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TimeoutConfig {
    /// Unit: minutes.
    pub in_progress_timeout_in_minutes: u64,
}

impl TimeoutConfig {
    /// `timeout_s`: whole minutes.
    pub fn of_seconds(timeout_s: u64) -> Self {
        Self { in_progress_timeout_in_minutes: timeout_s / 60 }
    }
}

/// Settings that a job has, or takes from a template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// The member of CreateJob with this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// The member of CreateJob with this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The member of CreateJob with this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presigned_url_config: Option<PresignedUrlConfig>,
    /// The member of CreateJob with this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_executions_rollout_config: Option<RolloutConfig>,
    /// The member of CreateJob with this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abort_config: Option<AbortConfig>,
    /// The member of CreateJob with this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_config: Option<TimeoutConfig>,
    /// The member of CreateJob with this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_executions_retry_config: Option<RetryConfig>,
}

impl Settings {
    /// Takes what is absent from other settings.
    pub fn or(self, other: Self) -> Self {
        Self {
            document: self.document.or(other.document),
            description: self.description.or(other.description),
            presigned_url_config: self.presigned_url_config.or(other.presigned_url_config),
            job_executions_rollout_config: self.job_executions_rollout_config.or(other.job_executions_rollout_config),
            abort_config: self.abort_config.or(other.abort_config),
            timeout_config: self.timeout_config.or(other.timeout_config),
            job_executions_retry_config: self.job_executions_retry_config.or(other.job_executions_retry_config),
        }
    }

    /// The configuration of a job with these settings and this schedule.
    pub fn config(&self, schedule: Option<ScheduleConfig>) -> JobConfig {
        JobConfig {
            rollout: self.job_executions_rollout_config.clone(),
            abort: self.abort_config.clone(),
            retry: self.job_executions_retry_config.clone(),
            schedule,
        }
    }
}
