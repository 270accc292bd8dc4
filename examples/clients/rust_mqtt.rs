//! `rust-mqtt` behind the agent's traits, over the same connector as minimq.
//!
//! Its `poll` is not cancel-safe: a dropped future loses what it has read of a packet, or of an acknowledgement what it has not
//! sent. So the client works on two queues in memory instead of the socket, and is polled only once a whole packet is in the first:
//! then it does not wait. Moving bytes between queues and socket may be interrupted at any point.
//!
//! It is not a part of `ota-agent`, which has neither allocator nor unsafe code: the client borrows from the memory for received
//! packets for all of its own life, so that this is used again only by an allocator (feature `alloc`), or by a call that is unsafe
//! (`BumpBuffer::reset`, feature `bump`). This adapter needs `alloc`, and otherwise nothing but the traits of `embedded-io-async`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::num::NonZero;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use embassy_futures::poll_once;
use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Instant, Timer};
use embedded_io_async::{ErrorType, Read, Write};
use ota_agent::transport::{Activity, Broker, Connector, Inbound, Mqtt, QoS};
use rust_mqtt::buffer::AllocBuffer;
use rust_mqtt::client::event::{Event, Publish};
use rust_mqtt::client::options::{
    ConnectOptions, DisconnectOptions, PublicationOptions, SubscriptionOptions, TopicReference, UnsubscriptionOptions,
};
use rust_mqtt::client::{Client, MqttError};
use rust_mqtt::config::KeepAlive;
use rust_mqtt::types::{MqttString, ReasonCode, TopicFilter, TopicName};

/// Messages in flight, in each direction.
const IN_FLIGHT_MAX: usize = 8;
/// Bytes that are moved at once.
const PIECE_BYTES: usize = 512;

/// One subscription at a time, no user properties, no topic aliases.
type Inner<'c> = Client<'c, 'c, Queues, AllocBuffer, 1, IN_FLIGHT_MAX, IN_FLIGHT_MAX, 0, 0, 0, 0>;
type Message<'c> = Publish<'c, 0, 0>;

/// A broker.
pub struct RustMqtt<C> {
    /// Makes the byte streams.
    pub connector: C,
    /// Host name or address of the broker.
    pub host: String,
    /// Port of the broker.
    pub port: u16,
    /// Whether to connect with TLS; without it only to a broker on the same machine.
    pub tls: bool,
    /// The client id.
    pub client_id: String,
    /// The keep-alive interval in seconds; 0 for none.
    pub keep_alive_s: u16,
    /// Bytes of the largest packet that is received.
    pub packet_bytes_max: NonZero<u32>,
    /// Memory of the client.
    pub buffer: AllocBuffer,
}

/// A connection.
pub struct Connection<'c, S> {
    stream: S,
    queues: Queues,
    client: Inner<'c>,
    packet_bytes_max: usize,
    keep_alive: Option<Duration>,
    sent_at: Instant,
    /// When the last ping was sent, until something arrives.
    pinged_at: Option<Instant>,
    must_flush: bool,
    /// Messages that arrived while a subscription was waited for.
    early: VecDeque<Message<'c>>,
    /// The message that `receive` returned last.
    message: Option<Message<'c>>,
}

/// Why the connection ended, or could not be made.
#[derive(Debug)]
pub enum Error<'c, C, I> {
    /// The connector failed.
    Connector(C),
    /// The socket failed.
    Socket(I),
    /// The server closed the connection.
    Ended,
    /// The client refuses a packet, or the request cannot be sent.
    Client(MqttError<'c, 0>),
    /// The broker rejected a filter.
    Rejected(ReasonCode),
    /// Client id, topic or filter is not valid.
    Name,
    /// A packet is larger than agreed.
    PacketTooLarge,
    /// The broker does not respond to a ping.
    NoResponse,
    /// The connector does not note received bytes.
    NotObserved,
}

impl<C: Connector> Broker for RustMqtt<C> {
    type Connection<'c>
        = Connection<'c, C::Stream<'c>>
    where
        Self: 'c;
    type Error<'c>
        = Error<'c, C::Error, <C::Stream<'c> as ErrorType>::Error>
    where
        Self: 'c;

    fn keep_alive_s(&self) -> u16 {
        self.keep_alive_s
    }

