//! A value in JSON or CBOR, and a reader of fields by key.

use crate::cbor::Cbor;
use crate::error::{Duplicate, ParseError};
use crate::ids::{JobId, ThingName};
use crate::json::{RawJson, digits};
use crate::status::Status;
use crate::text::JsonStr;

/// The name of the whole message in refusals.
pub(crate) const MESSAGE: &str = "message";

/// A value in JSON or CBOR.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Json(RawJson<'a>),
    Cbor(Cbor<'a>),
}

impl<'a> Value<'a> {
    fn is_object(self) -> bool {
        match self {
            Value::Json(json) => json.is_object(),
            Value::Cbor(cbor) => cbor.is_map(),
        }
    }

    /// The value of an object's key; `None` where it is absent or null.
    fn find(self, key: &str) -> Result<Option<Self>, Duplicate> {
        match self {
            Value::Json(json) => json.find(key).map(|found| found.map(Value::Json)),
            Value::Cbor(cbor) => cbor.find(key).map(|found| found.map(Value::Cbor)),
        }
    }

    /// Returns an unsigned integer, `u64::MAX` if it is larger; `None` for any other type.
    fn number(self) -> Option<u64> {
        match self {
            Value::Json(json) => digits(json.as_str()),
            Value::Cbor(cbor) => cbor.unsigned(),
        }
    }

    /// Returns the text of a string.
    ///
    /// Errors: [`ParseError::WrongType`], [`ParseError::LoneSurrogate`].
    pub(crate) fn text(self, field: &'static str) -> Result<JsonStr<'a>, ParseError> {
        match self {
            Value::Json(json) => json.text(field),
            Value::Cbor(cbor) => cbor.text(field),
        }
    }
}

/// Reads the fields of an object. The first error is recorded and returned by [`Fields::finish`]; a field with an error
/// reads as absent.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    object: Value<'a>,
    /// The name used in the error for a scalar of the wrong type, if not its own.
    whole: Option<&'static str>,
    refused: Result<(), ParseError>,
}

impl<'a> Fields<'a> {
    /// Creates a reader; all fields are absent if `object` is not an object.
    pub(crate) fn of(object: Value<'a>) -> Self {
        Self { object, whole: None, refused: Ok(()) }
    }

    /// As [`Self::of`], but records an error under the name `field` if `object` is not an object.
    pub(crate) fn new(object: Value<'a>, field: &'static str) -> Self {
        let mut fields = Self::of(object);
        if !object.is_object() {
            fields.refuse(ParseError::WrongType { field });
        }
        fields
    }

    /// As [`Self::new`], for an object whose scalars of the wrong type are reported under the name `whole`.
    pub(crate) fn envelope(object: RawJson<'a>, whole: &'static str) -> Self {
        let mut fields = Self::new(Value::Json(object), whole);
        fields.whole = Some(whole);
        fields
    }

    /// Returns the first error.
    pub(crate) fn finish(self) -> Result<(), ParseError> {
        self.refused
    }

    /// Records an error, unless there already is one.
    pub(crate) fn refuse(&mut self, error: ParseError) {
        if self.refused.is_ok() {
            self.refused = Err(error);
        }
    }

    /// Reads a value.
    pub(crate) fn value(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.find(key, None)
    }

