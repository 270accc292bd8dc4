//! Shared state of the HTTP handlers.

use super::url_limit::UrlLimit;
use crate::serve::console::state::ConsoleState;
use crate::serve::files::Files;
use crate::serve::jobs::handle::JobsHandle;
use crate::serve::log::Log;
use crate::serve::secret::SecretDigest;
use crate::serve::signed_url::Signer;
use crate::store::Store;

/// Shared state of the HTTP handlers.
pub struct App {
    /// Database.
    pub store: Store,
    /// Image files.
    pub files: Files,
    /// Job service.
    pub jobs: JobsHandle,
    /// Checks signed URLs.
    pub signer: Signer,
    /// Limits the responses of a signed URL.
    pub url_limit: UrlLimit,
    /// The admin token.
    pub token: SecretDigest,
    /// Sessions of the console.
    pub console: ConsoleState,
    /// Message log.
    pub log: Log,
}
