//! The service with an external broker: mosquitto, if it is installed.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/mosquitto.rs"]
mod mosquitto;

use std::process::Command;
use std::time::Duration;

use common::{Device, TempDir, TestService, config};
use mosquitto::{Mosquitto, free_port};
use ota_cloud::serve::{Config, ExternalBroker};

/// Starts it on this port for everybody; `None` if it is not installed.
async fn start(dir: &TempDir, port: u16) -> Option<Mosquitto> {
    let broker = Mosquitto::start(dir, port, &format!("listener {port} 127.0.0.1\nallow_anonymous true\n")).await;
    if broker.is_none() {
        common::skip("mosquitto");
    }
    broker
}

/// The service at this broker, and a device.
async fn service(dir: &TempDir, port: u16) -> (TestService, Device) {
    let url = format!("mqtt://127.0.0.1:{port}");
    let external = Some(ExternalBroker { url, ca: None, identity: None });
    let world = TestService::start(Config { broker: external, ..config(dir.path()) }).await;
    (world, Device::connect(port, "lamp", "$aws/things/lamp/#").await.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_a_job_service_is_named() {
    let (dir, port) = (TempDir::new(), free_port());
    let Some(_broker) = start(&dir, port).await else { return };
    let endpoint = format!("127.0.0.1:{port}");
    let run = move || {
        let ota = Command::new(env!("CARGO_BIN_EXE_ota"))
            .args(["doctor", "--thing", "lamp", "--endpoint", &endpoint])
            .output();
        ota.unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (steps, failure) = (text(output.stdout), text(output.stderr));
    assert!(steps.ends_with("subscription: all 6 topic filters are granted\n"), "{steps}");
    assert!(failure.contains("request: no answer on $aws/things/lamp/jobs/$next/get/accepted"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_works_at_mosquitto_and_comes_back_to_it() {
    let (dir, port) = (TempDir::new(), free_port());
    let Some(broker) = start(&dir, port).await else { return };
    let (world, mut device) = service(&dir, port).await;
    let image = world.upload(b"image").await;
    world.job("one", &image, r#"["MQTT"]"#).await;
    assert_eq!(device.json("/notify-next").await["execution"]["jobId"], "one");

    drop(broker);
    let _broker = start(&dir, port).await.unwrap();
    let mut answered = false;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (mut device, granted) = Device::connect(port, "lamp", "$aws/things/lamp/#").await;
        if granted {
            device.publish("$aws/things/lamp/jobs/get", "{}").await;
            answered = device.receives("/get/accepted", Duration::from_millis(300)).await;
        }
        if answered {
            break;
        }
    }
    assert!(answered, "the service did not reconnect");
    world.service.stop().await;
}

/// This broker passes on no connection of a device.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_at_mosquitto_begins_with_the_first_request_after_a_silence() {
    let (dir, port) = (TempDir::new(), free_port());
    let Some(_broker) = start(&dir, port).await else { return };
    let (world, mut device) = service(&dir, port).await;
    let image = world.upload(b"image").await;
    let release = format!(r#"{{"job":{{"things":["lamp"],"files":[{{"image":"{image}"}}]}}}}"#);
    let json = "Content-Type: application/json\r\n";
    world.admin("PUT", "/api/releases/one", json, release.as_bytes()).await;
    device.publish("$aws/things/lamp/jobs/$next/get", "{}").await;
    assert_eq!(device.json("/$next/get/accepted").await["execution"]["jobId"], "one");
    world.admin("PUT", "/api/releases/two", json, release.as_bytes()).await;
    device.publish("$aws/things/lamp/jobs/get", "{}").await;
    let pending = device.json("/jobs/get/accepted").await;
    assert_eq!(pending["queuedJobs"].as_array().unwrap().len(), 1, "no silence came before it: {pending}");
    world.service.stop().await;
}
