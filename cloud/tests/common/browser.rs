//! A headless Chromium, driven through its driver. Source: W3C WebDriver; `goog:` is of chromedriver.

#![allow(dead_code)] // each test program uses a part of it

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

use crate::common::{TIMEOUT, TempDir};

/// As root Chromium needs `--no-sandbox`; the rest keeps it from looking for servers of its maker.
const ARGUMENTS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];
/// Timeout of a command; that of an element that is waited for is shorter.
const COMMAND_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);
/// Member of an element's reference. Source: W3C WebDriver, "web element identifier".
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one page; both processes end when it is dropped.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    _profile: TempDir,
}

/// Sends one request and returns the body of the answer. The driver keeps the connection open.
async fn exchange(to: SocketAddr, method: &str, path: &str, body: &str) -> Vec<u8> {
    let mut socket = tokio::net::TcpStream::connect(to).await.unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    socket.write_all((head + body).as_bytes()).await.unwrap();
    let mut lines = tokio::io::BufReader::new(socket);
    let mut length = 0;
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).await.unwrap();
        match line.trim_end().to_ascii_lowercase().split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().unwrap(),
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).await.unwrap();
    body
}

/// Whether a browser and its driver are installed.
pub fn is_installed() -> bool {
    ["chromedriver", "chromium"].iter().all(|name| {
        let tried = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    })
}

impl Browser {
    pub async fn start() -> Self {
        let mut driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let line = lines.map(Result::unwrap).find(|line| line.contains("successfully on port ")).unwrap();
        let port = line.rsplit(' ').next().unwrap().trim_end_matches('.').parse().unwrap();
        let profile = TempDir::new();
        let mut arguments = ARGUMENTS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let wanted = json!({
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "implicit": TIMEOUT.as_millis() },
        });
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut browser = Self { driver, address, session: String::new(), _profile: profile };
        let begun = browser.send("POST", "/session", json!({ "capabilities": { "alwaysMatch": wanted } })).await;
        browser.session = begun["sessionId"].as_str().unwrap().to_owned();
        browser
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> Value {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let answer = tokio::time::timeout(COMMAND_TIMEOUT, exchange(self.address, method, path, &body)).await.unwrap();
        let mut answer: Value = serde_json::from_slice(&answer).unwrap();
        assert!(answer["value"].get("error").is_none_or(Value::is_null), "{path} {body}: {answer}");
        answer["value"].take()
    }

    async fn command(&self, path: &str, body: Value) -> Value {
        self.send("POST", &format!("/session/{}/{path}", self.session), body).await
    }

    pub async fn open(&self, url: &str) {
        self.command("url", json!({ "url": url })).await;
    }

    /// Waits for the first element that the selector matches.
    async fn element(&self, css: &str) -> String {
        let found = self.command("element", json!({ "using": "css selector", "value": css })).await;
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    pub async fn click(&self, css: &str) {
        let element = self.element(css).await;
        self.command(&format!("element/{element}/click"), json!({})).await;
    }

    /// Types into an element; for a file input `text` is a path.
    pub async fn enter(&self, css: &str, text: &str) {
        let element = self.element(css).await;
        self.command(&format!("element/{element}/value"), json!({ "text": text })).await;
    }

    /// Empties an input as a person does, with its events.
    pub async fn clear(&self, css: &str) {
        // The codes of Control, `a`, and the key for backspace. Source: W3C WebDriver, "keyboard actions".
        self.enter(css, "\u{E009}a\u{E000}\u{E003}").await;
    }

    /// The value of a script's expression.
    pub async fn eval(&self, expression: &str) -> Value {
        self.command("execute/sync", json!({ "script": format!("return {expression}"), "args": [] })).await
    }

    /// Waits until an expression is true.
    pub async fn until(&self, expression: &str) {
        let end = std::time::Instant::now() + TIMEOUT;
        while self.eval(expression).await != true {
            assert!(std::time::Instant::now() < end, "never: {expression}: {}", self.text().await);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Waits until the page shows this text.
    pub async fn shows(&self, text: &str) {
        self.until(&format!("document.querySelector('main').innerText.includes({})", json!(text))).await;
    }

    async fn text(&self) -> Value {
        self.eval("document.body.innerText").await
    }

    /// Sets the width of the page and its colour scheme.
    pub async fn look(&self, width: u32, scheme: &str) {
        let size = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.command("goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    /// Writes a picture of the whole page.
    pub async fn picture(&self, path: &Path) {
        let taken = self.devtools("Page.captureScreenshot", json!({ "captureBeyondViewport": true })).await;
        write_picture(path, &taken["data"]);
    }

    /// Writes a picture of the upper part of the page, four fifths as large. Unit: CSS pixels.
    pub async fn upper_part(&self, width: u32, height: u32, path: &Path) {
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 0.8 });
        let taken = self.devtools("Page.captureScreenshot", json!({ "clip": clip })).await;
        write_picture(path, &taken["data"]);
    }

    /// Runs axe-core, whose source this is, on the page; returns each rule that the page violates, with the places and why.
    pub async fn violations(&self, axe: &str) -> Vec<String> {
        let run = "const end = arguments[arguments.length - 1];
            axe.run({ resultTypes: ['violations'] }).then(({ violations }) => end(violations.map(({ id, nodes }) =>
            id + ': ' + nodes.map(node => node.html + ' ' + node.failureSummary).join('; '))), error => end([String(error)]))";
        let found = self.command("execute/async", json!({ "script": format!("{axe};{run}"), "args": [] })).await;
        found.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    }

    /// What the page wrote to the log of the browser since the last call: errors of scripts, refused loads.
    pub async fn log(&self) -> Vec<String> {
        let lines = self.command("se/log", json!({ "type": "browser" })).await;
        lines.as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browsers before itself; a panic of the test ends them as well.
        if let Ok(mut socket) = TcpStream::connect(self.address) {
            let _ = socket.set_read_timeout(Some(TIMEOUT));
            let _ = write!(socket, "GET /shutdown HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let _ = socket.read_to_end(&mut Vec::new());
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn write_picture(path: &Path, base64: &Value) {
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64.as_str().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// The folder of the pictures, below `target`.
pub fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("console");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
