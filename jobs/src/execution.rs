//! A job execution as the service describes it: in full, as its state, or as a summary in a list. Not a message by
//! itself.

use crate::error::ParseError;
use crate::ids::JobId;
use crate::json::RawJson;
use crate::json_writer::JsonWriter;
use crate::scan::Scanner;
use crate::status::Status;
use crate::value::Fields;

/// The execution of a job on one thing. Unit of all times: seconds since 1970.
///
/// Source: AWS IoT developer guide, "JobExecution". `thingName` is absent in what AWS sends over MQTT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution<'a> {
    /// The job.
    pub job_id: JobId,
    /// The thing.
    pub thing_name: Option<&'a str>,
    /// Its status.
    pub status: Status,
    /// Details last reported by the device.
    pub status_details: Option<RawJson<'a>>,
    /// When it was queued.
    pub queued_at: Option<u64>,
    /// When it was started.
    pub started_at: Option<u64>,
    /// When it was updated last.
    pub last_updated_at: Option<u64>,
    /// Version; starts at 1 and is incremented by every update.
    pub version_number: u64,
    /// Execution number, unique on this thing.
    pub execution_number: Option<u64>,
    /// Time until the execution times out. Unit: seconds, accurate to a minute.
    pub approximate_seconds_before_timed_out: Option<u64>,
    /// The job document, unparsed; absent if it was not requested.
    pub document: Option<RawJson<'a>>,
}

impl<'a> Execution<'a> {
    pub(crate) fn read(json: RawJson<'a>) -> Result<Self, ParseError> {
        let mut fields = Fields::envelope(json, "execution");
        let (job_id, status, version_number) = (fields.job_id(), fields.status(), fields.version());
        let document = fields.raw("jobDocument");
        fields.needed()?;
        Ok(Self {
            job_id,
            thing_name: fields.thing_name(),
            status,
            status_details: fields.raw("statusDetails"),
            queued_at: fields.number("queuedAt"),
            started_at: fields.number("startedAt"),
            last_updated_at: fields.number("lastUpdatedAt"),
            version_number,
            execution_number: fields.number("executionNumber"),
            approximate_seconds_before_timed_out: fields.number("approximateSecondsBeforeTimedOut"),
            document,
        })
    }

    /// Writes the members.
    pub(crate) fn write(&self, writer: &mut JsonWriter<'_>) {
        writer.plain("jobId", Some(self.job_id.as_str()));
        writer.plain("thingName", self.thing_name);
        writer.plain("status", Some(self.status.as_str()));
        writer.raw("statusDetails", self.status_details);
        writer.number("queuedAt", self.queued_at);
        writer.number("startedAt", self.started_at);
        writer.number("lastUpdatedAt", self.last_updated_at);
        writer.number("versionNumber", Some(self.version_number));
        writer.number("executionNumber", self.execution_number);
        writer.number("approximateSecondsBeforeTimedOut", self.approximate_seconds_before_timed_out);
        writer.raw("jobDocument", self.document);
    }
}

/// State of an execution, in the response to an update.
///
/// Source: AWS IoT developer guide, "JobExecutionState".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionState<'a> {
    /// Its status.
    pub status: Status,
    /// Details last reported by the device.
    pub status_details: Option<RawJson<'a>>,
    /// Its current version.
    pub version_number: u64,
}

impl<'a> ExecutionState<'a> {
    pub(crate) fn read(json: RawJson<'a>) -> Result<Self, ParseError> {
        let mut fields = Fields::envelope(json, STATE);
        let (status, version_number) = (fields.status(), fields.version());
        fields.needed()?;
        Ok(Self { status, status_details: fields.raw("statusDetails"), version_number })
    }

    /// Writes the member `executionState`.
    pub(crate) fn write(&self, writer: &mut JsonWriter<'_>) {
        writer.open_member(STATE, b"{");
        writer.plain("status", Some(self.status.as_str()));
        writer.raw("statusDetails", self.status_details);
        writer.number("versionNumber", Some(self.version_number));
        writer.close(b"}");
    }
}

