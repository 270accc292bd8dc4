//! Signed requests as no tool of AWS sends them: changed after they were signed, too old, cut, or with hostile names. They are
//! signed here with the library of AWS's clients.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use common::{Answer, Device, TempDir, TestService, config, request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A service with an access key.
struct World {
    _dir: TempDir,
    service: TestService,
    id: String,
    secret: String,
}

/// What a request is signed with.
#[derive(Clone, Copy)]
struct Signing<'a> {
    method: &'a str,
    target: &'a str,
    body: &'a [u8],
    service: &'a str,
    at: SystemTime,
    /// Further headers, which are signed too: `name: value`, one a line.
    headers: &'a str,
}

fn iot<'a>(method: &'a str, target: &'a str, body: &'a [u8]) -> Signing<'a> {
    Signing { method, target, body, service: "iot", at: SystemTime::now(), headers: "" }
}

/// The header that S3 requires.
fn sha256_header(body: &[u8]) -> String {
    format!("x-amz-content-sha256: {}", hex::encode(ring::digest::digest(&ring::digest::SHA256, body)))
}

impl World {
    async fn start() -> Self {
        Self::with_key(r#"{"label":"test"}"#).await
    }

    /// With a key that is created by this request.
    async fn with_key(key: &str) -> Self {
        let dir = TempDir::new();
        let service = TestService::start(config(dir.path())).await;
        let json = "Content-Type: application/json\r\n";
        let created = service.admin("POST", "/api/access-keys", json, key.as_bytes()).await;
        let created: serde_json::Value = serde_json::from_slice(&created).unwrap();
        let text = |name: &str| created[name].as_str().unwrap().to_owned();
        let (id, secret) = (text("id"), text("secret"));
        Self { _dir: dir, service, id, secret }
    }

    /// The headers of a signed request.
    fn sign(&self, signing: Signing<'_>) -> String {
        let host = self.service.service.http.to_string();
        let further = signing.headers.lines().filter_map(|line| line.split_once(": "));
        let headers = further.chain([("host", host.as_str())]);
        let uri = format!("http://{host}{}", signing.target);
        let request = SignableRequest::new(signing.method, uri, headers, SignableBody::Bytes(signing.body)).unwrap();
        let identity = Credentials::new(&self.id, &self.secret, None, None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("eu-central-1")
            .name(signing.service)
            .time(signing.at)
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        let lines = instructions.headers().map(|(name, value)| format!("{name}: {value}\r\n"));
        let further = signing.headers.lines().map(|line| format!("{line}\r\n"));
        lines.chain(further).collect()
    }

    /// Signs a request and sends it.
    async fn send(&self, signing: Signing<'_>) -> Answer {
        self.send_other(signing, signing.target, signing.body).await
    }

    /// Signs a request and sends another one with its headers.
    async fn send_other(&self, signing: Signing<'_>, target: &str, body: &[u8]) -> Answer {
        request(self.service.service.http, signing.method, target, &self.sign(signing), body).await
    }

    async fn create_job(&self, id: &str) -> Answer {
        let thing = self.send(iot("POST", "/things/lamp", b"")).await;
        assert_eq!(thing.status, 200, "{}", thing.text());
        let body = br#"{"targets":["arn:aws:iot:eu-central-1:000000000000:thing/lamp"],"document":"{}"}"#;
        self.send(iot("PUT", &format!("/jobs/{id}"), body)).await
    }
}

fn is(answer: &Answer, status: u16, code: &str) {
    let got = (answer.status, answer.header("x-amzn-errortype").unwrap_or_default());
    assert_eq!(got, (status, code.to_ascii_lowercase().as_str()), "{}", answer.text());
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(!body["message"].as_str().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_was_changed_after_it_was_signed_is_refused() {
    let world = World::start().await;
    let good = iot("POST", "/things/lamp", br#"{"attributePayload":{"attributes":{"a":"1"}}}"#);
    assert_eq!(world.send(good).await.status, 200);
    let other = br#"{"attributePayload":{"attributes":{"a":"2"}}}"#;
    is(&world.send_other(good, good.target, other).await, 403, "SignatureDoesNotMatch");
    is(&world.send_other(good, "/things/door", good.body).await, 403, "SignatureDoesNotMatch");

    // With a digest in a header that is signed: the body must have it.
    let digest = ring::digest::digest(&ring::digest::SHA256, good.body);
    let header = format!("x-amz-content-sha256: {}", hex::encode(digest));
    let good = Signing { headers: &header, ..good };
    assert_eq!(world.send(good).await.status, 200);
    is(&world.send_other(good, good.target, other).await, 400, "XAmzContentSHA256Mismatch");
    let thing = world.send(iot("GET", "/things/lamp", b"")).await;
    assert!(thing.text().contains(r#"{"a":"1"}"#), "{}", thing.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_refused_when_it_is_old_or_early_and_with_a_deleted_key() {
    let world = World::start().await;
    let list = iot("GET", "/jobs", b"");
    assert_eq!(world.send(list).await.status, 200);
    let far = Duration::from_secs(16 * 60);
    for at in [list.at - far, list.at + far] {
        is(&world.send(Signing { at, ..list }).await, 403, "RequestTimeTooSkewed");
    }
    is(&world.send(Signing { service: "iotwireless", ..list }).await, 403, "AccessDeniedException");
    let bare = "Authorization: AWS4-HMAC-SHA256 Signature=0\r\n";
    is(&request(world.service.service.http, "GET", "/jobs", bare, b"").await, 400, "IncompleteSignatureException");

    let keys = world.service.admin("GET", "/api/access-keys", "", b"").await;
    let keys = String::from_utf8(keys).unwrap();
    assert!(keys.contains(&world.id) && keys.contains("\"test\"") && !keys.contains(&world.secret), "{keys}");
    world.service.admin("DELETE", &format!("/api/access-keys/{}", world.id), "", b"").await;
    is(&world.send(list).await, 403, "UnrecognizedClientException");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_admin_creates_lists_and_deletes_access_keys() {
    let world = World::start().await;
    let json = "Content-Type: application/json\r\n";
    let created = world.service.admin("PUT", "/api/tokens/ci", json, br#"{"role":"operator"}"#).await;
    let created: serde_json::Value = serde_json::from_slice(&created).unwrap();
    let bearer = format!("Authorization: Bearer {}\r\n{json}", created["token"].as_str().unwrap());
    let path = format!("/api/access-keys/{}", world.id);
    for (method, path) in [("POST", "/api/access-keys"), ("GET", "/api/access-keys"), ("DELETE", path.as_str())] {
        let answer = request(world.service.service.http, method, path, &bearer, b"{}").await;
        assert_eq!(answer.status, 403, "{method}: {}", answer.text());
    }
    assert_eq!(world.send(iot("GET", "/jobs", b"")).await.status, 200);
    assert_eq!(world.create_job("one").await.status, 200);
    let events = String::from_utf8(world.service.admin("GET", "/api/events?job=one", "", b"").await).unwrap();
    assert!(events.contains(&format!(r#""by":"{}""#, world.id)), "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_viewer_reads_and_changes_nothing() {
    let world = World::with_key(r#"{"role":"viewer"}"#).await;
    assert_eq!(world.send(iot("GET", "/jobs", b"")).await.status, 200);
    let identity = Signing { service: "sts", ..iot("POST", "/", b"Action=GetCallerIdentity&Version=2011-06-15") };
    assert_eq!(world.send(identity).await.status, 200);
    let refused = world.send(iot("PUT", "/things/lamp", b"{}")).await;
    is(&refused, 403, "AccessDeniedException");
    assert!(refused.text().contains("has the role viewer, this needs the role operator"), "{}", refused.text());
    let sha256 = sha256_header(b"image");
    let refused = world.send(Signing { service: "s3", headers: &sha256, ..iot("PUT", "/b/k", b"image") }).await;
    assert!(refused.status == 403 && refused.text().contains("has the role viewer"), "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_refused_and_stores_no_empty_object() {
    let world = World::start().await;
    let plain = sha256_header(b"");
    let copy = format!("{plain}\nx-amz-copy-source: /b/old");
    let refused = world.send(Signing { service: "s3", headers: &copy, ..iot("PUT", "/b/new", b"") }).await;
    assert!(refused.status == 501 && refused.text().contains("CopyObject"), "{}", refused.text());
    assert_eq!(world.send(Signing { service: "s3", headers: &plain, ..iot("GET", "/b/new", b"") }).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_not_ended_is_deleted_only_by_force_and_its_device_is_notified() {
    let world = World::start().await;
    let mut lamp = Device::lamp(&world.service).await;
    assert_eq!(world.create_job("one").await.status, 200);
    assert_eq!(lamp.json("jobs/notify-next").await["execution"]["jobId"], "one");
    for target in ["/jobs/one", "/jobs/one?force=false"] {
        is(&world.send(iot("DELETE", target, b"")).await, 409, "InvalidStateTransitionException");
    }
    assert_eq!(world.send(iot("DELETE", "/jobs/one?force=true", b"")).await.status, 200);
    assert!(lamp.json("jobs/notify-next").await.get("execution").is_none());
    is(&world.send(iot("GET", "/jobs/one", b"")).await, 404, "ResourceNotFoundException");

    // Under the same id it is another job; one that has ended is deleted without force.
    assert_eq!(world.create_job("one").await.status, 200);
    assert_eq!(world.send(iot("PUT", "/jobs/one/cancel", b"")).await.status, 200);
    assert_eq!(world.send(iot("DELETE", "/jobs/one", b"")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_a_deleted_job_are_not_served_further_on() {
    let world = World::start().await;
    let mut lamp = Device::lamp(&world.service).await;
    let image = world.service.upload(&common::pattern(5_000)).await;
    world.service.job("one", &image, r#"["MQTT"]"#).await;
    let next = lamp.json("jobs/notify-next").await;
    let stream = next["execution"]["jobDocument"]["afr_ota"]["streamname"].as_str().unwrap();
    let (topic, get) = (format!("$aws/things/lamp/streams/{stream}/get/json"), r#"{"s":1,"f":0,"l":4096,"n":1}"#);
    lamp.publish(&topic, get).await;
    assert_eq!(lamp.json("data/json").await["l"], 4096);
    assert_eq!(world.send(iot("DELETE", "/jobs/one?force=true", b"")).await.status, 200);
    lamp.publish(&topic, get).await;
    assert_eq!(lamp.json("rejected/json").await["o"], "ResourceNotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_requests_are_refused_by_name_and_the_service_goes_on() {
    let world = World::start().await;
    let deep = format!("{{\"targets\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let long = "n".repeat(10_000);
    let long_path = format!("/things/{long}");
    let long_name = format!(r#"{{"targets":["arn:aws:iot:x:1:thing/{long}"],"document":"{{}}"}}"#);
    for (signing, code) in [
        (iot("PUT", "/jobs/one", deep.as_bytes()), "InvalidRequestException"),
        (iot("PUT", "/jobs/one", b"{\"targets\":"), "InvalidRequestException"),
        (iot("PUT", "/jobs/one", b"\xff\xfe"), "InvalidRequestException"),
        (iot("PUT", "/jobs/one", br#"{"targets":[],"document":"{}","other":1}"#), "InvalidRequestException"),
        (iot("PUT", "/jobs/one", long_name.as_bytes()), "InvalidRequestException"),
        (iot("GET", "/jobs?maxResults=-1", b""), "InvalidRequestException"),
        (iot("GET", "/jobs?other=1", b""), "InvalidRequestException"),
        (iot("POST", "/things/%FF%FE", b""), "InvalidRequestException"),
        (iot("POST", "/things/a%20b", b""), "InvalidRequestException"),
        (iot("POST", &long_path, b""), "IncompleteSignatureException"),
    ] {
        is(&world.send(signing).await, 400, code);
    }
    is(&world.send(iot("POST", "/jobs", b"")).await, 404, "UnknownOperationException");
    let huge = vec![b' '; 3 << 20];
    is(&world.send(iot("PUT", "/jobs/one", &huge)).await, 413, "RequestEntityTooLargeException");
    // A body that is cut off.
    let mut socket = TcpStream::connect(world.service.service.http).await.unwrap();
    let head = format!(
        "PUT /jobs/one HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n{}\r\n{{",
        world.sign(iot("PUT", "/jobs/one", b"{"))
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await; // a reset connection
    assert!(!String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 200"));
    assert_eq!(world.create_job("one").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_a_list_have_each_job_once() {
    let world = World::start().await;
    for number in 0..5 {
        assert_eq!(world.create_job(&format!("job-{number}")).await.status, 200);
    }
    let (mut ids, mut token) = (Vec::new(), String::new());
    loop {
        let target = format!("/jobs?maxResults=2{token}");
        let page: serde_json::Value = serde_json::from_slice(&world.send(iot("GET", &target, b"")).await.body).unwrap();
        let jobs = page["jobs"].as_array().unwrap();
        ids.extend(jobs.iter().map(|job| job["jobId"].as_str().unwrap().to_owned()));
        let Some(next) = page["nextToken"].as_str() else { break };
        token = format!("&nextToken={next}");
    }
    assert_eq!(ids, ["job-4", "job-3", "job-2", "job-1", "job-0"]);
}
