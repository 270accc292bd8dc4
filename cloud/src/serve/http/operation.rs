//! Requests of the programs that watch over the service: health, readiness, metrics.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use super::app::App;
use super::failure::store_failure;
use crate::serve::metrics::MEDIA_TYPE;

/// The routes that anybody may use: their responses have nothing about jobs and devices.
pub fn open() -> Router<Arc<App>> {
    Router::new().route("/health", get(health)).route("/ready", get(ready))
}

/// The route of the metrics; the caller adds the check of the sender.
pub fn metrics() -> Router<Arc<App>> {
    Router::new().route("/metrics", get(numbers))
}

/// Counts the response to each request.
pub async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    app.metrics.http_response(response.status().as_u16());
    response
}

/// The process answers.
async fn health() -> &'static str {
    "ok\n"
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    let ready = app.readiness.probe().await;
    let status = if ready.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ready)).into_response()
}

async fn numbers(State(app): State<Arc<App>>) -> Response {
    match app.store.executions_by_status().await {
        Ok(executions) => ([(header::CONTENT_TYPE, MEDIA_TYPE)], app.metrics.text(&executions)).into_response(),
        Err(error) => store_failure(&error),
    }
}
