//! The job service: what becomes of a device's request, and of an order, over the store. The rules are in `rules.rs`,
//! the words of the wire in `wire.rs`; no network here.
//!
//! One task owns this and handles one thing after the other: answers leave in the order of the changes. What one device's
//! request changes is told right behind its answer; whom an order concerns waits in `teller.rs`.

use ota_jobs::RejectCode;

use super::document::with_urls;
use super::messages::{Reply, Request, Shown, Told};
use super::orders::{self, AdminError, note};
use super::rules::{self, Change, News, Refusal, StepTimer};
use super::teller::{Due, First};
use crate::api::{Canceled, NewJob, job_status};
use crate::limits::{CHANGES_AT_ONCE_MAX, THINGS_READ_MAX};
use crate::model::{Execution, Job, Note};
use crate::serve::log::problem;
use crate::serve::signed_url::Signer;
use crate::store::{Store, StoreError};

/// A job that is being cancelled, some executions at a time: devices are answered in between.
#[derive(Debug)]
pub struct Cancellation {
    /// What was done so far.
    pub done: Canceled,
    id: String,
    force: bool,
    /// The last thing that was looked at.
    after: String,
}

/// The job service without its network.
#[derive(Clone, Debug)]
pub struct Jobs {
    store: Store,
    signer: Signer,
}

/// Why a request has no accepted answer.
enum Stop {
    Refused(Refusal),
    Store(StoreError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Jobs {
    /// The service over this store; URLs in documents are signed by `signer`.
    pub fn new(store: Store, signer: Signer) -> Self {
        Self { store, signer }
    }

    /// Answers a device's request; what it changed is on the disk when this returns.
    ///
    /// A store that cannot write is answered as `InternalError`: nothing was changed, the device tries again.
    /// Dropping it: the change is made or not, and nobody is told.
    pub async fn handle(&self, thing: &str, request: Request, now_s: u64) -> (Reply, Vec<Told>) {
        match self.try_handle(thing, request, now_s).await {
            Ok(handled) => handled,
            Err(Stop::Refused(refusal)) => (Reply::Refused(refusal), Vec::new()),
            Err(Stop::Store(error)) => {
                problem(format_args!("request of {thing}: {error}"));
                (Reply::Refused(Refusal::new(RejectCode::InternalError, "the service cannot store it now")), Vec::new())
            }
        }
    }

    async fn try_handle(&self, thing: &str, request: Request, now_s: u64) -> Result<(Reply, Vec<Told>), Stop> {
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
                let (next, told) = self.update(thing, &job_id, change, now_s).await?;
                // The change is made: without the document the answer is still the truth, and the others must be told.
                let document = match include_document {
                    true => {
                        self.document(&job_id, now_s).await.inspect_err(|e| problem(format_args!("document: {e}"))).ok()
                    }
                    false => None,
                };
                Ok((Reply::Updated { state: include_state.then_some(next), document }, told))
            }
        }
    }

    async fn start_next(
        &self,
        thing: &str,
        details: Option<String>,
        step_timer: StepTimer,
        now_s: u64,
    ) -> Result<(Reply, Vec<Told>), Stop> {
        let before = self.store.pending(thing).await?;
        let Some(first) = before.first() else { return Ok((Reply::Execution(None), Vec::new())) };
        let job = self.job(&first.job_id).await?;
        let (execution, told) = match rules::start(first, details, step_timer, job.timeout_s, now_s) {
            Some(next) => (next.clone(), self.save(&before, &next, now_s).await?),
            None => (first.clone(), Vec::new()),
        };
        let document = Some(with_urls(&job.document, &self.signer, now_s));
        Ok((Reply::Execution(Some(Shown { execution, document })), told))
    }

    async fn described(
        &self,
        thing: &str,
        job_id: Option<&str>,
        number: Option<u64>,
    ) -> Result<Option<Execution>, Stop> {
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
    ) -> Result<(Execution, Vec<Told>), Stop> {
        let execution = self.store.execution(thing, job_id).await?;
        let execution = execution.ok_or_else(|| not_found(thing, job_id))?;
        let before = self.store.pending(thing).await?;
        let timeout_s = self.job(job_id).await?.timeout_s;
        let next = rules::update(&execution, change, timeout_s, now_s)?;
        let told = self.save(&before, &next, now_s).await?;
        Ok((next, told))
    }

    /// Writes one execution's next version down and says who has to be told.
    async fn save(&self, before: &[Execution], next: &Execution, now_s: u64) -> Result<Vec<Told>, StoreError> {
        self.store.save_execution(next, &note(next)).await?;
        let after = rules::requeued(before, next);
        // The change is made: what cannot be told now, the device finds when it asks.
        let news = rules::news(before, &after);
        Ok(self.tell(&next.thing, news, &after, now_s).await.unwrap_or_else(|error| {
            problem(format_args!("notification of {}: {error}", next.thing));
            Vec::new()
        }))
    }

    async fn tell(&self, thing: &str, news: News, after: &[Execution], now_s: u64) -> Result<Vec<Told>, StoreError> {
        let mut told = Vec::new();
        if news.list {
            told.push(Told::List { thing: thing.to_owned(), pending: after.to_vec() });
        }
        if news.first {
            let first = match after.first() {
                Some(first) => Some(self.shown(first.clone(), true, now_s).await?),
                None => None,
            };
            told.push(Told::First { thing: thing.to_owned(), first });
        }
        Ok(told)
    }

