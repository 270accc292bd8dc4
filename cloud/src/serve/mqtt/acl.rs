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
pub struct Acl {
    password: String,
    /// With TLS: the thing behind each connection that the TLS front made; other connections are refused.
    proxied: Option<Mutex<HashMap<SocketAddr, String>>>,
}

/// Who a connection belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The service.
    Service,
    /// A device of this thing.
    Thing(String),
}

impl Acl {
    /// A policy with a fresh password.
    ///
    /// `tls`: devices come only through the TLS front.
    pub fn new(tls: bool) -> Self {
        let mut bytes = [0; PASSWORD_BYTES];
        SystemRandom::new().fill(&mut bytes).expect("the system has randomness");
        let password = hex::encode(bytes);
        Self { password, proxied: tls.then(Mutex::default) }
    }

    /// The service's password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The TLS front says which thing connects from `address`.
    pub fn register(&self, address: SocketAddr, thing: String) {
        if let Some(proxied) = &self.proxied {
            proxied.lock().expect("nobody panics with it").insert(address, thing);
        }
    }

    /// The connection from `address` is over.
    pub fn unregister(&self, address: SocketAddr) {
        if let Some(proxied) = &self.proxied {
            proxied.lock().expect("nobody panics with it").remove(&address);
        }
    }

    /// Who connects; `None`: nobody that is let in.
    pub fn authenticate(
        &self,
        address: SocketAddr,
        client_id: &str,
        user: Option<&str>,
        password: &[u8],
    ) -> Option<Principal> {
        if client_id == SERVICE || user == Some(SERVICE) {
            // Constant time is no concern: 256 random bits that live as long as the process.
            let known = user == Some(SERVICE) && password == self.password.as_bytes();
            return known.then_some(Principal::Service);
        }
        let named = thing_of_client(client_id);
        let thing = match &self.proxied {
            Some(proxied) => proxied.lock().expect("nobody panics with it").get(&address)?.clone(),
            None => named.to_owned(),
        };
        (thing == named && is_thing_name(named)).then_some(Principal::Thing(thing))
    }
}

/// The thing that a client id belongs to. A thing's name has no dot, so the rest is free.
pub fn thing_of_client(client_id: &str) -> &str {
    client_id.split_once('.').map_or(client_id, |(thing, _)| thing)
}

/// Is it a name that a thing can have, without a wildcard or a level in it?
pub fn is_thing_name(name: &str) -> bool {
    ThingName::new(name).is_ok()
}

/// May this thing's client publish to this topic, or subscribe to this filter?
pub fn is_allowed(thing: &str, filter: &str) -> bool {
    let filter = shared_filter(filter);
    if !filter.starts_with('$') {
        // `#` and `+` do not match topics that begin with `$` (MQTT 5, section 4.7.2).
        return true;
    }
    let rest = filter.strip_prefix("$aws/things/").and_then(|rest| rest.strip_prefix(thing));
    is_thing_name(thing) && rest.is_some_and(|rest| rest.starts_with('/'))
}

/// The filter inside a shared subscription (MQTT 5, section 4.8.2), or the filter.
fn shared_filter(filter: &str) -> &str {
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
            assert_eq!(is_allowed("lamp", filter), allowed, "{filter}");
        }
    }

    #[test]
    fn a_client_whose_name_no_thing_can_have_is_not_let_in() {
        let acl = Acl::new(false);
        for id in ["+", "+.x", "#", "", ".x", "a/b", "$SYS", "a b", "l\u{e4}mp", &"t".repeat(129)] {
            assert_eq!(acl.authenticate(here(), id, None, b""), None, "{id}");
            assert!(!is_allowed(thing_of_client(id), &format!("$aws/things/{}/jobs/#", thing_of_client(id))), "{id}");
        }
        let long = "t".repeat(128);
        assert_eq!(acl.authenticate(here(), &long, None, b""), Some(Principal::Thing(long.clone())));
        let behind_tls = Acl::new(true);
        behind_tls.register(here(), "+".into());
        assert_eq!(behind_tls.authenticate(here(), "+", None, b""), None);
    }

    #[test]
    fn the_service_is_known_by_its_password_alone() {
        let acl = Acl::new(false);
        let password = acl.password().as_bytes().to_vec();
        assert_eq!(acl.authenticate(here(), SERVICE, Some(SERVICE), &password), Some(Principal::Service));
        assert_eq!(acl.authenticate(here(), SERVICE, Some(SERVICE), b"guess"), None);
        assert_eq!(acl.authenticate(here(), SERVICE, None, b""), None);
        assert_eq!(acl.authenticate(here(), "lamp", Some(SERVICE), b"guess"), None);
        assert_eq!(acl.authenticate(here(), "lamp", None, b""), Some(Principal::Thing("lamp".into())));
        assert_eq!(acl.authenticate(here(), "lamp.probe", None, b""), Some(Principal::Thing("lamp".into())));
    }

    #[test]
    fn with_tls_the_certificate_names_the_thing_and_others_stay_out() {
        let acl = Acl::new(true);
        assert_eq!(acl.authenticate(here(), "lamp", None, b""), None, "did not come through the front");
        acl.register(here(), "lamp".into());
        assert_eq!(acl.authenticate(here(), "door", None, b""), None, "another thing's name");
        assert_eq!(acl.authenticate(here(), "lamp.probe", None, b""), Some(Principal::Thing("lamp".into())));
        acl.unregister(here());
        assert_eq!(acl.authenticate(here(), "lamp", None, b""), None);
    }
}
