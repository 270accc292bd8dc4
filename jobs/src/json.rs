//! A JSON value as a slice of its message: located by the scanner, inspected on demand, passed on unchanged.
//! Reading the fields of a message is in `value`.

use crate::error::{Duplicate, ParseError};
use crate::scan::Scanner;
use crate::text::JsonStr;

/// A JSON value, borrowed: well-formed, and nested no deeper than [`DEPTH_MAX`](crate::limits::DEPTH_MAX).
///
/// Two are equal when their bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawJson<'a>(&'a str);

impl<'a> RawJson<'a> {
    /// Validates `bytes` and borrows the value in them, without surrounding white space.
    ///
    /// Errors: [`ParseError::NotJson`] with the byte, [`ParseError::TooDeep`] with the bound.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let text = core::str::from_utf8(bytes).map_err(|error| ParseError::NotJson { at: error.valid_up_to() })?;
        let mut scanner = Scanner::new(text);
        let value = scanner.value().and_then(|value| scanner.end().map(|()| Self(value)));
        value.map_err(|stop| scanner.refused(stop))
    }

    /// Wraps text written by this crate.
    pub(crate) const fn written(text: &'a str) -> Self {
        Self(text)
    }

    /// The text as it is in the message.
    pub const fn as_str(&self) -> &'a str {
        self.0
    }

    /// The bytes as they are in the message.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0.as_bytes()
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        self.0.starts_with('{')
    }

    /// Whether it is an array.
    pub fn is_array(&self) -> bool {
        self.0.starts_with('[')
    }

    /// Returns the keys and values of an object in order; nothing if the value is not an object.
    pub fn members(&self) -> Members<'a> {
        Members(self.inside(b'{'))
    }

    /// Returns the elements of an array in order; nothing if the value is not an array.
    pub fn elements(&self) -> Elements<'a> {
        Elements(self.inside(b'['))
    }

    fn inside(&self, opener: u8) -> Scanner<'a> {
        let mut scanner = Scanner::new(self.0);
        if scanner.peek() != Some(opener) {
            return Scanner::new("");
        }
        scanner.step();
        scanner.space();
        scanner
    }

    /// Returns the value of a key of an object; `None` if it is absent or null.
    ///
    /// Errors: [`ParseError::Duplicate`].
    pub fn member(&self, key: &'static str) -> Result<Option<RawJson<'a>>, ParseError> {
        self.find(key).map_err(|Duplicate| ParseError::Duplicate { field: key })
    }

    pub(crate) fn find(&self, key: &str) -> Result<Option<RawJson<'a>>, Duplicate> {
        let mut found = None;
        for (_, value) in self.members().filter(|(known, _)| known.is(key)) {
            if found.replace(value).is_some() {
                return Err(Duplicate);
            }
        }
        Ok(found.filter(|value| value.0 != "null"))
    }

    /// The characters between the quotes of a string, escapes included.
    pub(crate) fn contents(&self) -> Option<&'a str> {
        self.0.strip_prefix('"')?.strip_suffix('"')
    }

    /// Returns the text of a string. `field` is the name used in errors.
    ///
    /// Errors: [`ParseError::WrongType`], [`ParseError::LoneSurrogate`].
    pub fn text(&self, field: &'static str) -> Result<JsonStr<'a>, ParseError> {
        JsonStr::json(field, self.contents().ok_or(ParseError::WrongType { field })?)
    }

    /// Returns an integer in `min..=max`. `field` is the name used in errors.
    ///
    /// Errors: [`ParseError::WrongType`] also for a sign, a fraction or an exponent, [`ParseError::OutOfRange`].
    pub fn number(&self, field: &'static str, min: u64, max: u64) -> Result<u64, ParseError> {
        let got = digits(self.0).ok_or(ParseError::WrongType { field })?;
        in_range(field, got, min, max)
    }
}

/// Parses a string of digits; returns `u64::MAX` if the number is larger.
pub(crate) fn digits(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.bytes().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    })
}

pub(crate) fn in_range(field: &'static str, got: u64, min: u64, max: u64) -> Result<u64, ParseError> {
    if (min..=max).contains(&got) { Ok(got) } else { Err(ParseError::OutOfRange { field, got, min, max }) }
}

/// The key of a member: the characters between its quotes, escapes included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a>(&'a str);

impl<'a> Key<'a> {
    /// Whether the key is `name`. Keys written with escapes do not match.
    pub fn is(&self, name: &str) -> bool {
        self.0 == name
    }

