//! The limit of AWS on one connection: so many bytes a second, and what is too much is delayed, never dropped.

use tokio::time::{Duration, Instant};

/// Spreads the bytes of one thing over time.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    bytes_per_second: u64,
    /// When what was sent so far would have been through at exactly that rate.
    through_at: Instant,
}

impl Pace {
    /// A pace that allows this rate. Unit: bytes a second, not 0.
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, through_at: Instant::now() }
    }

    /// Returns when `bytes` more may leave.
    ///
    /// Dropping it: the bytes count as sent.
    pub async fn wait(&mut self, bytes: usize) {
        let start = self.through_at.max(Instant::now());
        let nanos = bytes as u64 * 1_000_000_000 / self.bytes_per_second;
        self.through_at = start + Duration::from_nanos(nanos);
        tokio::time::sleep_until(start).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_burst_takes_as_long_as_its_bytes_and_a_rest_earns_nothing() {
        let mut pace = Pace::new(1_000_000);
        let begin = Instant::now();
        tokio::time::sleep(Duration::from_millis(30)).await;
        let burst = Instant::now();
        for _ in 0..10 {
            pace.wait(5_000).await;
        }
        // The first leaves at once, the last after the 9 before it.
        assert!(burst.elapsed() >= Duration::from_millis(45), "{:?}", burst.elapsed());
        assert!(begin.elapsed() < Duration::from_secs(5));
    }
}