const STATE: &str = "executionState";

/// Summary of an execution in a list. Unit of all times: seconds since 1970.
///
/// Source: AWS IoT developer guide, "JobExecutionSummary".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The job.
    pub job_id: JobId,
    /// When it was queued.
    pub queued_at: Option<u64>,
    /// When it was started.
    pub started_at: Option<u64>,
    /// When it was updated last.
    pub last_updated_at: Option<u64>,
    /// Its current version.
    pub version_number: u64,
    /// Execution number, unique on this thing.
    pub execution_number: Option<u64>,
}

impl Summary {
    fn read(json: RawJson<'_>) -> Result<Self, ParseError> {
        let mut fields = Fields::envelope(json, "summary");
        let (job_id, version_number) = (fields.job_id(), fields.version());
        fields.needed()?;
        Ok(Self {
            job_id,
            queued_at: fields.number("queuedAt"),
            started_at: fields.number("startedAt"),
            last_updated_at: fields.number("lastUpdatedAt"),
            version_number,
            execution_number: fields.number("executionNumber"),
        })
    }

    /// Writes the members.
    fn write(&self, writer: &mut JsonWriter<'_>) {
        writer.plain("jobId", Some(self.job_id.as_str()));
        writer.number("queuedAt", self.queued_at);
        writer.number("startedAt", self.started_at);
        writer.number("lastUpdatedAt", self.last_updated_at);
        writer.number("versionNumber", Some(self.version_number));
        writer.number("executionNumber", self.execution_number);
    }
}

/// A list of executions: parsed lazily from its message, or borrowed from the caller to be written.
#[derive(Clone, Copy, Debug)]
pub struct Summaries<'a>(List<'a>);

#[derive(Clone, Copy, Debug)]
enum List<'a> {
    Read(RawJson<'a>),
    Given(&'a [Summary]),
}

impl<'a> Summaries<'a> {
    /// Creates a list to be written.
    pub const fn new(summaries: &'a [Summary]) -> Self {
        Self(List::Given(summaries))
    }

    /// Reads the array with this key; an absent one is an empty list.
    pub(crate) fn read(fields: &mut Fields<'a>, field: &'static str) -> Self {
        match fields.raw(field) {
            None => Self::new(&[]),
            Some(array) => {
                if !array.is_array() {
                    fields.refuse(ParseError::WrongType { field });
                }
                Self(List::Read(array))
            }
        }
    }

    /// Writes the list as a member.
    pub(crate) fn write(&self, writer: &mut JsonWriter<'_>, key: &str) {
        match self.0 {
            List::Read(array) => writer.raw(key, Some(array)),
            List::Given(given) => {
                writer.open_member(key, b"[");
                for summary in given {
                    writer.open_element(b"{");
                    summary.write(writer);
                    writer.close(b"}");
                }
                writer.close(b"]");
            }
        }
    }

    /// Returns the executions in the service's order. An element that cannot be parsed is an error by itself.
    pub fn iter(&self) -> impl Iterator<Item = Result<Summary, ParseError>> + use<'a> {
        let (read, given) = match self.0 {
            List::Read(array) => (Some(array), [].as_slice()),
            List::Given(given) => (None, given),
        };
        let read = read.into_iter().flat_map(|array| array.elements()).map(Summary::read);
        read.chain(given.iter().cloned().map(Ok))
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        match self.0 {
            List::Read(array) => array.elements().next().is_none(),
            List::Given(given) => given.is_empty(),
        }
    }
}

/// Returns the id of the job in a message with an execution, even if the rest of the message cannot be parsed.
///
/// With it a job whose document is malformed or nested too deeply can still be rejected. The id is found if it precedes
/// the malformed part; AWS writes it first.
pub fn job_of(message: &[u8]) -> Option<JobId> {
    let text = match core::str::from_utf8(message) {
        Ok(text) => text,
        Err(error) => core::str::from_utf8(message.get(..error.valid_up_to())?).ok()?,
    };
    let mut scanner = Scanner::new(text);
    enter(&mut scanner, "execution")?;
    enter(&mut scanner, "jobId")?;
    let id = scanner.value().ok()?;
    JobId::new(id.strip_prefix('"')?.strip_suffix('"')?).ok()
}

