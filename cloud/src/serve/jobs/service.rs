//! The job service: handles requests of devices and cancellations over the store. The rules are in `rules.rs`, message
//! formats in `codec.rs`; no network here.
//!
//! A single task owns it and handles one request at a time, so responses are sent in the order of the changes. Notifications
//! caused by a device's own request follow its response; all others are queued in `notify_queue.rs`.

use ota_jobs::RejectCode;

use super::admin_error::AdminError;
use super::changes::{self, Applied, JobChange};
use super::document::with_urls;
use super::groups;
use super::job_admin::{self, Created, audit_note};
use super::messages::{ExecutionView, Notification, Reply, Request};
use super::notify_queue::{NextChange, PendingNotify};
use super::rollout;
use super::rules::{self, Change, QueueChange, Refusal, StepTimer};
use crate::api::{CancelResponse, NewJob, job_status};
use crate::limits::{CHANGES_PER_TRANSACTION_MAX, THINGS_PER_PAGE_MAX};
use crate::model::{AuditNote, Counts, Execution, Job};
use crate::release_plan::{Mode, ReleasePlan};
use crate::serve::log::report_error;
use crate::serve::signed_url::Signer;
use crate::store::{ExecutionChange, Store, StoreError};

/// A cancellation in progress. It is executed in batches, between which requests are handled.
#[derive(Debug)]
pub struct Cancellation {
    /// Result so far.
    pub done: CancelResponse,
    /// The job.
    pub id: String,
    force: bool,
    /// Last thing that was read.
    after: String,
}

impl Cancellation {
    fn new(id: String, force: bool) -> Self {
        Self { id, force, after: String::new(), done: CancelResponse::default() }
    }

    /// Of a job that is marked as cancelled without force, of which `canceled` things waited.
    pub fn of_queued(id: String, canceled: u64) -> Self {
        let mut cancellation = Self::new(id, false);
        cancellation.done.canceled = canceled;
        cancellation
    }
}

/// The job service without its network.
///
/// # Cancel safety
///
/// If the future of a method that changes executions is dropped, the change may have been made or not.
#[derive(Clone, Debug)]
pub struct JobService {
    pub(super) store: Store,
    signer: Signer,
}

/// Why a request is not accepted.
enum HandleError {
    Refused(Refusal),
    Store(StoreError),
}

impl From<Refusal> for HandleError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for HandleError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl JobService {
    /// Creates the service over this store; `signer` signs URLs in documents.
    pub fn new(store: Store, signer: Signer) -> Self {
        Self { store, signer }
    }

    /// Handles a device's request; its change is on disk when this returns.
    ///
    /// If the store fails, the reply is `InternalError`: nothing was changed, the device retries.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the change may have been made or not; no notification is sent.
    pub async fn handle(&self, thing: &str, request: Request, now_s: u64) -> (Reply, Vec<Notification>) {
        match self.try_handle(thing, request, now_s).await {
            Ok(handled) => handled,
            Err(HandleError::Refused(refusal)) => (Reply::Refused(refusal), Vec::new()),
            Err(HandleError::Store(error)) => {
                report_error(format_args!("request of {thing}: {error}"));
                (Reply::Refused(Refusal::new(RejectCode::InternalError, "the service cannot store it now")), Vec::new())
            }
        }
    }

    async fn try_handle(
        &self,
        thing: &str,
        request: Request,
        now_s: u64,
    ) -> Result<(Reply, Vec<Notification>), HandleError> {
        match request {
            Request::Pending => Ok((Reply::Pending(self.store.pending(thing).await?), Vec::new())),
            Request::StartNext { details, step_timer } => self.start_next(thing, details, step_timer, now_s).await,
            Request::Describe { job_id, number, include_document } => {
                let execution = self.described(thing, job_id.as_deref(), number).await?;
                let shown = match execution {
                    Some(execution) => Some(self.shown(execution, include_document, now_s).await?),
                    None => None,
                };
                Ok((Reply::Execution(shown), Vec::new()))
            }
            Request::Update { job_id, change, include_state, include_document } => {
                let (next, notifications) = self.update(thing, &job_id, change, now_s).await?;
                // The change is made: if the document cannot be read, the response is sent without it, and notifications are sent.
                let document = match include_document {
                    true => self
                        .document(&job_id, now_s)
                        .await
                        .inspect_err(|e| report_error(format_args!("document: {e}")))
                        .ok(),
                    false => None,
                };
                Ok((Reply::Updated { state: include_state.then_some(next), document }, notifications))
            }
        }
    }

