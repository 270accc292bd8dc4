//! Options of `ota job create` for the rollout: rate, abort criterion, retries and schedule.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ToolError, read};
use crate::job_config::{AbortConfig, JobConfig, RetryConfig, RolloutConfig};
use crate::maintenance::MaintenanceWindow;
use crate::object::Object;
use crate::schedule::{EndBehavior, ScheduleConfig};

/// Rollout, abort criterion, retries and schedule
#[derive(Debug, Default, Args)]
pub struct RolloutArgs {
    /// Maximum number of things that get the job in a minute; by default all get it at once
    #[arg(long, value_name = "THINGS")]
    per_minute: Option<u32>,
    /// Cancel the job once this share of the ended executions has failed, was rejected or timed out
    #[arg(long, value_name = "PERCENT")]
    abort_percent: Option<f64>,
    /// Ended executions below which nothing is cancelled
    #[arg(long, value_name = "THINGS", default_value_t = 1, requires = "abort_percent")]
    abort_min: u64,
    /// Retries of a thing whose execution failed or timed out
    #[arg(long, value_name = "COUNT")]
    retries: Option<u64>,
    /// When the first things get the job, in UTC; by default at once
    #[arg(long, value_name = "YYYY-MM-DD HH:MM")]
    start: Option<String>,
    /// When no further thing gets the job, in UTC
    #[arg(long, value_name = "YYYY-MM-DD HH:MM")]
    end: Option<String>,
    /// What else happens at the end
    #[arg(long, value_enum, requires = "end")]
    at_end: Option<AtEnd>,
    /// When things get the job, again and again, in UTC: `cron(minutes hours day-of-month month day-of-week year)`; by default at any
    /// time
    #[arg(long, value_name = "CRON", requires = "window_minutes")]
    window: Vec<String>,
    /// How long each of these maintenance windows is
    #[arg(long, value_name = "MINUTES", requires = "window")]
    window_minutes: Option<u64>,
    /// JSON file with jobExecutionsRolloutConfig, abortConfig, jobExecutionsRetryConfig and schedulingConfig, as in the AWS IoT
    /// Jobs API
    #[arg(long, value_name = "FILE", conflicts_with_all = ["per_minute", "abort_percent", "retries", "start", "end", "window"])]
    config: Option<PathBuf>,
}

impl RolloutArgs {
    /// Returns the configuration. Its values are checked with the job.
    pub fn config(&self) -> Result<JobConfig, ToolError> {
        if let Some(path) = &self.config {
            let config = serde_json::from_slice(&read(path)?);
            return config.map(|Object(config)| config).map_err(|error| ToolError::file(path, &error));
        }
        Ok(JobConfig {
            rollout: self.per_minute.map(RolloutConfig::constant),
            abort: self.abort_percent.map(|percent| AbortConfig::of_all(percent, self.abort_min)),
            retry: self.retries.map(RetryConfig::of_all),
            schedule: self.schedule()?,
        })
    }

    fn schedule(&self) -> Result<Option<ScheduleConfig>, ToolError> {
        let Self { start, end, at_end, window, window_minutes, .. } = self;
        let minutes = window_minutes.unwrap_or_default();
        let windows = window.iter().map(|start| MaintenanceWindow::new(start, minutes).map_err(ToolError::new));
        let maintenance_windows = windows.collect::<Result<Vec<_>, _>>()?;
        let end_behavior = at_end.map(|at_end| match at_end {
            AtEnd::Stop => EndBehavior::StopRollout,
            AtEnd::Cancel => EndBehavior::Cancel,
            AtEnd::ForceCancel => EndBehavior::ForceCancel,
        });
        let is_there = start.is_some() || end.is_some() || !maintenance_windows.is_empty();
        let (start_time, end_time) = (start.clone(), end.clone());
        Ok(is_there.then_some(ScheduleConfig { start_time, end_time, end_behavior, maintenance_windows }))
    }
}

/// What happens at the end of a job.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum AtEnd {
    /// Nothing else: executions go on
    Stop,
    /// Queued executions are cancelled
    Cancel,
    /// Queued executions and those in progress are cancelled
    ForceCancel,
}
