//! What devices ask of the job service, and what they are answered and told. The words of the wire are in `wire.rs`.

use bytes::Bytes;

use super::rules::{Change, Refusal, StepTimer};
use crate::model::Execution;

/// A device's request as the router hands it on: topic and payload are read, and kept for the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingRequest {
    /// Who asks.
    pub thing: String,
    /// The answer goes below it.
    pub topic: String,
    /// The answer carries its token.
    pub payload: Bytes,
    /// What is asked for, or why it cannot be read.
    pub request: Result<Request, Refusal>,
}

/// A device's request, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// What is there to do?
    Pending,
    /// Start the first.
    StartNext {
        /// Its first details.
        details: Option<String>,
        /// Its step timer.
        step_timer: StepTimer,
    },
    /// Show one.
    Describe {
        /// Its job; `None`: the first pending one.
        job_id: Option<String>,
        /// The attempt that is meant.
        number: Option<u64>,
        /// With the job document.
        include_document: bool,
    },
    /// Change one.
    Update {
        /// Its job.
        job_id: String,
        /// How.
        change: Change,
        /// Show the new state in the answer.
        include_state: bool,
        /// And the job document.
        include_document: bool,
    },
}

/// An execution as a device sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionView {
    /// The execution.
    pub execution: Execution,
    /// The job document with fresh URLs, if it was asked for.
    pub document: Option<String>,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `Pending`, in AWS's order.
    Pending(Vec<Execution>),
    /// To `StartNext` and `Describe`; `None`: there is nothing to do.
    Execution(Option<ExecutionView>),
    /// To `Update`, with what was asked for.
    Updated {
        /// The new state.
        state: Option<Execution>,
        /// The job document.
        document: Option<String>,
    },
    /// To any of them.
    Refused(Refusal),
}

/// A notification to one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    /// The list of what is pending has another member.
    List {
        /// Who is told.
        thing: String,
        /// The list.
        pending: Vec<Execution>,
    },
    /// Another execution is first.
    Next {
        /// Who is told.
        thing: String,
        /// It; `None`: nothing is left.
        first: Option<ExecutionView>,
    },
}
