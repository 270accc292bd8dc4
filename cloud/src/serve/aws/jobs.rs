//! Jobs: create, describe, list, update, cancel, delete, associate. Their JSON is in `job_shapes.rs`, executions are in
//! `executions.rs`.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;

use super::arn::{Target, target};
use super::authenticate::Caller;
use super::documents::{document_of, raw};
use super::error::AwsError;
use super::job_settings::{Settings, TargetSelection};
use super::job_shapes::{AssociateTargets, Cancellation, CreateJob, Document, JobAnswer, UpdateJob};
use super::job_templates::settings_of;
use super::job_views::{DescribedJob, JobPage, JobRow};
use super::paging::Paging;
use super::request::{Body, Names, Parameters};
use crate::api::NewJob;
use crate::clock::now_s;
use crate::job_config::JobConfig;
use crate::model::{Job, JobDetails};
use crate::serve::http::app::App;
use crate::serve::jobs::admin_error::AdminError;
use crate::serve::jobs::changes::{JobChange, JobUpdate, check_text};
use crate::serve::jobs::groups::check_things;
use crate::store::JobFilter;

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/jobs", get(list))
        .route("/jobs/{id}", put(create).get(describe).patch(update).delete(delete))
        .route("/jobs/{id}/job-document", get(document))
        .route("/jobs/{id}/cancel", put(cancel))
        .route("/jobs/{id}/targets", post(associate))
}

/// Returns the things and groups that are named by ARNs.
///
/// Errors: `InvalidRequestException` for another ARN; see [`known_things`].
pub async fn targets(app: &App, arns: &[String]) -> Result<(Vec<String>, Vec<String>), AwsError> {
    let (mut things, mut groups) = (Vec::new(), Vec::new());
    for arn in arns {
        match target(arn)? {
            Target::Thing(name) => things.push(name),
            Target::Group(name) => groups.push(name),
        }
    }
    known_things(app, &things).await?;
    Ok((things, groups))
}

/// Checks that things exist, or have sent a request: another name may be a typing error.
///
/// Errors: `InvalidRequestException` for what is not a name, `ResourceNotFoundException`.
pub async fn known_things(app: &App, things: &[String]) -> Result<(), AwsError> {
    check_things(things)?;
    let missing = app.store.missing_things(things).await?;
    if !missing.is_empty() {
        let seen: HashSet<String> = app.jobs.seen().into_iter().collect();
        if let Some(unknown) = missing.into_iter().find(|thing| !seen.contains(thing)) {
            return Err(AdminError::NoThing(unknown).into());
        }
    }
    Ok(())
}

async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(id): Names<String>,
    Body(request): Body<CreateJob>,
) -> Result<Json<JobAnswer>, AwsError> {
    let job = new_job(&app, request).await?;
    let description = job.details.description.clone();
    app.jobs.create(id.clone(), job, &caller.key_id).await?;
    Ok(Json(JobAnswer::new(&caller.region, id, description)))
}

async fn new_job(app: &App, request: CreateJob) -> Result<NewJob, AwsError> {
    request.check_offered()?;
    let (things, groups) = targets(app, &request.targets).await?;
    let template = match &request.job_template_arn {
        Some(arn) => settings_of(app, arn).await?,
        None => Settings::default(),
    };
    let mut settings = request.settings();
    if settings.document.is_some() || request.document_source.is_some() || template.document.is_none() {
        settings.document = Some(document_of(app, settings.document, request.document_source).await?);
    }
    let settings = settings.or(template);
    check_text("description", settings.description.as_deref())?;
    Ok(NewJob {
        things,
        groups,
        continuous: request.target_selection == TargetSelection::Continuous,
        config: settings.config(request.scheduling_config),
        document: settings.document.map(raw).transpose()?,
        timeout_minutes: settings.timeout_config.map(|timeout| timeout.in_progress_timeout_in_minutes),
        details: JobDetails {
            description: settings.description,
            presigned_url_config: settings.presigned_url_config,
            job_template_arn: request.job_template_arn,
            ..JobDetails::default()
        },
        ..NewJob::default()
    })
}

