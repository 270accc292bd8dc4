//! TLS of the firmware against the real broker, and against servers that must not be accepted.

#![allow(clippy::unwrap_used)]

#[path = "tls/servers.rs"]
mod servers;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use embedded_io_adapters::tokio_1::FromTokio;
use embedded_io_async::{Read, Write};
use minimq::ConfigBuilder;
use ota_agent::transport::minimq::Minimq;
use ota_agent::transport::{Activity, Broker, Connector, Mqtt, Observed, QoS};
use ota_firmware::tls::{
    Buffers, Certificates, ConnectError, Date, InvalidCertificates, RECORD_BYTES_MAX, Refused, Tls,
};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use tokio::net::{TcpListener, TcpStream};
use webpki::Error;

use servers::{Ca, Leaf, NOW, Server, YEAR};

/// TCP without TLS, as a board has it.
struct Network;

impl Connector for Network {
    type Stream<'a> = Observed<'a, FromTokio<TcpStream>>;
    type Error = std::io::Error;

    async fn connect<'a>(
        &'a mut self,
        _: &str,
        port: u16,
        tls: bool,
        activity: &'a Activity,
    ) -> Result<Self::Stream<'a>, Self::Error> {
        assert!(!tls, "TLS is above");
        Ok(activity.observe(FromTokio::new(TcpStream::connect(("127.0.0.1", port)).await?)))
    }
}

type Firmware<'b> = Tls<'b, Network, ChaCha20Rng>;

/// The buffers of a test.
struct Memory {
    record: Vec<u8>,
    plain: Vec<u8>,
    send: Vec<u8>,
}

impl Memory {
    fn new() -> Self {
        Self { record: vec![0; RECORD_BYTES_MAX], plain: vec![0; RECORD_BYTES_MAX], send: vec![0; 2048] }
    }

    fn buffers(&mut self) -> Buffers<'_> {
        Buffers { record: &mut self.record, plain: &mut self.plain, send: &mut self.send }
    }
}

fn firmware<'b>(memory: &'b mut Memory, ca: &'b Ca, device: &'b Leaf, date: fn() -> Date) -> Firmware<'b> {
    let certificates = Certificates { ca: ca.der(), device: device.der(), key: device.key_der() };
    Tls::new(Network, certificates, ChaCha20Rng::from_seed([7; 32]), date, memory.buffers()).unwrap()
}

/// Whether `host` is accepted when `server` answers.
async fn accepted(ca: &Ca, server: Server, host: &str, date: fn() -> Date) -> Result<(), ConnectError<std::io::Error>> {
    let device = ca.issue(Leaf::device("kitchen"));
    let (mut memory, activity) = (Memory::new(), Activity::default());
    firmware(&mut memory, ca, &device, date).connect(host, server.port(), true, &activity).await.map(|_| ())
}

fn now() -> Date {
    Date::Exact(NOW)
}

fn built_long_ago() -> Date {
    Date::AtLeast(NOW - 9 * YEAR)
}

#[tokio::test]
async fn the_agents_broker_is_connected_to_with_the_devices_certificate() {
    let ca = Ca::new();
    let device = ca.issue(Leaf::device("kitchen"));
    let (service, port) = ca.service("broker").await;
    let (mut memory, activity) = (Memory::new(), Activity::default());
    let (mut receive, mut send) = ([0; 40_000], [0; 40_000]);
    let session = ConfigBuilder::new(minimq::Buffers::new(&mut receive, &mut send)).client_id("kitchen").unwrap();
    let mut broker = Minimq::new(session, 0, firmware(&mut memory, &ca, &device, now), "localhost", port);
    let mut connection = broker.connect(&activity).await.unwrap();
    Mqtt::subscribe(&mut connection, &["kitchen/door"]).await.unwrap();
    let message = vec![0x5A; 30_000]; // of more than one record
    Mqtt::publish(&mut connection, "kitchen/door", &message, QoS::AtLeastOnce, false).await.unwrap();
    loop {
        if let Some(inbound) = connection.receive().await.unwrap() {
            assert!(inbound.payload == message);
            break;
        }
    }
    drop(connection);
    service.stop().await;
}

#[tokio::test]
async fn a_server_is_accepted_under_its_names_and_addresses() {
    let ca = Ca::new();
    for host in ["broker.example.com", "10.0.2.2"] {
        let server = Server::start(vec![ca.issue(Leaf::server(&["broker.example.com", "10.0.2.2"]))]).await;
        accepted(&ca, server, host, now).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_of_another_name_is_refused() {
    let ca = Ca::new();
    for host in ["other.example.com", "10.0.2.3"] {
        let server = Server::start(vec![ca.issue(Leaf::server(&["broker.example.com", "10.0.2.2"]))]).await;
        let refused = accepted(&ca, server, host, now).await.unwrap_err();
        assert!(
            matches!(refused, ConnectError::Certificate(Refused::Certificate(Error::CertNotValidForName(_)))),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_server_of_another_ca_is_refused() {
    let server = Server::start(vec![Ca::new().issue(Leaf::server(&["localhost"]))]).await;
    let refused = accepted(&Ca::new(), server, "localhost", now).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Certificate(Refused::Certificate(_))), "{refused:?}");
}

#[tokio::test]
async fn an_intermediate_ca_is_accepted() {
    let ca = Ca::new();
    let intermediate = ca.intermediate();
    let server = Server::start(vec![intermediate.issue(Leaf::server(&["localhost"])), intermediate.into_leaf()]).await;
    accepted(&ca, server, "localhost", now).await.unwrap();
}

#[tokio::test]
async fn a_device_cannot_issue_a_certificate_for_a_server() {
    let ca = Ca::new();
    let device = ca.issue(Leaf::device("bedroom"));
    let forged = device.issue(Leaf::server(&["localhost"]));
    let server = Server::start(vec![forged, device]).await;
    let refused = accepted(&ca, server, "localhost", now).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Certificate(Refused::Certificate(_))), "{refused:?}");
}

#[tokio::test]
async fn a_device_cannot_act_as_a_server() {
    let ca = Ca::new();
    let server = Server::start(vec![ca.issue(Leaf::client_only("localhost"))]).await;
    let refused = accepted(&ca, server, "localhost", now).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Certificate(Refused::Certificate(_))), "{refused:?}");
}

