//! How a job is rolled out: rate, abort criteria, retries and schedule, in the JSON of the AWS IoT Jobs API. What follows from
//! them is in `serve::jobs::rollout`.

use ota_jobs::Status;
use serde::{Deserialize, Serialize};

use crate::maintenance::MaintenanceWindow;
use crate::schedule::ScheduleConfig;

/// Rollout, abort criteria, retries and schedule of a job. By default all things get an execution at once, nothing aborts the
/// job, no execution is retried, and it has no end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobConfig {
    /// How fast things get an execution.
    #[serde(rename = "jobExecutionsRolloutConfig", default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutConfig>,
    /// When the job is cancelled because of its failures.
    #[serde(rename = "abortConfig", default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<AbortConfig>,
    /// How often an execution that ended without success is queued again.
    #[serde(rename = "jobExecutionsRetryConfig", default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryConfig>,
    /// When the job begins and ends.
    #[serde(rename = "schedulingConfig", default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleConfig>,
}

/// Rate of a rollout. At least one of both is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolloutConfig {
    /// Maximum number of things that get an execution in a minute, 1..=1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_per_minute: Option<u32>,
    /// A rate that grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exponential_rate: Option<ExponentialRate>,
}

/// A rate that is multiplied each time a number of things was notified or has succeeded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExponentialRate {
    /// Things per minute at the begin, 1..=1000.
    pub base_rate_per_minute: u32,
    /// Factor of each increase, 1.1..=5.
    pub increment_factor: f64,
    /// When the rate increases.
    pub rate_increase_criteria: RateIncreaseCriteria,
}

/// Number of things after which the rate increases, and again after as many more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum RateIncreaseCriteria {
    /// Things that got an execution.
    #[serde(rename = "numberOfNotifiedThings")]
    Notified(u64),
    /// Things whose execution succeeded.
    #[serde(rename = "numberOfSucceededThings")]
    Succeeded(u64),
}

/// Criteria of which one suffices to cancel the job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AbortConfig {
    /// The criteria, at least one.
    pub criteria_list: Vec<AbortCriterion>,
}

/// Cancels the queued executions of a job, and those that were not created yet. Executions in progress go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AbortCriterion {
    /// The failures that count.
    pub failure_type: FailureType,
    /// What is done: the job is cancelled.
    pub action: AbortAction,
    /// Share of these failures among the ended executions from which the job is cancelled; above 0, at most 100.
    pub threshold_percentage: f64,
    /// Number of ended executions below which nothing is cancelled, at least 1.
    pub min_number_of_executed_things: u64,
}

/// The only action that AWS has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AbortAction {
    /// Cancel the job.
    #[serde(rename = "CANCEL")]
    Cancel,
}

/// Statuses that a criterion is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureType {
    /// FAILED.
    Failed,
    /// REJECTED; not retried.
    Rejected,
    /// TIMED_OUT.
    TimedOut,
    /// All of these.
    All,
}

/// Retries of executions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetryConfig {
    /// One criterion or two.
    pub criteria_list: Vec<RetryCriterion>,
}

/// How often executions that end in this manner are queued again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetryCriterion {
    /// FAILED, TIMED_OUT or ALL of these two.
    pub failure_type: FailureType,
    /// Retries of one thing, 0..=10.
    pub number_of_retries: u64,
}

impl FailureType {
    /// Whether it includes this status.
    pub fn includes(self, status: Status) -> bool {
        match self {
            Self::Failed => status == Status::Failed,
            Self::Rejected => status == Status::Rejected,
            Self::TimedOut => status == Status::TimedOut,
            Self::All => matches!(status, Status::Failed | Status::Rejected | Status::TimedOut),
        }
    }
}

impl JobConfig {
    /// Checks all values.
    ///
    /// Errors: the reason. Source of the ranges: AWS IoT API, CreateJob.
    pub fn check(&self) -> Result<(), String> {
        self.rollout.as_ref().map_or(Ok(()), RolloutConfig::check)?;
        self.abort.as_ref().map_or(Ok(()), AbortConfig::check)?;
        self.retry.as_ref().map_or(Ok(()), RetryConfig::check)?;
        self.schedule.as_ref().map_or(Ok(()), ScheduleConfig::check)
    }

    /// Whether the things of a new job wait for their execution.
    pub fn has_waiting(&self) -> bool {
        self.rollout.is_some() || self.start_s().is_some() || !self.windows().is_empty()
    }

    /// Returns the maintenance windows, in which alone things get an execution; at any time without windows.
    pub fn windows(&self) -> &[MaintenanceWindow] {
        self.schedule.as_ref().map_or(&[], |schedule| &schedule.maintenance_windows)
    }

    /// Returns when the first things get an execution, if that is not at once. Seconds since 1970.
    pub fn start_s(&self) -> Option<u64> {
        self.schedule.as_ref().and_then(ScheduleConfig::start_s)
    }
}

impl RolloutConfig {
    /// A constant rate.
    pub fn constant(per_minute: u32) -> Self {
        Self { maximum_per_minute: Some(per_minute), exponential_rate: None }
    }

    fn check(&self) -> Result<(), String> {
        let Self { maximum_per_minute, exponential_rate } = self;
        if let Some(got) = maximum_per_minute.filter(|got| !(1..=1000).contains(got)) {
            return Err(format!("maximumPerMinute of {got}, 1 to 1000 are taken"));
        }
        match exponential_rate {
            Some(rate) => rate.check(),
            None if maximum_per_minute.is_none() => Err("a rollout has maximumPerMinute or exponentialRate".to_owned()),
            None => Ok(()),
        }
    }
}

