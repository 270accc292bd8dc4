//! What a check reports, and the waits that the clauses share.

use core::fmt::Debug;
use core::future::Future;
use std::format;
use std::string::String;

use embassy_time::{Duration, with_timeout};
pub use ota_pal::platform::conformance::Violation;

/// The longest wait for what must happen.
const LIMIT: Duration = Duration::from_secs(5);
/// The wait for what must not happen.
pub(super) const QUIET: Duration = Duration::from_millis(300);

/// The observation that ends a clause early.
pub(super) struct Seen(pub(super) String);

/// Waits for what must happen.
pub(super) async fn in_time<F: Future>(what: &str, future: F) -> Result<F::Output, Seen> {
    with_timeout(LIMIT, future).await.map_err(|_| Seen(format!("no end of: {what}")))
}

/// Fails the clause unless both values are equal.
pub(super) fn same<T: PartialEq + Debug>(what: &str, is: T, must_be: T) -> Result<(), Seen> {
    match is == must_be {
        true => Ok(()),
        false => Err(Seen(format!("{what} is {is:?}, and must be {must_be:?}"))),
    }
}

/// Checks those clauses of all that are asked for, and collects the violations.
macro_rules! check_in_order {
    ($all:ident, $only:ident, $bench:ident, $($clause:ident),+ $(,)?) => {{
        let mut violations = std::vec::Vec::new();
        let mut sentences = $all.into_iter();
        $(
            let clause = sentences.next().expect("every clause has a sentence");
            if $only.contains(&clause)
                && let Err(Seen(seen)) = $clause($bench).await
            {
                violations.push(Violation { clause, seen });
            }
        )+
        violations
    }};
}
pub(super) use check_in_order;
