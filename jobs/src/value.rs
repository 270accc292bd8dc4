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

    /// Ends the fields that the reader of the message needs: returns the first error. Errors of fields that are read later do
    /// not count; such a field reads as absent.
    pub(crate) fn needed(&self) -> Result<(), ParseError> {
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
        ThingName::check(name).map_err(|error| self.refuse(error.into())).ok()?;
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

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;
    use crate::error::FieldError;

    /// What `read` returns or the error that is recorded.
    fn envelope<'a, T>(text: &'a str, read: impl FnOnce(&mut Fields<'a>) -> T) -> Result<T, ParseError> {
        let mut fields = Fields::envelope(RawJson::parse(text.as_bytes()).unwrap(), "whole");
        let value = read(&mut fields);
        fields.finish().map(|()| value)
    }

    fn named<'a, T>(value: Value<'a>, read: impl FnOnce(&mut Fields<'a>) -> T) -> Result<T, ParseError> {
        let mut fields = Fields::new(value, "object");
        let read = read(&mut fields);
        fields.finish().map(|()| read)
    }

    fn json(text: &str) -> Value<'_> {
        Value::Json(RawJson::parse(text.as_bytes()).unwrap())
    }

    fn cbor(bytes: &[u8]) -> Value<'_> {
        Value::Cbor(Cbor::parse(bytes).unwrap())
    }

    #[test]
    fn scalars_of_an_envelope_are_refused_under_its_name() {
        let wrong = || Err(ParseError::WrongType { field: "whole" });
        for value in ["{}", "[]", "1.5", "-1", "18446744073709551616", "true", r#""1""#] {
            assert_eq!(envelope(&format!(r#"{{"k":{value}}}"#), |fields| fields.number("k")), wrong(), "{value}");
        }
        for value in ["{}", "[]", "7", "true"] {
            let text = format!(r#"{{"k":{value}}}"#);
            assert_eq!(envelope(&text, |fields| fields.text("k")).err(), wrong().err(), "{value}");
            assert_eq!(envelope(&text, |fields| fields.plain("k")).err(), wrong().err(), "{value}");
        }
        for value in ["0", r#""true""#, "{}"] {
            assert_eq!(
                envelope(&format!(r#"{{"k":{value}}}"#), |fields| fields.parsed::<bool>("k")).err(),
                wrong().err()
            );
        }
        assert_eq!(envelope(r#"{"k":1,"k":1}"#, |fields| fields.number("k")), wrong());
        assert_eq!(envelope(r#"{"k":1,"k":1}"#, |fields| fields.within("k", 0, 9)).err(), wrong().err());
        assert_eq!(envelope("[]", |fields| fields.number("k")), wrong());
        let lone = ParseError::LoneSurrogate { field: "k" };
        assert_eq!(envelope(r#"{"k":"\ud800"}"#, |fields| fields.text("k")), Err(lone));
    }

    #[test]
    fn values_of_an_envelope_are_refused_under_their_own() {
        let twice = ParseError::Duplicate { field: "k" };
        assert_eq!(envelope(r#"{"k":{},"k":{}}"#, |fields| fields.raw("k")), Err(twice));
        assert_eq!(envelope(r#"{"k":{}}"#, |fields| fields.array("k")), Err(ParseError::WrongType { field: "k" }));
        assert_eq!(envelope("{}", |fields| fields.array("k")), Err(ParseError::Missing { field: "k" }));
        assert_eq!(envelope("{}", |fields| fields.required_plain("k")), Err(ParseError::Missing { field: "k" }));
        assert_eq!(envelope(r#"{"k":[1]}"#, |fields| fields.array("k").elements().count()), Ok(1));
    }

    #[test]
    fn scalars_of_other_objects_are_refused_under_their_own_name_in_both_encodings() {
        for (value, error) in [
            (json(r#"{"k":[]}"#), ParseError::WrongType { field: "k" }),
            (json(r#"{"k":-1}"#), ParseError::WrongType { field: "k" }),
            (json(r#"{"k":1,"k":1}"#), ParseError::Duplicate { field: "k" }),
            (json(r#"{"k":9}"#), ParseError::OutOfRange { field: "k", got: 9, min: 2, max: 8 }),
            (json(r#"{"k":1}"#), ParseError::OutOfRange { field: "k", got: 1, min: 2, max: 8 }),
            (json("{}"), ParseError::Missing { field: "k" }),
            (json("[]"), ParseError::WrongType { field: "object" }),
            (cbor(b"\xa1\x61k\x80"), ParseError::WrongType { field: "k" }),
            (cbor(b"\xa1\x61k\x20"), ParseError::WrongType { field: "k" }),
            (cbor(b"\xa2\x61k\x02\x61k\x02"), ParseError::Duplicate { field: "k" }),
            (cbor(b"\xa1\x61k\x09"), ParseError::OutOfRange { field: "k", got: 9, min: 2, max: 8 }),
            (cbor(b"\xa0"), ParseError::Missing { field: "k" }),
            (cbor(b"\x80"), ParseError::WrongType { field: "object" }),
        ] {
            assert_eq!(named(value, |fields| fields.required_within("k", 2, 8)), Err(error), "{value:?}");
        }
        for value in [json(r#"{"k":2}"#), json(r#"{"k":8}"#), cbor(b"\xa1\x61k\x02"), cbor(b"\xa1\x61k\x08")] {
            assert!(named(value, |fields| fields.required_within("k", 2, 8)).is_ok(), "{value:?}");
        }
        for value in [json(r#"{"k":7}"#), cbor(b"\xa1\x61k\x07"), cbor(b"\xa1\x61k\x61\xff")] {
            assert_eq!(named(value, |fields| fields.text("k")), Err(ParseError::WrongType { field: "k" }));
        }
        for value in [json(r#"{"k":"a"}"#), cbor(b"\xa1\x61k\x61a")] {
            assert_eq!(named(value, |fields| fields.text("k")), Ok(Some("a".into())));
        }
    }

    #[test]
    fn what_is_not_an_object_has_no_fields_where_it_is_allowed() {
        let mut fields = Fields::of(json("[]"));
        assert_eq!(fields.within("k", 0, 1), None);
        assert_eq!(fields.finish(), Ok(()));
    }

    #[test]
    fn the_first_error_is_the_one_that_is_returned() {
        let two = envelope(r#"{"jobId":"a/b","status":"SLEEPING"}"#, |fields| {
            fields.job_id();
            fields.status();
            fields.version();
        });
        assert_eq!(two, Err(FieldError::Character { field: "jobId", at: 1 }.into()));
        let one = envelope(r#"{"jobId":"a","status":"SLEEPING"}"#, |fields| {
            fields.job_id();
            fields.status();
            fields.version();
        });
        assert_eq!(one, Err(ParseError::Invalid { field: "status" }));
    }

    #[test]
    fn cbor_has_no_json_in_it() {
        assert!(matches!(named(cbor(b"\xa1\x61k\x80"), |fields| fields.raw("k")), Ok(None)));
    }
}