    async fn start_next(
        &self,
        thing: &str,
        details: Option<String>,
        step_timer: StepTimer,
        now_s: u64,
    ) -> Result<(Reply, Vec<Notification>), HandleError> {
        let before = self.store.pending(thing).await?;
        let Some(first) = before.first() else { return Ok((Reply::Execution(None), Vec::new())) };
        let job = self.job(&first.job_id).await?;
        let (execution, notifications) = match rules::start(first, details, step_timer, job.timeout_s, now_s) {
            Some(next) => {
                let change = ExecutionChange { note: audit_note(&next), next, retry: None };
                let notifications = self.save(&before, &change, now_s).await?;
                (change.next, notifications)
            }
            None => (first.clone(), Vec::new()),
        };
        let document = Some(with_urls(&job.document, &self.signer, now_s));
        Ok((Reply::Execution(Some(ExecutionView { execution, document })), notifications))
    }

    async fn described(
        &self,
        thing: &str,
        job_id: Option<&str>,
        number: Option<u64>,
    ) -> Result<Option<Execution>, HandleError> {
        let Some(job_id) = job_id else { return Ok(self.store.pending(thing).await?.into_iter().next()) };
        let found = self.store.execution(thing, job_id).await?;
        let execution = found.filter(|e| number.is_none_or(|number| number == e.number));
        let execution = execution.ok_or_else(|| not_found(thing, job_id))?;
        if execution.status.is_terminal() {
            let message = format!("the execution is {}", execution.status);
            return Err(Refusal::new(RejectCode::TerminalStateReached, message).into());
        }
        Ok(Some(execution))
    }

    async fn update(
        &self,
        thing: &str,
        job_id: &str,
        change: Change,
        now_s: u64,
    ) -> Result<(Execution, Vec<Notification>), HandleError> {
        let execution = self.store.execution(thing, job_id).await?;
        let execution = execution.ok_or_else(|| not_found(thing, job_id))?;
        let before = self.store.pending(thing).await?;
        let job = self.job(job_id).await?;
        let next = rules::update(&execution, change, job.timeout_s, now_s)?;
        let change = with_retry(next, &job, now_s);
        let notifications = self.save(&before, &change, now_s).await?;
        Ok((change.next, notifications))
    }

    /// Stores the change of one execution; returns the resulting notifications.
    async fn save(
        &self,
        before: &[Execution],
        change: &ExecutionChange,
        now_s: u64,
    ) -> Result<Vec<Notification>, StoreError> {
        self.store.save_execution(change).await?;
        let next = change.last();
        let after = rules::requeued(before, next);
        // The change is made: if a notification cannot be built, the device gets the state with its next request.
        let change = rules::queue_change(before, &after);
        Ok(self.build_notifications(&next.thing, change, &after, now_s).await.unwrap_or_else(|error| {
            report_error(format_args!("notification of {}: {error}", next.thing));
            Vec::new()
        }))
    }

    async fn build_notifications(
        &self,
        thing: &str,
        change: QueueChange,
        after: &[Execution],
        now_s: u64,
    ) -> Result<Vec<Notification>, StoreError> {
        let mut notifications = Vec::new();
        if change.list {
            notifications.push(Notification::List { thing: thing.to_owned(), pending: after.to_vec() });
        }
        if change.first {
            let first = match after.first() {
                Some(first) => Some(self.shown(first.clone(), true, now_s).await?),
                None => None,
            };
            notifications.push(Notification::Next { thing: thing.to_owned(), first });
        }
        Ok(notifications)
    }

