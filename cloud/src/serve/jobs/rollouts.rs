//! Jobs that are rolled out at a rate, or that failures may abort: advances them with time. The rules are in `rollout.rs`.

use tokio::time::Instant;

use super::notify_queue::{NextChange, PendingNotify};
use super::rollout::{self, Pace};
use super::service::{Cancellation, JobService};
use crate::job_config::JobConfig;
use crate::limits::CHANGES_PER_TRANSACTION_MAX;
use crate::serve::log::report_error;
use crate::store::StoreError;

/// The jobs that are not ended. After a restart their rates begin anew.
#[derive(Debug, Default)]
pub struct Rollouts {
    jobs: Vec<RunningJob>,
}

#[derive(Debug)]
struct RunningJob {
    id: String,
    config: JobConfig,
    continuous: bool,
    pace: Pace,
    /// When it was advanced last.
    at: Instant,
}

/// What follows from one advance.
#[derive(Debug, Default)]
pub struct Advanced {
    /// Notifications of things that have an execution now.
    pub due: Vec<PendingNotify>,
    /// Jobs that are aborted.
    pub aborted: Vec<Cancellation>,
}

/// What a job's advance left.
enum Progress {
    Running(Vec<PendingNotify>),
    Aborted(Cancellation),
    Ended,
}

impl Rollouts {
    /// Adds a job.
    pub fn add(&mut self, id: String, config: JobConfig, continuous: bool, now: Instant) {
        if config.rollout.is_some() || config.abort.is_some() {
            self.jobs.push(RunningJob { id, config, continuous, pace: Pace::default(), at: now });
        }
    }

    /// Removes a job: it was cancelled.
    pub fn remove(&mut self, id: &str) {
        self.jobs.retain(|job| job.id != id);
    }

    /// Aborts the jobs that reached a criterion, and creates the executions that are due of the others.
    ///
    /// # Cancel safety
    ///
    /// Notifications of executions that were created may be lost; things see them with their next request.
    pub async fn advance(&mut self, jobs: &JobService, now: Instant, now_s: u64) -> Advanced {
        let mut advanced = Advanced::default();
        let mut ended = Vec::new();
        for job in &mut self.jobs {
            match job.advance(jobs, now, now_s).await {
                Ok(Progress::Running(due)) => advanced.due.extend(due),
                Ok(Progress::Aborted(cancellation)) => {
                    advanced.aborted.push(cancellation);
                    ended.push(job.id.clone());
                }
                Ok(Progress::Ended) => ended.push(job.id.clone()),
                Err(error) => report_error(format_args!("rollout of {}: {error}", job.id)),
            }
        }
        ended.iter().for_each(|id| self.remove(id));
        advanced
    }
}

