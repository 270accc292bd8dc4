//! Amazon S3 as far as an upload of images needs it: objects in buckets of any name, with a version for each upload. An object
//! is an image, named by its key.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::put;
use axum::{BoxError, Router};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;

use super::authenticate::{Caller, Payload};
use super::error::{AwsError, Code, Protocol};
use super::object_body::ObjectBody;
use super::object_metadata::{self, SIGNATURE};
use super::request::{Names, Parameters};
use crate::model::ObjectName;
use crate::serve::files::UploadError;
use crate::serve::http::app::App;
use crate::serve::http::images;
use crate::serve::http::upload::{self, Label};
use crate::store::StoreError;

/// Header of a response: the version of the object.
const VERSION: HeaderName = HeaderName::from_static("x-amz-version-id");
/// Header that makes a PutObject a CopyObject.
const COPY_SOURCE: &str = "x-amz-copy-source";

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/{bucket}/{*key}", put(upload).get(download).delete(delete))
}

/// An error in the XML of S3.
pub struct S3Error(AwsError);

impl<E: Into<AwsError>> From<E> for S3Error {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for S3Error {
    fn into_response(self) -> Response {
        self.0.response(Protocol::S3)
    }
}

/// Query of requests for one version. Parameters of other operations are refused.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Version {
    version_id: Option<String>,
    /// Name of the operation, which some clients send.
    #[serde(default, rename = "x-id")]
    _operation: Option<String>,
}

/// The object that a request is about.
struct Object {
    name: ObjectName,
    version: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Object {
    type Rejection = S3Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, S3Error> {
        let Names((bucket, key)) = Names::from_request_parts(parts, state).await?;
        let Parameters(Version { version_id, .. }) = Parameters::from_request_parts(parts, state).await?;
        Ok(Self { name: ObjectName { bucket, key }, version: version_id })
    }
}

async fn upload(
    State(app): State<Arc<App>>,
    Object { name, .. }: Object,
    caller: Caller,
    Extension(payload): Extension<Payload>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, S3Error> {
    if headers.contains_key(COPY_SOURCE) {
        return Err(AwsError::new(Code::NotImplemented, "CopyObject is not offered here").into());
    }
    let metadata = object_metadata::read(&headers)?;
    let label = Label::new(name.key.clone(), metadata.get(SIGNATURE).cloned()).map_err(AwsError::invalid)?;
    let mut object = ObjectBody::new(payload, &headers);
    let decode = |piece: Result<Bytes, axum::Error>| Ok::<_, BoxError>(object.decode(piece?)?);
    let stored = upload::write(&app, body.into_data_stream().map(decode)).await.map_err(failed)?;
    if let Err(error) = object.check(&stored.sha256) {
        app.files.remove(&stored.id).await?;
        return Err(error.into());
    }
    let image = upload::keep(&app, label, &caller.key_id, stored).await?;
    app.store.add_object(&name, &image.id, &metadata).await?;
    Ok([(VERSION, image.id), (header::ETAG, format!("\"{}\"", image.sha256))].into_response())
}

fn failed(error: UploadError) -> AwsError {
    match error {
        UploadError::TooLarge { max } => {
            AwsError::new(Code::EntityTooLarge, format!("an image has at most {max} bytes"))
        }
        UploadError::Body(error) => AwsError::invalid(format!("the image did not arrive: {error}")),
        UploadError::Store(error) => error.into(),
    }
}

/// GetObject and HeadObject, with ranges.
async fn download(
    State(app): State<Arc<App>>,
    Object { name, version }: Object,
    headers: HeaderMap,
) -> Result<Response, S3Error> {
    let found = app.store.object(&name, version.as_deref()).await?;
    let image = found.ok_or_else(|| AwsError::new(Code::NoSuchKey, "there is no such object"))?;
    let file = match app.files.image(&image.id).await {
        Err(StoreError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(AwsError::new(Code::NoSuchKey, "the image file is missing").into());
        }
        file => file?,
    };
    let mut metadata = app.store.object_metadata(&image.id).await?;
    if let Some(signature) = &image.signature {
        // Objects of earlier versions of the service have no other metadata.
        metadata.entry(SIGNATURE.to_owned()).or_insert_with(|| signature.clone());
    }
    let mut response = images::ranged(&image, (file, ()), &headers);
    let id = HeaderValue::from_str(&image.id).expect("hexadecimal");
    response.headers_mut().insert(VERSION, id);
    object_metadata::write(&metadata, response.headers_mut())?;
    Ok(response)
}

/// As at S3, an object that does not exist is no error.
async fn delete(State(app): State<Arc<App>>, Object { name, version }: Object) -> Result<StatusCode, S3Error> {
    app.store.delete_object(&name, version.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}
