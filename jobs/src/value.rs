//! A value of a message in either encoding, and the one way to read fields by key.

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

    /// A whole number, `u64::MAX` if it is larger; `None` for any other type.
    fn number(self) -> Option<u64> {
        match self {
            Value::Json(json) => digits(json.as_str()),
            Value::Cbor(cbor) => cbor.unsigned(),
        }
    }

    /// The text of a string.
    ///
    /// Errors: [`ParseError::WrongType`], [`ParseError::LoneSurrogate`].
    pub(crate) fn text(self, field: &'static str) -> Result<JsonStr<'a>, ParseError> {
        match self {
            Value::Json(json) => json.text(field),
            Value::Cbor(cbor) => cbor.text(field),
        }
    }
}

/// The fields of one object. The first refusal is kept, and [`Fields::finish`] returns it: until then, a field that is
/// refused reads as absent.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    object: Value<'a>,
    /// The name under which a scalar of the wrong type is refused, if not under its own.
    whole: Option<&'static str>,
    refused: Result<(), ParseError>,
}

impl<'a> Fields<'a> {
    /// The fields of `object`; all are absent if it is none.
    pub(crate) fn of(object: Value<'a>) -> Self {
        Self { object, whole: None, refused: Ok(()) }
    }

    /// As [`Self::of`], but what is not an object is refused as `field`.
    pub(crate) fn new(object: Value<'a>, field: &'static str) -> Self {
        let mut fields = Self::of(object);
        if !object.is_object() {
            fields.refuse(ParseError::WrongType { field });
        }
        fields
    }

    /// As [`Self::new`], for an object whose scalars of the wrong type are refused as `whole`.
    pub(crate) fn envelope(object: RawJson<'a>, whole: &'static str) -> Self {
        let mut fields = Self::new(Value::Json(object), whole);
        fields.whole = Some(whole);
        fields
    }

    /// The first refusal.
    pub(crate) fn finish(self) -> Result<(), ParseError> {
        self.refused
    }

    /// Keeps a refusal, unless there is one.
    pub(crate) fn refuse(&mut self, error: ParseError) {
        if self.refused.is_ok() {
            self.refused = Err(error);
        }
    }

    /// The value of a field.
    pub(crate) fn value(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.find(key, None)
    }

    /// The value of a field; one that occurs twice has the wrong type if that is refused as `whole`.
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

    /// The value of a field, as JSON.
    pub(crate) fn raw(&mut self, key: &'static str) -> Option<RawJson<'a>> {
        match self.value(key)? {
            Value::Json(json) => Some(json),
            Value::Cbor(_) => None,
        }
    }

    /// A JSON array that must be there; an empty one stands in for what is refused.
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

    /// A text.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<JsonStr<'a>> {
        let text = self.scalar(key)?.text(key);
        match text {
            Err(ParseError::WrongType { .. }) => self.wrong_type(key),
            Err(error) => self.refuse(error),
            Ok(_) => {}
        }
        text.ok()
    }

    /// A text that is compared or checked as it is in the message, its escapes included.
    pub(crate) fn plain(&mut self, key: &'static str) -> Option<&'a str> {
        let Value::Json(json) = self.scalar(key)? else { return None };
        let contents = json.contents();
        if contents.is_none() {
            self.wrong_type(key);
        }
        contents
    }

    /// As [`Self::plain`], for a field that must be there; empty if it is refused.
    pub(crate) fn required_plain(&mut self, key: &'static str) -> &'a str {
        let text = self.plain(key);
        self.required(key, text)
    }

    /// The thing of an execution.
    pub(crate) fn thing_name(&mut self) -> Option<&'a str> {
        let name = self.plain("thingName")?;
        if let Err(error) = ThingName::check(name) {
            self.refuse(error.into());
        }
        Some(name)
    }

    /// The job of an execution.
    pub(crate) fn job_id(&mut self) -> JobId {
        let id = self.required_plain("jobId");
        JobId::new(id).unwrap_or_else(|error| {
            self.refuse(error.into());
            JobId::empty() // not returned: the refusal is kept
        })
    }

    /// The state of an execution.
    pub(crate) fn status(&mut self) -> Status {
        let name = self.required_plain("status");
        Status::parse(name).unwrap_or_else(|| {
            self.refuse(ParseError::Invalid { field: "status" });
            Status::Queued // not returned: the refusal is kept
        })
    }

    /// The version of an execution.
    pub(crate) fn version(&mut self) -> u64 {
        let version = self.number("versionNumber");
        self.required("versionNumber", version)
    }

    /// A whole number of 64 bits.
    pub(crate) fn number(&mut self, key: &'static str) -> Option<u64> {
        self.parsed(key)
    }

    /// A JSON scalar whose spelling is that of Rust: `true`, `-5`.
    pub(crate) fn parsed<T: core::str::FromStr>(&mut self, key: &'static str) -> Option<T> {
        let Value::Json(json) = self.scalar(key)? else { return None };
        let parsed = json.as_str().parse().ok();
        if parsed.is_none() {
            self.wrong_type(key);
        }
        parsed
    }

    /// A whole number from `min` to `max`.
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

    /// As [`Self::within`], for a field that must be there.
    pub(crate) fn required_within(&mut self, key: &'static str, min: u32, max: u32) -> u32 {
        let number = self.within(key, min, max);
        self.required(key, number)
    }

    /// The value of a field that must be there; a default stands in for what is refused.
    pub(crate) fn required<T: Default>(&mut self, key: &'static str, value: Option<T>) -> T {
        if value.is_none() {
            self.refuse(ParseError::Missing { field: key });
        }
        value.unwrap_or_default()
    }
}
