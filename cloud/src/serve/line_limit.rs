//! Limits the lines about errors, which clients can cause at will.

use std::time::{Duration, Instant};

use crate::limits::ERROR_LINES_MAX;

/// The time in which [`ERROR_LINES_MAX`] lines may be written.
const INTERVAL: Duration = Duration::from_secs(1);

/// Lines since the begin of an interval.
#[derive(Debug, Default)]
pub struct LineLimit {
    begin: Option<Instant>,
    lines: u64,
}

/// Whether a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is, after a note about this number of lines that were not.
    Write {
        /// Lines of the interval before.
        omitted: u64,
    },
    /// It is not.
    Omit,
}

impl LineLimit {
    /// Creates a limit at the begin of an interval.
    pub const fn new() -> Self {
        Self { begin: None, lines: 0 }
    }

    /// Counts a line.
    pub fn line(&mut self, now: Instant) -> Verdict {
        if self.begin.is_some_and(|begin| now.saturating_duration_since(begin) < INTERVAL) {
            self.lines += 1;
            return if self.lines <= ERROR_LINES_MAX { Verdict::Write { omitted: 0 } } else { Verdict::Omit };
        }
        let omitted = self.lines.saturating_sub(ERROR_LINES_MAX);
        (self.begin, self.lines) = (Some(now), 1);
        Verdict::Write { omitted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_limit_are_omitted_and_their_number_is_written_next() {
        let begin = Instant::now();
        let mut limit = LineLimit::new();
        for number in 1..=ERROR_LINES_MAX + 7 {
            let expected = if number <= ERROR_LINES_MAX { Verdict::Write { omitted: 0 } } else { Verdict::Omit };
            assert_eq!(limit.line(begin + INTERVAL / 2), expected, "{number}");
        }
        assert_eq!(limit.line(begin + INTERVAL), Verdict::Omit, "the interval begins with its first line");
        assert_eq!(limit.line(begin + 3 * INTERVAL), Verdict::Write { omitted: 8 });
        assert_eq!(limit.line(begin + 3 * INTERVAL), Verdict::Write { omitted: 0 });
        assert_eq!(limit.line(begin + 5 * INTERVAL), Verdict::Write { omitted: 0 });
    }
}
