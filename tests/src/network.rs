//! The network between device and service, in virtual time: delays, rate, losses, duplicates, reordering, silence, corrupted
//! copies. Lost connections, with and without a session, half-open ones and stalls are in `outages`. It does not interpret
//! messages.

mod outages;

use std::collections::BTreeMap;

use crate::conditions::{NetworkConditions, Planned};
use crate::corrupt::corrupted;
use crate::rng::Rng;
use crate::service::Reply;
use outages::Session;

/// A scheduled event.
#[derive(Clone, Debug)]
pub enum NetworkEvent {
    /// A message reaches the service.
    Up(Reply),
    /// A message reaches the device.
    Down(Reply),
    /// A part of a message reaches the device.
    Part,
    /// The device's connection is up.
    Connected,
    /// The device notices that its connection is lost.
    Disconnected {
        /// Milliseconds until the next one.
        ms: u64,
    },
    /// A part of the HTTP body with this number arrives, or the body ends.
    Fetched {
        /// Which body.
        body: u64,
        /// The part, or the end of the body.
        part: crate::web::Part,
    },
}

/// The interval at which parts of a block are noticed.
const PART_MS: u64 = 1_000;

/// Extra delay of a reordered block, in delays.
const OVERTAKEN_DELAYS: u64 = 3;
/// What MQTT adds to topic and payload.
const PUBLISH_BYTES: usize = 8;

/// The two directions.
const UP: usize = 0;
const DOWN: usize = 1;

/// The network, and the event queue of the simulation.
pub struct Network {
    agenda: BTreeMap<(u64, u64), NetworkEvent>,
    count: u64,
    rng: Rng,
    /// The current conditions.
    pub conditions: NetworkConditions,
    /// Faults of certain messages.
    pub planned: Planned,
    /// Blocks and requests for blocks that were lost.
    pub lost: u32,
    /// No block is delivered before this time.
    pub silent_until_ms: u64,
    /// The largest message that the device can receive; larger ones are discarded, as brokers do.
    receive_bytes_max: usize,
    /// The device's subscriptions; nothing else is delivered to it.
    pub filters: Vec<String>,
    /// Arrival of the last message, up and down, in microseconds.
    last_us: [u64; 2],
    /// Requests for blocks, and blocks, that were sent.
    sent: [u64; 2],
    /// Whether the connection is lost although neither side noticed.
    is_half_open: bool,
    /// Nothing arrives before this time.
    stalled_until_ms: u64,
    /// What outlives a connection.
    session: Option<Session>,
}

impl Network {
    /// A network without faults.
    pub fn new(receive_bytes_max: usize, rng: Rng) -> Self {
        let (agenda, conditions) = (BTreeMap::new(), NetworkConditions::IDEAL);
        Self {
            agenda,
            count: 0,
            rng,
            conditions,
            planned: Planned::default(),
            lost: 0,
            silent_until_ms: 0,
            receive_bytes_max,
            filters: Vec::new(),
            last_us: [0; 2],
            sent: [0; 2],
            is_half_open: false,
            stalled_until_ms: 0,
            session: None,
        }
    }

    /// Schedules an event.
    pub fn at(&mut self, at_ms: u64, event: NetworkEvent) {
        self.count += 1; // events at the same time keep the order in which they were scheduled
        let at_ms = if event.is_carried() { at_ms.max(self.stalled_until_ms) } else { at_ms };
        self.agenda.insert((at_ms, self.count), event);
    }

    /// The time of the next event.
    pub fn next_ms(&self) -> Option<u64> {
        self.agenda.keys().next().map(|(at_ms, _)| *at_ms)
    }

    /// The next event, if it is due.
    pub fn take(&mut self, now_ms: u64) -> Option<NetworkEvent> {
        let first = self.agenda.first_entry()?;
        (first.key().0 <= now_ms).then(|| first.remove())
    }

    /// Drops the HTTP connection and what was in flight on it.
    pub fn drop_body(&mut self) {
        self.agenda.retain(|_, event| !matches!(event, NetworkEvent::Fetched { .. }));
    }

    /// The device sends.
    pub fn send_up(&mut self, message: Reply, now_ms: u64) {
        if self.is_half_open {
            return self.keep(UP, message);
        }
        for at_ms in self.arrivals(UP, message.assured, message.topic.len() + message.payload.len(), now_ms) {
            self.at(at_ms, NetworkEvent::Up(message.clone()));
        }
    }

    /// The service sends.
    pub fn send_down(&mut self, reply: &Reply, now_ms: u64) {
        let Reply { topic, payload, assured } = reply;
        if self.is_half_open {
            return self.keep(DOWN, reply.clone());
        }
        if !self.filters.iter().any(|filter| matches(filter, topic)) {
            return;
        }
        if self.rng.percent(self.conditions.garbage) {
            let payload = corrupted(topic, payload, &mut self.rng);
            let at_ms = now_ms + self.delay(DOWN);
            self.at(at_ms, NetworkEvent::Down(Reply { topic: topic.clone(), payload, assured: false }));
        }
        let bytes = topic.len() + payload.len();
        for at_ms in self.arrivals(DOWN, *assured, bytes, now_ms) {
            if payload.len() <= self.receive_bytes_max {
                let begun_ms = at_ms - self.conditions.transmission_us(bytes) / 1_000;
                (begun_ms + PART_MS..at_ms).step_by(PART_MS as usize).for_each(|at| self.at(at, NetworkEvent::Part));
                self.at(at_ms, NetworkEvent::Down(reply.clone()));
            }
        }
    }

