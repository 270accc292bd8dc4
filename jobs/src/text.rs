//! Text of a message. Escapes are resolved on access and need no buffer.

use core::fmt;

use crate::base64::{self, Base64Error};
use crate::error::{FieldError, ParseError};

/// Borrowed text, possibly with JSON escapes. Compares, formats and iterates as the unescaped characters.
#[derive(Clone, Copy, Debug)]
pub struct JsonStr<'a> {
    /// Name of the field, for errors.
    field: &'static str,
    text: &'a str,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Without escapes.
    Plain,
    /// The contents of a JSON string, with escapes.
    Json,
}

impl<'a> JsonStr<'a> {
    /// Creates text without escapes.
    #[inline(never)] // for size
    pub const fn plain(text: &'a str) -> Self {
        Self::plain_of("text", text)
    }

    /// Creates text without escapes, from a field with this name.
    pub(crate) const fn plain_of(field: &'static str, text: &'a str) -> Self {
        Self { field, text, form: Form::Plain }
    }

    /// Creates text from the contents of a JSON string that the scanner has validated.
    ///
    /// Errors: [`ParseError::LoneSurrogate`], which JSON's grammar allows but UTF-8 does not.
    pub(crate) fn json(field: &'static str, text: &'a str) -> Result<Self, ParseError> {
        let form = if text.contains('\\') { Form::Json } else { Form::Plain };
        let escaped = Self { field, text, form };
        let mut chars = escaped.chars();
        while let Some(char) = chars.decode() {
            char.ok_or(ParseError::LoneSurrogate { field })?;
        }
        Ok(escaped)
    }

    /// Returns the unescaped characters.
    #[inline(never)] // for size
    pub fn chars(&self) -> Chars<'a> {
        Chars { rest: self.text.chars(), form: self.form }
    }

    /// Returns the text if it has no escapes.
    pub fn as_plain(&self) -> Option<&'a str> {
        (self.form == Form::Plain).then_some(self.text)
    }

    /// Returns the contents of the JSON string if it has escapes.
    pub(crate) fn as_escaped(&self) -> Option<&'a str> {
        (self.form == Form::Json).then_some(self.text)
    }

    /// Length of the unescaped text. Unit: bytes of UTF-8.
    pub fn len(&self) -> usize {
        self.chars().map(char::len_utf8).sum()
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Writes the unescaped text to `out` and returns it.
    ///
    /// Errors: [`FieldError::TooLong`] if `out` is too small.
    pub fn unescape<'o>(&self, out: &'o mut [u8]) -> Result<&'o str, FieldError> {
        let (got, max) = (self.len(), out.len());
        let out = out.get_mut(..got).ok_or(FieldError::TooLong { field: self.field, got, max })?;
        let mut at = 0;
        for char in self.chars() {
            at += char.encode_utf8(&mut out[at..]).len();
        }
        Ok(core::str::from_utf8(out).expect("characters were written one after another"))
    }
}

impl JsonStr<'_> {
    /// Decodes the text as base64 into `out` and returns the number of bytes. Line breaks, as OpenSSL writes them, are
    /// skipped and not counted.
    ///
    /// Errors: [`ParseError::NotBase64`], [`FieldError::TooLong`] if `out` is too small.
    pub fn decode_base64(&self, out: &mut [u8]) -> Result<usize, ParseError> {
        let (field, max) = (self.field, out.len());
        base64::decode_from(self.base64(), out).map_err(|error| match error {
            Base64Error::Invalid { at } => ParseError::NotBase64 { field, at },
            Base64Error::BufferTooSmall { .. } => {
                let padding = self.base64().filter(|byte| *byte == b'=').count();
                FieldError::TooLong { field, got: (self.base64().count() / 4 * 3).saturating_sub(padding), max }.into()
            }
        })
    }

    /// The characters without line breaks, as bytes. One beyond Latin-1 becomes a byte outside the base64 alphabet.
    pub fn base64(&self) -> impl Iterator<Item = u8> {
        let chars = self.chars().filter(|char| !matches!(char, '\r' | '\n'));
        chars.map(|char| u8::try_from(char).unwrap_or(u8::MAX))
    }
}

