//! What every platform must promise, as checks that a port can be put through: implement [`Bench`], call [`check`].
//!
//! ```ignore
//! let violations = ota_pal::now(ota_pal::contract::check(&mut my_bench)).unwrap();
//! assert_eq!(violations, []);
//! ```
//!
//! Each clause starts from a device as it was made, and resets it as often as it needs. What a power cut leaves is not
//! checked here: that needs a flash that can be cut, see the tests of this project.

mod bench;
mod clauses;

use std::vec::Vec;

pub use bench::{Bench, Violation};
pub use clauses::CLAUSES;

/// Checks every clause on a device that is made new for each; what is violated, in the order of the clauses.
///
/// Dropped: the device is left as it was then.
pub async fn check<B: Bench>(bench: &mut B) -> Vec<Violation> {
    clauses::check_all(bench).await
}