    /// Reads a value. A duplicate is reported as a wrong type under the name `whole`, if there is one.
    fn find(&mut self, key: &'static str, whole: Option<&'static str>) -> Option<Value<'a>> {
        let found = self.object.find(key);
        if found.is_err() {
            self.refuse(match whole {
                Some(field) => ParseError::WrongType { field },
                None => ParseError::Duplicate { field: key },
            });
        }
        found.ok().flatten()
    }

    /// Reads a JSON value.
    pub(crate) fn raw(&mut self, key: &'static str) -> Option<RawJson<'a>> {
        match self.value(key)? {
            Value::Json(json) => Some(json),
            Value::Cbor(_) => None,
        }
    }

    /// Reads a required JSON array; empty on an error.
    pub(crate) fn array(&mut self, key: &'static str) -> RawJson<'a> {
        match self.raw(key) {
            Some(array) if array.is_array() => return array,
            Some(_) => self.refuse(ParseError::WrongType { field: key }),
            None => self.refuse(ParseError::Missing { field: key }),
        }
        RawJson::written("[]")
    }

    fn scalar(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.find(key, self.whole)
    }

    fn wrong_type(&mut self, key: &'static str) {
        self.refuse(ParseError::WrongType { field: self.whole.unwrap_or(key) });
    }

    /// Reads a text.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<JsonStr<'a>> {
        let text = self.scalar(key)?.text(key);
        match text {
            Err(ParseError::WrongType { .. }) => self.wrong_type(key),
            Err(error) => self.refuse(error),
            Ok(_) => {}
        }
        text.ok()
    }

    /// Reads a string whose contents are used as they are, escapes included.
    pub(crate) fn plain(&mut self, key: &'static str) -> Option<&'a str> {
        let Value::Json(json) = self.scalar(key)? else { return None };
        let contents = json.contents();
        if contents.is_none() {
            self.wrong_type(key);
        }
        contents
    }

    /// Reads a required string as [`Self::plain`] does; empty on an error.
    pub(crate) fn required_plain(&mut self, key: &'static str) -> &'a str {
        let text = self.plain(key);
        self.required(key, text)
    }

    /// Reads the name of the thing of an execution.
    pub(crate) fn thing_name(&mut self) -> Option<&'a str> {
        let name = self.plain("thingName")?;
        if let Err(error) = ThingName::check(name) {
            self.refuse(error.into());
        }
        Some(name)
    }

    /// Reads the job id of an execution.
    pub(crate) fn job_id(&mut self) -> JobId {
        let id = self.required_plain("jobId");
        JobId::new(id).unwrap_or_else(|error| {
            self.refuse(error.into());
            JobId::empty() // not returned: the error is recorded
        })
    }

    /// Reads the status of an execution.
    pub(crate) fn status(&mut self) -> Status {
        let name = self.required_plain("status");
        Status::parse(name).unwrap_or_else(|| {
            self.refuse(ParseError::Invalid { field: "status" });
            Status::Queued // not returned: the error is recorded
        })
    }

    /// Reads the version of an execution.
    pub(crate) fn version(&mut self) -> u64 {
        let version = self.number("versionNumber");
        self.required("versionNumber", version)
    }

    /// Reads an unsigned integer of 64 bits.
    pub(crate) fn number(&mut self, key: &'static str) -> Option<u64> {
        self.parsed(key)
    }

    /// Reads a JSON scalar that has the same syntax in Rust: `true`, `-5`.
    pub(crate) fn parsed<T: core::str::FromStr>(&mut self, key: &'static str) -> Option<T> {
        let Value::Json(json) = self.scalar(key)? else { return None };
        let parsed = json.as_str().parse().ok();
        if parsed.is_none() {
            self.wrong_type(key);
        }
        parsed
    }

    /// Reads an integer in `min..=max`.
    pub(crate) fn within(&mut self, key: &'static str, min: u32, max: u32) -> Option<u32> {
        let value = self.scalar(key)?;
        let Some(got) = value.number() else {
            self.wrong_type(key);
            return None;
        };
        if (u64::from(min)..=u64::from(max)).contains(&got) {
            return Some(got as u32); // in range, so it fits
        }
        self.refuse(ParseError::OutOfRange { field: key, got, min: min.into(), max: max.into() });
        None
    }

    /// Reads a required integer as [`Self::within`] does; 0 on an error.
    pub(crate) fn required_within(&mut self, key: &'static str, min: u32, max: u32) -> u32 {
        let number = self.within(key, min, max);
        self.required(key, number)
    }

    /// Records an error if a required field is absent, and returns its default then.
    pub(crate) fn required<T: Default>(&mut self, key: &'static str, value: Option<T>) -> T {
        if value.is_none() {
            self.refuse(ParseError::Missing { field: key });
        }
        value.unwrap_or_default()
    }
}
