//! The clauses of an MQTT adapter, over a link that the test controls.

use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use embassy_time::{Duration, with_timeout};

use super::violation::{QUIET, Seen, Violation, check_in_order, in_time, same};
use crate::transport::{Activity, Broker, Mqtt, QoS};

/// Bytes of the adapter's receive buffer: the largest packet that it takes.
pub const RECEIVE_BYTES: usize = 4096;
/// Bytes that the adapter can send at least: more than it takes.
pub const SEND_BYTES: usize = RECEIVE_BYTES + 1024;

/// How soon a future of `receive` is dropped in the clause about that: after some pieces of [`Link::Slow`].
const DROPPED_AFTER: Duration = Duration::from_millis(2);
/// How many such futures are dropped before the clause fails.
const DROPS_MAX: u32 = 5_000;
/// Messages of that clause, how many of them are sent at once, and bytes of each: the adapter may keep those that are not
/// acknowledged in its send buffer.
const PIECEMEAL: (u8, u8, usize) = (8, 2, 1_500);
/// Messages that are sent while no acknowledgement arrives, and bytes of each: more than the send buffer holds.
const IN_FLIGHT: (u8, usize) = (24, 900);

/// The clauses, in the order in which they are checked.
pub const MQTT_CLAUSES: [&str; 14] = [
    "several filters in one call: the messages of each are received",
    "a rejected filter is an error",
    "a message at least once is acknowledged, which `receive` returns as `None`",
    "`receive` returns for what arrives, and not for what is sent",
    "a received message at least once is acknowledged",
    "a message of a subscription to blocks is not acknowledged",
    "while too many messages wait for their acknowledgement, others may be lost, and the connection stays",
    "`receive` may be dropped at any time: nothing is lost or torn",
    "bytes are noted as they arrive, before the packet is complete",
    "a packet as large as the receive buffer is received",
    "after a message that is larger, the next one is received, or the connection ends with an error",
    "after `unsubscribe` nothing is received",
    "the end of the connection is an error",
    "after a reconnection messages are sent and received",
];

/// What the link from the broker to the adapter carries. The other direction always works, until [`Link::Cut`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// All bytes, at once.
    Open,
    /// About 50 bytes each millisecond, in pieces of varying length.
    Slow,
    /// Nothing; the bytes arrive later.
    Held,
    /// Closes all connections, and refuses others.
    Cut,
}

/// A broker, the link to it, and the adapter under test.
#[allow(async_fn_in_trait)]
pub trait TestBroker {
    /// The adapter under test.
    type Broker: Broker;

    /// Creates an adapter that connects over the link: with a client id of its own, buffers of [`RECEIVE_BYTES`] and
    /// [`SEND_BYTES`], and a keep-alive interval of a minute.
    fn adapter(&mut self) -> Self::Broker;

    /// Changes the link.
    fn set(&mut self, link: Link);

    /// Bytes that adapters have sent over the link.
    fn sent_bytes(&self) -> u64;

    /// Bytes that the broker adds to a message at most, such as user properties.
    fn added_bytes_max(&self) -> usize;

    /// A filter that the broker rejects; `None` if it rejects none.
    fn rejected_filter(&self) -> Option<&'static str>;
}

/// Checks every clause and returns the violations in the order of the clauses.
///
/// # Cancel safety
/// The link is left as it is.
pub async fn check_mqtt<B: TestBroker>(bench: &mut B) -> Vec<Violation> {
    check_mqtt_clauses(bench, &MQTT_CLAUSES).await
}

/// As [`check_mqtt`], but checks only these clauses.
///
/// # Cancel safety
/// The link is left as it is.
pub async fn check_mqtt_clauses<B: TestBroker>(bench: &mut B, only: &[&str]) -> Vec<Violation> {
    check_in_order!(
        MQTT_CLAUSES,
        only,
        bench,
        several_filters,
        rejected_filter,
        acknowledged,
        only_what_arrives,
        acknowledges,
        at_most_once,
        too_many_in_flight,
        dropped_receive,
        activity_is_noted,
        as_large_as_the_buffer,
        larger_than_the_buffer,
        unsubscribed,
        end_is_an_error,
        reconnected,
    )
}

