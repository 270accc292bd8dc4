//! The service's connection to a broker, embedded or external: subscribes, receives, publishes, reconnects.
//! The client is `rumqttc` and not the broker crate's own: the service also works without the embedded broker, and the two
//! ends of each connection are independent implementations.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, Subscribe, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions, Request};
use rumqttc::{Outgoing as Sent, TlsConfiguration, Transport};
use tokio::sync::watch;

use crate::limits::{BROKER_RETRY, MQTT_PACKET_BYTES_MAX, PUBLISH_TIMEOUT, PUBLISHES_QUEUED_MAX};
use crate::serve::log::{quote, report_error};
use crate::serve::metrics::Metrics;

/// MQTT client id of the service, and its user name at the embedded broker.
pub const SERVICE: &str = "ota-cloud";
/// Session expiry at an external broker, which keeps requests while the service is disconnected. Unit: seconds.
const SESSION_EXPIRY_S: u32 = 3600;
/// Longest topic in MQTT. Source: MQTT 5, section 1.5.4. Unit: bytes.
const MQTT_TOPIC_BYTES_MAX: usize = 65_535;
/// Bytes of a publish besides topic and payload: type, remaining length, topic length, packet id, empty properties.
const PUBLISH_FRAME_BYTES: usize = 1 + 4 + 2 + 2 + 1;
/// Unit: seconds.
const KEEP_ALIVE_S: u64 = 30;

/// Address and credentials of a broker.
#[derive(Clone)]
pub struct BrokerAddress {
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// TLS configuration; `None`: plain TCP.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// User name and password; an empty one is not sent.
    pub login: Option<(String, String)>,
    /// Resume the session at the broker after a reconnect.
    pub resume: bool,
}

/// A message to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Destination.
    pub topic: String,
    /// Content.
    pub payload: Bytes,
    /// QoS 1; otherwise QoS 0.
    pub acknowledged: bool,
}

/// A message from a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Topic it was published to.
    pub topic: String,
    /// Content.
    pub payload: Bytes,
}

/// Largest packet that both ends accept; the broker sends its own limit when it accepts the connection.
#[derive(Clone)]
struct PacketLimit(Arc<AtomicU32>);

impl PacketLimit {
    fn new() -> Self {
        Self(Arc::new(AtomicU32::new(MQTT_PACKET_BYTES_MAX)))
    }

    fn set(&self, broker: Option<u32>) {
        let max = broker.map_or(MQTT_PACKET_BYTES_MAX, |broker| broker.min(MQTT_PACKET_BYTES_MAX));
        self.0.store(max, Ordering::Relaxed);
    }

    /// Checks whether a message fits a packet. The client crate closes the connection for one message that is too
    /// large, and a resumed session would send it again after every reconnect: such a message must not reach the crate.
    ///
    /// Errors: a text with the size and the limit.
    fn check(&self, topic_bytes: usize, payload_bytes: usize) -> Result<(), String> {
        if topic_bytes > MQTT_TOPIC_BYTES_MAX {
            return Err(format!("topic of {topic_bytes} bytes, MQTT allows {MQTT_TOPIC_BYTES_MAX}"));
        }
        let (got, max) = (PUBLISH_FRAME_BYTES + topic_bytes + payload_bytes, self.0.load(Ordering::Relaxed));
        match got > max as usize {
            true => Err(format!("packet of {got} bytes, the connection allows {max}")),
            false => Ok(()),
        }
    }
}

/// Sends messages; clones share one connection.
#[derive(Clone)]
pub struct Publisher {
    client: AsyncClient,
    bound: PacketLimit,
    metrics: Metrics,
}