impl<'a> From<&'a str> for JsonStr<'a> {
    fn from(text: &'a str) -> Self {
        Self::plain(text)
    }
}

impl PartialEq for JsonStr<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.chars().eq(other.chars())
    }
}

impl Eq for JsonStr<'_> {}

impl PartialEq<str> for JsonStr<'_> {
    fn eq(&self, other: &str) -> bool {
        self.chars().eq(other.chars())
    }
}

impl PartialEq<&str> for JsonStr<'_> {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl fmt::Display for JsonStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.chars().try_for_each(|char| f.write_char(char))
    }
}

/// Iterator over the characters of a [`JsonStr`]. It ends at an invalid escape.
#[derive(Clone, Debug)]
pub struct Chars<'a> {
    rest: core::str::Chars<'a>,
    form: Form,
}

impl Chars<'_> {
    /// Decodes the next character; `Some(None)` for an escape without a character.
    fn decode(&mut self) -> Option<Option<char>> {
        let char = self.rest.next()?;
        if self.form == Form::Plain || char != '\\' {
            return Some(Some(char));
        }
        Some(match self.rest.next() {
            Some('b') => Some('\u{8}'),
            Some('f') => Some('\u{c}'),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('u') => self.unicode(),
            other => other, // quote, backslash and slash are escaped as themselves
        })
    }

    /// Decodes the digits of `\u`, and those of a second one if the first is a high surrogate. Source: RFC 8259,
    /// section 7.
    fn unicode(&mut self) -> Option<char> {
        let first = self.hex4()?;
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first); // `None` for a low surrogate
        }
        if self.rest.next() != Some('\\') || self.rest.next() != Some('u') {
            return None;
        }
        let second = self.hex4()?.checked_sub(0xDC00).filter(|low| *low < 0x400)?;
        char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + second)
    }

    fn hex4(&mut self) -> Option<u32> {
        (0..4).try_fold(0, |code, _| Some(code << 4 | self.rest.next()?.to_digit(16)?))
    }
}