async fn several_filters<B: TestBroker>(bench: &mut B) -> Result<(), Seen> {
    let (activity, mut broker) = start(bench);
    let mut connection = connect(&mut broker, &activity).await?;
    subscribe(&mut connection, &["several/a", "several/b/+", "several/c/#"]).await?;
    for topic in ["several/a", "several/b/1", "several/c/2/3"] {
        publish(&mut connection, topic, topic.as_bytes(), QoS::AtLeastOnce).await?;
        receives(&mut connection, topic, topic.as_bytes()).await?;
    }
    Ok(())
}

async fn rejected_filter<B: TestBroker>(bench: &mut B) -> Result<(), Seen> {
    let Some(rejected) = bench.rejected_filter() else { return Ok(()) };
    let (activity, mut broker) = start(bench);
    let mut connection = connect(&mut broker, &activity).await?;
    let subscribed = in_time("subscribe", connection.subscribe(&["rejected/a", rejected])).await?;
    same("whether the subscription failed", subscribed.is_err(), true)
}

async fn acknowledged<B: TestBroker>(bench: &mut B) -> Result<(), Seen> {
    let (activity, mut broker) = start(bench);
    let mut connection = connect(&mut broker, &activity).await?;
    publish(&mut connection, "acknowledged", b"1", QoS::AtLeastOnce).await?;
    let received = in_time("the acknowledgement", connection.receive()).await?.map_err(|error| seen(&error))?;
    same("whether that is a message", received.is_some(), false)
}

async fn only_what_arrives<B: TestBroker>(bench: &mut B) -> Result<(), Seen> {
    let (activity, mut broker) = start(bench);
    let mut connection = connect(&mut broker, &activity).await?;
    publish(&mut connection, "sent", b"1", QoS::AtMostOnce).await?;
    is_quiet(&mut connection).await?;
    bench.set(Link::Held);
    publish(&mut connection, "sent", b"2", QoS::AtLeastOnce).await?;
    is_quiet(&mut connection).await
}

async fn acknowledges<B: TestBroker>(bench: &mut B) -> Result<(), Seen> {
    same("whether an acknowledgement was sent", is_acknowledged(bench, QoS::AtLeastOnce).await?, true)
}

async fn at_most_once<B: TestBroker>(bench: &mut B) -> Result<(), Seen> {
    same("whether an acknowledgement was sent", is_acknowledged(bench, QoS::AtMostOnce).await?, false)
}

/// Whether the adapter sends something once it received a message of a subscription with this quality of service.
async fn is_acknowledged<B: TestBroker>(bench: &mut B, qos: QoS) -> Result<bool, Seen> {
    let (activity, mut broker) = start(bench);
    let mut connection = connect(&mut broker, &activity).await?;
    let (filter, topic) = match qos {
        QoS::AtLeastOnce => ("acknowledges", "acknowledges"),
        QoS::AtMostOnce => ("blocks/streams/+/data/cbor", "blocks/streams/1/data/cbor"),
    };
    subscribe(&mut connection, &[filter]).await?;
    bench.set(Link::Held);
    publish(&mut connection, topic, b"1", QoS::AtLeastOnce).await?;
    is_quiet(&mut connection).await?;
    let sent_bytes = bench.sent_bytes();
    bench.set(Link::Open);
    receives(&mut connection, topic, b"1").await?;
    while let Ok(received) = with_timeout(QUIET, connection.receive()).await {
        received.map_err(|error| seen(&error))?;
    }
    Ok(bench.sent_bytes() > sent_bytes)
}

async fn too_many_in_flight<B: TestBroker>(bench: &mut B) -> Result<(), Seen> {
    let (activity, mut broker) = start(bench);
    let mut connection = connect(&mut broker, &activity).await?;
    subscribe(&mut connection, &["flight/last"]).await?;
    bench.set(Link::Held);
    let (count, len) = IN_FLIGHT;
    for number in 0..count {
        publish(&mut connection, "flight", &pattern(number, len), QoS::AtLeastOnce).await?;
    }
    bench.set(Link::Open);
    while let Ok(received) = with_timeout(QUIET, connection.receive()).await {
        received.map_err(|error| seen(&error))?;
    }
    publish(&mut connection, "flight/last", b"last", QoS::AtLeastOnce).await?;
    receives(&mut connection, "flight/last", b"last").await
}

