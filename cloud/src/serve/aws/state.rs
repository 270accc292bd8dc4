//! What the AWS control API needs beside the store and the job service.

use super::key_ring::KeyRing;

/// Secrets of access keys, and the addresses that clients ask for.
#[derive(Clone, Debug)]
pub struct AwsState {
    /// Derives the secrets of access keys.
    pub key_ring: KeyRing,
    /// Host and port of the broker.
    pub mqtt: String,
    /// Host and port of the HTTP listener, as devices reach it.
    pub http: String,
}

impl AwsState {
    /// `base`: scheme, host and port of the HTTP listener.
    pub fn new(key_ring: KeyRing, mqtt: String, base: &str) -> Self {
        let http = base.split_once("://").map_or(base, |(_, address)| address).to_owned();
        Self { key_ring, mqtt, http }
    }
}