/// Errors: `ResourceNotFoundException`.
pub async fn job(app: &App, id: &str) -> Result<Job, AwsError> {
    Ok(app.store.job(id).await?.ok_or_else(|| AdminError::NoJob(id.to_owned()))?)
}

async fn describe(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(id): Names<String>,
) -> Result<Json<DescribedJob>, AwsError> {
    let job = job(&app, &id).await?;
    let (counts, updated_at_s) = (app.store.counts(&id).await?, app.store.job_updated_at_s(&id).await?);
    Ok(Json(DescribedJob::new(&caller.region, job, &counts, updated_at_s, now_s())))
}

async fn document(State(app): State<Arc<App>>, Names(id): Names<String>) -> Result<Json<Document>, AwsError> {
    Ok(Json(Document { document: job(&app, &id).await?.document }))
}

/// Query of ListJobs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListQuery {
    status: Option<String>,
    target_selection: Option<TargetSelection>,
    thing_group_name: Option<String>,
    max_results: Option<u64>,
    next_token: Option<String>,
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<JobPage>, AwsError> {
    let paging = Paging::new(query.max_results, query.next_token);
    let filter = JobFilter {
        state: query.status.as_deref(),
        continuous: query.target_selection.map(|selection| selection == TargetSelection::Continuous),
        group: query.thing_group_name.as_deref(),
    };
    let before = paging.after()?.unwrap_or(i64::MAX);
    let rows = app.store.listed_jobs(filter, before, paging.limit()?, now_s()).await?;
    let (rows, next_token) = paging.page(rows, |job| job.seq)?;
    let jobs = rows.into_iter().map(|job| JobRow::new(&caller.region, job)).collect();
    Ok(Json(JobPage { jobs, next_token }))
}

async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(id): Names<String>,
    Body(request): Body<UpdateJob>,
) -> Result<(), AwsError> {
    let update = JobUpdate {
        description: request.description,
        presigned_url_config: request.presigned_url_config,
        timeout_minutes: request.timeout_config.map(|timeout| timeout.in_progress_timeout_in_minutes),
        config: JobConfig {
            rollout: request.job_executions_rollout_config,
            abort: request.abort_config,
            retry: request.job_executions_retry_config,
            schedule: None,
        },
    };
    Ok(app.jobs.change(JobChange::Update { id, update: Box::new(update) }, &caller.key_id).await?)
}

/// Query of requests that may concern what is in progress.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Force {
    /// Whether they do.
    #[serde(default)]
    pub force: bool,
}

async fn cancel(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(id): Names<String>,
    Parameters(Force { force }): Parameters<Force>,
    Body(Cancellation { reason_code, comment }): Body<Cancellation>,
) -> Result<Json<JobAnswer>, AwsError> {
    check_text("reasonCode", reason_code.as_deref())?;
    check_text("comment", comment.as_deref())?;
    let job = job(&app, &id).await?;
    app.jobs.cancel(id.clone(), force, &caller.key_id).await?;
    if reason_code.is_some() || comment.is_some() {
        app.jobs.change(JobChange::Remark { id, reason_code, comment }, &caller.key_id).await?;
    }
    Ok(Json(JobAnswer::of(&caller.region, job)))
}

async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(id): Names<String>,
    Parameters(Force { force }): Parameters<Force>,
) -> Result<(), AwsError> {
    Ok(app.jobs.change(JobChange::Delete { id, force }, &caller.key_id).await?)
}

async fn associate(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(id): Names<String>,
    Body(request): Body<AssociateTargets>,
) -> Result<Json<JobAnswer>, AwsError> {
    let (things, groups) = targets(&app, &request.targets).await?;
    let job = job(&app, &id).await?;
    app.jobs.change(JobChange::Associate { id, things, groups }, &caller.key_id).await?;
    Ok(Json(JobAnswer::of(&caller.region, job)))
}