impl ExponentialRate {
    fn check(&self) -> Result<(), String> {
        let (base, factor) = (self.base_rate_per_minute, self.increment_factor);
        if !(1..=1000).contains(&base) {
            return Err(format!("baseRatePerMinute of {base}, 1 to 1000 are taken"));
        }
        if !(1.1..=5.0).contains(&factor) {
            return Err(format!("incrementFactor of {factor}, 1.1 to 5 are taken"));
        }
        match self.rate_increase_criteria {
            RateIncreaseCriteria::Notified(0) | RateIncreaseCriteria::Succeeded(0) => {
                Err("rateIncreaseCriteria of 0 things, at least 1".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl AbortConfig {
    /// One criterion for failures of all kinds.
    pub fn of_all(threshold_percentage: f64, min_number_of_executed_things: u64) -> Self {
        let (failure_type, action) = (FailureType::All, AbortAction::Cancel);
        let criterion = AbortCriterion { failure_type, action, threshold_percentage, min_number_of_executed_things };
        Self { criteria_list: vec![criterion] }
    }

    fn check(&self) -> Result<(), String> {
        if self.criteria_list.is_empty() {
            return Err("abortConfig has no criterion".to_owned());
        }
        for AbortCriterion { threshold_percentage: percent, min_number_of_executed_things: min, .. } in
            &self.criteria_list
        {
            if !(*percent > 0.0 && *percent <= 100.0) {
                return Err(format!("thresholdPercentage of {percent}, above 0 and at most 100 are taken"));
            }
            if *min == 0 {
                return Err("minNumberOfExecutedThings of 0, at least 1".to_owned());
            }
        }
        Ok(())
    }
}

impl RetryConfig {
    /// The same number of retries after FAILED and TIMED_OUT.
    pub fn of_all(number_of_retries: u64) -> Self {
        Self { criteria_list: vec![RetryCriterion { failure_type: FailureType::All, number_of_retries }] }
    }

    fn check(&self) -> Result<(), String> {
        let count = self.criteria_list.len();
        if !(1..=2).contains(&count) {
            return Err(format!("{count} retry criteria, 1 or 2 are taken"));
        }
        for RetryCriterion { failure_type, number_of_retries } in &self.criteria_list {
            if *failure_type == FailureType::Rejected {
                return Err("a REJECTED execution is not retried".to_owned());
            }
            if *number_of_retries > 10 {
                return Err(format!("{number_of_retries} retries, at most 10"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: AWS IoT developer guide, "Specify job configurations", put together.
    const FULL: &str = r#"{"jobExecutionsRolloutConfig":{"maximumPerMinute":1000,"exponentialRate":{"baseRatePerMinute":50,
        "incrementFactor":2.0,"rateIncreaseCriteria":{"numberOfSucceededThings":1000}}},
        "abortConfig":{"criteriaList":[{"failureType":"TIMED_OUT","action":"CANCEL","thresholdPercentage":12.5,
        "minNumberOfExecutedThings":100}]},
        "jobExecutionsRetryConfig":{"criteriaList":[{"failureType":"FAILED","numberOfRetries":3}]}}"#;

    #[test]
    fn the_json_of_aws_is_read_and_written() {
        let config: JobConfig = serde_json::from_str(FULL).unwrap();
        assert_eq!(config.check(), Ok(()));
        let written: serde_json::Value = serde_json::to_value(&config).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(FULL).unwrap());
        assert_eq!(serde_json::to_string(&JobConfig::default()).unwrap(), "{}");
    }

    #[test]
    fn values_outside_their_range_are_refused_by_name() {
        for (from, to, word) in [
            (r#""maximumPerMinute":1000"#, r#""maximumPerMinute":1001"#, "maximumPerMinute of 1001"),
            (r#""maximumPerMinute":1000"#, r#""maximumPerMinute":0"#, "maximumPerMinute of 0"),
            (r#""baseRatePerMinute":50"#, r#""baseRatePerMinute":0"#, "baseRatePerMinute of 0"),
            (r#""baseRatePerMinute":50"#, r#""baseRatePerMinute":1001"#, "baseRatePerMinute of 1001"),
            (r#""incrementFactor":2.0"#, r#""incrementFactor":1.0"#, "incrementFactor of 1"),
            (r#""incrementFactor":2.0"#, r#""incrementFactor":5.1"#, "incrementFactor of 5.1"),
            (r#"Things":1000"#, r#"Things":0"#, "rateIncreaseCriteria"),
            (r#"12.5"#, r#"0"#, "thresholdPercentage of 0"),
            (r#"12.5"#, r#"100.5"#, "thresholdPercentage of 100.5"),
            (r#"ExecutedThings":100"#, r#"ExecutedThings":0"#, "minNumberOfExecutedThings"),
            (r#""numberOfRetries":3"#, r#""numberOfRetries":11"#, "11 retries"),
            (r#""failureType":"FAILED""#, r#""failureType":"REJECTED""#, "REJECTED"),
        ] {
            assert!(FULL.contains(from), "{from}");
            let config: JobConfig = serde_json::from_str(&FULL.replace(from, to)).unwrap();
            let refused = config.check().unwrap_err();
            assert!(refused.contains(word), "{to}: {refused}");
        }
        for (config, word) in [
            (r#"{"jobExecutionsRolloutConfig":{}}"#, "exponentialRate"),
            (r#"{"abortConfig":{"criteriaList":[]}}"#, "no criterion"),
            (r#"{"jobExecutionsRetryConfig":{"criteriaList":[]}}"#, "0 retry criteria"),
        ] {
            let refused = serde_json::from_str::<JobConfig>(config).unwrap().check().unwrap_err();
            assert!(refused.contains(word), "{config}: {refused}");
        }
        assert!(serde_json::from_str::<JobConfig>(r#"{"abort":{}}"#).is_err(), "an unknown member");
    }
}
