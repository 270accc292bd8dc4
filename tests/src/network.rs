//! The way between device and service, in virtual time: delays, losses, duplicates, overtaking, silence, garbage beside
//! what is true, and connections that take everything in flight with them. What messages mean is not known here.

use std::collections::BTreeMap;

use crate::dice::Dice;
use crate::service::Reply;
use crate::spoil::spoiled;

/// Something that comes about at its time.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A message reaches the service.
    Up {
        /// Its topic.
        topic: String,
        /// Its bytes.
        payload: Vec<u8>,
    },
    /// A message reaches the device.
    Down {
        /// Its topic.
        topic: String,
        /// Its bytes.
        payload: Vec<u8>,
    },
    /// The device's connection is up.
    Connected,
    /// A part of the HTTP body with this number arrives, or the body ends.
    Fetched {
        /// Which body.
        body: u64,
        /// What came of it.
        part: crate::web::Part,
    },
}

/// What the way is like. Shares in per cent.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Every message takes at least this long.
    pub delay_ms: u64,
    /// And up to so much longer.
    pub jitter_ms: u64,
    /// A block keeps the way busy for so long.
    pub block_ms: u64,
    /// Blocks, and requests for them, that get lost.
    pub loss: u64,
    /// Messages that come twice.
    pub duplicates: u64,
    /// Blocks that later ones overtake.
    pub reorder: u64,
    /// Messages that a spoiled copy goes along with.
    pub garbage: u64,
}

impl Weather {
    /// Nothing goes wrong.
    pub const CALM: Weather =
        Weather { delay_ms: 40, jitter_ms: 10, block_ms: 4, loss: 0, duplicates: 0, reorder: 0, garbage: 0 };
}

/// How much later than its time a block is that later ones overtake, in delays.
const OVERTAKEN_DELAYS: u64 = 3;

/// The network, and the agenda of the world.
pub struct Network {
    agenda: BTreeMap<(u64, u64), Happening>,
    count: u64,
    dice: Dice,
    /// What the way is like now.
    pub weather: Weather,
    /// No block passes before this moment.
    pub silent_until_ms: u64,
    /// The largest message that the device can take in; larger ones are dropped on the way, as brokers do.
    receive_bytes_max: usize,
    /// What the device subscribed to; nothing else reaches it.
    pub filters: Vec<String>,
    /// Arrival of the last message, up and down.
    last_ms: [u64; 2],
}

impl Network {
    /// A calm network.
    pub fn new(receive_bytes_max: usize, dice: Dice) -> Self {
        let (agenda, weather) = (BTreeMap::new(), Weather::CALM);
        Self {
            agenda,
            count: 0,
            dice,
            weather,
            silent_until_ms: 0,
            receive_bytes_max,
            filters: Vec::new(),
            last_ms: [0; 2],
        }
    }

    /// Puts something on the agenda.
    pub fn at(&mut self, at_ms: u64, happening: Happening) {
        self.count += 1; // what is due at one moment comes in the order in which it was put
        self.agenda.insert((at_ms, self.count), happening);
    }

    /// When the next thing comes about.
    pub fn next_ms(&self) -> Option<u64> {
        self.agenda.keys().next().map(|(at_ms, _)| *at_ms)
    }

    /// The next thing, if it is due.
    pub fn take(&mut self, now_ms: u64) -> Option<Happening> {
        let first = self.agenda.first_entry()?;
        (first.key().0 <= now_ms).then(|| first.remove())
    }

    /// The connection is gone, and all that was on its way.
    pub fn drop_connection(&mut self) {
        self.agenda.clear();
        self.last_ms = [0; 2];
    }

    /// The HTTP connection is gone, and what was on its way.
    pub fn drop_body(&mut self) {
        self.agenda.retain(|_, happening| !matches!(happening, Happening::Fetched { .. }));
    }

