//! Limits failed sign-ins by name: at most `SIGN_IN_FAILURES_MAX` within `SIGN_IN_WINDOW`. Other names are not affected.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::limits::{SIGN_IN_FAILURES_MAX, SIGN_IN_NAMES_MAX, SIGN_IN_WINDOW};

/// Too many sign-ins with a name failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManySignIns {
    /// When the next one is allowed.
    pub wait: Duration,
}

/// The times of the last failed sign-ins of each name, of at most `SIGN_IN_NAMES_MAX` names.
#[derive(Debug, Default)]
pub struct SignInLimit(Mutex<HashMap<String, VecDeque<Instant>>>);

impl SignInLimit {
    /// Begins a sign-in, which counts as failed until it succeeds: those that are made at the same time count, too.
    pub fn begin(&self, name: &str, now: Instant) -> Result<(), TooManySignIns> {
        let mut names = self.0.lock().expect("lock poisoned");
        names.retain(|_, failures| {
            failures.retain(|at| now.saturating_duration_since(*at) < SIGN_IN_WINDOW);
            !failures.is_empty()
        });
        if let Some(failures) = names.get(name).filter(|failures| failures.len() >= SIGN_IN_FAILURES_MAX) {
            let oldest = failures.front().map_or(Duration::ZERO, |at| now.saturating_duration_since(*at));
            return Err(TooManySignIns { wait: SIGN_IN_WINDOW.saturating_sub(oldest) });
        }
        if names.len() >= SIGN_IN_NAMES_MAX && !names.contains_key(name) {
            // The name that failed longest ago gives way.
            let oldest = names.iter().min_by_key(|(_, failures)| failures.back().copied());
            let oldest = oldest.map(|(name, _)| name.clone());
            oldest.and_then(|name| names.remove(&name));
        }
        names.entry(name.to_owned()).or_default().push_back(now);
        Ok(())
    }

    /// A sign-in that was begun at this time has succeeded.
    pub fn succeeded(&self, name: &str, begun_at: Instant) {
        let mut names = self.0.lock().expect("lock poisoned");
        if let Some(failures) = names.get_mut(name)
            && let Some(at) = failures.iter().position(|at| *at == begun_at)
        {
            failures.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_many_failures_a_name_waits_for_the_window_to_pass_and_others_do_not() {
        let (limit, begin) = (SignInLimit::default(), Instant::now());
        for _ in 0..SIGN_IN_FAILURES_MAX {
            assert_eq!(limit.begin("ann", begin), Ok(()));
        }
        let half = begin + SIGN_IN_WINDOW / 2;
        assert_eq!(limit.begin("ann", half), Err(TooManySignIns { wait: SIGN_IN_WINDOW / 2 }));
        assert_eq!(limit.begin("bob", half), Ok(()));
        assert_eq!(limit.begin("ann", begin + SIGN_IN_WINDOW), Ok(()));
    }

    #[test]
    fn a_sign_in_that_succeeds_is_no_failure() {
        let (limit, begin) = (SignInLimit::default(), Instant::now());
        for _ in 0..=SIGN_IN_FAILURES_MAX {
            assert_eq!(limit.begin("ann", begin), Ok(()));
            limit.succeeded("ann", begin);
        }
    }

    #[test]
    fn a_flood_of_names_takes_a_bounded_place() {
        let (limit, begin) = (SignInLimit::default(), Instant::now());
        for i in 0..=SIGN_IN_NAMES_MAX {
            limit.begin(&i.to_string(), begin + Duration::from_millis(i as u64)).unwrap();
        }
        let names = limit.0.lock().unwrap();
        assert_eq!((names.len(), names.contains_key("0"), names.contains_key("1")), (SIGN_IN_NAMES_MAX, false, true));
    }
}
