//! When a job begins and ends, and its maintenance windows, in the JSON of the AWS IoT Jobs API.

use serde::{Deserialize, Serialize};
use time::PrimitiveDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

use crate::clock::date_time;
use crate::limits::{MAINTENANCE_WINDOWS_MAX, WINDOW_AHEAD_DAYS_MAX};
use crate::maintenance::{self, MaintenanceWindow};

/// What AWS documents, and with the separator of ISO 8601.
const FORMATS: [StaticFormatDescription; 2] = [
    format_description!("[year]-[month]-[day] [hour]:[minute]"),
    format_description!("[year]-[month]-[day]T[hour]:[minute]"),
];
/// Source: AWS IoT Jobs, "Job scheduling configurations": the start is at most a year ahead, the end at most two.
const START_AHEAD_MAX_S: u64 = 365 * 24 * 3600;
const END_AHEAD_MAX_S: u64 = 2 * START_AHEAD_MAX_S;
/// Shortest time from the start to the end. Source: as above.
const DURATION_MIN_S: u64 = 30 * 60;

/// Begin and end of a job, and when things get it in between. At least one of these is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScheduleConfig {
    /// When the first things get an execution: `YYYY-MM-DD HH:MM` in UTC. Until then the job is SCHEDULED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// When `end_behavior` is applied, in the same format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// What happens at the end; `STOP_ROLLOUT` if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_behavior: Option<EndBehavior>,
    /// Things get an execution in these windows only; at any time without windows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maintenance_windows: Vec<MaintenanceWindow>,
}

/// What happens at the end of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EndBehavior {
    /// No further thing gets an execution; those that there are go on.
    #[default]
    StopRollout,
    /// The job is cancelled; executions in progress go on.
    Cancel,
    /// The job is cancelled with its executions in progress.
    ForceCancel,
}

impl ScheduleConfig {
    /// Returns the start in seconds since 1970; `None` if there is none.
    pub fn start_s(&self) -> Option<u64> {
        self.start_time.as_deref().and_then(seconds)
    }

    /// Returns the end in seconds since 1970; `None` if there is none.
    pub fn end_s(&self) -> Option<u64> {
        self.end_time.as_deref().and_then(seconds)
    }

