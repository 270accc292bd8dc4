//! The job service: what becomes of a device's request, and of an order, over the store. The rules are in `rules.rs`,
//! the words of the wire in `wire.rs`; no network here.
//!
//! One task owns this and handles one thing after the other: answers and notifications leave in the order of the changes.

use ota_jobs::RejectCode;

use super::document::with_urls;
use super::log::problem;
use super::orders::{self, AdminError, note};
use super::rules::{self, Change, Refusal, StepTimer};
use super::signed_url::Signer;
use crate::api::NewJob;
use crate::model::{Execution, Job};
use crate::store::{Store, StoreError};

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
pub struct Shown {
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
    Execution(Option<Shown>),
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
pub enum Told {
    /// The list of what is pending has another member.
    List {
        /// Who is told.
        thing: String,
        /// The list.
        pending: Vec<Execution>,
    },
    /// Another execution is first.
    First {
        /// Who is told.
        thing: String,
        /// It; `None`: nothing is left.
        first: Option<Shown>,
    },
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
                let document = if include_document { Some(self.document(&job_id, now_s).await?) } else { None };
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
        Ok(self.told(&next.thing, before, &after, now_s).await.unwrap_or_else(|error| {
            problem(format_args!("notification of {}: {error}", next.thing));
            Vec::new()
        }))
    }

    async fn told(
        &self,
        thing: &str,
        before: &[Execution],
        after: &[Execution],
        now_s: u64,
    ) -> Result<Vec<Told>, StoreError> {
        let news = rules::news(before, after);
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

    /// Creates a job; says who has to be told.
    ///
    /// Errors: see [`orders::create`].
    pub async fn create(&self, id: &str, order: &NewJob, now_s: u64) -> Result<Vec<Told>, AdminError> {
        orders::create(&self.store, id, order).await?;
        let mut told = Vec::new();
        for thing in &order.things {
            let after = self.store.pending(thing).await?;
            let before: Vec<Execution> = after.iter().filter(|e| e.job_id != id).cloned().collect();
            told.extend(self.told(thing, &before, &after, now_s).await?);
        }
        Ok(told)
    }

    /// Cancels a job's queued executions, by force also those in progress; says who has to be told.
    ///
    /// Errors: `NoJob`; `Store`, and then some executions may be cancelled already: it can be repeated.
    pub async fn cancel(&self, id: &str, force: bool, now_s: u64) -> Result<Vec<Told>, AdminError> {
        self.store.job(id).await?.ok_or_else(|| AdminError::NoJob(id.to_owned()))?;
        self.store.mark_canceled(id).await?;
        let mut told = Vec::new();
        for execution in self.store.executions_of(id).await? {
            if let Some(next) = rules::cancel(&execution, force, now_s) {
                let before = self.store.pending(&execution.thing).await?;
                told.extend(self.save(&before, &next, now_s).await?);
            }
        }
        Ok(told)
    }

    /// Ends executions whose timer ran out; says who has to be told.
    pub async fn time_out(&self, now_s: u64) -> Result<Vec<Told>, StoreError> {
        let mut told = Vec::new();
        for execution in self.store.overdue(now_s).await? {
            if let Some(next) = rules::time_out(&execution, now_s) {
                let before = self.store.pending(&execution.thing).await?;
                told.extend(self.save(&before, &next, now_s).await?);
            }
        }
        Ok(told)
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
