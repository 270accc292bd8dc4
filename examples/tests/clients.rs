//! Every MQTT and HTTP client of this project fulfils the clauses of `ota_agent::transport::conformance`, at two brokers, and updates
//! a device.

#![allow(clippy::unwrap_used)]

#[path = "clients/brokers.rs"]
mod brokers;
#[allow(dead_code)] // what an error holds is read by its `Debug` only
#[path = "../clients/mod.rs"]
mod clients;
#[path = "clients/faulty.rs"]
mod faulty;
#[path = "clients/link.rs"]
mod link;
#[path = "clients/server.rs"]
mod server;
#[path = "clients/update.rs"]
mod update;

use std::array::from_fn;
use std::collections::BTreeSet;
use std::num::NonZero;
use std::time::Duration;

use ::minimq::{Buffers, ConfigBuilder};
use ::rumqttc::v5::MqttOptions;
use embassy_futures::join::join_array;
use ota_agent::prelude::*;
use ota_agent::transport::conformance::{
    BLOCK_BYTES, HTTP_CLAUSES, Link, MQTT_CLAUSES, RECEIVE_BYTES, SEND_BYTES, TestBroker, Violation, check_http,
    check_http_clauses, check_mqtt, check_mqtt_clauses,
};
use ota_agent::transport::{Broker, Mqtt, NoHttp};
use ota_examples::connect::Network;
use ota_examples::device::Error;
use rust_mqtt::buffer::AllocBuffer;
use tokio::time::timeout;

use brokers::{Folder, Mosquitto, service};
use clients::hyper::Hyper;
use clients::rumqttc::Rumqttc;
use clients::rust_mqtt::{Error as Broken, RustMqtt};
use faulty::{DEFECTS, Defect, Faulty, FaultyHttp, HTTP_DEFECTS};
use link::{Bench, Known};
use server::{HOSTS, Server};
use update::update;

const KEEP_ALIVE_S: u16 = 60;
const HEAD_BYTES: usize = 512;

/// What an adapter borrows: it is never freed, as the memory of a device.
fn buffer(len: usize) -> &'static mut [u8] {
    Box::leak(vec![0; len].into_boxed_slice())
}

fn minimq(client_id: String, port: u16) -> Minimq<'static, Network> {
    minimq_with(RECEIVE_BYTES, client_id, port)
}

fn minimq_with(receive_bytes: usize, client_id: String, port: u16) -> Minimq<'static, Network> {
    let buffers = Buffers::new(buffer(receive_bytes), buffer(SEND_BYTES));
    let config = ConfigBuilder::new(buffers).client_id(&client_id).unwrap();
    Minimq::new(config, KEEP_ALIVE_S, Network::plain(), "127.0.0.1", port).without_tls()
}

fn rumqttc(client_id: String, port: u16) -> Rumqttc {
    let mut options = MqttOptions::new(client_id, "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(KEEP_ALIVE_S.into()));
    options.set_max_packet_size(Some(RECEIVE_BYTES as u32));
    Rumqttc(options)
}

fn rust_mqtt(client_id: String, port: u16) -> RustMqtt<Network> {
    RustMqtt {
        connector: Network::plain(),
        host: "127.0.0.1".into(),
        port,
        tls: false,
        client_id,
        keep_alive_s: KEEP_ALIVE_S,
        packet_bytes_max: NonZero::new(RECEIVE_BYTES as u32).unwrap(),
        buffer: AllocBuffer,
    }
}

fn ours() -> HttpClient<'static, Network> {
    let (block, activity) = (buffer(BLOCK_BYTES as usize + HEAD_BYTES), Box::leak(Box::default()));
    HttpClient::new(Network::plain(), AllowedHosts { names: &HOSTS, plain: true }, block, activity)
}

fn hyper() -> Hyper<'static> {
    Hyper::new(Network::plain(), AllowedHosts { names: &HOSTS, plain: true }, Box::leak(Box::default()))
}

/// An adapter with this defect.
fn faulty(defect: Defect, client_id: String, port: u16) -> Faulty<Minimq<'static, Network>> {
    let receive_bytes = if defect == Defect::SmallBuffer { RECEIVE_BYTES - 512 } else { RECEIVE_BYTES };
    Faulty { inner: minimq_with(receive_bytes, client_id, port), defect, connections: 0 }
}

/// The service's broker: refuses the topics of another thing, and adds the names of the client and of its thing to each message.
fn known(port: u16) -> Known {
    Known { port, rejected_filter: Some("$aws/things/other/jobs/notify"), added_bytes_max: 128 }
}

