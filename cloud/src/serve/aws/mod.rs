//! The AWS-shaped control API: requests that are signed with AWS Signature Version 4, at the same listener as the others.
//!
//! `authenticate` verifies them, with `sigv4` and the secrets of `key_ring`; then the service in the signature's scope, and not
//! the path alone, chooses the routes: both `iot` and `iot-jobs-data` have `/things/{name}/jobs`. Jobs, things and groups are
//! those of the console and of `/api`. Source of paths, members and errors: the service models of botocore.

mod arn;
mod authenticate;
mod chunked;
mod data_plane;
mod documents;
mod error;
mod executions;
mod job_settings;
mod job_shapes;
mod job_templates;
mod job_views;
mod jobs;
pub mod key_ring;
mod object_body;
mod object_metadata;
mod ota_shapes;
mod ota_updates;
mod paging;
mod refusal;
mod request;
mod s3;
mod s3_url;
mod sigv4;
pub mod state;
mod streams;
mod sts;
mod thing_groups;
mod things;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::Response;
use tower::ServiceExt;

use self::authenticate::{authenticate, authenticate_head};
use self::error::{AwsError, Code, Protocol};
use self::refusal::SignatureRefusal;
use self::sigv4::{Authorization, is_signed};
use super::http::app::App;

/// The routes of each service.
#[derive(Clone)]
pub struct Services {
    app: Arc<App>,
    iot: Router,
    jobs_data: Router,
    s3: Router,
    sts: Router,
}

impl Services {
    /// Creates the routes over this app.
    pub fn new(app: &Arc<App>) -> Self {
        let complete = |router: Router<Arc<App>>| {
            router.fallback(unknown).method_not_allowed_fallback(unknown).with_state(Arc::clone(app))
        };
        let iot = jobs::router().merge(executions::router()).merge(things::router()).merge(thing_groups::router());
        let iot = iot.merge(streams::router()).merge(ota_updates::router()).merge(job_templates::router());
        Self {
            app: Arc::clone(app),
            iot: complete(iot),
            jobs_data: complete(data_plane::router()),
            s3: s3::router().fallback(unknown_s3).method_not_allowed_fallback(unknown_s3).with_state(Arc::clone(app)),
            sts: complete(sts::router()),
        }
    }

    /// The routes of the service with this name in a scope, and how it writes errors.
    fn of(&self, service: &str) -> Option<(&Router, Protocol)> {
        match service {
            "iot" => Some((&self.iot, Protocol::Json)),
            "iot-jobs-data" => Some((&self.jobs_data, Protocol::Json)),
            sigv4::S3 => Some((&self.s3, Protocol::S3)),
            sigv4::STS => Some((&self.sts, Protocol::Query)),
            _ => None,
        }
    }

    async fn answer(&self, request: Request) -> Response {
        let claim = match Authorization::parse(request.headers()) {
            Ok(claim) => claim,
            Err(refusal) => return AwsError::from(refusal).response(Protocol::Json),
        };
        let Some((routes, protocol)) = self.of(&claim.service) else {
            return AwsError::from(SignatureRefusal::Service(claim.service)).response(Protocol::Json);
        };
        let authenticated = match protocol {
            Protocol::S3 => authenticate_head(&self.app, claim, request).await,
            Protocol::Json | Protocol::Query => authenticate(&self.app, claim, request).await,
        };
        match authenticated {
            Ok(request) => routes.clone().oneshot(request).await.unwrap_or_else(|never| match never {}),
            Err(error) => error.response(protocol),
        }
    }
}

/// Carries out the requests that are signed in AWS's manner, and passes on all others.
pub async fn route(State(services): State<Services>, request: Request, next: Next) -> Response {
    match is_signed(request.headers()) {
        true => services.answer(request).await,
        false => next.run(request).await,
    }
}

async fn unknown_s3(method: Method) -> Response {
    let message = format!("{method} is not offered here: PutObject, GetObject, HeadObject and DeleteObject are");
    AwsError::new(Code::NotImplemented, message).response(Protocol::S3)
}

async fn unknown(method: Method, uri: Uri) -> AwsError {
    AwsError::new(Code::UnknownOperation, format!("the operation {method} {} is not offered here", uri.path()))
}
