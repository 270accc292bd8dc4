//! Parts of requests. Those that cannot be read are refused as `InvalidRequestException`.

use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::authenticate::Caller;
use super::error::{AwsError, Code};

/// The parameters in the path.
pub struct Names<T>(pub T);

/// The query. Unknown parameters are refused if `T` does so.
pub struct Parameters<T>(pub T);

/// The JSON body; an empty one is an empty object.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Names<T> {
    type Rejection = AwsError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AwsError> {
        let read = Path::from_request_parts(parts, state).await;
        read.map(|Path(names)| Self(names)).map_err(|refused: PathRejection| AwsError::invalid(refused.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = AwsError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AwsError> {
        let read = Query::from_request_parts(parts, state).await;
        read.map(|Query(query)| Self(query)).map_err(|refused: QueryRejection| AwsError::invalid(refused.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = AwsError;

    async fn from_request(request: Request, state: &S) -> Result<Self, AwsError> {
        let read = Bytes::from_request(request, state).await;
        let bytes = read.map_err(|refused: BytesRejection| AwsError::invalid(refused.body_text()))?;
        let json: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(json).map(Self).map_err(|error| AwsError::invalid(format!("body: {error}")))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = AwsError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AwsError> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| AwsError::new(Code::InternalFailure, "the request was not authenticated"))
    }
}
