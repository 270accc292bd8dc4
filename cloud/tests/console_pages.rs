//! What the pages of the console do, over real HTTP: upload, review, create, cancel, lists in pages, live pages.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/console.rs"]
mod console;

use std::time::{Duration, Instant};

use common::{Device, TIMEOUT, TempDir, pattern};
use console::{Console, create, jobs, report, start, with_job};
use ota_cloud::limits::{IMAGE_BYTES_MAX, LIVE_INTERVAL, LIVE_PAGES_PER_SESSION_MAX, PAGE_ROWS_MAX};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_created_only_after_its_review() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    let console = Console::sign_in(&world).await;
    let uploaded = console.upload(&console.form_token, "lamp.img", " MEUC\n", &pattern(3_000_000)).await;
    let at = uploaded.header("location").unwrap();
    assert_eq!((uploaded.status, at.starts_with("/images?uploaded=")), (303, true), "{}", uploaded.text());
    assert!(console.page(at).await.contains("lamp.img is uploaded."));
    let image = at.split('=').nth(1).unwrap();
    world.admin("PUT", "/api/groups/lights", "", b"").await;
    let members = br#"{"things":["star","lamp"]}"#;
    world.admin("POST", "/api/groups/lights/things", "Content-Type: application/json\r\n", members).await;
    let rollout = "group=lights&per_minute=600&abort_percent=12.5&abort_min=4&retries=2";
    let fields = format!(
        "id=one&image={image}&thing=lamp&names=door%2C+lamp%0Afan&protocols=HTTP%2CMQTT&timeout=30&forced=yes&{rollout}"
    );
    let review = console.post("/new", &format!("step=review&{fields}")).await;
    assert_eq!(review.status, 200);
    let summary = review.text();
    let rolled_out = ["600 devices a minute", "12.5 % of at least 4 ended", "tried again, 2 times", "<dd>lights</dd>"];
    let parts =
        ["4 devices", "lamp.img", "sha256-ecdsa", "2.8 MiB", "30 minutes", "not to postpone", "lamp, door, fan"];
    for part in parts.into_iter().chain(rolled_out) {
        assert!(summary.contains(part), "{part}: {summary}");
    }
    assert!(jobs(&world).await["jobs"].as_array().unwrap().is_empty(), "a review creates nothing");
    let again = console.post("/new", &format!("step=edit&{fields}")).await.text();
    let entered = ["value=\"one\"", "door, lamp\nfan", "value=\"30\"", "value=\"HTTP,MQTT\" selected"];
    for part in entered.into_iter().chain(["value=\"600\"", "value=\"12.5\"", "value=\"4\"", "value=\"2\""]) {
        assert!(again.contains(part), "{part}: {again}");
    }
    assert_eq!(again.matches(" checked").count(), 4, "image, device, group, forced: {again}");
    let created = console.post("/new", &format!("step=create&{fields}")).await;
    assert_eq!((created.status, created.header("location")), (303, Some("/jobs/one")));
    let job = world.admin("GET", "/api/jobs/one", "", b"").await;
    let job: serde_json::Value = serde_json::from_slice(&job).unwrap();
    let config = &job["config"];
    assert_eq!(config["jobExecutionsRolloutConfig"]["maximumPerMinute"], 600);
    assert_eq!(config["abortConfig"]["criteriaList"][0]["thresholdPercentage"], 12.5);
    assert_eq!(config["jobExecutionsRetryConfig"]["criteriaList"][0]["numberOfRetries"], 2);
    let until = Instant::now() + TIMEOUT;
    let things = loop {
        let job = world.admin("GET", "/api/jobs/one", "", b"").await;
        let job: serde_json::Value = serde_json::from_slice(&job).unwrap();
        if job["waiting"] == 0 {
            let executions = job["executions"].as_array().unwrap().clone();
            break executions.iter().map(|e| e["thing"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        }
        assert!(Instant::now() < until, "{job}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(things, ["lamp", "door", "fan", "star"]);
    assert!(console.page("/jobs/one").await.contains("maximumPerMinute"));
    let past = console
        .post("/new", &format!("step=review&id=two&image={image}&thing=lamp&protocols=MQTT&start=2020-01-01T10:00"))
        .await;
    assert!(past.status == 422 && past.text().contains("in the past"), "{}", past.text());
    assert!(past.text().contains("value=\"2020-01-01T10:00\""), "{}", past.text());
    let minimum =
        console.post("/new", &format!("step=review&id=two&image={image}&thing=lamp&protocols=MQTT&abort_min=4")).await;
    assert!(minimum.status == 422 && minimum.text().contains("share of failures"), "{}", minimum.text());
    let document = &job["document"]["afr_ota"];
    assert_eq!((&document["protocols"][0], &document["forced"]), (&"HTTP".into(), &true.into()));
    assert_eq!(document["files"][0]["sig-sha256-ecdsa"], "MEUC");
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_update_keeps_what_was_entered_and_creates_nothing() {
    let dir = TempDir::new();
    let world = with_job(&dir, &["lamp"]).await;
    let console = Console::sign_in(&world).await;
    let image = world.upload(b"image").await;
    let good = [("id", "two"), ("image", image.as_str()), ("names", "lamp"), ("protocols", "MQTT"), ("timeout", "7")];
    for (field, value, word) in [
        ("id", "a b", "job id"),
        ("id", "one", "job one exists already"),
        ("image", "none", "there is no image none"),
        ("image", "", "Choose an image"),
        ("names", "", "Choose a device"),
        ("names", "la$mp", "la$mp"),
        ("timeout", "soon", "not a number of minutes"),
        ("timeout", "10081", "timeout of 10081 minutes"),
        ("protocols", "FTP", "Choose a protocol"),
    ] {
        let pairs = good.iter().map(|(name, old)| (*name, if *name == field { value } else { old }));
        let pairs = pairs.filter(|(name, value)| *name != "image" || !value.is_empty());
        let fields = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs.clone()).finish();
        for step in ["review", "create"] {
            let answer = console.post("/new", &format!("step={step}&{fields}")).await;
            let text = answer.text();
            assert!(answer.status == 422 && text.contains(word), "{field}={value} {step}: {} {text}", answer.status);
            let kept =
                pairs.clone().filter(|(name, value)| !matches!(*name, "protocols" | "image") && !value.is_empty());
            for (name, value) in kept {
                let shown = [format!("value=\"{value}\""), format!(">{value}</textarea>")];
                assert!(shown.iter().any(|shown| text.contains(shown)), "{field}={value}: {name} is lost: {text}");
            }
        }
    }
    assert_eq!(jobs(&world).await["jobs"].as_array().unwrap().len(), 1);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_refused_stores_nothing_and_shows_the_reason() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    let console = Console::sign_in(&world).await;
    let token = console.form_token.clone();
    for (name, signature, word) in [
        ("", "", "Choose a file"),
        ("fw.img", "not base64!", "not base64"),
        (&"n".repeat(257), "", "name of 257 bytes"),
    ] {
        let answer = console.upload(&token, name, signature, b"image").await;
        let text = answer.text();
        assert!(answer.status == 422 && text.contains(word), "{word}: {} {text}", answer.status);
    }
    let mut socket = tokio::net::TcpStream::connect(world.service.http).await.unwrap();
    let head = format!(
        "POST /images HTTP/1.1\r\nHost: a\r\nCookie: {}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n\r\n",
        console.cookie,
        IMAGE_BYTES_MAX + 1_000_000
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = vec![0; 64];
    tokio::time::timeout(TIMEOUT, socket.read_exact(&mut bytes)).await.unwrap().unwrap();
    assert!(bytes.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&bytes));
    assert_eq!(std::fs::read_dir(dir.path().join("images")).unwrap().count(), 0);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_ends_the_queued_devices_and_by_force_all() {
    let dir = TempDir::new();
    let world = with_job(&dir, &["lamp", "door", "fan"]).await;
    let console = Console::sign_in(&world).await;
    let mut device = Device::lamp(&world).await;
    report(&mut device, "one", serde_json::json!({"status": "IN_PROGRESS"})).await;
    let before = console.page("/jobs/one").await;
    assert!(before.contains("id=\"cancel-confirm\"") && before.contains("id=\"cancel-force-confirm\""), "{before}");
    let canceled = console.post("/jobs/one/cancel", "").await;
    let at = canceled.header("location").unwrap();
    assert_eq!((canceled.status, at), (303, "/jobs/one?canceled=2&left=1"));
    let after = console.page(at).await;
    assert!(after.contains("2 devices cancelled, 1 is still in progress.") && !after.contains("id=\"cancel-confirm\""));
    assert!(after.contains("2 of 3 devices ended: 2 cancelled."), "{after}");
    let forced = console.post("/jobs/one/cancel", "force=yes").await;
    assert_eq!(forced.header("location"), Some("/jobs/one?canceled=1&left=0"));
    assert_eq!(device.json("/jobs/notify-next").await["execution"].as_object().map(|e| e.len()), None);
    let ended = console.post("/jobs/one/cancel", "force=yes").await;
    assert_eq!((ended.status, ended.text().contains("job one is CANCELED")), (409, true));
    assert!(!console.page("/jobs/one").await.contains("sse-connect"), "nothing can change any more");
    assert_eq!(console.post("/jobs/none/cancel", "").await.status, 404);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_shown_in_pages() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    let console = Console::sign_in(&world).await;
    let max = usize::try_from(PAGE_ROWS_MAX).unwrap();
    let things: Vec<String> = (0..=max).map(|i| format!("lamp-{i:04}")).collect();
    let things: Vec<&str> = things.iter().map(String::as_str).collect();
    let image = world.upload(b"image").await;
    for job in 0..=max {
        create(&world, &format!("job-{job}"), &image, if job == 0 { &things } else { &things[..1] }).await;
    }
    let rows = |text: &str, part: &str| text.matches(part).count();
    for (base, row) in [
        ("/?", "class=\"name\" href=\"/jobs/"),
        ("/devices?", "data-label=\"Status\""),
        ("/jobs/job-0?", "data-label=\"Status\""),
        ("/jobs/job-0?status=QUEUED&amp;", "data-label=\"Status\""),
        ("/devices/lamp-0000?", "data-label=\"Status\""),
    ] {
        let path = base.replace("&amp;", "&");
        let (first, second) = (console.page(&path).await, console.page(&format!("{path}page=2")).await);
        assert_eq!((rows(&first, row), rows(&second, row)), (max, 1), "{base}");
        assert!(!first.contains("rel=\"prev\"") && !second.contains("rel=\"next\""), "{base}");
        // The escape of askama for an ampersand.
        let link = |page: u32| format!("href=\"{}page={page}\"", path.replace('&', "&#38;"));
        assert!(first.contains(&link(2)) && second.contains(&link(1)), "{base}: {}", link(2));
        assert_eq!(rows(&console.page(&format!("{path}page=4000000000")).await, row), 0, "{base}");
    }
    let mut audit = console.page("/audit").await;
    for _ in ["100 jobs, each with an event and one of its execution", "the executions of the first job"] {
        assert_eq!(rows(&audit, "data-label=\"Kind\""), max);
        let older = audit.split("/audit?before=").nth(1).unwrap().split('"').next().unwrap().to_owned();
        audit = console.page(&format!("/audit?before={older}")).await;
    }
    assert!(audit.contains("lamp-0098") && rows(&audit, "data-label=\"Kind\"") == max, "{audit}");
    let filtered = console.page("/devices?filter=0099").await;
    assert_eq!(rows(&filtered, "data-label=\"Status\""), 1);
    assert_eq!(rows(&console.page("/devices?filter=%25").await, "data-label=\"Status\""), 0, "no wildcard");
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_page_gets_the_parts_that_changed_and_ends_with_its_job() {
    let dir = TempDir::new();
    let world = with_job(&dir, &["lamp"]).await;
    let console = Console::sign_in(&world).await;
    let page = console.page("/jobs/one").await;
    let path = page.split("sse-connect=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&");
    let mut device = Device::lamp(&world).await;
    let mut live = console.live(&path).await;
    report(&mut device, "one", serde_json::json!({"status": "IN_PROGRESS", "statusDetails": {"receive": "64/256"}}))
        .await;
    let first = live.until("event: actions").await;
    assert!(first.contains("event: state") && first.contains("25 %"), "{first}");
    let begin = Instant::now();
    for done in 65..=200 {
        let receive = format!("{done}/256");
        let update = serde_json::json!({"status": "IN_PROGRESS", "statusDetails": {"receive": receive}});
        report(&mut device, "one", update).await;
    }
    let middle = live.until("78 %").await;
    let sent = middle.matches("event: devices").count();
    let most = begin.elapsed().as_millis() / LIVE_INTERVAL.as_millis() + 2;
    assert!((1..=most).contains(&(sent as u128)), "{sent} updates, at most {most}");
    assert!(
        !middle.contains("event: state") && !middle.contains("event: actions"),
        "nothing of these changed: {middle}"
    );
    report(&mut device, "one", serde_json::json!({"status": "SUCCEEDED"})).await;
    let last = live.rest().await;
    assert!(last.contains("1 of 1 device ended: 1 succeeded.") && last.contains("event: end"), "{last}");
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_page_ends_with_its_session_and_a_session_has_few() {
    let dir = TempDir::new();
    let world = with_job(&dir, &["lamp"]).await;
    let console = Console::sign_in(&world).await;
    let mut open = Vec::new();
    for _ in 0..LIVE_PAGES_PER_SESSION_MAX {
        open.push(console.live("/jobs/one/live?after=1000000").await);
    }
    assert_eq!(console.get("/jobs/one/live").await.status, 204);
    assert_eq!(console.get("/jobs/none/live").await.status, 404);
    let other = Console::sign_in(&world).await;
    let mut others = other.live("/jobs/one/live?after=0").await;
    others.until("event: devices").await;
    console.post("/sign-out", "").await;
    for live in open {
        let text = live.rest().await;
        assert!(text.contains("event: end"), "{text}");
    }
    assert_eq!(other.post("/jobs/one/cancel", "").await.status, 303, "the other session goes on");
    others.until("event: end").await;
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_live_page() {
    let dir = TempDir::new();
    let world = with_job(&dir, &["lamp"]).await;
    let console = Console::sign_in(&world).await;
    let live = console.live("/jobs/one/live?after=1000000").await;
    let begin = Instant::now();
    world.service.stop().await;
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert!(!live.rest().await.contains("event: end"), "cut, so that the browser connects again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_what_waits_what_is_pinned_and_why_a_job_was_cancelled() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    let console = Console::sign_in(&world).await;
    let json = "Content-Type: application/json\r\n";
    world.admin("PUT", "/api/groups/lights", "", b"").await;
    world.admin("PUT", "/api/things/shed/pin", "", b"").await;
    let order = br#"{"things":["lamp","door"],"groups":["lights"],"continuous":true,"document":{},
        "config":{"jobExecutionsRolloutConfig":{"maximumPerMinute":1},"abortConfig":{"criteriaList":[
        {"failureType":"ALL","action":"CANCEL","thresholdPercentage":50,"minNumberOfExecutedThings":1}]}}}"#;
    world.admin("PUT", "/api/jobs/one", json, order).await;
    let shown = async |path: &str, text: &str| {
        let until = Instant::now() + TIMEOUT;
        while !console.page(path).await.contains(text) {
            assert!(Instant::now() < until, "no {text} on {path}: {}", console.page(path).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    shown("/jobs/one", "1 of them wait for their turn.").await;
    shown("/jobs/one", "New members of its groups get it").await;
    shown("/", "1 queued, 1 waiting").await;
    shown("/devices/shed", "It is pinned").await;
    assert!(console.page("/devices").await.contains("/devices/shed"));
    let mut lamp = Device::lamp(&world).await;
    lamp.publish("$aws/things/lamp/jobs/one/update", r#"{"status":"FAILED"}"#).await;
    lamp.next("/one/update/accepted").await;
    shown("/jobs/one", "aborted: 1 of 1 executions failed").await;
    world.service.stop().await;
}
