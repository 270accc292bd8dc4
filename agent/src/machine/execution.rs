//! An execution of a job on this thing. A job that is retried, or deleted and created again under its id, gets a new one.

use ota_jobs::{JobId, Status};

/// Identifies an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionId {
    /// The job.
    pub job: JobId,
    /// The execution number; 0 if unknown.
    pub number: u32,
    /// When it was queued: the low 32 bits of the seconds since 1970; 0 if unknown.
    pub queued_at: u32,
}

impl ExecutionId {
    /// An execution of `job` of which nothing else is known.
    pub fn of(job: JobId) -> Self {
        Self { job, number: 0, queued_at: 0 }
    }

    /// Returns whether `other` is the same execution: nothing that is known of both differs. If it is, completes what is
    /// unknown here.
    pub(super) fn merge(&mut self, other: &Self) -> bool {
        let agree = |a, b| a == 0 || b == 0 || a == b;
        let same = self.job == other.job && agree(self.number, other.number) && agree(self.queued_at, other.queued_at);
        if same {
            self.number = self.number.max(other.number);
            self.queued_at = self.queued_at.max(other.queued_at);
        }
        same
    }
}

/// An execution as the service describes it.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Which one it is.
    pub id: ExecutionId,
    /// Its status.
    pub status: Status,
    /// The number of its updates.
    pub version: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(job: &str, number: u32, queued_at: u32) -> ExecutionId {
        ExecutionId { job: JobId::new(job).expect("a plain id"), number, queued_at }
    }

    #[test]
    fn executions_are_the_same_if_nothing_differs_that_is_known_of_both() {
        for (own, other, merged) in [
            (id("a", 1, 7), id("a", 1, 7), Some(id("a", 1, 7))),
            (id("a", 1, 7), id("a", 2, 7), None),
            (id("a", 1, 7), id("a", 1, 8), None),
            (id("a", 1, 7), id("b", 1, 7), None),
            (id("a", 0, 0), id("a", 2, 8), Some(id("a", 2, 8))),
            (id("a", 2, 8), id("a", 0, 0), Some(id("a", 2, 8))),
            (id("a", 2, 0), id("a", 0, 8), Some(id("a", 2, 8))),
            (id("a", 0, 7), id("a", 2, 8), None),
        ] {
            let mut found = own.clone();
            assert_eq!(found.merge(&other), merged.is_some(), "{own:?} {other:?}");
            assert_eq!(found, merged.unwrap_or(own));
        }
    }
}