    async fn connect<'c>(&'c mut self, activity: &'c Activity) -> Result<Self::Connection<'c>, Self::Error<'c>> {
        let stream = self.connector.connect(&self.host, self.port, self.tls, activity).await;
        let keep_alive = NonZero::new(self.keep_alive_s);
        let mut connection = Connection {
            stream: stream.map_err(Error::Connector)?,
            queues: Queues::default(),
            client: Client::new(&mut self.buffer),
            packet_bytes_max: self.packet_bytes_max.get() as usize,
            keep_alive: keep_alive.map(|interval_s| Duration::from_secs(interval_s.get().into())),
            sent_at: Instant::now(),
            pinged_at: None,
            must_flush: false,
            early: VecDeque::new(),
            message: None,
        };
        let options = ConnectOptions::new()
            .clean_start()
            .keep_alive(keep_alive.map_or(KeepAlive::Infinite, KeepAlive::Seconds))
            .maximum_packet_size(self.packet_bytes_max);
        let client_id = MqttString::try_from(self.client_id.as_str()).map_err(|_| Error::Name)?;
        connection.log_in(&options, client_id).await?;
        if activity.take() { Ok(connection) } else { Err(Error::NotObserved) }
    }
}

impl<'c, S: Read + Write> Connection<'c, S> {
    /// Connects. A dropped future ends the attempt.
    async fn log_in<C>(
        &mut self,
        options: &ConnectOptions<'_>,
        client_id: MqttString<'c>,
    ) -> Result<(), Error<'c, C, S::Error>> {
        let Self { client, stream, queues, .. } = self;
        let mut connect = pin!(client.connect(queues.clone(), options, Some(client_id)));
        loop {
            if let Poll::Ready(connected) = poll_once(connect.as_mut()) {
                return connected.map(|_| ()).map_err(Error::Client);
            }
            while let Some(piece) = queues.to_send() {
                stream.write_all(&piece).await.map_err(Error::Socket)?;
                queues.sent(piece.len());
            }
            stream.flush().await.map_err(Error::Socket)?;
            queues.fetch(stream).await?;
        }
    }

    /// Sends what the client has written. Cancel-safe: a byte leaves the queue when it is sent.
    async fn send<C>(&mut self) -> Result<(), Error<'c, C, S::Error>> {
        while let Some(piece) = self.queues.to_send() {
            let len = self.stream.write(&piece).await.map_err(Error::Socket)?;
            self.queues.sent(len);
            self.must_flush = true;
            self.sent_at = Instant::now();
        }
        if self.must_flush {
            self.stream.flush().await.map_err(Error::Socket)?;
            self.must_flush = false;
        }
        Ok(())
    }

    /// Waits for a whole packet and passes it to the client. Cancel-safe: see the head of this file.
    async fn event<C>(&mut self) -> Result<Event<'c, 0, 0>, Error<'c, C, S::Error>> {
        loop {
            self.send().await?;
            match self.queues.packet_bytes() {
                Some(len) if len > self.packet_bytes_max => return Err(Error::PacketTooLarge),
                Some(len) if len <= self.queues.received_bytes() => return now(self.client.poll()),
                _ => {}
            }
            let wake = match self.wake_at() {
                Some(at) => Timer::at(at),
                None => Timer::at(Instant::MAX),
            };
            match select(self.queues.fetch(&mut self.stream), wake).await {
                Either::First(fetched) => {
                    fetched?;
                    self.pinged_at = None;
                }
                Either::Second(()) => self.ping()?,
            }
        }
    }

    /// When the next ping is due, or its response was.
    fn wake_at(&self) -> Option<Instant> {
        let keep_alive = self.keep_alive?;
        Some(self.pinged_at.map_or(self.sent_at + keep_alive / 2, |at| at + keep_alive / 2))
    }

    fn ping<C>(&mut self) -> Result<(), Error<'c, C, S::Error>> {
        if self.pinged_at.replace(Instant::now()).is_some() {
            return Err(Error::NoResponse);
        }
        now(self.client.ping())
    }

    /// Waits for the event that `pick` accepts; messages that arrive before it are kept.
    async fn reason<C>(
        &mut self,
        pick: impl Fn(&Event<'c, 0, 0>) -> Option<ReasonCode>,
    ) -> Result<(), Error<'c, C, S::Error>> {
        loop {
            let event = self.event().await?;
            match pick(&event) {
                Some(reason) if reason.is_success() => return Ok(()),
                Some(reason) => return Err(Error::Rejected(reason)),
                None => self.early.extend(message(event)),
            }
        }
    }
}

impl<'c, S: Read + Write> Mqtt for Connection<'c, S> {
    type Error = Error<'c, Infallible, S::Error>;

    async fn subscribe(&mut self, filters: &[&str]) -> Result<(), Self::Error> {
        for filter in filters {
            let options = match QoS::of_subscription(filter) {
                QoS::AtMostOnce => SubscriptionOptions::new(),
                QoS::AtLeastOnce => SubscriptionOptions::new().at_least_once(),
            };
            let filter = MqttString::try_from(*filter).ok().and_then(TopicFilter::new).ok_or(Error::Name)?;
            let id = now(self.client.subscribe(filter, &options))?;
            self.reason(|event| match event {
                Event::Suback(answer) if answer.packet_identifier == id => Some(answer.reason_code),
                _ => None,
            })
            .await?;
        }
        Ok(())
    }

