//! The job at hand: what it is, how far it is, and what the journal must hold of it.

use ota_jobs::{JobId, Reason};

use super::control::Step;
use super::event::{Operation, Plan};
use super::journal::{Phase, RECORD_BYTES, Record};
use super::reporter::Reporter;
use super::transfer::{Chore, Transfer};

/// The name under which the journal keeps an update that the application started.
pub(super) const LOCAL_JOB: &str = "local";

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // no heap to box it in; there is one
pub(super) enum Control {
    Idle,
    Working(Work),
}

/// The job at hand.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) job: JobId,
    /// Started by the application: the service knows nothing of it.
    pub(super) local: bool,
    pub(super) plan: Plan,
    pub(super) step: Step,
    pub(super) transfer: Transfer,
    pub(super) reporter: Reporter,
    /// What must end the step as soon as no operation is in flight.
    pub(super) interrupt: Option<Interrupt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupt {
    /// The service took the job back: nothing is left to report.
    Withdrawn,
    Failed(Reason),
}

impl Work {
    pub(super) fn record(&self, phase: Phase) -> Option<[u8; RECORD_BYTES]> {
        let Plan { image_bytes, fingerprint, .. } = self.plan;
        Some(Record { job: self.job.clone(), local: self.local, fingerprint, image_bytes, phase }.encode())
    }

    pub(super) fn receiving_operation(&mut self) -> Option<Operation> {
        let operation = self.transfer.operation()?;
        Some(match operation {
            Chore::Write(block) => Operation::Write(block),
            Chore::CheckHeader => Operation::CheckHeader,
            Chore::EraseAhead => Operation::EraseAhead,
            Chore::HashAhead { frontier_bytes } => Operation::HashAhead { frontier_bytes },
            Chore::Journal { frontier_bytes } => Operation::Journal(self.record(Phase::Receiving { frontier_bytes })),
        })
    }
}