/// Advances into an object to the value of `key`.
fn enter(scanner: &mut Scanner<'_>, key: &str) -> Option<()> {
    scanner.space();
    if scanner.peek() != Some(b'{') {
        return None;
    }
    loop {
        scanner.step(); // over the brace, then over each comma
        scanner.space();
        if scanner.key().ok()? == key {
            scanner.space();
            return Some(());
        }
        scanner.value().ok()?;
        scanner.space();
        if scanner.peek() != Some(b',') {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Execution<'_>, ParseError> {
        Execution::read(RawJson::parse(text.as_bytes())?)
    }

    #[test]
    fn what_a_device_cannot_do_without_is_missed_by_name() {
        for (text, field) in [
            (r#"{"status":"QUEUED","versionNumber":1}"#, "jobId"),
            (r#"{"jobId":"j","versionNumber":1}"#, "status"),
            (r#"{"jobId":"j","status":"QUEUED","versionNumber":null}"#, "versionNumber"),
        ] {
            assert_eq!(read(text), Err(ParseError::Missing { field }), "{text}");
        }
        let least = read(r#"{"jobId":"j","status":"QUEUED","versionNumber":1}"#).unwrap();
        assert_eq!((least.queued_at, least.document, least.thing_name), (None, None, None));
    }

    #[test]
    fn what_is_wrong_is_refused_by_name() {
        let with = |more: &str| format!(r#"{{"jobId":"j","status":"QUEUED","versionNumber":1{more}}}"#);
        let text = with(r#","jobDocument":{},"jobDocument":{}"#);
        assert_eq!(read(&text), Err(ParseError::Duplicate { field: "jobDocument" }));
        let text = r#"{"jobId":"j","status":"SLEEPING","versionNumber":1}"#;
        assert_eq!(read(text), Err(ParseError::Invalid { field: "status" }));
        assert!(matches!(read("[]"), Err(ParseError::WrongType { field: "execution" })));
    }

    #[test]
    fn names_of_full_length_fit_and_longer_ones_are_refused_by_number() {
        let text = |job: usize, thing: usize| {
            let (job, thing) = ("j".repeat(job), "t".repeat(thing));
            format!(r#"{{"jobId":"{job}","thingName":"{thing}","status":"QUEUED","versionNumber":1}}"#)
        };
        assert_eq!(read(&text(64, 128)).unwrap().thing_name.unwrap().len(), 128);
        let too_long = |field, got, max| Err(ParseError::Field(crate::error::FieldError::TooLong { field, got, max }));
        assert_eq!(read(&text(65, 128)), too_long("jobId", 65, 64));
        assert_eq!(read(&text(64, 129)).unwrap().thing_name, None);
    }

    #[test]
    fn a_field_that_a_device_does_not_need_reads_as_absent_if_it_is_of_another_type() {
        let least = read(r#"{"jobId":"j","status":"QUEUED","versionNumber":1}"#).unwrap();
        for field in [
            r#""thingName":7"#,
            r#""thingName":"a b""#,
            r#""queuedAt":"yesterday""#,
            r#""startedAt":-1"#,
            r#""lastUpdatedAt":18446744073709551616"#,
            r#""lastUpdatedAt":1.5"#,
            r#""executionNumber":{}"#,
            r#""executionNumber":1,"executionNumber":2"#,
            r#""approximateSecondsBeforeTimedOut":[]"#,
            r#""jobDocument":null"#,
        ] {
            let text = format!(r#"{{"jobId":"j","status":"QUEUED","versionNumber":1,{field}}}"#);
            assert_eq!(read(&text).as_ref(), Ok(&least), "{field}");
        }
    }

    #[test]
    fn times_of_the_size_of_milliseconds_do_not_overflow() {
        let text = r#"{"jobId":"j","status":"QUEUED","versionNumber":9223372036854775807,"queuedAt":1602795143000}"#;
        let execution = read(text).unwrap();
        assert_eq!((execution.queued_at, execution.version_number), (Some(1_602_795_143_000), i64::MAX as u64));
    }

    #[test]
    fn the_job_of_a_message_that_cannot_be_read_has_a_name() {
        let deep = "[".repeat(50_000);
        for broken in [deep.as_str(), "{\"a\":nil}", "", "\"\\x"] {
            let text = format!(
                r#"{{"timestamp":1,"execution":{{"status":"QUEUED","jobId":"AFR_OTA-7","jobDocument":{broken}"#
            );
            assert_eq!(job_of(text.as_bytes()), JobId::new("AFR_OTA-7").ok(), "{broken:.9}");
        }
        assert_eq!(job_of(b"{\"execution\":{\"jobId\":\"a\",\"x\":\"\xff"), JobId::new("a").ok());
        for text in [
            "",
            "{}",
            "[]",
            r#"{"execution":{}}"#,
            r#"{"execution":{"jobId":7}}"#,
            r#"{"jobId":"a"}"#,
            r#"{"execution":{"jobId":"a/b"}}"#,
        ] {
            assert_eq!(job_of(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn every_field_of_an_execution_is_read_and_written_to_the_byte() {
        let text = r#"{"jobId":"j","thingName":"t","status":"TIMED_OUT","statusDetails":{"a":"b"},"queuedAt":1,"startedAt":2,"lastUpdatedAt":3,"versionNumber":4,"executionNumber":5,"approximateSecondsBeforeTimedOut":6,"jobDocument":[7]}"#;
        let want = Execution {
            job_id: JobId::new("j").unwrap(),
            thing_name: Some("t"),
            status: Status::TimedOut,
            status_details: Some(RawJson::parse(br#"{"a":"b"}"#).unwrap()),
            queued_at: Some(1),
            started_at: Some(2),
            last_updated_at: Some(3),
            version_number: 4,
            execution_number: Some(5),
            approximate_seconds_before_timed_out: Some(6),
            document: Some(RawJson::parse(b"[7]").unwrap()),
        };
        assert_eq!(read(text), Ok(want.clone()));
        let mut out = [0; 256];
        let mut writer = JsonWriter::new(&mut out);
        want.write(&mut writer);
        let len = writer.finish().unwrap();
        assert_eq!(core::str::from_utf8(&out[..len]), Ok(text));
    }

    #[test]
    fn every_field_of_a_summary_is_read_and_written_to_the_byte() {
        let text = r#"{"k":[{"jobId":"j","queuedAt":1,"startedAt":2,"lastUpdatedAt":3,"versionNumber":4,"executionNumber":5},{"jobId":"j","queuedAt":1,"startedAt":2,"lastUpdatedAt":3,"versionNumber":4,"executionNumber":5}]}"#;
        let summary = Summary {
            job_id: JobId::new("j").unwrap(),
            queued_at: Some(1),
            started_at: Some(2),
            last_updated_at: Some(3),
            version_number: 4,
            execution_number: Some(5),
        };
        let both = [summary.clone(), summary];
        let json = RawJson::parse(text.as_bytes()).unwrap();
        let mut fields = Fields::envelope(json, "message");
        let list = Summaries::read(&mut fields, "k");
        assert_eq!(fields.finish(), Ok(()));
        assert!(list.iter().map(Result::unwrap).eq(both.iter().cloned()));
        for list in [Summaries::new(&both), list] {
            let mut out = [0; 256];
            let mut writer = JsonWriter::new(&mut out);
            list.write(&mut writer, "k");
            let len = writer.finish().unwrap();
            assert_eq!(core::str::from_utf8(&out[..len]), Ok(text));
            assert!(!list.is_empty());
        }
        assert!(Summaries::new(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_job_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = job_of(&bytes);
        }
    }
}
