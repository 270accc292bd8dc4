//! Routes of the HTTP listener: images by signed URL, and the admin requests.

mod admin;
pub mod app;
mod images;
pub mod listener;
mod range;
mod upload;

use std::sync::Arc;

use axum::Router;

use self::app::App;

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    images::router().merge(admin::router(&app)).with_state(app)
}
