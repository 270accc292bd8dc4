//! Sessions of signed-in people: random ids with a lifetime, in memory. The cookie that carries the id is in `cookie`.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use tokio::sync::watch;

use crate::limits::{SESSION_LIFETIME, SESSIONS_MAX, SESSIONS_PER_NAME_MAX};
use crate::serve::access::Principal;
use crate::serve::files::random_hex;
use crate::serve::secret::SecretDigest;

/// Length of a session id and of the token of its forms. Unit: random bytes.
const ID_BYTES: usize = 32;

/// A session that was found by the id of its cookie.
#[derive(Clone, Debug)]
pub struct Session {
    /// Digest of its id.
    pub key: SecretDigest,
    /// Who signed in, with the role of that time; the guard renews it.
    pub principal: Principal,
    /// The token that each form of the session carries.
    pub form_token: String,
}

impl Session {
    /// Whether a form carries the token of this session.
    pub fn is_form_token(&self, given: &str) -> bool {
        SecretDigest::of(&self.form_token).is(given)
    }
}

#[derive(Debug)]
struct Entry {
    principal: Principal,
    form_token: String,
    begun_at: Instant,
}

/// The open sessions, at most [`SESSIONS_MAX`], of them [`SESSIONS_PER_NAME_MAX`] of one account or token.
#[derive(Debug)]
pub struct Sessions {
    /// By the digest of the id: the time of the search reveals nothing about an id.
    open: Mutex<HashMap<SecretDigest, Entry>>,
    ended: watch::Sender<()>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { open: Mutex::default(), ended: watch::channel(()).0 }
    }
}

impl Sessions {
    /// Begins a session and returns its id; ends the oldest one of the same name, or of all, if there are too many.
    pub fn begin(&self, principal: Principal, now: Instant) -> String {
        let id = random_hex::<ID_BYTES>();
        let entry = Entry { principal, form_token: random_hex::<ID_BYTES>(), begun_at: now };
        let mut open = self.open.lock().expect("lock poisoned");
        open.retain(|_, entry| is_open(entry, now));
        let name = entry.principal.name.clone();
        remove_oldest(&mut open, SESSIONS_PER_NAME_MAX, |other| other.principal.name == name);
        remove_oldest(&mut open, SESSIONS_MAX, |_| true);
        open.insert(SecretDigest::of(&id), entry);
        drop(open);
        self.ended.send_replace(());
        id
    }

    /// Returns the session with this id unless it has ended.
    pub fn find(&self, id: &str, now: Instant) -> Option<Session> {
        let key = SecretDigest::of(id);
        let open = self.open.lock().expect("lock poisoned");
        let entry = open.get(&key).filter(|entry| is_open(entry, now))?;
        Some(Session { key, principal: entry.principal.clone(), form_token: entry.form_token.clone() })
    }

    /// Whether this session is still open.
    pub fn is_open(&self, session: &Session, now: Instant) -> bool {
        let open = self.open.lock().expect("lock poisoned");
        open.get(&session.key).is_some_and(|entry| is_open(entry, now))
    }

    /// Ends a session.
    pub fn end(&self, session: &Session) {
        self.open.lock().expect("lock poisoned").remove(&session.key);
        self.ended.send_replace(());
    }

    /// Changes whenever a session may have ended before its lifetime.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.ended.subscribe()
    }
}

/// Makes room for one more of these sessions, of which there are at most `max`.
fn remove_oldest(open: &mut HashMap<SecretDigest, Entry>, max: usize, is_one: impl Fn(&Entry) -> bool) {
    let ones = || open.iter().filter(|(_, entry)| is_one(entry));
    if ones().count() >= max {
        let oldest = ones().min_by_key(|(_, entry)| entry.begun_at).map(|(key, _)| *key);
        oldest.and_then(|key| open.remove(&key));
    }
}

fn is_open(entry: &Entry, now: Instant) -> bool {
    now.saturating_duration_since(entry.begun_at) < SESSION_LIFETIME
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::Role;
    use crate::serve::access::Credential;
    use std::time::Duration;

    fn ann() -> Principal {
        named("ann")
    }

    fn named(name: &str) -> Principal {
        Principal { name: name.into(), role: Role::Viewer, credential: Credential::DataToken }
    }

    #[test]
    fn a_session_ends_by_its_lifetime_and_by_a_sign_out() {
        let (sessions, begin) = (Sessions::default(), Instant::now());
        let id = sessions.begin(ann(), begin);
        let last = begin + SESSION_LIFETIME - Duration::from_secs(1);
        assert!(sessions.find(&id, last).is_some());
        assert!(sessions.find(&id, begin + SESSION_LIFETIME).is_none());
        assert!(sessions.find("", begin).is_none());
        let session = sessions.find(&id, begin).unwrap();
        assert!(session.is_form_token(&session.form_token) && !session.is_form_token(""));
        sessions.end(&session);
        assert!(sessions.find(&id, begin).is_none() && !sessions.is_open(&session, begin));
    }

    #[test]
    fn a_sign_in_beyond_the_limit_ends_the_oldest_session() {
        let (sessions, begin) = (Sessions::default(), Instant::now());
        let at = |i: usize| begin + Duration::from_secs(i as u64);
        let ids: Vec<String> = (0..=SESSIONS_MAX).map(|i| sessions.begin(named(&i.to_string()), at(i))).collect();
        let open = ids.iter().filter(|id| sessions.find(id, at(SESSIONS_MAX)).is_some()).count();
        assert_eq!((open, sessions.find(&ids[0], begin).is_none()), (SESSIONS_MAX, true));
    }

    #[test]
    fn many_sign_ins_of_one_end_no_session_of_another() {
        let (sessions, begin) = (Sessions::default(), Instant::now());
        let other = sessions.begin(ann(), begin);
        let at = |i: usize| begin + Duration::from_secs(i as u64);
        let ids: Vec<String> = (0..2 * SESSIONS_MAX).map(|i| sessions.begin(named("eve"), at(i))).collect();
        assert!(sessions.find(&other, begin).is_some());
        let open = ids.iter().filter(|id| sessions.find(id, begin).is_some()).count();
        assert_eq!(open, SESSIONS_PER_NAME_MAX);
    }
}
