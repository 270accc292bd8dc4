//! Boot selection for devices whose slots are run in place: reads `ota-pal`'s boot record, counts the trial, ends it.
//!
//! A library for boot selectors; the binaries live with their boards. [`select`] decides from the record alone,
//! [`boot`] carries the decision out over a flash. Nothing here verifies a signature: the agent did before it
//! activated, and the digest in the boot record binds the slot to what it verified.
//!
//! A blocking selector wraps its driver in `ota_pal::Blocking` and calls `ota_pal::now(boot(..))`.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(test)]
extern crate std;

mod boot;
mod select;

pub use boot::{Boot, BootError, Cause, Scrutiny, boot};
pub use select::{Decision, REASON_ATTEMPTS_EXHAUSTED, REASON_TRIAL_IMAGE_CORRUPT, fallback, select};
