//! Conformance checks for a port: the clauses that every platform fulfils. Implement [`TestBoard`] and call [`check`].
//!
//! ```ignore
//! let violations = ota_pal::poll_ready(ota_pal::platform::conformance::check(&mut my_board)).unwrap();
//! assert_eq!(violations, []);
//! ```
//!
//! Each check starts with a device in its initial state, and resets it as often as needed. Power cuts are not checked
//! here, because they need a flash that simulates them; see the tests of this project.

mod clauses;
mod test_board;

use std::vec::Vec;

pub use clauses::CLAUSES;
pub use test_board::{TestBoard, Violation};

/// Checks every clause on a device in its initial state and returns the violations in the order of the clauses.
///
/// # Cancel safety
/// The device is left in an intermediate state; the next check returns it to the initial one.
pub async fn check<B: TestBoard>(bench: &mut B) -> Vec<Violation> {
    clauses::check_all(bench).await
}