impl RunningJob {
    /// Errors: nothing was changed; the next advance does it.
    async fn advance(&mut self, jobs: &JobService, now: Instant, now_s: u64) -> Result<Progress, StoreError> {
        let counts = jobs.counts(&self.id).await?;
        if counts.is_ended() && !self.continuous {
            return Ok(Progress::Ended);
        }
        if let Some(reason) = self.config.abort.as_ref().and_then(|config| rollout::abort_reason(config, &counts)) {
            return Ok(Progress::Aborted(jobs.abort(&self.id, &reason).await?));
        }
        let Some(config) = self.config.rollout.as_ref().filter(|_| counts.waiting > 0) else {
            return Ok(Progress::Running(Vec::new()));
        };
        let elapsed = now.saturating_duration_since(self.at);
        self.at = now;
        let count = self.pace.due(rollout::rate_per_minute(config, &counts), elapsed);
        let mut due = Vec::new();
        if count > 0 {
            let things = jobs.roll_out(&self.id, count.min(CHANGES_PER_TRANSACTION_MAX), now_s).await?;
            let first = NextChange::If(self.id.clone());
            due.extend(things.into_iter().map(|thing| PendingNotify { thing, list: true, first: first.clone() }));
        }
        Ok(Progress::Running(due))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::messages::Request;
    use super::super::rules::{Change, StepTimer};
    use super::*;
    use crate::api::NewJob;
    use crate::job_config::{AbortAction, AbortConfig, AbortCriterion, FailureType, RolloutConfig};
    use crate::limits::DATABASE_BYTES_MAX;
    use crate::serve::signed_url::Signer;
    use crate::store::Store;
    use crate::testing::TempDir;
    use ota_jobs::Status;

    const NOW_S: u64 = 1_700_000_000;

    async fn service(dir: &TempDir) -> JobService {
        let store = Store::open(dir.path(), DATABASE_BYTES_MAX).await.unwrap();
        JobService::new(store, Signer::new(&[1; 32], "http://h:1".into(), Duration::from_secs(60)))
    }

    /// Sixty things a minute; aborted when half of at least two have failed.
    fn config() -> JobConfig {
        let criterion = AbortCriterion {
            failure_type: FailureType::All,
            action: AbortAction::Cancel,
            threshold_percentage: 50.0,
            min_number_of_executed_things: 2,
        };
        JobConfig {
            rollout: Some(RolloutConfig { maximum_per_minute: Some(60), exponential_rate: None }),
            abort: Some(AbortConfig { criteria_list: vec![criterion] }),
            retry: None,
        }
    }

    /// A service with a job for the things `t0` to `t4`.
    async fn with_job(dir: &TempDir) -> JobService {
        let jobs = service(dir).await;
        let document = Some(serde_json::value::RawValue::from_string("{}".to_owned()).unwrap());
        let things = (0..5).map(|number| format!("t{number}")).collect();
        let job = NewJob { things, document, config: config(), ..NewJob::default() };
        assert!(jobs.create("one", &job).await.unwrap().0.is_empty(), "nothing is notified yet");
        jobs
    }

    async fn end(jobs: &JobService, thing: &str, status: Status) {
        let change =
            Change { status, details: None, expected_version: None, number: None, step_timer: StepTimer::Keep };
        let job_id = "one".to_owned();
        let update = Request::Update { job_id, change, include_state: false, include_document: false };
        jobs.handle(thing, update, NOW_S).await;
    }

    /// Advances at this time after the begin; returns the things that are notified.
    async fn notified(rollouts: &mut Rollouts, jobs: &JobService, at: Instant) -> Vec<String> {
        let advanced = rollouts.advance(jobs, at, NOW_S).await;
        assert!(advanced.aborted.is_empty());
        advanced.due.into_iter().map(|due| due.thing).collect()
    }

    #[tokio::test]
    async fn things_get_their_execution_at_the_rate_also_after_a_restart() {
        let (dir, begin) = (TempDir::new(), Instant::now());
        let after = |seconds| begin + Duration::from_secs(seconds);
        let jobs = with_job(&dir).await;
        let mut rollouts = Rollouts::default();
        rollouts.add("one".into(), config(), false, begin);
        assert_eq!(notified(&mut rollouts, &jobs, begin).await, ["t0"]);
        assert_eq!(notified(&mut rollouts, &jobs, begin).await, [""; 0]);
        assert_eq!(notified(&mut rollouts, &jobs, after(2)).await, ["t1", "t2"]);
        assert_eq!(jobs.things_with_work("").await.unwrap(), ["t0", "t1", "t2"]);
        assert_eq!(jobs.counts("one").await.unwrap().waiting, 2);

        drop(jobs);
        let jobs = service(&dir).await;
        let mut rollouts = Rollouts::default();
        for job in jobs.unfinished_rollouts().await.unwrap() {
            rollouts.add(job.id, job.config, job.continuous, begin);
        }
        assert_eq!(notified(&mut rollouts, &jobs, begin).await, ["t3"]);
        assert_eq!(notified(&mut rollouts, &jobs, after(60)).await, ["t4"]);
        for number in 0..5 {
            assert_eq!(rollouts.jobs.len(), 1, "t{number} has not ended");
            end(&jobs, &format!("t{number}"), Status::Succeeded).await;
            notified(&mut rollouts, &jobs, after(61)).await;
        }
        assert!(rollouts.jobs.is_empty());
        assert!(jobs.unfinished_rollouts().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_job_that_fails_too_often_is_cancelled_before_others_get_it() {
        let (dir, begin) = (TempDir::new(), Instant::now());
        let jobs = with_job(&dir).await;
        let mut rollouts = Rollouts::default();
        rollouts.add("one".into(), config(), false, begin);
        notified(&mut rollouts, &jobs, begin).await;
        notified(&mut rollouts, &jobs, begin + Duration::from_secs(2)).await;
        end(&jobs, "t0", Status::Succeeded).await;
        assert!(notified(&mut rollouts, &jobs, begin + Duration::from_secs(2)).await.is_empty());
        end(&jobs, "t2", Status::InProgress).await;
        end(&jobs, "t1", Status::Failed).await;
        let Advanced { due, mut aborted } = rollouts.advance(&jobs, begin + Duration::from_secs(60), NOW_S).await;
        assert!(due.is_empty() && rollouts.jobs.is_empty());
        let mut cancellation = aborted.pop().unwrap();
        while jobs.cancel_batch(&mut cancellation, NOW_S).await.unwrap().is_some() {}
        assert_eq!((cancellation.done.canceled, cancellation.done.left_in_progress), (2, 1));
        let counts = jobs.counts("one").await.unwrap();
        assert_eq!((counts.waiting, counts.of(Status::InProgress), counts.notified()), (0, 1, 3));
        assert!(jobs.unfinished_rollouts().await.unwrap().is_empty());
    }
}
