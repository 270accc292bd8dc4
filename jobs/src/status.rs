//! Statuses of a job execution. The allowed transitions are defined by the service.

use core::fmt;

/// Status of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Waiting for the thing.
    Queued,
    /// In progress on the thing.
    InProgress,
    /// Succeeded; set by the thing.
    Succeeded,
    /// Failed; set by the thing.
    Failed,
    /// Timed out; set by the service.
    TimedOut,
    /// Rejected; set by the thing.
    Rejected,
    /// The thing is no longer a target; set by the service.
    Removed,
    /// Cancelled; set by the service.
    Canceled,
}

const NAMES: [(Status, &str); 8] = [
    (Status::Queued, "QUEUED"),
    (Status::InProgress, "IN_PROGRESS"),
    (Status::Succeeded, "SUCCEEDED"),
    (Status::Failed, "FAILED"),
    (Status::TimedOut, "TIMED_OUT"),
    (Status::Rejected, "REJECTED"),
    (Status::Removed, "REMOVED"),
    (Status::Canceled, "CANCELED"),
];

impl Status {
    /// Returns the status with this name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(status, _)| *status)
    }

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// Whether the status is final.
    ///
    /// Source: AWS IoT developer guide, "Jobs workflow": all but QUEUED and IN_PROGRESS.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Status::Queued | Status::InProgress)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn every_state_comes_back_from_its_name() {
        for (status, name) in NAMES {
            assert_eq!((status.as_str(), status.to_string().as_str()), (name, name));
            assert_eq!(Status::parse(name), Some(status));
        }
        assert_eq!(Status::parse("in_progress"), None);
        assert_eq!(Status::parse("CANCELLED"), None);
    }

    #[test]
    fn two_states_are_pending_and_six_are_final() {
        let pending = NAMES.iter().filter(|(status, _)| !status.is_terminal());
        assert!(pending.map(|(_, name)| *name).eq(["QUEUED", "IN_PROGRESS"]));
    }
}
