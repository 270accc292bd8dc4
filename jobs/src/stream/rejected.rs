//! The rejection of a stream request: topic `streams/{stream}/rejected/{encoding}`.

use crate::cbor::{Cbor, CborWriter};
use crate::codes::StreamRejectCode;
use crate::error::{EmitError, ParseError};
use crate::json::RawJson;
use crate::json_writer::JsonWriter;
use crate::stream::check;
use crate::text::JsonStr;
use crate::value::{Fields, MESSAGE, Value};

/// Rejection of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected<'a> {
    /// `o`: error code.
    pub code: StreamRejectCode,
    /// `m`: human-readable message.
    pub message: Option<JsonStr<'a>>,
    /// `c`: from the request.
    pub token: Option<JsonStr<'a>>,
}

impl<'a> Rejected<'a> {
    /// Parses a rejection in CBOR. An unrecognised code is [`StreamRejectCode::Unknown`].
    ///
    /// Errors: [`ParseError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        Self::read(Value::Cbor(Cbor::parse(bytes)?))
    }

    /// Parses a rejection in JSON.
    ///
    /// Errors: as [`Self::parse`].
    pub fn parse_json(bytes: &'a [u8]) -> Result<Self, ParseError> {
        Self::read(Value::Json(RawJson::parse(bytes)?))
    }

    /// Accepts the long names of an older protocol, too; AWS documents both.
    fn read(message: Value<'a>) -> Result<Self, ParseError> {
        let mut fields = Fields::new(message, MESSAGE);
        let code = fields.text("o").or_else(|| fields.text("code"));
        if code.is_none() {
            fields.refuse(ParseError::Missing { field: "o" });
        }
        fields.needed()?;
        let token = check::token(&mut fields, "c").or_else(|| check::token(&mut fields, "clientToken"));
        let message = fields.text("m").or_else(|| fields.text("message"));
        let code = code.and_then(|code| code.as_plain()).map_or(StreamRejectCode::Unknown, StreamRejectCode::parse);
        Ok(Self { code, message, token })
    }

    /// Writes the rejection in CBOR and returns its length.
    ///
    /// Errors: [`EmitError`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        check::check_token(self.token.as_ref())?;
        let mut writer = CborWriter::new(out);
        writer.map(1 + usize::from(self.message.is_some()) + usize::from(self.token.is_some()));
        writer.text("o", JsonStr::plain(self.code.as_str()));
        writer.optional_text("m", self.message);
        writer.optional_text("c", self.token);
        writer.finish()
    }

    /// Writes the rejection in JSON and returns its length.
    ///
    /// Errors: as [`Self::emit`].
    pub fn emit_json(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        check::check_token(self.token.as_ref())?;
        let mut writer = JsonWriter::new(out);
        writer.plain("o", Some(self.code.as_str()));
        writer.text("m", self.message);
        writer.text("c", self.token);
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FieldError;

    /// Source: AWS IoT developer guide, "Handling errors from AWS IoT MQTT-based file delivery".
    const GUIDE: &[u8] = br#"{
    "o": "BlockSizeOutOfBounds",
    "m": "The block size is out of bounds",
    "c": "1bb8aaa1-5c18-4d21-80c2-0b44fee10380"
}"#;
    /// The long names that the same page allows.
    const LONG: &[u8] = br#"{"code":"ResourceNotFound","message":"gone","clientToken":"t"}"#;

    #[test]
    fn short_and_long_names_are_read() {
        let rejected = Rejected::parse_json(GUIDE).unwrap();
        assert_eq!(rejected.code, StreamRejectCode::BlockSizeOutOfBounds);
        assert_eq!(rejected.message.unwrap(), "The block size is out of bounds");
        assert_eq!(rejected.token.unwrap(), "1bb8aaa1-5c18-4d21-80c2-0b44fee10380");
        let rejected = Rejected::parse_json(LONG).unwrap();
        assert_eq!(rejected.code, StreamRejectCode::ResourceNotFound);
        assert!(rejected.message.unwrap() == "gone" && rejected.token.unwrap() == "t");
        // {"code": "InvalidCbor"}
        let rejected = Rejected::parse(b"\xa1\x64code\x6bInvalidCbor").unwrap();
        assert_eq!(rejected.code, StreamRejectCode::InvalidCbor);
    }

    #[test]
    fn a_refusal_comes_back_as_it_was_with_every_code_in_both_encodings() {
        let mut out = [0; 128];
        for code in StreamRejectCode::ALL {
            for (message, token) in [(Some("m\"m".into()), None), (None, Some("t".into()))] {
                let rejected = Rejected { code: *code, message, token };
                let len = rejected.emit(&mut out).unwrap();
                assert!(minicbor::Decoder::new(&out[..len]).skip().is_ok());
                assert_eq!(Rejected::parse(&out[..len]), Ok(rejected.clone()));
                let len = rejected.emit_json(&mut out).unwrap();
                assert_eq!(Rejected::parse_json(&out[..len]), Ok(rejected));
            }
        }
    }

    #[test]
    fn a_refusal_is_written_to_the_byte_and_with_a_token_of_at_most_64_bytes() {
        let code = StreamRejectCode::InvalidCbor;
        let rejected = Rejected { code, message: Some("m".into()), token: Some("t".into()) };
        let mut out = [0; 128];
        let len = rejected.emit(&mut out).unwrap();
        assert_eq!(&out[..len], b"\xa3\x61o\x6bInvalidCbor\x61m\x61m\x61c\x61t");
        let len = rejected.emit_json(&mut out).unwrap();
        assert_eq!(&out[..len], br#"{"o":"InvalidCbor","m":"m","c":"t"}"#);
        let token = "t".repeat(65);
        let error = FieldError::TooLong { field: "c", got: 65, max: 64 };
        let long = Rejected { code, message: None, token: Some(token.as_str().into()) };
        assert_eq!((long.emit(&mut out), long.emit_json(&mut out)), (Err(error.into()), Err(error.into())));
    }

    #[test]
    fn a_code_of_tomorrow_is_unknown_and_no_code_is_an_error() {
        assert_eq!(Rejected::parse_json(br#"{"o":"Teapot"}"#).unwrap().code, StreamRejectCode::Unknown);
        assert_eq!(Rejected::parse(b"\xa0"), Err(ParseError::Missing { field: "o" }));
        assert_eq!(Rejected::parse(b"\xa1\x61o\x02"), Err(ParseError::WrongType { field: "o" }));
    }
}
