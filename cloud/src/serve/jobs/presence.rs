//! Which things are connected, and when each was seen last, since the start. It is shown, and a job that is created for a thing
//! that sent no request gets a note, because its name may be a typing error; no decision depends on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::device::Device;
use crate::limits::{SEEN_THINGS_MAX, UNSEEN_LISTED_MAX};

/// The connected things, and others up to [`SEEN_THINGS_MAX`] with them; clones share them.
#[derive(Clone, Debug)]
pub struct Presence {
    /// Whether the broker passes on connections.
    has_connections: bool,
    things: Arc<Mutex<HashMap<String, Thing>>>,
}

#[derive(Debug, Default)]
struct Thing {
    /// More than one, if its client ids have suffixes, or while a connection takes over another.
    connections: u32,
    /// When a connection began or ended, or a request arrived. Seconds since 1970.
    seen_at_s: u64,
    has_sent_request: bool,
}

impl Presence {
    /// No thing was seen yet. `has_connections`: whether the broker passes on when they begin and end.
    pub fn new(has_connections: bool) -> Self {
        Self { has_connections, things: Arc::default() }
    }

    /// This thing sent a request.
    pub fn sent_request(&self, thing: &str, now_s: u64) {
        let mut things = self.lock();
        if things.len() < SEEN_THINGS_MAX || things.contains_key(thing) {
            note(things.entry(thing.to_owned()).or_default(), now_s, |thing| thing.has_sent_request = true);
        }
    }

    /// A connection of this thing began.
    #[cfg(any(feature = "broker", test))]
    pub fn connected(&self, thing: &str, now_s: u64) {
        // Noted beyond the bound, too: there are as many as the broker has connections.
        note(self.lock().entry(thing.to_owned()).or_default(), now_s, |thing| thing.connections += 1);
    }

    /// A connection of this thing ended.
    #[cfg(any(feature = "broker", test))]
    pub fn disconnected(&self, thing: &str, now_s: u64) {
        let mut things = self.lock();
        let is_beyond = things.len() > SEEN_THINGS_MAX;
        let Some(known) = things.get_mut(thing) else { return };
        note(known, now_s, |thing| thing.connections = thing.connections.saturating_sub(1));
        if is_beyond && known.connections == 0 {
            things.remove(thing);
        }
    }

    /// Returns the names of all things that sent a request, in no order.
    pub fn names(&self) -> Vec<String> {
        let things = self.lock();
        things.iter().filter(|(_, thing)| thing.has_sent_request).map(|(name, _)| name.clone()).collect()
    }

    /// Returns those of `names` that sent no request, at most [`UNSEEN_LISTED_MAX`]; none if no further thing is noted.
    pub fn unseen(&self, names: &[String]) -> Vec<String> {
        let things = self.lock();
        if things.len() >= SEEN_THINGS_MAX {
            return Vec::new();
        }
        let is_unseen = |name: &&String| things.get(*name).is_none_or(|thing| !thing.has_sent_request);
        names.iter().filter(is_unseen).take(UNSEEN_LISTED_MAX).cloned().collect()
    }

    /// Sets whether the device is connected, and when it was seen.
    pub fn complete(&self, device: &mut Device) {
        let things = self.lock();
        let thing = things.get(&device.thing);
        device.connected = self.has_connections.then(|| thing.is_some_and(|thing| thing.connections > 0));
        device.seen_at_s = thing.map(|thing| thing.seen_at_s);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Thing>> {
        self.things.lock().expect("lock poisoned")
    }
}

fn note(thing: &mut Thing, now_s: u64, change: impl FnOnce(&mut Thing)) {
    thing.seen_at_s = now_s;
    change(thing);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_unseen_until_it_sends_a_request() {
        let presence = Presence::new(true);
        let things = ["lamp".to_owned(), "door".to_owned()];
        presence.connected("lamp", 1);
        assert_eq!((presence.unseen(&things), presence.names().len()), (things.to_vec(), 0));
        presence.clone().sent_request("lamp", 2);
        assert_eq!(presence.unseen(&things), things[1..]);
        (0..SEEN_THINGS_MAX).for_each(|i| presence.sent_request(&i.to_string(), 3));
        assert_eq!(presence.unseen(&things), Vec::<String>::new(), "no further thing is noted");
    }

    /// Whether the thing `lamp` is connected, and when it was seen.
    fn seen(presence: &Presence) -> (Option<bool>, Option<u64>) {
        let mut lamp = Device { thing: "lamp".to_owned(), ..Device::default() };
        presence.complete(&mut lamp);
        (lamp.connected, lamp.seen_at_s)
    }

    #[test]
    fn a_thing_is_shown_as_connected_however_many_others_are_recorded() {
        let presence = Presence::new(true);
        (0..SEEN_THINGS_MAX).for_each(|i| presence.sent_request(&i.to_string(), 1));
        for at_s in [2, 4] {
            presence.connected("lamp", at_s);
            assert_eq!(seen(&presence), (Some(true), Some(at_s)));
            presence.disconnected("lamp", at_s + 1);
            assert_eq!(seen(&presence), (Some(false), None), "when it was seen is not recorded");
        }
        assert_eq!(presence.lock().len(), SEEN_THINGS_MAX);
    }

    #[test]
    fn a_thing_is_connected_until_its_last_connection_ends() {
        let presence = Presence::new(true);
        assert_eq!(seen(&presence), (Some(false), None));
        presence.connected("lamp", 1);
        presence.connected("lamp", 2);
        presence.disconnected("lamp", 3);
        assert_eq!(seen(&presence), (Some(true), Some(3)));
        presence.disconnected("lamp", 4);
        assert_eq!(seen(&presence), (Some(false), Some(4)));
        let presence = Presence::new(false);
        presence.sent_request("lamp", 5);
        assert_eq!(seen(&presence), (None, Some(5)), "this broker does not pass on connections");
    }
}
