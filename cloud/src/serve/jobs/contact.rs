//! How long devices have been able to report without an interruption: the silence of a device counts only in this time. Timers
//! have a fixed grace period instead: `expiry_gate.rs`.

use std::time::Duration;

use tokio::time::Instant;

/// The time since the broker was connected, or the wall clock was set.
///
/// A device cannot report while the broker or the service is down, and afterwards its last report is old. When the wall clock is
/// set forward, each last report is old at once.
#[derive(Debug)]
pub struct Contact {
    /// `None` while the broker is not connected.
    since: Option<Instant>,
}

impl Contact {
    /// Begins now, if the broker is connected.
    pub fn new(subscribed: bool, now: Instant) -> Self {
        Self { since: subscribed.then_some(now) }
    }

    /// Begins again, if the broker is connected.
    pub fn broker_changed(&mut self, subscribed: bool, now: Instant) {
        *self = Self::new(subscribed, now);
    }

    /// Begins again, if the broker is connected: the times of reports before are not comparable with those after.
    pub fn clock_was_set(&mut self, now: Instant) {
        self.since = self.since.map(|_| now);
    }

    /// Returns how long it lasts; zero while the broker is not connected.
    pub fn lasts(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_with_each_connection_and_when_the_clock_was_set() {
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let mut contact = Contact::new(false, begin);
        contact.clock_was_set(after(1));
        assert_eq!(contact.lasts(after(9)), Duration::ZERO);
        contact.broker_changed(true, after(10));
        assert_eq!(contact.lasts(after(40)), Duration::from_secs(30));
        contact.clock_was_set(after(50));
        assert_eq!(contact.lasts(after(60)), Duration::from_secs(10));
        contact.broker_changed(false, after(60));
        assert_eq!(contact.lasts(after(70)), Duration::ZERO);
    }
}
