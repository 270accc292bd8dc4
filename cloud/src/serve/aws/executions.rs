//! Executions of jobs, by job and by thing: list, describe, cancel, delete.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::{delete, get, put};
use axum::{Json, Router};
use ota_jobs::{RawJson, Status};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::arn::arn;
use super::authenticate::Caller;
use super::error::AwsError;
use super::jobs::{Force, job};
use super::paging::Paging;
use super::request::{Body, Names, Parameters};
use crate::clock::now_s;
use crate::model::Execution;
use crate::serve::http::app::App;
use crate::serve::jobs::admin_error::AdminError;
use crate::serve::jobs::changes::{ExecutionName, JobChange};
use crate::serve::jobs::codec;

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/jobs/{id}/things", get(of_job))
        .route("/things/{thing}/jobs", get(of_thing))
        .route("/things/{thing}/jobs/{id}", get(describe))
        .route("/things/{thing}/jobs/{id}/cancel", put(cancel))
        .route("/things/{thing}/jobs/{id}/executionNumber/{number}", delete(remove))
}

/// Which executions are listed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListQuery {
    status: Option<String>,
    job_id: Option<String>,
    max_results: Option<u64>,
    next_token: Option<String>,
}

impl ListQuery {
    fn status(&self) -> Result<Option<Status>, AwsError> {
        let unknown = |status: &String| AwsError::invalid(format!("there is no status {status}"));
        self.status.as_ref().map(|status| Status::parse(status).ok_or_else(|| unknown(status))).transpose()
    }

    fn paging(&self) -> Paging {
        Paging::new(self.max_results, self.next_token.clone())
    }
}

/// A page of executions.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExecutionPage {
    execution_summaries: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// An execution with what the list is not about: its thing, or its job.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    thing_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<String>,
    job_execution_summary: Summary,
}

/// Times are seconds since 1970.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    status: &'static str,
    queued_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<u64>,
    last_updated_at: u64,
    execution_number: u64,
    retry_attempt: u64,
}

impl From<&Execution> for Summary {
    fn from(execution: &Execution) -> Self {
        Self {
            status: execution.status.as_str(),
            queued_at: execution.queued_at_s,
            started_at: execution.started_at_s,
            last_updated_at: execution.updated_at_s,
            execution_number: execution.number,
            retry_attempt: execution.number.saturating_sub(1),
        }
    }
}

async fn of_job(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(id): Names<String>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<ExecutionPage>, AwsError> {
    job(&app, &id).await?;
    let paging = query.paging();
    let after = paging.after()?.unwrap_or(0);
    let rows = app.store.executions_after(&id, query.status()?, after, paging.limit()?).await?;
    let (rows, next_token) = paging.page(rows, |execution| execution.seq)?;
    let row = |execution: &Execution| Row {
        thing_arn: Some(arn(&caller.region, "thing", &execution.thing)),
        job_id: None,
        job_execution_summary: execution.into(),
    };
    Ok(Json(ExecutionPage { execution_summaries: rows.iter().map(row).collect(), next_token }))
}

async fn of_thing(
    State(app): State<Arc<App>>,
    Names(thing): Names<String>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<ExecutionPage>, AwsError> {
    if !app.store.has_thing(&thing).await? {
        return Err(AdminError::NoThing(thing).into());
    }
    let paging = query.paging();
    let before = paging.after()?.unwrap_or(i64::MAX);
    let which = (query.status()?, query.job_id.as_deref());
    let rows = app.store.history_before(&thing, which, before, paging.limit()?).await?;
    let (rows, next_token) = paging.page(rows, |execution| execution.seq)?;
    let row = |execution: &Execution| Row {
        thing_arn: None,
        job_id: Some(execution.job_id.clone()),
        job_execution_summary: execution.into(),
    };
    Ok(Json(ExecutionPage { execution_summaries: rows.iter().map(row).collect(), next_token }))
}

/// Query of DescribeJobExecution.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Number {
    execution_number: Option<u64>,
}

/// DescribeJobExecution.
#[derive(Serialize)]
struct Described {
    execution: View,
}

/// An execution. Times are seconds since 1970.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    job_id: String,
    status: &'static str,
    force_canceled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_details: Option<Details>,
    thing_arn: String,
    queued_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<u64>,
    last_updated_at: u64,
    execution_number: u64,
    version_number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    approximate_seconds_before_timed_out: Option<u64>,
}

/// The status details of a device.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    details_map: Box<RawValue>,
}

async fn describe(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names((thing, job_id)): Names<(String, String)>,
    Parameters(Number { execution_number }): Parameters<Number>,
) -> Result<Json<Described>, AwsError> {
    let found = app.store.execution(&thing, &job_id).await?;
    let found = found.filter(|execution| execution_number.is_none_or(|number| number == execution.number));
    let execution = found.ok_or(AdminError::NoExecution { thing, job_id: job_id.clone() })?;
    let forced = job(&app, &job_id).await?.canceled_by_force;
    let details = execution.details.clone().and_then(|details| RawValue::from_string(details).ok());
    let left = execution.deadline_s().map(|at_s| at_s.saturating_sub(now_s()));
    let view = View {
        status: execution.status.as_str(),
        force_canceled: forced && execution.status == Status::Canceled,
        status_details: details.map(|details_map| Details { details_map }),
        thing_arn: arn(&caller.region, "thing", &execution.thing),
        queued_at: execution.queued_at_s,
        started_at: execution.started_at_s,
        last_updated_at: execution.updated_at_s,
        execution_number: execution.number,
        version_number: execution.version,
        approximate_seconds_before_timed_out: left,
        job_id,
    };
    Ok(Json(Described { execution: view }))
}

/// CancelJobExecution.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CancelExecution {
    expected_version: Option<u64>,
    status_details: Option<BTreeMap<String, String>>,
}

async fn cancel(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names((thing, job_id)): Names<(String, String)>,
    Parameters(Force { force }): Parameters<Force>,
    Body(CancelExecution { expected_version, status_details }): Body<CancelExecution>,
) -> Result<(), AwsError> {
    let details = status_details.as_ref().map(details).transpose()?;
    let of = ExecutionName { thing, job_id };
    Ok(app.jobs.change(JobChange::CancelExecution { of, expected_version, details, force }, &caller.key_id).await?)
}

/// The details must be readable for a device.
fn details(details: &BTreeMap<String, String>) -> Result<String, AwsError> {
    let text = serde_json::to_string(details).expect("texts");
    let json = RawJson::parse(text.as_bytes()).map_err(|error| AwsError::invalid(format!("statusDetails: {error}")))?;
    codec::details(json).map_err(|refusal| AwsError::invalid(refusal.message))
}

async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names((thing, job_id, number)): Names<(String, String, u64)>,
    Parameters(Force { force }): Parameters<Force>,
) -> Result<(), AwsError> {
    let of = ExecutionName { thing, job_id };
    Ok(app.jobs.change(JobChange::DeleteExecution { of, number, force }, &caller.key_id).await?)
}
