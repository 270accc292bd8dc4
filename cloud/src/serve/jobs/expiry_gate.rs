//! Decides when expired timers may end executions: not while devices could not report. The timers are in `rules.rs`.

use tokio::time::Instant;

use crate::limits::{CLOCK_STEP_MAX, EXPIRY_GRACE};

/// Open while devices are able to report and have had [`EXPIRY_GRACE`] to do so.
///
/// After an outage the reports that the broker kept arrive late, and those of devices without a session only once they have
/// reconnected: an execution whose timer expired meanwhile may have succeeded.
#[derive(Debug)]
pub struct ExpiryGate {
    /// When it opens; `None` while the broker is not connected.
    opens_at: Option<Instant>,
    /// Both clocks when it was last asked.
    last: (Instant, u64),
}

impl ExpiryGate {
    /// Creates a gate at this time of both clocks.
    pub fn new(subscribed: bool, now: Instant, now_s: u64) -> Self {
        let mut gate = Self { opens_at: None, last: (now, now_s) };
        gate.broker_changed(subscribed, now);
        gate
    }

    /// Closes the gate; it opens again only if the broker is connected.
    pub fn broker_changed(&mut self, subscribed: bool, now: Instant) {
        self.opens_at = subscribed.then(|| now + EXPIRY_GRACE);
    }

    /// Returns whether timers may expire now.
    ///
    /// A wall clock that gained more than [`CLOCK_STEP_MAX`] on the monotonic one closes the gate as an outage does: the
    /// machine may have been suspended.
    pub fn is_open(&mut self, now: Instant, now_s: u64) -> bool {
        let (last, last_s) = std::mem::replace(&mut self.last, (now, now_s));
        let expected_s = last_s + now.saturating_duration_since(last).as_secs();
        if now_s > expected_s + CLOCK_STEP_MAX.as_secs() {
            self.broker_changed(self.opens_at.is_some(), now);
        }
        self.opens_at.is_some_and(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW_S: u64 = 1_700_000_000;

    #[test]
    fn each_connection_to_the_broker_begins_with_a_grace_period() {
        let begin = Instant::now();
        let just_before = EXPIRY_GRACE - Duration::from_millis(1);
        let mut gate = ExpiryGate::new(false, begin, NOW_S);
        assert!(!gate.is_open(begin + EXPIRY_GRACE, NOW_S + EXPIRY_GRACE.as_secs()));
        let mut gate = ExpiryGate::new(true, begin, NOW_S);
        assert!(!gate.is_open(begin, NOW_S));
        assert!(!gate.is_open(begin + just_before, NOW_S));
        assert!(gate.is_open(begin + EXPIRY_GRACE, NOW_S));
        gate.broker_changed(false, begin);
        assert!(!gate.is_open(begin + EXPIRY_GRACE, NOW_S));
        let again = begin + 2 * EXPIRY_GRACE;
        gate.broker_changed(true, again);
        assert!(!gate.is_open(again + just_before, NOW_S));
        assert!(gate.is_open(again + EXPIRY_GRACE, NOW_S));
    }

    #[test]
    fn a_step_of_the_wall_clock_begins_a_grace_period() {
        let begin = Instant::now();
        let mut gate = ExpiryGate::new(true, begin, NOW_S);
        let open = begin + EXPIRY_GRACE;
        let open_s = NOW_S + EXPIRY_GRACE.as_secs();
        assert!(gate.is_open(open, open_s + CLOCK_STEP_MAX.as_secs()), "adjusted");
        let stepped_s = open_s + 2 * CLOCK_STEP_MAX.as_secs() + 1;
        assert!(!gate.is_open(open, stepped_s));
        assert!(gate.is_open(open + EXPIRY_GRACE, stepped_s + EXPIRY_GRACE.as_secs()));
        assert!(gate.is_open(open + EXPIRY_GRACE, NOW_S), "a step back makes no timer expire");
        let mut gate = ExpiryGate::new(false, begin, NOW_S);
        assert!(!gate.is_open(begin, stepped_s));
        assert!(!gate.is_open(open, stepped_s), "a step does not replace the broker");
    }
}
