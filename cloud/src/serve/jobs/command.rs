//! Commands to the job actor.

use tokio::sync::oneshot;

use super::admin_error::AdminError;
use super::changes::JobChange;
use super::messages::{IncomingRequest, Reply, Request};
use crate::api::{CancelResponse, NewJob, RetryResponse};
use crate::release_plan::ReleasePlan;

/// A command to the job actor.
pub enum Command {
    /// Request of a device.
    Request(IncomingRequest),
    /// A device began a session, or is available again.
    Session { thing: String },
    /// Request of an account or token: create a job; the response has the things that are pinned.
    Create { id: String, job: Box<NewJob>, by: String, done: Answer<Vec<String>> },
    /// As `Create`, for a job that is a release.
    Release { id: String, job: Box<NewJob>, plan: Box<ReleasePlan>, by: String, done: Answer<Vec<String>> },
    /// Request of an account or token: halt a release for the reason in `text`.
    Halt { id: String, text: String, by: String, done: Answer<CancelResponse> },
    /// Request of an account or token: cancel a job.
    Cancel { id: String, force: bool, by: String, done: Answer<CancelResponse> },
    /// Request of an account or token: pause the rollout of a job, or resume it.
    Pause { id: String, paused: bool, by: String, done: Answer<()> },
    /// Request of an account or token: queue the executions of a job again that failed.
    Retry { id: String, by: String, done: Answer<RetryResponse> },
    /// Request of an account or token: delete a group; whether it existed.
    DeleteGroup { group: String, by: String, done: Answer<bool> },
    /// Request of an account or token: add things to a group.
    Join { group: String, things: Vec<String>, by: String, done: Answer<()> },
    /// Request of an access key: another change of a job or an execution.
    Change { change: JobChange, by: String, done: Answer<()> },
    /// Request of a device over HTTP.
    Ask { thing: String, request: Request, done: Answer<Reply> },
}

/// Receives the result of an admin request. If the receiver is dropped, the change still takes effect.
pub type Answer<T> = oneshot::Sender<Result<T, AdminError>>;
