//! The admin requests below `/api/access-keys`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Extension, Json, Router};

use super::app::App;
use super::failure::{failure, store_failure};
use super::parts::Body;
use crate::access_key::{AccessKeyList, CreatedAccessKey, NewAccessKey};
use crate::limits::{ACCESS_KEYS_MAX, NAME_BYTES_MAX};
use crate::serve::access::Principal;
use crate::serve::aws::key_ring::new_id;

/// The routes; the caller adds the check of the sender.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/api/access-keys", get(list).post(create)).route("/api/access-keys/{id}", delete(remove))
}

async fn list(State(app): State<Arc<App>>) -> Response {
    match app.store.access_keys().await {
        Ok(access_keys) => Json(AccessKeyList { access_keys }).into_response(),
        Err(error) => store_failure(&error),
    }
}

async fn create(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Body(NewAccessKey { label, role }): Body<NewAccessKey>,
) -> Response {
    if label.len() > NAME_BYTES_MAX {
        let text = format!("label of {} bytes, at most {NAME_BYTES_MAX}", label.len());
        return failure(StatusCode::BAD_REQUEST, &text);
    }
    let id = new_id();
    match app.store.add_access_key(&id, &label, role, &sender.name).await {
        Ok(true) => {
            let secret = app.aws.key_ring.secret(&id);
            (StatusCode::CREATED, Json(CreatedAccessKey { id, secret })).into_response()
        }
        Ok(false) => failure(StatusCode::CONFLICT, &format!("there are {ACCESS_KEYS_MAX} access keys already")),
        Err(error) => store_failure(&error),
    }
}

async fn remove(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(id): Path<String>,
) -> Response {
    match app.store.delete_access_key(&id, &sender.name).await {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => failure(StatusCode::NOT_FOUND, &format!("there is no access key {id}")),
        Err(error) => store_failure(&error),
    }
}
