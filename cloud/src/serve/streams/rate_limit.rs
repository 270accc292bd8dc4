//! AWS's throughput limit of one connection, applied to the stream blocks of each thing: messages beyond the rate are
//! delayed, never dropped.

use tokio::time::{Duration, Instant};

/// Delays messages.
pub trait Throttle {
    /// Waits until `bytes` more may be sent.
    fn wait(&mut self, bytes: usize) -> impl Future<Output = ()> + Send;
}

/// Rate limit of one thing.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    bytes_per_second: u64,
    /// When all bytes sent so far would have been transmitted at exactly this rate.
    free_at: Instant,
}

impl RateLimit {
    /// Creates a limit that starts at `now`. `bytes_per_second` must not be 0.
    pub fn new(bytes_per_second: u64, now: Instant) -> Self {
        Self { bytes_per_second, free_at: now }
    }

    /// Returns the instant at which `bytes` more may be sent, and counts them as sent.
    pub fn reserve(&mut self, bytes: usize, now: Instant) -> Instant {
        let start = self.free_at.max(now);
        let nanos = bytes as u64 * 1_000_000_000 / self.bytes_per_second;
        self.free_at = start + Duration::from_nanos(nanos);
        start
    }
}

/// `None`: no limit.
///
/// # Cancel safety
///
/// If the future of `wait` is dropped, the bytes count as sent.
impl Throttle for Option<RateLimit> {
    async fn wait(&mut self, bytes: usize) {
        if let Some(limit) = self {
            let at = limit.reserve(bytes, Instant::now());
            tokio::time::sleep_until(at).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_PER_SECOND: u64 = 1_000_000;

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_takes_as_long_as_its_bytes() {
        let start = Instant::now();
        let mut limit = RateLimit::new(BYTES_PER_SECOND, start);
        let leaves: Vec<Instant> = (0..10).map(|_| limit.reserve(5_000, start)).collect();
        let expected: Vec<Instant> = (0..10).map(|index| after(start, index * 5)).collect();
        assert_eq!(leaves, expected, "the first at once, each after the bytes of those before it");
    }

    #[test]
    fn an_idle_time_earns_nothing() {
        let start = Instant::now();
        let mut limit = RateLimit::new(BYTES_PER_SECOND, start);
        let later = after(start, 1_000);
        assert_eq!(limit.reserve(5_000, later), later);
        assert_eq!(limit.reserve(5_000, later), after(later, 5), "no credit for the second before");
    }

    #[test]
    fn part_of_a_wait_that_is_over_already_is_not_waited_again() {
        let start = Instant::now();
        let mut limit = RateLimit::new(BYTES_PER_SECOND, start);
        limit.reserve(5_000, start);
        assert_eq!(limit.reserve(5_000, after(start, 3)), after(start, 5));
        assert_eq!(limit.reserve(5_000, after(start, 12)), after(start, 12));
    }
}
