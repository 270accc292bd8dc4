//! Tests of the job service through the embedded broker with an independent MQTT client, also across a restart.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Device, TempDir, TestService, config};

const QUIET: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn a_device_takes_a_job_from_the_notification_to_its_end() {
    let dir = TempDir::new();
    let world = TestService::start(config(dir.path())).await;
    let mut device = Device::lamp(&world).await;
    device.publish("$aws/things/lamp/jobs/$next/get", r#"{"clientToken":"empty"}"#).await;
    let nothing = device.json("/$next/get/accepted").await;
    assert_eq!(nothing["clientToken"], "empty");
    assert!(nothing.get("execution").is_none());

    let image = world.upload(&common::pattern(10_000)).await;
    world.job("one", &image, r#"["MQTT","HTTP"]"#).await;
    let notification = device.json("/notify-next").await;
    let document = &notification["execution"]["jobDocument"]["afr_ota"];
    assert_eq!(document["protocols"], serde_json::json!(["MQTT", "HTTP"]));
    assert_eq!(document["files"][0]["filesize"], 10_000);
    assert_eq!(document["files"][0]["sig-sha256-ecdsa"], "MEUC");
    assert_eq!(document["streamname"].as_str().unwrap().len(), 44);
    assert!(document["files"][0]["update_data_url"].as_str().unwrap().starts_with("http://127.0.0.1:"));

    device.publish("$aws/things/lamp/jobs/start-next", r#"{"statusDetails":{"self_test":"receiving"}}"#).await;
    let started = device.json("/start-next/accepted").await;
    assert_eq!(started["execution"]["versionNumber"], 2);
    let stale = r#"{"status":"SUCCEEDED","expectedVersion":"1","clientToken":"s"}"#;
    device.publish("$aws/things/lamp/jobs/one/update", stale).await;
    let refused = device.json("/one/update/rejected").await;
    assert_eq!((refused["code"].as_str(), refused["clientToken"].as_str()), (Some("VersionMismatch"), Some("s")));
    assert_eq!(refused["executionState"]["status"], "IN_PROGRESS");
    let done = r#"{"status":"SUCCEEDED","expectedVersion":2,"includeJobExecutionState":true}"#;
    device.publish("$aws/things/lamp/jobs/one/update", done).await;
    let accepted = device.json("/one/update/accepted").await;
    assert_eq!(accepted["executionState"]["status"], "SUCCEEDED");
    assert_eq!(accepted["executionState"]["statusDetails"]["self_test"], "receiving");
    let notification = device.json("/notify-next").await;
    assert_eq!(notification.as_object().unwrap().len(), 1, "only a timestamp: {notification}");
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_requests_are_rejected_by_code_and_the_service_continues() {
    let dir = TempDir::new();
    let world = TestService::start(config(dir.path())).await;
    let mut device = Device::lamp(&world).await;
    for (topic, payload, end, code) in [
        ("jobs/get", &b"\xff\xfe"[..], "/get/rejected", "InvalidJson"),
        ("jobs/one/update", b"{}", "/update/rejected", "InvalidRequest"),
        ("jobs/one/update", br#"{"status":"FAILED"}"#, "/update/rejected", "ResourceNotFound"),
        ("jobs/one/destroy", b"{}", "/destroy/rejected", "InvalidTopic"),
        ("jobs/$next/update", b"{}", "/$next/update/rejected", "InvalidTopic"),
    ] {
        device.publish(&format!("$aws/things/lamp/{topic}"), payload).await;
        assert_eq!(device.json(end).await["code"], code, "{topic}");
    }
    device.publish("$aws/things/lamp/jobs/get", "{}").await;
    assert_eq!(device.json("/get/accepted").await["queuedJobs"], serde_json::json!([]));
    world.service.stop().await;
}

/// A request without a possible response must not break the connection that all responses use.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_possible_response_does_not_affect_other_devices() {
    let dir = TempDir::new();
    let world = TestService::start(config(dir.path())).await;
    let mut lamp = Device::lamp(&world).await;
    let (mut mallory, _) = Device::connect(world.port(), "mallory", "$aws/things/mallory/#").await;
    let start = "$aws/things/mallory/jobs/";
    let long = |len: usize| format!("{start}{}", "x".repeat(len - start.len()));
    let token = format!(r#"{{"clientToken":"{}"}}"#, "t".repeat(196_493));
    for (topic, payload) in [(long(65_527), "{}"), (long(65_535), "{}"), (format!("{start}get"), token.as_str())] {
        mallory.publish(&topic, payload).await;
        tokio::time::sleep(QUIET).await;
        lamp.publish("$aws/things/lamp/jobs/get", "{}").await;
        lamp.next("/get/accepted").await;
    }
    let refused = mallory.json("/get/rejected").await;
    assert_eq!(refused["message"], "clientToken has 196493 bytes, at most 64");
    assert!(refused.get("clientToken").is_none());
    world.service.stop().await;
}

/// Otherwise a broker that sends back our own responses would cause an endless loop.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_on_a_response_topic_is_never_answered() {
    let dir = TempDir::new();
    let world = TestService::start(config(dir.path())).await;
    let mut device = Device::lamp(&world).await;
    for topic in ["get/accepted", "one/update/rejected", "junk/more/rejected", "notify"] {
        device.publish(&format!("$aws/things/lamp/jobs/{topic}"), "{}").await;
        assert!(!device.receives(&format!("{topic}/rejected"), QUIET).await, "{topic}");
    }
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_cannot_use_the_topics_of_another_thing() {
    let dir = TempDir::new();
    let world = TestService::start(config(dir.path())).await;
    let mut lamp = Device::lamp(&world).await;
    for filter in ["$aws/#", "$aws/things/lamp/jobs/#", "$aws/things/+/jobs/get/accepted", "$share/g/$aws/#"] {
        let (_, granted) = Device::connect(world.port(), "eve", filter).await;
        assert!(!granted, "{filter}");
    }
    for (id, filter) in [("+", "$aws/things/+/jobs/#"), ("+.x", "$aws/things/+/#"), ("#", "$aws/things/lamp/#")] {
        let (_, granted) = Device::connect(world.port(), id, filter).await;
        assert!(!granted, "{id} has {filter}");
    }
    let (mut eve, granted) = Device::connect(world.port(), "eve", "#").await;
    assert!(granted);
    lamp.publish("$aws/things/lamp/jobs/get", "{}").await;
    lamp.next("/get/accepted").await;
    assert!(!eve.receives("", QUIET).await, "the wildcard shows nothing of $aws");
    eve.publish("$aws/things/lamp/jobs/get", "{}").await;
    assert!(!lamp.receives("/accepted", QUIET).await);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_service_has_the_job_and_the_device_continues() {
    let dir = TempDir::new();
    let world = TestService::start(config(dir.path())).await;
    let image = world.upload(b"image").await;
    world.job("one", &image, r#"["MQTT"]"#).await;
    let mut device = Device::lamp(&world).await;
    device.publish("$aws/things/lamp/jobs/start-next", "{}").await;
    let before = device.json("/start-next/accepted").await;
    let token = world.token.clone();
    let begin = std::time::Instant::now();
    world.service.stop().await;
    assert!(begin.elapsed() < Duration::from_secs(1), "stopped in {:?}", begin.elapsed());

    let world = TestService::start(config(dir.path())).await;
    assert_eq!(world.token, token);
    let mut device = Device::lamp(&world).await;
    device.publish("$aws/things/lamp/jobs/$next/get", "{}").await;
    assert_eq!(device.json("/$next/get/accepted").await["execution"], before["execution"]);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_reported_to_the_device_and_the_job_is_not_lost() {
    let dir = TempDir::new();
    let world = TestService::start(config(dir.path())).await;
    let image = world.upload(b"image").await;
    world.job("one", &image, r#"["MQTT"]"#).await;
    world.service.stop().await;

    let world = TestService::start(ota_cloud::serve::Config { database_bytes_max: 4096, ..config(dir.path()) }).await;
    let mut device = Device::lamp(&world).await;
    let wide = format!(r#"{{"status":"IN_PROGRESS","statusDetails":{{"text":"{}"}}}}"#, "x".repeat(20_000));
    device.publish("$aws/things/lamp/jobs/one/update", &wide).await;
    assert_eq!(device.json("/one/update/rejected").await["code"], "InternalError");
    world.service.stop().await;

    let world = TestService::start(config(dir.path())).await;
    let mut device = Device::lamp(&world).await;
    device.publish("$aws/things/lamp/jobs/one/update", &wide).await;
    device.next("/one/update/accepted").await;
    world.service.stop().await;
}

/// The state of a job: its status, and the number of things that wait.
async fn state(world: &TestService, id: &str) -> (String, u64) {
    let job = world.admin("GET", &format!("/api/jobs/{id}"), "", b"").await;
    let job: serde_json::Value = serde_json::from_slice(&job).unwrap();
    (job["status"].as_str().unwrap().to_owned(), job["waiting"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_reaches_one_thing_after_the_other_and_a_failure_stops_it() {
    let dir = TempDir::new();
    let world = TestService::start(config(dir.path())).await;
    let mut lamp = Device::lamp(&world).await;
    let (mut door, _) = Device::connect(world.port(), "door", "$aws/things/door/#").await;
    let create = async |id: &str, per_minute: u32| {
        let order = format!(
            r#"{{"things":["door","lamp"],"document":{{"do":"blink"}},"config":{{
            "jobExecutionsRolloutConfig":{{"maximumPerMinute":{per_minute}}},
            "jobExecutionsRetryConfig":{{"criteriaList":[{{"failureType":"FAILED","numberOfRetries":1}}]}},
            "abortConfig":{{"criteriaList":[{{"failureType":"FAILED","action":"CANCEL",
            "thresholdPercentage":50,"minNumberOfExecutedThings":1}}]}}}}}}"#
        );
        let path = format!("/api/jobs/{id}");
        world.admin("PUT", &path, "Content-Type: application/json\r\n", order.as_bytes()).await;
    };
    create("fast", 60).await;
    assert_eq!(door.json("/notify-next").await["execution"]["jobId"], "fast");
    assert_eq!(lamp.json("/notify-next").await["execution"]["jobId"], "fast");
    assert_eq!(state(&world, "fast").await, ("IN_PROGRESS".to_owned(), 0));
    for (device, thing) in [(&mut door, "door"), (&mut lamp, "lamp")] {
        device.publish(&format!("$aws/things/{thing}/jobs/fast/update"), r#"{"status":"SUCCEEDED"}"#).await;
        device.json("/fast/update/accepted").await;
    }
    assert_eq!(state(&world, "fast").await, ("COMPLETED".to_owned(), 0));

    create("slow", 1).await;
    let offered = async |door: &mut Device| loop {
        let notification = door.json("/notify-next").await;
        if notification["execution"]["jobId"] == "slow" {
            return notification["execution"]["executionNumber"].clone();
        }
    };
    for number in 1..=2 {
        assert_eq!(offered(&mut door).await, number);
        assert_eq!(state(&world, "slow").await, ("IN_PROGRESS".to_owned(), 1));
        let update = format!(r#"{{"status":"FAILED","executionNumber":{number}}}"#);
        door.publish("$aws/things/door/jobs/slow/update", update).await;
        door.json("/slow/update/accepted").await;
    }
    let until = tokio::time::Instant::now() + common::TIMEOUT;
    while state(&world, "slow").await != ("CANCELED".to_owned(), 0) {
        assert!(tokio::time::Instant::now() < until, "{:?}", state(&world, "slow").await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let job = world.admin("GET", "/api/jobs/slow", "", b"").await;
    let job: serde_json::Value = serde_json::from_slice(&job).unwrap();
    let things: Vec<&str> = job["executions"].as_array().unwrap().iter().filter_map(|e| e["thing"].as_str()).collect();
    assert_eq!(things, ["door"], "the other thing never got the job");
    let events = world.admin("GET", "/api/events?job=slow", "", b"").await;
    let events = String::from_utf8(events).unwrap();
    assert!(events.contains("aborted: 1 of 1 executions failed, the limit is 50 %"), "{events}");
    world.service.stop().await;
}
