//! Estimates rate and delay of a transfer, and from them the window size and the timeout. Integers only; loss is detected
//! by the window.

use super::time::Instant;

/// Blocks that may be in flight at once.
pub const WINDOW_BLOCKS: u32 = 128;
/// The shortest interval over which a rate is measured.
const EPOCH_MS: u64 = 100;
/// The queueing delay that the window may cause in the network. A longer one would delay a cancellation or a
/// keep-alive.
const QUEUE_MS: u64 = 1_000;
/// The timeout of the first response, while the delay is unknown.
const RESPONSE_MS_FIRST: u64 = 3_000;
const RESPONSE_MS_MIN: u64 = 1_000;
const RESPONSE_MS_MAX: u64 = 30_000;
/// Fewer blocks would mean stop-and-wait.
const WINDOW_BLOCKS_MIN: u32 = 2;

/// Measurements of one transfer.
#[derive(Clone, Debug)]
pub struct RateEstimator {
    window_blocks: u32,
    rate_bytes_per_s: u32,
    delay_ms: Option<u64>,
    /// The block whose round trip is being measured.
    probe: Option<(u32, Instant)>,
    epoch: Option<(Instant, u32)>,
    last_activity: Option<Instant>,
    /// When the last part of a message arrived that is not complete yet: it may be a block.
    part_at: Option<Instant>,
    timeouts: u32,
}

impl RateEstimator {
    pub(super) fn new(window_blocks: u32) -> Self {
        Self {
            window_blocks,
            rate_bytes_per_s: 0,
            delay_ms: None,
            probe: None,
            epoch: None,
            last_activity: None,
            part_at: None,
            timeouts: 0,
        }
    }

    /// The window size in blocks.
    pub fn window_blocks(&self) -> u32 {
        self.window_blocks
    }

    /// Bytes per second over the last interval; 0 before the first one ended.
    pub fn rate_bytes_per_s(&self) -> u32 {
        self.rate_bytes_per_s
    }

    pub(super) fn requested(&mut self, index: u32, now: Instant) {
        self.probe.get_or_insert((index, now));
        self.last_activity.get_or_insert(now);
    }

    pub(super) fn arrived(&mut self, index: u32, len_bytes: u32, now: Instant) {
        if let Some((probed, sent)) = self.probe
            && probed == index
        {
            let delay = now.since(sent);
            self.delay_ms = Some(self.delay_ms.map_or(delay, |least| least.min(delay)));
            self.probe = None;
        }
        self.last_activity = Some(now);
        self.timeouts = 0;
        self.count(len_bytes, now);
    }

    /// When the outstanding blocks time out.
    pub(super) fn timeout_at(&self) -> Option<Instant> {
        let usual = self.delay_ms.map_or(RESPONSE_MS_FIRST, |delay| (2 * delay + 500).max(RESPONSE_MS_MIN));
        let wait = (usual << self.timeouts.min(5)).min(RESPONSE_MS_MAX);
        self.last_activity.map(|at| at.max(self.part_at.unwrap_or(at)).plus_ms(wait))
    }

    /// Postpones the timeout until the message is complete, a part of which arrived.
    pub(super) fn incoming(&mut self, now: Instant) {
        self.part_at = Some(now);
    }

    /// When the last part of an incomplete message arrived.
    pub(super) fn part_at(&self) -> Option<Instant> {
        self.part_at
    }

    /// The message is complete: what its parts postponed is undone, unless `counts`.
    pub(super) fn whole(&mut self, counts: bool) {
        if let Some(at) = self.part_at.take().filter(|_| counts) {
            self.last_activity = self.last_activity.map(|last| last.max(at));
        }
    }

    /// Doubles the next timeout.
    pub(super) fn timed_out(&mut self, now: Instant) {
        self.timeouts = self.timeouts.saturating_add(1);
        self.last_activity = Some(now);
    }

    pub(super) fn restart(&mut self) {
        self.probe = None;
        self.epoch = None;
        self.last_activity = None;
    }

    fn count(&mut self, len_bytes: u32, now: Instant) {
        let (start, bytes) = match self.epoch {
            None => (now, 0), // the first block starts the measurement
            Some((start, bytes)) => (start, bytes + len_bytes),
        };
        let elapsed = now.since(start);
        if elapsed < EPOCH_MS {
            self.epoch = Some((start, bytes));
            return;
        }
        self.epoch = Some((now, 0));
        let rate = (u64::from(bytes) * 1_000 / elapsed).min(u64::from(u32::MAX));
        self.rate_bytes_per_s = rate as u32;
        self.resize(rate, len_bytes);
    }

