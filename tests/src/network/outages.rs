//! Outages of the connection: lost, with a session that outlives it or without; half-open, which neither side notices; and
//! stalls, after which everything arrives at once.

use super::{DOWN, Network, NetworkEvent, UP};
use crate::service::Reply;

/// The most messages that a session keeps in one direction.
const KEPT_MAX: usize = 20;

/// Assured messages that are sent again on the next connection, up and down.
#[derive(Default)]
pub(super) struct Session([Vec<Reply>; 2]);

impl NetworkEvent {
    /// Whether it arrives over the link, and a stall delays it.
    pub(super) fn is_carried(&self) -> bool {
        match self {
            Self::Up(_) | Self::Down(_) | Self::Part | Self::Fetched { .. } => true,
            Self::Connected | Self::Disconnected { .. } => false,
        }
    }
}

impl Network {
    /// From now on a session outlives the connections.
    pub fn begin_session(&mut self) {
        self.session = Some(Session::default());
    }

    /// Drops the connection and all messages in flight, except those that the session keeps.
    pub fn drop_connection(&mut self) {
        for event in std::mem::take(&mut self.agenda).into_values() {
            match event {
                NetworkEvent::Up(message) => self.keep(UP, message),
                NetworkEvent::Down(message) => self.keep(DOWN, message),
                _ => {}
            }
        }
        (self.last_us, self.is_half_open, self.stalled_until_ms) = ([0; 2], false, 0);
    }

    /// As [`Network::drop_connection`]; the device loses its part of the session.
    pub fn drop_device(&mut self) {
        self.drop_connection();
        if let Some(Session([up, _])) = &mut self.session {
            up.clear();
        }
    }

    /// The connection is lost, and neither side notices.
    pub fn half_open(&mut self) {
        let (lost, left) = std::mem::take(&mut self.agenda)
            .into_iter()
            .partition(|(_, event)| matches!(event, NetworkEvent::Up(_) | NetworkEvent::Down(_) | NetworkEvent::Part));
        self.agenda = lost;
        self.drop_connection();
        (self.agenda, self.is_half_open) = (left, true);
    }

    /// Nothing arrives before `until_ms`; then everything does, in order.
    pub fn stall(&mut self, until_ms: u64) {
        self.stalled_until_ms = self.stalled_until_ms.max(until_ms);
        for ((at_ms, _), event) in std::mem::take(&mut self.agenda) {
            self.at(at_ms, event);
        }
    }

    /// Sends again what the session kept: the device is connected, and has subscribed.
    pub fn resume_session(&mut self, now_ms: u64) {
        let Some(session) = &mut self.session else { return };
        let [up, down] = std::mem::take(&mut session.0);
        up.into_iter().for_each(|message| self.send_up(message, now_ms));
        down.iter().for_each(|message| self.send_down(message, now_ms));
    }

    /// Keeps a message that cannot be sent now, if it is an assured one and there is a session.
    pub fn keep_down(&mut self, message: &Reply) {
        self.keep(DOWN, message.clone());
    }

    pub(super) fn keep(&mut self, way: usize, message: Reply) {
        let kept = self.session.as_mut().map(|Session(kept)| &mut kept[way]);
        if let Some(kept) = kept.filter(|kept| message.assured && kept.len() < KEPT_MAX) {
            kept.push(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn message(topic: &str, assured: bool) -> Reply {
        Reply { topic: topic.into(), payload: Vec::new(), assured }
    }

    /// A network with an assured message and a block in flight in each direction.
    fn network() -> Network {
        let mut network = Network::new(1_000, Rng::new(1));
        network.filters = vec!["+".into()];
        send(&mut network, 0);
        network
    }

    fn send(network: &mut Network, now_ms: u64) {
        network.send_up(message("up", true), now_ms);
        network.send_up(message("get", false), now_ms);
        network.send_down(&message("down", true), now_ms);
        network.send_down(&message("block", false), now_ms);
    }

    /// Topics, and when they arrive.
    fn arrived(network: &mut Network) -> Vec<(u64, String)> {
        let events = std::mem::take(&mut network.agenda);
        let arrived = events.into_iter().filter_map(|((at_ms, _), event)| match event {
            NetworkEvent::Up(message) | NetworkEvent::Down(message) => Some((at_ms, message.topic)),
            _ => None,
        });
        arrived.collect()
    }

    fn topics(network: &mut Network) -> Vec<String> {
        let mut topics: Vec<String> = arrived(network).into_iter().map(|(_, topic)| topic).collect();
        topics.sort();
        topics
    }

    #[test]
    fn a_connection_takes_all_in_flight_with_it() {
        let mut network = network();
        network.drop_connection();
        network.resume_session(1_000);
        assert_eq!(network.next_ms(), None);
    }

    #[test]
    fn a_session_keeps_what_is_assured_and_a_reset_the_devices_part() {
        for (reset, kept) in [(false, &["down", "up"][..]), (true, &["down"])] {
            let mut network = network();
            network.begin_session();
            if reset {
                network.drop_device()
            } else {
                network.drop_connection()
            }
            network.resume_session(1_000);
            assert_eq!(topics(&mut network), kept);
        }
    }

    #[test]
    fn nothing_arrives_over_a_half_open_connection_and_the_next_one_works() {
        let mut network = network();
        network.at(500, NetworkEvent::Disconnected { ms: 1 });
        network.half_open();
        send(&mut network, 100);
        assert_eq!(network.next_ms(), Some(500), "the device notices");
        assert!(topics(&mut network).is_empty());
        network.drop_connection();
        send(&mut network, 1_000);
        assert_eq!(topics(&mut network), ["block", "down", "get", "up"]);
    }

    #[test]
    fn after_a_stall_everything_arrives_at_once_and_in_order() {
        let mut network = network();
        network.stall(9_000);
        network.send_up(message("later", true), 100);
        let arrived = arrived(&mut network);
        assert!(arrived.iter().all(|(at_ms, _)| *at_ms == 9_000), "{arrived:?}");
        let up: Vec<&str> =
            arrived.iter().map(|(_, topic)| topic.as_str()).filter(|topic| !topic.contains('o')).collect();
        assert_eq!(up, ["up", "get", "later"]);
    }
}
