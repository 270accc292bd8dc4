//! Interface of the job service for the admin requests.

use tokio::sync::{mpsc, oneshot};

use super::admin_error::AdminError;
use super::changes::JobChange;
use super::command::{Answer, Command};
use super::messages::{Reply, Request};
use super::presence::Presence;
use crate::api::{CancelResponse, CreateResponse, NewJob, RetryResponse};
use crate::clock::now_s;
use crate::device::Device;
use crate::limits::UNSEEN_LISTED_MAX;
use crate::release_plan::ReleasePlan;

/// Sends commands to the job actor; clones share one channel.
#[derive(Clone, Debug)]
pub struct JobsHandle {
    commands: mpsc::Sender<Command>,
    presence: Presence,
}

impl JobsHandle {
    /// Creates a handle that sends to `commands`; `presence` has the things that sent a request.
    pub fn new(commands: mpsc::Sender<Command>, presence: Presence) -> Self {
        Self { commands, presence }
    }

    /// Creates a job for the account or token `by`. It is stored when this returns; things are notified afterwards, and again after each reconnect of the
    /// broker.
    ///
    /// Errors: see [`AdminError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not undo the job.
    pub async fn create(&self, id: String, job: NewJob, by: &str) -> Result<CreateResponse, AdminError> {
        check_schedule(&job)?;
        let (unseen, by) = (self.unseen(&job.things), by.to_owned());
        let pinned = self.ask(|done| Command::Create { id, job: Box::new(job), by, done }).await?;
        Ok(created(unseen, pinned))
    }

    /// As [`create`](Self::create), for a job that is a release.
    ///
    /// Errors: see [`AdminError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not undo the release.
    pub async fn release(
        &self,
        id: String,
        job: NewJob,
        plan: ReleasePlan,
        by: &str,
    ) -> Result<CreateResponse, AdminError> {
        check_schedule(&job)?;
        plan.halt.check().map_err(AdminError::Bad)?;
        if job.continuous {
            return Err(AdminError::Bad("a release is for the members that its groups have now".to_owned()));
        }
        let (unseen, by, plan) = (self.unseen(&job.things), by.to_owned(), Box::new(plan));
        let pinned = self.ask(|done| Command::Release { id, job: Box::new(job), plan, by, done }).await?;
        Ok(created(unseen, pinned))
    }

    /// Halts a release for the account or token `by`, for the reason in `text`: no further thing gets it. Its queued executions are
    /// stored as cancelled when this returns.
    ///
    /// Errors: see [`AdminError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not undo the halt.
    pub async fn halt(&self, id: String, text: String, by: &str) -> Result<CancelResponse, AdminError> {
        self.ask(|done| Command::Halt { id, text, by: by.to_owned(), done }).await
    }

    /// Cancels a job for the account or token `by`. Its executions are stored as cancelled when this returns; things are notified afterwards.
    ///
    /// Errors: see [`AdminError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not undo the cancellation.
    pub async fn cancel(&self, id: String, force: bool, by: &str) -> Result<CancelResponse, AdminError> {
        self.ask(|done| Command::Cancel { id, force, by: by.to_owned(), done }).await
    }

    /// Pauses the rollout of a job for the account or token `by`, or resumes it. This is stored when it returns.
    ///
    /// Errors: see [`AdminError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not undo it.
    pub async fn set_paused(&self, id: String, paused: bool, by: &str) -> Result<(), AdminError> {
        self.ask(|done| Command::Pause { id, paused, by: by.to_owned(), done }).await
    }

    /// Queues the executions of a job that failed again, for the account or token `by`. They are stored when this returns; things
    /// are notified afterwards.
    ///
    /// Errors: see [`AdminError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not undo it.
    pub async fn retry_failed(&self, id: String, by: &str) -> Result<RetryResponse, AdminError> {
        self.ask(|done| Command::Retry { id, by: by.to_owned(), done }).await
    }

    /// Adds things to a group for the account or token `by`. They have the executions of its continuous jobs when this
    /// returns, and are notified afterwards.
    ///
    /// Errors: see [`AdminError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not undo it.
    pub async fn join(&self, group: String, things: Vec<String>, by: &str) -> Result<(), AdminError> {
        self.ask(|done| Command::Join { group, things, by: by.to_owned(), done }).await
    }

    /// Deletes a group for the account or token `by`; returns whether it existed.
    ///
    /// Errors: see [`AdminError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not undo it.
    pub async fn delete_group(&self, group: String, by: &str) -> Result<bool, AdminError> {
        self.ask(|done| Command::DeleteGroup { group, by: by.to_owned(), done }).await
    }

    /// Makes a change of a job or an execution for the access key `by`. It is stored when this returns; things are notified afterwards.
    ///
    /// Errors: see [`AdminError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not undo it.
    pub async fn change(&self, change: JobChange, by: &str) -> Result<(), AdminError> {
        self.ask(|done| Command::Change { change, by: by.to_owned(), done }).await
    }

    /// Handles the request of a device that did not come over MQTT.
    ///
    /// Errors: `Stopping`. A refusal is a reply.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not undo the change of the request.
    pub async fn request(&self, thing: String, request: Request) -> Result<Reply, AdminError> {
        self.ask(|done| Command::Ask { thing, request, done }).await
    }

    /// Returns the things of a job from which no request arrived since the start, at most `UNSEEN_LISTED_MAX` of them.
    pub fn unseen(&self, things: &[String]) -> Vec<String> {
        self.presence.unseen(things)
    }

    /// Returns the names of all things that sent a request since the start, in no order.
    pub fn seen(&self) -> Vec<String> {
        self.presence.names()
    }

    /// Sets whether these devices are connected, and when they were seen.
    pub fn complete(&self, devices: &mut [Device]) {
        devices.iter_mut().for_each(|device| self.presence.complete(device));
    }

    async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, AdminError> {
        let (done, answer) = oneshot::channel();
        self.commands.send(command(done)).await.map_err(|_| AdminError::Stopping)?;
        answer.await.map_err(|_| AdminError::Stopping)?
    }
}

/// Checks the times of a job that is created now.
fn check_schedule(job: &NewJob) -> Result<(), AdminError> {
    let schedule = job.config.schedule.as_ref();
    schedule.map_or(Ok(()), |schedule| schedule.check_at(now_s())).map_err(AdminError::Bad)
}

fn created(unseen: Vec<String>, mut pinned: Vec<String>) -> CreateResponse {
    pinned.truncate(UNSEEN_LISTED_MAX);
    CreateResponse { unseen, pinned, unknown_hardware: 0 }
}
