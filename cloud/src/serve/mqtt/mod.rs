//! MQTT: the connection to a broker, and the embedded broker with its access control and its TLS proxy.
//! The content of the messages is not handled here.

#[cfg(feature = "broker")]
pub mod acl;
#[cfg(feature = "broker")]
pub mod broker;
pub mod emit;
pub mod outbox;
#[cfg(feature = "broker")]
pub mod tls_proxy;
pub mod transport;
#[cfg(feature = "broker")]
mod x509_name;
