//! The default MQTT adapter: minimq behind the [`Mqtt`] and [`Broker`] traits.

use embedded_io_async::{ErrorType, Read, Write};
use heapless::Vec;
use minimq::{
    ConfigBuilder, Connection, Error, PeerError, PubError, Publication, QoS, ResourceError, Session,
    SubscriptionOptions, TopicFilter,
};

use super::{Activity, Broker, Connector, Inbound, Mqtt};

/// Filters of one SUBSCRIBE. Source: AWS IoT Core, MQTT limits.
const FILTERS_MAX: usize = 8;

/// A broker, and a session with it that outlives connections.
pub struct Minimq<'buf, C> {
    session: Session<'buf>,
    keep_alive_s: u16,
    connector: C,
    host: &'buf str,
    port: u16,
    tls: bool,
}

/// Why a connection failed.
#[derive(Debug)]
pub enum ConnectError<C, I> {
    /// The connector failed.
    Connector(C),
    /// The broker rejected the connection.
    Mqtt(Error<I>),
    /// The connector does not note received bytes in the [`Activity`] that is passed to it.
    NotObserved,
}

impl<'buf, C: Connector> Minimq<'buf, C> {
    /// Creates the session of `config` with the broker at `host` and `port`, over TLS. The receive buffer in `config` bounds the
    /// largest message. `keep_alive_s`: the keep-alive interval in seconds; 0 for none.
    pub fn new(config: ConfigBuilder<'buf>, keep_alive_s: u16, connector: C, host: &'buf str, port: u16) -> Self {
        let session = Session::new(config.keepalive_interval(keep_alive_s));
        Self { session, keep_alive_s, connector, host, port, tls: true }
    }

    /// Connects without TLS: only for a broker on the same machine.
    pub fn without_tls(self) -> Self {
        Self { tls: false, ..self }
    }
}

impl<'buf, C: Connector> Broker for Minimq<'buf, C> {
    type Connection<'c>
        = Connection<'c, 'buf, C::Stream<'c>>
    where
        Self: 'c;
    type Error<'c>
        = ConnectError<C::Error, <C::Stream<'c> as ErrorType>::Error>
    where
        Self: 'c;

    fn keep_alive_s(&self) -> u16 {
        self.keep_alive_s
    }

    async fn connect<'c>(&'c mut self, activity: &'c Activity) -> Result<Self::Connection<'c>, Self::Error<'c>> {
        let stream = self.connector.connect(self.host, self.port, self.tls, activity).await;
        let stream = stream.map_err(ConnectError::Connector)?;
        let connection = self.session.connect(stream).await.map_err(ConnectError::Mqtt)?;
        // The broker's response has arrived.
        if activity.take() { Ok(connection) } else { Err(ConnectError::NotObserved) }
    }
}

impl<IO: Read + Write> Mqtt for Connection<'_, '_, IO> {
    type Error = Error<IO::Error>;

    async fn subscribe(&mut self, filters: &[&str]) -> Result<(), Self::Error> {
        let subscription = {
            let mut wanted: Vec<TopicFilter<'_>, FILTERS_MAX> = Vec::new();
            for filter in filters {
                let qos = quality(super::QoS::of_subscription(filter));
                let options = SubscriptionOptions::default().maximum_qos(qos);
                wanted.push(TopicFilter::new(filter).options(options)).map_err(|_| Error::InvalidRequest)?;
            }
            Connection::subscribe(self, &wanted, &[]).await?
        };
        // A rejection does not name its operation: one that arrives while this operation is pending counts as its own.
        while self.is_pending(&subscription) {
            self.poll().await?;
        }
        Ok(())
    }

    async fn unsubscribe(&mut self, filters: &[&str]) -> Result<(), Self::Error> {
        let end = Connection::unsubscribe(self, filters, &[]).await?;
        while self.is_pending(&end) {
            self.poll().await?;
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.disconnect().await
    }

    async fn publish(&mut self, topic: &str, payload: &[u8], qos: super::QoS, retain: bool) -> Result<(), Self::Error> {
        let publication = Publication::bytes(topic, payload).qos(quality(qos));
        let publication = if retain { publication.retain() } else { publication };
        let published = Connection::publish(self, publication).await;
        let in_flight = !self.session().is_publish_quiescent();
        match published {
            Ok(_) => Ok(()),
            // So many messages wait for their acknowledgement, on a slow link: this one is lost. The agent repeats its own after
            // their timeout.
            Err(PubError::Session(Error::NotReady | Error::Resource(ResourceError::InflightExhausted))) => Ok(()),
            // The buffer holds them until then; without any, it is too small for this message.
            Err(PubError::Session(Error::Resource(ResourceError::BufferTooSmall)) | PubError::Payload(()))
                if in_flight =>
            {
                Ok(())
            }
            Err(PubError::Session(error)) => Err(error),
            Err(PubError::Payload(())) => Err(Error::Resource(ResourceError::BufferTooSmall)),
        }
    }

    async fn receive(&mut self) -> Result<Option<Inbound<'_>>, Self::Error> {
        match self.poll().await {
            Ok(message) => Ok(message.map(|message| Inbound { topic: message.topic(), payload: message.payload() })),
            // A policy rejected one publish; the connection stays. The request times out.
            Err(Error::Peer(PeerError::Rejected(_))) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn quality(qos: super::QoS) -> QoS {
    match qos {
        super::QoS::AtLeastOnce => QoS::AtLeastOnce,
        super::QoS::AtMostOnce => QoS::AtMostOnce,
    }
}
