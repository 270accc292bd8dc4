//! Words, times and sizes as the pages show them.

use ota_jobs::Status;

pub use crate::clock::time;
use crate::store::{PageNumber, Paged};

/// All statuses in the order of the pages.
pub const STATUSES: [Status; 8] = [
    Status::Succeeded,
    Status::InProgress,
    Status::Queued,
    Status::Failed,
    Status::Rejected,
    Status::TimedOut,
    Status::Canceled,
    Status::Removed,
];

/// The word for the status of an execution.
pub fn status_word(status: Status) -> &'static str {
    match status {
        Status::Queued => "Queued",
        Status::InProgress => "In progress",
        Status::Succeeded => "Succeeded",
        Status::Failed => "Failed",
        Status::TimedOut => "Timed out",
        Status::Rejected => "Rejected",
        Status::Removed => "Removed",
        Status::Canceled => "Cancelled",
    }
}

/// The class of a status in the style sheet.
pub fn status_class(status: Status) -> &'static str {
    match status {
        Status::Queued => "queued",
        Status::InProgress => "in-progress",
        Status::Succeeded => "succeeded",
        Status::Failed => "failed",
        Status::TimedOut => "timed-out",
        Status::Rejected => "rejected",
        Status::Removed => "removed",
        Status::Canceled => "canceled",
    }
}

/// A length: bytes below 10 KiB, then KiB and MiB with one digit.
pub fn size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    let tenths = |unit: u64| format!("{}.{}", bytes / unit, bytes % unit * 10 / unit);
    match bytes {
        0..10_240 => counted(bytes, "byte"),
        10_240..1_048_576 => format!("{} KiB", tenths(KIB)),
        _ => format!("{} MiB", tenths(KIB * KIB)),
    }
}

/// `1 device`, `2 devices`.
pub fn counted(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// Links to the pages before and after a page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pager {
    /// Number of the page.
    pub number: u32,
    /// Link to the page before.
    pub previous: Option<String>,
    /// Link to the page after.
    pub next: Option<String>,
}

impl Pager {
    /// Creates the links; `base` is the path with a query that ends with `?` or `&`.
    pub fn new<T>(base: &str, page: PageNumber, rows: &Paged<T>) -> Self {
        let number = page.number();
        let link = |number: u32| format!("{base}page={number}");
        Self {
            number,
            previous: (number > 1).then(|| link(number - 1)),
            next: rows.has_next.then(|| link(number.saturating_add(1))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_date_of_the_calendar() {
        // `date -u -d @N`.
        for (at_s, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_709_164_800, "2024-02-29 00:00:00"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(time(at_s), text);
        }
    }

    #[test]
    fn a_size_has_the_unit_that_suits_it() {
        let texts = [(1, "1 byte"), (10_239, "10239 bytes"), (65_536, "64.0 KiB"), (1_572_864, "1.5 MiB")];
        for (bytes, text) in texts {
            assert_eq!(size(bytes), text);
        }
    }
}
