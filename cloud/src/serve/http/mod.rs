//! Routes of the HTTP listener: images by signed URL, the admin requests, and the console.

mod admin;
pub mod app;
mod failure;
mod groups;
mod images;
pub mod listener;
mod parts;
mod range;
mod things;
pub mod upload;
pub mod url_limit;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;

use self::app::App;
use super::console;
use crate::limits::ADMIN_BODY_BYTES_MAX;

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    let api = admin::router()
        .merge(groups::router())
        .merge(things::router())
        .layer(DefaultBodyLimit::max(ADMIN_BODY_BYTES_MAX));
    let api = api.route_layer(from_fn_with_state(Arc::clone(&app), admin::require_token));
    images::router().merge(api).merge(console::router(&app)).with_state(app)
}
