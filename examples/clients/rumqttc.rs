//! `rumqttc` behind the agent's traits. Its event loop is not cancel-safe while it writes, so it runs in a task of its own and
//! passes the packets through a channel; the task ends with the first error, because the agent's pump decides when to reconnect.
//!
//! One clause of `ota_agent::transport::conformance` it cannot fulfil: it does not let its socket be observed, so activity is
//! noted when a packet is complete. A packet that takes longer than the keep-alive interval counts as silence.

use std::collections::VecDeque;
use std::str::from_utf8;

use ota_agent::transport::{Activity, Broker, Inbound, Mqtt, QoS};
use rumqttc::v5::mqttbytes::QoS as Quality;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, Publish, SubscribeReasonCode, UnsubAckReason};
use rumqttc::v5::{AsyncClient, ClientError, ConnectionError, Event, EventLoop, MqttOptions};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

/// Messages that wait to be sent, and packets that wait to be received.
const QUEUE_LEN: usize = 16;

/// A broker. The options name it, the client id, the keep-alive interval, TLS, and the largest packet.
pub struct Rumqttc(pub MqttOptions);

/// A connection: the client, and the task that drives it.
pub struct Connection<'c> {
    activity: &'c Activity,
    client: AsyncClient,
    packets: Receiver<Result<Packet, ConnectionError>>,
    /// Messages that arrived while a subscription was waited for.
    early: VecDeque<Publish>,
    /// The message that `receive` returned last.
    message: Option<Publish>,
    task: JoinHandle<()>,
}

/// Why the connection ended, or could not be made.
#[derive(Debug)]
pub enum Error {
    /// The network, the broker, or a packet that is not valid or too large.
    Connection(Box<ConnectionError>),
    /// The task has ended.
    Ended,
    /// The request cannot be sent.
    Client(Box<ClientError>),
    /// The broker rejected a filter.
    Rejected,
}

impl Broker for Rumqttc {
    type Connection<'c> = Connection<'c>;
    type Error<'c> = Error;

    fn keep_alive_s(&self) -> u16 {
        self.0.keep_alive().as_secs() as u16
    }

    async fn connect<'c>(&'c mut self, activity: &'c Activity) -> Result<Connection<'c>, Error> {
        let (client, events) = AsyncClient::new(self.0.clone(), QUEUE_LEN);
        let (sender, packets) = channel(QUEUE_LEN);
        let task = tokio::spawn(drive(events, sender));
        let mut connection = Connection { activity, client, packets, early: VecDeque::new(), message: None, task };
        while !matches!(connection.packet().await?, Packet::ConnAck(_)) {}
        Ok(connection)
    }
}

/// Drives a connection until its first error, and passes on what arrives.
async fn drive(mut events: EventLoop, packets: Sender<Result<Packet, ConnectionError>>) {
    loop {
        let packet = match events.poll().await {
            Ok(Event::Incoming(packet)) => Ok(packet),
            Ok(Event::Outgoing(_)) => continue,
            Err(error) => Err(error),
        };
        let is_over = packet.is_err();
        if packets.send(packet).await.is_err() || is_over {
            return;
        }
    }
}

impl Connection<'_> {
    /// Waits for the next packet. Cancel-safe, as the channel is.
    async fn packet(&mut self) -> Result<Packet, Error> {
        let packet = self.packets.recv().await.ok_or(Error::Ended)?;
        self.activity.note();
        packet.map_err(|error| Error::Connection(Box::new(error)))
    }

    /// Waits for a packet of one kind; messages that arrive before it are kept.
    async fn packet_of<T>(&mut self, pick: impl Fn(&Packet) -> Option<T>) -> Result<T, Error> {
        loop {
            let packet = self.packet().await?;
            match (pick(&packet), packet) {
                (Some(picked), _) => return Ok(picked),
                (None, Packet::Publish(message)) => self.early.push_back(message),
                (None, _) => {}
            }
        }
    }
}

fn client(error: ClientError) -> Error {
    Error::Client(Box::new(error))
}

fn quality(qos: QoS) -> Quality {
    match qos {
        QoS::AtMostOnce => Quality::AtMostOnce,
        QoS::AtLeastOnce => Quality::AtLeastOnce,
    }
}

impl Mqtt for Connection<'_> {
    type Error = Error;

    async fn subscribe(&mut self, filters: &[&str]) -> Result<(), Error> {
        let filters = filters.iter().map(|filter| Filter::new(*filter, quality(QoS::of_subscription(filter))));
        self.client.subscribe_many(filters).await.map_err(client)?;
        let granted = self.packet_of(|packet| match packet {
            Packet::SubAck(answer) => Some(answer.return_codes.clone()),
            _ => None,
        });
        let is_granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
        if granted.await?.iter().all(is_granted) { Ok(()) } else { Err(Error::Rejected) }
    }

    async fn unsubscribe(&mut self, filters: &[&str]) -> Result<(), Error> {
        for filter in filters {
            self.client.unsubscribe(*filter).await.map_err(client)?;
            let ended = self.packet_of(|packet| match packet {
                Packet::UnsubAck(answer) => Some(answer.reasons.clone()),
                _ => None,
            });
            let is_ended = |reason: &UnsubAckReason| {
                matches!(reason, UnsubAckReason::Success | UnsubAckReason::NoSubscriptionExisted)
            };
            if !ended.await?.iter().all(is_ended) {
                return Err(Error::Rejected);
            }
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), Error> {
        self.client.disconnect().await.map_err(client)?;
        while self.packet().await.is_ok() {} // until the event loop has sent it, and ends
        Ok(())
    }

    async fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS, retain: bool) -> Result<(), Error> {
        self.client.publish(topic, quality(qos), retain, payload.to_vec()).await.map_err(client)
    }

    async fn receive(&mut self) -> Result<Option<Inbound<'_>>, Error> {
        self.message = match self.early.pop_front() {
            None => match self.packet().await? {
                Packet::Publish(message) => Some(message),
                _ => None,
            },
            early => early,
        };
        let message = self.message.as_ref();
        Ok(message
            .and_then(|message| Some(Inbound { topic: from_utf8(&message.topic).ok()?, payload: &message.payload })))
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
