//! Which files a stream has: topic `streams/{stream}/description/{encoding}`.

use serde::{Serialize, Serializer};

use crate::cbor::{Cbor, Items, Writer};
use crate::envelope;
use crate::error::{EmitError, ParseError};
use crate::json::{Elements, RawJson};
use crate::limits::{FILE_BYTES_MAX, FILE_ID_MAX, STREAM_VERSION_MAX};
use crate::stream::value::{self, Value, check_range, object, required};
use crate::text::{self, Escaped};

/// Which files a stream has.
#[derive(Clone, Debug)]
pub struct Description<'a> {
    /// `c`: from the request.
    pub token: Option<Escaped<'a>>,
    /// `s`: the stream's version, 0..=65,535.
    pub version: u32,
    /// `d`: for people.
    pub text: Option<Escaped<'a>>,
    /// `r`: the files.
    pub files: StreamFiles<'a>,
}

/// A file of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StreamFile {
    /// `f`: its number, 0..=255.
    #[serde(rename = "f")]
    pub file_id: u32,
    /// `z`: its size. Unit: bytes.
    #[serde(rename = "z")]
    pub file_size: u32,
}

/// A list of files: read from its message one by one, or given to be written. It costs no memory either way.
#[derive(Clone, Copy, Debug)]
pub struct StreamFiles<'a>(List<'a>);

#[derive(Clone, Copy, Debug)]
enum List<'a> {
    Json(RawJson<'a>),
    Cbor(Cbor<'a>),
    Given(&'a [StreamFile]),
}

impl<'a> StreamFiles<'a> {
    /// A list to write.
    pub const fn new(files: &'a [StreamFile]) -> Self {
        Self(List::Given(files))
    }

    /// The files, in the service's order; a line that cannot be read is an error of its own.
    pub fn iter(&self) -> Files<'a> {
        Files(match self.0 {
            List::Json(array) => Lines::Json(array.elements()),
            List::Cbor(array) => Lines::Cbor(array.items(crate::cbor::ARRAY)),
            List::Given(files) => Lines::Given(files.iter()),
        })
    }
}

/// The files of a stream, one by one.
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
            Lines::Json(lines) => lines.next().map(StreamFile::read),
            Lines::Cbor(lines) => lines.next().map(StreamFile::read),
            Lines::Given(lines) => lines.next().copied().map(Ok),
        }
    }
}

impl StreamFile {
    fn read<'a>(line: impl Value<'a>) -> Result<Self, ParseError> {
        Ok(Self { file_id: required(line, "f", 0, FILE_ID_MAX)?, file_size: required(line, "z", 0, FILE_BYTES_MAX)? })
    }
}

impl<'a> Description<'a> {
    /// Reads an answer in CBOR; the list is read when it is iterated.
    ///
    /// Errors: [`ParseError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let message = Cbor::parse(bytes)?;
        let files = message.member("r")?.ok_or(ParseError::Missing { field: "r" })?;
        files.elements("r")?;
        Self::read(message, StreamFiles(List::Cbor(files)))
    }

    /// Reads an answer in JSON; the list is read when it is iterated.
    ///
    /// Errors: [`ParseError`].
    pub fn parse_json(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let message = RawJson::parse(bytes)?;
        let files = message.member("r")?.ok_or(ParseError::Missing { field: "r" })?;
        if !files.is_array() {
            return Err(ParseError::WrongType { field: "r" });
        }
        Self::read(message, StreamFiles(List::Json(files)))
    }

    fn read(message: impl Value<'a>, files: StreamFiles<'a>) -> Result<Self, ParseError> {
        let message = object(message)?;
        Ok(Self {
            token: value::token(message, "c")?,
            version: required(message, "s", 0, STREAM_VERSION_MAX)?,
            text: message.member("d")?.map(|text| text.text("d")).transpose()?,
            files,
        })
    }

    /// Writes the answer in CBOR and returns its length.
    ///
    /// Errors: [`EmitError`], also for a number outside its range. A line that was read and cannot be is left out.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        self.check()?;
        let mut writer = Writer::new(out);
        writer.map(2 + usize::from(self.token.is_some()) + usize::from(self.text.is_some()))?;
        if let Some(token) = &self.token {
            writer.text("c", token)?;
        }
        writer.number("s", self.version)?;
        if let Some(text) = &self.text {
            writer.text("d", text)?;
        }
        writer.key("r")?;
        writer.array(self.files.iter().flatten().count())?;
        for file in self.files.iter().flatten() {
            writer.map(2)?;
            writer.number("f", file.file_id)?;
            writer.number("z", file.file_size)?;
        }
        Ok(writer.len())
    }

    /// Writes the answer in JSON and returns its length.
    ///
    /// Errors: as [`Self::emit`].
    pub fn emit_json(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        self.check()?;
        let wire = Wire { c: self.token.map(text::Wire), s: self.version, d: self.text.map(text::Wire), r: self.files };
        envelope::emit(&wire, out)
    }

    fn check(&self) -> Result<(), EmitError> {
        value::check_token(self.token.as_ref())?;
        check_range("s", self.version, 0, STREAM_VERSION_MAX)?;
        self.files.iter().flatten().try_for_each(|file| check_range("f", file.file_id, 0, FILE_ID_MAX))
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    c: Option<text::Wire<'a>>,
    s: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    d: Option<text::Wire<'a>>,
    r: StreamFiles<'a>,
}

impl Serialize for StreamFiles<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().flatten())
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
        assert_eq!(Description::parse(b"\xa2\x61s\x01\x61r\xa0").err(), Some(ParseError::WrongType { field: "r" }));
    }

    proptest! {
        #[test]
        fn an_answer_comes_back_as_it_was_in_both_encodings(
            version in 0u32..=65_535, list in proptest::collection::vec((0u32..256, any::<u32>()), 0..50), text in proptest::option::of("[\\PC]{0,30}"),
        ) {
            let list: Vec<_> = list.into_iter().map(|(file_id, file_size)| StreamFile { file_id, file_size }).collect();
            let given = Description { token: None, version, text: text.as_deref().map(Escaped::plain), files: StreamFiles::new(&list) };
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