    /// Arrival times of a message: none, one or two. Messages keep their order, except for reordered blocks.
    fn arrivals(&mut self, way: usize, assured: bool, bytes: usize, now_ms: u64) -> Vec<u64> {
        let NetworkConditions { loss, duplicates, reorder, delay_ms, bursts, burst_ms, .. } = self.conditions;
        let busy_us = self.conditions.transmission_us(bytes + PUBLISH_BYTES);
        let (planned_loss, planned_us) = if assured { (false, 0) } else { self.plan(way, busy_us) };
        if bursts > 0 && !assured && self.rng.percent(bursts) {
            self.silent_until_ms = self.silent_until_ms.max(now_ms + 1 + self.rng.below(burst_ms));
        }
        let times = if self.rng.percent(duplicates) { 2 } else { 1 };
        let mut arrivals = Vec::new();
        for _ in 0..times {
            let at_us = self.last_us[way].max((now_ms + self.delay(way)) * 1_000) + busy_us;
            let at_ms = at_us.div_ceil(1_000);
            let is_lost = self.rng.percent(loss) || now_ms < self.silent_until_ms || planned_loss;
            let late_ms = if self.rng.percent(reorder) { self.rng.below(OVERTAKEN_DELAYS * delay_ms + 1) } else { 0 };
            if is_lost && !assured {
                self.lost += 1; // by the broker: it does not reach the link
                continue;
            }
            self.last_us[way] = at_us;
            arrivals.push(if assured { at_ms } else { at_ms + late_ms + planned_us.div_ceil(1_000) });
        }
        arrivals
    }

    /// Whether the next request or block is lost by plan, and by how many microseconds it is late.
    fn plan(&mut self, way: usize, busy_us: u64) -> (bool, u64) {
        let number = self.sent[way];
        self.sent[way] += 1;
        let Planned { lost_requests, lost_blocks, lost_every, late } = &self.planned;
        let lost_one = lost_every.is_some_and(|(every, first)| way == DOWN && number % every == first);
        let is_lost = lost_one || [lost_requests, lost_blocks][way].contains(&number);
        match late {
            // Half a block more than whole places, so that rounding to milliseconds changes no order.
            Some((every, places)) if way == DOWN && number % every == every - 1 => {
                (is_lost, busy_us * (2 * places + 1) / 2)
            }
            _ => (is_lost, 0),
        }
    }

    fn delay(&mut self, way: usize) -> u64 {
        let up_delay_ms = if way == UP { self.conditions.up_delay_ms } else { 0 };
        self.conditions.delay_ms + up_delay_ms + self.rng.below(self.conditions.jitter_ms + 1)
    }
}

/// Whether a filter matches a topic; a `+` matches any one level.
fn matches(filter: &str, topic: &str) -> bool {
    let (mut wanted, mut found) = (filter.split('/'), topic.split('/'));
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return true,
            (Some(level), Some(name)) if level == "+" || level == name => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        Network::new(1_000, Rng::new(1))
    }

    fn message(topic: &str, assured: bool) -> Reply {
        Reply { topic: topic.into(), payload: Vec::new(), assured }
    }

    fn arrived(network: &mut Network) -> Vec<String> {
        let mut topics = Vec::new();
        while let Some(event) = network.take(u64::MAX) {
            if let NetworkEvent::Up(message) | NetworkEvent::Down(message) = event {
                topics.push(message.topic);
            }
        }
        topics
    }

    #[test]
    fn assured_messages_keep_their_order_and_arrive() {
        let mut network = network();
        network.conditions = NetworkConditions { jitter_ms: 500, loss: 90, reorder: 90, ..NetworkConditions::IDEAL };
        let sent: Vec<String> = (0..50).map(|number| number.to_string()).collect();
        sent.iter().for_each(|topic| network.send_up(message(topic, true), 0));
        assert_eq!(arrived(&mut network), sent);
    }

    #[test]
    fn the_paths_to_and_from_the_service_have_delays_of_their_own() {
        let mut network = network();
        network.conditions =
            NetworkConditions { delay_ms: 5, up_delay_ms: 70, jitter_ms: 0, ..NetworkConditions::IDEAL };
        network.filters = vec!["+".into()];
        network.send_up(message("up", true), 0);
        network.send_down(&message("down", true), 0);
        let down = network.take(6); // and a millisecond for its bytes
        assert!(matches!(down, Some(NetworkEvent::Down(_))), "{down:?}");
        assert_eq!(network.next_ms(), Some(76));
    }

    #[test]
    fn a_burst_takes_all_blocks_for_a_while_and_no_assured_message() {
        let mut network = network();
        network.conditions = NetworkConditions { bursts: 100, burst_ms: 500, ..NetworkConditions::IDEAL };
        network.send_up(message("lost", false), 0);
        assert!(network.silent_until_ms > 0);
        network.conditions.bursts = 0;
        network.send_up(message("assured", true), 0);
        network.send_up(message("lost", false), 0);
        network.send_up(message("later", false), 501);
        assert_eq!(arrived(&mut network), ["assured", "later"]);
    }

    #[test]
    fn only_what_was_subscribed_to_reaches_the_device() {
        assert!(matches("a/+/c", "a/b/c") && matches("a", "a"));
        assert!(!matches("a/+/c", "a/b/d") && !matches("a/+", "a/b/c") && !matches("a/+/c", "a/b"));
    }

    #[test]
    fn what_is_larger_than_the_receive_buffer_is_dropped_silently() {
        let mut network = network();
        network.filters = vec!["+".into()];
        for len in [1_000, 1_001] {
            let reply = Reply { topic: len.to_string(), payload: vec![0; len], assured: true };
            network.send_down(&reply, 0);
        }
        assert_eq!(arrived(&mut network), ["1000"]);
    }
}
