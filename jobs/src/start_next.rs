//! StartNextPendingJobExecution: topic `jobs/start-next`. Its response is a
//! [`DescribeResponse`](crate::DescribeResponse).

use crate::error::{EmitError, ParseError};
use crate::json::RawJson;
use crate::json_writer::JsonWriter;
use crate::text::JsonStr;
use crate::value::{Fields, MESSAGE};

/// Request to start the first pending execution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartNext<'a> {
    /// Initial details of the execution, an object of strings.
    pub status_details: Option<RawJson<'a>>,
    /// Starts a timer for the next step. Unit: minutes.
    pub step_timeout_minutes: Option<i64>,
    /// Echoed in the response.
    pub client_token: Option<JsonStr<'a>>,
}

impl<'a> StartNext<'a> {
    /// Parses the request.
    ///
    /// Errors: [`ParseError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut fields = Fields::envelope(RawJson::parse(bytes)?, MESSAGE);
        let request = Self {
            step_timeout_minutes: fields.parsed("stepTimeoutInMinutes"),
            client_token: fields.text("clientToken"),
            status_details: fields.raw("statusDetails"),
        };
        fields.finish().map(|()| request)
    }

    /// Writes the request and returns its length.
    ///
    /// Errors: [`EmitError::BufferTooSmall`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = JsonWriter::new(out);
        writer.raw("statusDetails", self.status_details);
        writer.integer("stepTimeoutInMinutes", self.step_timeout_minutes);
        writer.text("clientToken", self.client_token);
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_comes_back_as_it_was() {
        let details = RawJson::parse(br#"{"self_test":"receiving"}"#).unwrap();
        let request =
            StartNext { status_details: Some(details), step_timeout_minutes: Some(-1), client_token: Some("t".into()) };
        let mut out = [0; 128];
        for request in [request, StartNext::default()] {
            let len = request.emit(&mut out).unwrap();
            assert!(serde_json::from_slice::<serde_json::Value>(&out[..len]).unwrap().is_object());
            assert_eq!(StartNext::parse(&out[..len]), Ok(request));
        }
    }

    /// Source: AWS IoT developer guide, "Jobs device MQTT API operations", StartNextPendingJobExecution, with 5 for `long`.
    #[test]
    fn the_request_of_the_guide_is_read() {
        let request = br#"{ "statusDetails": { "string": "job-execution-state" }, "stepTimeoutInMinutes": 5, "clientToken": "string" }"#;
        let request = StartNext::parse(request).unwrap();
        assert_eq!(request.status_details.unwrap().as_str(), r#"{ "string": "job-execution-state" }"#);
        assert_eq!(request.step_timeout_minutes, Some(5));
    }
}
