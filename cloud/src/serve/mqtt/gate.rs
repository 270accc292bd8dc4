//! Who may do what at the embedded broker. The rules only; `broker.rs` ties them to the broker crate.
//!
//! A client belongs to a thing: over TLS to the one its certificate's common name names, without TLS to the one its
//! client id names. A client id is the thing's name, or the name, a dot and anything, for a second connection.
//! The name has to be one that a thing can have: `+` would be a wildcard for everybody's topics.
//! A thing publishes and subscribes below `$aws/things/{thing}/` and on topics without `$`. Only the service,
//! known by a password made at start, has everything.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use ota_jobs::ThingName;
use ring::rand::{SecureRandom, SystemRandom};

use super::transport::SERVICE;

/// Bytes of the password that the service makes for itself.
const PASSWORD_BYTES: usize = 32;

/// The policy, and what it knows of the connections.
#[derive(Debug)]
pub struct Gate {
    password: String,
    /// With TLS: the thing behind each connection that the TLS front made; other connections are refused.
    fronted: Option<Mutex<HashMap<SocketAddr, String>>>,
}

/// Who a connection belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// The service.
    Service,
    /// A device of this thing.
    Thing(String),
}

impl Gate {
    /// A policy with a fresh password.
    ///
    /// `tls`: devices come only through the TLS front.
    pub fn new(tls: bool) -> Self {
        let mut bytes = [0; PASSWORD_BYTES];
        SystemRandom::new().fill(&mut bytes).expect("the system has randomness");
        let password = hex::encode(bytes);
        Self { password, fronted: tls.then(Mutex::default) }
    }

    /// The service's password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The TLS front says which thing connects from `address`.
    pub fn announce(&self, address: SocketAddr, thing: String) {
        if let Some(fronted) = &self.fronted {
            fronted.lock().expect("nobody panics with it").insert(address, thing);
        }
    }

    /// The connection from `address` is over.
    pub fn forget(&self, address: SocketAddr) {
        if let Some(fronted) = &self.fronted {
            fronted.lock().expect("nobody panics with it").remove(&address);
        }
    }

    /// Who connects; `None`: nobody that is let in.
    pub fn admit(&self, address: SocketAddr, client_id: &str, user: Option<&str>, password: &[u8]) -> Option<Who> {
        if client_id == SERVICE || user == Some(SERVICE) {
            // Constant time is no concern: 256 random bits that live as long as the process.
            let known = user == Some(SERVICE) && password == self.password.as_bytes();
            return known.then_some(Who::Service);
        }
        let named = thing_of(client_id);
        let thing = match &self.fronted {
            Some(fronted) => fronted.lock().expect("nobody panics with it").get(&address)?.clone(),
            None => named.to_owned(),
        };
        (thing == named && is_thing(named)).then_some(Who::Thing(thing))
    }
}

/// The thing that a client id belongs to. A thing's name has no dot, so the rest is free.
pub fn thing_of(client_id: &str) -> &str {
    client_id.split_once('.').map_or(client_id, |(thing, _)| thing)
}

/// Is it a name that a thing can have, without a wildcard or a level in it?
pub fn is_thing(name: &str) -> bool {
    ThingName::new(name).is_ok()
}

/// May this thing's client publish to this topic, or subscribe to this filter?
pub fn may_use(thing: &str, filter: &str) -> bool {
    let filter = shared(filter);
    if !filter.starts_with('$') {
        // `#` and `+` do not match topics that begin with `$` (MQTT 5, section 4.7.2).
        return true;
    }
    let rest = filter.strip_prefix("$aws/things/").and_then(|rest| rest.strip_prefix(thing));
    is_thing(thing) && rest.is_some_and(|rest| rest.starts_with('/'))
}

/// The filter inside a shared subscription (MQTT 5, section 4.8.2), or the filter.
fn shared(filter: &str) -> &str {
    let inner = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
    inner.map_or(filter, |(_, filter)| filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "127.0.0.1:4000";

    fn here() -> SocketAddr {
        HERE.parse().unwrap()
    }

    #[test]
    fn a_thing_reaches_its_own_topics_and_no_others() {
        for (filter, allowed) in [
            ("$aws/things/lamp/jobs/notify", true),
            ("$aws/things/lamp/#", true),
            ("$share/g/$aws/things/lamp/#", true),
            ("weather/#", true),
            ("#", true),
            ("$aws/things/lamp2/jobs/notify", false),
            ("$aws/things/lam/jobs/notify", false),
            ("$aws/things/+/jobs/notify", false),
            ("$aws/#", false),
            ("$share/g/$aws/#", false),
            ("$share/g/$aws/things/other/#", false),
            ("$SYS/#", false),
            ("$aws/things/lamp", false),
        ] {
            assert_eq!(may_use("lamp", filter), allowed, "{filter}");
        }
    }

    #[test]
    fn a_client_whose_name_no_thing_can_have_is_not_let_in() {
        let gate = Gate::new(false);
        for id in ["+", "+.x", "#", "", ".x", "a/b", "$SYS", "a b", "l\u{e4}mp", &"t".repeat(129)] {
            assert_eq!(gate.admit(here(), id, None, b""), None, "{id}");
            assert!(!may_use(thing_of(id), &format!("$aws/things/{}/jobs/#", thing_of(id))), "{id}");
        }
        let long = "t".repeat(128);
        assert_eq!(gate.admit(here(), &long, None, b""), Some(Who::Thing(long.clone())));
        let behind_tls = Gate::new(true);
        behind_tls.announce(here(), "+".into());
        assert_eq!(behind_tls.admit(here(), "+", None, b""), None);
    }

    #[test]
    fn the_service_is_known_by_its_password_alone() {
        let gate = Gate::new(false);
        let password = gate.password().as_bytes().to_vec();
        assert_eq!(gate.admit(here(), SERVICE, Some(SERVICE), &password), Some(Who::Service));
        assert_eq!(gate.admit(here(), SERVICE, Some(SERVICE), b"guess"), None);
        assert_eq!(gate.admit(here(), SERVICE, None, b""), None);
        assert_eq!(gate.admit(here(), "lamp", Some(SERVICE), b"guess"), None);
        assert_eq!(gate.admit(here(), "lamp", None, b""), Some(Who::Thing("lamp".into())));
        assert_eq!(gate.admit(here(), "lamp.probe", None, b""), Some(Who::Thing("lamp".into())));
    }

    #[test]
    fn with_tls_the_certificate_names_the_thing_and_others_stay_out() {
        let gate = Gate::new(true);
        assert_eq!(gate.admit(here(), "lamp", None, b""), None, "did not come through the front");
        gate.announce(here(), "lamp".into());
        assert_eq!(gate.admit(here(), "door", None, b""), None, "another thing's name");
        assert_eq!(gate.admit(here(), "lamp.probe", None, b""), Some(Who::Thing("lamp".into())));
        gate.forget(here());
        assert_eq!(gate.admit(here(), "lamp", None, b""), None);
    }
}