/// Checks an adapter at the service's broker, and at mosquitto where it is installed; returns the violated clauses of both.
async fn violations<B: Broker + 'static>(name: &str, adapter: fn(String, u16) -> B) -> Vec<Violation> {
    let folder = Folder::new(name);
    let (service, port) = service(folder.path()).await;
    let mut violations = check_mqtt(&mut Bench::new(known(port), adapter).await).await;
    service.stop().await;
    match Mosquitto::start(&folder).await {
        Some(mosquitto) => {
            let foreign = Known { port: mosquitto.port, rejected_filter: None, added_bytes_max: 0 };
            violations.extend(check_mqtt(&mut Bench::new(foreign, adapter).await).await);
        }
        None => skip("mosquitto"),
    }
    violations
}

/// Skips a part of a test because `tool` is not installed; fails in CI.
fn skip(tool: &str) {
    assert!(std::env::var_os("CI").is_none(), "{tool} is not installed");
    println!("skipped: needs {tool}");
}

#[tokio::test]
async fn minimq_fulfils_every_clause() {
    assert_eq!(violations("minimq", minimq).await, []);
}

#[tokio::test]
async fn rumqttc_fulfils_every_clause_but_that_of_activity() {
    let violations = violations("rumqttc", rumqttc).await;
    let clauses: BTreeSet<_> = violations.iter().map(|violation| violation.clause).collect();
    let noted = "bytes are noted as they arrive, before the packet is complete";
    assert_eq!(clauses, BTreeSet::from([noted]), "{violations:#?}");
}

#[tokio::test]
async fn rust_mqtt_fulfils_every_clause() {
    assert_eq!(violations("rust-mqtt", rust_mqtt).await, []);
}

/// Waits for the end of a connection.
async fn end<M: Mqtt>(connection: &mut M) -> M::Error {
    loop {
        if let Err(error) = connection.receive().await {
            return error;
        }
    }
}

/// The other clients do so by themselves.
#[tokio::test]
async fn rust_mqtt_keeps_an_idle_connection_alive_and_ends_one_without_response() {
    const KEEP_ALIVE_S: u16 = 2;
    let folder = Folder::new("pings");
    let (service, port) = service(folder.path()).await;
    let adapter = |client_id, port| RustMqtt { keep_alive_s: KEEP_ALIVE_S, ..rust_mqtt(client_id, port) };
    let mut bench = Bench::new(known(port), adapter).await;
    let (activity, mut broker) = (Activity::default(), bench.adapter());
    let mut connection = broker.connect(&activity).await.unwrap();
    // The broker closes a connection that is silent for one and a half of its intervals.
    let limit = Duration::from_secs(2 * u64::from(KEEP_ALIVE_S) + 1);
    assert!(timeout(limit, end(&mut connection)).await.is_err());
    bench.set(Link::Held);
    assert!(matches!(timeout(limit, end(&mut connection)).await, Ok(Broken::NoResponse)));
    service.stop().await;
}

#[tokio::test]
async fn both_http_clients_fulfil_every_clause() {
    assert_eq!(check_http(&mut Server::new(ours).await).await, []);
    assert_eq!(check_http(&mut Server::new(hyper).await).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_device_is_updated_over_each_client() -> Result<(), Error> {
    update("mqtt", minimq, || NoHttp).await?;
    update("mqtt", rumqttc, || NoHttp).await?;
    update("mqtt", rust_mqtt, || NoHttp).await?;
    update("http", minimq, ours).await?;
    update("http", minimq, hyper).await
}

#[tokio::test]
async fn every_clause_notices_a_client_that_violates_it() {
    let folder = Folder::new("faulty");
    let (service, port) = service(folder.path()).await;
    let broker = known(port);
    let checks: [_; DEFECTS.len()] = from_fn(async |index| {
        let bench = Bench::new(broker, move |client_id, port| faulty(DEFECTS[index], client_id, port));
        check_mqtt_clauses(&mut bench.await, &[MQTT_CLAUSES[index]]).await
    });
    for (violations, defect) in join_array(checks).await.iter().zip(DEFECTS) {
        assert_eq!(violations.len(), 1, "{defect:?}");
        println!("{defect:?}: {}", violations[0]);
    }
    service.stop().await;
    let checks: [_; HTTP_DEFECTS.len()] = from_fn(async |index| {
        let client = move || FaultyHttp { inner: ours(), defect: HTTP_DEFECTS[index], bodies: 0 };
        check_http_clauses(&mut Server::new(client).await, &[HTTP_CLAUSES[index]]).await
    });
    for (violations, defect) in join_array(checks).await.iter().zip(HTTP_DEFECTS) {
        assert_eq!(violations.len(), 1, "{defect:?}");
        println!("{defect:?}: {}", violations[0]);
    }
}
