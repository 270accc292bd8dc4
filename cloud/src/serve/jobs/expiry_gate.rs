//! Decides when expired timers may end executions: not while devices could not report. The timers are in `rules.rs`.

use tokio::time::Instant;

use crate::limits::EXPIRY_GRACE;

/// Open while devices are able to report and have had [`EXPIRY_GRACE`] to do so.
///
/// After an outage the reports that the broker kept arrive late, and those of devices without a session only once they have
/// reconnected: an execution whose timer expired meanwhile may have succeeded.
#[derive(Debug)]
pub struct ExpiryGate {
    /// When it opens; `None` while the broker is not connected.
    opens_at: Option<Instant>,
}

impl ExpiryGate {
    /// Creates a gate that opens only if the broker is connected.
    pub fn new(subscribed: bool, now: Instant) -> Self {
        let mut gate = Self { opens_at: None };
        gate.broker_changed(subscribed, now);
        gate
    }

    /// Closes the gate; it opens again only if the broker is connected.
    pub fn broker_changed(&mut self, subscribed: bool, now: Instant) {
        self.opens_at = subscribed.then(|| now + EXPIRY_GRACE);
    }

    /// Returns whether timers may expire now.
    pub fn is_open(&self, now: Instant) -> bool {
        self.opens_at.is_some_and(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_connection_to_the_broker_begins_with_a_grace_period() {
        let begin = Instant::now();
        let just_before = EXPIRY_GRACE - Duration::from_millis(1);
        let gate = ExpiryGate::new(false, begin);
        assert!(!gate.is_open(begin + EXPIRY_GRACE));
        let mut gate = ExpiryGate::new(true, begin);
        assert!(!gate.is_open(begin));
        assert!(!gate.is_open(begin + just_before));
        assert!(gate.is_open(begin + EXPIRY_GRACE));
        gate.broker_changed(false, begin);
        assert!(!gate.is_open(begin + EXPIRY_GRACE));
        let again = begin + 2 * EXPIRY_GRACE;
        gate.broker_changed(true, again);
        assert!(!gate.is_open(again + just_before));
        assert!(gate.is_open(again + EXPIRY_GRACE));
    }
}
