//! Transports: the traits of an MQTT connection and of the connector that makes byte streams, the minimq adapter and the HTTP
//! client. TLS is the connector's, which always verifies the server.

mod activity;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "http")]
mod decimal;
#[cfg(feature = "http")]
pub mod http;
pub mod minimq;

use core::convert::Infallible;

use embedded_io_async::{Read, Write};
use ota_jobs::Reason;

pub use activity::{Activity, Observed};

/// Makes byte streams.
///
/// A connector observes its socket, and TLS is above that: on a slow link a record of 16 KiB takes long, and no byte of it can
/// be read before its last one arrived.
///
/// ```
/// use ota_agent::transport::{Activity, Connector, Observed};
/// # struct Socket;
/// # struct Network;
/// # impl embedded_io_async::ErrorType for Socket {
/// #     type Error = core::convert::Infallible;
/// # }
/// # impl embedded_io_async::Read for Socket {
/// #     async fn read(&mut self, _: &mut [u8]) -> Result<usize, Self::Error> { Ok(0) }
/// # }
/// # impl embedded_io_async::Write for Socket {
/// #     async fn write(&mut self, _: &[u8]) -> Result<usize, Self::Error> { Ok(0) }
/// #     async fn flush(&mut self) -> Result<(), Self::Error> { Ok(()) }
/// # }
/// # impl Network {
/// #     async fn open(&mut self, _: &str, _: u16) -> Result<Socket, ()> { Ok(Socket) }
/// # }
///
/// impl Connector for Network {
///     type Stream<'a> = Observed<'a, Socket>;
///     type Error = ();
///
///     async fn connect<'a>(
///         &'a mut self,
///         host: &str,
///         port: u16,
///         tls: bool,
///         activity: &'a Activity,
///     ) -> Result<Self::Stream<'a>, Self::Error> {
///         let socket = activity.observe(self.open(host, port).await?);
///         if tls { Err(()) } else { Ok(socket) } // with TLS: the handshake over `socket`
///     }
/// }
/// ```
#[allow(async_fn_in_trait)] // single-threaded executors; nothing here needs Send
pub trait Connector {
    /// A connected stream, which may borrow the connector's buffers. Dropping it closes it.
    type Stream<'a>: Read + Write
    where
        Self: 'a;
    /// Why a connection failed.
    type Error: core::fmt::Debug;

    /// Connects to `host`, with TLS if `tls`: then the server's certificate is verified against `host`. The bytes that the
    /// socket receives, below TLS, are noted in `activity`: see [`Activity::observe`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempt.
    async fn connect<'a>(
        &'a mut self,
        host: &str,
        port: u16,
        tls: bool,
        activity: &'a Activity,
    ) -> Result<Self::Stream<'a>, Self::Error>;
}

/// A received message.
#[derive(Clone, Copy, Debug)]
pub struct Inbound<'m> {
    /// The topic.
    pub topic: &'m str,
    /// The payload.
    pub payload: &'m [u8],
}

/// The quality of service of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QoS {
    /// The message may be lost.
    AtMostOnce,
    /// The message is acknowledged.
    AtLeastOnce,
}

impl QoS {
    /// The highest quality of service in which the messages of a subscription arrive: blocks at most once, all others at least
    /// once. A broker sends only so many messages before it waits for their acknowledgement; and a lost block is requested again.
    pub fn of_subscription(filter: &str) -> Self {
        if filter.ends_with("/streams/+/data/cbor") { Self::AtMostOnce } else { Self::AtLeastOnce }
    }
}

/// An MQTT connection.
#[allow(async_fn_in_trait)]
pub trait Mqtt {
    /// Why the connection ended.
    type Error: core::fmt::Debug;

    /// Subscribes to all `filters`, each with its [`QoS::of_subscription`]; an error if the broker rejects one. A message that
    /// arrives before the broker's response may be lost.
    ///
    /// # Cancel safety
    /// Not cancel-safe: close the connection after dropping the future.
    async fn subscribe(&mut self, filters: &[&str]) -> Result<(), Self::Error>;

    /// Ends the subscriptions of [`Mqtt::subscribe`] to `filters`.
    ///
    /// # Cancel safety
    /// Not cancel-safe: close the connection after dropping the future.
    async fn unsubscribe(&mut self, filters: &[&str]) -> Result<(), Self::Error>;

    /// Leaves the broker, which then publishes no will. Nothing is sent or received on the connection after it.
    ///
    /// # Cancel safety
    /// Not cancel-safe: drop the connection after dropping the future.
    async fn close(&mut self) -> Result<(), Self::Error>;

