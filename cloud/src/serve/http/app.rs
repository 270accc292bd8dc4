//! What the HTTP handlers share.

use crate::serve::files::Files;
use crate::serve::jobs::handle::JobsHandle;
use crate::serve::log::Log;
use crate::serve::signed_url::Signer;
use crate::store::Store;

/// The parts of the service that requests are answered from.
pub struct App {
    /// Everything durable.
    pub store: Store,
    /// The bytes of images.
    pub files: Files,
    /// Orders go there.
    pub jobs: JobsHandle,
    /// Checks signed URLs.
    pub signer: Signer,
    /// SHA-256 of the admin token.
    pub token_digest: Vec<u8>,
    /// Where lines go.
    pub log: Log,
}
