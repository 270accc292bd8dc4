//! The wall clock in the two units that the service uses, and as a date.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

/// Milliseconds since 1970; 0 if the clock is set before 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// Seconds since 1970, the unit of AWS's messages.
pub fn now_s() -> u64 {
    now_ms() / 1000
}

/// Returns a time in seconds since 1970 as date and time in UTC; one beyond the year 9999 as 1970.
pub fn date_time(at_s: u64) -> OffsetDateTime {
    let at = i64::try_from(at_s).ok().and_then(|at_s| OffsetDateTime::from_unix_timestamp(at_s).ok());
    at.unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A time in seconds since 1970 as `2026-11-30 07:18:05`, UTC; a time beyond the year 9999 as that of 1970.
pub fn time(at_s: u64) -> String {
    let at = date_time(at_s);
    let (hour, minute, second) = at.to_hms();
    format!("{} {hour:02}:{minute:02}:{second:02}", at.date())
}
