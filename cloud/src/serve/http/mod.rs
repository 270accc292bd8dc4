//! Routes of the HTTP listener: images by signed URL, the admin requests, and the console.

mod admin;
pub mod app;
mod images;
pub mod listener;
mod range;
pub mod upload;

use std::sync::Arc;

use axum::Router;

use self::app::App;
use super::console;

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    images::router().merge(admin::router(&app)).merge(console::router(&app)).with_state(app)
}
