//! Boot selection: reads `ota-pal`'s boot record, counts the trial, ends it.
//!
//! A library for boot selectors; the binaries live with their boards. [`select`] decides from the record alone,
//! [`boot`](boot()) carries the decision out over a flash whose slots run in place, [`boot_staged`] over one whose slots
//! only keep images: it copies the chosen one to where it runs. Nothing here verifies a signature: the agent did before it
//! activated, and the digest in the boot record binds the slot to what it verified.
//!
//! A blocking selector wraps its driver in `ota_pal::Blocking` and calls `ota_pal::now(boot(..))`.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(test)]
extern crate std;

mod boot;
mod copy;
mod select;
mod staged;

pub use boot::{Boot, BootError, Cause, Scrutiny, boot};
pub use select::{Decision, REASON_ATTEMPTS_EXHAUSTED, REASON_TRIAL_IMAGE_CORRUPT, fallback, select};
pub use staged::boot_staged;
