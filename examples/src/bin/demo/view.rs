//! From the lines of the processes to the words on the screen. A message is one row: where it left, and beside it where
//! it arrived.

use std::time::{Duration, Instant};

use ota_examples::lines::{Kind, Line};

use crate::screen::{Download, Screen};

/// Both ends of a message are read within this time, or it is shown with one.
const PAIR_WAIT: Duration = Duration::from_millis(150);

/// What `<- jobs/ID/update/accepted` leaves for the id in the device's column.
const ID_COLUMNS: usize = 11;
const ID_HEAD_COLUMNS: usize = 3;

/// What the device said last that later lines are counted from.
#[derive(Default)]
pub struct Uptime {
    started_ms: Option<u64>,
    reset_ms: Option<u64>,
    /// How long the image before the first reset was up. Unit: milliseconds.
    pub old_image_ms: Option<u64>,
    /// From that reset to the next program's first line. Unit: milliseconds.
    pub reset_took_ms: Option<u64>,
}

/// The messages that wait for their other end, and the requests for blocks, which are counted and not shown.
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
    /// The end that told of it.
    device: bool,
    to_cloud: bool,
    topic: String,
    text: String,
}

impl Uptime {
    /// What happened since the last call; the running program goes on being counted.
    pub fn take(&mut self) -> Uptime {
        let Self { started_ms, reset_ms, .. } = *self;
        std::mem::replace(self, Self { started_ms, reset_ms, ..Self::default() })
    }
}

impl View {
    /// Shows a line of the device; true once its job is settled.
    pub fn device(&mut self, text: &str, up: &mut Uptime, screen: &mut Screen) -> bool {
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

    /// Shows a line of the service, if it is about `thing`.
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

    /// Shows what waited in vain for its other end.
    pub fn flush(&mut self, screen: &mut Screen) {
        while let Some(at) = self.waiting.iter().position(|waiting| waiting.since.elapsed() >= PAIR_WAIT) {
            let message = self.waiting.remove(at).message;
            let (arrow, text) = (arrow(message.to_cloud), &message.text);
            let words = format!("{arrow} {} {text}", short(&message.topic));
            if message.device { screen.device(&words) } else { screen.cloud(&words) }
        }
    }

    fn message(&mut self, message: Message, screen: &mut Screen) {
        // Progress is a row of its own already; that it was taken is no news.
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

fn started(version: &str, at_ms: u64, up: &mut Uptime) -> String {
    let took = up.reset_ms.take().map(|reset| at_ms - reset);
    up.started_ms = Some(at_ms);
    up.reset_took_ms = up.reset_took_ms.or(took);
    match took {
        Some(ms) => format!("v{version} runs, {ms} ms after reset"),
        None => format!("v{version} runs"),
    }
}

fn reset(at_ms: u64, up: &mut Uptime) -> String {
    let was_up = at_ms - up.started_ms.unwrap_or(at_ms);
    up.reset_ms = Some(at_ms);
    up.old_image_ms = up.old_image_ms.or(Some(was_up));
    format!("reset, after {was_up} ms up")
}

fn download(text: &str) -> Option<Download> {
    let mut numbers = text.split(' ');
    let mut number = || numbers.next()?.parse().ok();
    let (done_bytes, total_bytes, rate_bytes_per_s) = (number()?, number()?, number()?);
    Some(Download { done_bytes, total_bytes, rate_bytes_per_s, left_ms: number() })
}

/// A notice in plain words; `None` for what the messages beside it say already.
fn words(notice: &str) -> Option<String> {
    let (name, detail) = notice.split_once(['(', ' ']).unwrap_or((notice, ""));
    let detail = detail.strip_suffix(')').unwrap_or(detail);
    Some(match name {
        "CheckStarted" | "NoUpdate" | "UpdateAvailable" | "DownloadSucceeded" | "Settled" => return None,
        "DownloadStarted" => "download starts".into(),
        "DownloadFailed" => format!("download failed: {detail}"),
        "VerifyStarted" => "all there: flash is read back".into(),
        "VerifySucceeded" => "digest and signature verified".into(),
        "VerifyFailed" => format!("refused: {detail}"),
        "Activated" => "boot record: try the new image".into(),
        "SelfTestStarted" => "the new image tests itself".into(),
        "Confirmed" => "test passed: image committed".into(),
        "RollingBack" => format!("test failed, roll back: {detail}"),
        "Concluded" => format!("journal: {detail}"),
        _ => notice.into(),
    })
}

/// A topic without what all of them have in common, and with a job's id that fits the column.
fn short(topic: &str) -> String {
    let rest = topic.strip_prefix("$aws/things/").and_then(|rest| rest.split_once('/')).map_or(topic, |(_, rest)| rest);
    let levels: Vec<String> = rest.split('/').map(elided).collect();
    levels.join("/")
}

/// An id with its middle left out, if the device's column would break it: the end is what differs.
fn elided(id: &str) -> String {
    let chars: Vec<char> = id.chars().collect();
    if chars.len() <= ID_COLUMNS {
        return id.to_owned();
    }
    let (head, tail) = (&chars[..ID_HEAD_COLUMNS], &chars[chars.len() - (ID_COLUMNS - ID_HEAD_COLUMNS - 2)..]);
    head.iter().chain(&['.', '.']).chain(tail).collect()
}

/// What a person wants to know of a message.
fn summary(payload: &str) -> String {
    let names = ["jobId", "status", "receive", "self_test", "reason", "code", "message"];
    let word = |name: &&str| {
        let text = string_field(payload, name)?;
        Some(if **name == *"jobId" { elided(&text) } else { text })
    };
    names.iter().filter_map(word).collect::<Vec<_>>().join(" ")
}

/// The first string with this name in a JSON text that one of our own programs wrote.
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
