//! Interface of the job service for the admin requests.

use tokio::sync::{mpsc, oneshot};

use super::job_actor::{Answer, Command};
use super::job_admin::AdminError;
use super::seen_things::SeenThings;
use crate::api::{CancelResponse, CreateResponse, NewJob};

/// Sends commands to the job actor; clones share one channel.
#[derive(Clone, Debug)]
pub struct JobsHandle {
    commands: mpsc::Sender<Command>,
    seen_things: SeenThings,
}

impl JobsHandle {
    /// Creates a handle that sends to `commands`; `seen_things` holds the things that sent a request.
    pub fn new(commands: mpsc::Sender<Command>, seen_things: SeenThings) -> Self {
        Self { commands, seen_things }
    }

    /// Creates a job. It is stored when this returns; things are notified afterwards, and again after each reconnect of the
    /// broker.
    ///
    /// Errors: see [`AdminError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not undo the job.
    pub async fn create(&self, id: String, job: NewJob) -> Result<CreateResponse, AdminError> {
        let unseen = self.unseen(&job.things);
        self.ask(|done| Command::Create { id, job: Box::new(job), done }).await?;
        Ok(CreateResponse { unseen })
    }

    /// Cancels a job. Its executions are stored as cancelled when this returns; things are notified afterwards.
    ///
    /// Errors: see [`AdminError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not undo the cancellation.
    pub async fn cancel(&self, id: String, force: bool) -> Result<CancelResponse, AdminError> {
        self.ask(|done| Command::Cancel { id, force, done }).await
    }

    /// Returns the things of a job from which no request arrived since the start, at most `UNSEEN_LISTED_MAX` of them.
    pub fn unseen(&self, things: &[String]) -> Vec<String> {
        self.seen_things.unseen(things)
    }

    /// Returns the names of all things that sent a request since the start, in no order.
    pub fn seen(&self) -> Vec<String> {
        self.seen_things.names()
    }

    async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, AdminError> {
        let (done, answer) = oneshot::channel();
        self.commands.send(command(done)).await.map_err(|_| AdminError::Stopping)?;
        answer.await.map_err(|_| AdminError::Stopping)?
    }
}
