//! How fast blocks come, how many should be on their way, and how long a silence is too long.
//! The rate-times-delay core of a bandwidth estimator in integers; loss is the window's business.

use super::time::Instant;
use super::window::WINDOW_BLOCKS;

/// A rate is measured over at least this long.
const EPOCH_MS: u64 = 100;
/// Standing queue that the window may build up in the network: longer would delay a cancellation or a keep-alive.
const QUEUE_MS: u64 = 1_000;
/// Before the first answer the delay is unknown; this is how long the first answer may take.
const ANSWER_MS_FIRST: u64 = 3_000;
const ANSWER_MS_MIN: u64 = 1_000;
const ANSWER_MS_MAX: u64 = 30_000;
/// Fewer would stop and wait.
const WINDOW_BLOCKS_MIN: u32 = 2;

/// What was measured of one transfer.
#[derive(Clone, Debug)]
pub struct Pace {
    window_blocks: u32,
    rate_bytes_per_s: u32,
    delay_ms: Option<u64>,
    /// The block whose way there and back is being timed.
    probe: Option<(u32, Instant)>,
    epoch: Option<(Instant, u32)>,
    last_sign: Option<Instant>,
    silences: u32,
}

impl Pace {
    pub(super) fn new(window_blocks: u32) -> Self {
        Self {
            window_blocks,
            rate_bytes_per_s: 0,
            delay_ms: None,
            probe: None,
            epoch: None,
            last_sign: None,
            silences: 0,
        }
    }

    /// Blocks that should be on their way at once.
    pub fn window_blocks(&self) -> u32 {
        self.window_blocks
    }

    /// Bytes per second over the last stretch; 0 before the first is over.
    pub fn rate_bytes_per_s(&self) -> u32 {
        self.rate_bytes_per_s
    }

    pub(super) fn asked(&mut self, index: u32, now: Instant) {
        self.probe.get_or_insert((index, now));
        self.last_sign.get_or_insert(now);
    }

    pub(super) fn arrived(&mut self, index: u32, len_bytes: u32, now: Instant) {
        if let Some((probed, sent)) = self.probe
            && probed == index
        {
            let delay = now.since(sent);
            self.delay_ms = Some(self.delay_ms.map_or(delay, |least| least.min(delay)));
            self.probe = None;
        }
        self.last_sign = Some(now);
        self.silences = 0;
        self.count(len_bytes, now);
    }

    /// The moment from which the silence is too long, while blocks are outstanding.
    pub(super) fn patience_ends(&self) -> Option<Instant> {
        let usual = self.delay_ms.map_or(ANSWER_MS_FIRST, |delay| (2 * delay + 500).max(ANSWER_MS_MIN));
        let wait = (usual << self.silences.min(5)).min(ANSWER_MS_MAX);
        self.last_sign.map(|sign| sign.plus_ms(wait))
    }

    /// Nothing came for too long: the next patience is twice as long.
    pub(super) fn silence(&mut self, now: Instant) {
        self.silences = self.silences.saturating_add(1);
        self.last_sign = Some(now);
    }

    pub(super) fn start_over(&mut self) {
        self.probe = None;
        self.epoch = None;
        self.last_sign = None;
    }

    fn count(&mut self, len_bytes: u32, now: Instant) {
        let (start, bytes) = match self.epoch {
            None => (now, 0), // the first block only starts the clock
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

    /// As many blocks as the network carries during its delay and the queue that we allow.
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

    fn feed(pace: &mut Pace, blocks: u32, every_ms: u64) {
        pace.asked(0, Instant::from_ms(0));
        for index in 0..blocks {
            pace.arrived(index, 4096, Instant::from_ms(100 + u64::from(index) * every_ms));
        }
    }

    #[test]
    fn a_slow_link_shrinks_the_window_and_a_fast_one_opens_it() {
        let mut slow = Pace::new(32);
        feed(&mut slow, 10, 546); // 60 kbit/s
        assert!(slow.window_blocks() <= 3, "{}", slow.window_blocks());
        let mut fast = Pace::new(32);
        feed(&mut fast, 400, 1);
        assert_eq!(fast.window_blocks(), WINDOW_BLOCKS);
    }

    #[test]
    fn patience_doubles_with_each_silence_and_a_block_restores_it() {
        let mut pace = Pace::new(32);
        feed(&mut pace, 1, 1);
        let start = Instant::from_ms(100);
        assert_eq!(pace.patience_ends(), Some(start.plus_ms(1_000)));
        pace.silence(start);
        assert_eq!(pace.patience_ends(), Some(start.plus_ms(2_000)));
        pace.arrived(1, 4096, start);
        assert_eq!(pace.patience_ends(), Some(start.plus_ms(1_000)));
    }
}
