//! The arguments of an agent that differ from boot to boot, and the errors of starting an agent or a local update.

use ota_jobs::Reason;
use ota_pal::Fault;

use crate::machine::Instant;

/// An agent that cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The device's own flash cannot be read, or its records are of an unknown format.
    Platform(Fault),
}

/// What differs from boot to boot.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Seeds the jitter of retries and the client tokens: should differ from device to device and from boot to boot.
    pub seed: u64,
    /// The current time.
    pub now: Instant,
}

/// Why [`Agent::update_now`](crate::Agent::update_now) did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartRefused {
    /// A job is active.
    Busy,
    /// This device cannot do what the document asks for.
    Document(Reason),
    /// The document has no update.
    NotAnUpdate,
}
