//! The admin requests below `/api/accounts` and `/api/tokens`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Extension, Json, Router};

use super::app::App;
use super::failure::{failure, store_failure};
use super::parts::Body;
use crate::api::access::{NewAccount, NewToken, TokenView};
use crate::serve::access::{Principal, check_name, check_password};
use crate::store::HolderKind;

/// The routes; the caller adds the check of the sender.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/accounts", get(accounts))
        .route("/api/accounts/{name}", put(set_account).delete(remove_account))
        .route("/api/tokens", get(tokens))
        .route("/api/tokens/{name}", put(add_token).delete(remove_token))
}

async fn accounts(State(app): State<Arc<App>>) -> Response {
    list(&app, HolderKind::Account).await
}

async fn tokens(State(app): State<Arc<App>>) -> Response {
    list(&app, HolderKind::Token).await
}

async fn list(app: &App, kind: HolderKind) -> Response {
    match app.store.holders(kind).await {
        Ok(holders) => Json(holders).into_response(),
        Err(error) => store_failure(&error),
    }
}

async fn set_account(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(name): Path<String>,
    Body(new): Body<NewAccount>,
) -> Response {
    if let Err(text) = check_name(&name).and_then(|()| check_password(&new.password)) {
        return failure(StatusCode::BAD_REQUEST, &text);
    }
    match app.access.set_account(&name, new.role, new.password, &sender).await {
        Ok(true) => StatusCode::CREATED.into_response(),
        Ok(false) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => store_failure(&error),
    }
}

async fn add_token(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(name): Path<String>,
    Body(new): Body<NewToken>,
) -> Response {
    if let Err(text) = check_name(&name) {
        return failure(StatusCode::BAD_REQUEST, &text);
    }
    match app.access.add_token(&name, new.role, &sender).await {
        Ok(Some(token)) => (StatusCode::CREATED, Json(TokenView { token })).into_response(),
        Ok(None) => failure(StatusCode::CONFLICT, &format!("token {name} exists already")),
        Err(error) => store_failure(&error),
    }
}

async fn remove_account(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(name): Path<String>,
) -> Response {
    remove(&app, HolderKind::Account, &name, &sender).await
}

async fn remove_token(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(name): Path<String>,
) -> Response {
    remove(&app, HolderKind::Token, &name, &sender).await
}

async fn remove(app: &App, kind: HolderKind, name: &str, sender: &Principal) -> Response {
    match app.access.remove(kind, name, sender).await {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => failure(StatusCode::NOT_FOUND, &format!("there is no {} {name}", kind.as_str())),
        Err(error) => store_failure(&error),
    }
}