impl Publisher {
    /// Counts messages with these metrics.
    pub fn with_metrics(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// The metrics of the service.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Queues a message for the connection. Waits while the queue is full, at most [`PUBLISH_TIMEOUT`]; then the message is
    /// dropped with a log line.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the message is not sent.
    pub async fn publish(&self, message: Outgoing) {
        if !self.fits(&message) {
            return;
        }
        let (qos, Outgoing { topic, payload, .. }) = (qos(&message), message);
        let (quoted, payload_bytes) = (quote(topic.as_bytes()), payload.len());
        let sent = self.client.publish_bytes(topic.as_str(), qos, false, payload);
        match tokio::time::timeout(PUBLISH_TIMEOUT, sent).await {
            Ok(Ok(())) => self.metrics.message(&topic, payload_bytes),
            Ok(Err(error)) => report_error(format_args!("publish to {quoted}: {error}")),
            Err(_) => report_error(format_args!("publish to {quoted}: timed out, message dropped")),
        }
    }

    /// Queues a message if the queue has room. Returns false only if the queue is full: a message that is too large is dropped
    /// with a log line.
    pub fn try_publish(&self, message: Outgoing) -> bool {
        let qos = qos(&message);
        if !self.fits(&message) {
            return true; // it counts as handled
        }
        let Outgoing { topic, payload, .. } = message;
        let payload_bytes = payload.len();
        let is_queued = self.client.try_publish(topic.as_str(), qos, false, payload).is_ok();
        if is_queued {
            self.metrics.message(&topic, payload_bytes);
        }
        is_queued
    }

    fn fits(&self, message: &Outgoing) -> bool {
        let checked = self.bound.check(message.topic.len(), message.payload.len());
        if let Err(why) = &checked {
            report_error(format_args!("publish to {} is refused: {why}", quote(message.topic.as_bytes())));
        }
        checked.is_ok()
    }

    /// Disconnects from the broker.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the connection may stay open.
    pub async fn disconnect(&self) {
        // Fails only if the connection's task has ended already.
        let _ = self.client.disconnect().await;
    }
}

fn qos(message: &Outgoing) -> QoS {
    if message.acknowledged { QoS::AtLeastOnce } else { QoS::AtMostOnce }
}

/// The connection; it makes progress only while [`Connection::run`] is polled.
pub struct Connection {
    events: EventLoop,
    filters: Vec<Filter>,
    subscribed: watch::Sender<bool>,
    bound: PacketLimit,
}

/// Prepares a connection with these subscriptions.
pub fn connect(address: &BrokerAddress, filters: &[&str]) -> (Publisher, Connection) {
    let mut options = MqttOptions::new(SERVICE, address.host.as_str(), address.port);
    options.set_keep_alive(Duration::from_secs(KEEP_ALIVE_S));
    options.set_max_packet_size(Some(MQTT_PACKET_BYTES_MAX));
    if let Some((user, password)) = &address.login {
        options.set_credentials(user, password);
    }
    if let Some(tls) = &address.tls {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(tls))));
    }
    options.set_clean_start(!address.resume);
    if address.resume {
        options.set_session_expiry_interval(Some(SESSION_EXPIRY_S));
    }
    let (client, mut events) = AsyncClient::new(options, PUBLISHES_QUEUED_MAX);
    let mut network = events.options.network_options();
    network.set_tcp_nodelay(true);
    events.options.set_network_options(network);
    let filters = filters.iter().map(|filter| own_filter(filter)).collect();
    let bound = PacketLimit::new();
    let publisher = Publisher { client, bound: bound.clone(), metrics: Metrics::default() };
    (publisher, Connection { events, filters, subscribed: watch::channel(false).0, bound })
}

/// Returns a subscription to `path` by which the service's own messages are not sent back to it.
fn own_filter(path: &str) -> Filter {
    Filter { nolocal: true, ..Filter::new(path, QoS::AtLeastOnce) }
}

impl Connection {
    /// Returns a watch that is true while the service is subscribed.
    pub fn subscribed(&self) -> watch::Receiver<bool> {
        self.subscribed.subscribe()
    }

    /// Sends and receives until [`Publisher::disconnect`]. Reconnects and subscribes again when the connection is lost.
    ///
    /// `on_message` must not block: the acknowledgements of publishes are received by the same loop.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection without a DISCONNECT packet.
    pub async fn run(mut self, mut on_message: impl FnMut(Incoming)) {
        loop {
            match self.events.poll().await {
                Ok(Event::Incoming(packet)) => self.incoming(packet, &mut on_message),
                // Our own DISCONNECT packet.
                Ok(Event::Outgoing(Sent::Disconnect)) => return,
                Ok(Event::Outgoing(_)) => {}
                Err(error) => {
                    self.subscribed.send_replace(false);
                    report_error(format_args!("broker connection: {error}"));
                    tokio::time::sleep(BROKER_RETRY).await;
                }
            }
        }
    }

