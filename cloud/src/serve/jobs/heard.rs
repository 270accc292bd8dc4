//! Which things were heard of since the start, for a note to whoever creates a job for a name with a slip in it.
//! It decides nothing.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use crate::limits::{THINGS_HEARD_MAX, THINGS_NOTED_MAX};

/// The names, at most a named number of them; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Heard(Arc<Mutex<HashSet<String>>>);

impl Heard {
    /// This thing asked for something.
    pub fn add(&self, thing: &str) {
        let mut names = self.0.lock().expect("nobody panics with it");
        if names.len() < THINGS_HEARD_MAX && !names.contains(thing) {
            names.insert(thing.to_owned());
        }
    }

    /// Those of `things` that were never heard of, at most a named number; none when no more names can be kept.
    pub fn missing(&self, things: &[String]) -> Vec<String> {
        let names = self.0.lock().expect("nobody panics with it");
        if names.len() >= THINGS_HEARD_MAX {
            return Vec::new();
        }
        things.iter().filter(|thing| !names.contains(*thing)).take(THINGS_NOTED_MAX).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_missing_until_it_says_something() {
        let heard = Heard::default();
        let things = ["lamp".to_owned(), "door".to_owned()];
        assert_eq!(heard.missing(&things), things);
        heard.clone().add("lamp");
        assert_eq!(heard.missing(&things), things[1..]);
        (0..THINGS_HEARD_MAX).for_each(|i| heard.add(&i.to_string()));
        assert_eq!(heard.missing(&things), Vec::<String>::new(), "it cannot know any more");
    }
}
