//! Estimates rate, delay and silences of a transfer, and from them the window, the size of a request and the timeout.
//! Integers only; lost blocks are found by the window.

use super::time::Instant;

/// Blocks that may be in flight at once.
pub const WINDOW_BLOCKS: u32 = 128;
/// The shortest interval over which a rate is measured.
const EPOCH_MS: u64 = 100;
/// How much is still to arrive, beyond what the delay needs, when more is requested: how late a response may be.
const QUEUE_MS: u64 = 1_000;
/// Bytes of one request: 11 requests bring a MiB.
const BATCH_BYTES: u64 = 98_304;
/// A request is for no more than the network carries in this time, which bounds it below 25 kbit/s. A cancellation is queued
/// behind it, and its confirmation behind the next: 13 s each on 60 kbit/s, for 11 requests a MiB and not 225.
const BATCH_MS: u64 = 32_000;
/// The timeout of the first response, while no response of the service was measured.
const RESPONSE_MS_FIRST: u64 = 3_000;
/// The shortest silence after which blocks may be lost.
const SILENCE_MS_MIN: u64 = 100;
/// The longest timeout.
const RESPONSE_MS_MAX: u64 = 30_000;
/// Fewer blocks would mean stop-and-wait.
const WINDOW_BLOCKS_MIN: u32 = 2;

/// Measurements of one transfer.
#[derive(Clone, Debug)]
pub struct RateEstimator {
    window_blocks: u32,
    batch_blocks: u32,
    /// The longest block: the last one of an image is shorter.
    block_bytes: u32,
    /// What one block takes at the peak rate.
    block_ms: u64,
    /// Over the last interval.
    rate_bytes_per_s: u32,
    /// The highest rate of late, which falls by an eighth per interval: a pause is not a slow network.
    peak_bytes_per_s: u32,
    /// The shortest time from a request to its first block.
    delay_ms: Option<u64>,
    /// The longest silence of late after a request, which falls by an eighth per request; at first, the round
    /// trip of another message.
    silence_ms: u64,
    /// The block whose round trip is being measured.
    probe: Option<(u32, Instant)>,
    epoch: Option<(Instant, u32)>,
    /// When the last part of a block arrived, or the first request after a pause was sent.
    silent_since: Instant,
    /// The last request, or the last timeout.
    requested_at: Option<Instant>,
    /// When the last part of a message arrived that is not complete yet: it may be a block.
    part_at: Option<Instant>,
    timeouts: u32,
}

impl RateEstimator {
    pub(super) fn new(window_blocks: u32) -> Self {
        Self {
            window_blocks,
            batch_blocks: window_blocks.div_ceil(4),
            rate_bytes_per_s: 0,
            block_bytes: 1,
            block_ms: 0,
            peak_bytes_per_s: 0,
            delay_ms: None,
            silence_ms: 0,
            probe: None,
            epoch: None,
            silent_since: Instant::default(),
            requested_at: None,
            part_at: None,
            timeouts: 0,
        }
    }

    /// The window size in blocks.
    pub fn window_blocks(&self) -> u32 {
        self.window_blocks
    }

    /// How many blocks of the window must be free before more are requested.
    pub(super) fn batch_blocks(&self) -> u32 {
        self.batch_blocks
    }

    /// Milliseconds that one block takes; 0 before a rate is measured.
    pub(super) fn block_ms(&self) -> u64 {
        self.block_ms
    }

    /// Bytes per second over the last interval; 0 before the first one ended.
    pub fn rate_bytes_per_s(&self) -> u32 {
        self.rate_bytes_per_s
    }

    /// How long a message of the service took there and back, before the first block.
    pub(super) fn expect_delay(&mut self, ms: u64) {
        self.silence_ms = ms;
    }

    /// Blocks are requested, `index` first; `paused` if none was outstanding.
    pub(super) fn requested(&mut self, index: u32, paused: bool, now: Instant) {
        if self.requested_at.is_none() || paused && self.timeouts == 0 {
            self.silent_since = now;
        }
        self.probe.get_or_insert((index, now));
        self.requested_at = Some(now);
        if self.delay_ms.is_some() {
            self.silence_ms -= self.silence_ms / 8;
        }
    }

