//! What a person does with a job that runs, beside its cancellation: pause, resume, and another attempt where it failed.

use super::admin_error::AdminError;
use super::notify_queue::{NextChange, PendingNotify};
use super::rollout;
use super::service::JobService;
use crate::api::RetryResponse;
use crate::model::{Counts, Job};
use crate::release_plan::ReleasePlan;
use crate::store::ReleaseRecord;

/// A job that was changed, and what makes it a release, if it is one.
pub type Changed = (Job, Option<ReleasePlan>);

impl JobService {
    /// Pauses the rollout of a job for the account or token `by`, or resumes it. Executions go on; things that wait, or join one
    /// of its groups, get none while it is paused. AWS has no such state: its API shows the job as before.
    ///
    /// Errors: `NoJob`; `State` if the job is cancelled, is in this state already, or has no thing that could wait; `Store`, and
    /// then nothing was changed.
    pub async fn set_paused(&self, id: &str, paused: bool, by: &str) -> Result<Changed, AdminError> {
        let (mut job, release) = self.job_and_release(id).await?;
        check_pause(&job, &self.counts(id).await?, paused).map_err(AdminError::State)?;
        self.store.set_paused(id, paused, by).await?;
        job.paused = paused;
        Ok((job, release.map(|release| release.plan)))
    }

    /// Queues the next execution of each thing of a job whose last one is FAILED, REJECTED or TIMED_OUT, for the account or token
    /// `by`. A job that is completed is in progress again. Pinned things get none. Returns also the notifications owed.
    ///
    /// Errors: `NoJob`; `State` if the job was cancelled or taken back, its end has passed, or no execution failed; `Store`, and
    /// then nothing was changed.
    pub async fn retry_failed(
        &self,
        id: &str,
        by: &str,
        now_s: u64,
    ) -> Result<(Changed, RetryResponse, Vec<PendingNotify>), AdminError> {
        let (job, release) = self.job_and_release(id).await?;
        let counts = self.counts(id).await?;
        check_retry(&job, release.as_ref(), &counts, now_s).map_err(AdminError::State)?;
        let retried = self.store.retry_failed(id, by, now_s).await?;
        let done = RetryResponse { queued: retried.things.len() as u64, pinned: retried.pinned };
        let first = NextChange::If(id.to_owned());
        let due = retried.things.into_iter().map(|thing| PendingNotify { thing, list: true, first: first.clone() });
        Ok(((job, release.map(|release| release.plan)), done, due.collect()))
    }

    async fn job_and_release(&self, id: &str) -> Result<(Job, Option<ReleaseRecord>), AdminError> {
        let job = self.store.job(id).await?.ok_or_else(|| AdminError::NoJob(id.to_owned()))?;
        Ok((job, self.store.release(id).await?))
    }
}

/// Errors: why the job cannot be paused, or resumed.
fn check_pause(job: &Job, counts: &Counts, paused: bool) -> Result<(), String> {
    let id = &job.id;
    match (paused, job.paused) {
        _ if job.canceled => Err(format!("job {id} is CANCELED")),
        (true, true) => Err(format!("job {id} is paused already")),
        (false, false) => Err(format!("job {id} is not paused")),
        (true, false) if counts.waiting == 0 && !job.continuous => {
            Err(format!("no thing of job {id} waits: there is nothing to pause"))
        }
        _ => Ok(()),
    }
}

/// Errors: why nothing is retried.
fn check_retry(job: &Job, release: Option<&ReleaseRecord>, counts: &Counts, now_s: u64) -> Result<(), String> {
    let id = &job.id;
    if job.canceled {
        return Err(format!("job {id} is CANCELED"));
    }
    if release.is_some_and(|release| release.is_reverted) {
        return Err(format!("release {id} was taken back"));
    }
    if job.config.schedule.as_ref().is_some_and(|schedule| rollout::end(schedule, now_s).is_some()) {
        return Err(format!("the end time of job {id} has passed"));
    }
    match counts.failed() {
        0 => Err(format!("no execution of job {id} has failed")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
