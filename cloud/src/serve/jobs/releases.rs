//! Releases of the job service: sessions that their things wait for, their health, and halts. Creation is that of a job;
//! `revert.rs` takes a release back.

use super::admin_error::AdminError;
use super::notify_queue::{NextChange, PendingNotify};
use super::service::{Cancellation, JobService};
use crate::health::Health;
use crate::model::Counts;
use crate::release_plan::HaltRule;
use crate::store::StoreError;

impl JobService {
    /// Returns the jobs that a thing may get with its session.
    pub async fn due_jobs(&self, thing: &str) -> Result<Vec<String>, StoreError> {
        self.store.due_jobs(thing).await
    }

    /// Creates the executions of those of `due` that a thing may get with its session; returns the notifications owed.
    ///
    /// Errors: nothing was changed; the next session does it.
    pub async fn begin_session(
        &self,
        thing: &str,
        due: &[String],
        now_s: u64,
    ) -> Result<Vec<PendingNotify>, StoreError> {
        let created = self.store.begin_session(thing, due, now_s).await?;
        let owed = |job| PendingNotify { thing: thing.to_owned(), list: true, first: NextChange::If(job) };
        Ok(created.into_iter().map(owed).collect())
    }

    /// Lets the things of a release get it with their next sessions.
    pub async fn make_due(&self, id: &str) -> Result<(), StoreError> {
        self.store.make_due(id).await
    }

    /// Returns how the devices of a release with these counts are.
    pub async fn health(&self, id: &str, rule: &HaltRule, counts: Counts, now_s: u64) -> Result<Health, StoreError> {
        self.store.health(id, counts, now_s.saturating_sub(rule.silent_minutes * 60)).await
    }

    /// Starts to halt a release for the reason in `text`: no further thing gets it, and its queued executions are cancelled.
    ///
    /// Errors: nothing was changed.
    pub async fn start_halt(&self, id: &str, text: &str) -> Result<Cancellation, StoreError> {
        self.mark_halted(id, text, None).await
    }

    async fn mark_halted(&self, id: &str, text: &str, by: Option<&str>) -> Result<Cancellation, StoreError> {
        let waiting = self.store.mark_halted(id, text, by).await?;
        Ok(Cancellation::of_queued(id.to_owned(), waiting))
    }

    /// As [`start_halt`](Self::start_halt), for the account or token `by`.
    ///
    /// Errors: `NoRelease`; `State` if it is halted already; `Ended` if no execution is pending; `Store`, and then nothing was
    /// changed.
    pub async fn begin_halt(&self, id: &str, text: &str, by: &str) -> Result<Cancellation, AdminError> {
        let release = self.store.release(id).await?.ok_or_else(|| AdminError::NoRelease(id.to_owned()))?;
        if let Some(reason) = release.halted {
            return Err(AdminError::State(format!("release {id} is HALTED already: {reason}")));
        }
        self.check_open(id).await?;
        Ok(self.mark_halted(id, text, Some(by)).await?)
    }
}