    pub(super) fn arrived(&mut self, index: u32, len_bytes: u32, now: Instant) {
        if let Some((probed, sent)) = self.probe
            && probed == index
        {
            let delay = now.since(sent).max(1); // 0 is unknown
            self.delay_ms = Some(self.delay_ms.map_or(delay, |least| least.min(delay)));
            self.probe = None;
        }
        self.block_arrived(now);
        self.timeouts = 0;
        self.count(len_bytes, now);
    }

    /// When the outstanding blocks time out: after a silence of one round trip and one block, but no sooner than two round trips
    /// after the last request. Both are what the network has shown, so that jitter is within them.
    pub(super) fn timeout_at(&self) -> Option<Instant> {
        let known = self.longest_wait_ms();
        let wait = known.max(SILENCE_MS_MIN);
        let (silence, response) = match known {
            0 => (RESPONSE_MS_FIRST, RESPONSE_MS_FIRST),
            _ => (wait + self.block_ms.min(wait), 2 * wait),
        };
        let response = (response << self.timeouts.min(5)).min(RESPONSE_MS_MAX);
        let silent = self.silent_since().plus_ms(silence.min(RESPONSE_MS_MAX));
        self.requested_at.map(|at| at.plus_ms(response).max(silent))
    }

    /// Postpones the timeout until the message is complete, a part of which arrived.
    pub(super) fn incoming(&mut self, now: Instant) {
        // Before the first response, parts of other messages show nothing of its delay.
        if self.longest_wait_ms() > 0 {
            self.end_silence(now);
        }
        self.part_at = Some(now);
    }

    /// When the last part of an incomplete message arrived.
    pub(super) fn part_at(&self) -> Option<Instant> {
        self.part_at
    }

    /// The message is complete: what its parts postponed is undone, unless `counts`.
    pub(super) fn end_message(&mut self, counts: bool) {
        if let Some(at) = self.part_at.take().filter(|_| counts) {
            self.silent_since = self.silent_since.max(at);
        }
    }

    /// Counts silence from now on.
    pub(super) fn worked(&mut self, now: Instant) {
        self.silent_since = now;
    }

    /// Counts silence, and what was requested, from now on.
    pub(super) fn resume(&mut self, now: Instant) {
        self.probe = None;
        self.epoch = None;
        self.part_at = None;
        self.silent_since = now;
        self.requested_at = self.requested_at.map(|_| now);
    }

    /// A block arrived, or a duplicate of one: silence counts from here.
    pub(super) fn block_arrived(&mut self, now: Instant) {
        self.end_silence(now);
        if self.requested_at.is_some() {
            self.silent_since = now;
        }
    }

    /// How long the network has taken for anything; 0 before the first response.
    fn longest_wait_ms(&self) -> u64 {
        self.delay_ms.unwrap_or(0).max(self.silence_ms)
    }

    fn silent_since(&self) -> Instant {
        self.silent_since.max(self.part_at.unwrap_or_default())
    }

    /// Something arrived: how long nothing did is what the network may take.
    fn end_silence(&mut self, now: Instant) {
        if self.requested_at.is_some() {
            self.silence_ms = self.silence_ms.max(now.since(self.silent_since())).min(RESPONSE_MS_MAX);
        }
    }

    /// Doubles the next timeout.
    pub(super) fn timed_out(&mut self, now: Instant) {
        self.timeouts = self.timeouts.saturating_add(1);
        self.restart();
        self.requested_at = Some(now);
    }

    pub(super) fn restart(&mut self) {
        self.probe = None;
        self.epoch = None;
        self.requested_at = None;
    }

    fn count(&mut self, len_bytes: u32, now: Instant) {
        let (start, bytes) = match self.epoch {
            None => (now, 0), // the first block starts the measurement
            Some((start, bytes)) => (start, bytes + len_bytes),
        };
        let elapsed = now.since(start);
        // Before the interval is over this is what its rate will be at least.
        let rate = (u64::from(bytes) * 1_000 / elapsed.max(EPOCH_MS)).min(u64::from(u32::MAX)) as u32;
        if elapsed < EPOCH_MS {
            self.epoch = Some((start, bytes));
        } else {
            self.epoch = Some((now, 0));
            self.rate_bytes_per_s = rate;
            self.peak_bytes_per_s -= self.peak_bytes_per_s / 8;
        }
        self.peak_bytes_per_s = self.peak_bytes_per_s.max(rate);
        self.block_bytes = self.block_bytes.max(len_bytes);
        self.resize();
    }

