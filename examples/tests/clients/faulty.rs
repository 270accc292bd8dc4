//! Clients with one defect each, which the clauses must notice.

use std::future::pending;

use embassy_time::Timer;
use ota_agent::transport::conformance::RECEIVE_BYTES;
use ota_agent::transport::{Activity, Broker, Filled, HttpBody, HttpSource, Inbound, Mqtt, Opened, QoS, Range};
use ota_jobs::Reason;

/// Messages that the adapter sends before it waits for their acknowledgements, if that is its defect.
const IN_FLIGHT_MAX: u32 = 8;

/// A defect of an MQTT adapter, in the order of the clauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    FirstFilterOnly,
    RejectionIgnored,
    NoQualityOfService,
    ReturnsForWhatIsSent,
    NotAcknowledged,
    AlwaysAcknowledged,
    StuckIfFull,
    LostIfDropped,
    NothingNoted,
    SmallBuffer,
    StuckByLargeMessage,
    StaysSubscribed,
    EndUnnoticed,
    ConnectsOnce,
}

/// One defect for each clause.
pub const DEFECTS: [Defect; 14] = [
    Defect::FirstFilterOnly,
    Defect::RejectionIgnored,
    Defect::NoQualityOfService,
    Defect::ReturnsForWhatIsSent,
    Defect::NotAcknowledged,
    Defect::AlwaysAcknowledged,
    Defect::StuckIfFull,
    Defect::LostIfDropped,
    Defect::NothingNoted,
    Defect::SmallBuffer,
    Defect::StuckByLargeMessage,
    Defect::StaysSubscribed,
    Defect::EndUnnoticed,
    Defect::ConnectsOnce,
];

/// An adapter with a defect.
pub struct Faulty<B> {
    pub inner: B,
    pub defect: Defect,
    pub connections: u32,
}

/// Its connection.
pub struct Connection<M> {
    inner: M,
    defect: Defect,
    /// Whether `receive` waits for ever.
    is_stuck: bool,
    has_sent: bool,
    in_flight: u32,
    message: Option<(String, Vec<u8>)>,
}

impl<B: Broker> Broker for Faulty<B> {
    type Connection<'c>
        = Connection<B::Connection<'c>>
    where
        Self: 'c;
    type Error<'c>
        = B::Error<'c>
    where
        Self: 'c;

    fn keep_alive_s(&self) -> u16 {
        self.inner.keep_alive_s()
    }

    async fn connect<'c>(&'c mut self, activity: &'c Activity) -> Result<Self::Connection<'c>, B::Error<'c>> {
        self.connections += 1;
        let (defect, is_again) = (self.defect, self.connections > 1);
        if defect == Defect::ConnectsOnce && is_again {
            pending::<()>().await;
        }
        let other: &'static Activity = Box::leak(Box::default());
        let activity = if defect == Defect::NothingNoted { other } else { activity };
        let inner = self.inner.connect(activity).await?;
        Ok(Connection { inner, defect, is_stuck: false, has_sent: false, in_flight: 0, message: None })
    }
}

impl<M: Mqtt> Mqtt for Connection<M> {
    type Error = M::Error;

    async fn subscribe(&mut self, filters: &[&str]) -> Result<(), M::Error> {
        match self.defect {
            Defect::FirstFilterOnly => self.inner.subscribe(&filters[..1]).await,
            Defect::RejectionIgnored => {
                _ = self.inner.subscribe(filters).await;
                Ok(())
            }
            // The last level as a wildcard: the same messages, by a filter that is not that of blocks.
            Defect::AlwaysAcknowledged => {
                let filters: Vec<_> = filters.iter().map(|filter| filter.replace("/cbor", "/+")).collect();
                self.inner.subscribe(&filters.iter().map(String::as_str).collect::<Vec<_>>()).await
            }
            _ => self.inner.subscribe(filters).await,
        }
    }

    async fn unsubscribe(&mut self, filters: &[&str]) -> Result<(), M::Error> {
        match self.defect {
            Defect::StaysSubscribed => Ok(()),
            _ => self.inner.unsubscribe(filters).await,
        }
    }

    async fn close(&mut self) -> Result<(), M::Error> {
        self.inner.close().await
    }

