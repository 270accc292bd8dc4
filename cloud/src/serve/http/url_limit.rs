//! Limits the responses that one signed URL has at a time, so that a URL in wrong hands does not take all connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The URLs in use; clones share them.
#[derive(Clone, Debug)]
pub struct UrlLimit {
    max: usize,
    in_use: Arc<Mutex<HashMap<String, usize>>>,
}

/// One response of a URL, until it is dropped.
#[derive(Debug)]
pub struct UrlPermit {
    limit: UrlLimit,
    url: String,
}

impl UrlLimit {
    /// Creates a limit of `max` responses for each URL.
    pub fn new(max: usize) -> Self {
        Self { max, in_use: Arc::default() }
    }

    /// Returns a permit for a response, or `None` if the URL has as many as it may.
    pub fn acquire(&self, url: &str) -> Option<UrlPermit> {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        let count = in_use.entry(url.to_owned()).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(UrlPermit { limit: self.clone(), url: url.to_owned() })
    }
}

impl Drop for UrlPermit {
    fn drop(&mut self) {
        let mut in_use = self.limit.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = in_use.get_mut(&self.url) {
            *count -= 1;
            if *count == 0 {
                in_use.remove(&self.url);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_its_permits_again_when_they_are_dropped() {
        let limit = UrlLimit::new(2);
        let first = limit.acquire("a");
        let second = limit.acquire("a");
        assert!(first.is_some() && second.is_some() && limit.acquire("a").is_none());
        assert!(limit.acquire("b").is_some(), "of another URL");
        drop(first);
        assert!(limit.acquire("a").is_some());
        drop(second);
        assert!(limit.in_use.lock().unwrap().is_empty(), "no URL is stored without a response");
    }
}
