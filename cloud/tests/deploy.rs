//! The files of `deploy` work: mosquitto runs with its configuration and keeps devices apart, systemd takes the unit, and the
//! service has the options that they use, and serves as in the container.

#![allow(clippy::unwrap_used)]

#[path = "common/authority.rs"]
mod authority;
mod common;
#[path = "common/device_tls.rs"]
mod device_tls;
#[path = "common/mosquitto.rs"]
mod mosquitto;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use authority::{Authority, secured};
use common::{Device, TIMEOUT, TempDir, TestService, config, skip};
use device_tls::options;
use mosquitto::{Mosquitto, free_port};
use ota_cloud::serve::{Config, ExternalBroker};

const QUIET: Duration = Duration::from_millis(500);

fn deployed(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)).unwrap()
}

/// A text in which each part that differs on this machine is there, and replaced.
fn adapted(text: &str, parts: &[(&str, String)]) -> String {
    parts.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

/// Starts mosquitto with the configuration of `deploy`, in which paths and port are those of this test; `None` if it is not
/// installed.
async fn start(dir: &TempDir, authority: &Authority, port: u16) -> Option<Mosquitto> {
    let at = |name: &str| dir.path().join(name);
    let (cert, key) = authority.issue("broker", &["127.0.0.1"]);
    std::fs::write(at("cert.pem"), cert).unwrap();
    std::fs::write(at("key.pem"), key).unwrap();
    std::fs::write(at("ca.pem"), authority.pem()).unwrap();
    std::fs::write(at("mosquitto.acl"), deployed("mosquitto.acl")).unwrap();
    let path = |path: PathBuf| path.display().to_string();
    let text = adapted(
        &deployed("mosquitto.conf"),
        &[
            ("/var/lib/mosquitto", path(dir.path().to_owned())),
            ("/etc/mosquitto/certs", path(dir.path().to_owned())),
            ("/etc/mosquitto/mosquitto.acl", path(at("mosquitto.acl"))),
            // Root would become a user who cannot read this folder.
            ("listener 8883\n", format!("listener {port} 127.0.0.1\nuser root\n")),
        ],
    );
    Mosquitto::start(dir, port, &text).await
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_at_mosquitto_reach_their_own_topics_only() {
    let (dir, authority) = (TempDir::new(), Authority::new());
    let port = free_port();
    let Some(_broker) = start(&dir, &authority, port).await else {
        return skip("mosquitto");
    };
    let at = |name: &str| dir.path().join(name);
    let (cert, key) = authority.issue("ota-cloud", &[]);
    std::fs::write(at("service.pem"), cert).unwrap();
    std::fs::write(at("service.key"), key).unwrap();
    let identity = Some((at("service.pem"), at("service.key")));
    let external = ExternalBroker { url: format!("mqtts://127.0.0.1:{port}"), ca: Some(at("ca.pem")), identity };
    let world = TestService::start(Config { broker: Some(external), ..config(dir.path()) }).await;
    let device = async |name: &str, filter: &str| {
        Device::with(options(port, name, &authority, Some(&authority.issue(name, &[]))), filter).await.0
    };
    let mut lamp = device("lamp", "$aws/things/lamp/#").await;
    // Mosquitto grants the filters of others, and delivers nothing for them.
    let mut eve = device("eve", "$aws/things/+/#").await;
    let image = world.upload(b"image").await;
    world.job("one", &image, r#"["MQTT"]"#).await;
    assert_eq!(lamp.json("/notify-next").await["execution"]["jobId"], "one");
    assert!(!eve.receives("/notify-next", QUIET).await, "the job of another device");
    eve.publish("$aws/things/lamp/jobs/one/update", r#"{"status":"FAILED"}"#).await;
    eve.publish("$aws/things/eve/jobs/get", "{}").await;
    eve.next("$aws/things/eve/jobs/get/accepted").await;
    lamp.publish("$aws/things/lamp/jobs/$next/get", "{}").await;
    assert_eq!(lamp.json("/$next/get/accepted").await["execution"]["status"], "QUEUED", "no device ends another's job");
    lamp.publish("ota/things/lamp/report", r#"{"available":true,"version":"2.1.0"}"#).await;
    let end = std::time::Instant::now() + TIMEOUT;
    while !String::from_utf8(world.admin("GET", "/api/things", "", b"").await).unwrap().contains("2.1.0") {
        assert!(std::time::Instant::now() < end, "the report reaches the service");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (_, granted) = Device::with(options(port, "lamp", &authority, None), "$aws/things/lamp/#").await;
    assert!(!granted, "no certificate");
    world.service.stop().await;
}

/// Words that begin with `--`.
fn used_options(text: &str) -> Vec<String> {
    let words = text.lines().filter(|line| line.starts_with("ExecStart=") || line.starts_with("ENTRYPOINT"));
    let words = words.flat_map(|line| line.split(|c: char| c.is_whitespace() || "\"[],".contains(c)));
    words.filter(|word| word.starts_with("--")).map(str::to_owned).collect()
}

#[test]
fn the_service_has_the_options_that_unit_and_container_file_use() {
    let help = Command::new(env!("CARGO_BIN_EXE_ota-cloud")).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for file in ["ota-cloud.service", "Containerfile"] {
        let options = used_options(&deployed(file));
        assert!(options.len() > 3, "{file}: {options:?}");
        for option in options {
            assert!(help.contains(&format!("{option} <")), "{file}: {option}");
        }
    }
}

/// The program of the container with its options and variables, whose folders are this one, and which selects its ports.
fn container(dir: &TempDir) -> Command {
    let text = adapted(
        &deployed("Containerfile"),
        &[
            ("/data\"", format!("{}\"", dir.path().join("data").display())),
            ("/tls/", format!("{}/", dir.path().display())),
            ("0.0.0.0:8883", "127.0.0.1:0".to_owned()),
            ("0.0.0.0:8443", "127.0.0.1:0".to_owned()),
        ],
    );
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let entry: Vec<String> = serde_json::from_str(&line("ENTRYPOINT ")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ota-cloud"));
    command.args(&entry[1..]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(line("ENV ").split(' ').map(|variable| variable.split_once('=').unwrap()));
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn the_container_serves_with_tls_and_not_without_its_certificates() {
    let (dir, authority) = (TempDir::new(), Authority::new());
    let without = container(&dir).output().unwrap();
    let error = String::from_utf8(without.stderr).unwrap();
    assert!(!without.status.success() && error.contains("ca.pem: "), "{error}");
    secured(dir.path(), &authority);
    let mut service = container(&dir).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(service.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let mqtt = ready.split("mqtt=").nth(1).unwrap().split(' ').next().unwrap();
    let port = mqtt.rsplit_once(':').unwrap().1.parse().unwrap();
    let lamp = authority.issue("lamp", &[]);
    for (identity, is_served) in [(Some(&lamp), true), (None, false)] {
        let (_, granted) = Device::with(options(port, "lamp", &authority, identity), "$aws/things/lamp/#").await;
        assert_eq!(granted, is_served, "only with the certificate of a device");
    }
    service.kill().unwrap();
    service.wait().unwrap();
}

#[test]
fn systemd_takes_the_unit_and_finds_it_little_exposed() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return skip("systemd-analyze");
    }
    let dir = TempDir::new();
    let file = dir.path().join("ota-cloud.service");
    let program = ("/usr/local/bin/ota-cloud", env!("CARGO_BIN_EXE_ota-cloud").to_owned());
    std::fs::write(&file, adapted(&deployed("ota-cloud.service"), &[program])).unwrap();
    // `verify` prints unknown settings and succeeds; the threshold is tenths of the exposure, of which 100 is the worst.
    for arguments in [&["verify", "--man=no"][..], &["security", "--offline=true", "--threshold=15"]] {
        let output = Command::new("systemd-analyze").args(arguments).arg(&file).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        let is_unknown = text.lines().any(|line| line.contains("ota-cloud.service:") && line.contains("Unknown"));
        assert!(output.status.success() && !is_unknown, "{arguments:?}: {text}");
    }
}
