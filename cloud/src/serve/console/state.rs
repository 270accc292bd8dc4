//! What the console keeps in memory; a restart ends all sessions.

use super::live_pages::LivePages;
use super::sessions::Sessions;
use super::sign_in_limit::SignInLimit;

/// Sessions, their live pages, and the limit of failed sign-ins.
#[derive(Debug)]
pub struct ConsoleState {
    /// The sessions.
    pub sessions: Sessions,
    /// Limits failed sign-ins.
    pub sign_ins: SignInLimit,
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
        Self {
            sessions: Sessions::default(),
            sign_ins: SignInLimit::default(),
            live_pages: LivePages::default(),
            tls,
            mqtt,
        }
    }
}