    /// The device sends.
    pub fn send_up(&mut self, topic: &str, payload: &[u8], assured: bool, now_ms: u64) {
        for at_ms in self.arrivals(0, assured, now_ms) {
            self.at(at_ms, Happening::Up { topic: topic.to_owned(), payload: payload.to_vec() });
        }
    }

    /// The service sends.
    pub fn send_down(&mut self, reply: &Reply, now_ms: u64) {
        let Reply { topic, payload, assured } = reply;
        if !self.filters.iter().any(|filter| matches(filter, topic)) {
            return;
        }
        if self.dice.percent(self.weather.garbage) {
            let payload = spoiled(topic, payload, &mut self.dice);
            let at_ms = now_ms + self.delay();
            self.at(at_ms, Happening::Down { topic: topic.clone(), payload });
        }
        for at_ms in self.arrivals(1, *assured, now_ms) {
            if payload.len() <= self.receive_bytes_max {
                self.at(at_ms, Happening::Down { topic: topic.clone(), payload: payload.clone() });
            }
        }
    }

    /// When a message arrives: at no, one or two moments. Messages keep their order, but for those that are overtaken.
    fn arrivals(&mut self, way: usize, assured: bool, now_ms: u64) -> Vec<u64> {
        let Weather { loss, duplicates, reorder, delay_ms, block_ms, .. } = self.weather;
        let busy_ms = if assured { 0 } else { block_ms };
        let times = if self.dice.percent(duplicates) { 2 } else { 1 };
        let mut arrivals = Vec::new();
        for _ in 0..times {
            let at_ms = (self.last_ms[way] + busy_ms).max(now_ms + self.delay());
            self.last_ms[way] = at_ms;
            let is_lost = self.dice.percent(loss) || now_ms < self.silent_until_ms;
            let late_ms = if self.dice.percent(reorder) { self.dice.below(OVERTAKEN_DELAYS * delay_ms + 1) } else { 0 };
            match assured {
                true => arrivals.push(at_ms),
                false if is_lost => {}
                false => arrivals.push(at_ms + late_ms),
            }
        }
        arrivals
    }

    fn delay(&mut self) -> u64 {
        self.weather.delay_ms + self.dice.below(self.weather.jitter_ms + 1)
    }
}

/// Whether a filter lets a topic pass; a `+` stands for any one level.
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
        Network::new(1_000, Dice::new(1))
    }

    fn arrived(network: &mut Network) -> Vec<String> {
        let mut topics = Vec::new();
        while let Some(happening) = network.take(u64::MAX) {
            if let Happening::Up { topic, .. } | Happening::Down { topic, .. } = happening {
                topics.push(topic);
            }
        }
        topics
    }

    #[test]
    fn assured_messages_keep_their_order_and_arrive() {
        let mut network = network();
        network.weather = Weather { jitter_ms: 500, loss: 90, reorder: 90, ..Weather::CALM };
        let sent: Vec<String> = (0..50).map(|number| number.to_string()).collect();
        sent.iter().for_each(|topic| network.send_up(topic, b"", true, 0));
        assert_eq!(arrived(&mut network), sent);
    }

    #[test]
    fn a_connection_takes_all_in_flight_with_it() {
        let mut network = network();
        network.send_up("t", b"", true, 0);
        network.drop_connection();
        assert_eq!(network.next_ms(), None);
    }

    #[test]
    fn only_what_was_subscribed_to_reaches_the_device() {
        assert!(matches("a/+/c", "a/b/c") && matches("a", "a"));
        assert!(!matches("a/+/c", "a/b/d") && !matches("a/+", "a/b/c") && !matches("a/+/c", "a/b"));
    }

    #[test]
    fn what_is_larger_than_the_receive_buffer_is_dropped_without_a_word() {
        let mut network = network();
        network.filters = vec!["+".into()];
        for len in [1_000, 1_001] {
            let reply = Reply { topic: len.to_string(), payload: vec![0; len], assured: true };
            network.send_down(&reply, 0);
        }
        assert_eq!(arrived(&mut network), ["1000"]);
    }
}