    /// Returns the text of the key.
    ///
    /// Errors: [`ParseError::LoneSurrogate`].
    pub fn text(&self) -> Result<JsonStr<'a>, ParseError> {
        JsonStr::json("key", self.0)
    }

    pub(crate) fn as_raw(&self) -> &'a str {
        self.0
    }
}

/// The members of an object.
#[derive(Clone, Debug)]
pub struct Members<'a>(Scanner<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (Key<'a>, RawJson<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if !matches!(self.0.peek(), Some(b'"')) {
            return None;
        }
        let key = self.0.key().ok()?; // the scanner saw the whole value before
        Some((Key(key), next_value(&mut self.0)?))
    }
}

/// The elements of an array.
#[derive(Clone, Debug)]
pub struct Elements<'a>(Scanner<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = RawJson<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if matches!(self.0.peek(), None | Some(b']')) {
            return None;
        }
        next_value(&mut self.0)
    }
}

/// Skips a value and the comma after it.
fn next_value<'a>(scanner: &mut Scanner<'a>) -> Option<RawJson<'a>> {
    let value = scanner.value().ok()?;
    scanner.space();
    if scanner.peek() == Some(b',') {
        scanner.step();
        scanner.space();
    }
    Some(RawJson(value))
}

#[cfg(test)]
mod tests {
    use std::{format, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    fn raw(text: &str) -> RawJson<'_> {
        RawJson::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn members_and_elements_come_in_order_and_untouched() {
        let object = raw(r#" { "a" : [ 1 , "x,]" ] , "b":{"c":{}}, "d": null } "#);
        let members: Vec<_> = object.members().map(|(key, value)| (key.as_raw(), value.as_str())).collect();
        assert_eq!(members, [("a", r#"[ 1 , "x,]" ]"#), ("b", r#"{"c":{}}"#), ("d", "null")]);
        let array = object.member("a").unwrap().unwrap();
        assert!(array.elements().map(|value| value.as_str()).eq(["1", "\"x,]\""]));
        assert_eq!(object.elements().count() + array.members().count() + raw("[]").elements().count(), 0);
    }

    #[test]
    fn null_is_absent_and_twice_is_an_error() {
        assert_eq!(raw(r#"{"a":null}"#).member("a"), Ok(None));
        assert_eq!(raw(r#"{"b":1}"#).member("a"), Ok(None));
        assert_eq!(raw(r#"{"a":1,"a":2}"#).member("a"), Err(ParseError::Duplicate { field: "a" }));
        assert_eq!(raw(r#"{"b":{"a":1}}"#).member("a"), Ok(None), "only the members of the object itself");
    }

    #[test]
    fn numbers_are_whole_and_in_range_or_refused() {
        assert_eq!(raw("255").number("n", 0, 255), Ok(255));
        for (text, got) in [("256", 256), ("99999999999999999999999", u64::MAX)] {
            let error = ParseError::OutOfRange { field: "n", got, min: 0, max: 255 };
            assert_eq!(raw(text).number("n", 0, 255), Err(error));
        }
        for text in ["-1", "5.0", "5e3", "\"5\"", "null", "[5]"] {
            assert_eq!(raw(text).number("n", 0, 255), Err(ParseError::WrongType { field: "n" }), "{text}");
        }
    }

    #[test]
    fn text_is_a_string_and_nothing_else() {
        assert_eq!(raw(r#""a\/b""#).text("f").unwrap(), "a/b");
        assert_eq!(raw("17").text("f"), Err(ParseError::WrongType { field: "f" }));
        assert_eq!(raw(r#""\udc00""#).text("f"), Err(ParseError::LoneSurrogate { field: "f" }));
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_refused_at_the_byte() {
        assert_eq!(RawJson::parse(b"[\"\xff\"]"), Err(ParseError::NotJson { at: 2 }));
    }

    /// A recursive parser needs about ten times this stack of 64 KiB.
    #[test]
    fn a_document_fifty_thousand_levels_deep_is_refused_on_a_small_stack() {
        let deep = format!("{{\"execution\":{{\"jobDocument\":{}1{}}}}}", "[".repeat(50_000), "]".repeat(50_000));
        let small = std::thread::Builder::new().stack_size(64 * 1024);
        let refused = small.spawn(move || RawJson::parse(deep.as_bytes()).err()).unwrap().join().unwrap();
        assert_eq!(refused, Some(ParseError::TooDeep { max: 16 }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn any_bytes_are_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(value) = RawJson::parse(&bytes) {
                let _ = (value.members().count(), value.elements().count(), value.text("f"));
            }
        }
    }
}
