//! What the console keeps in memory; a restart ends all sessions.

use super::live_pages::LivePages;
use super::sessions::Sessions;

/// Sessions and their live pages.
#[derive(Debug)]
pub struct ConsoleState {
    /// The sessions.
    pub sessions: Sessions,
    /// Limits live pages.
    pub live_pages: LivePages,
    /// Whether pages come over HTTPS only.
    pub tls: bool,
    /// Address of the broker, for pages that have no devices to show.
    pub mqtt: String,
}

impl ConsoleState {
    /// Starts without sessions.
    pub fn new(tls: bool, mqtt: String) -> Self {
        Self { sessions: Sessions::default(), live_pages: LivePages::default(), tls, mqtt }
    }
}
