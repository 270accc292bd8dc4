//! What a device reports in its status details, in words.

use std::collections::BTreeMap;

use ota_jobs::details::{CODE, REASON, RECEIVE, SELF_TEST, VERSION, WAITING, WAITING_RESET, WHY};

use crate::limits::DETAILS_CHARS_MAX;
use crate::reason;

/// Status details in words. All texts come from a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Received part of the image. Unit: per cent.
    pub percent: Option<u64>,
    /// Phase of the update, or what the device waits for.
    pub phase: String,
    /// Why the update failed or was rejected.
    pub reason: String,
    /// Version of the running image.
    pub version: String,
    /// All other details.
    pub other: String,
}

impl Report {
    /// Reads status details, a JSON object of strings.
    pub fn read(details: Option<&str>) -> Self {
        let Some(details) = details else { return Self::default() };
        let Ok(mut pairs) = serde_json::from_str::<BTreeMap<String, String>>(details) else {
            return Self { other: short(details), ..Self::default() };
        };
        let mut take = |key: &str| pairs.remove(key).unwrap_or_default();
        let (self_test, receive, name, code) = (take(SELF_TEST), take(RECEIVE), take(REASON), take(CODE));
        let (waiting, why, version) = (take(WAITING), take(WHY), take(VERSION));
        let other: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        Self {
            percent: percent(&receive),
            phase: short(&phase(&self_test, &waiting, &why)),
            reason: short(&reason_words(&name, &code, &self_test)),
            version: short(&version),
            other: short(&other.join(", ")),
        }
    }

    /// Whether there is nothing to show in a table of reports.
    pub fn is_empty(&self) -> bool {
        self.percent.is_none() && self.phase.is_empty() && self.reason.is_empty() && self.other.is_empty()
    }
}

/// `64/256` is 25.
fn percent(receive: &str) -> Option<u64> {
    let (done, total) = receive.split_once('/')?;
    let (done, total): (u64, u64) = (done.trim().parse().ok()?, total.trim().parse().ok()?);
    let percent = u128::from(done.min(total)) * 100 / u128::from(total.max(1));
    u64::try_from(percent).ok().filter(|_| total > 0)
}

/// Values: `ota_jobs::details::SelfTest`; others are shown as they are.
fn phase(self_test: &str, waiting: &str, why: &str) -> String {
    if !waiting.is_empty() {
        let step = if waiting == WAITING_RESET { "restart" } else { waiting };
        return format!("Waits for {step}{}", if why.is_empty() { String::new() } else { format!(": {why}") });
    }
    let words = match self_test {
        "receiving" => "Downloading",
        "ready" => "Verified, restarts soon",
        "active" => "On trial",
        "accepted" => "Confirmed",
        "rejected" => "",
        "aborted" => "Aborted",
        other => other,
    };
    words.to_owned()
}

fn reason_words(name: &str, code: &str, self_test: &str) -> String {
    // A success repeats its phase as the reason.
    if name == self_test {
        return String::new();
    }
    match Some(code).filter(|code| !code.is_empty()).or(Some(name)).and_then(reason::find) {
        Some(reason) => format!("{} ({})", reason.description(), reason.code_text().as_str()),
        None if code.is_empty() => name.to_owned(),
        None => format!("{name} ({code})"),
    }
}

fn short(text: &str) -> String {
    let mut short: String = text.chars().take(DETAILS_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_per_cent_and_never_more_than_all() {
        for (text, expected) in [
            ("64/256", Some(25)),
            ("256/256", Some(100)),
            ("300/256", Some(100)),
            ("1/0", None),
            ("", None),
            ("a/b", None),
            ("18446744073709551615/18446744073709551615", Some(100)),
        ] {
            assert_eq!(percent(text), expected, "{text}");
        }
    }

    #[test]
    fn a_known_reason_is_a_sentence_and_an_unknown_one_is_shown_as_it_is() {
        let read = |text: &str| Report::read(Some(text));
        let known = read(r#"{"self_test":"rejected","reason":"SignatureInvalid","code":"0x0501"}"#);
        assert!(known.reason.starts_with("The signature does not match") && known.reason.ends_with("(0x0501)"));
        assert_eq!(read(r#"{"reason":"WrongHardware"}"#).reason, "The image is for other hardware. (0x0204)");
        assert_eq!(read(r#"{"reason":"New","code":"0x0999"}"#).reason, "New (0x0999)");
        let done = read(r#"{"self_test":"accepted","reason":"accepted","version":"1.2.0"}"#);
        assert_eq!((done.phase, done.reason, done.version), ("Confirmed".into(), String::new(), "1.2.0".into()));
    }

    #[test]
    fn other_details_are_shown_up_to_a_length() {
        let wide = format!(r#"{{"a":"b","text":"{}"}}"#, "x".repeat(5000));
        let report = Report::read(Some(&wide));
        assert!(report.other.starts_with("a: b, text: xxx") && report.other.ends_with("x..."), "{report:?}");
        assert_eq!(report.other.len(), DETAILS_CHARS_MAX + 3);
        assert_eq!(Report::read(Some("7")).other, "7");
        let waiting = r#"{"self_test":"ready","waiting":"reset","why":"window"}"#;
        assert_eq!(Report::read(Some(waiting)).phase, "Waits for restart: window");
    }
}
