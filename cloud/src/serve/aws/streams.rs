//! Streams over objects of the S3 API. A device may request the files of a stream that the document of one of its jobs names.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use ota_jobs::StreamName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arn::arn;
use super::authenticate::Caller;
use super::error::{AwsError, Code};
use super::paging::Paging;
use super::request::{Body, Names, Parameters};
use super::things::Empty;
use crate::clock::now_s;
use crate::limits::FILES_MAX;
use crate::model::{ObjectName, Stream, StreamObject};
use crate::serve::http::app::App;
use crate::serve::jobs::changes::check_text;

/// Every stream has this version: its files do not change.
const VERSION: u32 = 1;

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/streams", get(list)).route("/streams/{id}", post(create).get(describe).delete(delete))
}

/// CreateStream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateStream {
    description: Option<String>,
    files: Vec<StreamFile>,
    role_arn: String,
    /// Tags of the account's resources; they have no effect, and are not kept.
    #[serde(default, rename = "tags")]
    _tags: Value,
}

/// A file of a stream.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StreamFile {
    file_id: u8,
    s3_location: S3Location,
}

/// An object, of the newest version or of the one that is named.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Location {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl S3Location {
    /// Returns the object's name and the id of its image.
    ///
    /// Errors: `InvalidRequestException` if there is no such object.
    pub async fn image(self, app: &App) -> Result<(ObjectName, String), AwsError> {
        let object = ObjectName { bucket: self.bucket, key: self.key };
        let image = app.store.object(&object, self.version.as_deref()).await?;
        match image {
            Some(image) => Ok((object, image.id)),
            None => {
                let ObjectName { bucket, key } = object;
                Err(AwsError::invalid(format!("there is no such version of the object {key:?} in {bucket:?}")))
            }
        }
    }
}

/// A stream, in responses.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    stream_id: String,
    stream_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    stream_version: u32,
}

impl Row {
    fn new(region: &str, stream: Stream) -> Self {
        let stream_arn = arn(region, "stream", &stream.id);
        Self { stream_id: stream.id, stream_arn, description: stream.description, stream_version: VERSION }
    }
}

async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(id): Names<String>,
    Body(request): Body<CreateStream>,
) -> Result<Json<Row>, AwsError> {
    StreamName::new(&id).map_err(|error| AwsError::invalid(format!("stream id: {error}")))?;
    check_text("description", request.description.as_deref())?;
    check_text("roleArn", Some(&request.role_arn))?;
    let files = objects(&app, request.files).await?;
    let stream = Stream { id, description: request.description, role_arn: request.role_arn, created_at_s: now_s() };
    if !app.store.create_stream(&stream, &files, &caller.key_id).await? {
        return Err(AwsError::new(Code::ResourceAlreadyExists, format!("there is a stream {}", stream.id)));
    }
    Ok(Json(Row::new(&caller.region, stream)))
}

async fn objects(app: &App, files: Vec<StreamFile>) -> Result<Vec<StreamObject>, AwsError> {
    if !(1..=FILES_MAX).contains(&files.len()) {
        return Err(AwsError::invalid(format!("{} files, 1 to {FILES_MAX} are taken", files.len())));
    }
    let mut objects: Vec<StreamObject> = Vec::with_capacity(files.len());
    for StreamFile { file_id, s3_location } in files {
        if objects.iter().any(|other| other.file_id == file_id) {
            return Err(AwsError::invalid(format!("file id {file_id} is used twice")));
        }
        let (object, image_id) = s3_location.image(app).await?;
        objects.push(StreamObject { file_id, object, image_id });
    }
    Ok(objects)
}

/// Errors: `ResourceNotFoundException`.
async fn stored(app: &App, id: &str) -> Result<Stream, AwsError> {
    app.store.stream(id).await?.ok_or_else(|| AwsError::not_found(format!("there is no stream {id}")))
}

/// DescribeStream.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    stream_info: View,
}

/// A stream with its files. Times are seconds since 1970.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    #[serde(flatten)]
    row: Row,
    files: Vec<StreamFile>,
    created_at: u64,
    last_updated_at: u64,
    role_arn: String,
}

async fn describe(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(id): Names<String>,
) -> Result<Json<Described>, AwsError> {
    let stream = stored(&app, &id).await?;
    let file = |file: StreamObject| StreamFile {
        file_id: file.file_id,
        s3_location: S3Location { bucket: file.object.bucket, key: file.object.key, version: Some(file.image_id) },
    };
    let view = View {
        files: app.store.stream_objects(&id).await?.into_iter().map(file).collect(),
        created_at: stream.created_at_s,
        last_updated_at: stream.created_at_s,
        role_arn: stream.role_arn.clone(),
        row: Row::new(&caller.region, stream),
    };
    Ok(Json(Described { stream_info: view }))
}

/// A page of streams.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamPage {
    streams: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Parameters(paging): Parameters<Paging>,
) -> Result<Json<StreamPage>, AwsError> {
    let after: String = paging.after()?.unwrap_or_default();
    let rows = app.store.listed_streams(&after, paging.limit()?).await?;
    let (rows, next_token) = paging.page(rows, |stream| stream.id.clone())?;
    let streams = rows.into_iter().map(|stream| Row::new(&caller.region, stream)).collect();
    Ok(Json(StreamPage { streams, next_token }))
}

async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(id): Names<String>,
) -> Result<Json<Empty>, AwsError> {
    match app.store.delete_stream(&id, &caller.key_id).await? {
        true => Ok(Json(Empty {})),
        false => Err(AwsError::not_found(format!("there is no stream {id}"))),
    }
}
