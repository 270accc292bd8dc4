//! Jobs that are rolled out at a rate, that failures may abort, or that have a schedule: advances them with time. The rules are in `rollout.rs`.

use tokio::time::Instant;

use super::notify_queue::{NextChange, PendingNotify};
use super::rollout::{self, Pace};
use super::service::{Cancellation, JobService};
use crate::job_config::JobConfig;
use crate::limits::{CHANGES_PER_TRANSACTION_MAX, THINGS_MAX};
use crate::schedule::EndBehavior;
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
    /// Jobs that are cancelled: aborted, or at their end.
    pub canceled: Vec<Cancellation>,
}

/// What a job's advance left.
enum Progress {
    Running(Vec<PendingNotify>),
    Canceled(Cancellation),
    /// The end has passed, and no further thing gets an execution.
    Stopped,
    Ended,
}

impl Rollouts {
    /// Adds a job, unless it is there: one that was created before the last run's jobs were read is among those.
    pub fn add(&mut self, id: String, config: JobConfig, continuous: bool, now: Instant) {
        let is_new = self.jobs.iter().all(|job| job.id != id);
        if is_new && (config.rollout.is_some() || config.abort.is_some() || config.schedule.is_some()) {
            self.jobs.push(RunningJob { id, config, continuous, pace: Pace::default(), at: now });
        }
    }

    /// Removes a job: it was cancelled.
    pub fn remove(&mut self, id: &str) {
        self.jobs.retain(|job| job.id != id);
    }

