//! Finds a connection on which nothing comes back: its peer is gone, or a router on the path dropped its state. The
//! keep-alive of MQTT detects that only while the device itself sends nothing.

use crate::transport::QoS;

/// The longest silence, whatever the keep-alive interval: shorter than the default of `silence_ms_max`.
const LIMIT_MS_MAX: u32 = 60_000;

/// The silence of a broker that has to acknowledge a message.
pub(crate) struct Silence {
    limit_ms: u32,
    /// Time waited since the first such message after the last received byte.
    waited_us: Option<u32>,
}

impl Silence {
    /// A silence of one keep-alive interval at most, and never more than a minute.
    pub(crate) fn new(keep_alive_s: u16) -> Self {
        let limit_ms = if keep_alive_s == 0 { LIMIT_MS_MAX } else { LIMIT_MS_MAX.min(u32::from(keep_alive_s) * 1_000) };
        Self { limit_ms, waited_us: None }
    }

    /// How long a message may take to be sent.
    pub(crate) fn limit_ms(&self) -> u32 {
        self.limit_ms
    }

    /// A message was sent.
    pub(crate) fn sent(&mut self, qos: QoS) {
        if qos == QoS::AtLeastOnce {
            self.waited_us.get_or_insert(0);
        }
    }

    /// A message could not be sent within the limit.
    pub(crate) fn expire(&mut self) {
        self.waited_us = Some(u32::MAX);
    }

    /// Nothing was received for `us` microseconds more.
    pub(crate) fn waited(&mut self, us: u64) {
        if let Some(waited_us) = &mut self.waited_us {
            *waited_us = waited_us.saturating_add(us.min(u32::MAX.into()) as u32);
        }
    }

    /// Bytes were received, or the connection ended.
    pub(crate) fn reset(&mut self) {
        self.waited_us = None;
    }

    /// Milliseconds until the connection counts as dead; `None` if no acknowledgement is due.
    pub(crate) fn left_ms(&self) -> Option<u32> {
        self.waited_us.map(|waited_us| self.limit_ms.saturating_sub(waited_us / 1_000))
    }

    /// Whether the connection counts as dead.
    pub(crate) fn is_over(&self) -> bool {
        self.left_ms() == Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_keep_alive_interval_and_a_minute_at_most() {
        for (keep_alive_s, limit_ms) in [(5, 5_000), (60, 60_000), (61, 60_000), (u16::MAX, 60_000), (0, 60_000)] {
            assert_eq!(Silence::new(keep_alive_s).limit_ms(), limit_ms);
        }
    }

    #[test]
    fn a_connection_without_a_message_to_acknowledge_is_never_silent() {
        let mut silence = Silence::new(4);
        silence.waited(3_600_000_000);
        silence.sent(QoS::AtMostOnce);
        silence.waited(3_600_000_000);
        assert_eq!((silence.left_ms(), silence.is_over()), (None, false));
    }

    #[test]
    fn the_time_counts_from_the_first_message_after_the_last_received_byte() {
        let mut silence = Silence::new(6);
        silence.sent(QoS::AtLeastOnce);
        silence.waited(5_000_000);
        silence.sent(QoS::AtLeastOnce);
        assert_eq!((silence.left_ms(), silence.is_over()), (Some(1_000), false));
        silence.reset();
        silence.waited(5_000_000);
        silence.sent(QoS::AtLeastOnce);
        assert_eq!(silence.left_ms(), Some(6_000));
        silence.waited(6_000_000);
        assert!(silence.is_over());
    }

    #[test]
    fn a_message_that_cannot_be_sent_is_a_silence() {
        let mut silence = Silence::new(4);
        silence.expire();
        assert!(silence.is_over());
        silence.reset();
        assert!(!silence.is_over());
    }
}
