//! The HTTP listener with a client written by hand: ranges, signed URLs, the admin token.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Device, TempDir, TestService, config, path_of, pattern, request};
use ota_cloud::limits::HTTP_HEAD_TIMEOUT;
use ota_pal::image::header::Body;
use ota_pal::{Component, HardwareId, Header, Link, SlotId, Version};

/// A service with one image of this many bytes in an HTTP job, and the path of its signed URL.
async fn with_url(dir: &TempDir, len: usize, life: Duration) -> (TestService, String) {
    let world = TestService::start(ota_cloud::serve::Config { url_lifetime: life, ..config(dir.path()) }).await;
    let image = world.upload(&pattern(len)).await;
    world.job("one", &image, r#"["HTTP"]"#).await;
    let mut device = Device::lamp(&world).await;
    device.publish("$aws/things/lamp/jobs/one/get", "{}").await;
    let described = device.json("/one/get/accepted").await;
    let url = &described["execution"]["jobDocument"]["afr_ota"]["files"][0]["update_data_url"];
    let path = path_of(url.as_str().unwrap()).to_owned();
    (world, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_comes_whole_in_parts_and_by_its_head() {
    let dir = TempDir::new();
    let (world, path) = with_url(&dir, 200_000, Duration::from_secs(60)).await;
    let bytes = pattern(200_000);
    let whole = request(world.service.http, "GET", &path, "", b"").await;
    assert_eq!((whole.status, whole.body == bytes), (200, true));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    let part = request(world.service.http, "GET", &path, "Range: bytes=4096-8191\r\n", b"").await;
    assert_eq!((part.status, part.body == bytes[4096..8192]), (206, true));
    assert_eq!(part.header("content-range"), Some("bytes 4096-8191/200000"));
    assert_eq!(part.header("content-length"), Some("4096"));
    let tail = request(world.service.http, "GET", &path, "Range: bytes=199999-300000\r\n", b"").await;
    assert_eq!((tail.status, tail.header("content-range")), (206, Some("bytes 199999-199999/200000")));
    let beyond = request(world.service.http, "GET", &path, "Range: bytes=200000-\r\n", b"").await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some("bytes */200000")));
    let other = request(world.service.http, "GET", &path, "Range: bytes=0-1\r\nIf-Range: \"old\"\r\n", b"").await;
    assert_eq!((other.status, other.body.len()), (200, 200_000));
    let head = request(world.service.http, "HEAD", &path, "", b"").await;
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, Some("200000")));
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_expired_or_unsigned_url_is_rejected() {
    let dir = TempDir::new();
    let (world, path) = with_url(&dir, 1000, Duration::from_secs(1)).await;
    let to = world.service.http;
    let bare = path.split('?').next().unwrap();
    assert_eq!(request(to, "GET", bare, "", b"").await.status, 403);
    let later = path.replace("expires=", "expires=9");
    assert_eq!(request(to, "GET", &later, "", b"").await.status, 403);
    let other = path.replacen("/images/", "/images/0", 1);
    assert_eq!(request(to, "GET", &other, "", b"").await.status, 403);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let late = request(to, "GET", &path, "", b"").await;
    assert_eq!((late.status, late.text().contains("expired")), (403, true));
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_image_file_is_not_found() {
    let dir = TempDir::new();
    let (world, path) = with_url(&dir, 1000, Duration::from_secs(60)).await;
    for entry in std::fs::read_dir(dir.path().join("images")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    assert_eq!(request(world.service.http, "GET", &path, "", b"").await.status, 404);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_requests_need_the_token_and_return_the_reason() {
    let dir = TempDir::new();
    let world = TestService::start(config(dir.path())).await;
    let to = world.service.http;
    assert_eq!(request(to, "GET", "/api/jobs", "", b"").await.status, 401);
    assert_eq!(request(to, "GET", "/api/jobs", "Authorization: Bearer 00\r\n", b"").await.status, 401);
    let token = format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", world.token);
    assert_eq!(
        request(to, "GET", "/api/jobs", &format!("authorization: bEARER {}\r\n", world.token), b"").await.status,
        200
    );
    for (method, path, body) in [
        ("PUT", "/api/jobs/one", &b"{"[..]),
        ("PUT", "/api/jobs/one", br#"{"things":["lamp"],"colour":1}"#),
        ("PUT", "/api/jobs/one", br#"{"things":["lamp"],"config":{"abortConfig":{"criteriaList":7}}}"#),
        (
            "PUT",
            "/api/jobs/one",
            br#"{"things":["lamp"],"config":{"schedulingConfig":{"startTime":"2020-01-01 10:00"}}}"#,
        ),
        ("POST", "/api/groups/lights/things", b"[]"),
        ("POST", "/api/jobs/one/cancel?force=maybe", b""),
        ("GET", "/api/events?after=x", b""),
    ] {
        let answer = request(to, method, path, &token, body).await;
        let error = serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap();
        assert!(answer.status / 100 == 4 && error["error"].is_string(), "{path}: {} {error}", answer.status);
    }
    assert_eq!(request(to, "GET", "/api/jobs/none", &token, b"").await.status, 404);
    assert_eq!(request(to, "POST", "/api/jobs/none/cancel", &token, b"").await.status, 404);
    let order = br#"{"things":["lamp"],"files":[{"image":"none"}]}"#;
    let answer = request(to, "PUT", "/api/jobs/one", &token, order).await;
    assert_eq!((answer.status, answer.text()), (400, r#"{"error":"there is no image none"}"#.to_owned()));
    for (signature, word) in [("M\u{e4}UC", "not ASCII"), ("", "is empty")] {
        let headers = format!("{token}ota-signature: {signature}\r\n");
        let answer = request(to, "PUT", "/api/images/fw.img", &headers, b"image").await;
        assert!(answer.status == 400 && answer.text().contains(word), "{signature}: {}", answer.text());
    }
    let image = world.upload(b"image").await;
    world.job("one", &image, r#"["MQTT"]"#).await;
    let order = format!(r#"{{"things":["lamp"],"files":[{{"image":"{image}"}}]}}"#);
    assert_eq!(request(to, "PUT", "/api/jobs/one", &token, order.as_bytes()).await.status, 409);
    world.service.stop().await;
}

/// An image of version 1.0.`patch` that is linked for `slot`, with a body of one byte.
fn linked(slot: SlotId, patch: u32) -> Vec<u8> {
    image(Component::App, Link::Only(slot), patch)
}

fn image(component: Component, link: Link, patch: u32) -> Vec<u8> {
    let header = Header {
        component,
        link,
        hardware: HardwareId::new("board-7").unwrap(),
        version: Version::new(1, 0, patch),
        security_counter: 0,
        load_address: 0,
        body: Body::new(64, 1).unwrap(),
        release_id: 0,
        system_min: ota_pal::MajorMinor::default(),
    };
    [&header.emit()[..], b"x"].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_are_linked_for_slots_get_their_file_types_unless_the_request_names_others() {
    let dir = TempDir::new();
    let world = TestService::start(config(dir.path())).await;
    let (a, b) = (world.upload(&linked(SlotId::A, 1)).await, world.upload(&linked(SlotId::B, 1)).await);
    let cut = world.upload(&linked(SlotId::A, 1)[..64]).await;
    let (newer, short) = (world.upload(&linked(SlotId::B, 2)).await, world.upload(b"short").await);
    let system = world.upload(&image(Component::System, Link::Any, 1)).await;
    let token = format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", world.token);
    for (index, (files, expected)) in [
        (format!(r#"{{"image":"{system}"}}"#), Ok([Some(16), None])),
        (format!(r#"{{"image":"{a}"}},{{"image":"{b}"}}"#), Ok([Some(10), Some(11)])),
        (format!(r#"{{"image":"{b}"}},{{"image":"{a}","file_type":11}}"#), Ok([Some(11), Some(11)])),
        (format!(r#"{{"image":"{b}"}},{{"image":"{short}","file_type":7}}"#), Ok([Some(11), Some(7)])),
        (format!(r#"{{"image":"{short}"}},{{"image":"{short}"}}"#), Ok([None, None])),
        (format!(r#"{{"image":"{a}"}},{{"image":"{a}"}}"#), Err("are both linked for slot A")),
        (format!(r#"{{"image":"{a}"}},{{"image":"{newer}"}}"#), Err("version 1.0.1 and version 1.0.2")),
        (format!(r#"{{"image":"{a}"}},{{"image":"{short}"}}"#), Err("has no valid image header")),
        (format!(r#"{{"image":"{cut}"}}"#), Err("fw.img is truncated: 64 bytes, its header states 65")),
        (format!(r#"{{"image":"{a}"}},{{"image":"none"}}"#), Err("there is no image none")),
    ]
    .into_iter()
    .enumerate()
    {
        let order = format!(r#"{{"things":["lamp"],"files":[{files}]}}"#);
        let answer = request(world.service.http, "PUT", &format!("/api/jobs/{index}"), &token, order.as_bytes()).await;
        match expected {
            Err(words) => assert!(answer.status == 400 && answer.text().contains(words), "{files}: {}", answer.text()),
            Ok(types) => {
                assert_eq!(answer.status, 201, "{files}: {}", answer.text());
                let shown = world.admin("GET", &format!("/api/jobs/{index}"), "", b"").await;
                let shown: serde_json::Value = serde_json::from_slice(&shown).unwrap();
                let of = |file: usize| shown["document"]["afr_ota"]["files"][file]["fileType"].as_u64();
                assert_eq!([of(0), of(1)], types, "{files}");
            }
        }
    }
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_events_waits_for_the_next_event() {
    let dir = TempDir::new();
    let world = TestService::start(config(dir.path())).await;
    let image = world.upload(b"image").await;
    let feed = world.admin("GET", "/api/events?job=one&wait_s=10", "", b"");
    let create = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.job("other", &image, r#"["MQTT"]"#).await;
        world.job("one", &image, r#"["MQTT"]"#).await;
    };
    let (events, ()) = tokio::join!(feed, create);
    let events: serde_json::Value = serde_json::from_slice(&events).unwrap();
    assert_eq!((&events[0]["job_id"], &events[0]["text"]), (&"one".into(), &"created for 1 thing".into()));
    world.service.stop().await;
}

/// An idle connection uses a file descriptor.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_whole_request_is_closed_and_a_busy_one_is_not() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let dir = TempDir::new();
    let world = TestService::start(config(dir.path())).await;
    let mut silent = tokio::net::TcpStream::connect(world.service.http).await.unwrap();
    let mut half = tokio::net::TcpStream::connect(world.service.http).await.unwrap();
    half.write_all(b"GET /api/jobs HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    // The response with events takes longer than the timeout of a request head.
    let wait = HTTP_HEAD_TIMEOUT + Duration::from_secs(2);
    let headers = format!("Authorization: Bearer {}\r\n", world.token);
    let mut feed = tokio::net::TcpStream::connect(world.service.http).await.unwrap();
    let request = format!("GET /api/events?wait_s={} HTTP/1.1\r\nHost: x\r\n{headers}\r\n", wait.as_secs());
    feed.write_all(request.as_bytes()).await.unwrap();
    let mut rest = [0; 1000];
    for socket in [&mut silent, &mut half] {
        let ended = tokio::time::timeout(wait, socket.read(&mut rest)).await;
        assert!(ended.is_ok(), "it stays open");
    }
    let count = tokio::time::timeout(wait, feed.read(&mut rest)).await.unwrap().unwrap();
    assert!(rest[..count].starts_with(b"HTTP/1.1 200"));
    world.service.stop().await;
}
