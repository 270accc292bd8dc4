//! Maintenance windows of jobs, in the JSON of the AWS IoT Jobs API.

use serde::{Deserialize, Serialize};
use time::{Date, Duration, OffsetDateTime};

use crate::clock::date_time;
use crate::cron::Cron;
use crate::limits::{CRON_BYTES_MAX, WINDOW_AHEAD_DAYS_MAX};

/// Valid range of the duration. Unit: minutes. Source: AWS IoT API, `DurationInMinutes`.
const DURATION_MINUTES: std::ops::RangeInclusive<u64> = 1..=1430;
const DAY_S: i64 = 24 * 3600;

/// A time that returns, in which things get an execution of the job. Only [`MaintenanceWindow::new`] makes one, also from JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct MaintenanceWindow {
    written: Written,
    start: Cron,
}

/// A window in the JSON of the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    start_time: String,
    duration_in_minutes: u64,
}

impl MaintenanceWindow {
    /// Creates a window.
    ///
    /// `start_time`: when it begins, a cron expression in UTC. `duration_minutes`: how long it is, 1..=1430.
    /// Errors: the reason.
    pub fn new(start_time: &str, duration_minutes: u64) -> Result<Self, String> {
        if start_time.len() > CRON_BYTES_MAX {
            return Err(format!("startTime of a window of {} bytes, at most {CRON_BYTES_MAX}", start_time.len()));
        }
        let start = Cron::parse(start_time).map_err(|reason| format!("startTime of a window: {reason}"))?;
        if !DURATION_MINUTES.contains(&duration_minutes) {
            return Err(format!("durationInMinutes of {duration_minutes}, {DURATION_MINUTES:?} are taken"));
        }
        let written = Written { start_time: start_time.to_owned(), duration_in_minutes: duration_minutes };
        Ok(Self { written, start })
    }

    /// Returns whether a window that began on this day is open.
    fn is_open_since(&self, date: Date, now: OffsetDateTime) -> bool {
        starts(&self.start, date).any(|start_s| {
            let elapsed_s =
                now.unix_timestamp().checked_sub(start_s).and_then(|elapsed_s| u64::try_from(elapsed_s).ok());
            elapsed_s.is_some_and(|elapsed_s| elapsed_s < self.written.duration_in_minutes * 60)
        })
    }
}

impl TryFrom<Written> for MaintenanceWindow {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        Self::new(&written.start_time, written.duration_in_minutes)
    }
}

impl From<MaintenanceWindow> for Written {
    fn from(window: MaintenanceWindow) -> Self {
        window.written
    }
}

/// Returns whether one of the windows of a job is open; always without any. Seconds since 1970.
pub fn is_open(windows: &[MaintenanceWindow], now_s: u64) -> bool {
    let now = date_time(now_s);
    let days = [now.date().previous_day(), Some(now.date())];
    let is_open = |window: &MaintenanceWindow| days.into_iter().flatten().any(|date| window.is_open_since(date, now));
    windows.is_empty() || windows.iter().any(is_open)
}

/// Returns when the next windows of a job begin, in order, at most `max`, and none that is more than [`WINDOW_AHEAD_DAYS_MAX`]
/// ahead. Seconds since 1970.
pub fn next_starts(windows: &[MaintenanceWindow], now_s: u64, max: usize) -> Vec<u64> {
    let today = date_time(now_s).date();
    let dates = (0..=WINDOW_AHEAD_DAYS_MAX).filter_map(|day| today.checked_add(Duration::days(day)));
    let mut found = Vec::new();
    for date in dates {
        let all = windows.iter().flat_map(|window| starts(&window.start, date));
        let mut of_day: Vec<u64> = all.flat_map(u64::try_from).filter(|start_s| *start_s > now_s).collect();
        of_day.sort_unstable();
        of_day.dedup();
        found.extend(of_day);
        if found.len() >= max {
            break;
        }
    }
    found.truncate(max);
    found
}

