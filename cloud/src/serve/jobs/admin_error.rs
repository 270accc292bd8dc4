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
    /// The thing does not exist.
    NoThing(String),
    /// The thing has no execution of this job.
    NoExecution {
        /// The thing.
        thing: String,
        /// The job.
        job_id: String,
    },
    /// The state of the job or the execution does not allow it; the text names the state.
    State(String),
    /// The version is another one than expected.
    Version {
        /// The version that the request names.
        expected: u64,
        /// The version that is stored.
        got: u64,
    },
    /// There is no release with this id; there may be a job.
    NoRelease(String),
    /// An image is not for the hardware of a thing; the text names both.
    Misfit(String),
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

impl std::fmt::Display for AdminError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bad(text) | Self::State(text) | Self::Misfit(text) => f.write_str(text),
            Self::NoJob(id) => write!(f, "there is no job {id}"),
            Self::NoGroup(name) => write!(f, "there is no group {name}"),
            Self::NoRelease(id) => write!(f, "there is no release {id}"),
            Self::NoThing(name) => write!(f, "there is no thing {name}"),
            Self::NoExecution { thing, job_id } => write!(f, "{thing} has no execution of {job_id}"),
            Self::Version { expected, got } => write!(f, "expected version {expected}, it is {got}"),
            Self::Ended { id, status } => write!(f, "job {id} is {status}"),
            Self::Stopping => f.write_str("the service is stopping"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
