//! The files of a stream: topic `streams/{stream}/description/{encoding}`.

use crate::cbor::{Cbor, CborWriter, Items};
use crate::error::{EmitError, ParseError};
use crate::json::{Elements, RawJson};
use crate::json_writer::JsonWriter;
use crate::limits::{FILE_BYTES_MAX, FILE_ID_MAX, STREAM_VERSION_MAX};
use crate::stream::check::{self, check_range};
use crate::text::JsonStr;
use crate::value::{Fields, Value};

/// The files of a stream.
#[derive(Clone, Debug)]
pub struct Description<'a> {
    /// `c`: from the request.
    pub token: Option<JsonStr<'a>>,
    /// `s`: the stream's version, 0..=65,535.
    pub version: u32,
    /// `d`: human-readable description.
    pub text: Option<JsonStr<'a>>,
    /// `r`: the files.
    pub files: StreamFiles<'a>,
}

/// A file of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamFile {
    /// `f`: its number, 0..=255.
    pub file_id: u32,
    /// `z`: its size. Unit: bytes.
    pub file_size: u32,
}

/// A list of files: parsed lazily from its message, or borrowed from the caller to be written.
#[derive(Clone, Copy, Debug)]
pub struct StreamFiles<'a>(List<'a>);

#[derive(Clone, Copy, Debug)]
enum List<'a> {
    Json(RawJson<'a>),
    Cbor(Cbor<'a>),
    Given(&'a [StreamFile]),
}

impl<'a> StreamFiles<'a> {
    /// Creates a list to be written.
    pub const fn new(files: &'a [StreamFile]) -> Self {
        Self(List::Given(files))
    }

    /// Reads the list of a message, which is required.
    fn read(fields: &mut Fields<'a>) -> Self {
        const FIELD: &str = "r";
        match fields.value(FIELD) {
            Some(Value::Json(array)) if array.is_array() => return Self(List::Json(array)),
            Some(Value::Cbor(array)) if array.is_array() => return Self(List::Cbor(array)),
            Some(_) => fields.refuse(ParseError::WrongType { field: FIELD }),
            None => fields.refuse(ParseError::Missing { field: FIELD }),
        }
        Self::new(&[])
    }

    /// Returns the files in the service's order. An element that cannot be parsed is an error by itself.
    pub fn iter(&self) -> Files<'a> {
        Files(match self.0 {
            List::Json(array) => Lines::Json(array.elements()),
            List::Cbor(array) => Lines::Cbor(array.items(crate::cbor::ARRAY)),
            List::Given(files) => Lines::Given(files.iter()),
        })
    }
}

/// Iterator over the files of a stream.
#[derive(Clone, Debug)]
pub struct Files<'a>(Lines<'a>);

#[derive(Clone, Debug)]
enum Lines<'a> {
    Json(Elements<'a>),
    Cbor(Items<'a>),
    Given(core::slice::Iter<'a, StreamFile>),
}

impl Iterator for Files<'_> {
    type Item = Result<StreamFile, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Lines::Json(lines) => lines.next().map(|line| StreamFile::read(Value::Json(line))),
            Lines::Cbor(lines) => lines.next().map(|line| StreamFile::read(Value::Cbor(line))),
            Lines::Given(lines) => lines.next().copied().map(Ok),
        }
    }
}

impl StreamFile {
    fn read(line: Value<'_>) -> Result<Self, ParseError> {
        let mut fields = Fields::of(line);
        let file = Self {
            file_id: fields.required_within("f", 0, FILE_ID_MAX),
            file_size: fields.required_within("z", 0, FILE_BYTES_MAX),
        };
        fields.finish().map(|()| file)
    }
}