/// When an expression begins on a day. Seconds since 1970.
fn starts(cron: &Cron, date: Date) -> impl Iterator<Item = i64> {
    let midnight_s = i64::from(date.to_julian_day() - OffsetDateTime::UNIX_EPOCH.date().to_julian_day()) * DAY_S;
    let minutes = cron.includes(date).then(|| cron.minutes_of_day());
    minutes.into_iter().flatten().map(move |minute| midnight_s + i64::from(minute) * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2027-03-07 02:00 UTC, a Sunday.
    const SUNDAY_S: u64 = 1_804_384_800;
    const WEEK_S: u64 = 7 * 24 * 3600;

    fn windows(list: &[(&str, u64)]) -> Vec<MaintenanceWindow> {
        list.iter().map(|(start, minutes)| MaintenanceWindow::new(start, *minutes).unwrap()).collect()
    }

    #[test]
    fn a_window_is_open_from_its_begin_for_its_duration_also_over_midnight() {
        let sunday = windows(&[("cron(0 2 ? * SUN *)", 90)]);
        let open = |at_s: i64| is_open(&sunday, SUNDAY_S.saturating_add_signed(at_s));
        assert_eq!([-1, 0, 5399, 5400].map(open), [false, true, true, false]);
        assert!(is_open(&sunday, SUNDAY_S + WEEK_S) && !is_open(&sunday, SUNDAY_S + WEEK_S / 7));
        let night = windows(&[("cron(0 23 ? * SAT *)", 240)]);
        assert_eq!([0, 3599, 3600].map(|s| is_open(&night, SUNDAY_S + s)), [true, true, false]);
        let two = windows(&[("cron(0 2 ? * SUN *)", 90), ("cron(0 9 ? * SUN *)", 1)]);
        assert_eq!([0, 6, 7].map(|hours| is_open(&two, SUNDAY_S + hours * 3600)), [true, false, true]);
        assert!(is_open(&[], 0));
    }

    #[test]
    fn the_next_begins_are_in_order_and_not_for_ever_ahead() {
        let two = windows(&[("cron(0 9 ? * SUN *)", 1), ("cron(0 2,9 ? * SUN *)", 90)]);
        let (at_nine_s, next_s) = (SUNDAY_S + 7 * 3600, SUNDAY_S + WEEK_S);
        assert_eq!(next_starts(&two, SUNDAY_S, 3), [at_nine_s, next_s, next_s + 7 * 3600]);
        assert_eq!(next_starts(&two, SUNDAY_S - 1, 1), [SUNDAY_S]);
        assert_eq!(next_starts(&windows(&[("cron(0 9 1 1 ? 2199)", 1)]), SUNDAY_S, 7), [0; 0]);
        assert_eq!(next_starts(&[], SUNDAY_S, 7), [0; 0]);
    }

    #[test]
    fn a_window_is_read_as_aws_writes_it_and_a_bad_one_is_refused_by_name() {
        let text = r#"{"startTime":"cron(0 2 ? * SUN *)","durationInMinutes":90}"#;
        let window: MaintenanceWindow = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&window).unwrap(), text);
        let long = format!("cron({} 2 ? * SUN *)", "1,".repeat(150));
        for (start, minutes, word) in [
            ("soon", 90, "cron(minutes"),
            ("cron(0 2 ? * SUN *)", 0, "durationInMinutes of 0"),
            ("cron(0 2 ? * SUN *)", 1431, "durationInMinutes of 1431"),
            (&long, 90, "at most 256"),
        ] {
            let refused = MaintenanceWindow::new(start, minutes).unwrap_err();
            assert!(refused.contains(word), "{refused}");
            let text = serde_json::json!({"startTime": start, "durationInMinutes": minutes}).to_string();
            let refused = serde_json::from_str::<MaintenanceWindow>(&text).unwrap_err().to_string();
            assert!(refused.contains(word), "{refused}");
        }
    }
}
