//! Releases, and jobs that are rolled out at a rate, that failures may abort, or that have a schedule: advances them with time.
//! The rules are in `rollout.rs` and `halt.rs`.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::halt;
use super::notify_queue::{NextChange, PendingNotify};
use super::rollout::{self, Pace};
use super::service::{Cancellation, JobService};
use crate::job_config::JobConfig;
use crate::limits::{CHANGES_PER_TRANSACTION_MAX, THINGS_MAX};
use crate::maintenance;
use crate::model::Counts;
use crate::release_plan::{Mode, ReleasePlan};
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
    release: Option<ReleasePlan>,
    is_paused: bool,
    pace: Pace,
    /// The rate when it was advanced last; used if it has one. Unit: things per minute.
    per_minute: f64,
    /// When the pace was asked last.
    at: Instant,
    /// Whether its things may get it with their sessions.
    is_due: bool,
    /// Things whose session began while the rate was used up, or the job was held, in this order. Each is one of the job's, once.
    in_session: VecDeque<String>,
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
    Ended,
}

impl Rollouts {
    /// Adds a job, unless it is there: one that was created before the last run's jobs were read is among those. One without a
    /// thing that waits, or rules, is removed with the next advance.
    pub fn add(&mut self, id: String, config: JobConfig, continuous: bool, release: Option<ReleasePlan>, now: Instant) {
        let is_new = self.jobs.iter().all(|job| job.id != id);
        if is_new {
            self.jobs.push(RunningJob::new(id, config, continuous, release, now));
        }
    }

    /// Gives a job that is there other settings. Its rate begins anew; things whose session began get it as before.
    pub fn set_config(&mut self, id: &str, config: &JobConfig, now: Instant) {
        for job in self.jobs.iter_mut().filter(|job| job.id == id) {
            let (is_paused, in_session) = (job.is_paused, std::mem::take(&mut job.in_session));
            let new = RunningJob::new(id.to_owned(), config.clone(), job.continuous, job.release.take(), now);
            *job = RunningJob { is_paused, in_session, ..new };
        }
    }

    /// Pauses a job that is there, or lets it go on. Things whose session begins meanwhile get it when it goes on.
    pub fn set_paused(&mut self, id: &str, paused: bool) {
        self.jobs.iter_mut().filter(|job| job.id == id).for_each(|job| job.is_paused = paused);
    }

    /// Removes a job: it was cancelled.
    pub fn remove(&mut self, id: &str) {
        self.jobs.retain(|job| job.id != id);
    }

    /// Creates the executions that a thing gets with the session that begins now; returns the notifications owed. Of a release
    /// whose rate is used up it gets one with a later advance.
    ///
    /// Errors: nothing was created; the next session does it.
    pub async fn begin_session(
        &mut self,
        jobs: &JobService,
        thing: &str,
        now: Instant,
        now_s: u64,
    ) -> Result<Vec<PendingNotify>, StoreError> {
        let mut due = jobs.due_jobs(thing).await?;
        due.retain(|id| {
            let job = self.jobs.iter_mut().find(|job| job.id == *id);
            job.is_none_or(|job| job.has_turn(thing, now, now_s))
        });
        jobs.begin_session(thing, &due, now_s).await
    }

