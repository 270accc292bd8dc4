//! JSON of the requests about jobs. Members are those of the service model `iot` of botocore; those that are not offered here are
//! refused by name.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arn::arn;
use super::error::AwsError;
use super::job_settings::{Settings, TargetSelection, TimeoutConfig};
use crate::job_config::{AbortConfig, RetryConfig, RolloutConfig};
use crate::model::{Job, PresignedUrlConfig};
use crate::schedule::ScheduleConfig;

/// CreateJob.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateJob {
    /// ARNs of things and groups.
    pub targets: Vec<String>,
    /// The job document, JSON in a text.
    pub document: Option<String>,
    /// URL of an object with the document.
    pub document_source: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Configuration of signed URLs; it has no effect.
    pub presigned_url_config: Option<PresignedUrlConfig>,
    /// Snapshot by default.
    #[serde(default)]
    pub target_selection: TargetSelection,
    /// Rate.
    pub job_executions_rollout_config: Option<RolloutConfig>,
    /// Abort criteria.
    pub abort_config: Option<AbortConfig>,
    /// Timer.
    pub timeout_config: Option<TimeoutConfig>,
    /// Retries.
    pub job_executions_retry_config: Option<RetryConfig>,
    /// Begin and end.
    pub scheduling_config: Option<ScheduleConfig>,
    /// The template whose settings it takes.
    pub job_template_arn: Option<String>,
    /// Tags of the account's resources; they have no effect, and are not kept.
    #[serde(default, rename = "tags")]
    _tags: Value,
    namespace_id: Option<Value>,
    document_parameters: Option<Value>,
    destination_package_versions: Option<Value>,
}

impl CreateJob {
    /// Its settings without those of a template.
    pub fn settings(&self) -> Settings {
        Settings {
            document: self.document.clone(),
            description: self.description.clone(),
            presigned_url_config: self.presigned_url_config.clone(),
            job_executions_rollout_config: self.job_executions_rollout_config.clone(),
            abort_config: self.abort_config.clone(),
            timeout_config: self.timeout_config,
            job_executions_retry_config: self.job_executions_retry_config.clone(),
        }
    }

    /// Refuses members that are not offered.
    ///
    /// Errors: `InvalidRequestException` with the member.
    pub fn check_offered(&self) -> Result<(), AwsError> {
        let members = [
            ("namespaceId", &self.namespace_id),
            ("documentParameters", &self.document_parameters),
            ("destinationPackageVersions", &self.destination_package_versions),
        ];
        match members.into_iter().find(|(_, value)| value.is_some()) {
            Some((name, _)) => Err(AwsError::invalid(format!("{name} is not offered here"))),
            None => Ok(()),
        }
    }
}

/// Response to CreateJob, CancelJob and AssociateTargetsWithJob.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobAnswer {
    job_arn: String,
    job_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

impl JobAnswer {
    /// A job with this id.
    pub fn new(region: &str, job_id: String, description: Option<String>) -> Self {
        Self { job_arn: arn(region, "job", &job_id), job_id, description }
    }

    /// A stored job.
    pub fn of(region: &str, job: Job) -> Self {
        Self::new(region, job.id, job.details.description)
    }
}

/// UpdateJob.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateJob {
    /// See [`CreateJob`].
    pub description: Option<String>,
    /// See [`CreateJob`].
    pub presigned_url_config: Option<PresignedUrlConfig>,
    /// See [`CreateJob`].
    pub job_executions_rollout_config: Option<RolloutConfig>,
    /// See [`CreateJob`].
    pub abort_config: Option<AbortConfig>,
    /// See [`CreateJob`].
    pub timeout_config: Option<TimeoutConfig>,
    /// See [`CreateJob`].
    pub job_executions_retry_config: Option<RetryConfig>,
}

/// CancelJob.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cancellation {
    /// Code of the reason.
    pub reason_code: Option<String>,
    /// A text for people.
    pub comment: Option<String>,
}

/// AssociateTargetsWithJob.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AssociateTargets {
    /// ARNs of things and groups.
    pub targets: Vec<String>,
    /// A text for people; it is not kept.
    #[serde(default, rename = "comment")]
    _comment: Value,
}

/// GetJobDocument.
#[derive(Debug, Serialize)]
pub struct Document {
    /// As it is stored: URLs are signed when a device requests it.
    pub document: String,
}