    fn incoming(&mut self, packet: Packet, on_message: &mut impl FnMut(Incoming)) {
        match packet {
            Packet::ConnAck(answer) => {
                self.bound.set(answer.properties.and_then(|properties| properties.max_packet_size));
                self.drop_oversized();
                // Before all queued publishes: the crate sends `pending` first.
                let subscribe = Subscribe::new_many(self.filters.clone(), None);
                self.events.pending.push_front(Request::Subscribe(subscribe));
            }
            Packet::SubAck(answer) => {
                let granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
                let all = answer.return_codes.iter().all(granted);
                if !all {
                    report_error(format_args!("the broker refused a subscription: {:?}", answer.return_codes));
                }
                self.subscribed.send_replace(all);
            }
            Packet::Publish(message) => match String::from_utf8(message.topic.to_vec()) {
                Ok(topic) => on_message(Incoming { topic, payload: message.payload }),
                Err(_) => report_error("a message is ignored: its topic is not UTF-8"),
            },
            _ => {}
        }
    }

    /// Drops queued messages that exceed the broker's limit, which may be smaller after a reconnect.
    fn drop_oversized(&mut self) {
        let bound = &self.bound;
        self.events.pending.retain(|request| match request {
            Request::Publish(publish) => bound.check(publish.topic.len(), publish.payload.len()).is_ok(),
            _ => true,
        });
    }
}

#[cfg(test)]
impl Connection {
    /// Removes and returns the topics of all queued messages; the connection is never made.
    pub fn take_queued(&mut self) -> Vec<String> {
        self.events.clean();
        let topic = |request: Request| match request {
            Request::Publish(publish) => String::from_utf8(publish.topic.to_vec()).ok(),
            _ => None,
        };
        self.events.pending.drain(..).filter_map(topic).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic_bytes: usize, payload_bytes: usize) -> Outgoing {
        Outgoing { topic: "t".repeat(topic_bytes), payload: vec![0; payload_bytes].into(), acknowledged: true }
    }

    fn unconnected() -> (Publisher, Connection) {
        let address = BrokerAddress { host: "127.0.0.1".into(), port: 1, tls: None, login: None, resume: true };
        connect(&address, &[])
    }

    #[tokio::test]
    async fn a_message_that_no_packet_carries_never_reaches_the_connection() {
        let (publisher, mut connection) = unconnected();
        let max = MQTT_PACKET_BYTES_MAX as usize;
        assert!(publisher.try_publish(message(MQTT_TOPIC_BYTES_MAX + 1, 0)));
        publisher.publish(message(MQTT_TOPIC_BYTES_MAX + 1, 0)).await;
        publisher.publish(message(20, max - 20)).await;
        connection.events.clean();
        assert_eq!(connection.events.pending.len(), 0);
        publisher.publish(message(20, max - 20 - PUBLISH_FRAME_BYTES)).await;
        connection.events.clean();
        assert_eq!(connection.events.pending.len(), 1);
    }

    /// The size of a large message as the crate encodes it equals the calculated size.
    #[test]
    fn the_bound_counts_every_byte_of_a_packet() {
        let message = message(300, 100_000);
        let mut publish =
            rumqttc::v5::mqttbytes::v5::Publish::new(message.topic, QoS::AtLeastOnce, message.payload, None);
        publish.pkid = 1;
        // One byte less: the remaining length of this packet takes three bytes, not four.
        assert_eq!(publish.size(), PUBLISH_FRAME_BYTES + 300 + 100_000 - 1);
    }

    #[tokio::test]
    async fn a_broker_that_takes_less_is_sent_less_also_of_what_waited() {
        let (publisher, mut connection) = unconnected();
        publisher.publish(message(20, 1000)).await;
        publisher.publish(message(20, 100)).await;
        connection.events.clean();
        connection.bound.set(Some(500));
        connection.drop_oversized();
        assert_eq!(connection.events.pending.len(), 1);
        publisher.publish(message(20, 1000)).await;
        connection.events.clean();
        assert_eq!(connection.events.pending.len(), 1);
    }
}