    /// Sets the window to what the network carries during its delay and the allowed queue, and to a request beyond that.
    fn resize(&mut self) {
        let (Some(delay), 1..) = (self.delay_ms, self.peak_bytes_per_s) else { return };
        let (rate, block) = (u64::from(self.peak_bytes_per_s), u64::from(self.block_bytes));
        let batch = (rate * BATCH_MS / 1_000).min(BATCH_BYTES).div_ceil(block).min(WINDOW_BLOCKS.into());
        self.block_ms = block * 1_000 / rate;
        let ahead = (rate * (delay + QUEUE_MS) / 1_000).div_ceil(block);
        self.window_blocks = (ahead + batch).clamp(WINDOW_BLOCKS_MIN.into(), WINDOW_BLOCKS.into()) as u32;
        // The largest window is not enough for both: it is kept three quarters full.
        self.batch_blocks =
            if self.window_blocks == WINDOW_BLOCKS { batch.min(u64::from(WINDOW_BLOCKS / 4)) } else { batch } as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_ms(ms)
    }

    fn feed(rate: &mut RateEstimator, blocks: u32, every_ms: u64) {
        rate.requested(0, true, at(0));
        for index in 0..blocks {
            rate.arrived(index, 4096, at(100 + u64::from(index) * every_ms));
        }
    }

    #[test]
    fn a_slow_link_keeps_a_second_and_a_request_ahead_and_a_fast_one_opens_the_window() {
        let mut slow = RateEstimator::new(32);
        feed(&mut slow, 10, 546); // 60 kbit/s
        assert_eq!((slow.window_blocks(), slow.batch_blocks()), (3 + 24, 24));
        let mut slower = RateEstimator::new(32);
        feed(&mut slower, 10, 4_096); // 1,000 bytes/s: 32,000 bytes are 8 blocks
        assert_eq!((slower.window_blocks(), slower.batch_blocks()), (1 + 8, 8));
        let mut fast = RateEstimator::new(32);
        feed(&mut fast, 5, 1); // 16,384 bytes in less than 100 ms: 163,840 bytes/s at least
        assert_eq!((fast.window_blocks(), fast.batch_blocks()), (44 + 24, 24));
        feed(&mut fast, 400, 1);
        assert_eq!((fast.window_blocks(), fast.batch_blocks()), (WINDOW_BLOCKS, 24));
        let mut small = RateEstimator::new(32);
        small.requested(0, true, at(0));
        (0..100).for_each(|index| small.arrived(index, 256, at(100 + u64::from(index))));
        assert_eq!((small.window_blocks(), small.batch_blocks()), (WINDOW_BLOCKS, 32), "a quarter at most");
    }

    #[test]
    fn the_timeout_doubles_each_time_and_a_block_restores_it() {
        let mut rate = RateEstimator::new(32);
        feed(&mut rate, 1, 1);
        assert_eq!(rate.timeout_at(), Some(at(200)));
        rate.timed_out(at(200));
        assert_eq!(rate.timeout_at(), Some(at(200 + 400)));
        rate.timed_out(at(600));
        assert_eq!(rate.timeout_at(), Some(at(600 + 800)));
        rate.arrived(1, 4096, at(1_000));
        assert_eq!(rate.timeout_at(), Some(at(600 + 2 * 900)), "a silence of 900 ms was seen");
    }

    #[test]
    fn no_silence_counts_for_more_than_half_a_minute_and_work_is_none() {
        let mut rate = RateEstimator::new(32);
        feed(&mut rate, 1, 1);
        rate.requested(1, true, at(1_000));
        rate.worked(at(3_000));
        rate.arrived(1, 4096, at(3_100));
        assert_eq!(rate.timeout_at(), Some(at(3_300)), "a silence of 100 ms after the work, and a block");
        rate.requested(2, true, at(10_000));
        rate.arrived(2, 4096, at(300_000));
        for index in 3..11 {
            rate.requested(index, true, at(300_000));
            rate.arrived(index, 4096, at(300_100));
        }
        rate.requested(11, true, at(300_100));
        assert!(rate.timeout_at() < Some(at(300_100 + 22_000)), "a few requests later it is forgotten");
    }

    #[test]
    fn a_short_last_block_is_not_the_size_of_the_others() {
        let mut rate = RateEstimator::new(32);
        feed(&mut rate, 10, 546);
        let (window_blocks, block_ms) = (rate.window_blocks(), rate.block_ms());
        rate.arrived(10, 1, at(100 + 10 * 546));
        assert!(rate.window_blocks() <= window_blocks && rate.block_ms() >= block_ms);
    }

