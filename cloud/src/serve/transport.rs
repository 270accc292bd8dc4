//! The service's connection to a broker, embedded or external: subscribes, hands messages on, publishes, reconnects.
//! The client is `rumqttc` and not the broker crate's own, so that the service works without the embedded broker
//! and the two ends of every message come from different hands.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, Subscribe, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions, Request};
use rumqttc::{Outgoing as Sent, TlsConfiguration, Transport};
use tokio::sync::watch;

use super::SERVICE;
use super::log::problem;
use crate::limits::{BROKER_RETRY, MQTT_PACKET_BYTES_MAX, PUBLISH_TIMEOUT, PUBLISHES_WAITING_MAX};

/// How long an external broker keeps requests for a service that is away. Unit: seconds.
const SESSION_EXPIRY_S: u32 = 3600;
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

/// Sends messages; clones share the connection.
#[derive(Clone)]
pub struct Publisher(AsyncClient);

impl Publisher {
    /// Hands one message to the connection; waits a while if too many wait already, and then gives it up.
    ///
    /// Dropping it before it returns: the message was not taken.
    pub async fn publish(&self, message: Outgoing) {
        let (qos, topic) = (qos(&message), message.topic.clone());
        let sent = self.0.publish_bytes(message.topic, qos, false, message.payload);
        match tokio::time::timeout(PUBLISH_TIMEOUT, sent).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => problem(format_args!("publish to {topic}: {error}")),
            Err(_) => problem(format_args!("publish to {topic}: given up, the broker does not take it")),
        }
    }

    /// Hands one message to the connection if it has room.
    pub fn try_publish(&self, message: Outgoing) {
        let (qos, topic) = (qos(&message), message.topic.clone());
        if let Err(error) = self.0.try_publish(message.topic, qos, false, message.payload) {
            problem(format_args!("publish to {topic}: {error}"));
        }
    }

    /// Says goodbye to the broker.
    pub async fn disconnect(&self) {
        // Fails only if the connection's task is over, and then there is nobody to say goodbye to.
        let _ = self.0.disconnect().await;
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
    let (client, mut events) = AsyncClient::new(options, PUBLISHES_WAITING_MAX);
    let mut network = events.options.network_options();
    network.set_tcp_nodelay(true);
    events.options.set_network_options(network);
    let filters = filters.iter().map(|filter| own_filter(filter)).collect();
    (Publisher(client), Connection { events, filters, subscribed: watch::channel(false).0 })
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
                    problem(format_args!("broker connection: {error}"));
                    tokio::time::sleep(BROKER_RETRY).await;
                }
            }
        }
    }

    fn incoming(&mut self, packet: Packet, on_message: &mut impl FnMut(Incoming)) {
        match packet {
            Packet::ConnAck(_) => {
                // Ahead of all publishes that wait: `pending` is what the crate sends first.
                let subscribe = Subscribe::new_many(self.filters.clone(), None);
                self.events.pending.push_front(Request::Subscribe(subscribe));
            }
            Packet::SubAck(answer) => {
                let granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
                let all = answer.return_codes.iter().all(granted);
                if !all {
                    problem(format_args!("the broker refused a subscription: {:?}", answer.return_codes));
                }
                self.subscribed.send_replace(all);
            }
            Packet::Publish(message) => match String::from_utf8(message.topic.to_vec()) {
                Ok(topic) => on_message(Incoming { topic, payload: message.payload }),
                Err(_) => problem("a topic that is not UTF-8"),
            },
            _ => {}
        }
    }
}