    /// Sends a message; with `retain` the broker keeps it for later subscribers of the topic.
    ///
    /// # Cancel safety
    /// Not cancel-safe: close the connection after dropping the future.
    async fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS, retain: bool) -> Result<(), Self::Error>;

    /// Waits for the next packet; `None` if it is not a message, as an acknowledgement, or if the client sent one by itself.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    async fn receive(&mut self) -> Result<Option<Inbound<'_>>, Self::Error>;
}

/// Makes MQTT connections, one at a time.
#[allow(async_fn_in_trait)]
pub trait Broker {
    /// A connection, which borrows the session.
    type Connection<'c>: Mqtt
    where
        Self: 'c;
    /// Why a connection failed.
    type Error<'c>: core::fmt::Debug
    where
        Self: 'c;

    /// The keep-alive interval in seconds; 0 for none. A connection on which nothing arrives while a message waits for its
    /// acknowledgement is closed after this interval, or after a minute if that is less or there is none.
    fn keep_alive_s(&self) -> u16;

    /// Connects and logs in. The connection notes in `activity` when bytes arrive.
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempt.
    async fn connect<'c>(&'c mut self, activity: &'c Activity) -> Result<Self::Connection<'c>, Self::Error<'c>>;
}

/// The part of a file that an HTTP body must bring.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// The first missing byte.
    pub from_bytes: u32,
    /// Bytes of the whole file.
    pub image_bytes: u32,
    /// Bytes of a block.
    pub block_bytes: u32,
}

/// What [`HttpBody::fill`] achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// A part of the block; more has to arrive.
    Part,
    /// The block is complete.
    Block,
    /// The body has no other whole block; the rest of the file takes another request.
    End,
}

/// What [`HttpSource::open`] achieved.
#[derive(Debug)]
pub enum Opened<B> {
    /// A body.
    Body(B),
    /// The server redirects, and the URL is now that one: open it.
    Redirected,
}

/// A source of images over HTTP: one response body at a time.
#[allow(async_fn_in_trait)]
pub trait HttpSource {
    /// A response body, which borrows the source. Dropping it closes its connection.
    type Body<'h>: HttpBody
    where
        Self: 'h;

    /// Sets the URL of the next request.
    ///
    /// Errors: [`Reason::UrlNotAllowed`], [`Reason::DocumentFieldTooLong`].
    fn set_url(&mut self, url: &[u8]) -> Result<(), Reason>;

    /// Requests the file from `range.from_bytes` to its end. The body may end earlier, but not before the next block does.
    ///
    /// Errors: the reason, if there is no response with such a body.
    ///
    /// # Cancel safety
    /// Dropping the future ends the request.
    async fn open<'h>(&'h mut self, range: Range) -> Result<Opened<Self::Body<'h>>, Reason>;
}

/// A response body, read in blocks.
#[allow(async_fn_in_trait)]
pub trait HttpBody {
    /// Reads what has arrived of the next block; waits if that is nothing.
    ///
    /// Errors: [`Reason::HttpBodyTooShort`], [`Reason::HttpUnreachable`], [`Reason::HttpProtocol`].
    ///
    /// # Cancel safety
    /// Cancel-safe.
    async fn fill(&mut self) -> Result<Filled, Reason>;

    /// Whether bytes arrived since the last call, also if they are no part of the body yet.
    fn has_received(&self) -> bool;

    /// Index and bytes of the block that [`HttpBody::fill`] completed.
    fn block(&self) -> (u32, &[u8]);

    /// Discards the block; returns whether the body has another one.
    fn advance(&mut self) -> bool;
}

/// No HTTP: a device that downloads over MQTT only.
#[derive(Clone, Copy, Debug)]
pub struct NoHttp;

impl HttpSource for NoHttp {
    type Body<'h> = Infallible;

    fn set_url(&mut self, _url: &[u8]) -> Result<(), Reason> {
        Err(Reason::UrlNotAllowed)
    }

    async fn open(&mut self, _range: Range) -> Result<Opened<Infallible>, Reason> {
        Err(Reason::UrlNotAllowed)
    }
}

/// The body of a client without bodies.
impl HttpBody for Infallible {
    async fn fill(&mut self) -> Result<Filled, Reason> {
        match *self {}
    }

    fn has_received(&self) -> bool {
        match *self {}
    }

    fn block(&self) -> (u32, &[u8]) {
        match *self {}
    }

    fn advance(&mut self) -> bool {
        match *self {}
    }
}
