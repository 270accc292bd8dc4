//! Logging: one line per message on stdout, errors on stderr.
//! A separate thread writes, so that a slow reader of stdout does not delay devices.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use serde::Serialize;

use super::line_limit::{LineLimit, Verdict};
use crate::clock::now_ms;
use crate::limits::{LOG_LINES_QUEUED_MAX, QUOTE_CHARS_MAX};
use crate::visible::visible;

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Human-readable.
    Text,
    /// One JSON object per line: `t` (milliseconds since 1970), `dir`, `topic`, `thing`, `text`.
    Json,
    /// No message lines.
    Quiet,
}

/// Direction of a message, seen from the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a device.
    In,
    /// To a device.
    Out,
}

/// Writes log lines; clones share one writer.
#[derive(Clone, Debug)]
pub struct Log {
    format: Format,
    lines: SyncSender<String>,
    dropped: Arc<AtomicU64>,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

#[derive(Serialize)]
struct Line<'a> {
    t: u64,
    dir: &'a str,
    topic: &'a str,
    thing: &'a str,
    text: &'a str,
}

impl Log {
    /// Creates a log on stdout.
    pub fn new(format: Format) -> Self {
        let (lines, rest) = sync_channel(LOG_LINES_QUEUED_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        let writer = std::thread::spawn(move || write_all(&rest, &counter));
        Self { format, lines, dropped, writer: Arc::new(Mutex::new(Some(writer))) }
    }

    /// Logs one message between a thing and the service.
    pub fn message(&self, direction: Direction, topic: &str, thing: &str, text: &str) {
        let dir = match direction {
            Direction::In => "in",
            Direction::Out => "out",
        };
        let t = now_ms();
        let line = match self.format {
            Format::Json => serde_json::to_string(&Line { t, dir, topic, thing, text }).expect("plain text is JSON"),
            Format::Text => text_line(t, dir, topic, text),
            Format::Quiet => return,
        };
        self.line(line);
    }

    /// Writes a line unchanged; used for the ready line.
    pub fn line(&self, line: String) {
        if let Err(TrySendError::Full(_)) = self.lines.try_send(line) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all queued lines are written, with a timeout. Blocks; nothing may be logged afterwards.
    pub fn finish(self) {
        let Self { lines, writer, .. } = self;
        drop(lines);
        let writer = writer.lock().ok().and_then(|mut writer| writer.take());
        // The writer ends when all clones are dropped; it is not waited for beyond the timeout.
        if let Some(writer) = writer {
            let deadline = std::time::Instant::now() + crate::limits::STOP_TIMEOUT / 4;
            while !writer.is_finished() && std::time::Instant::now() < deadline {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        }
    }
}

/// A topic is untrusted like a payload: MQTT allows line breaks in it.
fn text_line(t: u64, dir: &str, topic: &str, text: &str) -> String {
    format!("{} {dir:<3} {}  {text}", time_of_day(t), quote(topic.as_bytes()))
}

fn write_all(lines: &Receiver<String>, dropped: &AtomicU64) {
    let mut out = std::io::stdout();
    for line in lines {
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            report_error(format_args!("{lost} log lines were dropped, stdout is read too slowly"));
        }
        // A closed stdout does not stop the service.
        let _ = writeln!(out, "{line}");
        let _ = out.flush();
    }
}

/// Writes an error to stderr, at most [`ERROR_LINES_MAX`](crate::limits::ERROR_LINES_MAX) in a second; errors of stderr are
/// ignored.
pub fn report_error(text: impl std::fmt::Display) {
    static LIMIT: Mutex<LineLimit> = Mutex::new(LineLimit::new());
    let verdict = LIMIT.lock().unwrap_or_else(PoisonError::into_inner).line(Instant::now());
    let Verdict::Write { omitted } = verdict else { return };
    let mut out = std::io::stderr();
    if omitted > 0 {
        let _ = writeln!(out, "ota-cloud: {omitted} lines about errors were omitted");
    }
    let _ = writeln!(out, "ota-cloud: {text}");
}

/// Returns untrusted text for a log line: control characters replaced, other hidden ones [`visible`], truncated to
/// [`QUOTE_CHARS_MAX`] before.
pub fn quote(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let plain = |c: char| if c.is_control() || c == '\u{FFFD}' { '.' } else { c };
    let quoted: String = text.chars().take(QUOTE_CHARS_MAX).map(plain).collect();
    let mut quoted = visible(&quoted, &[]).into_owned();
    if text.chars().nth(QUOTE_CHARS_MAX).is_some() {
        quoted.push_str("...");
    }
    quoted
}

fn time_of_day(t: u64) -> String {
    let (s, ms) = (t / 1000 % 86_400, t % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}", s / 3600, s / 60 % 60, s % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_cannot_break_a_line_or_flood_it() {
        assert_eq!(quote(b"a\nb\x1b[2Jc\xff"), "a.b.[2Jc.");
        assert_eq!(quote("a\u{202e}b".as_bytes()), "a\\u202eb");
        assert_eq!(quote(&[b'x'; 5000]).len(), QUOTE_CHARS_MAX + 3);
    }

    #[test]
    fn a_topic_cannot_forge_a_line() {
        let topic = "$aws/things/lamp/jobs/x\n12:00:00.000 in  $aws/things/door\x1b[31m/get";
        let line = text_line(0, "in", topic, "{}");
        assert_eq!(line, "00:00:00.000 in  $aws/things/lamp/jobs/x.12:00:00.000 in  $aws/things/door.[31m/get  {}");
    }

    #[test]
    fn the_time_of_day_is_read_from_milliseconds() {
        assert_eq!(time_of_day(86_400_000 * 19_000 + 3_723_045), "01:02:03.045");
    }
}
