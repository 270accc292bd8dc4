//! The jobs data plane, `iot-jobs-data`: what devices otherwise request over MQTT, by the same rules and with the same members.
//! The job document is a text here.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use bytes::Bytes;
use ota_jobs::{JobId, JobsTopic, RejectCode, Status, ThingName};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::{AwsError, Code};
use super::request::{Names, Parameters};
use crate::clock::now_s;
use crate::limits::PENDING_LISTED_MAX;
use crate::model::Execution;
use crate::serve::http::app::App;
use crate::serve::jobs::codec;
use crate::serve::jobs::messages::{ExecutionView, Reply, Request};
use crate::serve::jobs::rules::Refusal;

/// The id that means the next pending execution.
const NEXT: &str = "$next";

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/things/{thing}/jobs", get(pending))
        .route("/things/{thing}/jobs/$next", put(start_next).get(describe_next))
        .route("/things/{thing}/jobs/{id}", get(describe).post(update))
}

/// Sends the request to the job service.
async fn ask(app: &App, thing: String, request: Request) -> Result<Response, AwsError> {
    ThingName::new(&thing).map_err(|error| AwsError::invalid(format!("thing: {error}")))?;
    let reply = app.jobs.request(thing.clone(), request).await?;
    answer(thing, reply)
}

fn answer(thing: String, reply: Reply) -> Result<Response, AwsError> {
    match reply {
        Reply::Refused(refusal) => Err(refusal.into()),
        Reply::Pending(pending) => Ok(Json(Pending::new(&pending)).into_response()),
        Reply::Execution(shown) => {
            let execution = shown.map(|shown| View::new(thing, shown, now_s()));
            Ok(Json(Described { execution }).into_response())
        }
        Reply::Updated { state, document } => {
            Ok(Json(Updated { execution_state: state.map(Into::into), job_document: document }).into_response())
        }
    }
}

impl From<Refusal> for AwsError {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.code {
            RejectCode::ResourceNotFound => Code::ResourceNotFound,
            RejectCode::InvalidStateTransition => Code::InvalidStateTransition,
            RejectCode::TerminalStateReached => Code::TerminalState,
            RejectCode::RequestThrottled => Code::Throttling,
            RejectCode::InternalError => Code::InternalFailure,
            // The model of this service has no other name for a version that is not the expected one.
            _ => Code::InvalidRequest,
        };
        Self::new(code, refusal.message)
    }
}

async fn pending(State(app): State<Arc<App>>, Names(thing): Names<String>) -> Result<Response, AwsError> {
    ask(&app, thing, Request::Pending).await
}

async fn start_next(
    State(app): State<Arc<App>>,
    Names(thing): Names<String>,
    body: Bytes,
) -> Result<Response, AwsError> {
    let request = codec::request(JobsTopic::StartNext(None), &body)?;
    ask(&app, thing, request).await
}

/// Query of DescribeJobExecution.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DescribeQuery {
    include_job_document: Option<bool>,
    execution_number: Option<u64>,
}

async fn describe_next(
    state: State<Arc<App>>,
    Names(thing): Names<String>,
    query: Parameters<DescribeQuery>,
) -> Result<Response, AwsError> {
    describe(state, Names((thing, NEXT.to_owned())), query).await
}

async fn describe(
    State(app): State<Arc<App>>,
    Names((thing, id)): Names<(String, String)>,
    Parameters(query): Parameters<DescribeQuery>,
) -> Result<Response, AwsError> {
    let job_id = Some(id).filter(|id| id != NEXT);
    let include_document = query.include_job_document.unwrap_or(true);
    ask(&app, thing, Request::Describe { job_id, number: query.execution_number, include_document }).await
}

async fn update(
    State(app): State<Arc<App>>,
    Names((thing, id)): Names<(String, String)>,
    body: Bytes,
) -> Result<Response, AwsError> {
    JobId::new(&id).map_err(|error| AwsError::invalid(format!("job id: {error}")))?;
    let request = codec::request(JobsTopic::Update(&id, None), &body)?;
    ask(&app, thing, request).await
}

/// GetPendingJobExecutions.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pending {
    in_progress_jobs: Vec<Summary>,
    queued_jobs: Vec<Summary>,
}

/// Times are seconds since 1970.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    job_id: String,
    queued_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<u64>,
    last_updated_at: u64,
    version_number: u64,
    execution_number: u64,
}

impl Pending {
    fn new(pending: &[Execution]) -> Self {
        let listed = &pending[..pending.len().min(PENDING_LISTED_MAX)];
        let with = |status| listed.iter().filter(move |e| e.status == status).map(Summary::from).collect();
        Self { in_progress_jobs: with(Status::InProgress), queued_jobs: with(Status::Queued) }
    }
}

impl From<&Execution> for Summary {
    fn from(from: &Execution) -> Self {
        Self {
            job_id: from.job_id.clone(),
            queued_at: from.queued_at_s,
            started_at: from.started_at_s,
            last_updated_at: from.updated_at_s,
            version_number: from.version,
            execution_number: from.number,
        }
    }
}

/// DescribeJobExecution and StartNextPendingJobExecution.
#[derive(Serialize)]
struct Described {
    #[serde(skip_serializing_if = "Option::is_none")]
    execution: Option<View>,
}

/// An execution. Times are seconds since 1970.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    job_id: String,
    thing_name: String,
    #[serde(flatten)]
    state: ExecutionState,
    queued_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<u64>,
    last_updated_at: u64,
    execution_number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    approximate_seconds_before_timed_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_document: Option<String>,
}

impl View {
    fn new(thing_name: String, ExecutionView { execution, document }: ExecutionView, now_s: u64) -> Self {
        Self {
            job_id: execution.job_id.clone(),
            thing_name,
            queued_at: execution.queued_at_s,
            started_at: execution.started_at_s,
            last_updated_at: execution.updated_at_s,
            execution_number: execution.number,
            approximate_seconds_before_timed_out: execution.deadline_s().map(|at_s| at_s.saturating_sub(now_s)),
            state: execution.into(),
            job_document: document,
        }
    }
}

/// UpdateJobExecution.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Updated {
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_state: Option<ExecutionState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_document: Option<String>,
}

/// State of an execution.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExecutionState {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_details: Option<Box<RawValue>>,
    version_number: u64,
}

impl From<Execution> for ExecutionState {
    fn from(from: Execution) -> Self {
        let status_details = from.details.and_then(|details| RawValue::from_string(details).ok());
        Self { status: from.status.as_str(), status_details, version_number: from.version }
    }
}
