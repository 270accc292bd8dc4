//! How the admin requests reach the job service.

use tokio::sync::{mpsc, oneshot};

use super::job_actor::{Answer, Command};
use super::job_admin::AdminError;
use super::seen_things::SeenThings;
use crate::api::{CancelResponse, CreateResponse, NewJob};

/// How the admin requests reach the job service.
#[derive(Clone, Debug)]
pub struct JobsHandle {
    commands: mpsc::Sender<Command>,
    seen_things: SeenThings,
}

impl JobsHandle {
    /// Orders go to `commands`; `seen_things` are the things that were seen_things of.
    pub fn new(commands: mpsc::Sender<Command>, seen_things: SeenThings) -> Self {
        Self { commands, seen_things }
    }

    /// Creates a job; it is stored when this returns, and the things are told one after the other: those that are there
    /// at once, and all that have work again whenever the broker was lost.
    ///
    /// Errors: see [`AdminError`]. Dropping it does not undo the job.
    pub async fn create(&self, id: String, order: NewJob) -> Result<CreateResponse, AdminError> {
        let unseen = self.seen_things.unseen(&order.things);
        self.ask(|done| Command::Create { id, order: Box::new(order), done }).await?;
        Ok(CreateResponse { unseen })
    }

    /// Cancels a job; its executions are ended when this returns, and the things are told one after the other.
    ///
    /// Errors: see [`AdminError`]. Dropping it does not undo the cancellation.
    pub async fn cancel(&self, id: String, force: bool) -> Result<CancelResponse, AdminError> {
        self.ask(|done| Command::Cancel { id, force, done }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, AdminError> {
        let (done, answer) = oneshot::channel();
        self.commands.send(command(done)).await.map_err(|_| AdminError::Stopping)?;
        answer.await.map_err(|_| AdminError::Stopping)?
    }
}
