//! What the programs that watch over the service receive: health, readiness, and metrics after an update.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/console.rs"]
mod console;

use common::{Device, TempDir, TestService, request};
use console::start;

/// The value of a line of the metrics; 0 if it is not there.
fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

async fn metrics(world: &TestService, token: &str) -> (u16, String) {
    let headers = format!("Authorization: Bearer {token}\r\n");
    let answer = request(world.service.http, "GET", "/metrics", &headers, b"").await;
    (answer.status, answer.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_works_is_healthy_and_ready_for_everybody() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    let health = request(world.service.http, "GET", "/health", "", b"").await;
    assert_eq!((health.status, health.text().as_str()), (200, "ok\n"));
    let ready = request(world.service.http, "GET", "/ready", "", b"").await;
    assert_eq!((ready.status, ready.text().as_str()), (200, r#"{"database":"ok","broker":"ok"}"#));
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_for_tokens_and_count_an_update() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    assert_eq!(metrics(&world, "none").await.0, 401);
    let json = "Content-Type: application/json\r\n";
    let token = world.admin("PUT", "/api/tokens/prometheus", json, br#"{"role":"viewer"}"#).await;
    let token: serde_json::Value = serde_json::from_slice(&token).unwrap();
    let token = token["token"].as_str().unwrap();
    let image = world.upload(&common::pattern(10_000)).await;
    let mut lamp = Device::lamp(&world).await;
    world.job("one", &image, r#"["MQTT"]"#).await;
    let next = lamp.json("/notify-next").await;
    let stream = next["execution"]["jobDocument"]["afr_ota"]["streamname"].as_str().unwrap().to_owned();
    lamp.publish("$aws/things/lamp/jobs/one/update", r#"{"status":"IN_PROGRESS"}"#).await;
    lamp.next("/one/update/accepted").await;
    lamp.publish("$aws/things/lamp/jobs/none/update", r#"{"status":"IN_PROGRESS"}"#).await;
    lamp.next("/none/update/rejected").await;
    let get = format!("$aws/things/lamp/streams/{stream}/get/json");
    lamp.publish(&get, r#"{"f":0,"l":4096,"o":0,"n":3}"#).await;
    for _ in 0..3 {
        lamp.next("/data/json").await;
    }
    let (status, text) = metrics(&world, token).await;
    assert_eq!(status, 200);
    for (name, expected) in [
        (r#"ota_device_responses_total{service="jobs",outcome="accepted"}"#, 1.0),
        (r#"ota_device_responses_total{service="jobs",outcome="rejected"}"#, 1.0),
        (r#"ota_http_requests_total{outcome="rejected"}"#, 1.0),
        ("ota_stream_blocks_total", 3.0),
        (r#"ota_executions{status="IN_PROGRESS"}"#, 1.0),
        ("ota_job_request_seconds_count", 2.0),
        ("ota_mqtt_clients", 2.0),
        ("ota_http_connections", 1.0),
    ] {
        assert_eq!(value(&text, name), expected, "{name}: {text}");
    }
    assert!(value(&text, "ota_stream_bytes_total") > 10_000.0 && text.ends_with("# EOF\n"), "{text}");
    world.service.stop().await;
}
