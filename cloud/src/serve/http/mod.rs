//! Routes of the HTTP listener: images by signed URL, the admin requests, health and metrics, and the console. Requests that
//! are signed in AWS's manner have routes of their own.

mod access;
mod access_keys;
mod admin;
pub mod app;
mod authorize;
mod failure;
mod groups;
pub mod images;
pub mod job_control;
pub mod listener;
pub mod new_job;
mod operation;
mod parts;
mod range;
pub mod releases;
mod stored_images;
pub mod things;
pub mod upload;
pub mod url_limit;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use tower_http::timeout::RequestBodyTimeoutLayer;

use self::app::App;
use super::{aws, console};
use crate::limits::{ADMIN_BODY_BYTES_MAX, HTTP_BODY_TIMEOUT};

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    let api = admin::router()
        .merge(job_control::router())
        .merge(groups::router())
        .merge(things::router())
        .merge(stored_images::router())
        .merge(releases::router())
        .merge(operation::metrics())
        .merge(access::router().route_layer(from_fn(authorize::require_admin)))
        .merge(access_keys::router().route_layer(from_fn(authorize::require_admin)))
        .layer(DefaultBodyLimit::max(ADMIN_BODY_BYTES_MAX));
    let api = api.route_layer(from_fn_with_state(Arc::clone(&app), authorize::authorize));
    let routes = images::router().merge(operation::open()).merge(api).merge(console::router(&app));
    let routes = routes.layer(from_fn_with_state(aws::Services::new(&app), aws::route));
    let routes = routes.layer(from_fn_with_state(Arc::clone(&app), operation::count));
    routes.layer(RequestBodyTimeoutLayer::new(HTTP_BODY_TIMEOUT)).with_state(app)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use axum::body::Body;
    use axum::http::{Request, StatusCode, header};
    use bytes::Bytes;
    use futures_util::stream;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    #[tokio::test]
    async fn a_body_that_pauses_for_too_long_is_refused_and_leaves_nothing() {
        let dir = TempDir::new();
        let service = TowerToHyperService::new(router(Arc::new(App::for_tests(&dir).await)));
        tokio::time::pause();
        let begin = tokio::time::Instant::now();
        let body = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let request =
            Request::put("/api/images/fw.img").header(header::AUTHORIZATION, "Bearer token").body(body).unwrap();
        let response = service.call(request).await.unwrap();
        assert_eq!(
            (response.status(), begin.elapsed().as_secs()),
            (StatusCode::BAD_REQUEST, HTTP_BODY_TIMEOUT.as_secs())
        );
        assert_eq!(std::fs::read_dir(dir.path().join("images")).unwrap().count(), 0);
    }
}
