//! Instances of the service with a real PostgreSQL, if it is installed: one serves, one waits to take over.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/instances.rs"]
mod instances;
#[path = "common/postgres.rs"]
mod postgres;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Device, TIMEOUT, TempDir, path_of, pattern, skip};
use instances::{Instance, free_port};
use postgres::{Database, PASSWORD};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// Devices of the rollout, and how many of them have succeeded when the instance is killed.
const DEVICES: usize = 1000;
const SUCCEEDED: usize = 200;
/// Devices that are connected at the same time: each waits for its response only so long.
const AT_ONCE: usize = 50;

fn database() -> Option<Database> {
    let database = Database::new();
    if database.is_none() {
        skip("PostgreSQL");
    }
    database
}

/// What the devices of a rollout share.
#[derive(Clone)]
struct World {
    port: u16,
    turns: Arc<Semaphore>,
    succeeded: mpsc::UnboundedSender<String>,
}

/// A device that takes the job `v2` and reports its success; sends its name once both reports are acknowledged. Returns the
/// status in which it got the job; `None` if it gets none.
async fn update(world: World, name: String) -> Option<String> {
    let _turn = world.turns.acquire().await.unwrap();
    let port = world.port;
    let (mut device, granted) = Device::connect(port, &name, &format!("$aws/things/{name}/jobs/#")).await;
    assert!(granted);
    device.publish(&format!("$aws/things/{name}/jobs/$next/get"), "{}").await;
    let next = device.json("/$next/get/accepted").await;
    let status = next["execution"]["status"].as_str()?.to_owned();
    assert_eq!(next["execution"]["jobId"], "v2");
    for report in [r#"{"status":"IN_PROGRESS"}"#, r#"{"status":"SUCCEEDED"}"#] {
        device.publish(&format!("$aws/things/{name}/jobs/v2/update"), report).await;
        device.next("/v2/update/accepted").await;
    }
    let _ = world.succeeded.send(name);
    Some(status)
}

fn names() -> Vec<String> {
    (0..DEVICES).map(|number| format!("device-{number:03}")).collect()
}

