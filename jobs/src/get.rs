//! GetPendingJobExecutions: topics `jobs/get` and `jobs/get/accepted`.

use crate::error::{EmitError, ParseError};
use crate::execution::Summaries;
use crate::json::RawJson;
use crate::json_writer::JsonWriter;
use crate::text::JsonStr;
use crate::value::{Fields, MESSAGE};

/// Request for all pending executions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Get<'a> {
    /// Echoed in the response.
    pub client_token: Option<JsonStr<'a>>,
}

impl<'a> Get<'a> {
    /// Parses the request.
    ///
    /// Errors: [`ParseError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut fields = Fields::envelope(RawJson::parse(bytes)?, MESSAGE);
        let request = Self { client_token: fields.text("clientToken") };
        fields.finish().map(|()| request)
    }

    /// Writes the request and returns its length.
    ///
    /// Errors: [`EmitError::BufferTooSmall`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = JsonWriter::new(out);
        writer.text("clientToken", self.client_token);
        writer.finish()
    }
}

/// All pending executions.
#[derive(Clone, Copy, Debug)]
pub struct PendingJobs<'a> {
    /// Executions in progress, oldest first.
    pub in_progress: Summaries<'a>,
    /// Queued executions, oldest first.
    pub queued: Summaries<'a>,
    /// Seconds since 1970.
    pub timestamp: Option<u64>,
    /// Client token of the request.
    pub client_token: Option<JsonStr<'a>>,
}

impl<'a> PendingJobs<'a> {
    /// Parses the response; the lists are parsed when they are iterated.
    ///
    /// Errors: [`ParseError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut fields = Fields::envelope(RawJson::parse(bytes)?, MESSAGE);
        let pending = Self {
            timestamp: fields.number("timestamp"),
            client_token: fields.text("clientToken"),
            in_progress: Summaries::read(&mut fields, "inProgressJobs"),
            queued: Summaries::read(&mut fields, "queuedJobs"),
        };
        fields.finish().map(|()| pending)
    }

    /// Writes the response and returns its length.
    ///
    /// Errors: [`EmitError::BufferTooSmall`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = JsonWriter::new(out);
        writer.text("clientToken", self.client_token);
        writer.number("timestamp", self.timestamp);
        self.in_progress.write(&mut writer, "inProgressJobs");
        self.queued.write(&mut writer, "queuedJobs");
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::execution::Summary;
    use crate::ids::JobId;

    /// Source: aws/aws-iot-device-sdk-js-v2, samples/node/jobs/README.md, a session with AWS.
    const EMPTY: &[u8] = br#"{"clientToken":"58920924-ccbf-43c0-8a23-79ece5ce7896","timestamp":1719940632,"inProgressJobs":[],"queuedJobs":[]}"#;
    /// Source: the same.
    const TWO: &[u8] = br#"{"clientToken":"380a66b5-b5f7-471a-92d4-bd7fbe558472","timestamp":1719943627,"inProgressJobs":[{"jobId":"Job1","queuedAt":1719940994,"lastUpdatedAt":1719943388,"startedAt":1719943388,"executionNumber":1,"versionNumber":2}],"queuedJobs":[{"jobId":"Job2","queuedAt":1719941716,"lastUpdatedAt":1719941716,"executionNumber":1,"versionNumber":1}]}"#;

    fn job1() -> Summary {
        Summary {
            job_id: JobId::new("Job1").unwrap(),
            queued_at: Some(1_719_940_994),
            started_at: Some(1_719_943_388),
            last_updated_at: Some(1_719_943_388),
            version_number: 2,
            execution_number: Some(1),
        }
    }

    #[test]
    fn the_lists_of_a_real_session_are_read() {
        let pending = PendingJobs::parse(TWO).unwrap();
        assert_eq!(pending.in_progress.iter().collect::<Vec<_>>(), [Ok(job1())]);
        let queued = pending.queued.iter().next().unwrap().unwrap();
        assert_eq!((queued.job_id.as_str(), queued.started_at), ("Job2", None));
        assert_eq!(pending.timestamp, Some(1_719_943_627));
        assert_eq!(pending.client_token.unwrap(), "380a66b5-b5f7-471a-92d4-bd7fbe558472");
        let pending = PendingJobs::parse(EMPTY).unwrap();
        assert!(pending.in_progress.is_empty() && pending.queued.is_empty());
    }

    #[test]
    fn what_is_written_means_what_a_real_session_says() {
        let given = [job1()];
        let queued = PendingJobs::parse(TWO).unwrap().queued;
        let token = JsonStr::plain("380a66b5-b5f7-471a-92d4-bd7fbe558472");
        let pending = PendingJobs {
            in_progress: Summaries::new(&given),
            queued,
            timestamp: Some(1_719_943_627),
            client_token: Some(token),
        };
        let mut out = [0; 512];
        let len = pending.emit(&mut out).unwrap();
        let ours: serde_json::Value = serde_json::from_slice(&out[..len]).unwrap();
        assert_eq!(ours, serde_json::from_slice::<serde_json::Value>(TWO).unwrap());
        assert_eq!(pending.emit(&mut out[..len - 1]), Err(EmitError::BufferTooSmall { have: len - 1 }));
    }

    #[test]
    fn a_line_that_cannot_be_read_costs_itself_and_not_the_list() {
        let pending =
            PendingJobs::parse(br#"{"queuedJobs":[{"jobId":"a"},7,{"jobId":"b","versionNumber":1}]}"#).unwrap();
        let lines: Vec<_> = pending.queued.iter().collect();
        assert_eq!(lines[0], Err(ParseError::Missing { field: "versionNumber" }));
        assert_eq!(lines[1], Err(ParseError::WrongType { field: "summary" }));
        assert_eq!(lines[2].as_ref().unwrap().job_id.as_str(), "b");
        assert_eq!(
            PendingJobs::parse(br#"{"queuedJobs":{}}"#).err(),
            Some(ParseError::WrongType { field: "queuedJobs" })
        );
    }

    #[test]
    fn the_request_is_an_object_with_a_token_or_none() {
        let mut out = [0; 64];
        let len = Get::default().emit(&mut out).unwrap();
        assert_eq!(&out[..len], b"{}");
        let get = Get { client_token: Some("a\"b".into()) };
        let len = get.emit(&mut out).unwrap();
        assert_eq!(&out[..len], br#"{"clientToken":"a\"b"}"#);
        assert_eq!(Get::parse(&out[..len]), Ok(get));
        assert_eq!(Get::parse(b""), Err(ParseError::NotJson { at: 0 }));
        assert_eq!(Get::parse(b"[]"), Err(ParseError::WrongType { field: "message" }));
    }
}
