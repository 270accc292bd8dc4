//! The states of a job execution. Which of them may follow which is the service's business, not this file's.

use core::fmt;

/// Where an execution stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Waits for its thing.
    Queued,
    /// The thing works on it.
    InProgress,
    /// Done; set by the thing.
    Succeeded,
    /// Tried in vain; set by the thing.
    Failed,
    /// A timer of the service ran out.
    TimedOut,
    /// Refused; set by the thing.
    Rejected,
    /// The thing is no longer meant; set by the service.
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
    /// The state with this name; `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(status, _)| *status)
    }

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// Whether nothing can follow.
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
    use super::*;

    #[test]
    fn every_state_comes_back_from_its_name() {
        for (status, name) in NAMES {
            assert_eq!(status.as_str(), name);
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