/// Creates what has to survive: an account, an image, a release for `lamp` over HTTP, and the job `v2` for all devices.
async fn fill(first: &Instance, content: &[u8]) -> String {
    first.json("PUT", "/api/accounts/ann", r#"{"role":"admin","password":"a-pass-phrase"}"#).await;
    let uploaded = first.admin("PUT", "/api/images/fw.img", "ota-signature: MEUC\r\n", content).await;
    let uploaded: serde_json::Value = serde_json::from_slice(&uploaded.body).unwrap();
    let image = uploaded["id"].as_str().unwrap();
    let files = format!(r#""files":[{{"image":"{image}"}}]"#);
    let release = format!(r#"{{"job":{{"things":["lamp"],{files},"protocols":["HTTP"]}}}}"#);
    first.json("PUT", "/api/releases/r1", &release).await;
    let things = serde_json::to_string(&names()).unwrap();
    first.json("PUT", "/api/jobs/v2", &format!(r#"{{"things":{things},{files},"protocols":["MQTT"]}}"#)).await;
    image.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_goes_on_where_it_was_when_its_instance_is_killed() {
    let Some(database) = database() else { return };
    let (dir, port, content) = (TempDir::new(), free_port(), pattern(600_000));
    let (first, line) = Instance::start(&dir, "first", &database.url(), port);
    assert!(line.starts_with("ready "), "{line}");
    let (mut second, line) = Instance::start(&dir, "second", &database.url(), port);
    assert!(line.starts_with("standby "), "{line}");
    assert_eq!(second.get("/health").await.status, 200);
    let ready = second.get("/ready").await;
    assert_eq!((ready.status, ready.text().contains(r#""database":"standby""#)), (503, true), "{}", ready.text());
    assert_eq!(second.get("/").await.status, 503);
    fill(&first, &content).await;

    let (succeeded, mut reports) = mpsc::unbounded_channel();
    let world = World { port, turns: Arc::new(Semaphore::new(AT_ONCE)), succeeded };
    let mut devices = JoinSet::new();
    for name in names() {
        devices.spawn(update(world.clone(), name));
    }
    let mut acknowledged = BTreeSet::new();
    while acknowledged.len() < SUCCEEDED {
        acknowledged.insert(tokio::time::timeout(TIMEOUT, reports.recv()).await.unwrap().unwrap());
    }
    first.kill();
    devices.shutdown().await;
    while let Ok(name) = reports.try_recv() {
        acknowledged.insert(name);
    }
    assert!(acknowledged.len() < DEVICES, "killed in the middle");
    let line = second.next_line();
    assert!(line.starts_with("ready "), "{line}");

    let mut devices = JoinSet::new();
    for name in names() {
        let is_done = acknowledged.contains(&name);
        let updated = update(world.clone(), name.clone());
        devices.spawn(async move { (name, is_done, updated.await) });
    }
    while let Some(device) = devices.join_next().await {
        let (name, is_done, got) = device.unwrap();
        assert!(!is_done || got.is_none(), "{name} gets an update again that it had reported: {got:?}");
    }
    let jobs = second.json("GET", "/api/jobs", "").await;
    assert_eq!(jobs["jobs"][0]["id"], "v2");
    assert_eq!(jobs["jobs"][0]["executions"], serde_json::json!({ "SUCCEEDED": DEVICES }));
    let once = "SELECT COUNT(*), COUNT(DISTINCT thing) FROM events WHERE job_id = 'v2' AND text LIKE 'SUCCEEDED%'";
    assert_eq!(database.run(once), format!("{DEVICES}|{DEVICES}"), "each reported its success once");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_images_secrets_and_releases_are_those_of_the_instance_before() {
    let Some(database) = database() else { return };
    let (dir, port, content) = (TempDir::new(), free_port(), pattern(600_000));
    let (first, _) = Instance::start(&dir, "first", &database.url(), port);
    fill(&first, &content).await;
    let token = first.token();
    let (mut lamp, _) = Device::connect(port, "lamp", "$aws/things/lamp/jobs/#").await;
    lamp.publish("$aws/things/lamp/jobs/$next/get", "{}").await;
    let next = lamp.json("/notify-next").await;
    let url = next["execution"]["jobDocument"]["afr_ota"]["files"][0]["update_data_url"].as_str().unwrap().to_owned();
    first.kill();

    let (second, line) = Instance::start(&dir, "second", &database.url(), port);
    assert!(line.starts_with("ready "), "{line}");
    assert_eq!(second.token(), token);
    let image = second.get(path_of(&url)).await;
    assert_eq!((image.status, image.body == content), (200, true), "a URL of the first instance");
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let signed_in = common::request(second.http, "POST", "/sign-in", form, b"name=ann&secret=a-pass-phrase").await;
    assert_eq!(signed_in.status, 303, "{}", signed_in.text());
    let releases = second.json("GET", "/api/releases", "").await;
    assert_eq!(releases["releases"][0]["id"], "r1", "{releases}");
    let unused = second.admin("PUT", "/api/images/other.img", "ota-signature: MEUC\r\n", b"other").await;
    let unused: serde_json::Value = serde_json::from_slice(&unused.body).unwrap();
    second.json("DELETE", &format!("/api/images/{}", unused["id"].as_str().unwrap()), "").await;
    assert_eq!(database.run("SELECT COUNT(DISTINCT image_id) FROM image_pieces"), "1", "removed with its image");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_database_is_named_and_the_service_goes_on_when_it_is_back() {
    let Some(database) = database() else { return };
    let (dir, port) = (TempDir::new(), free_port());
    let link = dir.path().join("socket");
    std::os::unix::fs::symlink(database.socket_dir(), &link).unwrap();
    let (first, _) = Instance::start(&dir, "first", &database.url_at(&link), port);
    assert_eq!(first.get("/ready").await.status, 200);
    std::fs::remove_file(&link).unwrap();
    assert_eq!(database.disconnect(), 1);
    let refused = first.admin("GET", "/api/jobs", "", b"").await;
    assert_eq!(
        (refused.status, refused.text().contains("the database is not available: ")),
        (503, true),
        "{}",
        refused.text()
    );
    assert_eq!(first.get("/health").await.status, 200);
    std::os::unix::fs::symlink(database.socket_dir(), &link).unwrap();
    let until = Instant::now() + TIMEOUT;
    while first.get("/ready").await.status != 200 {
        assert!(Instant::now() < until, "it goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    first.json("PUT", "/api/groups/lights", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_was_replaced_ends_with_a_named_error() {
    let Some(database) = database() else { return };
    let (dir, port) = (TempDir::new(), free_port());
    let (first, _) = Instance::start(&dir, "first", &database.url(), port);
    database.run("UPDATE service SET holder = 'another'");
    database.disconnect();
    let (code, text) = first.ended();
    assert!(code == Some(1) && text.contains("another instance serves"), "{code:?} {text}");
    let (_second, line) = Instance::start(&dir, "first", &database.url(), port);
    assert!(line.starts_with("ready "), "{line}");
}

#[test]
fn a_password_is_in_no_output() {
    let dir = TempDir::new();
    let serve = |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ota-cloud"));
        command.env("OTA_CLOUD_DATABASE", format!("postgres://ota:{PASSWORD}@127.0.0.1:1/ota"));
        command.args(["serve", "--http", "127.0.0.1:0", "--data"]).arg(dir.path()).args(more);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    for (more, code, part) in [
        (&["--help"][..], 0, "OTA_CLOUD_DATABASE"),
        (&[], 1, "--database: the database is not available: Connection refused"),
        (&["--database", "mysql://ota:pass-word@host/ota"], 1, "--database: not postgres://user@host/database"),
    ] {
        let (got, text) = serve(more);
        assert!(got == Some(code) && text.contains(part), "{got:?} {text}");
        assert!(!text.contains(PASSWORD), "{text}");
    }
}
