//! Detects that the wall clock was set, or that the machine was suspended, by comparison with the monotonic clock.

use tokio::time::Instant;

use crate::limits::CLOCK_STEP_MAX;

/// Both clocks when they were last compared.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    at: Instant,
    at_s: u64,
}

impl WallClock {
    /// Begins at this time of both clocks.
    pub fn new(now: Instant, now_s: u64) -> Self {
        Self { at: now, at_s: now_s }
    }

    /// Returns what the wall clock gained on the monotonic one since [`new`](Self::new), if that is more than
    /// [`CLOCK_STEP_MAX`] in either direction. Unit: seconds; negative if it was set back.
    pub fn step_s(&self, now: Instant, now_s: u64) -> Option<i64> {
        let expected_s = self.at_s.saturating_add(now.saturating_duration_since(self.at).as_secs());
        let step_s = i64::try_from(i128::from(now_s) - i128::from(expected_s)).ok()?;
        (step_s.unsigned_abs() > CLOCK_STEP_MAX.as_secs()).then_some(step_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW_S: u64 = 1_700_000_000;

    #[test]
    fn only_what_exceeds_the_tolerance_is_a_step() {
        let begin = Instant::now();
        let clock = WallClock::new(begin, NOW_S);
        let max_s = CLOCK_STEP_MAX.as_secs();
        let hour = Duration::from_secs(3600);
        assert_eq!(clock.step_s(begin + hour, NOW_S + 3600), None);
        assert_eq!(clock.step_s(begin + hour, NOW_S + 3600 + max_s), None);
        assert_eq!(clock.step_s(begin + hour, NOW_S + 3601 + max_s), Some(11));
        assert_eq!(clock.step_s(begin + hour, NOW_S + 3600 - max_s), None);
        assert_eq!(clock.step_s(begin + hour, NOW_S), Some(-3600));
        assert_eq!(clock.step_s(begin, 0), Some(-1_700_000_000));
    }
}
