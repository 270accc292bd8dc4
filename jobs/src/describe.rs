//! DescribeJobExecution: topic `jobs/{jobId}/get` and its response, which `start-next` and `notify-next` share.

use crate::error::{EmitError, ParseError};
use crate::execution::Execution;
use crate::json::RawJson;
use crate::json_writer::JsonWriter;
use crate::text::JsonStr;
use crate::value::{Fields, MESSAGE};

/// Request for one execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Describe<'a> {
    /// Execution number; the newest if absent.
    pub execution_number: Option<u64>,
    /// Whether the response includes the job document.
    pub include_document: bool,
    /// Echoed in the response.
    pub client_token: Option<JsonStr<'a>>,
}

impl Default for Describe<'_> {
    /// The meaning of an empty request: the newest execution, with its document.
    fn default() -> Self {
        Self { execution_number: None, include_document: true, client_token: None }
    }
}

impl<'a> Describe<'a> {
    /// Parses the request.
    ///
    /// Errors: [`ParseError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut fields = Fields::envelope(RawJson::parse(bytes)?, MESSAGE);
        let request = Self {
            execution_number: fields.number("executionNumber"),
            include_document: fields.parsed("includeJobDocument").unwrap_or(true),
            client_token: fields.text("clientToken"),
        };
        fields.finish().map(|()| request)
    }

    /// Writes the request and returns its length.
    ///
    /// Errors: [`EmitError::BufferTooSmall`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = JsonWriter::new(out);
        writer.number("executionNumber", self.execution_number);
        writer.flag("includeJobDocument", (!self.include_document).then_some(false));
        writer.text("clientToken", self.client_token);
        writer.finish()
    }
}

/// Response with an execution, or without one if none is pending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribeResponse<'a> {
    /// Absent if none is pending.
    pub execution: Option<Execution<'a>>,
    /// Seconds since 1970.
    pub timestamp: Option<u64>,
    /// Client token of the request; absent in a notification.
    pub client_token: Option<JsonStr<'a>>,
}

impl<'a> DescribeResponse<'a> {
    /// Parses the response. `"execution": {}` means that there is no execution, as does an absent member.
    ///
    /// Errors: [`ParseError`]; [`job_of`](crate::job_of) returns the job id even then.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut fields = Fields::envelope(RawJson::parse(bytes)?, MESSAGE);
        let execution = fields.raw("execution").filter(|execution| !is_empty(*execution));
        fields.needed()?;
        let execution = execution.map(Execution::read).transpose()?;
        Ok(Self { execution, timestamp: fields.number("timestamp"), client_token: fields.text("clientToken") })
    }

    /// Writes the response and returns its length.
    ///
    /// Errors: [`EmitError::BufferTooSmall`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = JsonWriter::new(out);
        writer.text("clientToken", self.client_token);
        writer.number("timestamp", self.timestamp);
        if let Some(execution) = &self.execution {
            writer.open_member("execution", b"{");
            execution.write(&mut writer);
            writer.close(b"}");
        }
        writer.finish()
    }
}

fn is_empty(json: RawJson<'_>) -> bool {
    json.is_object() && json.members().next().is_none()
}

#[cfg(test)]
mod tests {
    use std::{format, string::String};

    use proptest::prelude::*;

    use super::*;
    use crate::ids::JobId;
    use crate::status::Status;

    /// Source: aws/aws-iot-device-sdk-js-v2, samples/node/jobs/README.md, a session with AWS: `start-next/accepted`.
    const STARTED: &[u8] = br#"{"clientToken":"21113e5d-00ca-4fe3-bd00-2a5ce7bbe94a","timestamp":1719943388,"execution":{"jobId":"Job1","status":"IN_PROGRESS","queuedAt":1719940994,"startedAt":1719943388,"lastUpdatedAt":1719943388,"versionNumber":2,"executionNumber":1,"jobDocument":{"ToDo":"Reboot"}}}"#;
    /// Source: the same: `notify-next`.
    const NEXT: &[u8] = br#"{"timestamp":1719943955,"execution":{"jobId":"Job2","status":"QUEUED","queuedAt":1719941716,"lastUpdatedAt":1719941716,"versionNumber":1,"executionNumber":1,"jobDocument":{"ToDo":"Delete Root User"}}}"#;
    /// Source: the same: `notify-next` when the last job is done.
    const NONE: &[u8] = br#"{"timestamp":1719948116}"#;

