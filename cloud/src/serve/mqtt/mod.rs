//! The MQTT side: the connection to a broker, and the embedded broker with its policy and its TLS front.
//! What the messages mean is not here.

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
