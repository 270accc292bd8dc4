//! The rejection of any request of the Jobs API: topics that end in `/rejected`.

use crate::codes::RejectCode;
use crate::error::{EmitError, ParseError};
use crate::execution::ExecutionState;
use crate::json::RawJson;
use crate::json_writer::JsonWriter;
use crate::text::JsonStr;
use crate::value::{Fields, MESSAGE};

/// Rejection of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected<'a> {
    /// Why.
    pub code: RejectCode,
    /// Human-readable message; AWS does not document the texts.
    pub message: Option<JsonStr<'a>>,
    /// Seconds since 1970.
    pub timestamp: Option<u64>,
    /// Client token of the request.
    pub client_token: Option<JsonStr<'a>>,
    /// State of the execution; only with `InvalidStateTransition` and `VersionMismatch`. Absent if it cannot be parsed.
    pub state: Option<ExecutionState<'a>>,
}

impl<'a> Rejected<'a> {
    /// Parses the rejection. An unrecognised code is [`RejectCode::Unknown`].
    ///
    /// Errors: [`ParseError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut fields = Fields::envelope(RawJson::parse(bytes)?, MESSAGE);
        let code = RejectCode::parse(fields.required_plain("code"));
        fields.needed()?;
        Ok(Self {
            code,
            message: fields.text("message"),
            timestamp: fields.number("timestamp"),
            client_token: fields.text("clientToken"),
            state: fields.raw("executionState").and_then(|state| ExecutionState::read(state).ok()),
        })
    }

    /// Writes the rejection and returns its length.
    ///
    /// Errors: [`EmitError::BufferTooSmall`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = JsonWriter::new(out);
        writer.text("clientToken", self.client_token);
        writer.number("timestamp", self.timestamp);
        writer.plain("code", Some(self.code.as_str()));
        writer.text("message", self.message);
        if let Some(state) = &self.state {
            state.write(&mut writer);
        }
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;

    /// Source: issue 95 of aws/aws-iot-device-sdk-cpp-v2 for the message; the developer guide's "ErrorResponse" for the rest.
    const NULL_STATUS: &[u8] = br#"{"code":"InvalidRequest","message":"Value null at 'status' failed to satisfy constraint: Member must not be null","timestamp":1602795143,"clientToken":"t"}"#;

    #[test]
    fn a_real_refusal_is_read() {
        let rejected = Rejected::parse(NULL_STATUS).unwrap();
        assert_eq!(rejected.code, RejectCode::InvalidRequest);
        assert!(
            rejected.message.unwrap() == "Value null at 'status' failed to satisfy constraint: Member must not be null"
        );
        assert_eq!((rejected.timestamp, rejected.state), (Some(1_602_795_143), None));
    }

    #[test]
    fn a_refusal_comes_back_as_it_was_with_every_code() {
        let state = ExecutionState { status: Status::TimedOut, status_details: None, version_number: 9 };
        let mut out = [0; 256];
        for code in RejectCode::ALL {
            let rejected = Rejected {
                code: *code,
                message: Some("version 8 was \"expected\"".into()),
                timestamp: Some(1),
                client_token: Some("t".into()),
                state: Some(state.clone()),
            };
            let len = rejected.emit(&mut out).unwrap();
            assert!(serde_json::from_slice::<serde_json::Value>(&out[..len]).is_ok());
            assert_eq!(Rejected::parse(&out[..len]), Ok(rejected));
        }
    }

    #[test]
    fn only_the_code_must_be_what_aws_documents() {
        let least = Rejected::parse(br#"{"code":"VersionMismatch"}"#).unwrap();
        for field in [
            r#""message":{}"#,
            r#""message":"\ud800""#,
            r#""timestamp":"now""#,
            r#""clientToken":7"#,
            r#""executionState":"gone""#,
            r#""executionState":{"status":"SLEEPING","versionNumber":1}"#,
        ] {
            let text = std::format!(r#"{{"code":"VersionMismatch",{field}}}"#);
            assert_eq!(Rejected::parse(text.as_bytes()).as_ref(), Ok(&least), "{field}");
        }
    }

    #[test]
    fn a_code_of_tomorrow_is_unknown_and_no_code_is_an_error() {
        let rejected = Rejected::parse(br#"{"code":"Teapot"}"#).unwrap();
        assert_eq!((rejected.code, rejected.message), (RejectCode::Unknown, None));
        assert_eq!(Rejected::parse(b"{}"), Err(ParseError::Missing { field: "code" }));
    }
}
