//! Releases with simulated devices at the embedded broker: modes, health panel, halt, and revert.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/console.rs"]
mod console;
#[path = "common/fleet.rs"]
mod fleet;
#[path = "common/image.rs"]
mod image;

use std::time::{Duration, Instant};

use common::{Device, TIMEOUT, TempDir, TestService, request};
use console::{Console, start};
use fleet::{Fleet, Outcome, Versions, name};
use serde_json::{Value, json};

const QUIET: Duration = Duration::from_millis(300);
const FLEET: usize = 100;

fn all() -> Vec<String> {
    (0..FLEET).map(name).collect()
}

/// Creates a release of one image with these members beside the job's.
async fn release(world: &TestService, id: &str, image: &str, things: &[String], mut members: Value) {
    let mut job = json!({"things": things, "files": [{"image": image}]});
    if let Some(config) = members.as_object_mut().unwrap().remove("config") {
        job["config"] = config;
    }
    members["job"] = job;
    let answer = send(world, "PUT", &format!("/api/releases/{id}"), &members).await;
    assert_eq!(answer.0, 201, "{}", answer.1);
}

/// Sends an admin request; returns status and body.
async fn send(world: &TestService, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let headers = format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", world.token);
    let answer = request(world.service.http, method, path, &headers, body.to_string().as_bytes()).await;
    (answer.status, serde_json::from_str(&answer.text()).unwrap())
}