    #[test]
    fn the_answers_of_a_real_session_are_read() {
        let started = DescribeResponse::parse(STARTED).unwrap();
        assert_eq!(started.client_token.unwrap(), "21113e5d-00ca-4fe3-bd00-2a5ce7bbe94a");
        let execution = started.execution.unwrap();
        assert_eq!(execution.job_id.as_str(), "Job1");
        assert_eq!((execution.status, execution.version_number), (Status::InProgress, 2));
        assert_eq!((execution.queued_at, execution.started_at), (Some(1_719_940_994), Some(1_719_943_388)));
        assert_eq!(execution.document.unwrap().as_str(), r#"{"ToDo":"Reboot"}"#);
        assert_eq!(execution.thing_name, None);
        let next = DescribeResponse::parse(NEXT).unwrap();
        assert_eq!(next.execution.unwrap().document.unwrap().as_str(), r#"{"ToDo":"Delete Root User"}"#);
        assert_eq!(
            DescribeResponse::parse(NONE),
            Ok(DescribeResponse { timestamp: Some(1_719_948_116), ..DescribeResponse::default() })
        );
    }

    #[test]
    fn what_is_written_means_what_a_real_session_says() {
        let mut out = [0; 512];
        for golden in [STARTED, NEXT, NONE] {
            let len = DescribeResponse::parse(golden).unwrap().emit(&mut out).unwrap();
            let ours: serde_json::Value = serde_json::from_slice(&out[..len]).unwrap();
            assert_eq!(ours, serde_json::from_slice::<serde_json::Value>(golden).unwrap());
        }
    }

    #[test]
    fn no_execution_has_three_spellings() {
        for text in ["{}", r#"{"execution":null}"#, r#"{"execution":{}}"#] {
            assert_eq!(DescribeResponse::parse(text.as_bytes()), Ok(DescribeResponse::default()), "{text}");
        }
        let wrong = Err(ParseError::WrongType { field: "execution" });
        assert_eq!(DescribeResponse::parse(br#"{"execution":"none"}"#), wrong);
    }

    #[test]
    fn a_document_of_somebody_else_goes_through_untouched() {
        let document = r#"{ "steps":[1.50, -0e1, "\u0041\/\ud83d\ude00"],"execution":{"jobId":"x"}, "": null }"#;
        let text = format!(
            r#"{{"execution":{{"jobId":"j","status":"QUEUED","versionNumber":1,"jobDocument" : {document} }}}}"#
        );
        let described = DescribeResponse::parse(text.as_bytes()).unwrap();
        assert_eq!(described.execution.as_ref().unwrap().document.unwrap().as_str(), document);
        let mut out = [0; 512];
        let len = described.emit(&mut out).unwrap();
        assert!(core::str::from_utf8(&out[..len]).unwrap().contains(document));
        assert_eq!(DescribeResponse::parse(&out[..len]).unwrap(), described);
    }

    #[test]
    fn an_answer_is_taken_whatever_its_time_and_token_are() {
        for field in [r#""timestamp":{}"#, r#""clientToken":1"#, r#""timestamp":1,"timestamp":2"#] {
            let text = std::format!(r#"{{{field},"execution":{{"jobId":"j","status":"QUEUED","versionNumber":1}}}}"#);
            let answer = DescribeResponse::parse(text.as_bytes()).unwrap();
            assert_eq!((answer.execution.map(|execution| execution.version_number), answer.timestamp), (Some(1), None));
            assert_eq!(answer.client_token, None, "{field}");
        }
    }

    #[test]
    fn the_request_asks_for_the_document_unless_told_otherwise() {
        let mut out = [0; 128];
        for (text, request) in [
            ("{}", Describe::default()),
            (r#"{"includeJobDocument":false}"#, Describe { include_document: false, ..Describe::default() }),
            (
                r#"{"executionNumber":3,"clientToken":"t"}"#,
                Describe { execution_number: Some(3), client_token: Some("t".into()), ..Describe::default() },
            ),
        ] {
            assert_eq!(Describe::parse(text.as_bytes()), Ok(request.clone()));
            let len = request.emit(&mut out).unwrap();
            assert_eq!(core::str::from_utf8(&out[..len]), Ok(text));
        }
    }

    proptest! {
        #[test]
        fn an_execution_comes_back_as_it_was(
            job in "[a-zA-Z0-9_-]{1,64}", thing in proptest::option::of("[a-zA-Z0-9:_-]{1,128}"), version: u64,
            times: [Option<u64>; 4], number: Option<u64>, text: String, token in proptest::option::of(any::<String>()),
        ) {
            let document = serde_json::to_string(&[text]).unwrap();
            let described = DescribeResponse {
                execution: Some(Execution {
                    job_id: JobId::new(&job).unwrap(),
                    thing_name: thing.as_deref(),
                    status: Status::InProgress,
                    status_details: Some(RawJson::parse(b"{}").unwrap()),
                    queued_at: times[0],
                    started_at: times[1],
                    last_updated_at: times[2],
                    version_number: version,
                    execution_number: number,
                    approximate_seconds_before_timed_out: times[3],
                    document: Some(RawJson::parse(document.as_bytes()).unwrap()),
                }),
                timestamp: times[0],
                client_token: token.as_deref().map(JsonStr::plain),
            };
            let mut out = [0; 4096];
            let len = described.emit(&mut out).unwrap();
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&out[..len]).is_ok());
            prop_assert_eq!(DescribeResponse::parse(&out[..len]).unwrap(), described);
        }
    }
}