    async fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS, retain: bool) -> Result<(), M::Error> {
        self.has_sent = true;
        self.in_flight += 1;
        if self.defect == Defect::StuckIfFull && self.in_flight > IN_FLIGHT_MAX {
            pending::<()>().await;
        }
        self.is_stuck |= self.defect == Defect::StuckByLargeMessage && payload.len() >= RECEIVE_BYTES;
        let qos = if self.defect == Defect::NoQualityOfService { QoS::AtMostOnce } else { qos };
        self.inner.publish(topic, payload, qos, retain).await
    }

    async fn receive(&mut self) -> Result<Option<Inbound<'_>>, M::Error> {
        if self.is_stuck {
            pending::<()>().await;
        }
        if self.defect == Defect::ReturnsForWhatIsSent && std::mem::take(&mut self.has_sent) {
            return Ok(None);
        }
        let received = self.inner.receive().await;
        self.in_flight = 0;
        if self.defect == Defect::EndUnnoticed && received.is_err() {
            pending::<()>().await;
        }
        self.message = received?.map(|message| (message.topic.to_owned(), message.payload.to_vec()));
        self.is_stuck |= self.defect == Defect::NotAcknowledged && self.message.is_some();
        if self.defect == Defect::LostIfDropped {
            Timer::after_millis(5).await;
        }
        Ok(self.message.as_ref().map(|(topic, payload)| Inbound { topic, payload }))
    }
}

/// A defect of an HTTP client, in the order of the clauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpDefect {
    OneBlockOnly,
    AlwaysFromTheStart,
    NoShortPart,
    LostIfDropped,
    NothingNoted,
    NoReason,
    EarlyEndUnnoticed,
    EveryServerAllowed,
    RedirectsRefused,
    NoReasonUnreachable,
    OneBodyOnly,
}

/// One defect for each clause.
pub const HTTP_DEFECTS: [HttpDefect; 11] = [
    HttpDefect::OneBlockOnly,
    HttpDefect::AlwaysFromTheStart,
    HttpDefect::NoShortPart,
    HttpDefect::LostIfDropped,
    HttpDefect::NothingNoted,
    HttpDefect::NoReason,
    HttpDefect::EarlyEndUnnoticed,
    HttpDefect::EveryServerAllowed,
    HttpDefect::RedirectsRefused,
    HttpDefect::NoReasonUnreachable,
    HttpDefect::OneBodyOnly,
];

/// A client with a defect.
pub struct FaultyHttp<H> {
    pub inner: H,
    pub defect: HttpDefect,
    pub bodies: u32,
}

/// A body of such a client.
pub struct FaultyBody<B> {
    inner: B,
    defect: HttpDefect,
    is_filling: bool,
}

impl<H: HttpSource> HttpSource for FaultyHttp<H> {
    type Body<'h>
        = FaultyBody<H::Body<'h>>
    where
        Self: 'h;

    fn set_url(&mut self, url: &[u8]) -> Result<(), Reason> {
        let url = String::from_utf8_lossy(url);
        match self.defect {
            HttpDefect::EveryServerAllowed => self.inner.set_url(url.replace("localhost", "127.0.0.1").as_bytes()),
            _ => self.inner.set_url(url.as_bytes()),
        }
    }

    async fn open<'h>(&'h mut self, range: Range) -> Result<Opened<Self::Body<'h>>, Reason> {
        let defect = self.defect;
        let from_bytes = if defect == HttpDefect::AlwaysFromTheStart { 0 } else { range.from_bytes };
        let opened = self.inner.open(Range { from_bytes, ..range }).await;
        let opened = opened.map_err(|reason| match (defect, reason) {
            (HttpDefect::NoReason, Reason::HttpNotFound)
            | (HttpDefect::RedirectsRefused, Reason::HttpRedirectRefused)
            | (HttpDefect::NoReasonUnreachable, Reason::HttpUnreachable) => Reason::HttpStatus,
            (_, reason) => reason,
        });
        match opened? {
            Opened::Redirected => Ok(Opened::Redirected),
            Opened::Body(_) if defect == HttpDefect::OneBodyOnly && self.bodies > 0 => Err(Reason::HttpUnreachable),
            Opened::Body(inner) => {
                self.bodies += 1;
                Ok(Opened::Body(FaultyBody { inner, defect, is_filling: false }))
            }
        }
    }
}

impl<B: HttpBody> HttpBody for FaultyBody<B> {
    async fn fill(&mut self) -> Result<Filled, Reason> {
        if self.defect == HttpDefect::LostIfDropped && std::mem::replace(&mut self.is_filling, true) {
            return Err(Reason::HttpProtocol);
        }
        let filled = self.inner.fill().await;
        self.is_filling = false;
        match (self.defect, filled) {
            (HttpDefect::NoShortPart, Ok(Filled::End)) => Err(Reason::HttpBodyTooShort),
            (HttpDefect::EarlyEndUnnoticed, Err(Reason::HttpBodyTooShort)) => Ok(Filled::End),
            (_, filled) => filled,
        }
    }

    fn has_received(&self) -> bool {
        self.defect != HttpDefect::NothingNoted && self.inner.has_received()
    }

    fn block(&self) -> (u32, &[u8]) {
        self.inner.block()
    }

    fn advance(&mut self) -> bool {
        self.inner.advance() && self.defect != HttpDefect::OneBlockOnly
    }
}
