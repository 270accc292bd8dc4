//! Converts log lines of the processes to rows on the screen. A message is one row: its sender in one column, its receiver
//! in the other.

use std::time::{Duration, Instant};

use ota_examples::lines::{Kind, Line};

use crate::screen::{Download, Screen};

/// A message that is reported by only one end within this time is shown alone.
const PAIR_WAIT: Duration = Duration::from_millis(150);

/// Columns left for the id in `<- jobs/ID/update/accepted`.
const ID_COLUMNS: usize = 11;
const ID_HEAD_COLUMNS: usize = 3;

/// Times of the device's last start and reset.
#[derive(Default)]
pub struct BootTimes {
    started_ms: Option<u64>,
    reset_ms: Option<u64>,
    /// How long the old image ran before the first reset. Unit: milliseconds.
    pub old_image_ms: Option<u64>,
    /// Time from that reset to the first line of the next program. Unit: milliseconds.
    pub reset_took_ms: Option<u64>,
}

/// Messages waiting for the line of their other end, and counters of block requests, which are not shown one by one.
#[derive(Default)]
pub struct View {
    waiting: Vec<Waiting>,
    requests: u32,
    request_bytes: u64,
}

struct Waiting {
    since: Instant,
    message: Message,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    /// Whether the device reported it.
    device: bool,
    to_cloud: bool,
    topic: String,
    text: String,
}

impl BootTimes {
    /// Returns the values since the last call and resets them; the running program's start time is kept.
    pub fn take(&mut self) -> BootTimes {
        let Self { started_ms, reset_ms, .. } = *self;
        std::mem::replace(self, Self { started_ms, reset_ms, ..Self::default() })
    }
}

impl View {
    /// Shows a line of the device; returns true when its job is settled.
    pub fn device(&mut self, text: &str, up: &mut BootTimes, screen: &mut Screen) -> bool {
        let Some(Line { at_ms, kind, topic, text }) = Line::parse(text) else {
            screen.device(text);
            return false;
        };
        match kind {
            Kind::Out => self.message(Message { device: true, to_cloud: true, topic, text: summary(&text) }, screen),
            Kind::In => self.message(Message { device: true, to_cloud: false, topic, text: summary(&text) }, screen),
            Kind::Start => self.say(&started(&text, at_ms, up), screen),
            Kind::Boot if text == "reset" => self.say(&reset(at_ms, up), screen),
            Kind::Boot => self.say(&text.replace("version ", "v"), screen),
            Kind::Progress => {
                if let Some(download) = download(&text) {
                    screen.download(download);
                }
            }
            Kind::Notice => return self.notice(&text, screen),
        }
        false
    }

    /// Shows a line of the service if it is about `thing`.
    pub fn cloud(&mut self, line: &str, thing: &str, screen: &mut Screen) {
        let field = |name: &str| string_field(line, name).unwrap_or_default();
        if field("thing") != thing {
            return;
        }
        let (to_cloud, topic, text) = (field("dir") == "in", field("topic"), field("text"));
        if topic.contains("/streams/") {
            self.requests += 1;
            let bytes = text.split_whitespace().zip(text.split_whitespace().skip(1)).find(|(_, unit)| *unit == "bytes");
            self.request_bytes += bytes.and_then(|(number, _)| number.parse::<u64>().ok()).unwrap_or(0);
            return;
        }
        let text = if text.starts_with('{') { summary(&text) } else { text };
        self.message(Message { device: false, to_cloud, topic, text }, screen);
    }

    /// Shows messages whose other end has not reported them in time.
    pub fn flush(&mut self, screen: &mut Screen) {
        while let Some(at) = self.waiting.iter().position(|waiting| waiting.since.elapsed() >= PAIR_WAIT) {
            let message = self.waiting.remove(at).message;
            let (arrow, text) = (arrow(message.to_cloud), &message.text);
            let words = format!("{arrow} {} {text}", short(&message.topic));
            if message.device { screen.device(&words) } else { screen.cloud(&words) }
        }
    }

    fn message(&mut self, message: Message, screen: &mut Screen) {
        // Progress has a row of its own; its acknowledgement is not shown.
        if message.topic.ends_with("/update/accepted") && message.text.contains("receiving") {
            return;
        }
        let other = |waiting: &Waiting| {
            let there = &waiting.message;
            there.device != message.device && there.to_cloud == message.to_cloud && there.topic == message.topic
        };
        let Some(at) = self.waiting.iter().position(other) else {
            self.waiting.push(Waiting { since: Instant::now(), message });
            return;
        };
        let there = self.waiting.remove(at).message;
        let cloud = if message.device { &there } else { &message };
        let arrow = arrow(message.to_cloud);
        screen.both(&format!("{arrow} {}", short(&message.topic)), &format!("{arrow} {}", cloud.text));
    }

    fn say(&mut self, words: &str, screen: &mut Screen) {
        self.flush(screen);
        screen.device(words);
    }

