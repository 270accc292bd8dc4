//! Asks which files a stream has: topic `streams/{stream}/describe/{encoding}`.

use serde::Serialize;

use crate::cbor::{Cbor, Writer};
use crate::envelope;
use crate::error::{EmitError, ParseError};
use crate::json::RawJson;
use crate::stream::value::{self, Value, object};
use crate::text::{self, Escaped};

/// Asks which files a stream has. The answer is a [`Description`](crate::stream::Description).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Describe<'a> {
    /// `c`: comes back with the answer, at most 64 bytes.
    pub token: Option<Escaped<'a>>,
}

impl<'a> Describe<'a> {
    /// Reads a request in CBOR.
    ///
    /// Errors: [`ParseError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        Self::read(Cbor::parse(bytes)?)
    }

    /// Reads a request in JSON.
    ///
    /// Errors: [`ParseError`].
    pub fn parse_json(bytes: &'a [u8]) -> Result<Self, ParseError> {
        Self::read(RawJson::parse(bytes)?)
    }

    fn read(message: impl Value<'a>) -> Result<Self, ParseError> {
        Ok(Self { token: value::token(object(message)?, "c")? })
    }

    /// Writes the request in CBOR and returns its length.
    ///
    /// Errors: [`EmitError`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        value::check_token(self.token.as_ref())?;
        let mut writer = Writer::new(out);
        writer.map(usize::from(self.token.is_some()))?;
        if let Some(token) = &self.token {
            writer.text("c", token)?;
        }
        Ok(writer.len())
    }

    /// Writes the request in JSON and returns its length.
    ///
    /// Errors: [`EmitError`].
    pub fn emit_json(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        value::check_token(self.token.as_ref())?;
        envelope::emit(&Wire { c: self.token.map(text::Wire) }, out)
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    c: Option<text::Wire<'a>>,
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
        assert_eq!(Describe::parse(b"\x00"), Err(ParseError::WrongType { field: "message" }));
    }
}
