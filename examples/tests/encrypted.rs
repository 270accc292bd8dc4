//! Connections of the Linux device: the server is verified against the given CA and host name, and the traffic is encrypted.

#![allow(clippy::unwrap_used)]

#[path = "encrypted/fixture.rs"]
mod fixture;

use minimq::{Buffers, ConfigBuilder};
use ota_agent::transport::minimq::Minimq;
use ota_agent::transport::{Activity, Broker, Connector, Mqtt, QoS};
use ota_cloud::serve::{Config, Service};
use ota_examples::connect::Network;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use fixture::Fixture;

const MARKER: &str = "in-plain-sight";

/// Publishes the marker through `network` to `port`; the connection must succeed.
async fn publish(network: Network, port: u16, tls: bool) {
    let (mut receive, mut send) = ([0; 512], [0; 512]);
    let config = ConfigBuilder::new(Buffers::new(&mut receive, &mut send)).client_id("kitchen").unwrap();
    let mut broker = Minimq::new(config, 0, network, "localhost", port);
    if !tls {
        broker = broker.without_tls();
    }
    let activity = Activity::default();
    let mut connection = broker.connect(&activity).await.unwrap();
    Mqtt::subscribe(&mut connection, &["kitchen/door"]).await.unwrap();
    Mqtt::publish(&mut connection, "kitchen/door", MARKER.as_bytes(), QoS::AtLeastOnce, false).await.unwrap();
    loop {
        if let Some(message) = connection.receive().await.unwrap() {
            return assert_eq!(message.payload, MARKER.as_bytes());
        }
    }
}

/// Returns a port that forwards to `port`, and a channel with every forwarded byte.
async fn tapped(port: u16) -> (u16, mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tap = listener.local_addr().unwrap().port();
    let (recorder, bytes) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (device, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (from_device, to_device) = device.into_split();
        let (from_server, to_server) = server.into_split();
        for (mut from, mut to) in [(from_device, to_server), (from_server, to_device)] {
            let recorder = recorder.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = from.read(&mut buffer).await {
                    recorder.send(buffer[..count].to_vec()).unwrap();
                    if to.write_all(&buffer[..count]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (tap, bytes)
}

fn shows_marker(bytes: &mut mpsc::UnboundedReceiver<Vec<u8>>) -> bool {
    let mut all = Vec::new();
    while let Ok(mut some) = bytes.try_recv() {
        all.append(&mut some);
    }
    assert!(all.len() > 100, "nothing was recorded");
    all.windows(MARKER.len()).any(|window| window == MARKER.as_bytes())
}

#[tokio::test]
async fn the_traffic_cannot_be_read() {
    let fixture = Fixture::new("tap");
    let (service, port) = fixture.service().await;
    let (tap, mut bytes) = tapped(port).await;
    publish(fixture.device(&fixture.file("ca.pem")), tap, true).await;
    assert!(!shows_marker(&mut bytes));
    service.stop().await;
}

#[tokio::test]
async fn without_tls_the_tap_reads_the_traffic() {
    let fixture = Fixture::new("plain");
    let service = Service::start(Config::local(&fixture.0)).await.unwrap();
    let (tap, mut bytes) = tapped(service.mqtt.rsplit_once(':').unwrap().1.parse().unwrap()).await;
    publish(Network::plain(), tap, false).await;
    assert!(shows_marker(&mut bytes));
    service.stop().await;
}

#[tokio::test]
async fn a_server_of_another_ca_or_of_another_name_is_refused() {
    let (fixture, other) = (Fixture::new("ours"), Fixture::new("theirs"));
    let (service, port) = fixture.service().await;
    let activity = Activity::default();
    assert!(fixture.device(&fixture.file("ca.pem")).connect("localhost", port, true, &activity).await.is_ok());
    assert!(fixture.device(&other.file("ca.pem")).connect("localhost", port, true, &activity).await.is_err());
    assert!(fixture.device(&fixture.file("ca.pem")).connect("127.0.0.1", port, true, &activity).await.is_err());
    assert!(Network::plain().connect("localhost", port, true, &activity).await.is_err(), "TLS without a CA is no TLS");
    service.stop().await;
}
