//! The Linux device reports whether it is available, as processes of their own: the service has each change, and the broker
//! keeps the last report. The image is a script that starts the device program of this build.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Parser;
use ota_cloud::serve::{Config, Service};
use ota_cloud::tool;
use ota_examples::bench::Device;
use ota_examples::device::{Error, HARDWARE};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tokio::time::timeout;

const SELECTOR: &str = env!("CARGO_BIN_EXE_boot-selector");
const DEVICE: &str = env!("CARGO_BIN_EXE_device");
const TIMEOUT: Duration = Duration::from_secs(20);

fn ota(arguments: &[&str]) -> Result<(), Error> {
    let arguments = tool::Arguments::try_parse_from([&["ota"], arguments].concat())?;
    tokio::task::block_in_place(|| tool::run(arguments)).map_err(|failed| failed.to_string().into())
}

/// The next report at the broker that begins so.
async fn report(mqtt: &str, begin: &str) -> Result<(), Error> {
    let port = mqtt.rsplit_once(':').ok_or("an address without a port")?.1.parse()?;
    let (client, mut events) = AsyncClient::new(MqttOptions::new("kitchen.probe", "127.0.0.1", port), 10);
    client.subscribe("ota/things/kitchen/report", QoS::AtLeastOnce).await?;
    let found = async {
        loop {
            if let Event::Incoming(Packet::Publish(message)) = events.poll().await?
                && message.payload.starts_with(begin.as_bytes())
            {
                return Ok::<(), Error>(());
            }
        }
    };
    timeout(TIMEOUT, found).await?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_hold_of_the_device_is_reported_when_it_begins_and_when_it_ends() -> Result<(), Error> {
    let device = Device::new("availability")?;
    let path = |name: &str| device.folder().join(name).display().to_string();
    ota(&["keygen", "--out", &path("")])?;
    fs::write(path("program"), format!("#!/bin/sh\nexec '{DEVICE}' \"$@\"\n"))?;
    let sign = ["sign", "--key", &path("private.pem"), "--version", "1.0.0", "--hardware", HARDWARE];
    ota(&[&sign[..], &[&path("program"), &path("v1.img")]].concat())?;
    let service = Service::start(Config::local(device.folder())).await?;
    let install = ["--flash", &path("flash"), "--install", &path("v1.img")];
    assert!(Command::new(SELECTOR).args(install).output()?.status.success());

    fs::write(path("hold"), "the pump runs\n")?;
    let mut process = tokio::process::Command::new(SELECTOR);
    process.args(["--flash", &path("flash"), "--leave-with-parent", "--endpoint", &service.mqtt, "--thing", "kitchen"]);
    process.args(["--update-key", &path("public.pem"), "--hold", &path("hold")]);
    let mut process = process.stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true).spawn()?;
    report(&service.mqtt, r#"{"available":false,"reason":"the pump runs","hardware":"demo-linux","#).await?;
    fs::remove_file(path("hold"))?;
    report(&service.mqtt, r#"{"available":true,"hardware":"demo-linux","#).await?;
    // Again, to a client that subscribes later: the broker keeps it.
    report(&service.mqtt, r#"{"available":true,"hardware":"demo-linux","#).await?;
    drop(process.stdin.take());
    process.wait().await?;
    service.stop().await;
    Ok(())
}
