//! Shared state of the HTTP handlers.

use super::url_limit::UrlLimit;
use crate::serve::access::Access;
use crate::serve::aws::state::AwsState;
use crate::serve::console::state::ConsoleState;
use crate::serve::files::Files;
use crate::serve::jobs::handle::JobsHandle;
use crate::serve::log::Log;
use crate::serve::metrics::Metrics;
use crate::serve::readiness::Readiness;
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
    /// Held by a revert: of two at once, each would create releases for the same devices.
    pub reverting: tokio::sync::Mutex<()>,
    /// Checks signed URLs.
    pub signer: Signer,
    /// Limits the responses of a signed URL.
    pub url_limit: UrlLimit,
    /// Recognises senders.
    pub access: Access,
    /// Sessions of the console.
    pub console: ConsoleState,
    /// Keys and addresses of the AWS control API.
    pub aws: AwsState,
    /// Message log.
    pub log: Log,
    /// Numbers for Prometheus.
    pub metrics: Metrics,
    /// Whether the service can work.
    pub readiness: Readiness,
}

#[cfg(test)]
impl App {
    /// An app with an empty store, the token `token` of the data directory, and one response at a time for each signed URL. Its job service
    /// returns no response.
    pub async fn for_tests(dir: &crate::testing::TempDir) -> Self {
        use crate::serve::jobs::presence::Presence;
        let store = Store::open(dir.path(), crate::limits::DATABASE_BYTES_MAX).await.unwrap();
        Self {
            readiness: Readiness::new(store.clone(), tokio::sync::watch::channel(true).1),
            metrics: Metrics::default(),
            access: Access::new(store.clone(), "token"),
            store,
            files: Files::open(dir.path()).unwrap(),
            jobs: JobsHandle::new(tokio::sync::mpsc::channel(1).0, Presence::new(true)),
            reverting: tokio::sync::Mutex::default(),
            signer: Signer::new(&[1; 32], String::new(), std::time::Duration::from_secs(60)),
            url_limit: UrlLimit::new(1),
            console: ConsoleState::new(false, String::new()),
            aws: AwsState::new(crate::serve::aws::key_ring::KeyRing::new(&[2; 32]), String::new(), ""),
            log: Log::new(crate::serve::log::Format::Quiet),
        }
    }
}