    /// Creates a job for the account or token `by`; returns the notifications owed, and the things that are pinned. The things of
    /// a rollout have no execution yet.
    ///
    /// Errors: see [`job_admin::create`].
    pub async fn create(
        &self,
        id: &str,
        job: &NewJob,
        by: &str,
    ) -> Result<(Vec<PendingNotify>, Vec<String>), AdminError> {
        self.create_as(id, job, None, by).await
    }

    /// As [`create`](Self::create), for a job that is a release. Things that wait for their session have no execution yet.
    pub async fn release(
        &self,
        id: &str,
        job: &NewJob,
        plan: &ReleasePlan,
        by: &str,
    ) -> Result<(Vec<PendingNotify>, Vec<String>), AdminError> {
        self.create_as(id, job, Some(plan), by).await
    }

    async fn create_as(
        &self,
        id: &str,
        job: &NewJob,
        release: Option<&ReleasePlan>,
        by: &str,
    ) -> Result<(Vec<PendingNotify>, Vec<String>), AdminError> {
        let Created { things, pinned } = job_admin::create(&self.store, id, job, by, release).await?;
        let first = NextChange::If(id.to_owned());
        let is_on_session = release.is_some_and(|plan| plan.mode == Mode::OnSession);
        let due = match job.config.has_waiting() || is_on_session {
            true => Vec::new(),
            false => things
                .into_iter()
                .filter(|thing| pinned.binary_search(thing).is_err())
                .map(|thing| PendingNotify { thing, list: true, first: first.clone() })
                .collect(),
        };
        Ok((due, pinned))
    }

    /// Deletes a group for the account or token `by`; returns whether it existed. Its jobs stay.
    pub async fn delete_group(&self, group: &str, by: &str) -> Result<bool, AdminError> {
        Ok(self.store.delete_group(group, by).await?)
    }

    /// Makes a change of a job or an execution for the access key `by`.
    ///
    /// Errors: see [`changes::apply`].
    pub async fn change(&self, change: JobChange, by: &str, now_s: u64) -> Result<Applied, AdminError> {
        changes::apply(&self.store, change, by, now_s).await
    }

    /// Adds things to a group for the account or token `by`. Those without an execution of a continuous job of the group get
    /// one; returns the notifications owed.
    ///
    /// Errors: `NoGroup`; `Bad` for a name; `Store`, and then nothing was changed.
    pub async fn join(
        &self,
        group: &str,
        things: &[String],
        by: &str,
        now_s: u64,
    ) -> Result<Vec<PendingNotify>, AdminError> {
        groups::check_things(things)?;
        if self.store.members(group).await?.is_none() {
            return Err(AdminError::NoGroup(group.to_owned()));
        }
        let created = self.store.add_members(group, things, by, now_s).await?;
        let owed = |(thing, job)| PendingNotify { thing, list: true, first: NextChange::If(job) };
        Ok(created.into_iter().map(owed).collect())
    }

    /// Starts to cancel a job for the account or token `by`: its queued executions and, if forced, those in progress.
    ///
    /// Errors: `NoJob`; `Ended` if no execution is pending; `Store`, and then nothing was changed.
    pub async fn begin_cancel(&self, id: &str, force: bool, by: &str) -> Result<Cancellation, AdminError> {
        self.check_open(id).await?;
        Ok(self.mark_canceled(id, force, "cancelled", Some(by)).await?)
    }

    /// Checks that a job can be cancelled.
    ///
    /// Errors: `NoJob`; `Ended` if no execution is pending; `Store`.
    pub(super) async fn check_open(&self, id: &str) -> Result<(), AdminError> {
        let job = self.store.job(id).await?.ok_or_else(|| AdminError::NoJob(id.to_owned()))?;
        let is_open = job.continuous && !job.canceled;
        if !is_open && self.counts(id).await?.is_ended() {
            return Err(AdminError::Ended { id: id.to_owned(), status: job_status(job.canceled, true, None, 0) });
        }
        Ok(())
    }

