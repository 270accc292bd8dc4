//! The contract of every platform as checks for a port: implement [`Bench`] and call [`check`].
//!
//! ```ignore
//! let violations = ota_pal::now(ota_pal::platform::contract::check(&mut my_bench)).unwrap();
//! assert_eq!(violations, []);
//! ```
//!
//! Each clause starts with a newly made device and resets it as often as needed. Power cuts are not checked here,
//! because they need a flash that simulates them; see the tests of this project.

mod bench;
mod clauses;

use std::vec::Vec;

pub use bench::{Bench, Violation};
pub use clauses::CLAUSES;

/// Checks every clause on a newly made device and returns the violations in the order of the clauses.
///
/// # Cancel safety
/// The device is left in an intermediate state; the next check makes it anew.
pub async fn check<B: Bench>(bench: &mut B) -> Vec<Violation> {
    clauses::check_all(bench).await
}
