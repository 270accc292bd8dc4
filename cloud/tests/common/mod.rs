//! A service on free ports, a device made of an independent MQTT client, and a minimal HTTP client.

#![allow(dead_code, clippy::unwrap_used)] // each test program uses a part of it

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ota_cloud::limits::{DATABASE_BYTES_MAX, URL_LIFETIME_DEFAULT};
use ota_cloud::serve::{Config, Format, Service};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Timeout of every wait.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Skips a test because `tool` is not installed; fails in CI.
pub fn skip(tool: &str) {
    assert!(std::env::var_os("CI").is_none(), "{tool} is not installed");
    println!("skipped: needs {tool}");
}

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A temporary directory; removed when dropped.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ota-cloud-e2e-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn config(dir: &Path) -> Config {
    Config {
        data: dir.to_owned(),
        database: None,
        mqtt: "127.0.0.1:0".parse().unwrap(),
        http: "127.0.0.1:0".parse().unwrap(),
        tls: None,
        broker: None,
        aws_limits: false,
        public_http: None,
        format: Format::Quiet,
        database_bytes_max: DATABASE_BYTES_MAX,
        url_lifetime: URL_LIFETIME_DEFAULT,
    }
}

/// A running service and its admin token.
pub struct TestService {
    pub service: Service,
    pub token: String,
}

impl TestService {
    pub async fn start(config: Config) -> Self {
        let data = config.data.clone();
        let service = Service::start(config).await.unwrap();
        let token = std::fs::read_to_string(data.join("token")).unwrap().trim().to_owned();
        Self { service, token }
    }

    pub fn port(&self) -> u16 {
        self.service.mqtt.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// Sends an admin request that must succeed.
    pub async fn admin(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
        let headers = format!("Authorization: Bearer {}\r\n{headers}", self.token);
        let answer = request(self.service.http, method, path, &headers, body).await;
        assert!(answer.status / 100 == 2, "{method} {path}: {} {}", answer.status, answer.text());
        answer.body
    }

    /// Uploads an image and returns its id.
    pub async fn upload(&self, bytes: &[u8]) -> String {
        let answer = self.admin("PUT", "/api/images/fw.img", "ota-signature: MEUC\r\n", bytes).await;
        let json: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        json["id"].as_str().unwrap().to_owned()
    }

    /// Creates a job for the thing `lamp` and one image.
    pub async fn job(&self, id: &str, image: &str, protocols: &str) {
        let order = format!(r#"{{"things":["lamp"],"files":[{{"image":"{image}"}}],"protocols":{protocols}}}"#);
        let path = format!("/api/jobs/{id}");
        self.admin("PUT", &path, "Content-Type: application/json\r\n", order.as_bytes()).await;
    }
}

/// A device that records all received messages in order.
pub struct Device {
    pub client: AsyncClient,
    received: mpsc::UnboundedReceiver<(String, Vec<u8>)>,
    pump: tokio::task::JoinHandle<()>,
}

impl Device {
    /// Connects as `client_id` and subscribes; returns whether the subscription was granted.
    pub async fn connect(port: u16, client_id: &str, filter: &str) -> (Self, bool) {
        Self::with(MqttOptions::new(client_id, "127.0.0.1", port), filter).await
    }

    pub async fn with(mut options: MqttOptions, filter: &str) -> (Self, bool) {
        options.set_max_packet_size(Some(200_000));
        let (client, mut events) = AsyncClient::new(options, 100);
        client.subscribe_many([Filter::new(filter, QoS::AtLeastOnce)]).await.unwrap();
        let (subscribed, granted) = tokio::sync::oneshot::channel();
        let (messages, received) = mpsc::unbounded_channel();
        let pump = tokio::spawn(async move {
            let mut subscribed = Some(subscribed);
            while let Ok(event) = events.poll().await {
                match event {
                    Event::Incoming(Packet::SubAck(answer)) => {
                        let granted = format!("{:?}", answer.return_codes).contains("Success");
                        let _ = subscribed.take().map(|subscribed| subscribed.send(granted));
                    }
                    Event::Incoming(Packet::Publish(message)) => {
                        let topic = String::from_utf8(message.topic.to_vec()).unwrap();
                        let _ = messages.send((topic, message.payload.to_vec()));
                    }
                    _ => {}
                }
            }
        });
        let granted = tokio::time::timeout(TIMEOUT, granted).await.unwrap().unwrap_or(false);
        (Self { client, received, pump }, granted)
    }

    /// Connects a device that is subscribed to all topics of `lamp`.
    pub async fn lamp(world: &TestService) -> Self {
        let (device, granted) = Self::connect(world.port(), "lamp", "$aws/things/lamp/#").await;
        assert!(granted);
        device
    }

    pub async fn publish(&self, topic: &str, payload: impl AsRef<[u8]>) {
        self.client.publish(topic, QoS::AtLeastOnce, false, payload.as_ref().to_vec()).await.unwrap();
    }

    /// Returns the next message whose topic ends with `topic_end`; other messages are skipped.
    pub async fn next(&mut self, topic_end: &str) -> Vec<u8> {
        let wait = async {
            loop {
                let (topic, payload) = self.received.recv().await.expect("connection closed");
                if topic.ends_with(topic_end) {
                    return payload;
                }
            }
        };
        let found = tokio::time::timeout(TIMEOUT, wait).await;
        found.unwrap_or_else(|_| panic!("no message on {topic_end}"))
    }

    /// Returns the next message, with its topic; waits without a limit.
    pub async fn message(&mut self) -> (String, Vec<u8>) {
        self.received.recv().await.expect("connection closed")
    }

    /// Like `next`, parsed as JSON.
    pub async fn json(&mut self, topic_end: &str) -> serde_json::Value {
        serde_json::from_slice(&self.next(topic_end).await).unwrap()
    }

    /// Returns whether a message whose topic ends with `topic_end` arrives within `wait`.
    pub async fn receives(&mut self, topic_end: &str, wait: Duration) -> bool {
        let until = tokio::time::Instant::now() + wait;
        while let Ok(Some((topic, _))) = tokio::time::timeout_at(until, self.received.recv()).await {
            if topic.ends_with(topic_end) {
                return true;
            }
        }
        false
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// An HTTP answer.
pub struct Answer {
    pub status: u16,
    pub headers: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let start = format!("{name}: ");
        self.headers.lines().find_map(|line| line.strip_prefix(&start))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends one HTTP request on a new connection.
pub async fn request(to: std::net::SocketAddr, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
    let mut socket = TcpStream::connect(to).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(body).await.unwrap();
    let mut bytes = Vec::new();
    tokio::time::timeout(TIMEOUT, socket.read_to_end(&mut bytes)).await.unwrap().unwrap();
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let headers = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
    let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, headers, body: bytes.split_off(end + 4) }
}

/// Returns path and query of a URL.
pub fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").unwrap().1;
    &rest[rest.find('/').unwrap()..]
}

/// Returns a non-repeating byte pattern.
pub fn pattern(len: usize) -> Vec<u8> {
    let byte = |i: usize| (i.wrapping_mul(2_654_435_761) >> 13) as u8 ^ (i >> 8) as u8;
    (0..len).map(byte).collect()
}
