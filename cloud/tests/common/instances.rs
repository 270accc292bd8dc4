//! Processes of `ota-cloud serve` that share a PostgreSQL database.

#![allow(dead_code)] // each test program uses a part of it

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::common::{Answer, TempDir, request};

/// A port that no program listens on.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A process with a data directory of its own.
pub struct Instance {
    child: Child,
    lines: BufReader<ChildStdout>,
    data: PathBuf,
    pub http: SocketAddr,
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Instance {
    /// Starts an instance whose broker has this port once it serves; returns it with the first line that it prints.
    pub fn start(dir: &TempDir, name: &str, url: &str, mqtt: u16) -> (Self, String) {
        let data = dir.path().join(name);
        let mut child = Command::new(env!("CARGO_BIN_EXE_ota-cloud"))
            .args([
                "serve",
                "--http",
                "127.0.0.1:0",
                "--log",
                "quiet",
                "--mqtt",
                &format!("127.0.0.1:{mqtt}"),
                "--data",
            ])
            .arg(&data)
            .env("OTA_CLOUD_DATABASE", url)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let http = line.trim_end().rsplit_once("http=").unwrap().1.parse().unwrap();
        (Self { child, lines, data, http }, line)
    }

    /// Waits for the next line that it prints.
    pub fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    /// Ends it without a warning, as SIGKILL does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it ends; returns its exit code and what it wrote to stderr.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut self.child.stderr.take().unwrap(), &mut text).unwrap();
        (self.child.wait().unwrap().code(), text)
    }

    /// Token of role admin, from the file.
    pub fn token(&self) -> String {
        std::fs::read_to_string(self.data.join("token")).unwrap().trim_end().to_owned()
    }

    /// Sends an admin request.
    pub async fn admin(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let headers = format!("Authorization: Bearer {}\r\n{headers}", self.token());
        request(self.http, method, path, &headers, body).await
    }

    /// Sends a JSON document, and returns the one in the response, if it has one.
    pub async fn json(&self, method: &str, path: &str, body: &str) -> serde_json::Value {
        let answer = self.admin(method, path, "Content-Type: application/json\r\n", body.as_bytes()).await;
        assert_eq!(answer.status / 100, 2, "{method} {path}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    /// Sends a request without a token.
    pub async fn get(&self, path: &str) -> Answer {
        request(self.http, "GET", path, "", b"").await
    }
}
