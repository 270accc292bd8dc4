//! Request for blocks of a file: topic `streams/{stream}/get/{encoding}`.

use crate::cbor::{Cbor, CborWriter};
use crate::error::{EmitError, ParseError};
use crate::json::RawJson;
use crate::json_writer::JsonWriter;
use crate::limits::{
    BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, BLOCK_COUNT_MAX, BLOCK_OFFSET_MAX, FILE_ID_MAX, STREAM_VERSION_MAX,
};
use crate::stream::Bitmap;
use crate::stream::check::{self, check_range};
use crate::text::JsonStr;
use crate::value::{Fields, MESSAGE, Value};

/// Request for blocks of a file. Each block is returned as one [`Data`](crate::stream::Data).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Get<'a> {
    /// `c`: echoed in every block, at most 64 bytes.
    pub token: Option<JsonStr<'a>>,
    /// `s`: required version of the stream.
    pub version: Option<u32>,
    /// `f`: the file, 0..=255.
    pub file_id: u32,
    /// `l`: length of a block. Unit: bytes, 256..=131,072.
    pub block_bytes: u32,
    /// `o`: offset of the first block. Unit: blocks, 0..=98,304.
    pub offset_blocks: u32,
    /// `n`: maximum number of blocks, 0..=98,304; 128 KiB of blocks if absent.
    pub count: Option<u32>,
    /// `b`: requested blocks, relative to the offset.
    pub bitmap: Option<Bitmap<'a>>,
}

impl<'a> Get<'a> {
    /// Parses a request in CBOR.
    ///
    /// Errors: [`ParseError`], which converts to the [`StreamRejectCode`](crate::StreamRejectCode) to answer with.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        Self::read(Value::Cbor(Cbor::parse(bytes)?))
    }

    /// Parses a request in JSON.
    ///
    /// Errors: as [`Self::parse`].
    pub fn parse_json(bytes: &'a [u8]) -> Result<Self, ParseError> {
        Self::read(Value::Json(RawJson::parse(bytes)?))
    }

    /// Accepts keys in any order and ignores unknown ones. A C client sends `b` as four ASCII characters and relies on
    /// `n`.
    fn read(message: Value<'a>) -> Result<Self, ParseError> {
        let mut fields = Fields::new(message, MESSAGE);
        let mut request = Self {
            token: check::token(&mut fields, "c"),
            version: fields.within("s", 0, STREAM_VERSION_MAX),
            file_id: fields.required_within("f", 0, FILE_ID_MAX),
            block_bytes: fields.required_within("l", BLOCK_BYTES_MIN, BLOCK_BYTES_MAX),
            offset_blocks: fields.within("o", 0, BLOCK_OFFSET_MAX).unwrap_or(0),
            count: fields.within("n", 0, BLOCK_COUNT_MAX),
            bitmap: None,
        };
        let bitmap = fields.value("b");
        fields.finish()?;
        request.bitmap = bitmap.map(Bitmap::read).transpose()?;
        Ok(request)
    }

    /// Writes the request in CBOR and returns its length.
    ///
    /// Errors: [`EmitError`], also for a number outside its range.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        self.check()?;
        let mut writer = CborWriter::new(out);
        let optional = [self.token.is_some(), self.version.is_some(), self.count.is_some(), self.bitmap.is_some()];
        writer.map(3 + optional.into_iter().filter(|there| *there).count());
        writer.optional_text("c", self.token);
        if let Some(version) = self.version {
            writer.number("s", version);
        }
        writer.number("f", self.file_id);
        writer.number("l", self.block_bytes);
        writer.number("o", self.offset_blocks);
        if let Some(count) = self.count {
            writer.number("n", count);
        }
        if let Some(bitmap) = &self.bitmap {
            writer.bytes_from("b", bitmap.len_bytes(), bitmap.bytes());
        }
        writer.finish()
    }

    /// Writes the request in JSON and returns its length.
    ///
    /// Errors: as [`Self::emit`].
    pub fn emit_json(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        self.check()?;
        let mut writer = JsonWriter::new(out);
        writer.text("c", self.token);
        writer.number("s", self.version.map(u64::from));
        writer.number("f", Some(self.file_id.into()));
        writer.number("l", Some(self.block_bytes.into()));
        writer.number("o", Some(self.offset_blocks.into()));
        writer.number("n", self.count.map(u64::from));
        if let Some(bitmap) = &self.bitmap {
            bitmap.write(&mut writer);
        }
        writer.finish()
    }

    fn check(&self) -> Result<(), EmitError> {
        check::check_token(self.token.as_ref())?;
        check_range("s", self.version.unwrap_or(0), 0, STREAM_VERSION_MAX)?;
        check_range("f", self.file_id, 0, FILE_ID_MAX)?;
        check_range("l", self.block_bytes, BLOCK_BYTES_MIN, BLOCK_BYTES_MAX)?;
        check_range("o", self.offset_blocks, 0, BLOCK_OFFSET_MAX)?;
        check_range("n", self.count.unwrap_or(0), 0, BLOCK_COUNT_MAX)
    }

    /// Returns the indices of the requested blocks, ascending, regardless of the end of the file.
    ///
    /// Without `n`, 128 KiB of blocks. Source: AWS IoT developer guide, GetStream.
    pub fn wanted(&self) -> impl Iterator<Item = u32> + use<'a> {
        let (offset, bitmap) = (self.offset_blocks, self.bitmap);
        let count = self.count.unwrap_or(BLOCK_BYTES_MAX / self.block_bytes.max(1));
        let in_a_row = 0..if bitmap.is_none() { count } else { 0 };
        let marked = bitmap.into_iter().flat_map(|bitmap| bitmap.ones());
        in_a_row.chain(marked).take(count as usize).map(move |block| offset + block)
    }
}