    /// Cancels the jobs that reached a criterion or their end, and creates the executions that are due of the others.
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
                Ok(Progress::Canceled(cancellation)) => {
                    advanced.canceled.push(cancellation);
                    ended.push(job.id.clone());
                }
                Ok(Progress::Stopped) => job.config.schedule = None,
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
        let is_rolled_out = counts.waiting == 0 && self.config.abort.is_none() && self.config.schedule.is_none();
        if is_rolled_out || counts.is_ended() && !self.continuous {
            return Ok(Progress::Ended);
        }
        if let Some(reason) = self.config.abort.as_ref().and_then(|config| rollout::abort_reason(config, &counts)) {
            return Ok(Progress::Canceled(jobs.start_cancel(&self.id, false, &reason).await?));
        }
        if let Some(behavior) = self.config.schedule.as_ref().and_then(|schedule| rollout::end(schedule, now_s)) {
            return self.end(jobs, behavior, counts.waiting).await;
        }
        let elapsed = now.saturating_duration_since(self.at);
        self.at = now;
        if counts.waiting == 0 || self.config.start_s().is_some_and(|start_s| start_s > now_s) {
            return Ok(Progress::Running(Vec::new()));
        }
        let count = match &self.config.rollout {
            Some(config) => {
                self.pace.due(rollout::rate_per_minute(config, &counts), elapsed, CHANGES_PER_TRANSACTION_MAX)
            }
            None => THINGS_MAX,
        };
        let things = if count > 0 { jobs.roll_out(&self.id, count, now_s).await? } else { Vec::new() };
        let first = NextChange::If(self.id.clone());
        let due = things.into_iter().map(|thing| PendingNotify { thing, list: true, first: first.clone() });
        Ok(Progress::Running(due.collect()))
    }

    /// The end of the schedule.
    async fn end(&self, jobs: &JobService, behavior: EndBehavior, waiting: u64) -> Result<Progress, StoreError> {
        const REASON: &str = "its end time has passed";
        match behavior {
            // After a restart, it was stopped before.
            EndBehavior::StopRollout if waiting == 0 => Ok(Progress::Stopped),
            EndBehavior::StopRollout => {
                jobs.stop_rollout(&self.id, REASON).await?;
                Ok(Progress::Stopped)
            }
            EndBehavior::Cancel => Ok(Progress::Canceled(jobs.start_cancel(&self.id, false, REASON).await?)),
            EndBehavior::ForceCancel => Ok(Progress::Canceled(jobs.start_cancel(&self.id, true, REASON).await?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::messages::Request;
    use super::super::rules::{Change, StepTimer};
    use super::*;
    use crate::api::NewJob;
    use crate::job_config::{AbortConfig, RolloutConfig};
    use crate::limits::DATABASE_BYTES_MAX;
    use crate::schedule::ScheduleConfig;
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
        JobConfig {
            rollout: Some(RolloutConfig::constant(60)),
            abort: Some(AbortConfig::of_all(50.0, 2)),
            retry: None,
            schedule: None,
        }
    }

    /// A service with a job for the things `t0` to `t4`.
    async fn with_job(dir: &TempDir) -> JobService {
        with_config(dir, config()).await
    }

    async fn with_config(dir: &TempDir, config: JobConfig) -> JobService {
        let jobs = service(dir).await;
        let document = Some(serde_json::value::RawValue::from_string("{}".to_owned()).unwrap());
        let things = (0..5).map(|number| format!("t{number}")).collect();
        let job = NewJob { things, document, config, ..NewJob::default() };
        assert!(jobs.create("one", &job, "ann").await.unwrap().0.is_empty(), "nothing is notified yet");
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
        assert!(advanced.canceled.is_empty());
        advanced.due.into_iter().map(|due| due.thing).collect()
    }

    #[tokio::test]
    async fn things_get_their_execution_at_the_rate_also_after_a_restart() {
        let (dir, begin) = (TempDir::new(), Instant::now());
        let after = |seconds| begin + Duration::from_secs(seconds);
        let jobs = with_job(&dir).await;
        let mut rollouts = Rollouts::default();
        for _ in 0..2 {
            rollouts.add("one".into(), config(), false, begin);
        }
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
    async fn a_scheduled_job_begins_and_ends_at_its_times() {
        // 2023-11-14 22:13:20 UTC is `NOW_S`.
        let (start_s, end_s) = (NOW_S + 100, NOW_S + 3_700);
        for (behavior, rolls_out) in
            [(EndBehavior::StopRollout, true), (EndBehavior::Cancel, true), (EndBehavior::ForceCancel, false)]
        {
            let (dir, now) = (TempDir::new(), Instant::now());
            let schedule = ScheduleConfig {
                start_time: Some("2023-11-14 22:15".into()),
                end_time: Some("2023-11-14 23:15".into()),
                end_behavior: Some(behavior),
            };
            assert_eq!((schedule.start_s(), schedule.end_s()), (Some(start_s), Some(end_s)));
            let rollout = rolls_out.then_some(RolloutConfig::constant(1));
            let config = JobConfig { schedule: Some(schedule), rollout, ..JobConfig::default() };
            let jobs = with_config(&dir, config.clone()).await;
            let mut rollouts = Rollouts::default();
            rollouts.add("one".into(), config, false, now);
            let before = rollouts.advance(&jobs, now, start_s - 1).await;
            assert!(before.due.is_empty() && jobs.counts("one").await.unwrap().waiting == 5);
            let begun = rollouts.advance(&jobs, now, start_s).await;
            assert_eq!(begun.due.len(), if rolls_out { 1 } else { 5 }, "all at once without a rate");
            end(&jobs, "t0", Status::InProgress).await;
            assert!(rollouts.advance(&jobs, now, end_s - 1).await.canceled.is_empty());
            let Advanced { canceled, .. } = rollouts.advance(&jobs, now, end_s).await;
            for mut cancellation in canceled {
                while jobs.cancel_batch(&mut cancellation, NOW_S).await.unwrap().is_some() {}
            }
            let counts = jobs.counts("one").await.unwrap();
            let in_progress = if behavior == EndBehavior::ForceCancel { 0 } else { 1 };
            assert_eq!((counts.waiting, counts.of(Status::InProgress)), (0, in_progress), "{behavior:?}");
            assert_eq!(counts.of(Status::Canceled), if behavior == EndBehavior::ForceCancel { 5 } else { 0 });
            assert!(rollouts.advance(&jobs, now, end_s + 1).await.canceled.is_empty(), "once");
        }
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
        let Advanced { due, mut canceled } = rollouts.advance(&jobs, begin + Duration::from_secs(60), NOW_S).await;
        assert!(due.is_empty() && rollouts.jobs.is_empty());
        let mut cancellation = canceled.pop().unwrap();
        while jobs.cancel_batch(&mut cancellation, NOW_S).await.unwrap().is_some() {}
        assert_eq!((cancellation.done.canceled, cancellation.done.left_in_progress), (2, 1));
        let counts = jobs.counts("one").await.unwrap();
        assert_eq!((counts.waiting, counts.of(Status::InProgress), counts.notified()), (0, 1, 3));
        assert!(jobs.unfinished_rollouts().await.unwrap().is_empty());
    }
}
