//! What is done with a new job before the job service gets it: the one path of the admin requests and of the console.

use super::app::App;
use crate::api::NewJob;
use crate::serve::jobs::admin_error::AdminError;
use crate::serve::jobs::{file_types, fit};

/// Sets the types of the files of a new job, and checks whether they fit its things; returns the number of things whose hardware
/// the service does not have.
///
/// Errors: see [`file_types::set`] and [`fit::check`].
pub async fn prepare(app: &App, job: &mut NewJob) -> Result<u64, AdminError> {
    file_types::set(&app.store, &app.files, job).await?;
    fit::check(&app.store, &app.files, job).await
}