impl<'a> Description<'a> {
    /// Parses a response in CBOR; the list is parsed when it is iterated.
    ///
    /// Errors: [`ParseError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        Self::read(Value::Cbor(Cbor::parse(bytes)?))
    }

    /// Parses a response in JSON; the list is parsed when it is iterated.
    ///
    /// Errors: [`ParseError`].
    pub fn parse_json(bytes: &'a [u8]) -> Result<Self, ParseError> {
        Self::read(Value::Json(RawJson::parse(bytes)?))
    }

    fn read(message: Value<'a>) -> Result<Self, ParseError> {
        let mut fields = Fields::of(message);
        let description = Self {
            files: StreamFiles::read(&mut fields),
            token: check::token(&mut fields, "c"),
            version: fields.required_within("s", 0, STREAM_VERSION_MAX),
            text: fields.text("d"),
        };
        fields.finish().map(|()| description)
    }

    /// Writes the response in CBOR and returns its length.
    ///
    /// Elements that cannot be parsed are omitted.
    ///
    /// Errors: [`EmitError`], also for a number outside its range.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        self.check()?;
        let mut writer = CborWriter::new(out);
        writer.map(2 + usize::from(self.token.is_some()) + usize::from(self.text.is_some()));
        writer.optional_text("c", self.token);
        writer.number("s", self.version);
        writer.optional_text("d", self.text);
        writer.key("r");
        writer.array(self.files.iter().flatten().count());
        for file in self.files.iter().flatten() {
            writer.map(2);
            writer.number("f", file.file_id);
            writer.number("z", file.file_size);
        }
        writer.finish()
    }

    /// Writes the response in JSON and returns its length.
    ///
    /// Errors: as [`Self::emit`].
    pub fn emit_json(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        self.check()?;
        let mut writer = JsonWriter::new(out);
        writer.text("c", self.token);
        writer.number("s", Some(self.version.into()));
        writer.text("d", self.text);
        writer.open_member("r", b"[");
        for file in self.files.iter().flatten() {
            writer.open_element(b"{");
            writer.number("f", Some(file.file_id.into()));
            writer.number("z", Some(file.file_size.into()));
            writer.close(b"}");
        }
        writer.close(b"]");
        writer.finish()
    }

    fn check(&self) -> Result<(), EmitError> {
        check::check_token(self.token.as_ref())?;
        check_range("s", self.version, 0, STREAM_VERSION_MAX)?;
        self.files.iter().flatten().try_for_each(|file| check_range("f", file.file_id, 0, FILE_ID_MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// Source: AWS IoT developer guide, "DescribeStream response".
    const GUIDE: &[u8] = br#"{
    "c": "ec944cfb-1e3c-49ac-97de-9dc4aaad0039",
    "s": 1,
    "d": "This is the description of stream ABC.",
    "r": [
        {
            "f": 0,
            "z": 131072
        },
        {
            "f": 1,
            "z": 51200
        }
    ]
}"#;
    const FILES: [StreamFile; 2] =
        [StreamFile { file_id: 0, file_size: 131_072 }, StreamFile { file_id: 1, file_size: 51_200 }];

    fn files(description: &Description<'_>) -> Vec<StreamFile> {
        description.files.iter().map(Result::unwrap).collect()
    }

    #[test]
    fn the_answer_of_the_guide_is_read() {
        let description = Description::parse_json(GUIDE).unwrap();
        assert_eq!((description.version, files(&description).as_slice()), (1, &FILES[..]));
        assert_eq!(description.text.unwrap(), "This is the description of stream ABC.");
        assert_eq!(description.token.unwrap(), "ec944cfb-1e3c-49ac-97de-9dc4aaad0039");
    }

    #[test]
    fn what_is_written_means_what_the_guide_says() {
        let given = Description { files: StreamFiles::new(&FILES), ..Description::parse_json(GUIDE).unwrap() };
        let mut out = [0; 256];
        let len = given.emit_json(&mut out).unwrap();
        let ours: serde_json::Value = serde_json::from_slice(&out[..len]).unwrap();
        assert_eq!(ours, serde_json::from_slice::<serde_json::Value>(GUIDE).unwrap());
        let len = given.emit(&mut out).unwrap();
        assert!(minicbor::Decoder::new(&out[..len]).skip().is_ok());
        assert_eq!(files(&Description::parse(&out[..len]).unwrap()), FILES);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (text, error) in [
            ("{}", ParseError::Missing { field: "r" }),
            (r#"{"r":[]}"#, ParseError::Missing { field: "s" }),
            (r#"{"r":{},"s":1}"#, ParseError::WrongType { field: "r" }),
        ] {
            assert_eq!(Description::parse_json(text.as_bytes()).err(), Some(error), "{text}");
        }
        let description = Description::parse_json(br#"{"s":1,"r":[{"f":0},{"f":1,"z":2}]}"#).unwrap();
        assert_eq!(description.files.iter().next(), Some(Err(ParseError::Missing { field: "z" })));
        // {"s": 1, "r": [["f", 0, "z", 1]]}
        let description = Description::parse(b"\xa2\x61s\x01\x61r\x81\x84\x61f\x00\x61z\x01").unwrap();
        assert_eq!(description.files.iter().next(), Some(Err(ParseError::Missing { field: "f" })));
        assert_eq!(Description::parse(b"\xa2\x61s\x01\x61r\xa0").err(), Some(ParseError::WrongType { field: "r" }));
    }

    #[test]
    fn what_is_out_of_range_is_not_written_and_what_cannot_be_parsed_is_left_out() {
        let range = |field, got, max| Err(EmitError::OutOfRange { field, got, min: 0, max });
        let given = |version, files| Description { token: None, version, text: None, files: StreamFiles::new(files) };
        let mut out = [0; 64];
        assert_eq!(given(65_536, &[]).emit(&mut out), range("s", 65_536, 65_535));
        assert_eq!(given(65_536, &[]).emit_json(&mut out), range("s", 65_536, 65_535));
        let wide = [StreamFile { file_id: 256, file_size: 0 }];
        assert_eq!(given(1, &wide).emit(&mut out), range("f", 256, 255));
        assert_eq!(given(1, &wide).emit_json(&mut out), range("f", 256, 255));
        let token = "t".repeat(65);
        let long = Description { token: Some(token.as_str().into()), ..given(1, &[]) };
        assert!(long.emit(&mut out).is_err() && long.emit_json(&mut out).is_err());
        let partly = Description::parse_json(br#"{"c":"t","s":1,"d":"x","r":[{"f":0},{"f":1,"z":2}]}"#).unwrap();
        let len = partly.emit(&mut out).unwrap();
        assert_eq!(&out[..len], b"\xa4\x61c\x61t\x61s\x01\x61d\x61x\x61r\x81\xa2\x61f\x01\x61z\x02");
        let len = partly.emit_json(&mut out).unwrap();
        assert_eq!(&out[..len], br#"{"c":"t","s":1,"d":"x","r":[{"f":1,"z":2}]}"#);
    }

    proptest! {
        #[test]
        fn an_answer_comes_back_as_it_was_in_both_encodings(
            version in 0u32..=65_535, list in proptest::collection::vec((0u32..256, any::<u32>()), 0..50), text in proptest::option::of("[\\PC]{0,30}"),
        ) {
            let list: Vec<_> = list.into_iter().map(|(file_id, file_size)| StreamFile { file_id, file_size }).collect();
            let given = Description { token: None, version, text: text.as_deref().map(JsonStr::plain), files: StreamFiles::new(&list) };
            let mut out = [0; 4096];
            let len = given.emit(&mut out).unwrap();
            let read = Description::parse(&out[..len]).unwrap();
            prop_assert_eq!((files(&read), read.version, read.text), (list.clone(), version, given.text));
            let len = given.emit_json(&mut out).unwrap();
            let read = Description::parse_json(&out[..len]).unwrap();
            prop_assert_eq!((files(&read), read.version, read.text), (list.clone(), version, given.text));
        }
    }
}
