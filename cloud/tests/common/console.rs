//! A browser without a screen: a session of the console, its cookie, and the token of its forms; and jobs to look at.

#![allow(dead_code)] // each test program uses a part of it

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::{Answer, Device, TIMEOUT, TempDir, TestService, config, request};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// Sends a sign-in with this token, or with fields that name a person: `secret&name=name`.
pub async fn sign_in(world: &TestService, secret: &str, headers: &str) -> Answer {
    let body = format!("secret={secret}");
    request(world.service.http, "POST", "/sign-in", &format!("{FORM}{headers}"), body.as_bytes()).await
}

/// A signed-in session.
pub struct Console<'w> {
    world: &'w TestService,
    pub cookie: String,
    pub form_token: String,
}

impl<'w> Console<'w> {
    /// Signs in with the token of the data directory.
    pub async fn sign_in(world: &'w TestService) -> Self {
        Self::sign_in_with(world, &world.token).await
    }

    /// Signs in with a token, or as a person; see [`sign_in`].
    pub async fn sign_in_with(world: &'w TestService, secret: &str) -> Self {
        let answer = sign_in(world, secret, "").await;
        assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{}", answer.text());
        let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let mut console = Self { world, cookie, form_token: String::new() };
        let page = console.get("/").await.text();
        console.form_token = page.split("name=\"form_token\" value=\"").nth(1).unwrap()[..64].to_owned();
        console
    }

    pub async fn get(&self, path: &str) -> Answer {
        let headers = format!("Cookie: {}\r\n", self.cookie);
        request(self.world.service.http, "GET", path, &headers, b"").await
    }

    /// The text of a page that exists.
    pub async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    }

    /// Sends a form without its token.
    pub async fn post_raw(&self, path: &str, headers: &str, body: &str) -> Answer {
        let headers = format!("Cookie: {}\r\n{FORM}{headers}", self.cookie);
        request(self.world.service.http, "POST", path, &headers, body.as_bytes()).await
    }

    /// Sends a form; `fields` are encoded already.
    pub async fn post(&self, path: &str, fields: &str) -> Answer {
        self.post_raw(path, "", &format!("form_token={}&{fields}", self.form_token)).await
    }

    /// Uploads a file through the form, whose token is `form_token`.
    pub async fn upload(&self, form_token: &str, name: &str, signature: &str, bytes: &[u8]) -> Answer {
        let part = |head: &str| format!("--limit\r\nContent-Disposition: form-data; name={head}\r\n\r\n");
        let mut body = format!("{}{form_token}\r\n", part("\"form_token\""));
        body += &format!("{}{signature}\r\n", part("\"signature\""));
        body += &part(&format!("\"file\"; filename=\"{name}\""));
        let mut body = body.into_bytes();
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n--limit--\r\n");
        let headers = format!("Cookie: {}\r\nContent-Type: multipart/form-data; boundary=limit\r\n", self.cookie);
        request(self.world.service.http, "POST", "/images", &headers, &body).await
    }

    /// Opens the stream of a live page.
    pub async fn live(&self, path: &str) -> Live {
        let mut socket = TcpStream::connect(self.world.service.http).await.unwrap();
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: {}\r\n\r\n", self.cookie);
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut live = Live { socket, text: String::new() };
        live.until("\r\n\r\n").await;
        live
    }
}

/// The stream of a live page.
pub struct Live {
    socket: TcpStream,
    text: String,
}

impl Live {
    /// Reads until `end` arrives and returns all text up to it; the rest stays.
    pub async fn until(&mut self, end: &str) -> String {
        let found = tokio::time::timeout(TIMEOUT, async {
            loop {
                if let Some(at) = self.text.find(end) {
                    let rest = self.text.split_off(at + end.len());
                    return std::mem::replace(&mut self.text, rest);
                }
                let mut bytes = [0; 4096];
                let count = self.socket.read(&mut bytes).await.unwrap();
                assert!(count > 0, "the stream ended before {end}: {}", self.text);
                self.text.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        found.await.unwrap_or_else(|_| panic!("no {end}"))
    }

    /// Reads until the service closes the stream.
    pub async fn rest(mut self) -> String {
        let mut bytes = Vec::new();
        tokio::time::timeout(TIMEOUT, self.socket.read_to_end(&mut bytes)).await.unwrap().unwrap();
        self.text + &String::from_utf8_lossy(&bytes)
    }
}

pub async fn start(dir: &TempDir) -> TestService {
    TestService::start(config(dir.path())).await
}

/// A service with one image, and the job `one` for these things.
pub async fn with_job(dir: &TempDir, things: &[&str]) -> TestService {
    let world = start(dir).await;
    let image = world.upload(b"image").await;
    create(&world, "one", &image, things).await;
    world
}

pub async fn create(world: &TestService, id: &str, image: &str, things: &[&str]) {
    let order = serde_json::json!({"things": things, "files": [{"image": image}]}).to_string();
    world.admin("PUT", &format!("/api/jobs/{id}"), "Content-Type: application/json\r\n", order.as_bytes()).await;
}

pub async fn report(device: &mut Device, job: &str, update: serde_json::Value) {
    device.publish(&format!("$aws/things/lamp/jobs/{job}/update"), update.to_string()).await;
    device.next("/update/accepted").await;
}

pub async fn jobs(world: &TestService) -> serde_json::Value {
    serde_json::from_slice(&world.admin("GET", "/api/jobs", "", b"").await).unwrap()
}