#[tokio::test]
async fn a_certificate_is_refused_outside_its_dates() {
    let ca = Ca::new();
    for (from_years, until_years) in [(-2, -1), (1, 2)] {
        let server = Server::start(vec![ca.issue(Leaf::server(&["localhost"]).valid(from_years, until_years))]).await;
        let refused = accepted(&ca, server, "localhost", now).await.unwrap_err();
        assert!(matches!(refused, ConnectError::Certificate(Refused::Certificate(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn without_a_clock_only_what_expired_before_the_build_is_refused() {
    let ca = Ca::new();
    for (from_years, until_years, is_accepted) in [(-2, -1, true), (1, 2, true), (-12, -10, false)] {
        let server = Server::start(vec![ca.issue(Leaf::server(&["localhost"]).valid(from_years, until_years))]).await;
        let accepted = accepted(&ca, server, "localhost", built_long_ago).await;
        assert_eq!(accepted.is_ok(), is_accepted, "{from_years} {until_years} {accepted:?}");
    }
}

#[tokio::test]
async fn a_server_without_the_key_of_its_certificate_is_refused() {
    let ca = Ca::new();
    let server = ca.issue(Leaf::server(&["localhost"])).with_another_key();
    let refused = accepted(&ca, Server::start(vec![server]).await, "localhost", now).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Certificate(Refused::Signature)), "{refused:?}");
}

#[tokio::test]
async fn a_server_that_hangs_up_is_not_taken_for_a_forged_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { drop(listener.accept().await.unwrap()) });
    let ca = Ca::new();
    let device = ca.issue(Leaf::device("kitchen"));
    let (mut memory, activity) = (Memory::new(), Activity::default());
    let mut firmware = firmware(&mut memory, &ca, &device, now);
    let failed = firmware.connect("localhost", port, true, &activity).await.err().unwrap();
    assert!(matches!(failed, ConnectError::Handshake(_)), "{failed:?}");
}

#[tokio::test]
async fn without_tls_there_is_no_connection() {
    let ca = Ca::new();
    let device = ca.issue(Leaf::device("kitchen"));
    let (mut memory, activity) = (Memory::new(), Activity::default());
    let mut firmware = firmware(&mut memory, &ca, &device, now);
    assert!(matches!(firmware.connect("localhost", 1, false, &activity).await, Err(ConnectError::NotEncrypted)));
}

#[test]
fn certificates_that_cannot_be_used_are_refused() {
    let ca = Ca::new();
    let device = ca.issue(Leaf::device("kitchen"));
    let good = Certificates { ca: ca.der(), device: device.der(), key: device.key_der() };
    let mut memory = Memory::new();
    let mut new = |certificates| {
        Tls::new(Network, certificates, ChaCha20Rng::from_seed([7; 32]), now, memory.buffers()).map(|_| ())
    };
    assert_eq!(new(good), Ok(()));
    assert_eq!(new(Certificates { key: b"no key", ..good }), Err(InvalidCertificates::Key));
    assert!(matches!(new(Certificates { ca: b"no certificate", ..good }), Err(InvalidCertificates::Ca(_))));
}

#[tokio::test]
async fn a_read_that_is_dropped_again_and_again_loses_nothing() {
    let ca = Ca::new();
    let device = ca.issue(Leaf::device("kitchen"));
    let server = Server::start(vec![ca.issue(Leaf::server(&["localhost"]))]).await;
    let (mut memory, activity) = (Memory::new(), Activity::default());
    let mut firmware = firmware(&mut memory, &ca, &device, now);
    let mut stream = firmware.connect("localhost", server.port(), true, &activity).await.unwrap();
    let sent: Vec<u8> = (0..60_000_u32).map(|at| (at % 251) as u8).collect();
    server.send_slowly(&sent);
    let (mut read, mut chunk, mut dropped) = (Vec::new(), [0; 4096], 0);
    while read.len() < sent.len() {
        let poll = pin!(stream.read(&mut chunk)).poll(&mut Context::from_waker(Waker::noop()));
        match poll {
            Poll::Ready(len) => read.extend_from_slice(&chunk[..len.unwrap()]),
            Poll::Pending => {
                dropped += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    assert!(read == sent);
    assert!(dropped > 100, "reads were dropped {dropped} times");
}

#[tokio::test]
async fn after_a_write_that_was_dropped_nothing_is_written() {
    let ca = Ca::new();
    let device = ca.issue(Leaf::device("kitchen"));
    let server = Server::start(vec![ca.issue(Leaf::server(&["localhost"]))]).await; // it reads nothing
    let (mut memory, activity) = (Memory::new(), Activity::default());
    let mut firmware = firmware(&mut memory, &ca, &device, now);
    let mut stream = firmware.connect("localhost", server.port(), true, &activity).await.unwrap();
    let mut write_some = || pin!(stream.write(&[0; 1024])).poll(&mut Context::from_waker(Waker::noop()));
    while let Poll::Ready(written) = write_some() {
        assert!(written.unwrap() > 0);
    }
    assert!(stream.write(&[0]).await.is_err());
    assert!(stream.flush().await.is_err());
}