    /// Starts to cancel a job for the reason in `text`: its queued executions, its things that have none, and, if forced, the
    /// executions in progress.
    ///
    /// Errors: nothing was changed.
    pub async fn start_cancel(&self, id: &str, force: bool, text: &str) -> Result<Cancellation, StoreError> {
        self.mark_canceled(id, force, text, None).await
    }

    async fn mark_canceled(
        &self,
        id: &str,
        force: bool,
        text: &str,
        by: Option<&str>,
    ) -> Result<Cancellation, StoreError> {
        let mut cancellation = Cancellation::new(id.to_owned(), force);
        cancellation.done.canceled = self.store.mark_canceled(id, force, text, by).await?;
        Ok(cancellation)
    }

    /// Gives the things of a job that wait no execution, for this reason.
    ///
    /// Errors: nothing was changed.
    pub async fn stop_rollout(&self, id: &str, reason: &str) -> Result<(), StoreError> {
        self.store.stop_rollout(id, reason).await
    }

    /// Returns how far a job is.
    pub async fn counts(&self, id: &str) -> Result<Counts, StoreError> {
        self.store.counts(id).await
    }

    /// Creates the executions of the next things of a rollout, at most `max`; returns these things.
    ///
    /// Errors: nothing was changed.
    pub async fn roll_out(&self, id: &str, max: usize, now_s: u64) -> Result<Vec<String>, StoreError> {
        self.store.roll_out(id, max, now_s).await
    }

    /// Returns the releases and the jobs with a configuration that a restart left at work.
    pub async fn unfinished_rollouts(&self) -> Result<Vec<(Job, Option<ReleasePlan>)>, StoreError> {
        let mut rollouts = Vec::new();
        for job in self.store.unfinished_rollouts().await? {
            let plan = self.store.release(&job.id).await?.map(|release| release.plan);
            rollouts.push((job, plan));
        }
        Ok(rollouts)
    }

    /// Returns the cancellations that a restart or an error interrupted, from their begin.
    pub async fn interrupted_cancellations(&self) -> Result<Vec<Cancellation>, StoreError> {
        let found = self.store.unfinished_cancellations().await?;
        Ok(found.into_iter().map(|(id, force)| Cancellation::new(id, force)).collect())
    }

    /// Cancels the next batch in one transaction; returns the notifications owed, or `None` at the end.
    ///
    /// Errors: this batch was not changed; the cancellation can be requested again.
    pub async fn cancel_batch(
        &self,
        cancellation: &mut Cancellation,
        now_s: u64,
    ) -> Result<Option<Vec<PendingNotify>>, StoreError> {
        let found =
            self.store.pending_of_job(&cancellation.id, &cancellation.after, CHANGES_PER_TRANSACTION_MAX).await?;
        let Some(last) = found.last() else { return Ok(None) };
        let after = last.thing.clone();
        let ended: Vec<Execution> = found.iter().filter_map(|e| rules::cancel(e, cancellation.force, now_s)).collect();
        let left = found.len() - ended.len();
        let changes = ended.into_iter().map(|next| ExecutionChange { note: audit_note(&next), next, retry: None });
        let due = self.end_all(changes.collect()).await?;
        cancellation.after = after;
        cancellation.done.canceled += due.len() as u64;
        cancellation.done.left_in_progress += left as u64;
        Ok(Some(due))
    }

    /// Moves all timers by the seconds by which the wall clock was set.
    ///
    /// Errors: nothing was changed.
    pub async fn move_timers(&self, step_s: i64) -> Result<(), StoreError> {
        self.store.move_deadlines(step_s).await
    }

