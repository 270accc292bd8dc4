//! Which things were seen_things of since the start, for a note to whoever creates a job for a name with a slip in it.
//! It decides nothing.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use crate::limits::{SEEN_THINGS_MAX, UNSEEN_LISTED_MAX};

/// The names, at most a named number of them; clones share them.
#[derive(Clone, Debug, Default)]
pub struct SeenThings(Arc<Mutex<HashSet<String>>>);

impl SeenThings {
    /// This thing asked for something.
    pub fn add(&self, thing: &str) {
        let mut names = self.0.lock().expect("nobody panics with it");
        if names.len() < SEEN_THINGS_MAX && !names.contains(thing) {
            names.insert(thing.to_owned());
        }
    }

    /// Those of `things` that were never seen_things of, at most a named number; none when no more names can be kept.
    pub fn unseen(&self, things: &[String]) -> Vec<String> {
        let names = self.0.lock().expect("nobody panics with it");
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
    fn a_thing_is_missing_until_it_says_something() {
        let seen_things = SeenThings::default();
        let things = ["lamp".to_owned(), "door".to_owned()];
        assert_eq!(seen_things.unseen(&things), things);
        seen_things.clone().add("lamp");
        assert_eq!(seen_things.unseen(&things), things[1..]);
        (0..SEEN_THINGS_MAX).for_each(|i| seen_things.add(&i.to_string()));
        assert_eq!(seen_things.unseen(&things), Vec::<String>::new(), "it cannot know any more");
    }
}
