//! The service with an external broker: mosquitto, if it is installed.

#![allow(clippy::unwrap_used)]

mod common;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Device, TempDir, TestService, config};
use ota_cloud::serve::{Config, ExternalBroker};

/// Debian installs it in a directory that is not in the PATH of ordinary users.
const PROGRAMS: [&str; 2] = ["mosquitto", "/usr/sbin/mosquitto"];

struct Mosquitto(Child);

impl Mosquitto {
    /// Returns `None` if mosquitto is not installed.
    fn start(dir: &TempDir, port: u16) -> Option<Self> {
        let file = dir.path().join("mosquitto.conf");
        std::fs::write(&file, format!("listener {port} 127.0.0.1\nallow_anonymous true\n")).unwrap();
        PROGRAMS.iter().find_map(|program| {
            let quiet = Command::new(program).arg("-c").arg(&file).stderr(Stdio::null()).stdout(Stdio::null()).spawn();
            quiet.ok().map(Self)
        })
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_a_job_service_is_named() {
    let dir = TempDir::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let Some(_broker) = Mosquitto::start(&dir, port) else {
        return common::skip("mosquitto");
    };
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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
    let dir = TempDir::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let Some(broker) = Mosquitto::start(&dir, port) else {
        return common::skip("mosquitto");
    };
    let url = format!("mqtt://127.0.0.1:{port}");
    let external = Some(ExternalBroker { url, ca: None, identity: None });
    let world = TestService::start(Config { broker: external, ..config(dir.path()) }).await;
    let (mut device, _) = Device::connect(port, "lamp", "$aws/things/lamp/#").await;
    let image = world.upload(b"image").await;
    world.job("one", &image, r#"["MQTT"]"#).await;
    assert_eq!(device.json("/notify-next").await["execution"]["jobId"], "one");

    drop(broker);
    let _broker = Mosquitto::start(&dir, port).unwrap();
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
    let dir = TempDir::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let Some(_broker) = Mosquitto::start(&dir, port) else {
        return common::skip("mosquitto");
    };
    let url = format!("mqtt://127.0.0.1:{port}");
    let external = Some(ExternalBroker { url, ca: None, identity: None });
    let world = TestService::start(Config { broker: external, ..config(dir.path()) }).await;
    let (mut device, _) = Device::connect(port, "lamp", "$aws/things/lamp/#").await;
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
