//! Limits failed sign-ins of all clients together: at most `SIGN_IN_FAILURES_MAX` within `SIGN_IN_WINDOW`.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::limits::{SIGN_IN_FAILURES_MAX, SIGN_IN_WINDOW};

/// Why a sign-in is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInRefusal {
    /// The token is wrong.
    Wrong,
    /// Too many sign-ins failed; the token was not compared.
    TooMany {
        /// When the next one is allowed.
        wait: Duration,
    },
}

/// The times of the last failed sign-ins.
#[derive(Debug, Default)]
pub struct SignInLimit(Mutex<VecDeque<Instant>>);

impl SignInLimit {
    /// Makes one attempt: `is_right` compares the token, unless too many failed before.
    pub fn attempt(&self, now: Instant, is_right: impl FnOnce() -> bool) -> Result<(), SignInRefusal> {
        let mut failures = self.0.lock().expect("lock poisoned");
        failures.retain(|at| now.saturating_duration_since(*at) < SIGN_IN_WINDOW);
        if failures.len() >= SIGN_IN_FAILURES_MAX {
            let oldest = failures.front().map_or(Duration::ZERO, |at| now.saturating_duration_since(*at));
            return Err(SignInRefusal::TooMany { wait: SIGN_IN_WINDOW.saturating_sub(oldest) });
        }
        if is_right() {
            return Ok(());
        }
        failures.push_back(now);
        Err(SignInRefusal::Wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_many_failures_the_right_token_waits_for_the_window_to_pass() {
        let (limit, begin) = (SignInLimit::default(), Instant::now());
        for _ in 0..SIGN_IN_FAILURES_MAX {
            assert_eq!(limit.attempt(begin, || false), Err(SignInRefusal::Wrong));
        }
        let half = begin + SIGN_IN_WINDOW / 2;
        assert_eq!(limit.attempt(half, || true), Err(SignInRefusal::TooMany { wait: SIGN_IN_WINDOW / 2 }));
        assert_eq!(limit.attempt(begin + SIGN_IN_WINDOW, || true), Ok(()));
    }
}
