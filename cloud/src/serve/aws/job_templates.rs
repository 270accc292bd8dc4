//! Job templates: settings of jobs under a name. A job that is created from one takes those that its request does not have.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, put};
use axum::{Json, Router};
use ota_jobs::JobId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arn::{arn, name_in};
use super::authenticate::Caller;
use super::documents::document_of;
use super::error::{AwsError, Code};
use super::job_settings::{Settings, TimeoutConfig};
use super::paging::Paging;
use super::request::{Body, Names, Parameters};
use crate::clock::now_s;
use crate::job_config::{AbortConfig, RetryConfig, RolloutConfig};
use crate::model::{Job, JobTemplate, PresignedUrlConfig};
use crate::serve::http::app::App;
use crate::serve::jobs::admin_error::AdminError;
use crate::serve::jobs::changes::check_text;

/// Type of a template in an ARN.
const KIND: &str = "jobtemplate";

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/job-templates", get(list))
        .route("/job-templates/{id}", put(create).get(describe).delete(delete))
}

/// CreateJobTemplate.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateTemplate {
    job_arn: Option<String>,
    document: Option<String>,
    document_source: Option<String>,
    description: String,
    presigned_url_config: Option<PresignedUrlConfig>,
    job_executions_rollout_config: Option<RolloutConfig>,
    abort_config: Option<AbortConfig>,
    timeout_config: Option<TimeoutConfig>,
    job_executions_retry_config: Option<RetryConfig>,
    /// Tags of the account's resources; they have no effect, and are not kept.
    #[serde(default, rename = "tags")]
    _tags: Value,
}

/// Response to CreateJobTemplate.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    job_template_arn: String,
    job_template_id: String,
}

async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(id): Names<String>,
    Body(request): Body<CreateTemplate>,
) -> Result<Json<Created>, AwsError> {
    JobId::new(&id).map_err(|error| AwsError::invalid(format!("template id: {error}")))?;
    let settings = settings(&app, request).await?;
    let settings = serde_json::to_string(&settings).expect("texts and numbers");
    let template = JobTemplate { id, settings, created_at_s: now_s() };
    if !app.store.add_job_template(&template).await? {
        return Err(AwsError::new(Code::Conflict, format!("there is a job template {}", template.id)));
    }
    Ok(Json(Created { job_template_arn: arn(&caller.region, KIND, &template.id), job_template_id: template.id }))
}

/// The settings of a new template: of the request, and else of the job that it names.
async fn settings(app: &App, request: CreateTemplate) -> Result<Settings, AwsError> {
    check_text("description", Some(&request.description))?;
    let job = match &request.job_arn {
        Some(arn) => of_job(job(app, name_in(arn, "job")?).await?),
        None => Settings::default(),
    };
    let document = match (request.document, request.document_source) {
        (None, None) if job.document.is_some() => None,
        (document, source) => Some(document_of(app, document, source).await?),
    };
    let settings = Settings {
        document,
        description: Some(request.description),
        presigned_url_config: request.presigned_url_config,
        job_executions_rollout_config: request.job_executions_rollout_config,
        abort_config: request.abort_config,
        timeout_config: request.timeout_config,
        job_executions_retry_config: request.job_executions_retry_config,
    };
    let settings = settings.or(job);
    settings.config(None).check().map_err(AwsError::invalid)?;
    Ok(settings)
}

async fn job(app: &App, id: &str) -> Result<Job, AwsError> {
    Ok(app.store.job(id).await?.ok_or_else(|| AdminError::NoJob(id.to_owned()))?)
}

fn of_job(job: Job) -> Settings {
    Settings {
        // The document of files names the stream of its own job.
        document: Some(job.document).filter(|_| job.stream.is_none()),
        description: job.details.description,
        presigned_url_config: job.details.presigned_url_config,
        job_executions_rollout_config: job.config.rollout,
        abort_config: job.config.abort,
        timeout_config: job.timeout_s.map(TimeoutConfig::of_seconds),
        job_executions_retry_config: job.config.retry,
    }
}

/// Returns the settings of the template with this ARN.
///
/// Errors: `InvalidRequestException` for another ARN, `ResourceNotFoundException`.
pub async fn settings_of(app: &App, arn: &str) -> Result<Settings, AwsError> {
    read(&stored(app, name_in(arn, KIND)?).await?)
}

fn read(template: &JobTemplate) -> Result<Settings, AwsError> {
    serde_json::from_str(&template.settings)
        .map_err(|error| AwsError::new(Code::InternalFailure, format!("stored settings: {error}")))
}

/// Errors: `ResourceNotFoundException`.
async fn stored(app: &App, id: &str) -> Result<JobTemplate, AwsError> {
    app.store.job_template(id).await?.ok_or_else(|| AwsError::not_found(format!("there is no job template {id}")))
}

/// DescribeJobTemplate. Time in seconds since 1970.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    job_template_arn: String,
    job_template_id: String,
    created_at: u64,
    #[serde(flatten)]
    settings: Settings,
}

async fn describe(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(id): Names<String>,
) -> Result<Json<Described>, AwsError> {
    let template = stored(&app, &id).await?;
    Ok(Json(Described {
        settings: read(&template)?,
        job_template_arn: arn(&caller.region, KIND, &id),
        job_template_id: id,
        created_at: template.created_at_s,
    }))
}

/// A page of templates.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TemplatePage {
    job_templates: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// Time in seconds since 1970.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    job_template_arn: String,
    job_template_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    created_at: u64,
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Parameters(paging): Parameters<Paging>,
) -> Result<Json<TemplatePage>, AwsError> {
    let after: String = paging.after()?.unwrap_or_default();
    let rows = app.store.listed_job_templates(&after, paging.limit()?).await?;
    let (rows, next_token) = paging.page(rows, |template| template.id.clone())?;
    let row = |template: JobTemplate| {
        Ok(Row {
            description: read(&template)?.description,
            job_template_arn: arn(&caller.region, KIND, &template.id),
            job_template_id: template.id,
            created_at: template.created_at_s,
        })
    };
    let job_templates = rows.into_iter().map(row).collect::<Result<_, AwsError>>()?;
    Ok(Json(TemplatePage { job_templates, next_token }))
}

/// Jobs that were created from it stay.
async fn delete(State(app): State<Arc<App>>, Names(id): Names<String>) -> Result<(), AwsError> {
    match app.store.delete_job_template(&id).await? {
        true => Ok(()),
        false => Err(AwsError::not_found(format!("there is no job template {id}"))),
    }
}
