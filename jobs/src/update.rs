//! UpdateJobExecution: topics `jobs/{jobId}/update` and `jobs/{jobId}/update/accepted`.

use crate::error::{EmitError, ParseError};
use crate::execution::ExecutionState;
use crate::json::{self, RawJson, digits};
use crate::json_writer::JsonWriter;
use crate::status::Status;
use crate::text::JsonStr;
use crate::value::{Fields, MESSAGE};

/// Request to update the status of an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update<'a> {
    /// New status. The service accepts IN_PROGRESS, SUCCEEDED, FAILED and REJECTED.
    pub status: Status,
    /// Replaces the details, an object of strings; if absent, they are unchanged.
    pub status_details: Option<RawJson<'a>>,
    /// Version that the execution must have.
    pub expected_version: Option<u64>,
    /// Execution number; the newest if absent.
    pub execution_number: Option<u64>,
    /// Whether the response includes the execution's state.
    pub include_state: bool,
    /// Whether the response includes the job document.
    pub include_document: bool,
    /// Starts a timer for the next step. Unit: minutes.
    pub step_timeout_minutes: Option<i64>,
    /// Echoed in the response.
    pub client_token: Option<JsonStr<'a>>,
}

impl<'a> Update<'a> {
    /// Creates an update with a status and nothing else.
    pub const fn new(status: Status) -> Self {
        Self {
            status,
            status_details: None,
            expected_version: None,
            execution_number: None,
            include_state: false,
            include_document: false,
            step_timeout_minutes: None,
            client_token: None,
        }
    }

    /// Parses the request. `expectedVersion` may be a number or a string: AWS's examples show one, its SDKs send the
    /// other.
    ///
    /// Errors: [`ParseError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut fields = Fields::envelope(RawJson::parse(bytes)?, MESSAGE);
        let mut update = Self {
            execution_number: fields.number("executionNumber"),
            include_state: fields.parsed("includeJobExecutionState").unwrap_or(false),
            include_document: fields.parsed("includeJobDocument").unwrap_or(false),
            step_timeout_minutes: fields.parsed("stepTimeoutInMinutes"),
            client_token: fields.text("clientToken"),
            status_details: fields.raw("statusDetails"),
            ..Self::new(fields.status())
        };
        let expected_version = fields.raw("expectedVersion");
        fields.finish()?;
        update.expected_version = expected_version.map(version).transpose()?;
        Ok(update)
    }

    /// Writes the request and returns its length.
    ///
    /// Errors: [`EmitError::BufferTooSmall`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = JsonWriter::new(out);
        writer.plain("status", Some(self.status.as_str()));
        writer.raw("statusDetails", self.status_details);
        writer.number("expectedVersion", self.expected_version);
        writer.number("executionNumber", self.execution_number);
        writer.flag("includeJobExecutionState", self.include_state.then_some(true));
        writer.flag("includeJobDocument", self.include_document.then_some(true));
        writer.integer("stepTimeoutInMinutes", self.step_timeout_minutes);
        writer.text("clientToken", self.client_token);
        writer.finish()
    }
}

fn version(json: RawJson<'_>) -> Result<u64, ParseError> {
    const FIELD: &str = "expectedVersion";
    const VERSION_MAX: u64 = i64::MAX as u64; // AWS's model: a long
    let wrong = ParseError::WrongType { field: FIELD };
    if !json.as_str().starts_with('"') {
        return json.number(FIELD, 0, VERSION_MAX);
    }
    let text = json.text(FIELD)?.as_plain().ok_or(wrong)?;
    json::in_range(FIELD, digits(text).ok_or(wrong)?, 0, VERSION_MAX)
}

/// Response to an accepted update.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateResponse<'a> {
    /// State of the execution, if requested. Absent if it cannot be parsed.
    pub state: Option<ExecutionState<'a>>,
    /// The job document, unparsed, if requested.
    pub document: Option<RawJson<'a>>,
    /// Seconds since 1970.
    pub timestamp: Option<u64>,
    /// Client token of the request.
    pub client_token: Option<JsonStr<'a>>,
}

