//! Who may do what in the console, over real HTTP: sessions, forms, headers, and that texts are inert. What the pages do is in
//! `console_pages`.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/console.rs"]
mod console;

use common::{Device, TempDir, request};
use console::{Console, jobs, report, sign_in, start, with_job};

const PATHS: [&str; 8] = ["/", "/images", "/new", "/jobs/one", "/jobs/one/live", "/devices", "/devices/lamp", "/audit"];
const SCRIPT: &str = "<script>alert(1)</script>";

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_a_session_leads_to_the_sign_in() {
    let dir = TempDir::new();
    let world = with_job(&dir, &["lamp"]).await;
    let to = world.service.http;
    for path in PATHS {
        for cookie in ["", "Cookie: ota-session=\r\n", "Cookie: ota-session=00; __Host-ota-session=00\r\n"] {
            let answer = request(to, "GET", path, cookie, b"").await;
            assert_eq!((answer.status, answer.header("location")), (303, Some("/sign-in")), "{path}");
            assert!(answer.body.is_empty(), "{path}");
        }
        let htmx = request(to, "GET", path, "HX-Request: true\r\n", b"").await;
        assert_eq!((htmx.header("hx-redirect"), htmx.body.len()), (Some("/sign-in"), 0), "{path}");
    }
    for path in ["/new", "/images", "/jobs/one/cancel", "/sign-out"] {
        let answer = request(to, "POST", path, "", b"").await;
        assert_eq!((answer.status, answer.header("location")), (303, Some("/sign-in")), "{path}");
    }
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_token_signs_in_and_a_sign_out_ends_the_session() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    for wrong in ["", "00", &world.token[1..], &world.token.to_uppercase().replace('A', "B")] {
        let answer = sign_in(&world, wrong, "").await;
        assert_eq!((answer.status, answer.header("set-cookie")), (401, None), "{wrong}");
    }
    let right = sign_in(&world, &world.token, "").await;
    let cookie = right.header("set-cookie").unwrap();
    assert!(cookie.ends_with("; path=/; max-age=43200; httponly; samesite=strict"), "{cookie}");
    let console = Console::sign_in(&world).await;
    assert_eq!(console.get("/sign-in").await.header("location"), Some("/"));
    console.page("/").await;
    assert_eq!(console.post("/sign-out", "").await.header("location"), Some("/sign-in"));
    assert_eq!(console.get("/").await.header("location"), Some("/sign-in"));
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_without_the_token_of_its_session_changes_nothing() {
    let dir = TempDir::new();
    let world = with_job(&dir, &["lamp"]).await;
    let (console, other) = (Console::sign_in(&world).await, Console::sign_in(&world).await);
    let image = world.upload(b"two").await;
    let fields = format!("step=create&id=two&image={image}&names=lamp&protocols=MQTT");
    for token in ["", "form_token=&", "form_token=00&", &format!("form_token={}&", other.form_token)] {
        for (path, fields) in [("/new", fields.as_str()), ("/jobs/one/cancel", "force=yes"), ("/sign-out", "")] {
            let answer = console.post_raw(path, "", &format!("{token}{fields}")).await;
            assert_eq!(answer.status, 403, "{path} {token}: {}", answer.text());
        }
    }
    for token in ["", "00", &other.form_token] {
        assert_eq!(console.upload(token, "fw.img", "", b"three").await.status, 403, "{token}");
    }
    let jobs = jobs(&world).await;
    assert_eq!((jobs["jobs"].as_array().unwrap().len(), &jobs["jobs"][0]["status"]), (1, &"IN_PROGRESS".into()));
    assert_eq!(std::fs::read_dir(dir.path().join("images")).unwrap().count(), 2);
    console.page("/").await;
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_another_site_changes_nothing() {
    let dir = TempDir::new();
    let world = with_job(&dir, &["lamp"]).await;
    let console = Console::sign_in(&world).await;
    let own = format!("Origin: http://{}\r\n", world.service.http);
    let fields = format!("form_token={}&force=yes", console.form_token);
    for foreign in ["Origin: http://elsewhere.example\r\n", "Origin: null\r\n"] {
        assert_eq!(console.post_raw("/jobs/one/cancel", foreign, &fields).await.status, 403);
        assert_eq!(sign_in(&world, &world.token, foreign).await.status, 403);
    }
    assert_eq!(jobs(&world).await["jobs"][0]["status"], "IN_PROGRESS");
    assert_eq!(console.post_raw("/jobs/one/cancel", &own, &fields).await.status, 303);
    assert_eq!(sign_in(&world, &world.token, &own).await.status, 303);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn script_in_the_texts_of_people_and_devices_is_inert() {
    let dir = TempDir::new();
    let world = with_job(&dir, &["lamp"]).await;
    let console = Console::sign_in(&world).await;
    let named = world.admin("PUT", "/api/images/%3Cscript%3Ealert(1)%3C%2Fscript%3E", "", b"image").await;
    let named: serde_json::Value = serde_json::from_slice(&named).unwrap();
    let mut device = Device::lamp(&world).await;
    let details = serde_json::json!({
        "reason": SCRIPT, "version": SCRIPT, "self_test": "\"><script>alert(1)</script>", "text": SCRIPT,
    });
    report(&mut device, "one", serde_json::json!({"status": "IN_PROGRESS", "statusDetails": details})).await;
    let fields = "step=review&id=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&names=%3C/textarea%3E%3Cscript%3Ealert(1)%3C/script%3E&timeout=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&filter=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&protocols=MQTT";
    let refused = console.post("/new", &format!("{fields}&image={}", named["id"].as_str().unwrap())).await;
    assert_eq!(refused.status, 422);
    let mut texts = vec![("refused".to_owned(), refused.text())];
    for path in PATHS.into_iter().filter(|path| !path.ends_with("/live")) {
        texts.push((path.to_owned(), console.page(path).await));
    }
    let mut live = console.live("/jobs/one/live?after=0").await;
    texts.push(("live".to_owned(), live.until("event: devices").await + &live.until("\n\n").await));
    for (path, text) in &texts {
        assert!(!text.contains(SCRIPT), "{path}: {text}");
        assert!(!text.contains("\"><script"), "{path}: {text}");
    }
    let escaped = "&#60;script&#62;alert(1)&#60;/script&#62;";
    for path in ["refused", "/images", "/new", "/jobs/one", "/devices", "/devices/lamp", "/audit", "live"] {
        assert!(texts.iter().any(|(found, text)| found == path && text.contains(escaped)), "{path} shows the text");
    }
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_keeps_scripts_frames_and_caches_out() {
    let dir = TempDir::new();
    let world = with_job(&dir, &["lamp"]).await;
    let console = Console::sign_in(&world).await;
    for path in PATHS.into_iter().chain(["/sign-in", "/jobs/none", "/assets/none", "/assets/console.css"]) {
        let (headers, text) = match path.ends_with("/live") {
            true => (console.live(path).await.until("").await, String::new()),
            false => {
                let answer = console.get(path).await;
                (answer.headers.clone(), answer.text())
            }
        };
        if !path.ends_with("/live") {
            for part in [
                "content-security-policy: default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
                "x-content-type-options: nosniff",
                "x-frame-options: deny",
                "referrer-policy: same-origin",
            ] {
                assert!(headers.contains(part), "{path}: {part}: {headers}");
            }
            assert!(headers.contains("cache-control: no-store") || path == "/assets/console.css", "{path}: {headers}");
        }
        for part in ["http://", "https://", " style=", "<script>", " onclick=", "javascript:"] {
            assert!(!text.contains(part), "{path}: {part}");
        }
    }
    let style = console.get("/assets/console.css").await;
    let tag = format!("If-None-Match: {}\r\n", style.header("etag").unwrap());
    assert_eq!(style.header("cache-control"), Some("no-cache"));
    assert_eq!(request(world.service.http, "GET", "/assets/console.css", &tag, b"").await.status, 304);
    world.service.stop().await;
}