    async fn unsubscribe(&mut self, filters: &[&str]) -> Result<(), Self::Error> {
        for filter in filters {
            let filter = MqttString::try_from(*filter).ok().and_then(TopicFilter::new).ok_or(Error::Name)?;
            let id = now(self.client.unsubscribe(filter, &UnsubscriptionOptions::new()))?;
            self.reason(|event| match event {
                Event::Unsuback(answer) if answer.packet_identifier == id => Some(answer.reason_code),
                _ => None,
            })
            .await?;
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        _ = now(self.client.disconnect(&DisconnectOptions::new()))?;
        self.send().await
    }

    async fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS, retain: bool) -> Result<(), Self::Error> {
        let topic = MqttString::try_from(topic).ok().and_then(TopicName::new).ok_or(Error::Name)?;
        let options = PublicationOptions::new(TopicReference::Name(topic));
        let options = match qos {
            QoS::AtMostOnce => options,
            QoS::AtLeastOnce => options.at_least_once(),
        };
        let options = if retain { options.retain() } else { options };
        self.send().await?;
        match now(self.client.publish(&options, payload.into())) {
            Ok(_) => self.send().await,
            // So many messages wait for their acknowledgement: this one is lost, and repeated after its timeout.
            Err(Error::Client(MqttError::SendQuotaExceeded | MqttError::SessionBuffer)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn receive(&mut self) -> Result<Option<Inbound<'_>>, Self::Error> {
        self.message = match self.early.pop_front() {
            None => message(self.event().await?),
            early => early,
        };
        Ok(self.message.as_ref().and_then(|message| {
            let topic = message.topic.name()?.as_ref().as_str();
            Some(Inbound { topic, payload: message.message.as_bytes() })
        }))
    }
}

fn message<'c>(event: Event<'c, 0, 0>) -> Option<Message<'c>> {
    match event {
        Event::Publish(message) => Some(message),
        _ => None,
    }
}

/// The output of a future of the client that does not wait: it writes to a queue, and reads a packet that is complete.
fn now<'c, T, C, I>(future: impl Future<Output = Result<T, MqttError<'c, 0>>>) -> Result<T, Error<'c, C, I>> {
    match poll_once(pin!(future)) {
        Poll::Ready(output) => output.map_err(Error::Client),
        Poll::Pending => Err(Error::PacketTooLarge), // a packet that ends behind its own length
    }
}

/// What the client has for a socket: what arrived, and what is to be sent.
#[derive(Clone, Debug, Default)]
struct Queues(Rc<RefCell<(VecDeque<u8>, VecDeque<u8>)>>);

impl Queues {
    /// Bytes of the first packet, with its head; `None` until its length has arrived. Source: MQTT 5, sections 1.5.5 and 2.1.
    fn packet_bytes(&self) -> Option<usize> {
        let received = &self.0.borrow().0;
        let mut len = 0;
        for at in 1..=4 {
            let byte = *received.get(at)?;
            len |= usize::from(byte & 0x7F) << (7 * (at - 1));
            if byte & 0x80 == 0 {
                return Some(1 + at + len);
            }
        }
        Some(received.len()) // not valid: the client refuses it
    }

    fn received_bytes(&self) -> usize {
        self.0.borrow().0.len()
    }

    /// Waits for bytes of the socket. Cancel-safe as reading from the socket is.
    async fn fetch<'c, S: Read, C>(&self, stream: &mut S) -> Result<(), Error<'c, C, S::Error>> {
        let mut piece = [0; PIECE_BYTES];
        match stream.read(&mut piece).await.map_err(Error::Socket)? {
            0 => Err(Error::Ended),
            len => {
                self.0.borrow_mut().0.extend(&piece[..len]);
                Ok(())
            }
        }
    }

    /// The first bytes to send.
    fn to_send(&self) -> Option<Vec<u8>> {
        let sending = &self.0.borrow().1;
        let piece: Vec<u8> = sending.iter().take(PIECE_BYTES).copied().collect();
        (!piece.is_empty()).then_some(piece)
    }

    /// Removes bytes that were sent.
    fn sent(&self, len: usize) {
        self.0.borrow_mut().1.drain(..len);
    }
}

impl ErrorType for Queues {
    type Error = Infallible;
}

impl Read for Queues {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        poll_fn(|_| match std::io::Read::read(&mut self.0.borrow_mut().0, out) {
            Ok(len @ 1..) => Poll::Ready(Ok(len)),
            _ => Poll::Pending, // polled again by `log_in`
        })
        .await
    }
}

impl Write for Queues {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.0.borrow_mut().1.extend(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
