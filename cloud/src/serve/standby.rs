//! An instance whose database is used by another one: it waits until it can take over. Meanwhile it answers that it is healthy,
//! and not ready.

use std::os::fd::AsFd;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, extract::Request};
use tokio::net::TcpListener;

use super::config::ServeError;
use super::files::random_hex;
use super::log::report_error;
use super::readiness::Ready;
use crate::limits::STANDBY_INTERVAL;
use crate::store::{Candidate, DatabaseUrl, Store, StoreError};

/// Length of the name of an instance. Unit: random bytes.
const INSTANCE_BYTES: usize = 16;

/// An instance that does not serve yet.
pub struct Standby(Candidate);

impl Standby {
    /// Opens the database. `Err` has the standby if another instance serves.
    ///
    /// Errors: `Database`: the first attempt failed.
    pub async fn open(url: DatabaseUrl) -> Result<Result<Store, Self>, ServeError> {
        let mut candidate = Candidate::new(url, &random_hex::<INSTANCE_BYTES>());
        let opened = candidate.open().await.map_err(ServeError::Database)?;
        Ok(opened.ok_or(Self(candidate)))
    }

    /// Waits until this instance is the one that serves. A database that is lost meanwhile is waited for, too.
    ///
    /// Errors: `Database` if a newer version of the program has used it.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the lock of the database may have been taken; it is released again.
    pub async fn wait(mut self) -> Result<Store, ServeError> {
        let mut reported = String::new();
        loop {
            tokio::time::sleep(STANDBY_INTERVAL).await;
            match self.0.open().await {
                Ok(Some(store)) => return Ok(store),
                Ok(None) => reported.clear(),
                Err(error @ StoreError::SchemaTooNew { .. }) => return Err(ServeError::Database(error)),
                Err(error) if error.to_string() == reported => {}
                Err(error) => {
                    report_error(format_args!("standby: {error}"));
                    reported = error.to_string();
                }
            }
        }
    }
}

/// What a standby answers.
pub fn router() -> Router {
    let ready = || async { (StatusCode::SERVICE_UNAVAILABLE, Json(Ready::standby())) };
    Router::new().route("/health", get(|| async { "ok\n" })).route("/ready", get(ready)).fallback(refuse)
}

/// Returns another handle of the socket: connections that the standby does not accept any more wait for the service.
pub fn again(listener: &TcpListener) -> std::io::Result<TcpListener> {
    TcpListener::from_std(listener.as_fd().try_clone_to_owned()?.into())
}

async fn refuse(_: Request) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "standby: another instance serves\n").into_response()
}