    /// Creates a job; says who has to be told. Once the job is stored, nothing fails any more.
    ///
    /// Errors: see [`orders::create`].
    pub async fn create(&self, id: &str, order: &NewJob) -> Result<Vec<Due>, AdminError> {
        orders::create(&self.store, id, order).await?;
        let first = First::If(id.to_owned());
        Ok(order.things.iter().map(|thing| Due { thing: thing.clone(), list: true, first: first.clone() }).collect())
    }

    /// Begins to cancel a job: its queued executions, by force also those in progress.
    ///
    /// Errors: `NoJob`; `Ended` if nothing of it is pending; `Store`, and then nothing was changed.
    pub async fn begin_cancel(&self, id: &str, force: bool) -> Result<Cancellation, AdminError> {
        let job = self.store.job(id).await?.ok_or_else(|| AdminError::NoJob(id.to_owned()))?;
        if self.store.unended(id, "", 1).await?.is_empty() {
            return Err(AdminError::Ended { id: id.to_owned(), status: job_status(job.canceled, true) });
        }
        self.store.mark_canceled(id).await?;
        Ok(Cancellation { id: id.to_owned(), force, after: String::new(), done: Canceled::default() })
    }

    /// Cancels the next executions in one transaction; says who has to be told, and `None` when all are through.
    ///
    /// Errors: nothing was changed, but by the calls before: it can be ordered again.
    pub async fn cancel_some(&self, order: &mut Cancellation, now_s: u64) -> Result<Option<Vec<Due>>, StoreError> {
        let found = self.store.unended(&order.id, &order.after, CHANGES_AT_ONCE_MAX).await?;
        let Some(last) = found.last() else { return Ok(None) };
        let after = last.thing.clone();
        let ended: Vec<Execution> = found.iter().filter_map(|e| rules::cancel(e, order.force, now_s)).collect();
        let left = found.len() - ended.len();
        let due = self.end_all(ended).await?;
        order.after = after;
        order.done.canceled += due.len() as u64;
        order.done.left_in_progress += left as u64;
        Ok(Some(due))
    }

    /// Ends executions whose timer ran out, at most as many as one transaction changes; says who has to be told.
    ///
    /// Errors: nothing was changed.
    pub async fn time_out(&self, now_s: u64) -> Result<Vec<Due>, StoreError> {
        let found = self.store.overdue(now_s, CHANGES_AT_ONCE_MAX).await?;
        self.end_all(found.iter().filter_map(|execution| rules::time_out(execution, now_s)).collect()).await
    }

    /// Writes the ends of executions of different things in one transaction.
    async fn end_all(&self, ended: Vec<Execution>) -> Result<Vec<Due>, StoreError> {
        let mut due = Vec::with_capacity(ended.len());
        for next in &ended {
            due.push(self.due_after(next).await);
        }
        let changes: Vec<(Execution, Note)> = ended.into_iter().map(|next| (next.clone(), note(&next))).collect();
        let written = self.store.save_executions(&changes).await?;
        Ok(due.into_iter().zip(written).filter_map(|(due, written)| written.then_some(due)).collect())
    }

    /// What one thing will have to be told; everything, if its queue cannot be read now.
    async fn due_after(&self, next: &Execution) -> Due {
        match self.store.pending(&next.thing).await {
            Ok(before) => {
                let news = rules::news(&before, &rules::requeued(&before, next));
                let first = if news.first { First::Other } else { First::Same };
                Due { thing: next.thing.clone(), list: news.list, first }
            }
            Err(error) => {
                problem(format_args!("queue of {}: {error}", next.thing));
                Due::all(next.thing.clone())
            }
        }
    }

    /// The notifications for a thing that waited to be told, as its queue is now.
    pub async fn notifications(&self, due: &Due, now_s: u64) -> Result<Vec<Told>, StoreError> {
        let pending = self.store.pending(&due.thing).await?;
        let first = match &due.first {
            First::Same => false,
            First::If(id) => pending.first().is_some_and(|first| first.job_id == *id),
            First::Other => true,
        };
        self.tell(&due.thing, News { list: due.list, first }, &pending, now_s).await
    }

    /// The next things that have something to do, in the order of their names, those after `thing`.
    pub async fn things_with_work(&self, thing: &str) -> Result<Vec<String>, StoreError> {
        self.store.things_with_work(thing, THINGS_READ_MAX).await
    }

    async fn shown(&self, execution: Execution, include_document: bool, now_s: u64) -> Result<Shown, StoreError> {
        let document = if include_document { Some(self.document(&execution.job_id, now_s).await?) } else { None };
        Ok(Shown { execution, document })
    }

    async fn document(&self, job_id: &str, now_s: u64) -> Result<String, StoreError> {
        Ok(with_urls(&self.job(job_id).await?.document, &self.signer, now_s))
    }

    /// The job of an execution; the database's foreign key says that it is there.
    async fn job(&self, job_id: &str) -> Result<Job, StoreError> {
        self.store.job(job_id).await?.ok_or(StoreError::Damaged { column: "job_id" })
    }
}

fn not_found(thing: &str, job_id: &str) -> Refusal {
    Refusal::new(RejectCode::ResourceNotFound, format!("{thing} has no execution of {job_id}"))
}

#[cfg(test)]
mod tests;
