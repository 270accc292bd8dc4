//! Access control of the embedded broker. Only the rules; `broker.rs` connects them to the broker crate.
//!
//! A client belongs to one thing: with TLS, the thing in the common name of its certificate; without TLS, the thing in its
//! client id. A client id is the thing's name, optionally followed by a dot and a suffix for further connections.
//! The name must be a valid thing name: `+` would otherwise be a wildcard for the topics of all things.
//! A thing may publish and subscribe below `$aws/things/{thing}/` and `ota/things/{thing}/`, and on other topics without `$`.
//! A filter of wildcards, such as `#`, also matches the reports of other devices. Only the service, which authenticates with a
//! password generated at start, may use all topics.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use ota_jobs::ThingName;
use ring::rand::{SecureRandom, SystemRandom};

use super::transport::SERVICE;

/// Length of the service's password. Unit: random bytes.
const PASSWORD_BYTES: usize = 32;

/// The access control list and the connections of the TLS proxy.
#[derive(Debug)]
pub struct Acl {
    password: String,
    /// With TLS: the thing of each connection made by the TLS proxy; other connections are refused.
    proxied: Option<Mutex<HashMap<SocketAddr, String>>>,
}

/// Identity of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The service.
    Service,
    /// A device of this thing.
    Thing(String),
}

impl Acl {
    /// Creates a list with a new password.
    ///
    /// `tls`: accept devices only through the TLS proxy.
    pub fn new(tls: bool) -> Self {
        let mut bytes = [0; PASSWORD_BYTES];
        SystemRandom::new().fill(&mut bytes).expect("the system provides random numbers");
        let password = hex::encode(bytes);
        Self { password, proxied: tls.then(Mutex::default) }
    }

    /// The service's password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Registers the thing whose connection the TLS proxy makes from `address`.
    pub fn register(&self, address: SocketAddr, thing: String) {
        if let Some(proxied) = &self.proxied {
            proxied.lock().expect("lock poisoned").insert(address, thing);
        }
    }

    /// Removes the connection from `address`.
    pub fn unregister(&self, address: SocketAddr) {
        if let Some(proxied) = &self.proxied {
            proxied.lock().expect("lock poisoned").remove(&address);
        }
    }

    /// Returns the identity of a new connection; `None` if authentication fails.
    pub fn authenticate(
        &self,
        address: SocketAddr,
        client_id: &str,
        user: Option<&str>,
        password: &[u8],
    ) -> Option<Principal> {
        if client_id == SERVICE || user == Some(SERVICE) {
            // A comparison in constant time is not needed: 256 random bits that exist as long as the process.
            let valid = user == Some(SERVICE) && password == self.password.as_bytes();
            return valid.then_some(Principal::Service);
        }
        let named = thing_of_client(client_id);
        let thing = match &self.proxied {
            Some(proxied) => proxied.lock().expect("lock poisoned").get(&address)?.clone(),
            None => named.to_owned(),
        };
        (thing == named && is_thing_name(named)).then_some(Principal::Thing(thing))
    }
}

/// Returns the thing that a client id belongs to. Thing names contain no dot.
pub fn thing_of_client(client_id: &str) -> &str {
    client_id.split_once('.').map_or(client_id, |(thing, _)| thing)
}

/// Returns whether this is a valid thing name: no wildcard, no topic level.
pub fn is_thing_name(name: &str) -> bool {
    ThingName::new(name).is_ok()
}

/// Returns whether a client of this thing may publish to this topic or subscribe to this filter.
pub fn is_allowed(thing: &str, filter: &str) -> bool {
    let filter = shared_filter(filter);
    let of_things = filter.strip_prefix("$aws/things/").or_else(|| filter.strip_prefix("ota/things/"));
    let Some(rest) = of_things else {
        // `#` and `+` do not match topics that begin with `$` (MQTT 5, section 4.7.2).
        return !filter.starts_with('$');
    };
    is_thing_name(thing) && rest.strip_prefix(thing).is_some_and(|rest| rest.starts_with('/'))
}

/// Returns the filter inside a shared subscription (MQTT 5, section 4.8.2), or the filter itself.
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
            ("ota/things/lamp/report", true),
            ("ota/things/lamp2/report", false),
            ("ota/things/door/report", false),
            ("$share/g/ota/things/door/report", false),
        ] {
            assert_eq!(is_allowed("lamp", filter), allowed, "{filter}");
        }
    }

    #[test]
    fn a_client_without_a_valid_thing_name_is_refused() {
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
    fn the_service_authenticates_by_its_password_alone() {
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