    /// Checks the format of the times, and their order.
    ///
    /// Errors: the reason.
    pub fn check(&self) -> Result<(), String> {
        let Self { start_time, end_time, end_behavior, maintenance_windows: windows } = self;
        if windows.len() > MAINTENANCE_WINDOWS_MAX {
            return Err(format!("{} maintenanceWindows, at most {MAINTENANCE_WINDOWS_MAX}", windows.len()));
        }
        if let Some(bad) = start_time.iter().chain(end_time).find(|text| seconds(text).is_none()) {
            return Err(format!("time {bad:?}, YYYY-MM-DD HH:MM in UTC is taken"));
        }
        match (self.start_s(), self.end_s()) {
            (None, None) if windows.is_empty() => {
                Err("a schedule has startTime, endTime or maintenanceWindows".to_owned())
            }
            (_, None) if end_behavior.is_some() => Err("endBehavior without endTime".to_owned()),
            (Some(start_s), Some(end_s)) if end_s < start_s + DURATION_MIN_S => {
                Err("endTime is less than 30 minutes after startTime".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Checks the times of a job that is created now.
    ///
    /// Errors: the reason.
    pub fn check_at(&self, now_s: u64) -> Result<(), String> {
        let outside = |at_s: Option<u64>, max_s| at_s.is_some_and(|at_s| at_s <= now_s || at_s > now_s + max_s);
        if outside(self.start_s(), START_AHEAD_MAX_S) {
            return Err("startTime is in the past, or more than a year ahead".to_owned());
        }
        if outside(self.end_s(), END_AHEAD_MAX_S) {
            return Err("endTime is in the past, or more than two years ahead".to_owned());
        }
        let windows = &self.maintenance_windows;
        let begin_s = self.start_s().unwrap_or(now_s);
        if maintenance::is_open(windows, begin_s) {
            return Ok(());
        }
        match (maintenance::next_starts(windows, begin_s, 1).first(), self.end_s()) {
            (None, _) => Err(format!("no maintenance window begins within {WINDOW_AHEAD_DAYS_MAX} days")),
            (Some(next_s), Some(end_s)) if *next_s >= end_s => Err(format!(
                "the first maintenance window begins at {}, not before endTime: no thing would get the job",
                written(*next_s)
            )),
            _ => Ok(()),
        }
    }
}

/// Returns a time in seconds since 1970 as a schedule has it.
pub fn written(at_s: u64) -> String {
    let at = date_time(at_s);
    format!("{} {:02}:{:02}", at.date(), at.hour(), at.minute())
}

fn seconds(text: &str) -> Option<u64> {
    let parsed = FORMATS.into_iter().find_map(|format| PrimitiveDateTime::parse(text, format).ok());
    parsed.and_then(|time| u64::try_from(time.assume_utc().unix_timestamp()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(start: Option<&str>, end: Option<&str>, end_behavior: Option<EndBehavior>) -> ScheduleConfig {
        let (start_time, end_time) = (start.map(str::to_owned), end.map(str::to_owned));
        ScheduleConfig { start_time, end_time, end_behavior, maintenance_windows: Vec::new() }
    }

    #[test]
    fn times_are_utc_with_either_separator() {
        for (text, at_s) in [
            ("1970-01-01 00:01", Some(60)),
            ("2024-02-29T12:30", Some(1_709_209_800)),
            ("2023-02-29 12:30", None),
            ("2024-02-29 24:00", None),
            ("2024-02-29 12:30:00", None),
            ("1969-12-31 23:59", None),
            ("soon", None),
        ] {
            assert_eq!(schedule(Some(text), None, None).start_s(), at_s, "{text}");
            assert!(at_s.is_none_or(|at_s| written(at_s) == text.replace('T', " ")), "{text}");
        }
    }

    #[test]
    fn a_job_whose_windows_never_open_is_refused() {
        let windows = |start: &str| ScheduleConfig {
            maintenance_windows: vec![MaintenanceWindow::new(start, 60).unwrap()],
            ..ScheduleConfig::default()
        };
        let now_s = 1_709_209_800;
        assert_eq!(windows("cron(0 2 ? * SUN *)").check(), Ok(()));
        assert_eq!(
            windows("cron(0 2 29 2 ? *)").check_at(now_s + 1),
            Err("no maintenance window begins within 366 days".into())
        );
        assert_eq!(windows("cron(0 12 29 2 ? 2024)").check_at(now_s), Ok(()), "it is open");
        let many = vec![MaintenanceWindow::new("cron(0 2 ? * SUN *)", 60).unwrap(); MAINTENANCE_WINDOWS_MAX + 1];
        let many = ScheduleConfig { maintenance_windows: many, ..ScheduleConfig::default() };
        assert!(many.check().unwrap_err().contains("at most 20"));
    }

    #[test]
    fn a_job_whose_windows_open_only_after_its_end_is_refused() {
        // 2024-02-29 12:30:00 UTC.
        let now_s = 1_709_209_800;
        for (start, end, refused_at) in [
            (None, "2024-02-29 14:01", None),
            (None, "2024-02-29 14:00", Some("2024-02-29 14:00")),
            (Some("2024-02-29 14:30"), "2024-02-29 15:00", None),
            (Some("2024-02-29 15:00"), "2024-03-01 14:00", Some("2024-03-01 14:00")),
        ] {
            let maintenance_windows = vec![MaintenanceWindow::new("cron(0 14 * * ? *)", 60).unwrap()];
            let schedule = ScheduleConfig { maintenance_windows, ..schedule(start, Some(end), None) };
            let refused = refused_at.map(|at| {
                format!("the first maintenance window begins at {at}, not before endTime: no thing would get the job")
            });
            assert_eq!((schedule.check(), schedule.check_at(now_s).err()), (Ok(()), refused), "{schedule:?}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        let (start, soon, later) = (Some("2024-02-29 12:30"), Some("2024-02-29 12:59"), Some("2024-02-29 13:00"));
        assert_eq!(schedule(start, later, Some(EndBehavior::Cancel)).check(), Ok(()));
        assert_eq!(schedule(None, later, None).check(), Ok(()));
        for (schedule, word) in [
            (schedule(None, None, None), "startTime, endTime or"),
            (schedule(Some("x"), None, None), "\"x\""),
            (schedule(start, soon, None), "30 minutes"),
            (schedule(start, None, Some(EndBehavior::Cancel)), "endBehavior without"),
        ] {
            let refused = schedule.check().unwrap_err();
            assert!(refused.contains(word), "{refused}");
        }
        let at_s = 1_709_209_800;
        for (schedule, now_s, is_good) in [
            (schedule(start, None, None), at_s - 1, true),
            (schedule(start, None, None), at_s, false),
            (schedule(start, None, None), at_s - START_AHEAD_MAX_S, true),
            (schedule(start, None, None), at_s - START_AHEAD_MAX_S - 1, false),
            (schedule(None, start, None), at_s, false),
            (schedule(None, start, None), at_s - END_AHEAD_MAX_S, true),
            (schedule(None, start, None), at_s - END_AHEAD_MAX_S - 1, false),
        ] {
            assert_eq!(schedule.check_at(now_s).is_ok(), is_good, "{schedule:?} {now_s}");
        }
    }
}
