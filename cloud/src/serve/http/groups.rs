//! The admin requests below `/api/groups`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};

use super::app::App;
use super::failure::{refused, store_failure};
use super::parts::Body;
use crate::api::{GroupList, GroupRow, GroupView, Members};
use crate::clock::now_s;
use crate::serve::access::Principal;
use crate::serve::jobs::admin_error::AdminError;
use crate::serve::jobs::groups::check_name;

/// The routes; the caller adds the check of the sender.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/groups", get(list))
        .route("/api/groups/{name}", get(show).put(create).delete(delete))
        .route("/api/groups/{name}/things", post(add).delete(remove))
}

async fn list(State(app): State<Arc<App>>) -> Response {
    match app.store.groups().await {
        Ok(groups) => {
            let row = |(name, things)| GroupRow { name, things };
            Json(GroupList { groups: groups.into_iter().map(row).collect() }).into_response()
        }
        Err(error) => store_failure(&error),
    }
}

async fn show(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    match app.store.members(&name).await {
        Ok(Some(things)) => Json(GroupView { name, things }).into_response(),
        Ok(None) => refused(&AdminError::NoGroup(name)),
        Err(error) => store_failure(&error),
    }
}

async fn create(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(name): Path<String>,
) -> Response {
    if let Err(error) = check_name(&name) {
        return refused(&error);
    }
    match app.store.create_group(&name, &sender.name, now_s()).await {
        Ok(()) => (StatusCode::CREATED, Json(GroupView { name, things: Vec::new() })).into_response(),
        Err(error) => store_failure(&error),
    }
}

async fn delete(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(name): Path<String>,
) -> Response {
    match app.jobs.delete_group(name.clone(), &sender.name).await {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => refused(&AdminError::NoGroup(name)),
        Err(error) => refused(&error),
    }
}

async fn add(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(name): Path<String>,
    Body(members): Body<Members>,
) -> Response {
    match app.jobs.join(name, members.things, &sender.name).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refused(&error),
    }
}

async fn remove(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(name): Path<String>,
    Body(members): Body<Members>,
) -> Response {
    match app.store.remove_members(&name, &members.things, &sender.name).await {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => refused(&AdminError::NoGroup(name)),
        Err(error) => store_failure(&error),
    }
}
