//! What follows from a job's configuration: how many things get an execution now, whether the job is aborted, whether an
//! execution is retried. Pure functions; no store, no clock.

use std::time::Duration;

use ota_jobs::Status;

use crate::job_config::{AbortConfig, RateIncreaseCriteria, RetryConfig, RolloutConfig};
use crate::limits::ROLLOUT_DELAY_MAX;
use crate::model::{Counts, Execution};
use crate::schedule::{EndBehavior, ScheduleConfig};

/// Returns the rate of a rollout. Unit: things per minute.
pub fn rate_per_minute(config: &RolloutConfig, counts: &Counts) -> f64 {
    let max = f64::from(config.maximum_per_minute.unwrap_or(1000));
    let Some(rate) = &config.exponential_rate else { return max };
    let (got, step) = match rate.rate_increase_criteria {
        RateIncreaseCriteria::Notified(step) => (counts.notified(), step),
        RateIncreaseCriteria::Succeeded(step) => (counts.of(Status::Succeeded), step),
    };
    // More increases than these reach every maximum.
    let increases = (got / step.max(1)).min(100) as i32;
    (f64::from(rate.base_rate_per_minute) * rate.increment_factor.powi(increases)).min(max)
}

/// What a rollout may create at this moment. The first thing is due at once, the others at the rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    things: f64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { things: 1.0 }
    }
}

impl Pace {
    /// Returns how many things are due `elapsed` after the last call, at most `max`. What was not due for longer than
    /// [`ROLLOUT_DELAY_MAX`] is not made up for.
    pub fn due(&mut self, per_minute: f64, elapsed: Duration, max: usize) -> usize {
        let per_second = per_minute / 60.0;
        let things_max = 1.0 + per_second * ROLLOUT_DELAY_MAX.as_secs_f64();
        self.things = (self.things + per_second * elapsed.as_secs_f64()).min(things_max);
        let due = self.things.floor().min(max as f64);
        self.things -= due;
        due as usize
    }
}

/// Returns why the job is aborted, if it is.
pub fn abort_reason(config: &AbortConfig, counts: &Counts) -> Option<String> {
    let ended = counts.ended();
    config.criteria_list.iter().find_map(|criterion| {
        let statuses = [Status::Failed, Status::Rejected, Status::TimedOut];
        let counted = statuses.into_iter().filter(|status| criterion.failure_type.includes(*status));
        let failed: u64 = counted.map(|status| counts.of(status)).sum();
        let percent = criterion.threshold_percentage;
        let is_met =
            ended >= criterion.min_number_of_executed_things && failed as f64 * 100.0 >= percent * ended as f64;
        (is_met && failed > 0)
            .then(|| format!("aborted: {failed} of {ended} executions failed, the limit is {percent} %"))
    })
}

/// Returns what a schedule demands, if its end has passed.
pub fn end(schedule: &ScheduleConfig, now_s: u64) -> Option<EndBehavior> {
    schedule.end_s().filter(|end_s| *end_s <= now_s).map(|_| schedule.end_behavior.unwrap_or_default())
}