/// Returns the release once `is_there` holds.
async fn until(world: &TestService, id: &str, is_there: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + TIMEOUT;
    loop {
        let (_, release) = send(world, "GET", &format!("/api/releases/{id}"), &Value::Null).await;
        if is_there(&release) {
            return release;
        }
        assert!(Instant::now() < end, "{release}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn count(release: &Value, status: &str) -> u64 {
    release["health"]["executions"][status].as_u64().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_immediate_release_notifies_connected_devices_at_once() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    let image = image::upload(&world, "v2.img", &image::header(2, 0)).await;
    let mut lamp = Device::lamp(&world).await;
    release(&world, "v2", &image, &["lamp".to_owned()], json!({"mode": "immediate"})).await;
    assert_eq!(lamp.json("/notify-next").await["execution"]["jobId"], "v2");
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_gets_a_release_with_its_next_session_and_not_before() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    let image = image::upload(&world, "v2.img", &image::header(2, 0)).await;
    let mut lamp = Device::lamp(&world).await;
    release(&world, "v2", &image, &["lamp".to_owned()], json!({})).await;
    assert!(!lamp.receives("/notify-next", QUIET).await);
    lamp.publish("$aws/things/lamp/jobs/$next/get", "{}").await;
    assert!(lamp.json("/$next/get/accepted").await.get("execution").is_none(), "a request begins no session");
    drop(lamp);
    let mut lamp = Device::lamp(&world).await;
    lamp.publish("$aws/things/lamp/jobs/$next/get", "{}").await;
    assert_eq!(lamp.json("/$next/get/accepted").await["execution"]["jobId"], "v2");
    let report = lamp.client.publish(
        "ota/things/lamp/report",
        rumqttc::v5::mqttbytes::QoS::AtLeastOnce,
        true,
        r#"{"available":false}"#,
    );
    report.await.unwrap();
    until(&world, "v2", |release| release["health"]["on_hold"] == 1).await;
    // One that is not available gets the next release only when it is available again.
    release(&world, "v3", &image, &["lamp".to_owned()], json!({})).await;
    drop(lamp);
    let mut lamp = Device::lamp(&world).await;
    lamp.publish("$aws/things/lamp/jobs/get", "{}").await;
    assert_eq!(lamp.json("/jobs/get/accepted").await["queuedJobs"].as_array().unwrap().len(), 1);
    lamp.publish("ota/things/lamp/report", r#"{"available":true}"#).await;
    let list = lamp.json("/notify").await;
    assert_eq!(list["jobs"]["QUEUED"].as_array().unwrap().len(), 2, "{list}");
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_panel_moves_with_the_devices_of_a_release() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    let console = Console::sign_in(&world).await;
    let image = image::upload(&world, "v2.img", &image::header(2, 0)).await;
    release(&world, "v2", &image, &all(), json!({"halt": {}})).await;
    let figure = |page: &str, name: &str| {
        let rest = page.split(&format!("<dt>{name}</dt><dd")).nth(1).unwrap().to_owned();
        rest.split(['>', '<']).nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = console.page("/releases/v2").await;
    assert_eq!((figure(&before, "Not started"), figure(&before, "Failed")), (100, 0), "{before}");
    assert!(before.contains("hx-get=\"/releases/v2/health\""), "{before}");
    let versions = Versions::default();
    let _fleet = Fleet::connect(world.port(), all().into_iter(), &versions, |device, _| match device {
        "device-000" | "device-001" => Outcome::Hangs,
        "device-002" => Outcome::FailsSelfTest,
        _ => Outcome::Succeeds,
    })
    .await;
    let now = until(&world, "v2", |release| count(release, "SUCCEEDED") == 97).await;
    assert_eq!((count(&now, "IN_PROGRESS"), count(&now, "FAILED"), &now["status"]), (2, 1, &json!("IN_PROGRESS")));
    let after = console.page("/releases/v2/health").await;
    let figures = ["Failed", "Failed self-test", "Silent", "Not started"].map(|name| figure(&after, name));
    assert_eq!(figures, [1, 1, 0, 0], "{after}");
    assert!(after.contains("98 of 100 devices ended: 97 succeeded, 2 in progress, 1 failed"), "{after}");
    assert!(console.page("/releases").await.contains("href=\"/releases/v2\""));
    world.service.stop().await;
}

/// Of a hundred devices, one in four crashes with the new image.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_rate_halts_a_release_by_itself_and_the_reason_is_shown() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    let console = Console::sign_in(&world).await;
    let image = image::upload(&world, "v2.img", &image::header(2, 0)).await;
    let versions = Versions::default();
    let _fleet = Fleet::connect(world.port(), all().into_iter(), &versions, |device, _| {
        let number: usize = device[7..].parse().unwrap();
        if number % 4 == 1 { Outcome::FailsSelfTest } else { Outcome::Succeeds }
    })
    .await;
    let config = json!({"jobExecutionsRolloutConfig": {"maximumPerMinute": 600}});
    release(&world, "v2", &image, &all(), json!({"mode": "immediate", "config": config})).await;
    let halted = until(&world, "v2", |release| release["status"] == "HALTED").await;
    let reason = halted["reason"].as_str().unwrap();
    assert!(reason.contains("failed their self-test") && reason.contains("the limit is 3 %"), "{reason}");
    assert_eq!(halted["health"]["waiting"], 0);
    let settled = until(&world, "v2", |release| count(release, "QUEUED") + count(release, "IN_PROGRESS") == 0).await;
    let ran = versions.counts().get("v2.img").copied().unwrap_or_default();
    assert!(ran < FLEET / 2, "{ran} devices run it: {settled}");
    for page in ["/releases/v2", "/jobs/v2", "/audit"] {
        let page = console.page(page).await;
        assert!(page.contains(reason), "{page}");
    }
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_release_is_taken_back_from_all_devices_that_it_reached() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    let [v2, v3, low] = [("v2.img", 2, 1), ("v3.img", 3, 1), ("low.img", 4, 0)];
    let mut ids = Vec::new();
    for (name, version, counter) in [v2, v3, low] {
        ids.push(image::upload(&world, name, &image::header(version, counter)).await);
    }
    let versions = Versions::default();
    let fleet = Fleet::connect(world.port(), all().into_iter(), &versions, |_, _| Outcome::Succeeds).await;
    release(&world, "v2", &ids[0], &all(), json!({"mode": "immediate"})).await;
    until(&world, "v2", |release| release["status"] == "COMPLETED").await;
    assert_eq!(versions.counts().get("v2.img"), Some(&FLEET));
    drop(fleet);
    release(&world, "v3", &ids[1], &all(), json!({})).await;
    let reached = |device: &str, image: &str| match image {
        "v3.img" if device.ends_with('7') => Outcome::Hangs,
        _ => Outcome::Succeeds,
    };
    let first = Fleet::connect(world.port(), (0..40).map(name), &versions, reached).await;
    let out = until(&world, "v3", |release| count(release, "SUCCEEDED") == 36 && count(release, "IN_PROGRESS") == 4);
    assert_eq!(out.await["health"]["waiting"], 60);
    assert_eq!(versions.counts().get("v3.img"), Some(&40));

    let (status, refused) =
        send(&world, "POST", "/api/releases/v3/revert", &json!({"files": [{"image": ids[2]}]})).await;
    let text = "low.img has security counter 0, below 1 of v3.img: devices with v3.img reject it";
    assert_eq!((status, &refused["error"]), (400, &json!(text)));
    let (status, done) = send(&world, "POST", "/api/releases/v3/revert", &json!({})).await;
    assert_eq!((status, &done["releases"]), (200, &json!([{"id": "v3-revert", "devices": 40}])), "{done}");
    assert_eq!((&done["older"], &done["without"]), (&json!(true), &json!([])));
    until(&world, "v3-revert", |release| release["status"] == "COMPLETED").await;
    drop(first);
    let _rest = Fleet::connect(world.port(), all().into_iter(), &versions, reached).await;
    assert_eq!(versions.counts(), [("v2.img".to_owned(), FLEET)].into());
    let (_, v3) = send(&world, "GET", "/api/releases/v3", &Value::Null).await;
    assert_eq!((&v3["status"], &v3["health"]["waiting"]), (&json!("REVERTED"), &json!(0)));
    assert_eq!(send(&world, "POST", "/api/releases/v3/revert", &json!({})).await.0, 409, "once");
    assert_eq!(send(&world, "POST", "/api/releases/none/revert", &json!({})).await.0, 404);
    let custom = json!({"job": {"things": ["lamp"], "document": {"do": "blink"}}});
    assert_eq!(send(&world, "PUT", "/api/releases/custom", &custom).await.0, 201);
    let (status, refused) = send(&world, "POST", "/api/releases/custom/revert", &json!({})).await;
    assert!(status == 400 && refused["error"].as_str().unwrap().contains("a document of its own"), "{refused}");
    world.service.stop().await;
}
