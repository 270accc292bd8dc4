//! OTA updates: one request creates the stream, the document and the job of files that were uploaded as objects. They are signed
//! by their owner; there is no signing service here.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arn::arn;
use super::authenticate::Caller;
use super::error::{AwsError, Code};
use super::jobs::targets;
use super::ota_shapes::{CreateOtaUpdate, FileLocation, Stored};
use super::paging::Paging;
use super::request::{Body, Names, Parameters};
use super::things::Empty;
use crate::api::{NewFile, NewJob};
use crate::clock::now_s;
use crate::model::{JobDetails, OtaUpdate};
use crate::serve::http::app::App;
use crate::serve::http::new_job;
use crate::serve::jobs::admin_error::AdminError;
use crate::serve::jobs::changes::{JobChange, check_text};

/// What AWS puts before the id of an update for the id of its job.
const JOB_PREFIX: &str = "AFR_OTA-";
/// The only state of an update: it is created before the response.
const STATUS: &str = "CREATE_COMPLETE";

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/otaUpdates", get(list)).route("/otaUpdates/{id}", post(create).get(describe).delete(delete))
}

/// Response to CreateOTAUpdate.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    ota_update_id: String,
    ota_update_arn: String,
    aws_iot_job_id: String,
    aws_iot_job_arn: String,
    ota_update_status: &'static str,
}

async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(id): Names<String>,
    Body(request): Body<CreateOtaUpdate>,
) -> Result<Json<Created>, AwsError> {
    let exists = || AwsError::new(Code::ResourceAlreadyExists, format!("there is an OTA update {id}"));
    let mut job = new_job(&app, &request).await?;
    new_job::prepare(&app, &mut job).await?;
    let request = serde_json::to_string(&request.stored()).expect("texts and numbers");
    let update = OtaUpdate { id: id.clone(), job_id: format!("{JOB_PREFIX}{id}"), request, created_at_s: now_s() };
    // Stored first: one whose job was not created, since the client went away, is replaced by the next request.
    if !app.store.add_ota_update(&update).await? {
        return Err(exists());
    }
    if let Err(error) = app.jobs.create(update.job_id.clone(), job, &caller.key_id).await {
        app.store.delete_ota_update(&update.id).await?;
        return Err(error.into());
    }
    Ok(Json(Created {
        ota_update_arn: arn(&caller.region, "otaupdate", &update.id),
        ota_update_id: update.id,
        aws_iot_job_arn: arn(&caller.region, "job", &update.job_id),
        aws_iot_job_id: update.job_id,
        ota_update_status: STATUS,
    }))
}

async fn new_job(app: &App, request: &CreateOtaUpdate) -> Result<NewJob, AwsError> {
    check_text("description", request.description.as_deref())?;
    let (things, groups) = targets(app, &request.targets).await?;
    let mut files = Vec::with_capacity(request.files.len());
    for file in &request.files {
        let (signature, key_name) = file.signature()?;
        files.push(NewFile {
            image: image(app, &file.file_location).await?,
            file_id: None,
            file_path: file.file_name.clone(),
            key_name,
            signature,
            file_type: file.file_type.map(u32::from),
        });
    }
    Ok(NewJob {
        things,
        groups,
        continuous: request.is_continuous(),
        files,
        protocols: request.protocols.clone(),
        timeout_minutes: request.aws_job_timeout_config.map(|timeout| timeout.in_progress_timeout_in_minutes),
        config: request.config(),
        details: JobDetails { description: request.description.clone(), ..JobDetails::default() },
        ..NewJob::default()
    })
}

/// Returns the id of the image at a location.
async fn image(app: &App, location: &FileLocation) -> Result<String, AwsError> {
    match location {
        FileLocation { s3_location: Some(location), stream: None } => Ok(location.clone().image(app).await?.1),
        FileLocation { s3_location: None, stream: Some(stream) } => {
            let files = app.store.stream_objects(&stream.stream_id).await?;
            let file = files.into_iter().find(|file| file.file_id == stream.file_id);
            let missing = || format!("there is no file {} in a stream {}", stream.file_id, stream.stream_id);
            file.map(|file| file.image_id).ok_or_else(|| AwsError::invalid(missing()))
        }
        _ => Err(AwsError::invalid("fileLocation has either s3Location or stream")),
    }
}

/// Errors: `ResourceNotFoundException`.
async fn stored(app: &App, id: &str) -> Result<OtaUpdate, AwsError> {
    app.store.ota_update(id).await?.ok_or_else(|| AwsError::not_found(format!("there is no OTA update {id}")))
}

/// GetOTAUpdate.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    ota_update_info: View,
}

/// An update. Times are seconds since 1970.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    ota_update_id: String,
    ota_update_arn: String,
    creation_date: u64,
    last_modified_date: u64,
    ota_update_status: &'static str,
    aws_iot_job_id: String,
    aws_iot_job_arn: String,
    #[serde(flatten)]
    request: Stored,
}

async fn describe(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(id): Names<String>,
) -> Result<Json<Described>, AwsError> {
    let OtaUpdate { id, job_id, request, created_at_s } = stored(&app, &id).await?;
    let request = serde_json::from_str(&request)
        .map_err(|error| AwsError::new(Code::InternalFailure, format!("stored request: {error}")))?;
    let view = View {
        ota_update_arn: arn(&caller.region, "otaupdate", &id),
        ota_update_id: id,
        creation_date: created_at_s,
        last_modified_date: created_at_s,
        ota_update_status: STATUS,
        aws_iot_job_arn: arn(&caller.region, "job", &job_id),
        aws_iot_job_id: job_id,
        request,
    };
    Ok(Json(Described { ota_update_info: view }))
}

/// Query of ListOTAUpdates.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListQuery {
    ota_update_status: Option<String>,
    max_results: Option<u64>,
    next_token: Option<String>,
}

/// A page of updates.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UpdatePage {
    ota_updates: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// Seconds since 1970.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    ota_update_id: String,
    ota_update_arn: String,
    creation_date: u64,
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<UpdatePage>, AwsError> {
    if query.ota_update_status.is_some_and(|status| status != STATUS) {
        return Ok(Json(UpdatePage { ota_updates: Vec::new(), next_token: None }));
    }
    let paging = Paging::new(query.max_results, query.next_token);
    let after: String = paging.after()?.unwrap_or_default();
    let rows = app.store.listed_ota_updates(&after, paging.limit()?).await?;
    let (rows, next_token) = paging.page(rows, |update| update.id.clone())?;
    let row = |update: OtaUpdate| Row {
        ota_update_arn: arn(&caller.region, "otaupdate", &update.id),
        ota_update_id: update.id,
        creation_date: update.created_at_s,
    };
    Ok(Json(UpdatePage { ota_updates: rows.into_iter().map(row).collect(), next_token }))
}

/// Query of DeleteOTAUpdate.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteQuery {
    /// The stream of an update belongs to its job, and is deleted with that.
    #[serde(default, rename = "deleteStream")]
    _delete_stream: Value,
    #[serde(default, rename = "forceDeleteAWSJob")]
    force: bool,
}

async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(id): Names<String>,
    Parameters(query): Parameters<DeleteQuery>,
) -> Result<Json<Empty>, AwsError> {
    let update = stored(&app, &id).await?;
    let change = JobChange::Delete { id: update.job_id, force: query.force };
    match app.jobs.change(change, &caller.key_id).await {
        // The job may have been deleted before.
        Ok(()) | Err(AdminError::NoJob(_)) => {}
        Err(error) => return Err(error.into()),
    }
    app.store.delete_ota_update(&id).await?;
    Ok(Json(Empty {}))
}