async fn dropped_receive<B: TestBroker>(bench: &mut B) -> Result<(), Seen> {
    let (activity, mut broker) = start(bench);
    let mut connection = connect(&mut broker, &activity).await?;
    subscribe(&mut connection, &["dropped"]).await?;
    bench.set(Link::Slow);
    let (count, at_once, len) = PIECEMEAL;
    let (mut number, mut drops) = (0, 0);
    while number < count {
        for next in number..number + at_once {
            publish(&mut connection, "dropped", &pattern(next, len), QoS::AtLeastOnce).await?;
        }
        for next in number..number + at_once {
            let message = piecemeal(&mut connection, &mut drops).await?;
            same("whether a message is whole", message == pattern(next, len), true)?;
        }
        number += at_once;
    }
    same("whether futures were dropped in between", drops > u32::from(count), true)
}

/// Receives the next message, of whose futures most are dropped.
async fn piecemeal<M: Mqtt>(connection: &mut M, drops: &mut u32) -> Result<Vec<u8>, Seen> {
    while *drops < DROPS_MAX {
        match with_timeout(DROPPED_AFTER, connection.receive()).await {
            Ok(Ok(Some(message))) => return Ok(message.payload.to_vec()),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => return Err(seen(&error)),
            Err(_) => *drops += 1,
        }
    }
    Err(Seen(String::from("a message is lost")))
}

async fn activity_is_noted<B: TestBroker>(bench: &mut B) -> Result<(), Seen> {
    let (activity, mut broker) = start(bench);
    let mut connection = connect(&mut broker, &activity).await?;
    subscribe(&mut connection, &["noted"]).await?;
    bench.set(Link::Held);
    publish(&mut connection, "noted", &pattern(0, 3_000), QoS::AtMostOnce).await?;
    activity.take();
    is_quiet(&mut connection).await?;
    same("activity while nothing arrives", activity.take(), false)?;
    bench.set(Link::Slow);
    for _ in 0..DROPS_MAX {
        if with_timeout(DROPPED_AFTER, connection.receive()).await.is_ok() {
            return Err(Seen(String::from("the message was complete before a byte of it was noted")));
        }
        if activity.take() {
            return receives(&mut connection, "noted", &pattern(0, 3_000)).await;
        }
    }
    Err(Seen(String::from("no byte was noted")))
}

async fn as_large_as_the_buffer<B: TestBroker>(bench: &mut B) -> Result<(), Seen> {
    let (activity, mut broker) = start(bench);
    let mut connection = connect(&mut broker, &activity).await?;
    subscribe(&mut connection, &["large"]).await?;
    // Type, two bytes of length, the topic with its length, the length of the properties. Source: MQTT 5, section 3.3.
    let head_bytes = 1 + 2 + 2 + "large".len() + 1 + bench.added_bytes_max();
    let payload = pattern(1, RECEIVE_BYTES - head_bytes);
    publish(&mut connection, "large", &payload, QoS::AtMostOnce).await?;
    receives(&mut connection, "large", &payload).await
}

async fn larger_than_the_buffer<B: TestBroker>(bench: &mut B) -> Result<(), Seen> {
    let (activity, mut broker) = start(bench);
    let mut connection = connect(&mut broker, &activity).await?;
    subscribe(&mut connection, &["larger"]).await?;
    publish(&mut connection, "larger", &pattern(2, RECEIVE_BYTES), QoS::AtMostOnce).await?;
    publish(&mut connection, "larger", b"next", QoS::AtMostOnce).await?;
    match message(&mut connection).await {
        Ok((_, payload)) => same("the next message", payload, b"next".to_vec()),
        Err(Lost::Ended(_)) => Ok(()),
        Err(Lost::Silent(seen)) => Err(seen),
    }
}

