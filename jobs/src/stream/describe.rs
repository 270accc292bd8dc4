//! Request for the files of a stream: topic `streams/{stream}/describe/{encoding}`.

use crate::cbor::{Cbor, CborWriter};
use crate::error::{EmitError, ParseError};
use crate::json::RawJson;
use crate::json_writer::JsonWriter;
use crate::stream::check;
use crate::text::JsonStr;
use crate::value::{Fields, MESSAGE, Value};

/// Request for the files of a stream. The response is a [`Description`](crate::stream::Description).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Describe<'a> {
    /// `c`: echoed in the response, at most 64 bytes.
    pub token: Option<JsonStr<'a>>,
}

impl<'a> Describe<'a> {
    /// Parses a request in CBOR.
    ///
    /// Errors: [`ParseError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        Self::read(Value::Cbor(Cbor::parse(bytes)?))
    }

    /// Parses a request in JSON.
    ///
    /// Errors: [`ParseError`].
    pub fn parse_json(bytes: &'a [u8]) -> Result<Self, ParseError> {
        Self::read(Value::Json(RawJson::parse(bytes)?))
    }

    fn read(message: Value<'a>) -> Result<Self, ParseError> {
        let mut fields = Fields::new(message, MESSAGE);
        let token = check::token(&mut fields, "c");
        fields.finish().map(|()| Self { token })
    }

    /// Writes the request in CBOR and returns its length.
    ///
    /// Errors: [`EmitError`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        check::check_token(self.token.as_ref())?;
        let mut writer = CborWriter::new(out);
        writer.map(usize::from(self.token.is_some()));
        writer.optional_text("c", self.token);
        writer.finish()
    }

    /// Writes the request in JSON and returns its length.
    ///
    /// Errors: [`EmitError`].
    pub fn emit_json(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        check::check_token(self.token.as_ref())?;
        let mut writer = JsonWriter::new(out);
        writer.text("c", self.token);
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: AWS IoT developer guide, "DescribeStream request".
    const GUIDE: &[u8] = br#"{
    "c": "ec944cfb-1e3c-49ac-97de-9dc4aaad0039"
}"#;

    #[test]
    fn a_request_is_read_and_comes_back_in_both_encodings() {
        let describe = Describe::parse_json(GUIDE).unwrap();
        assert_eq!(describe.token, Some("ec944cfb-1e3c-49ac-97de-9dc4aaad0039".into()));
        let mut out = [0; 128];
        for describe in [describe, Describe::default()] {
            let len = describe.emit(&mut out).unwrap();
            assert_eq!(Describe::parse(&out[..len]), Ok(describe.clone()));
            let len = describe.emit_json(&mut out).unwrap();
            assert_eq!(Describe::parse_json(&out[..len]), Ok(describe));
        }
        let token = "t".repeat(65);
        let long = Describe { token: Some(token.as_str().into()) };
        assert!(long.emit(&mut out).is_err() && long.emit_json(&mut out).is_err());
        let len = Describe { token: Some("t".into()) }.emit(&mut out).unwrap();
        assert_eq!(&out[..len], b"\xa1\x61c\x61t");
        let len = Describe { token: Some("t".into()) }.emit_json(&mut out).unwrap();
        assert_eq!(&out[..len], br#"{"c":"t"}"#);
        assert_eq!(Describe::parse(b"\x00"), Err(ParseError::WrongType { field: "message" }));
    }
}
