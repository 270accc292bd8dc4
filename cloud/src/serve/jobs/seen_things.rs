//! Things that sent a request since the start. Used for a note when a job is created for an unknown name, which may be a
//! typing error; no decision depends on it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use crate::limits::{SEEN_THINGS_MAX, UNSEEN_LISTED_MAX};

/// Names of things, at most [`SEEN_THINGS_MAX`]; clones share them.
#[derive(Clone, Debug, Default)]
pub struct SeenThings(Arc<Mutex<HashSet<String>>>);

impl SeenThings {
    /// Records that this thing sent a request.
    pub fn add(&self, thing: &str) {
        let mut names = self.0.lock().expect("lock poisoned");
        if names.len() < SEEN_THINGS_MAX && !names.contains(thing) {
            names.insert(thing.to_owned());
        }
    }

    /// Returns all recorded names, in no order.
    pub fn names(&self) -> Vec<String> {
        self.0.lock().expect("lock poisoned").iter().cloned().collect()
    }

    /// Returns those of `things` that sent no request, at most [`UNSEEN_LISTED_MAX`]; none if the set is full.
    pub fn unseen(&self, things: &[String]) -> Vec<String> {
        let names = self.0.lock().expect("lock poisoned");
        if names.len() >= SEEN_THINGS_MAX {
            return Vec::new();
        }
        things.iter().filter(|thing| !names.contains(*thing)).take(UNSEEN_LISTED_MAX).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_unseen_until_it_sends_a_request() {
        let seen_things = SeenThings::default();
        let things = ["lamp".to_owned(), "door".to_owned()];
        assert_eq!(seen_things.unseen(&things), things);
        seen_things.clone().add("lamp");
        assert_eq!(seen_things.unseen(&things), things[1..]);
        (0..SEEN_THINGS_MAX).for_each(|i| seen_things.add(&i.to_string()));
        assert_eq!(seen_things.unseen(&things), Vec::<String>::new(), "the set is full");
    }
}
