//! What devices report about themselves: availability in the console, hardware before a job is queued, and a large fleet.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/console.rs"]
mod console;
#[path = "common/image.rs"]
mod image;
#[path = "common/tool.rs"]
mod tool;

use std::time::{Duration, Instant};

use common::{Device, TIMEOUT, TempDir, TestService, request};
use console::{Console, jobs, start};
use ota_cloud::limits::PAGE_ROWS_MAX;
use ota_pal::HardwareId;
use rumqttc::v5::mqttbytes::QoS;
use tool::{done, ota};

async fn report(device: &Device, thing: &str, report: &str) {
    let topic = format!("ota/things/{thing}/report");
    device.client.publish(topic, QoS::AtLeastOnce, true, report.to_owned()).await.unwrap();
}

/// Returns the page once it contains `text`.
async fn shown(console: &Console<'_>, path: &str, text: &str) -> String {
    let until = Instant::now() + TIMEOUT;
    loop {
        let page = console.page(path).await;
        if page.contains(text) {
            return page;
        }
        assert!(Instant::now() < until, "no {text}: {page}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sends an admin request; returns status and text.
async fn answer(world: &TestService, method: &str, path: &str, body: &str) -> (u16, String) {
    let headers = format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", world.token);
    let answer = request(world.service.http, method, path, &headers, body.as_bytes()).await;
    (answer.status, answer.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_shows_whether_a_device_is_available_and_why_not() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    let console = Console::sign_in(&world).await;
    let (lamp, _) = Device::connect(world.port(), "lamp", "$aws/things/lamp/#").await;
    let available = "<span class=\"state available\">available</span>";
    report(&lamp, "lamp", r#"{"available":true,"hardware":"board-7","version":"1.2.3"}"#).await;
    let page = shown(&console, "/devices", available).await;
    assert!(page.contains("board-7") && page.contains("1.2.3"), "{page}");
    report(&lamp, "lamp", r#"{"available":false,"reason":"<pump>"}"#).await;
    let held = shown(&console, "/devices", "<span class=\"state held\">not available: &#60;pump&#62;</span>").await;
    assert!(!held.contains(available), "{held}");
    shown(&console, "/devices/lamp", "&#60;pump&#62;").await;
    // What is no report changes nothing, and neither does that of another device.
    report(&lamp, "lamp", r#"{"available":"maybe"}"#).await;
    report(&lamp, "door", r#"{"available":true}"#).await;
    report(&lamp, "lamp", r#"{"available":true}"#).await;
    let page = shown(&console, "/devices", available).await;
    assert!(!page.contains("door"), "{page}");
    // The broker keeps the last report for those that subscribe later.
    let (mut later, granted) = Device::connect(world.port(), "lamp.probe", "ota/things/lamp/report").await;
    assert!(granted);
    assert_eq!(later.json("/report").await["available"], true);
    world.service.stop().await;
}

/// A device reports `invoice\u{202e}gmi.exe`, which reads as `invoiceexe.img` where the character acts.
#[tokio::test(flavor = "multi_thread")]
async fn a_text_of_a_device_cannot_change_how_it_reads() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    let console = Console::sign_in(&world).await;
    let (lamp, _) = Device::connect(world.port(), "lamp", "$aws/things/lamp/#").await;
    let text = "invoice\u{202e}gmi.exe";
    report(&lamp, "lamp", &format!(r#"{{"available":false,"reason":"{text}"}}"#)).await;
    let job = br#"{"things":["lamp"],"document":{"blink":3}}"#;
    world.admin("PUT", "/api/jobs/blink", "Content-Type: application/json\r\n", job).await;
    let update = format!(r#"{{"status":"IN_PROGRESS","statusDetails":{{"text":"{text}"}}}}"#);
    lamp.publish("$aws/things/lamp/jobs/blink/update", &update).await;
    for path in ["/devices", "/jobs/blink", "/audit"] {
        let page = shown(&console, path, "invoice\\u202egmi.exe").await;
        assert!(!page.contains('\u{202e}'), "{path}: {page}");
    }
    for command in ["device list", "job show blink", "job show blink --json"] {
        let printed = done(&world, &dir, command).await;
        assert!(printed.contains("invoice\\u202egmi.exe") && !printed.contains('\u{202e}'), "{command}: {printed}");
    }
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_gone_is_not_available() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    let console = Console::sign_in(&world).await;
    let (lamp, _) = Device::connect(world.port(), "lamp", "$aws/things/lamp/#").await;
    let (other, _) = Device::connect(world.port(), "lamp.probe", "$aws/things/lamp/#").await;
    report(&lamp, "lamp", r#"{"available":true}"#).await;
    shown(&console, "/devices", "<span class=\"state available\">").await;
    let connected = async || {
        let (_, text) = answer(&world, "GET", "/api/things/lamp", "").await;
        let lamp: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(lamp["seen_at_s"].as_u64().unwrap() > 0, "{lamp}");
        lamp["connected"].as_bool().unwrap()
    };
    drop(other);
    assert!(connected().await, "one connection is left");
    drop(lamp);
    let page = shown(&console, "/devices", "<span class=\"state off\">not connected since 2").await;
    assert!(!page.contains("state available"), "{page}");
    assert!(!connected().await);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_shows_its_versions_and_a_pinned_one_is_passed_over_by_a_release() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    let console = Console::sign_in(&world).await;
    let (lamp, _) = Device::connect(world.port(), "lamp", "$aws/things/lamp/#").await;
    report(&lamp, "lamp", r#"{"available":true,"version":"1.2.3","systemVersion":"4.5.6"}"#).await;
    shown(&console, "/devices", "1.2.3").await; // it has a page of its own once the report is stored
    let page = shown(&console, "/devices/lamp", "<dt>System</dt><dd>4.5.6</dd>").await;
    assert!(page.contains("1.2.3") && !page.contains("It is pinned"), "{page}");
    let job = br#"{"things":["lamp"],"document":{"blink":3}}"#;
    world.admin("PUT", "/api/jobs/blink", "Content-Type: application/json\r\n", job).await;
    let page = console.page("/jobs/blink").await;
    assert!(page.contains("data-label=\"Runs version\">1.2.3<"), "not only what devices report with a job: {page}");
    world.admin("PUT", "/api/things/lamp/pin", "", b"").await;
    shown(&console, "/devices/lamp", "It is pinned").await;
    shown(&console, "/devices", "pinned").await;
    let image = world.upload(b"newer").await;
    let job = serde_json::json!({"things": ["lamp", "door"], "files": [{"image": image}]});
    let release = serde_json::json!({"job": job, "mode": "immediate"}).to_string();
    world.admin("PUT", "/api/releases/v2", "Content-Type: application/json\r\n", release.as_bytes()).await;
    let view = world.admin("GET", "/api/jobs/v2", "", b"").await;
    let view: serde_json::Value = serde_json::from_slice(&view).unwrap();
    let things: Vec<&str> =
        view["executions"].as_array().unwrap().iter().filter_map(|it| it["thing"].as_str()).collect();
    assert_eq!(things, ["door"]);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_for_other_hardware_is_refused_before_anything_is_queued() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    let console = Console::sign_in(&world).await;
    let fits = image::upload(&world, "fits.img", &image::header(2, 0)).await;
    let other = ota_pal::Header { hardware: HardwareId::new("board-8").unwrap(), ..image::header(2, 0) };
    let other = image::upload(&world, "other.img", &other).await;
    let (lamp, _) = Device::connect(world.port(), "lamp", "$aws/things/lamp/#").await;
    report(&lamp, "lamp", r#"{"available":true,"hardware":"board-7"}"#).await;
    shown(&console, "/devices", "board-7").await;
    let (code, _, note) = ota(&world, &dir, "device set lamp --hardware board-9").await;
    assert!(code == 0 && note.contains("lamp reports hardware board-7, which holds: board-9 is used only"), "{note}");
    assert_eq!(answer(&world, "PUT", "/api/things/door/hardware", r#"{"hardware":"board-7"}"#).await.0, 204);
    assert_eq!(answer(&world, "PUT", "/api/things/door/hardware", r#"{"hardware":"a b"}"#).await.0, 400);
    let job = |image: &str, any: bool| {
        let things = r#"["fan","lamp","door"]"#;
        format!(r#"{{"things":{things},"files":[{{"image":"{image}"}}],"any_hardware":{any}}}"#)
    };
    let refused = answer(&world, "PUT", "/api/jobs/one", &job(&other, false)).await;
    let reason = r#"{"error":"the image is for board-8, not for door (board-7), lamp (board-7)"}"#;
    assert_eq!(refused, (409, reason.to_owned()));
    let form = format!("step=review&id=one&image={other}&names=lamp&protocols=MQTT");
    let refused = console.post("/new", &form).await;
    assert!(refused.status == 422 && refused.text().contains("not for lamp (board-7)"), "{}", refused.text());
    assert!(jobs(&world).await["jobs"].as_array().unwrap().is_empty());
    let taken = answer(&world, "PUT", "/api/jobs/one", &job(&fits, false)).await;
    assert_eq!((taken.0, taken.1.contains(r#""unknown_hardware":1"#)), (201, true), "{}", taken.1);
    assert_eq!(answer(&world, "PUT", "/api/jobs/two", &job(&other, true)).await.0, 201);
    world.service.stop().await;
}

/// Of real connections, each with a report. Prints how long the list takes; `-- --nocapture` shows it.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_devices_are_listed_in_pages() {
    const DEVICES: usize = 1000;
    let dir = TempDir::new();
    let world = start(&dir).await;
    let console = Console::sign_in(&world).await;
    for batch in (0..DEVICES).collect::<Vec<_>>().chunks(50) {
        let mut connected = Vec::new();
        for number in batch {
            let name = format!("device-{number:04}");
            let (device, _) = Device::connect(world.port(), &name, &format!("ota/things/{name}/report")).await;
            report(&device, &name, &format!(r#"{{"available":true,"hardware":"board-7","version":"1.0.{number}"}}"#))
                .await;
            connected.push(device);
        }
        for device in &mut connected {
            device.next("/report").await;
        }
    }
    let pages = DEVICES / usize::try_from(PAGE_ROWS_MAX).unwrap();
    shown(&console, &format!("/devices?page={pages}"), "device-0999").await;
    let (mut names, mut took) = (std::collections::BTreeSet::new(), Vec::new());
    for page in 1..=pages {
        let begin = Instant::now();
        let text = console.page(&format!("/devices?page={page}")).await;
        took.push(begin.elapsed());
        names.extend(text.split("href=\"/devices/").skip(1).map(|rest| rest[..11].to_owned()));
        assert_eq!(text.contains("rel=\"next\""), page < pages, "{page}");
    }
    assert_eq!(names.len(), DEVICES);
    let whole: Duration = took.iter().sum();
    println!("{DEVICES} devices on {pages} pages: {whole:?}, the slowest page {:?}", took.iter().max().unwrap());
    let list = answer(&world, "GET", "/api/things?filter=099&page=1", "").await.1;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["things"].as_array().unwrap().len(), 11, "device-0099 and device-0990 to device-0999");
    world.service.stop().await;
}