    /// Cancels the jobs that reached a criterion or their end, and creates the executions that are due of the others.
    ///
    /// `contact`: how long devices have been able to report.
    ///
    /// # Cancel safety
    ///
    /// Notifications of executions that were created may be lost; things see them with their next request.
    pub async fn advance(&mut self, jobs: &JobService, contact: Duration, now: Instant, now_s: u64) -> Advanced {
        let mut advanced = Advanced::default();
        let mut ended = Vec::new();
        for job in &mut self.jobs {
            match job.advance(jobs, contact, now, now_s).await {
                Ok(Progress::Running(due)) => advanced.due.extend(due),
                Ok(Progress::Canceled(cancellation)) => {
                    advanced.canceled.push(cancellation);
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
    fn new(id: String, config: JobConfig, continuous: bool, release: Option<ReleasePlan>, now: Instant) -> Self {
        let rate = config.rollout.as_ref().map(|config| rollout::rate_per_minute(config, &Counts::default()));
        // Without a rate and a begin, all things of a release were due from the start.
        let is_due = !config.has_waiting();
        let (per_minute, pace, in_session) = (rate.unwrap_or_default(), Pace::default(), VecDeque::new());
        Self { id, config, continuous, release, is_paused: false, pace, per_minute, at: now, is_due, in_session }
    }

    fn is_on_session(&self) -> bool {
        self.release.as_ref().is_some_and(|release| release.mode == Mode::OnSession)
    }

    /// Returns how many things may get an execution now, at most `max`.
    fn turns(&mut self, max: usize, now: Instant) -> usize {
        let elapsed = now.saturating_duration_since(self.at);
        self.at = now;
        match self.config.rollout {
            Some(_) => self.pace.due(self.per_minute, elapsed, max),
            None => max,
        }
    }

    /// Returns whether no thing gets an execution now: the job is paused, or outside its maintenance windows.
    fn is_held(&self, now_s: u64) -> bool {
        self.is_paused || !maintenance::is_open(self.config.windows(), now_s)
    }

    /// Returns whether a thing gets an execution with its session now; otherwise it gets it when the rate allows it and the
    /// job is not held, after those whose session began before.
    fn has_turn(&mut self, thing: &str, now: Instant, now_s: u64) -> bool {
        let has_rate = self.config.rollout.is_some();
        if !self.is_held(now_s) && (!has_rate || self.in_session.is_empty() && self.turns(1, now) == 1) {
            return true;
        }
        if !self.in_session.iter().any(|other| other == thing) {
            self.in_session.push_back(thing.to_owned());
        }
        false
    }

    /// Errors: nothing was changed; the next advance does it.
    async fn advance(
        &mut self,
        jobs: &JobService,
        contact: Duration,
        now: Instant,
        now_s: u64,
    ) -> Result<Progress, StoreError> {
        let counts = jobs.counts(&self.id).await?;
        let has_rules = self.config.abort.is_some() || self.config.schedule.is_some() || self.release.is_some();
        let is_rolled_out = counts.waiting == 0 && !has_rules;
        if is_rolled_out || counts.is_ended() && !self.continuous {
            return Ok(Progress::Ended);
        }
        if let Some(reason) = self.config.abort.as_ref().and_then(|config| rollout::abort_reason(config, &counts)) {
            return Ok(Progress::Canceled(jobs.start_cancel(&self.id, false, &reason).await?));
        }
        if let Some(rule) = self.release.as_ref().map(|release| &release.halt).filter(|rule| !rule.is_none()) {
            let health = jobs.health(&self.id, rule, counts.clone(), now_s).await?;
            if let Some(reason) = halt::reason(rule, &health, contact) {
                return Ok(Progress::Canceled(jobs.start_halt(&self.id, &reason).await?));
            }
        }
        if let Some(behavior) = self.config.schedule.as_ref().and_then(|schedule| rollout::end(schedule, now_s)) {
            return self.end(jobs, behavior, counts.waiting).await;
        }
        let is_early = self.config.start_s().is_some_and(|start_s| start_s > now_s);
        if !is_early && self.is_on_session() && !self.is_due {
            jobs.make_due(&self.id).await?;
            self.is_due = true;
        }
        if counts.waiting == 0 || is_early || self.is_held(now_s) {
            self.at = now;
            return Ok(Progress::Running(Vec::new()));
        }
        if let Some(config) = &self.config.rollout {
            self.per_minute = rollout::rate_per_minute(config, &counts);
        }
        let due = match self.is_on_session() {
            true => self.continue_sessions(jobs, now, now_s).await?,
            false => self.roll_out(jobs, now, now_s).await?,
        };
        Ok(Progress::Running(due))
    }

    /// Creates the executions of the next things whose session began already; returns the notifications owed.
    ///
    /// Errors: nothing was created.
    async fn continue_sessions(
        &mut self,
        jobs: &JobService,
        now: Instant,
        now_s: u64,
    ) -> Result<Vec<PendingNotify>, StoreError> {
        let mut due = Vec::new();
        let max = self.in_session.len().min(CHANGES_PER_TRANSACTION_MAX);
        let turns = self.turns(max, now);
        for thing in self.in_session.drain(..turns) {
            match jobs.begin_session(&thing, std::slice::from_ref(&self.id), now_s).await {
                Ok(created) => due.extend(created),
                Err(error) => report_error(format_args!("session of {thing}, which waits for the next one: {error}")),
            }
        }
        Ok(due)
    }

    /// Creates the executions of the next things; returns the notifications owed.
    async fn roll_out(
        &mut self,
        jobs: &JobService,
        now: Instant,
        now_s: u64,
    ) -> Result<Vec<PendingNotify>, StoreError> {
        let max = match self.config.rollout {
            Some(_) => self.turns(CHANGES_PER_TRANSACTION_MAX, now),
            None => THINGS_MAX,
        };
        if max == 0 {
            return Ok(Vec::new());
        }
        let things = jobs.roll_out(&self.id, max, now_s).await?;
        let first = NextChange::If(self.id.clone());
        let due = things.into_iter().map(|thing| PendingNotify { thing, list: true, first: first.clone() });
        Ok(due.collect())
    }

    /// The end of the schedule.
    async fn end(&self, jobs: &JobService, behavior: EndBehavior, waiting: u64) -> Result<Progress, StoreError> {
        const REASON: &str = "its end time has passed";
        match behavior {
            EndBehavior::StopRollout if waiting == 0 => Ok(Progress::Running(Vec::new())),
            EndBehavior::StopRollout => {
                jobs.stop_rollout(&self.id, REASON).await?;
                Ok(Progress::Running(Vec::new()))
            }
            EndBehavior::Cancel => Ok(Progress::Canceled(jobs.start_cancel(&self.id, false, REASON).await?)),
            EndBehavior::ForceCancel => Ok(Progress::Canceled(jobs.start_cancel(&self.id, true, REASON).await?)),
        }
    }
}

#[cfg(test)]
mod tests;
