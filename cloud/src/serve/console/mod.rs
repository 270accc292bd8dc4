//! The console: pages for people, over the same store and job service as the admin requests.
//!
//! `guard` requires a session and checks where a request comes from; `form` checks the token of a form. One file per page;
//! `live` sends the changing parts of a job's page. Templates are in `templates/`, style and scripts in `assets/`.

mod access;
mod assets;
mod audit;
mod bar;
mod cookie;
mod create;
mod devices;
mod draft;
mod escaper;
mod form;
mod guard;
mod image_rows;
mod images;
mod job;
mod job_control;
mod job_parts;
mod job_state;
mod live;
mod live_pages;
mod page;
mod password;
mod releases;
mod report;
mod rollout_draft;
mod sessions;
mod sign_in;
pub mod state;
mod text;
mod updates;
mod upload_form;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

use super::http::app::App;
use crate::limits::{ADMIN_BODY_BYTES_MAX, SIGN_IN_BODY_BYTES_MAX};

/// The routes of the pages.
pub fn router(app: &Arc<App>) -> Router<Arc<App>> {
    let readable = Router::new()
        .route("/", get(updates::show))
        .route("/images", get(images::show))
        .route("/jobs/{id}", get(job::show))
        .route("/jobs/{id}/live", get(live::stream))
        .route("/releases", get(releases::list))
        .route("/releases/{id}", get(releases::show))
        .route("/releases/{id}/health", get(releases::health))
        .route("/devices", get(devices::list))
        .route("/devices/{name}", get(devices::history))
        .route("/audit", get(audit::show))
        .route("/password", get(password::show).post(password::change))
        .route("/sign-out", post(sign_in::sign_out));
    let changing = Router::new()
        // The upload enforces its own limit.
        .route("/images", post(images::upload).layer(DefaultBodyLimit::max(upload_form::BODY_BYTES_MAX)))
        .route("/new", get(create::begin).post(create::submit))
        .route("/jobs/{id}/cancel", post(job_control::cancel))
        .route("/jobs/{id}/pause", post(job_control::pause))
        .route("/jobs/{id}/resume", post(job_control::resume))
        .route("/jobs/{id}/retry", post(job_control::retry))
        .route("/devices/{name}/cancel", post(devices::cancel))
        .route("/releases/{id}/halt", post(releases::halt_pressed))
        .route("/releases/{id}/revert", post(releases::revert_pressed))
        .route_layer(from_fn(guard::require_operator));
    let administering = Router::new()
        .route("/access", get(access::show))
        .route("/access/accounts", post(access::set_account))
        .route("/access/accounts/{name}/remove", post(access::remove_account))
        .route("/access/tokens", post(access::add_token))
        .route("/access/tokens/{name}/remove", post(access::remove_token))
        .route_layer(from_fn(guard::require_admin));
    let pages = readable.merge(changing).merge(administering);
    let pages = pages.route_layer(from_fn_with_state(Arc::clone(app), guard::require_session));
    let open = Router::new()
        .route(
            "/sign-in",
            get(sign_in::show).post(sign_in::sign_in).layer(DefaultBodyLimit::max(SIGN_IN_BODY_BYTES_MAX)),
        )
        .route("/assets/{name}", get(assets::get));
    pages
        .merge(open)
        .layer(DefaultBodyLimit::max(ADMIN_BODY_BYTES_MAX))
        .route_layer(from_fn(guard::check_origin))
        .route_layer(from_fn(guard::add_headers))
}
