//! The report of a device about itself: whether it can be updated now, and what it is. Not part of AWS IoT Jobs: one retained
//! message a device, on a topic outside `$aws/`, which every broker carries. Nothing in a job depends on it.

use crate::error::{EmitError, FieldError, ParseError};
use crate::ids::ThingName;
use crate::json::RawJson;
use crate::json_writer::JsonWriter;
use crate::limits::REPORT_TEXT_BYTES_MAX;
use crate::text::JsonStr;
use crate::topic::join;
use crate::value::{Fields, MESSAGE};

const PREFIX: &str = "ota/things/";
const END: &str = "/report";

/// The filter for the reports of all devices.
pub const FILTER: &str = "ota/things/+/report";

/// What a device reports about itself: when it connects, and when its availability changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report<'a> {
    /// Whether an update could begin now.
    pub available: bool,
    /// Why it could not: what the device is busy with.
    pub reason: Option<JsonStr<'a>>,
    /// Hardware id, as in image headers.
    pub hardware: Option<JsonStr<'a>>,
    /// Version of the running app.
    pub version: Option<JsonStr<'a>>,
    /// Version of the running system firmware.
    pub system_version: Option<JsonStr<'a>>,
    /// Images with a lower security counter are rejected.
    pub security_counter: Option<u32>,
}

impl<'a> Report<'a> {
    /// Parses the report. Only `available` is required; other members are ignored.
    ///
    /// Errors: [`ParseError`], also for a text of more than [`REPORT_TEXT_BYTES_MAX`] bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut fields = Fields::envelope(RawJson::parse(bytes)?, MESSAGE);
        let available = fields.parsed("available");
        let report = Self {
            available: fields.required("available", available),
            reason: short(&mut fields, "reason"),
            hardware: short(&mut fields, "hardware"),
            version: short(&mut fields, "version"),
            system_version: short(&mut fields, "systemVersion"),
            security_counter: fields.within("securityCounter", 0, u32::MAX),
        };
        fields.finish().map(|()| report)
    }

    /// Writes the report and returns its length.
    ///
    /// Errors: [`EmitError::BufferTooSmall`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = JsonWriter::new(out);
        writer.flag("available", Some(self.available));
        writer.text("reason", self.reason);
        writer.text("hardware", self.hardware);
        writer.text("version", self.version);
        writer.text("systemVersion", self.system_version);
        writer.number("securityCounter", self.security_counter.map(u64::from));
        writer.finish()
    }
}

fn short<'a>(fields: &mut Fields<'a>, field: &'static str) -> Option<JsonStr<'a>> {
    let text = fields.text(field)?;
    let got = text.chars().map(char::len_utf8).sum();
    if got > REPORT_TEXT_BYTES_MAX {
        fields.refuse(FieldError::TooLong { field, got, max: REPORT_TEXT_BYTES_MAX }.into());
        return None;
    }
    Some(text)
}

/// Writes the topic of the report of `thing` and returns it: at most [`TOPIC_BYTES_MAX`](crate::limits::TOPIC_BYTES_MAX) bytes.
///
/// Errors: [`EmitError::BufferTooSmall`].
pub fn topic<'o>(thing: &str, out: &'o mut [u8]) -> Result<&'o str, EmitError> {
    join(out, &[PREFIX, thing, END])
}

/// The thing whose report has this topic; `None` if it is another topic.
pub fn thing_of(topic: &str) -> Option<&str> {
    let thing = topic.strip_prefix(PREFIX)?.strip_suffix(END)?;
    ThingName::check(thing).is_ok().then_some(thing)
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use super::*;

    const FULL: &[u8] = br#"{"available":false,"reason":"the pump \"runs\"","hardware":"board-1","version":"2.1.0","systemVersion":"1.0.0","securityCounter":3}"#;

    fn full() -> Report<'static> {
        Report {
            available: false,
            reason: Some("the pump \"runs\"".into()),
            hardware: Some("board-1".into()),
            version: Some("2.1.0".into()),
            system_version: Some("1.0.0".into()),
            security_counter: Some(3),
        }
    }

    #[test]
    fn a_report_is_written_to_the_byte_and_comes_back_as_it_was() {
        let mut out = [0; 256];
        let len = full().emit(&mut out).unwrap();
        assert_eq!(core::str::from_utf8(&out[..len]), core::str::from_utf8(FULL));
        assert_eq!(Report::parse(FULL), Ok(full()));
        let least = Report { available: true, ..Report::default() };
        let len = least.emit(&mut out).unwrap();
        assert_eq!((&out[..len], Report::parse(&out[..len])), (&br#"{"available":true}"#[..], Ok(least)));
    }

    #[test]
    fn what_is_no_report_is_refused_by_name() {
        let missing = ParseError::Missing { field: "available" };
        assert_eq!(Report::parse(br#"{"hardware":"board"}"#), Err(missing));
        for bad in [r#"{"available":1}"#, r#"{"available":true,"version":2}"#, "7"] {
            assert_eq!(Report::parse(bad.as_bytes()), Err(ParseError::WrongType { field: MESSAGE }), "{bad}");
        }
        let long = std::format!(r#"{{"available":true,"reason":"{}"}}"#, "x".repeat(REPORT_TEXT_BYTES_MAX + 1));
        let too_long =
            FieldError::TooLong { field: "reason", got: REPORT_TEXT_BYTES_MAX + 1, max: REPORT_TEXT_BYTES_MAX };
        assert_eq!(Report::parse(long.as_bytes()), Err(too_long.into()));
        let counter = Report::parse(br#"{"available":true,"securityCounter":4294967296}"#);
        assert!(matches!(counter, Err(ParseError::OutOfRange { field: "securityCounter", .. })), "{counter:?}");
    }

    #[test]
    fn a_topic_names_its_thing_and_no_other_topic_does() {
        let mut out = [0; crate::limits::TOPIC_BYTES_MAX];
        let topic = String::from(topic("room:3", &mut out).unwrap());
        assert_eq!((topic.as_str(), thing_of(&topic)), ("ota/things/room:3/report", Some("room:3")));
        for other in [
            "ota/things//report",
            "ota/things/a/b/report",
            "ota/things/+/report",
            "$aws/things/a/report",
            "ota/things/a",
        ] {
            assert_eq!(thing_of(other), None, "{other}");
        }
    }
}
