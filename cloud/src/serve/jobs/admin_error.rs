//! Why an admin request fails.

use crate::store::StoreError;

/// Why an admin request failed.
#[derive(Debug)]
pub enum AdminError {
    /// The request is invalid; the text names the reason.
    Bad(String),
    /// The job does not exist.
    NoJob(String),
    /// The group does not exist.
    NoGroup(String),
    /// The job has ended; nothing can be cancelled.
    Ended {
        /// The job.
        id: String,
        /// Its final state.
        status: &'static str,
    },
    /// The service is shutting down.
    Stopping,
    /// Error of the store.
    Store(StoreError),
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