    /// Ends executions whose timer has expired, at most one batch; returns the notifications owed.
    ///
    /// Errors: nothing was changed.
    pub async fn time_out(&self, now_s: u64) -> Result<Vec<PendingNotify>, StoreError> {
        let found = self.store.overdue(now_s, CHANGES_PER_TRANSACTION_MAX).await?;
        let mut changes = Vec::with_capacity(found.len());
        for next in found.iter().filter_map(|execution| rules::time_out(execution, now_s)) {
            changes.push(match self.job(&next.job_id).await {
                Ok(job) => with_retry(next, &job, now_s),
                Err(error) => {
                    report_error(format_args!("retry of {} by {}: {error}", next.job_id, next.thing));
                    ExecutionChange { note: audit_note(&next), next, retry: None }
                }
            });
        }
        self.end_all(changes).await
    }

    /// Stores the ends of executions in one transaction.
    async fn end_all(&self, changes: Vec<ExecutionChange>) -> Result<Vec<PendingNotify>, StoreError> {
        let mut due = Vec::with_capacity(changes.len());
        for change in &changes {
            due.push(self.due_after(change.last()).await);
        }
        let written = self.store.save_executions(&changes).await?;
        Ok(due.into_iter().zip(written).filter_map(|(due, written)| written.then_some(due)).collect())
    }

    /// Returns the notification owed to a thing; both kinds if its queue cannot be read.
    async fn due_after(&self, next: &Execution) -> PendingNotify {
        match self.store.pending(&next.thing).await {
            Ok(before) => {
                let change = rules::queue_change(&before, &rules::requeued(&before, next));
                let first = if change.first { NextChange::Other } else { NextChange::Same };
                PendingNotify { thing: next.thing.clone(), list: change.list, first }
            }
            Err(error) => {
                report_error(format_args!("queue of {}: {error}", next.thing));
                PendingNotify::all(next.thing.clone())
            }
        }
    }

    /// Builds the notifications of a thing from its current queue.
    pub async fn notifications(&self, due: &PendingNotify, now_s: u64) -> Result<Vec<Notification>, StoreError> {
        let pending = self.store.pending(&due.thing).await?;
        let first = match &due.first {
            NextChange::Same => false,
            NextChange::If(id) => pending.first().is_some_and(|first| first.job_id == *id),
            NextChange::Other => true,
        };
        self.build_notifications(&due.thing, QueueChange { list: due.list, first }, &pending, now_s).await
    }

    /// Returns the next page of things with pending executions, sorted by name, after `thing`.
    pub async fn things_with_work(&self, thing: &str) -> Result<Vec<String>, StoreError> {
        self.store.things_with_work(thing, THINGS_PER_PAGE_MAX).await
    }

    async fn shown(
        &self,
        execution: Execution,
        include_document: bool,
        now_s: u64,
    ) -> Result<ExecutionView, StoreError> {
        let document = if include_document { Some(self.document(&execution.job_id, now_s).await?) } else { None };
        Ok(ExecutionView { execution, document })
    }

    async fn document(&self, job_id: &str, now_s: u64) -> Result<String, StoreError> {
        Ok(with_urls(&self.job(job_id).await?.document, &self.signer, now_s))
    }

    /// Returns the job of an execution; a foreign key guarantees that it exists.
    async fn job(&self, job_id: &str) -> Result<Job, StoreError> {
        self.store.job(job_id).await?.ok_or(StoreError::Damaged { column: "job_id" })
    }
}

/// The change to this next version of an execution, and its retry if the job has one.
fn with_retry(next: Execution, job: &Job, now_s: u64) -> ExecutionChange {
    let retry = job.config.retry.as_ref().filter(|_| !job.canceled);
    let retry = retry.and_then(|config| rollout::retry(config, &next, now_s));
    let retry = retry.map(|retry| {
        let text = format!("QUEUED for attempt {}", retry.number);
        let note = AuditNote { text, ..audit_note(&retry) };
        (retry, note)
    });
    ExecutionChange { note: audit_note(&next), next, retry }
}

fn not_found(thing: &str, job_id: &str) -> Refusal {
    Refusal::new(RejectCode::ResourceNotFound, format!("{thing} has no execution of {job_id}"))
}

#[cfg(test)]
mod tests;
