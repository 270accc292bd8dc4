//! An execution, as the service model stores it.

use std::cell::Cell;

use ota_jobs::Status;

use crate::job::Job;

/// An execution.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The job.
    pub job: Job,
    /// Which execution of the job it is, from 1 on.
    pub number: u64,
    /// When it was queued.
    pub queued_ms: u64,
    /// Whether its document was sent to the device.
    pub offered: Cell<bool>,
    /// Its status.
    pub status: Status,
    /// Counts its updates.
    pub version: u64,
    /// The status details of the last update.
    pub details: Vec<(String, String)>,
    /// When the service itself ended it.
    pub taken_back_ms: Option<u64>,
}