#[cfg(test)]
mod tests {
    use std::{string::String, vec, vec::Vec};

    use proptest::prelude::*;

    use super::*;
    use crate::StreamRejectCode;
    use crate::error::FieldError;

    /// Source: AWS IoT developer guide, "Build a bitmap for a GetStream request", without its comments.
    const GUIDE: &[u8] = br#"{
    "c" : "1",
    "s" : 1,
    "l" : 256,
    "f" : 1,
    "o" : 20,
    "n" : 32,
    "b" : "0x130080"
}"#;
    /// Source: aws/aws-iot-core-mqtt-file-streams-embedded-c, test/unit-test/downloader_utest.c, with a block size that AWS takes.
    const C_JSON: &[u8] = br#"{"s": 1,"f": 4,"l": 4096,"o": 2,"n": 1}"#;
    /// Source: the same repository, source/MQTTFileDownloader_cbor.c: keys, order and constants of its encoder.
    const C_CBOR: &[u8] = b"\xa6\x61c\x63rdy\x61f\x04\x61l\x19\x10\x00\x61o\x02\x61b\x44MQ==\x61n\x01";

    fn get() -> Get<'static> {
        Get { token: None, version: None, file_id: 0, block_bytes: 4096, offset_blocks: 0, count: None, bitmap: None }
    }

    #[test]
    fn the_request_of_the_guide_asks_for_its_four_blocks() {
        let get = Get::parse_json(GUIDE).unwrap();
        assert_eq!((get.file_id, get.block_bytes, get.offset_blocks, get.count), (1, 256, 20, Some(32)));
        assert_eq!((get.token.unwrap().as_plain(), get.version), (Some("1"), Some(1)));
        assert_eq!(get.wanted().collect::<Vec<_>>(), [20, 21, 24, 43]);
    }

    #[test]
    fn the_requests_of_the_c_client_are_taken() {
        let json = Get::parse_json(C_JSON).unwrap();
        assert_eq!((json.file_id, json.version, json.token), (4, Some(1), None));
        assert_eq!(json.wanted().collect::<Vec<_>>(), [2]);
        let cbor = Get::parse(C_CBOR).unwrap();
        assert_eq!((cbor.file_id, cbor.block_bytes, cbor.token.unwrap().as_plain()), (4, 4096, Some("rdy")));
        assert_eq!(cbor.bitmap, Some(Bitmap::new(b"MQ==").unwrap()));
        assert_eq!(cbor.wanted().collect::<Vec<_>>(), [2], "b has more bits, n ends it");
    }

    #[test]
    fn without_a_count_as_many_as_make_128_kib_are_wanted() {
        assert_eq!(get().wanted().count(), 32);
        assert_eq!(Get { block_bytes: 131_072, ..get() }.wanted().count(), 1);
        let full = [0xFF; 64];
        let marked = Get { bitmap: Some(Bitmap::new(&full).unwrap()), ..get() };
        assert_eq!(marked.wanted().count(), 32);
        assert_eq!(Get { count: Some(0), ..get() }.wanted().count(), 0);
        let last = Get { offset_blocks: 98_304, count: Some(98_304), ..get() };
        assert_eq!(last.wanted().last(), Some(196_607));
    }

    #[test]
    fn a_number_outside_its_range_has_a_code_of_its_own() {
        use StreamRejectCode as Code;
        for (text, code) in [
            (r#"{"f":0,"l":255}"#, Code::BlockSizeOutOfBounds),
            (r#"{"f":0,"l":131073}"#, Code::BlockSizeOutOfBounds),
            (r#"{"f":0,"l":256,"o":98305}"#, Code::OffsetOutOfBounds),
            (r#"{"f":0,"l":256,"n":98305}"#, Code::BlockCountLimitExceeded),
            (r#"{"f":256,"l":256}"#, Code::InvalidRequest),
            (r#"{"f":0,"l":256,"s":65536}"#, Code::InvalidRequest),
            (r#"{"f":0,"l":256,"b":"130080"}"#, Code::InvalidRequest),
            (r#"{"l":256}"#, Code::InvalidRequest),
            (r#"{"f":0}"#, Code::InvalidRequest),
            ("[]", Code::InvalidRequest),
            ("", Code::InvalidJson),
        ] {
            let error = Get::parse_json(text.as_bytes()).unwrap_err();
            assert_eq!(Code::from(error), code, "{text}");
        }
        assert_eq!(Get::parse(b"\xa1"), Err(ParseError::NotCbor { at: 1 }));
        let long = Get { token: Some("t".into()), ..get() };
        let text = "t".repeat(65);
        let long = Get { token: Some(text.as_str().into()), ..long };
        let error = FieldError::TooLong { field: "c", got: 65, max: 64 };
        assert_eq!(long.emit(&mut [0; 256]), Err(error.into()));
        assert_eq!(
            Get { block_bytes: 255, ..get() }.emit(&mut [0; 64]).err(),
            Some(EmitError::OutOfRange { field: "l", got: 255, min: 256, max: 131_072 })
        );
    }

    #[test]
    fn a_number_outside_its_range_is_not_written() {
        let refused = |field, got, min, max| Err(EmitError::OutOfRange { field, got, min, max });
        for (request, error) in [
            (Get { version: Some(65_536), ..get() }, refused("s", 65_536, 0, 65_535)),
            (Get { file_id: 256, ..get() }, refused("f", 256, 0, 255)),
            (Get { block_bytes: 131_073, ..get() }, refused("l", 131_073, 256, 131_072)),
            (Get { offset_blocks: 98_305, ..get() }, refused("o", 98_305, 0, 98_304)),
            (Get { count: Some(98_305), ..get() }, refused("n", 98_305, 0, 98_304)),
        ] {
            assert_eq!(request.emit(&mut [0; 64]), error);
            assert_eq!(request.emit_json(&mut [0; 64]), error);
        }
        let largest = Get {
            token: Some("c".into()),
            version: Some(65_535),
            file_id: 255,
            block_bytes: 131_072,
            offset_blocks: 98_304,
            count: Some(98_304),
            bitmap: Some(Bitmap::new(&[0x13]).unwrap()),
        };
        let mut out = [0; 128];
        let len = largest.emit(&mut out).unwrap();
        let bytes = b"\xa7\x61c\x61c\x61s\x19\xff\xff\x61f\x18\xff\x61l\x1a\x00\x02\x00\x00\x61o\x1a\x00\x01\x80\x00\x61n\x1a\x00\x01\x80\x00\x61b\x41\x13";
        assert_eq!(&out[..len], bytes);
        assert_eq!(Get::parse(&out[..len]).unwrap(), largest);
        let len = largest.emit_json(&mut out).unwrap();
        let text = br#"{"c":"c","s":65535,"f":255,"l":131072,"o":98304,"n":98304,"b":"0x13"}"#;
        assert_eq!(&out[..len], text);
        assert_eq!(Get::parse_json(text).unwrap(), largest);
    }

    #[test]
    fn a_bitmap_of_another_type_is_refused() {
        for (text, error) in [
            (r#"{"f":0,"l":256,"b":7}"#, ParseError::WrongType { field: "b" }),
            (r#"{"f":0,"l":256,"b":"0x\u0031\u0033"}"#, ParseError::Invalid { field: "b" }),
        ] {
            assert_eq!(Get::parse_json(text.as_bytes()), Err(error), "{text}");
        }
        let text = b"\xa3\x61f\x00\x61l\x19\x01\x00\x61b\x62MQ";
        assert_eq!(Get::parse(text), Err(ParseError::WrongType { field: "b" }));
    }

    #[test]
    fn a_bitmap_too_long_has_a_code_of_its_own() {
        let mut bytes = vec![0xA3, 0x61, b'f', 0, 0x61, b'l', 0x19, 1, 0, 0x61, b'b', 0x59, 0x30, 0x00];
        bytes.resize(bytes.len() + 12_288, 0);
        let error = Get::parse(&bytes).unwrap_err();
        assert_eq!(StreamRejectCode::from(error), StreamRejectCode::BlockBitmapLimitExceeded);
    }

    proptest! {
        #[test]
        fn a_request_comes_back_as_it_was_in_both_encodings(
            token in proptest::option::of("[\\PC]{0,16}"), version in proptest::option::of(0u32..=65_535), file_id in 0u32..256,
            block_bytes in 256u32..=131_072, offset_blocks in 0u32..=98_304, count in proptest::option::of(0u32..=98_304),
            bitmap: Option<[u8; 13]>,
        ) {
            let get = Get {
                token: token.as_deref().map(JsonStr::plain), version, file_id, block_bytes, offset_blocks, count,
                bitmap: bitmap.as_ref().map(|bytes| Bitmap::new(bytes).unwrap()),
            };
            let mut out = [0; 256];
            let len = get.emit(&mut out).unwrap();
            prop_assert!(minicbor::Decoder::new(&out[..len]).skip().is_ok());
            prop_assert_eq!(Get::parse(&out[..len]).unwrap(), get.clone());
            let len = get.emit_json(&mut out).unwrap();
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&out[..len]).is_ok());
            prop_assert_eq!(Get::parse_json(&out[..len]).unwrap(), get.clone());
            prop_assert_eq!(get.emit_json(&mut out[..len - 1]), Err(EmitError::BufferTooSmall { have: len - 1 }));
        }

        #[test]
        fn what_another_writer_writes_is_read(file_id in 0u8..=255, block_bytes in 256u32..=131_072, offset in 0u32..=98_304, more: String) {
            let mut theirs = minicbor::Encoder::new(Vec::new());
            theirs.begin_map().unwrap().str("o").unwrap().u32(offset).unwrap().str("x").unwrap().str(&more).unwrap();
            theirs.str("l").unwrap().u64(block_bytes.into()).unwrap().str("f").unwrap().u8(file_id).unwrap().end().unwrap();
            let theirs = theirs.into_writer();
            let get = Get::parse(&theirs).unwrap();
            prop_assert_eq!((get.file_id, get.block_bytes, get.offset_blocks), (file_id.into(), block_bytes, offset));
        }
    }
}