    /// Sets the window to what the network carries during its delay and the allowed queue.
    fn resize(&mut self, rate: u64, block_bytes: u32) {
        let Some(delay) = self.delay_ms else { return };
        let bytes = rate * (delay + QUEUE_MS) / 1_000;
        let blocks = bytes.div_ceil(u64::from(block_bytes.max(1)));
        self.window_blocks = blocks.clamp(WINDOW_BLOCKS_MIN.into(), WINDOW_BLOCKS.into()) as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(rate: &mut RateEstimator, blocks: u32, every_ms: u64) {
        rate.requested(0, Instant::from_ms(0));
        for index in 0..blocks {
            rate.arrived(index, 4096, Instant::from_ms(100 + u64::from(index) * every_ms));
        }
    }

    #[test]
    fn a_slow_link_shrinks_the_window_and_a_fast_one_opens_it() {
        let mut slow = RateEstimator::new(32);
        feed(&mut slow, 10, 546); // 60 kbit/s
        assert!(slow.window_blocks() <= 3, "{}", slow.window_blocks());
        let mut fast = RateEstimator::new(32);
        feed(&mut fast, 400, 1);
        assert_eq!(fast.window_blocks(), WINDOW_BLOCKS);
    }

    #[test]
    fn the_timeout_doubles_each_time_and_a_block_restores_it() {
        let mut rate = RateEstimator::new(32);
        feed(&mut rate, 1, 1);
        let start = Instant::from_ms(100);
        assert_eq!(rate.timeout_at(), Some(start.plus_ms(1_000)));
        rate.timed_out(start);
        assert_eq!(rate.timeout_at(), Some(start.plus_ms(2_000)));
        rate.arrived(1, 4096, start);
        assert_eq!(rate.timeout_at(), Some(start.plus_ms(1_000)));
    }

    #[test]
    fn rate_and_window_are_those_of_the_last_interval_of_a_tenth_of_a_second() {
        let at = Instant::from_ms;
        let mut rate = RateEstimator::new(32);
        assert_eq!((rate.rate_bytes_per_s(), rate.window_blocks(), rate.timeout_at()), (0, 32, None));
        rate.requested(7, at(1_000));
        rate.requested(8, at(1_050)); // the round trip of the first is measured
        assert_eq!(rate.timeout_at(), Some(at(4_000)), "the delay is unknown");
        rate.arrived(6, 1_000, at(1_100)); // starts the first interval, and measures no delay
        assert_eq!(rate.timeout_at(), Some(at(4_100)));
        rate.arrived(7, 1_000, at(1_199));
        assert_eq!(rate.timeout_at(), Some(at(1_199 + 1_000)), "2 * 199 + 500 is below the least");
        assert_eq!(rate.rate_bytes_per_s(), 0, "the interval is not over");
        rate.arrived(8, 1_000, at(1_200));
        assert_eq!(rate.rate_bytes_per_s(), 20_000, "2,000 bytes in 100 ms");
        // 20,000 bytes/s for 199 ms + 1,000 ms are 23,980 bytes.
        assert_eq!(rate.window_blocks(), 24);
        rate.arrived(9, 1_000, at(1_500));
        assert_eq!((rate.rate_bytes_per_s(), rate.window_blocks()), (3_333, 4));
        rate.arrived(10, 1_000, at(9_500));
        assert_eq!((rate.rate_bytes_per_s(), rate.window_blocks()), (125, 2), "never stop-and-wait");
    }

    #[test]
    fn the_timeout_follows_the_least_delay_up_to_half_a_minute() {
        let at = Instant::from_ms;
        let mut rate = RateEstimator::new(32);
        for (index, delay, timeout) in [(0, 2_000, 4_500), (1, 3_000, 4_500), (2, 600, 1_700), (3, 200, 1_000)] {
            rate.requested(index, at(10_000));
            rate.arrived(index, 1_000, at(10_000 + delay));
            assert_eq!(rate.timeout_at(), Some(at(10_000 + delay + timeout)), "after {delay} ms");
        }
        for (again, timeout) in [(1, 2_000), (2, 4_000), (3, 8_000), (4, 16_000), (5, 30_000), (6, 30_000)] {
            rate.timed_out(at(20_000));
            assert_eq!(rate.timeout_at(), Some(at(20_000 + timeout)), "timeout {again}");
        }
        rate.restart();
        assert_eq!(rate.timeout_at(), None);
        rate.requested(4, at(50_000));
        rate.arrived(4, 1_000, at(50_100)); // starts an interval: the bytes before the restart do not count
        rate.arrived(5, 1_000, at(50_200));
        assert_eq!(rate.rate_bytes_per_s(), 10_000);
    }
}
