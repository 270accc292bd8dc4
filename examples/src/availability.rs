//! What the Linux device reports about itself: the version that runs, and whether it can be updated. A file holds updates while
//! it exists; its content is what the device is busy with.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ota_agent::transport::QoS;
use ota_agent::{Command, Outgoing};
use ota_jobs::limits::{REPORT_TEXT_BYTES_MAX, TOPIC_BYTES_MAX};
use ota_jobs::report::{self, Report};

/// How often the file is looked for.
const INTERVAL: Duration = Duration::from_millis(500);
/// A report with all texts at their longest, each character escaped.
const PAYLOAD_BYTES: usize = 4096;

/// Whether updates are held, and the reports about it.
pub struct Availability {
    file: Option<PathBuf>,
    topic: String,
    hardware: &'static str,
    version: &'static str,
    /// What holds updates.
    held: Option<String>,
    /// Whether the report of this state was passed to the connection.
    is_reported: bool,
    payload: Vec<u8>,
}

impl Availability {
    /// For the device `thing` with this hardware id, which runs `version`; `file` holds updates while it exists.
    pub fn new(thing: &str, hardware: &'static str, version: &'static str, file: Option<PathBuf>) -> Self {
        let mut topic = [0; TOPIC_BYTES_MAX];
        // The agent does not start with a name that is too long.
        let topic = report::topic(thing, &mut topic).unwrap_or_default().to_owned();
        let mut availability =
            Self { file, topic, hardware, version, held: None, is_reported: false, payload: Vec::new() };
        availability.look();
        availability
    }

    /// Whether updates are held now.
    pub fn is_held(&mut self) -> bool {
        self.look();
        self.held.is_some()
    }

    /// The broker may not have received the last report: it is sent again.
    pub fn disconnected(&mut self) {
        self.is_reported = false;
    }

    /// The report, unless it was sent.
    pub fn message(&mut self) -> Option<Outgoing<'_>> {
        if self.is_reported {
            return None;
        }
        let report = Report {
            available: self.held.is_none(),
            reason: self.held.as_deref().map(Into::into),
            hardware: Some(self.hardware.into()),
            version: Some(self.version.into()),
            ..Report::default()
        };
        let mut payload = [0; PAYLOAD_BYTES];
        let len = report.emit(&mut payload).expect("its texts are short");
        self.payload = payload[..len].to_vec();
        self.is_reported = true;
        Some(Outgoing { topic: &self.topic, payload: &self.payload, qos: QoS::AtLeastOnce, retain: true })
    }

    /// Waits for the next change: a hold that begins is reported, one that ends also lets the update go on.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn changed(&mut self) -> Command {
        while !self.look() {
            tokio::time::sleep(INTERVAL).await;
        }
        if self.held.is_some() { Command::Publish } else { Command::Ask }
    }

    /// Looks for the file; returns whether that changed something.
    fn look(&mut self) -> bool {
        let content = self.file.as_deref().and_then(|file| fs::read(file).ok());
        let held = content.map(|content| reason(&String::from_utf8_lossy(&content)));
        if held == self.held {
            return false;
        }
        self.held = held;
        self.is_reported = false;
        true
    }
}

/// The first line, as much of it as a report takes.
fn reason(content: &str) -> String {
    let line = content.lines().next().unwrap_or_default().trim();
    let mut reason = String::new();
    for char in line.chars().filter(|char| !char.is_control()) {
        if reason.len() + char.len_utf8() > REPORT_TEXT_BYTES_MAX {
            break;
        }
        reason.push(char);
    }
    if reason.is_empty() { "held".to_owned() } else { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(availability: &mut Availability) -> Option<String> {
        availability.message().map(|message| {
            assert_eq!((message.topic, message.retain), ("ota/things/lamp/report", true));
            String::from_utf8_lossy(message.payload).into_owned()
        })
    }

    #[test]
    fn a_hold_is_reported_once_and_again_after_each_connection() {
        let file = std::env::temp_dir().join(format!("ota-hold-{}", std::process::id()));
        let mut availability = Availability::new("lamp", "demo-linux", "1.0.0", Some(file.clone()));
        let free = r#"{"available":true,"hardware":"demo-linux","version":"1.0.0"}"#;
        assert_eq!(payload(&mut availability).as_deref(), Some(free));
        assert_eq!((availability.is_held(), payload(&mut availability)), (false, None));
        fs::write(&file, "the pump runs\nsecond line").expect("a temporary file");
        assert!(availability.is_held());
        let held = payload(&mut availability).expect("a report");
        assert!(held.starts_with(r#"{"available":false,"reason":"the pump runs","#), "{held}");
        availability.disconnected();
        assert_eq!(payload(&mut availability), Some(held));
        fs::remove_file(&file).expect("it is there");
        assert!(!availability.is_held());
        assert_eq!(payload(&mut availability).as_deref(), Some(free));
    }

    #[test]
    fn the_longest_report_fits() {
        let content = "\"".repeat(1000);
        let mut availability = Availability::new(&"t".repeat(128), "demo-linux", "1.0.0", None);
        availability.held = Some(reason(&content));
        let report = availability.message().expect("a report").payload.to_vec();
        assert!(Report::parse(&report).is_ok());
    }
}
