//! Parts of admin requests; those that cannot be read are refused in the form of all errors.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::response::Response;

use super::failure::failure;
use crate::object::Object;

/// The JSON body of a request.
pub struct Body<T>(pub T);

/// The query of a request.
pub struct Parameters<T>(pub T);

impl<S: Send + Sync, T> FromRequest<S> for Body<T>
where
    Json<Object<T>>: FromRequest<S, Rejection = JsonRejection>,
{
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let read = Json::from_request(request, state).await;
        read.map(|Json(Object(body))| Self(body)).map_err(|refused| failure(refused.status(), &refused.body_text()))
    }
}

impl<S: Send + Sync, T> FromRequestParts<S> for Parameters<T>
where
    Query<T>: FromRequestParts<S, Rejection = QueryRejection>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let read = Query::from_request_parts(parts, state).await;
        read.map(|Query(query)| Self(query)).map_err(|refused| failure(refused.status(), &refused.body_text()))
    }
}
