//! Work that is due every 10 ms, such as the control of a motor. It measures how long an update keeps it waiting.

use core::cell::Cell;

use embassy_time::{Duration, Instant, Ticker};

/// How often the work is due.
const PERIOD: Duration = Duration::from_millis(10);

/// The longest time between two ticks.
#[derive(Default)]
pub struct Gap(Cell<Duration>);

impl Gap {
    /// Starts a new measurement.
    pub fn reset(&self) {
        self.0.set(Duration::MIN);
    }

    /// The longest time since [`Gap::reset`]. Unit: microseconds.
    pub fn longest_us(&self) -> u64 {
        self.0.get().as_micros()
    }

    fn note(&self, gap: Duration) {
        self.0.set(self.0.get().max(gap));
    }
}

/// Ticks, and never returns.
///
/// # Cancel safety
/// Cancel-safe.
pub async fn run(gap: &Gap) {
    let mut ticker = Ticker::every(PERIOD);
    let mut last = Instant::now();
    loop {
        ticker.next().await;
        let now = Instant::now();
        gap.note(now.duration_since(last));
        last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_is_kept_until_the_next_measurement() {
        let gap = Gap::default();
        for ms in [10, 35, 12] {
            gap.note(Duration::from_millis(ms));
        }
        assert_eq!(gap.longest_us(), 35_000);
        gap.reset();
        assert_eq!(gap.longest_us(), 0);
    }
}
