//! A TLS record that arrives in parts, as on a link of some hundred bytes per second: no message can be read before its end,
//! but each part counts as activity. What the agent does with that is tested in `ota-tests`.

#![allow(clippy::unwrap_used)]

#[path = "encrypted/fixture.rs"]
mod fixture;

use std::sync::Arc;
use std::time::Duration;

use minimq::{Buffers, ConfigBuilder};
use ota_agent::transport::minimq::{ConnectError, Minimq};
use ota_agent::transport::{Activity, Broker, Connector, Mqtt, QoS};
use ota_cloud::serve::{Config, Service};
use ota_examples::bench::Device;
use ota_examples::connect::Network;
use ota_examples::device::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use fixture::Fixture;

const TOPIC: &str = "kitchen/door";
/// A message that the broker sends in one record.
const MESSAGE: [u8; 12_000] = [7; 12_000];
/// How many bytes the link carries at once, and how often while the record arrives.
const PART_BYTES: usize = 100;
const PARTS: usize = 5;
/// How long a part is waited for, and how often at most.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSES_MAX: usize = 200;

/// The parts that a link may still carry to the device.
type Link = Arc<Semaphore>;

/// Returns a port that forwards to `port`, and back as far as `link` allows.
async fn throttled(port: u16, link: Link) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (device, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        device.set_nodelay(true).unwrap();
        let (from_device, to_device) = device.into_split();
        let (from_server, to_server) = server.into_split();
        let unlimited = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        tokio::join!(forward(from_device, to_server, unlimited), forward(from_server, to_device, link));
    });
    own
}

async fn forward(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, link: Link) {
    let mut buffer = [0; PART_BYTES];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        link.acquire().await.unwrap().forget();
        if to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn every_part_of_a_record_is_activity_and_the_last_one_brings_the_message() {
    let fixture = Fixture::new("records");
    let (service, port) = fixture.service().await;
    let link = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
    let port = throttled(port, link.clone()).await;
    let (mut receive, mut send) = ([0; 13_000], [0; 13_000]);
    let config = ConfigBuilder::new(Buffers::new(&mut receive, &mut send)).client_id("kitchen").unwrap();
    let mut broker = Minimq::new(config, 0, fixture.device(&fixture.file("ca.pem")), "localhost", port);
    let activity = Activity::default();
    let mut connection = broker.connect(&activity).await.unwrap();
    Mqtt::subscribe(&mut connection, &[TOPIC]).await.unwrap();
    link.forget_permits(Semaphore::MAX_PERMITS);
    Mqtt::publish(&mut connection, TOPIC, &MESSAGE, QoS::AtMostOnce, false).await.unwrap();
    activity.take();
    for part in 0..PARTS {
        assert!(timeout(PAUSE, connection.receive()).await.is_err(), "nothing arrives");
        assert!(!activity.take(), "part {part} was noted before it arrived");
        link.add_permits(1);
        let mut pauses = 0;
        while !activity.take() {
            assert!(timeout(PAUSE, connection.receive()).await.is_err(), "the record is incomplete");
            pauses += 1;
            assert!(pauses < PAUSES_MAX, "part {part} was not noted");
        }
    }
    link.add_permits(MESSAGE.len());
    while connection.receive().await.unwrap().is_none_or(|message| message.payload != MESSAGE) {}
    service.stop().await;
}

/// A connector that notes nothing.
struct Forgetful(Network);

impl Connector for Forgetful {
    type Stream<'a> = <Network as Connector>::Stream<'a>;
    type Error = <Network as Connector>::Error;

    async fn connect<'a>(
        &'a mut self,
        host: &str,
        port: u16,
        tls: bool,
        _activity: &'a Activity,
    ) -> Result<Self::Stream<'a>, Self::Error> {
        self.0.connect(host, port, tls, Box::leak(Box::default())).await
    }
}

#[tokio::test]
async fn a_connector_that_notes_nothing_is_refused_by_name() -> Result<(), Error> {
    let device = Device::new("forgetful")?;
    let service = Service::start(Config::local(device.folder())).await?;
    let port = service.mqtt.rsplit_once(':').unwrap().1.parse()?;
    let (mut receive, mut send) = ([0; 512], [0; 512]);
    let config = ConfigBuilder::new(Buffers::new(&mut receive, &mut send)).client_id("kitchen")?;
    let mut broker = Minimq::new(config, 0, Forgetful(Network::plain()), "127.0.0.1", port).without_tls();
    let activity = Activity::default();
    assert!(matches!(broker.connect(&activity).await, Err(ConnectError::NotObserved)));
    service.stop().await;
    Ok(())
}
