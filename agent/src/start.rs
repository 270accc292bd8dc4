//! The arguments of an agent that differ from boot to boot, and the errors of starting an agent or a local update.

use ota_jobs::Reason;
use ota_pal::{Digest, Fault, Version};

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

/// An update that the application starts without a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Update<'a> {
    /// What an `afr_ota` job document asks for.
    Document(&'a [u8]),
    /// An image by its digest. Refused unless the device's verifier is an [`AcceptDigest`](ota_pal::AcceptDigest).
    Image {
        /// Where it is: an absolute URL of a server that the device's HTTP client allows.
        url: &'a str,
        /// Its length.
        image_bytes: u32,
        /// The version in its header, unless it runs already. The device's [`VersionRule`](ota_pal::VersionRule) applies as to
        /// every image.
        version: Version,
        /// Its SHA-256.
        digest: Digest,
    },
}

/// Why [`Agent::update_now`](crate::Agent::update_now) did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartRefused {
    /// A job is active.
    Busy,
    /// This device cannot do what was asked for.
    Unsuitable(Reason),
    /// The document has no update.
    NotAnUpdate,
}