    #[test]
    fn the_rate_is_that_of_the_last_interval_and_the_window_that_of_the_peak() {
        let mut rate = RateEstimator::new(32);
        assert_eq!((rate.rate_bytes_per_s(), rate.window_blocks(), rate.timeout_at()), (0, 32, None));
        rate.requested(7, true, at(1_000));
        rate.requested(8, false, at(1_050)); // the round trip of the first is measured
        assert_eq!(rate.timeout_at(), Some(at(4_050)), "the delay is unknown");
        rate.arrived(6, 1_000, at(1_100)); // starts the first interval, and measures no delay
        assert_eq!(rate.timeout_at(), Some(at(1_250)), "two silences of 100 ms after the last request");
        rate.arrived(7, 1_000, at(1_199));
        assert_eq!(rate.timeout_at(), Some(at(1_199 + 199 + 100)), "a silence and a block at 10,000 bytes/s");
        assert_eq!(rate.rate_bytes_per_s(), 0, "the interval is not over");
        rate.arrived(8, 1_000, at(1_200));
        assert_eq!(rate.rate_bytes_per_s(), 20_000, "2,000 bytes in 100 ms");
        // 20,000 bytes/s for 199 ms + 1,000 ms are 23,980 bytes, and a request 98,304.
        assert_eq!(rate.window_blocks(), 24 + 99);
        rate.arrived(9, 1_000, at(1_500));
        assert_eq!(rate.rate_bytes_per_s(), 3_333);
        assert_eq!(rate.window_blocks(), 21 + 99, "17,500 bytes/s: an eighth less than the peak");
        (10..70).for_each(|index| rate.arrived(index, 1_000, at(u64::from(index) * 8_000)));
        assert_eq!((rate.rate_bytes_per_s(), rate.window_blocks()), (125, 1 + 4), "it is slow");
    }

    #[test]
    fn the_timeout_follows_the_least_delay_up_to_half_a_minute() {
        let mut rate = RateEstimator::new(32);
        for (index, delay, known) in [(0, 2_000, 2_000), (1, 600, 1_750), (2, 200, 1_532)] {
            rate.requested(index, true, at(10_000));
            rate.arrived(index, 1_000, at(10_000 + delay));
            assert_eq!(rate.timeout_at(), Some(at((10_000 + 2 * known).max(10_000 + delay + known))), "{delay} ms");
        }
        for (again, timeout) in [(1, 6_128), (2, 12_256), (3, 24_512), (4, 30_000), (5, 30_000), (6, 30_000)] {
            rate.timed_out(at(20_000));
            assert_eq!(rate.timeout_at(), Some(at(20_000 + timeout)), "timeout {again}");
        }
        rate.restart();
        assert_eq!(rate.timeout_at(), None);
        rate.requested(4, true, at(50_000));
        rate.arrived(4, 1_000, at(50_100)); // starts an interval: the bytes before the restart do not count
        rate.arrived(5, 1_000, at(50_200));
        assert_eq!(rate.rate_bytes_per_s(), 10_000);
    }

    #[test]
    fn the_first_timeout_is_twice_the_delay_of_another_message() {
        for (delay_ms, timeout_ms) in [(0, 3_000), (20, 200), (100, 200), (1_500, 3_000), (40_000, 30_000)] {
            let mut rate = RateEstimator::new(32);
            rate.expect_delay(delay_ms);
            rate.requested(0, true, at(1_000));
            assert_eq!(rate.timeout_at(), Some(at(1_000 + timeout_ms)), "{delay_ms} ms");
        }
    }

    #[test]
    fn the_longest_silence_is_forgotten_by_an_eighth_per_request_and_pauses_are_none() {
        let mut rate = RateEstimator::new(32);
        feed(&mut rate, 1, 1);
        rate.incoming(at(1_000)); // nothing for 900 ms
        assert_eq!(rate.timeout_at(), Some(at(1_900)));
        rate.requested(1, false, at(1_000));
        assert_eq!(rate.timeout_at(), Some(at(1_000 + 2 * 788)));
        rate.requested(2, true, at(60_000)); // nothing was outstanding
        rate.arrived(2, 4096, at(60_100));
        assert_eq!(rate.timeout_at(), Some(at(60_100 + 2 * 690)));
    }
}
