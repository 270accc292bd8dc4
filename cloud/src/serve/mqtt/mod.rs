//! The MQTT side: the connection to a broker, and the embedded broker with its policy and its TLS front.
//! What the messages mean is not here.

#[cfg(feature = "broker")]
pub mod broker;
pub mod emit;
#[cfg(feature = "broker")]
pub mod front;
#[cfg(feature = "broker")]
pub mod gate;
#[cfg(feature = "broker")]
mod name;
pub mod outbox;
pub mod transport;