impl<'a> UpdateResponse<'a> {
    /// Parses the response.
    ///
    /// Errors: [`ParseError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut fields = Fields::envelope(RawJson::parse(bytes)?, MESSAGE);
        fields.needed()?;
        Ok(Self {
            state: fields.raw("executionState").and_then(|state| ExecutionState::read(state).ok()),
            document: fields.raw("jobDocument"),
            timestamp: fields.number("timestamp"),
            client_token: fields.text("clientToken"),
        })
    }

    /// Writes the response and returns its length.
    ///
    /// Errors: [`EmitError::BufferTooSmall`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = JsonWriter::new(out);
        writer.text("clientToken", self.client_token);
        writer.number("timestamp", self.timestamp);
        if let Some(state) = &self.state {
            state.write(&mut writer);
        }
        writer.raw("jobDocument", self.document);
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use proptest::prelude::*;

    use super::*;
    use crate::error::FieldError;

    /// The shape of AWS IoT developer guide, "Jobs device MQTT API operations", UpdateJobExecution: the version is in
    /// quotes.
    const WITH_STRING: &[u8] = br#"{ "status":"SUCCEEDED", "expectedVersion":"1", "clientToken":"client-001" }"#;
    /// Source: aws/aws-iot-device-sdk-js-v2, samples/node/jobs/README.md, a session with AWS.
    const ACCEPTED: &[u8] = br#"{"clientToken":"c75bfd7d-233d-47a2-8004-2ca20e5e84bf","timestamp":1719943955}"#;

    #[test]
    fn the_expected_version_is_taken_as_string_and_as_number() {
        let update = Update::parse(WITH_STRING).unwrap();
        assert_eq!((update.status, update.expected_version), (Status::Succeeded, Some(1)));
        let update = Update::parse(br#"{"status":"SUCCEEDED","expectedVersion":1}"#).unwrap();
        assert_eq!(update.expected_version, Some(1));
        let mut out = [0; 128];
        let len = update.emit(&mut out).unwrap();
        assert_eq!(&out[..len], br#"{"status":"SUCCEEDED","expectedVersion":1}"#);
    }

    #[test]
    fn an_expected_version_that_is_none_is_refused_by_name() {
        let wrong = ParseError::WrongType { field: "expectedVersion" };
        let out_of_range =
            ParseError::OutOfRange { field: "expectedVersion", got: 1 << 63, min: 0, max: i64::MAX as u64 };
        for (version, error) in [
            ("\"\"", wrong),
            ("\"one\"", wrong),
            ("\"1.0\"", wrong),
            ("-1", wrong),
            ("1.0", wrong),
            ("true", wrong),
            ("[1]", wrong),
            ("9223372036854775808", out_of_range),
            ("\"9223372036854775808\"", out_of_range),
        ] {
            let text = std::format!(r#"{{"status":"FAILED","expectedVersion":{version}}}"#);
            assert_eq!(Update::parse(text.as_bytes()), Err(error), "{version}");
        }
    }

    #[test]
    fn a_status_is_required_and_known() {
        assert_eq!(Update::parse(b"{}"), Err(ParseError::Missing { field: "status" }));
        assert_eq!(Update::parse(br#"{"status":null}"#), Err(ParseError::Missing { field: "status" }));
        assert_eq!(Update::parse(br#"{"status":"DONE"}"#), Err(ParseError::Invalid { field: "status" }));
        assert_eq!(Update::parse(br#"{"status":7}"#), Err(ParseError::WrongType { field: "message" }));
    }

    #[test]
    fn the_answer_of_a_real_session_is_read() {
        let updated = UpdateResponse::parse(ACCEPTED).unwrap();
        assert_eq!((updated.timestamp, updated.state.is_none()), (Some(1_719_943_955), true));
        assert_eq!(updated.client_token.unwrap(), "c75bfd7d-233d-47a2-8004-2ca20e5e84bf");
    }

    #[test]
    fn an_answer_is_taken_whatever_its_members_are() {
        for field in [
            r#""executionState":{"status":"SLEEPING","versionNumber":1}"#,
            r#""executionState":[]"#,
            r#""timestamp":null"#,
            r#""timestamp":-1"#,
            r#""clientToken":[]"#,
        ] {
            let text = std::format!("{{{field}}}");
            assert_eq!(UpdateResponse::parse(text.as_bytes()), Ok(UpdateResponse::default()), "{field}");
        }
        assert!(UpdateResponse::parse(b"[]").is_err());
    }

    #[test]
    fn an_answer_with_state_and_document_comes_back_as_it_was() {
        let updated = UpdateResponse {
            state: Some(ExecutionState {
                status: Status::InProgress,
                status_details: Some(RawJson::parse(br#"{"receive":"64/256"}"#).unwrap()),
                version_number: 3,
            }),
            document: Some(RawJson::parse(br#"{"any":[1]}"#).unwrap()),
            timestamp: Some(1),
            client_token: None,
        };
        let mut out = [0; 256];
        let len = updated.emit(&mut out).unwrap();
        let text = br#"{"timestamp":1,"executionState":{"status":"IN_PROGRESS","statusDetails":{"receive":"64/256"},"versionNumber":3},"jobDocument":{"any":[1]}}"#;
        assert_eq!(&out[..len], text);
        assert_eq!(UpdateResponse::parse(text), Ok(updated));
    }

    proptest! {
        #[test]
        fn an_update_comes_back_as_it_was(
            status in 0usize..8, version in proptest::option::of(0..=i64::MAX as u64), number: Option<u64>,
            flags: [bool; 2], minutes: Option<i64>, token in proptest::option::of(any::<String>()), value in "\\PC{1,20}",
        ) {
            use Status::{Canceled, Failed, InProgress, Queued, Rejected, Removed, Succeeded, TimedOut};
            let mut room = [0; 256];
            let mut details = crate::Details::new(&mut room);
            let fits: Result<(), crate::EmitError> = details.push("key", &value);
            prop_assume!(!matches!(fits, Err(crate::EmitError::Field(FieldError::Character { .. }))));
            let update = Update {
                status: [Queued, InProgress, Succeeded, Failed, TimedOut, Rejected, Removed, Canceled][status],
                status_details: Some(details.finish()),
                expected_version: version,
                execution_number: number,
                include_state: flags[0],
                include_document: flags[1],
                step_timeout_minutes: minutes.filter(|minutes| *minutes != i64::MIN),
                client_token: token.as_deref().map(JsonStr::plain),
            };
            let mut out = [0; 4096];
            let len = update.emit(&mut out).unwrap();
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&out[..len]).is_ok());
            prop_assert_eq!(Update::parse(&out[..len]).unwrap(), update);
        }
    }
}