/// Returns the next execution of a thing whose execution ended, if it is retried.
///
/// Source: AWS IoT Jobs, "Job executions retry configuration".
pub fn retry(config: &RetryConfig, ended: &Execution, now_s: u64) -> Option<Execution> {
    let is_counted = matches!(ended.status, Status::Failed | Status::TimedOut);
    let mut criteria = config.criteria_list.iter().filter(|criterion| criterion.failure_type.includes(ended.status));
    let has_more = criteria.any(|criterion| ended.number <= criterion.number_of_retries);
    (is_counted && has_more).then(|| Execution {
        number: ended.number + 1,
        status: Status::Queued,
        details: None,
        queued_at_s: now_s,
        started_at_s: None,
        updated_at_s: now_s,
        version: 1,
        job_deadline_s: None,
        step_deadline_s: None,
        ..ended.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job_config::{AbortAction, AbortCriterion, ExponentialRate, FailureType, RetryCriterion};

    fn counts(waiting: u64, executions: &[(Status, u64)]) -> Counts {
        Counts { waiting, executions: executions.iter().map(|(status, count)| (status.as_str(), *count)).collect() }
    }

    #[test]
    fn a_constant_rate_is_kept_over_any_ticks() {
        for tick_ms in [100, 1_000, 1_700] {
            let (mut pace, mut created, mut at_ms) = (Pace::default(), 0, 0);
            created += pace.due(30.0, Duration::ZERO, 100);
            assert_eq!(created, 1, "the first is due at once");
            while at_ms < 10 * 60_000 {
                created += pace.due(30.0, Duration::from_millis(tick_ms), 100);
                at_ms += tick_ms;
                let allowed = 1 + at_ms * 30 / 60_000;
                assert!(created as u64 <= allowed && created as u64 + 1 >= allowed, "{created} at {at_ms} ms");
            }
        }
    }

    #[test]
    fn a_service_that_was_late_does_not_make_up_for_it_nor_lose_what_it_could_not_create() {
        let hour = Duration::from_secs(3600);
        for (per_minute, expected) in [(30.0, 2), (60.0, 3), (600.0, 21), (1.0, 1)] {
            assert_eq!(Pace::default().due(per_minute, hour, 100), expected, "{per_minute}");
        }
        let mut pace = Pace::default();
        assert_eq!(pace.due(600.0, hour, 15), 15);
        assert_eq!(pace.due(600.0, Duration::ZERO, 15), 6);
    }

    #[test]
    fn an_exponential_rate_grows_with_its_criterion_up_to_the_maximum() {
        let exponential = |criteria| RolloutConfig {
            maximum_per_minute: Some(100),
            exponential_rate: Some(ExponentialRate {
                base_rate_per_minute: 10,
                increment_factor: 2.0,
                rate_increase_criteria: criteria,
            }),
        };
        let of =
            |notified, succeeded| counts(9, &[(Status::Queued, notified - succeeded), (Status::Succeeded, succeeded)]);
        let notified = exponential(RateIncreaseCriteria::Notified(5));
        let succeeded = exponential(RateIncreaseCriteria::Succeeded(5));
        for (got, rate) in [(0, 10.0), (4, 10.0), (5, 20.0), (14, 40.0), (15, 80.0), (20, 100.0), (1_000_000, 100.0)] {
            assert_eq!(rate_per_minute(&notified, &of(got, 0)), rate, "{got} notified");
            assert_eq!(rate_per_minute(&succeeded, &of(got, got)), rate, "{got} succeeded");
            assert_eq!(rate_per_minute(&succeeded, &of(got, 0)), 10.0);
        }
    }

    #[test]
    fn a_job_is_aborted_at_its_threshold_and_not_before_enough_have_ended() {
        let config = |failure_type, percent, min| AbortConfig {
            criteria_list: vec![AbortCriterion {
                failure_type,
                action: AbortAction::Cancel,
                threshold_percentage: percent,
                min_number_of_executed_things: min,
            }],
        };
        let counts = counts(
            70,
            &[
                (Status::Queued, 5),
                (Status::InProgress, 5),
                (Status::Succeeded, 14),
                (Status::Failed, 3),
                (Status::Rejected, 2),
                (Status::TimedOut, 1),
            ],
        );
        for (failure_type, percent, min, is_aborted) in [
            (FailureType::All, 30.0, 20, true),
            (FailureType::All, 30.0, 21, false),
            (FailureType::All, 30.1, 20, false),
            (FailureType::Failed, 15.0, 1, true),
            (FailureType::Failed, 15.1, 1, false),
            (FailureType::Rejected, 10.0, 1, true),
            (FailureType::TimedOut, 5.0, 1, true),
            (FailureType::TimedOut, 5.1, 1, false),
        ] {
            let config = config(failure_type, percent, min);
            assert_eq!(abort_reason(&config, &counts).is_some(), is_aborted, "{failure_type:?} {percent} {min}");
        }
        let reason = abort_reason(&config(FailureType::All, 30.0, 20), &counts).unwrap();
        assert_eq!(reason, "aborted: 6 of 20 executions failed, the limit is 30 %");
        let none = Counts::default();
        assert_eq!(abort_reason(&config(FailureType::All, 1.0, 1), &none), None);
    }

    #[test]
    fn an_execution_is_retried_as_often_as_configured_for_its_end() {
        let execution = |status, number| Execution {
            seq: 7,
            job_id: "job".into(),
            thing: "lamp".into(),
            number,
            status,
            details: Some("{}".into()),
            queued_at_s: 1,
            started_at_s: Some(2),
            updated_at_s: 3,
            version: 9,
            job_deadline_s: None,
            step_deadline_s: None,
        };
        let config = |failure_type, number_of_retries| RetryConfig {
            criteria_list: vec![RetryCriterion { failure_type, number_of_retries }],
        };
        for (failure_type, status, number, is_retried) in [
            (FailureType::All, Status::Failed, 1, true),
            (FailureType::All, Status::Failed, 2, true),
            (FailureType::All, Status::Failed, 3, false),
            (FailureType::All, Status::TimedOut, 2, true),
            (FailureType::All, Status::Rejected, 1, false),
            (FailureType::All, Status::Canceled, 1, false),
            (FailureType::All, Status::Succeeded, 1, false),
            (FailureType::Failed, Status::TimedOut, 1, false),
            (FailureType::TimedOut, Status::TimedOut, 1, true),
        ] {
            let next = retry(&config(failure_type, 2), &execution(status, number), 50);
            assert_eq!(next.is_some(), is_retried, "{failure_type:?} {status} {number}");
        }
        assert_eq!(retry(&config(FailureType::All, 0), &execution(Status::Failed, 1), 50), None);
        let next = retry(&config(FailureType::All, 2), &execution(Status::Failed, 1), 50).unwrap();
        assert_eq!((next.number, next.status, next.version, next.queued_at_s), (2, Status::Queued, 1, 50));
        assert_eq!((next.details, next.started_at_s, next.seq), (None, None, 7));
    }
}