    fn notice(&mut self, text: &str, screen: &mut Screen) -> bool {
        if text == "VerifyStarted" && self.requests > 0 {
            let (requests, kilobytes) = (self.requests, self.request_bytes / 1000);
            screen.both("-> streams/.../get/cbor", &format!("-> {requests} requests, {kilobytes} kB sent"));
            (self.requests, self.request_bytes) = (0, 0);
        }
        if let Some(words) = words(text) {
            self.say(&words, screen);
        }
        text == "Settled"
    }
}

fn arrow(to_cloud: bool) -> &'static str {
    if to_cloud { "->" } else { "<-" }
}

fn started(version: &str, at_ms: u64, up: &mut BootTimes) -> String {
    let took = up.reset_ms.take().map(|reset| at_ms - reset);
    up.started_ms = Some(at_ms);
    up.reset_took_ms = up.reset_took_ms.or(took);
    match took {
        Some(ms) => format!("v{version} started {ms} ms after reset"),
        None => format!("v{version} started"),
    }
}

fn reset(at_ms: u64, up: &mut BootTimes) -> String {
    let was_up = at_ms - up.started_ms.unwrap_or(at_ms);
    up.reset_ms = Some(at_ms);
    up.old_image_ms = up.old_image_ms.or(Some(was_up));
    format!("reset after {was_up} ms of uptime")
}

fn download(text: &str) -> Option<Download> {
    let mut numbers = text.split(' ');
    let mut number = || numbers.next()?.parse().ok();
    let (done_bytes, total_bytes, rate_bytes_per_s) = (number()?, number()?, number()?);
    Some(Download { done_bytes, total_bytes, rate_bytes_per_s, left_ms: number() })
}

/// Returns the text for a notice; `None` if the messages beside it show the same.
fn words(notice: &str) -> Option<String> {
    let (name, detail) = notice.split_once(['(', ' ']).unwrap_or((notice, ""));
    let detail = detail.strip_suffix(')').unwrap_or(detail);
    Some(match name {
        "CheckStarted" | "NoUpdate" | "UpdateAvailable" | "DownloadSucceeded" | "Settled" => return None,
        "DownloadStarted" => "download started".into(),
        "DownloadFailed" => format!("download failed: {detail}"),
        "VerifyStarted" => "all received, verifying the flash".into(),
        "VerifySucceeded" => "digest and signature verified".into(),
        "VerifyFailed" => format!("rejected: {detail}"),
        "Activated" => "boot record: trial of the new image".into(),
        "SelfTestStarted" => "self-test of the new image started".into(),
        "Confirmed" => "self-test passed: image committed".into(),
        "RollingBack" => format!("self-test failed, rolling back: {detail}"),
        "Concluded" => format!("journal: {detail}"),
        _ => notice.into(),
    })
}

/// Shortens a topic: without the prefix, and with an abbreviated job id.
fn short(topic: &str) -> String {
    let rest = topic.strip_prefix("$aws/things/").and_then(|rest| rest.split_once('/')).map_or(topic, |(_, rest)| rest);
    let levels: Vec<String> = rest.split('/').map(elided).collect();
    levels.join("/")
}

/// Abbreviates an id in the middle if it is too long for the column; ids differ at the end.
fn elided(id: &str) -> String {
    let chars: Vec<char> = id.chars().collect();
    if chars.len() <= ID_COLUMNS {
        return id.to_owned();
    }
    let (head, tail) = (&chars[..ID_HEAD_COLUMNS], &chars[chars.len() - (ID_COLUMNS - ID_HEAD_COLUMNS - 2)..]);
    head.iter().chain(&['.', '.']).chain(tail).collect()
}

/// Extracts the interesting fields of a message.
fn summary(payload: &str) -> String {
    let names = ["jobId", "status", "receive", "self_test", "reason", "code", "message"];
    let word = |name: &&str| {
        let text = string_field(payload, name)?;
        Some(if **name == *"jobId" { elided(&text) } else { text })
    };
    names.iter().filter_map(word).collect::<Vec<_>>().join(" ")
}

/// Returns the first string member with this name from JSON written by our own programs.
fn string_field(json: &str, name: &str) -> Option<String> {
    let rest = json.split_once(&format!("\"{name}\":\""))?.1;
    let mut text = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return Some(text),
            '\\' => text.push(chars.next()?),
            char => text.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_job_id_keeps_its_end_and_a_short_one_stays() {
        let topic = "$aws/things/demo-mqtt/jobs/AFR_OTA-7f0f2a1e-aaaa-bbbb-cccc-0123456789ab/update/accepted";
        assert_eq!(short(topic), "jobs/AFR..6789ab/update/accepted");
        assert_eq!(short("$aws/things/demo-http/jobs/forged-http/update"), "jobs/forged-http/update");
        assert_eq!(summary(r#"{"jobId":"AFR_OTA-0123456789","status":"QUEUED"}"#), "AFR..456789 QUEUED");
    }
}