impl Iterator for Chars<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let char = self.decode().flatten();
        if char.is_none() {
            self.rest = "".chars();
        }
        char
    }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};

    use proptest::prelude::*;

    use super::*;

    fn json(contents: &str) -> Result<JsonStr<'_>, ParseError> {
        JsonStr::json("field", contents)
    }

    /// The query of a presigned URL as PHP and Go encoders escape it: slashes and ampersands.
    #[test]
    fn a_presigned_url_arrives_unescaped() {
        let url =
            json(r"https:\/\/bucket.s3.amazonaws.com\/fw.bin?X-Amz-Algorithm=A\u0026X-Amz-Expires=3600\u0026x=\u003d");
        let want = "https://bucket.s3.amazonaws.com/fw.bin?X-Amz-Algorithm=A&X-Amz-Expires=3600&x==";
        let url = url.unwrap();
        assert_eq!(url, want);
        assert_eq!(url.to_string(), want);
        let mut out = [0; 128];
        assert_eq!(url.unescape(&mut out), Ok(want));
        assert_eq!(url.as_plain(), None);
    }

    #[test]
    fn every_escape_of_the_grammar_is_resolved() {
        assert_eq!(json(r#"\"\\\/\b\f\n\r\t\u00e9\u20AC"#).unwrap(), "\"\\/\u{8}\u{c}\n\r\t\u{e9}\u{20ac}");
        assert_eq!(json(r"\ud83d\ude00!").unwrap(), "\u{1f600}!");
        assert_eq!(json(r"\uDBFF\uDFFF").unwrap(), "\u{10ffff}");
        assert_eq!(json("plain \u{e9}").unwrap().as_plain(), Some("plain \u{e9}"));
    }

    #[test]
    fn half_a_surrogate_pair_is_refused_by_name() {
        for contents in [
            r"\ud83d",
            r"a\ud83db",
            r"\ude00",
            r"\ud83d\n",
            r"\ud83d\u0041",
            r"\ud83d\ud83d",
            r"\ud83d\ue000",
            r"\udc00",
        ] {
            assert_eq!(json(contents), Err(ParseError::LoneSurrogate { field: "field" }), "{contents}");
        }
    }

    #[test]
    fn texts_are_equal_if_their_characters_are() {
        assert_eq!(json(r"\u0041b").unwrap(), JsonStr::plain("Ab"));
        assert_ne!(json(r"\u0041b").unwrap(), JsonStr::plain("AB"));
        assert_ne!(JsonStr::plain("Ab"), JsonStr::plain("A"));
        assert!(JsonStr::plain("a") == *"a" && JsonStr::plain("a") != *"b" && JsonStr::plain("a") != "b");
        assert!(JsonStr::plain("").is_empty() && !json(r"\n").unwrap().is_empty());
        assert_eq!(json(r"a\n").unwrap().to_string(), "a\n");
        assert_eq!((json(r"\n").unwrap().as_escaped(), JsonStr::plain("n").as_escaped()), (Some(r"\n"), None));
    }

    #[test]
    fn a_buffer_too_small_is_named_with_the_length_that_would_do() {
        let error = FieldError::TooLong { field: "field", got: 3, max: 2 };
        assert_eq!(json(r"a\u00e9").unwrap().unescape(&mut [0; 2]), Err(error));
        assert_eq!(json(r"a\u00e9").unwrap().unescape(&mut [0; 3]), Ok("a\u{e9}"));
    }

    #[test]
    fn base64_is_decoded_through_its_escapes() {
        let mut out = [0; 6];
        assert_eq!(json(r"\/\/9v\u0059g==").unwrap().decode_base64(&mut out), Ok(4));
        assert_eq!(out[..4], [0xFF, 0xFF, 0x6F, 0x62]);
        assert_eq!(json(r"Zm\r\n9v\n").unwrap().decode_base64(&mut out), Ok(3), "as OpenSSL wraps it");
        assert_eq!(out[..3], *b"foo");
        let wrong = ParseError::NotBase64 { field: "field", at: 3 };
        assert_eq!(json("Zm9\u{e9}").unwrap().decode_base64(&mut out), Err(wrong));
        let error = FieldError::TooLong { field: "field", got: 3, max: 2 };
        assert_eq!(json("Zm9v").unwrap().decode_base64(&mut out[..2]), Err(error.into()));
        assert_eq!(json(r"Zm9\nv").unwrap().decode_base64(&mut out[..2]), Err(error.into()));
    }

    #[test]
    fn what_cannot_be_read_ends_the_iteration_for_good() {
        let broken = JsonStr { field: "field", text: r"a\ud83dbc", form: Form::Json };
        let mut chars = broken.chars();
        assert_eq!((chars.next(), chars.next(), chars.next()), (Some('a'), None, None));
    }

    proptest! {
        #[test]
        fn plain_text_comes_back_through_another_encoder(text in any::<String>()) {
            let encoded = serde_json::to_string(&text).unwrap();
            let escaped = json(&encoded[1..encoded.len() - 1]).unwrap();
            prop_assert!(escaped == text.as_str());
            prop_assert_eq!(escaped.len(), text.len());
        }

        #[test]
        fn any_contents_that_the_scanner_takes_end(contents in r"(\\u[dD][89a-fA-F][0-9a-f]{2}|[a-z]|\\n){0,12}") {
            if let Ok(text) = json(&contents) {
                prop_assert!(text.chars().count() <= contents.len());
            }
        }
    }
}
