//! Instants, which the caller passes in; back-off with jitter, and its random numbers. No clock is read here.

use core::num::NonZeroU64;

/// A point in time, in milliseconds since an origin that the caller chooses once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant {
    /// One more than the milliseconds, so that an optional instant takes no more memory.
    after_ms: NonZeroU64,
}

impl Instant {
    /// The instant `ms` milliseconds after the origin, `u64::MAX - 1` at most.
    pub const fn from_ms(ms: u64) -> Self {
        Self { after_ms: NonZeroU64::MIN.saturating_add(ms) }
    }

    /// Milliseconds since the origin.
    pub const fn as_ms(self) -> u64 {
        self.after_ms.get() - 1
    }

    /// The instant `ms` milliseconds later, saturating.
    #[inline(never)] // for size
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self { after_ms: self.after_ms.saturating_add(ms) }
    }

    /// Milliseconds since `earlier`; 0 if that is later.
    #[inline(never)] // for size
    pub const fn since(self, earlier: Instant) -> u64 {
        self.after_ms.get().saturating_sub(earlier.after_ms.get())
    }
}

impl Default for Instant {
    /// The origin.
    fn default() -> Self {
        Self::from_ms(0)
    }
}

/// Random numbers for jitter and client tokens: xorshift64, seeded by the caller. Not for secrets.
#[derive(Clone, Debug)]
pub(super) struct Rng {
    state: u64,
}

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        // Zero would stay zero.
        Self { state: seed ^ 0x9E37_79B9_7F4A_7C15 | 1 }
    }

    pub(super) fn next_u32(&mut self) -> u32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 32) as u32
    }
}

/// The first wait after a failure.
const BACKOFF_MS_MIN: u32 = 1_000;
/// The longest wait, before jitter.
const BACKOFF_MS_MAX: u32 = 60_000;

/// How many waits a success must last to count as one.
const HELD_WAITS: u64 = 4;

/// Back-off from one to sixty seconds, doubling, each wait shortened by up to a quarter so that a fleet does not retry in step.
#[derive(Clone, Debug)]
pub struct Backoff {
    next_ms: u32,
}

impl Backoff {
    /// Starts at the shortest wait.
    pub const fn new() -> Self {
        Self { next_ms: BACKOFF_MS_MIN }
    }

    /// The next wait in milliseconds; `random` spreads it.
    pub fn next_wait_ms(&mut self, random: u32) -> u64 {
        let wait = self.next_ms;
        self.next_ms = (wait * 2).min(BACKOFF_MS_MAX);
        u64::from(wait - random % (wait / 4))
    }

    /// The longest that the next wait can be, in milliseconds.
    pub(super) fn next_ms(&self) -> u64 {
        self.next_ms.into()
    }

    /// Returns to the shortest wait.
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// Returns to the shortest wait if what was retried held several times as long as the next wait. What ends soon after it
    /// began is retried ever more rarely.
    pub fn held(&mut self, ms: u64) {
        if ms >= u64::from(self.next_ms) * HELD_WAITS {
            self.reset();
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_start_over_after_a_success() {
        let mut backoff = Backoff::new();
        let waits: [u64; 8] = core::array::from_fn(|_| backoff.next_wait_ms(0));
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        backoff.reset();
        assert_eq!(backoff.next_wait_ms(249), 751);
    }

    /// Another client with the same id ends each session as soon as it is made.
    #[test]
    fn waits_grow_until_a_session_held_four_times_as_long() {
        let mut backoff = Backoff::new();
        let waits: [u64; 7] = core::array::from_fn(|_| {
            backoff.held(50);
            backoff.next_wait_ms(0)
        });
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000]);
        backoff.held(239_999);
        assert_eq!(backoff.next_wait_ms(0), 60_000);
        backoff.held(240_000);
        assert_eq!(backoff.next_wait_ms(0), 1_000);
        backoff.held(8_000);
        assert_eq!(backoff.next_wait_ms(0), 1_000, "short sessions of a link that comes and goes");
    }

    /// Source: Marsaglia, Xorshift RNGs, the triple 13, 7, 17 of 64 bits.
    #[test]
    fn the_random_numbers_are_those_of_xorshift_and_no_seed_makes_them_zero() {
        let first = |seed| {
            let mut rng = Rng::new(seed);
            [rng.next_u32(), rng.next_u32(), rng.next_u32()]
        };
        assert_eq!(first(1), [0xDC1B_77AE, 0x64F0_EEB9, 0x7B07_CE91]);
        assert_eq!(first(0x9E37_79B9_7F4A_7C15), [0x0000_0000, 0x1000_4106, 0x9B1E_842F]);
    }
}
