//! Conformance checks for an adapter of another MQTT or HTTP client: the clauses that [`Broker`](super::Broker) and
//! [`HttpSource`](super::HttpSource) fulfil. Implement [`TestBroker`] over a real broker and call [`check_mqtt`], or
//! [`TestServer`] over a socket and call [`check_http`].
//!
//! ```ignore
//! assert_eq!(check_mqtt(&mut my_broker).await, []);
//! ```
//!
//! The executor and the network are the caller's; `embassy-time` needs a driver. See `examples/tests/clients.rs`.

#[cfg(feature = "http")]
mod http;
mod mqtt;
mod violation;

#[cfg(feature = "http")]
pub use http::{BLOCK_BYTES, HTTP_CLAUSES, Respond, TestServer, check_http, check_http_clauses};
pub use mqtt::{Link, MQTT_CLAUSES, RECEIVE_BYTES, SEND_BYTES, TestBroker, check_mqtt, check_mqtt_clauses};
pub use violation::Violation;
