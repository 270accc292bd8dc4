//! The nerves: what carries messages and bytes. An MQTT connection, an HTTP body, and the connector that makes both
//! their streams. TLS lives in the connector, which always verifies the server; nothing here can switch that off.

pub mod http;
pub mod minimq;

use embedded_io_async::{Read, Write};

/// Makes byte streams.
#[allow(async_fn_in_trait)] // single-threaded executors; nothing here needs Send
pub trait Connector {
    /// A connected stream. Dropping it closes it.
    type Stream: Read + Write;
    /// Why there is none.
    type Error: core::fmt::Debug;

    /// Connects to `host`, with TLS if `tls`: then the server's certificate is verified against `host`.
    ///
    /// Dropping the future gives the attempt up.
    async fn connect(&mut self, host: &str, port: u16, tls: bool) -> Result<Self::Stream, Self::Error>;
}

/// A message as it came in.
#[derive(Clone, Copy, Debug)]
pub struct Inbound<'m> {
    /// Its topic.
    pub topic: &'m str,
    /// Its bytes.
    pub payload: &'m [u8],
}

/// A live MQTT connection.
#[allow(async_fn_in_trait)]
pub trait Mqtt {
    /// Why it is no longer live.
    type Error: core::fmt::Debug;

    /// Subscribes to all `filters`; an error if the broker refuses one. Must not be dropped half-way.
    async fn subscribe(&mut self, filters: &[&str]) -> Result<(), Self::Error>;

    /// Sends a message, at least once if `assured`, else at most once. Must not be dropped half-way.
    async fn publish(&mut self, topic: &str, payload: &[u8], assured: bool) -> Result<(), Self::Error>;

    /// Waits for traffic: the next message, or `None` when it was only the protocol's own. Dropping the future loses
    /// nothing.
    async fn receive(&mut self) -> Result<Option<Inbound<'_>>, Self::Error>;
}

/// Makes MQTT connections, one at a time.
#[allow(async_fn_in_trait)]
pub trait Broker {
    /// A live connection, which borrows what outlives connections.
    type Connection<'c>: Mqtt
    where
        Self: 'c;
    /// Why there is none.
    type Error: core::fmt::Debug;

    /// Connects and logs in. Dropping the future gives the attempt up.
    async fn connect(&mut self) -> Result<Self::Connection<'_>, Self::Error>;
}
