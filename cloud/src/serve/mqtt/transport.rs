//! The service's connection to a broker, embedded or external: subscribes, hands messages on, publishes, reconnects.
//! The client is `rumqttc` and not the broker crate's own, so that the service works without the embedded broker
//! and the two ends of every message come from different hands.

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

/// Client id of the service at any broker, and its user name at the embedded one.
pub const SERVICE: &str = "ota-cloud";
/// How long an external broker keeps requests for a service that is away. Unit: seconds.
const SESSION_EXPIRY_S: u32 = 3600;
/// Longest topic that MQTT can carry. Source: MQTT 5, section 1.5.4. Unit: bytes.
const MQTT_TOPIC_BYTES_MAX: usize = 65_535;
/// What a publish has besides topic and payload: type, remaining length, length of the topic, packet id, no properties.
const PUBLISH_FRAME_BYTES: usize = 1 + 4 + 2 + 2 + 1;
/// Unit: seconds.
const KEEP_ALIVE_S: u64 = 30;

/// How to reach a broker.
#[derive(Clone)]
pub struct BrokerAddress {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Present: TLS.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// User name and password.
    pub login: Option<(String, String)>,
    /// The broker keeps our session while we are away.
    pub resume: bool,
}

/// A message to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Bytes,
    /// Delivered at least once; otherwise at most once.
    pub acknowledged: bool,
}

/// A message from a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Where it was sent to.
    pub topic: String,
    /// What.
    pub payload: Bytes,
}

/// The largest packet that both ends take; the broker says its own bound when it lets us in.
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

    /// The client crate gives up the whole connection for one message that does not fit, and a session that is resumed
    /// would get it again, for ever: such a message must not reach it.
    ///
    /// Errors: what is too long, with the numbers.
    fn check(&self, topic_bytes: usize, payload_bytes: usize) -> Result<(), String> {
        if topic_bytes > MQTT_TOPIC_BYTES_MAX {
            return Err(format!("a topic of {topic_bytes} bytes, MQTT carries {MQTT_TOPIC_BYTES_MAX}"));
        }
        let (got, max) = (PUBLISH_FRAME_BYTES + topic_bytes + payload_bytes, self.0.load(Ordering::Relaxed));
        match got > max as usize {
            true => Err(format!("a packet of {got} bytes, the connection carries {max}")),
            false => Ok(()),
        }
    }
}

/// Sends messages; clones share the connection.
#[derive(Clone)]
pub struct Publisher {
    client: AsyncClient,
    bound: PacketLimit,
}

impl Publisher {
    /// Hands one message to the connection; waits a while if too many wait already, and then gives it up.
    ///
    /// Dropping it before it returns: the message was not taken.
    pub async fn publish(&self, message: Outgoing) {
        if !self.fits(&message) {
            return;
        }
        let (qos, topic) = (qos(&message), quote(message.topic.as_bytes()));
        let sent = self.client.publish_bytes(message.topic, qos, false, message.payload);
        match tokio::time::timeout(PUBLISH_TIMEOUT, sent).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => report_error(format_args!("publish to {topic}: {error}")),
            Err(_) => report_error(format_args!("publish to {topic}: given up, the broker does not take it")),
        }
    }

    /// Hands one message to the connection if it has room; says whether the message is dealt with, and false if there
    /// was no room.
    pub fn try_publish(&self, message: Outgoing) -> bool {
        let qos = qos(&message);
        // What never fits is dealt with: it was refused with a line.
        !self.fits(&message) || self.client.try_publish(message.topic, qos, false, message.payload).is_ok()
    }

    fn fits(&self, message: &Outgoing) -> bool {
        let checked = self.bound.check(message.topic.len(), message.payload.len());
        if let Err(why) = &checked {
            report_error(format_args!("publish to {} is refused: {why}", quote(message.topic.as_bytes())));
        }
        checked.is_ok()
    }

    /// Says goodbye to the broker.
    pub async fn disconnect(&self) {
        // Fails only if the connection's task is over, and then there is nobody to say goodbye to.
        let _ = self.client.disconnect().await;
    }
}

fn qos(message: &Outgoing) -> QoS {
    if message.acknowledged { QoS::AtLeastOnce } else { QoS::AtMostOnce }
}

/// The connection; nothing moves unless [`Connection::run`] is polled.
pub struct Connection {
    events: EventLoop,
    filters: Vec<Filter>,
    subscribed: watch::Sender<bool>,
    bound: PacketLimit,
}

/// Prepares a connection to a broker with these subscriptions.
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
    let publisher = Publisher { client, bound: bound.clone() };
    (publisher, Connection { events, filters, subscribed: watch::channel(false).0, bound })
}

/// Our own answers are not sent back to us.
fn own_filter(path: &str) -> Filter {
    Filter { nolocal: true, ..Filter::new(path, QoS::AtLeastOnce) }
}

impl Connection {
    /// Tells whether the subscriptions stand at this moment.
    pub fn subscribed(&self) -> watch::Receiver<bool> {
        self.subscribed.subscribe()
    }

    /// Moves messages until [`Publisher::disconnect`] or until it is dropped; connects again, and subscribes again, whenever the broker is lost.
    ///
    /// `on_message` must not wait: the acknowledgements of the publishes come through here as well.
    /// Dropping it closes the connection without a goodbye.
    pub async fn run(mut self, mut on_message: impl FnMut(Incoming)) {
        loop {
            match self.events.poll().await {
                Ok(Event::Incoming(packet)) => self.incoming(packet, &mut on_message),
                // Our own goodbye.
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
                // Ahead of all publishes that wait: `pending` is what the crate sends first.
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
                Err(_) => report_error("a topic that is not UTF-8"),
            },
            _ => {}
        }
    }

    /// A broker that came back may take less than it took before.
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
    /// Topics of the messages that wait for a connection that is never made; they wait no longer.
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

    /// The largest message of all is encoded as the crate encodes it, and has no byte more than the bound.
    #[test]
    fn the_bound_counts_every_byte_of_a_packet() {
        let message = message(300, 100_000);
        let mut publish =
            rumqttc::v5::mqttbytes::v5::Publish::new(message.topic, QoS::AtLeastOnce, message.payload, None);
        publish.pkid = 1;
        // One byte less: this packet's length takes three bytes and not four.
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
