//! Where the begin of a device's session comes from. The embedded broker has each connection of a device; an external one does
//! not pass it on, and there the first request after a silence counts.

use std::collections::HashMap;
use std::time::Instant;

use tokio::sync::mpsc;

use super::command::Command;
use crate::limits::{SEEN_THINGS_MAX, SESSION_SILENCE};

/// Passes the begin of sessions to the job actor; clones share one channel.
#[derive(Clone, Debug)]
pub struct Sessions(mpsc::Sender<Command>);

impl Sessions {
    /// Passes them to `commands`.
    pub fn new(commands: mpsc::Sender<Command>) -> Self {
        Self(commands)
    }

    /// A session of this thing begins. When this returns, it is queued before every later request of the thing.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the session may not be noticed: what waits for it waits for the next one.
    pub async fn begin(&self, thing: String) {
        // Without a receiver the service is stopping.
        let _ = self.0.send(Command::Session { thing }).await;
    }
}

/// When each thing sent its last request, for at most [`SEEN_THINGS_MAX`] things.
#[derive(Debug, Default)]
pub struct Silences(HashMap<String, Instant>);

impl Silences {
    /// Returns whether this request begins a session: there was none of the thing for [`SESSION_SILENCE`]. With more things than
    /// are counted, each request of a further one does.
    pub fn ends(&mut self, thing: &str, now: Instant) -> bool {
        match self.0.get_mut(thing) {
            Some(at) => now.duration_since(std::mem::replace(at, now)) >= SESSION_SILENCE,
            None => {
                if self.0.len() < SEEN_THINGS_MAX {
                    self.0.insert(thing.to_owned(), now);
                }
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_begins_a_session_only_after_a_silence() {
        let (mut silences, start) = (Silences::default(), Instant::now());
        let just_before = SESSION_SILENCE - std::time::Duration::from_millis(1);
        assert!(silences.ends("lamp", start));
        assert!(!silences.ends("lamp", start + just_before));
        assert!(!silences.ends("lamp", start + just_before * 2), "each request begins the silence anew");
        assert!(silences.ends("lamp", start + just_before * 2 + SESSION_SILENCE));
        assert!(silences.ends("door", start));
    }
}
