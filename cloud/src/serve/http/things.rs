//! The admin requests about things: pins.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Extension, Json, Router};

use super::app::App;
use super::failure::{refused, store_failure};
use crate::api::Members;
use crate::clock::now_s;
use crate::serve::access::Principal;
use crate::serve::jobs::groups::check_things;

/// The routes; the caller adds the check of the sender.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/api/pins", get(pinned)).route("/api/things/{name}/pin", put(pin).delete(unpin))
}

async fn pinned(State(app): State<Arc<App>>) -> Response {
    match app.store.pinned().await {
        Ok(things) => Json(Members { things }).into_response(),
        Err(error) => store_failure(&error),
    }
}

async fn pin(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(name): Path<String>,
) -> Response {
    set(&app, &name, true, &sender.name).await
}

async fn unpin(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(name): Path<String>,
) -> Response {
    set(&app, &name, false, &sender.name).await
}

async fn set(app: &App, name: &str, pinned: bool, by: &str) -> Response {
    if let Err(error) = check_things(&[name.to_owned()]) {
        return refused(&error);
    }
    match app.store.pin(name, pinned, by, now_s()).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => store_failure(&error),
    }
}
