//! Requests, responses and notifications of the job service. Their wire formats are in `codec.rs`.

use bytes::Bytes;

use super::rules::{Change, Refusal, StepTimer};
use crate::model::Execution;

/// A parsed request with its topic and payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingRequest {
    /// Requesting thing.
    pub thing: String,
    /// Topic of the request; the response's topic is below it.
    pub topic: String,
    /// Payload of the request; the response repeats its client token.
    pub payload: Bytes,
    /// The request, or why it is invalid.
    pub request: Result<Request, Refusal>,
}

/// Request of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// List the pending executions.
    Pending,
    /// Start the next pending execution.
    StartNext {
        /// Initial status details.
        details: Option<String>,
        /// Step timer.
        step_timer: StepTimer,
    },
    /// Describe an execution.
    Describe {
        /// Job id; `None`: the next pending execution.
        job_id: Option<String>,
        /// Expected execution number.
        number: Option<u64>,
        /// Include the job document.
        include_document: bool,
    },
    /// Update an execution.
    Update {
        /// Job id.
        job_id: String,
        /// The update.
        change: Change,
        /// Include the new state in the response.
        include_state: bool,
        /// Include the job document in the response.
        include_document: bool,
    },
}

/// Execution as it is sent to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionView {
    /// The execution.
    pub execution: Execution,
    /// Job document with signed URLs, if requested.
    pub document: Option<String>,
}

/// Response to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Response to `Pending`, in AWS's order.
    Pending(Vec<Execution>),
    /// Response to `StartNext` and `Describe`; `None`: no pending execution.
    Execution(Option<ExecutionView>),
    /// Response to `Update`.
    Updated {
        /// New state, if requested.
        state: Option<Execution>,
        /// Job document, if requested.
        document: Option<String>,
    },
    /// Rejection of any request.
    Refused(Refusal),
}

/// A notification to one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    /// The list of pending executions has changed.
    List {
        /// Receiver.
        thing: String,
        /// The list.
        pending: Vec<Execution>,
    },
    /// The next pending execution has changed.
    Next {
        /// Receiver.
        thing: String,
        /// The execution; `None`: no execution is pending.
        first: Option<ExecutionView>,
    },
}
