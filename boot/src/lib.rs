//! Boot selection: reads `ota-pal`'s boot record, counts the boots of a trial and ends it.
//!
//! A library for boot selectors; the binaries belong to their boards. [`select`] decides from the record alone,
//! [`boot`](boot()) carries the decision out over a flash whose slots run in place, [`boot_staged`] over one whose
//! slots only store images: it copies the chosen image to the executing region. No signature is verified here: the
//! agent verifies it before activation, and the digest in the boot record binds the slot to the verified image.
//!
//! A selector over a blocking driver wraps it in `ota_pal::Blocking` and calls [`blocking::boot`] without an executor.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(test)]
extern crate std;

mod exact;
mod outcome;
mod select;

// Code that reads and writes flash is compiled twice from one source, as in `ota-pal`.
#[path = "."]
mod asynchronous {
    mod carry_out;
    mod copy;
    pub mod in_place;
    mod selector;
    pub mod staged;
    mod strategy;

    use bisync_macros::internal_noop as bisync;
    use ota_pal::asynchronous as pal;
}

/// Boot selection over blocking drivers: the same functions without `async`, in less code (`tests/size/run`).
#[path = "."]
#[allow(clippy::duplicate_mod)]
pub mod blocking {
    mod carry_out;
    mod copy;
    mod in_place;
    mod selector;
    mod staged;
    mod strategy;

    use bisync_macros::internal_strip_async as bisync;
    pub use in_place::boot;
    use ota_pal::blocking as pal;
    pub use staged::boot_staged;
}

pub use asynchronous::in_place::boot;
pub use asynchronous::staged::boot_staged;
pub use outcome::{Boot, BootContext, BootError, BootReason, ResetCause, VerifyLevel};
pub use select::{Decision, REASON_ATTEMPTS_EXHAUSTED, REASON_TRIAL_IMAGE_CORRUPT, fallback, select};
