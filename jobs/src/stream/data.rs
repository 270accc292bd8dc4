//! One block of a file: topic `streams/{stream}/data/{encoding}`. Parsed without copying the payload.

use crate::cbor::{Cbor, CborWriter};
use crate::error::{EmitError, ParseError};
use crate::json::RawJson;
use crate::json_writer::JsonWriter;
use crate::limits::{BLOCK_BYTES_MAX, FILE_ID_MAX};
use crate::stream::check::{self, check_range};
use crate::text::JsonStr;
use crate::value::{Fields, MESSAGE, Value};

/// A block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    /// `c`: from the request.
    pub token: Option<JsonStr<'a>>,
    /// `f`: the file, 0..=255.
    pub file_id: u32,
    /// `l`: length of the payload; the last block of a file may be shorter than requested. Unit: bytes.
    pub block_bytes: u32,
    /// `i`: the block's number from the start of the file.
    pub index: u32,
    /// `p`: the bytes.
    pub payload: &'a [u8],
}

impl<'a> Data<'a> {
    /// Parses a block in CBOR.
    ///
    /// Errors: [`ParseError`]; [`ParseError::LengthMismatch`] if the payload does not have the stated length.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let cbor = Cbor::parse(bytes)?;
        let (data, payload) = Self::read(Value::Cbor(cbor))?;
        let Value::Cbor(payload) = payload else { return Err(ParseError::WrongType { field: "p" }) };
        data.with(payload.bytes("p")?)
    }

    /// Parses a block in JSON; the payload is decoded into `room`.
    ///
    /// Errors: as [`Self::parse`], [`ParseError::NotBase64`], and
    /// [`FieldError::TooLong`](crate::FieldError::TooLong) if `room` is too small.
    pub fn parse_json(bytes: &'a [u8], room: &'a mut [u8]) -> Result<Self, ParseError> {
        let (data, payload) = Self::read(Value::Json(RawJson::parse(bytes)?))?;
        let len = payload.text("p")?.decode_base64(room)?;
        data.with(&room[..len])
    }

    /// Reads everything but the payload, which is returned as a value.
    fn read(message: Value<'a>) -> Result<(Self, Value<'a>), ParseError> {
        let mut fields = Fields::new(message, MESSAGE);
        let file_id = fields.required_within("f", 0, FILE_ID_MAX);
        let block_bytes = fields.required_within("l", 0, BLOCK_BYTES_MAX);
        let index = fields.required_within("i", 0, u32::MAX);
        let payload = fields.value("p");
        fields.needed()?;
        let token = check::token(&mut fields, "c");
        let payload = payload.ok_or(ParseError::Missing { field: "p" })?;
        Ok((Self { token, file_id, block_bytes, index, payload: &[] }, payload))
    }

    fn with(self, payload: &'a [u8]) -> Result<Self, ParseError> {
        let (stated, got) = (u64::from(self.block_bytes), payload.len());
        if stated != got as u64 {
            return Err(ParseError::LengthMismatch { field: "l", stated, got });
        }
        Ok(Self { payload, ..self })
    }

    /// Writes the block in CBOR and returns its length.
    ///
    /// Errors: [`EmitError`], also for a number outside its range.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        self.check()?;
        let mut writer = CborWriter::new(out);
        writer.map(4 + usize::from(self.token.is_some()));
        writer.optional_text("c", self.token);
        writer.number("f", self.file_id);
        writer.number("l", self.block_bytes);
        writer.number("i", self.index);
        writer.bytes("p", self.payload);
        writer.finish()
    }

    /// Writes the block in JSON, its payload in base64, and returns its length.
    ///
    /// Errors: as [`Self::emit`].
    pub fn emit_json(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        self.check()?;
        let mut writer = JsonWriter::new(out);
        writer.text("c", self.token);
        writer.number("f", Some(self.file_id.into()));
        writer.number("l", Some(self.block_bytes.into()));
        writer.number("i", Some(self.index.into()));
        writer.base64("p", self.payload);
        writer.finish()
    }

    fn check(&self) -> Result<(), EmitError> {
        check::check_token(self.token.as_ref())?;
        check_range("f", self.file_id, 0, FILE_ID_MAX)?;
        check_range("l", self.block_bytes, 0, BLOCK_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use proptest::prelude::*;

    use super::*;
    use crate::error::FieldError;

    /// Source: AWS IoT developer guide, "GetStream response", with a payload in place of its dots.
    const JSON: &[u8] = br#"{
    "c": "1bb8aaa1-5c18-4d21-80c2-0b44fee10380",
    "f": 0,
    "l": 4,
    "i": 2,
    "p": "dGVzdA=="
}"#;
    /// The same in CBOR, by hand. Source: RFC 8949.
    const CBOR: &[u8] =
        b"\xa5\x61c\x78\x241bb8aaa1-5c18-4d21-80c2-0b44fee10380\x61f\x00\x61l\x04\x61i\x02\x61p\x44test";

    fn block(payload: &[u8]) -> Data<'_> {
        let token = Some("1bb8aaa1-5c18-4d21-80c2-0b44fee10380".into());
        Data { token, file_id: 0, block_bytes: payload.len() as u32, index: 2, payload }
    }

    #[test]
    fn a_block_is_read_in_both_encodings() {
        assert_eq!(Data::parse(CBOR), Ok(block(b"test")));
        assert_eq!(Data::parse_json(JSON, &mut [0; 4]), Ok(block(b"test")));
    }

    #[test]
    fn a_block_is_written_to_the_byte() {
        let mut out = [0; 128];
        let len = block(b"test").emit(&mut out).unwrap();
        assert_eq!(&out[..len], CBOR);
        let len = block(b"test").emit_json(&mut out).unwrap();
        assert_eq!(&out[..len], br#"{"c":"1bb8aaa1-5c18-4d21-80c2-0b44fee10380","f":0,"l":4,"i":2,"p":"dGVzdA=="}"#);
        for have in 0..len {
            let refused = block(b"test").emit_json(&mut out[..have]);
            assert_eq!(refused, Err(EmitError::BufferTooSmall { have }));
        }
    }

    #[test]
    fn a_length_that_is_not_the_payloads_is_refused_with_both_numbers() {
        let mismatch = |stated, got| Err(ParseError::LengthMismatch { field: "l", stated, got });
        assert_eq!(Data::parse(b"\xa4\x61f\x00\x61l\x05\x61i\x02\x61p\x44test"), mismatch(5, 4));
        assert_eq!(Data::parse(b"\xa4\x61f\x00\x61l\x03\x61i\x02\x61p\x44test"), mismatch(3, 4));
        assert_eq!(Data::parse_json(br#"{"f":0,"l":5,"i":2,"p":"dGVzdA=="}"#, &mut [0; 8]), mismatch(5, 4));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (bytes, error) in [
            (&b"\xa0"[..], ParseError::Missing { field: "f" }),
            (b"\xa1\x61f\x00", ParseError::Missing { field: "l" }),
            (b"\xa3\x61f\x00\x61l\x04\x61i\x02", ParseError::Missing { field: "p" }),
            (b"\xa3\x61f\x00\x61l\x04\x61p\x44test", ParseError::Missing { field: "i" }),
            (b"\xa4\x61f\x00\x61l\x04\x61i\x02\x61p\x64test", ParseError::WrongType { field: "p" }),
            (b"\xa4\x61f\x00\x61l\x04\x61i\x20\x61p\x44test", ParseError::WrongType { field: "i" }),
            (b"\xa1\x61f\x19\x01\x00", ParseError::OutOfRange { field: "f", got: 256, min: 0, max: 255 }),
            (b"\x81\x00", ParseError::WrongType { field: "message" }),
            (b"\xa4\x61f\x00\x61l\x04\x61i\x02\x61p\x45test", ParseError::NotCbor { at: 17 }),
            (b"", ParseError::NotCbor { at: 0 }),
        ] {
            assert_eq!(Data::parse(bytes), Err(error), "{bytes:x?}");
        }
        let text = br#"{"f":0,"l":4,"i":2,"p":"dGVzdA="}"#;
        assert_eq!(Data::parse_json(text, &mut [0; 8]), Err(ParseError::NotBase64 { field: "p", at: 6 }));
        let error = FieldError::TooLong { field: "p", got: 4, max: 3 };
        assert_eq!(Data::parse_json(JSON, &mut [0; 3]), Err(error.into()));
    }

    #[test]
    fn tokens_and_numbers_are_written_up_to_their_largest_and_no_further() {
        let payload = vec![0; 131_072];
        let token = "t".repeat(64);
        let largest = Data { token: Some(token.as_str().into()), file_id: 255, index: u32::MAX, ..block(&payload) };
        let mut out = vec![0; 180_000];
        let len = largest.emit(&mut out).unwrap();
        assert_eq!(Data::parse(&out[..len]), Ok(largest.clone()));
        assert!(largest.emit_json(&mut out).is_ok());
        let long = "t".repeat(65);
        let too_long = FieldError::TooLong { field: "c", got: 65, max: 64 };
        let range = |field, got, max| EmitError::OutOfRange { field, got, min: 0, max };
        for (data, error) in [
            (Data { token: Some(long.as_str().into()), ..largest.clone() }, too_long.into()),
            (Data { file_id: 256, ..largest.clone() }, range("f", 256, 255)),
            (Data { block_bytes: 131_073, ..largest }, range("l", 131_073, 131_072)),
        ] {
            assert_eq!((data.emit(&mut out), data.emit_json(&mut out)), (Err(error), Err(error)));
        }
        let text = std::format!(r#"{{"c":"{long}","f":0,"l":0,"i":0,"p":""}}"#);
        assert_eq!(Data::parse_json(text.as_bytes(), &mut []).map(|data| data.token), Ok(None));
    }

    #[test]
    fn a_block_cut_anywhere_is_refused() {
        for cut in 0..CBOR.len() {
            assert_eq!(Data::parse(&CBOR[..cut]), Err(ParseError::NotCbor { at: cut }), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn a_block_comes_back_as_it_was_in_both_encodings(
            token in proptest::option::of("[\\PC]{0,16}"), file_id in 0u32..256, index: u32, payload in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            let block_bytes = payload.len() as u32;
            let data = Data { token: token.as_deref().map(JsonStr::plain), file_id, block_bytes, index, payload: &payload };
            let mut out = vec![0; 1200];
            let mut room = vec![0; 600];
            let len = data.emit(&mut out).unwrap();
            prop_assert_eq!(Data::parse(&out[..len]).unwrap(), data.clone());
            let len = data.emit_json(&mut out).unwrap();
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&out[..len]).is_ok());
            prop_assert_eq!(Data::parse_json(&out[..len], &mut room).unwrap(), data);
        }

        #[test]
        fn what_another_writer_writes_is_read(file_id: u8, index: u32, payload in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut theirs = minicbor::Encoder::new(Vec::new());
            theirs.map(4).unwrap().str("p").unwrap().bytes(&payload).unwrap().str("i").unwrap().u32(index).unwrap();
            theirs.str("f").unwrap().u8(file_id).unwrap().str("l").unwrap().u64(payload.len() as u64).unwrap();
            let theirs = theirs.into_writer();
            let data = Data::parse(&theirs).unwrap();
            prop_assert_eq!((data.file_id, data.index, data.payload), (file_id.into(), index, &payload[..]));
        }
    }
}
