//! Days of a cron expression: of the month or of the week.

use time::{Date, Weekday};

use super::field::{DAYS_OF_MONTH, DAYS_OF_WEEK, Field, Kind};

/// The days of a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Days {
    /// `1,15`: these days.
    OfMonth(Field),
    /// `L`: the last day.
    Last,
    /// `3W`: the weekday from Monday to Friday that is nearest to this day, in the same month.
    Nearest(u8),
    /// `MON-FRI`: these days of each week.
    OfWeek(Field),
    /// `6L`: the last such day of the week.
    LastOfWeek(u16),
    /// `3#2`: the second such day of the week.
    NthOfWeek(u16, u8),
}

impl Days {
    /// Reads the fields day-of-month and day-of-week, of which one is `?`.
    ///
    /// Errors: the reason, with the field.
    pub fn read(of_month: &str, of_week: &str) -> Result<Self, String> {
        match (of_month, of_week) {
            ("?", "?") => Err("day-of-month and day-of-week are both ?".to_owned()),
            ("?", of_week) => Self::of_week(of_week),
            (of_month, "?") => Self::of_month(of_month),
            _ => Err("one of day-of-month and day-of-week must be ?".to_owned()),
        }
    }

    fn of_month(text: &str) -> Result<Self, String> {
        match text.strip_suffix('W') {
            _ if text == "L" => Ok(Self::Last),
            Some(day) => value(&DAYS_OF_MONTH, day, text).map(|day| Self::Nearest(day.try_into().expect("at most 31"))),
            None => DAYS_OF_MONTH.read(text).map(Self::OfMonth),
        }
    }

    fn of_week(text: &str) -> Result<Self, String> {
        if let Some((day, nth)) = text.split_once('#') {
            let nth = nth.parse().ok().filter(|nth| (1..=5).contains(nth));
            let nth = nth.ok_or_else(|| format!("day-of-week of {text:?}: #1 to #5 are taken"))?;
            return value(&DAYS_OF_WEEK, day, text).map(|day| Self::NthOfWeek(day, nth));
        }
        match text.strip_suffix('L') {
            // The last day of the week.
            Some("") => DAYS_OF_WEEK.read("SAT").map(Self::OfWeek),
            Some(day) => value(&DAYS_OF_WEEK, day, text).map(Self::LastOfWeek),
            None => DAYS_OF_WEEK.read(text).map(Self::OfWeek),
        }
    }

    /// Returns whether a date is one of the days.
    pub fn include(&self, date: Date) -> bool {
        let (day, length) = (date.day(), date.month().length(date.year()));
        let of_week = u16::from(date.weekday().number_from_sunday());
        match self {
            Self::OfMonth(days) => days.has(u16::from(day)),
            Self::Last => day == length,
            Self::Nearest(wanted) => nearest(date, *wanted, length) == Some(day),
            Self::OfWeek(days) => days.has(of_week),
            Self::LastOfWeek(wanted) => of_week == *wanted && day + 7 > length,
            Self::NthOfWeek(wanted, nth) => of_week == *wanted && (day - 1) / 7 + 1 == *nth,
        }
    }
}

fn value(kind: &Kind, day: &str, text: &str) -> Result<u16, String> {
    kind.value(day).ok_or_else(|| kind.refusal(text))
}

/// The weekday nearest to a day in the month of `date`; `None` if the month has no such day.
fn nearest(date: Date, wanted: u8, length: u8) -> Option<u8> {
    let weekday = date.replace_day(wanted).ok()?.weekday();
    Some(match weekday {
        Weekday::Saturday if wanted == 1 => 3,
        Weekday::Saturday => wanted - 1,
        Weekday::Sunday if wanted == length => wanted - 2,
        Weekday::Sunday => wanted + 1,
        _ => wanted,
    })
}