async fn unsubscribed<B: TestBroker>(bench: &mut B) -> Result<(), Seen> {
    let (activity, mut broker) = start(bench);
    let mut connection = connect(&mut broker, &activity).await?;
    subscribe(&mut connection, &["ended/a", "ended/b", "kept"]).await?;
    let ended = in_time("unsubscribe", connection.unsubscribe(&["ended/a", "ended/b"])).await?;
    ended.map_err(|error| seen(&error))?;
    for topic in ["ended/a", "ended/b", "kept"] {
        publish(&mut connection, topic, topic.as_bytes(), QoS::AtMostOnce).await?;
    }
    receives(&mut connection, "kept", b"kept").await
}

async fn end_is_an_error<B: TestBroker>(bench: &mut B) -> Result<(), Seen> {
    let (activity, mut broker) = start(bench);
    let mut connection = connect(&mut broker, &activity).await?;
    bench.set(Link::Cut);
    let received = in_time("the connection", connection.receive()).await?;
    same("whether `receive` failed", received.is_err(), true)
}

async fn reconnected<B: TestBroker>(bench: &mut B) -> Result<(), Seen> {
    let (activity, mut broker) = start(bench);
    for round in [&b"before"[..], &b"after"[..]] {
        bench.set(Link::Open);
        let mut connection = connect(&mut broker, &activity).await?;
        subscribe(&mut connection, &["again"]).await?;
        publish(&mut connection, "again", round, QoS::AtLeastOnce).await?;
        receives(&mut connection, "again", round).await?;
        bench.set(Link::Cut);
        let received = in_time("the connection", async { while connection.receive().await.is_ok() {} }).await;
        received?;
    }
    bench.set(Link::Cut);
    let refused = in_time("connect", broker.connect(&activity)).await?;
    same("whether a connection is refused without a network", refused.is_err(), true)
}

/// An adapter over a link that is open.
fn start<B: TestBroker>(bench: &mut B) -> (Activity, B::Broker) {
    bench.set(Link::Open);
    (Activity::default(), bench.adapter())
}

async fn connect<'c, B: Broker>(broker: &'c mut B, activity: &'c Activity) -> Result<B::Connection<'c>, Seen> {
    in_time("connect", broker.connect(activity)).await?.map_err(|error| seen(&error))
}

async fn subscribe<M: Mqtt>(connection: &mut M, filters: &[&str]) -> Result<(), Seen> {
    in_time("subscribe", connection.subscribe(filters)).await?.map_err(|error| seen(&error))
}

async fn publish<M: Mqtt>(connection: &mut M, topic: &str, payload: &[u8], qos: QoS) -> Result<(), Seen> {
    in_time("publish", connection.publish(topic, payload, qos, false)).await?.map_err(|error| seen(&error))
}

/// Why no message is received.
enum Lost {
    Ended(Seen),
    Silent(Seen),
}

/// Receives the next message.
async fn message<M: Mqtt>(connection: &mut M) -> Result<(String, Vec<u8>), Lost> {
    let wait = async {
        loop {
            if let Some(message) = connection.receive().await.map_err(|error| seen(&error))? {
                return Ok((String::from(message.topic), message.payload.to_vec()));
            }
        }
    };
    in_time("a message", wait).await.map_err(Lost::Silent)?.map_err(Lost::Ended)
}

/// Fails the clause unless the next message is this one.
async fn receives<M: Mqtt>(connection: &mut M, topic: &str, payload: &[u8]) -> Result<(), Seen> {
    let (is, bytes) = message(connection).await.map_err(|(Lost::Ended(seen) | Lost::Silent(seen))| seen)?;
    same("the topic", is.as_str(), topic)?;
    same("whether the message is whole", bytes == payload, true)
}

/// Fails the clause if `receive` returns.
async fn is_quiet<M: Mqtt>(connection: &mut M) -> Result<(), Seen> {
    match with_timeout(QUIET, connection.receive()).await {
        Err(_) => Ok(()),
        Ok(Err(error)) => Err(seen(&error)),
        Ok(Ok(None)) => Err(Seen(String::from("`receive` returned `None`"))),
        Ok(Ok(Some(message))) => Err(Seen(format!("a message of {}", message.topic))),
    }
}

fn seen(error: &dyn core::fmt::Debug) -> Seen {
    Seen(format!("{error:?}"))
}

/// Bytes that differ from message to message, and along a message.
fn pattern(number: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![number; len];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = byte.wrapping_mul(59).wrapping_add((at % 251) as u8);
    }
    bytes
}
