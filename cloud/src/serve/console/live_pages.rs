//! Limits the live pages: each holds a connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::limits::{LIVE_PAGES_MAX, LIVE_PAGES_PER_SESSION_MAX};
use crate::serve::secret::SecretDigest;

type Counts = HashMap<SecretDigest, usize>;

/// The number of live pages of each session.
#[derive(Debug, Default)]
pub struct LivePages(Arc<Mutex<Counts>>);

/// One live page; dropping it makes room for another.
#[derive(Debug)]
pub struct LivePage {
    counts: Arc<Mutex<Counts>>,
    session: SecretDigest,
}

impl LivePages {
    /// Adds a live page of this session; `None` if the session or the service has too many.
    pub fn add(&self, session: SecretDigest) -> Option<LivePage> {
        let mut counts = self.0.lock().expect("lock poisoned");
        let total: usize = counts.values().sum();
        let own = counts.get(&session).copied().unwrap_or(0);
        if total >= LIVE_PAGES_MAX || own >= LIVE_PAGES_PER_SESSION_MAX {
            return None;
        }
        counts.insert(session, own + 1);
        Some(LivePage { counts: Arc::clone(&self.0), session })
    }
}

impl Drop for LivePage {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().expect("lock poisoned");
        match counts.get_mut(&self.session) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(&self.session)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_live_pages_of_a_session_and_of_all_are_limited() {
        let pages = LivePages::default();
        let key = |i: usize| SecretDigest::of(&i.to_string());
        let mut own: Vec<_> = (0..LIVE_PAGES_PER_SESSION_MAX).map(|_| pages.add(key(0)).unwrap()).collect();
        assert!(pages.add(key(0)).is_none());
        own.pop();
        assert!(pages.add(key(0)).is_some(), "dropped at once");
        let others: Vec<_> = (1..=LIVE_PAGES_MAX).filter_map(|i| pages.add(key(i))).collect();
        assert_eq!(own.len() + others.len(), LIVE_PAGES_MAX);
        drop((own, others));
        assert!(pages.0.lock().unwrap().is_empty());
    }
}
