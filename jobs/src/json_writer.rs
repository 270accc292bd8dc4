//! Writes a JSON object member by member, in the order of the calls. Numbers are written by serde-json-core.

use crate::base64;
use crate::buffer::Buffer;
use crate::error::EmitError;
use crate::json::RawJson;
use crate::text::JsonStr;

/// Writer of an object and of the containers inside it. A member whose value is `None` is omitted.
pub(crate) struct JsonWriter<'b>(Buffer<'b>);

impl<'b> JsonWriter<'b> {
    /// Opens the object.
    pub(crate) fn new(buffer: &'b mut [u8]) -> Self {
        let mut out = Buffer::new(buffer);
        out.push(b"{");
        Self(out)
    }

    /// Closes the object and returns the length of the text.
    ///
    /// Errors: [`EmitError::BufferTooSmall`].
    pub(crate) fn finish(mut self) -> Result<usize, EmitError> {
        self.close(b"}");
        self.0.finish()
    }

    pub(crate) fn number(&mut self, key: &str, number: Option<u64>) {
        if let Some(number) = number {
            self.key(key);
            push_number(&mut self.0, number);
        }
    }

    pub(crate) fn integer(&mut self, key: &str, number: Option<i64>) {
        if let Some(number) = number {
            self.key(key);
            self.0.push_with(|rest| serde_json_core::to_slice(&number, rest).ok());
        }
    }

    pub(crate) fn flag(&mut self, key: &str, flag: Option<bool>) {
        if let Some(flag) = flag {
            self.key(key);
            self.0.push(if flag { b"true" } else { b"false" });
        }
    }

    pub(crate) fn text(&mut self, key: &str, text: Option<JsonStr<'_>>) {
        if let Some(text) = text {
            self.key(key);
            push_text(&mut self.0, text);
        }
    }

    /// Writes a string without escapes; otherwise as [`Self::text`].
    pub(crate) fn plain(&mut self, key: &str, text: Option<&str>) {
        self.text(key, text.map(JsonStr::plain));
    }

    /// Writes bytes in base64.
    pub(crate) fn base64(&mut self, key: &str, bytes: &[u8]) {
        self.key(key);
        self.0.push(b"\"");
        self.0.push_with(|rest| base64::encode(bytes, rest).ok());
        self.0.push(b"\"");
    }

    /// Writes a prefix and bytes in lower-case hexadecimal.
    pub(crate) fn hex(&mut self, key: &str, prefix: &str, bytes: impl Iterator<Item = u8>) {
        self.key(key);
        self.0.push(b"\"");
        self.0.push(prefix.as_bytes());
        for byte in bytes {
            self.0.push(&[byte >> 4, byte & 0xF].map(|nibble| b"0123456789abcdef"[usize::from(nibble)]));
        }
        self.0.push(b"\"");
    }

    /// Writes a value unchanged.
    pub(crate) fn raw(&mut self, key: &str, json: Option<RawJson<'_>>) {
        if let Some(json) = json {
            self.key(key);
            self.0.push(json.as_bytes());
        }
    }

    /// Opens a container that is a member of the current object.
    pub(crate) fn open_member(&mut self, key: &str, opener: &[u8]) {
        self.key(key);
        self.0.push(opener);
    }

    /// Opens a container that is an element of the current array.
    pub(crate) fn open_element(&mut self, opener: &[u8]) {
        self.comma();
        self.0.push(opener);
    }

    /// Writes a text as an element of the current array.
    pub(crate) fn element(&mut self, text: &str) {
        self.comma();
        push_text(&mut self.0, JsonStr::plain(text));
    }

    pub(crate) fn close(&mut self, closer: &[u8]) {
        self.0.push(closer);
    }

    fn key(&mut self, key: &str) {
        self.comma();
        push_text(&mut self.0, JsonStr::plain(key));
        self.0.push(b":");
    }

    /// Writes a comma unless the container is empty. No value ends in an opening bracket.
    fn comma(&mut self) {
        if !matches!(self.0.last(), Some(b'{' | b'[')) {
            self.0.push(b",");
        }
    }
}

pub(crate) fn push_number(out: &mut Buffer<'_>, number: u64) {
    out.push_with(|rest| serde_json_core::to_slice(&number, rest).ok());
}

/// Writes a string with its quotes and escapes quotes, backslashes and control characters. Text read from JSON keeps
/// the escapes that it has.
pub(crate) fn push_text(out: &mut Buffer<'_>, text: JsonStr<'_>) {
    out.push(b"\"");
    match text.as_escaped() {
        Some(escaped) => out.push(escaped.as_bytes()),
        None => text.chars().for_each(|char| push_escaped(out, char)),
    }
    out.push(b"\"");
}

fn push_escaped(out: &mut Buffer<'_>, char: char) {
    let short = match char {
        '"' | '\\' => char,
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\0'..='\u{1F}' => {
            let code = char as u8;
            out.push(b"\\u00");
            return out.push(&[b'0' + (code >> 4), b"0123456789ABCDEF"[usize::from(code & 0xF)]]);
        }
        _ => return out.push_char(char),
    };
    out.push(b"\\");
    out.push_char(short);
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use proptest::prelude::*;

    use super::*;

    fn written(buffer: &mut [u8], write: impl FnOnce(&mut JsonWriter<'_>)) -> Result<&str, EmitError> {
        let mut writer = JsonWriter::new(buffer);
        write(&mut writer);
        let len = writer.finish()?;
        Ok(core::str::from_utf8(&buffer[..len]).unwrap())
    }

    fn every_kind(writer: &mut JsonWriter<'_>) {
        writer.number("number", Some(u64::MAX));
        writer.integer("integer", Some(i64::MIN));
        writer.flag("yes", Some(true));
        writer.flag("no", Some(false));
        writer.text("text", Some(JsonStr::json("text", r"\u0041\/").unwrap()));
        writer.plain("plain", Some("a"));
        writer.raw("raw", Some(RawJson::parse(b"[ 1 ]").unwrap()));
        writer.base64("base64", b"foob");
        writer.hex("hex", "0x", [0x13, 0xAF].into_iter());
        writer.open_member("object", b"{");
        writer.close(b"}");
        writer.open_member("array", b"[");
        writer.open_element(b"{");
        writer.plain("a", Some(""));
        writer.close(b"}");
        writer.element("b");
        writer.close(b"]");
    }

    const EVERY_KIND: &str = r#"{"number":18446744073709551615,"integer":-9223372036854775808,"yes":true,"no":false,"text":"\u0041\/","plain":"a","raw":[ 1 ],"base64":"Zm9vYg==","hex":"0x13af","object":{},"array":[{"a":""},"b"]}"#;

    #[test]
    fn every_kind_of_member_is_written_to_the_byte() {
        assert_eq!(written(&mut [0; 256], every_kind), Ok(EVERY_KIND));
    }

    #[test]
    fn a_member_without_a_value_is_left_out() {
        let nothing = |writer: &mut JsonWriter<'_>| {
            writer.number("a", None);
            writer.integer("a", None);
            writer.flag("a", None);
            writer.text("a", None);
            writer.plain("a", None);
            writer.raw("a", None);
        };
        assert_eq!(written(&mut [0; 2], nothing), Ok("{}"));
    }

    #[test]
    fn a_buffer_too_small_is_named_wherever_it_ends() {
        for have in 0..EVERY_KIND.len() {
            let error = EmitError::BufferTooSmall { have };
            assert_eq!(written(&mut [0; 256][..have], every_kind), Err(error));
        }
        assert!(written(&mut [0; 256][..EVERY_KIND.len()], every_kind).is_ok());
    }

    #[test]
    fn control_characters_are_escaped_as_serde_json_core_does() {
        let text: String = (0..=0x80).filter_map(char::from_u32).collect();
        let mut theirs = [0; 512];
        let len = serde_json_core::to_slice(text.as_str(), &mut theirs).unwrap();
        let mut ours = [0; 512];
        let mut out = Buffer::new(&mut ours);
        push_text(&mut out, JsonStr::plain(&text));
        assert_eq!(out.into_text().as_bytes(), &theirs[..len]);
    }

    proptest! {
        #[test]
        fn a_text_is_read_by_another_decoder(text in any::<String>()) {
            let mut buffer = [0; 4096];
            let json = written(&mut buffer, |writer| writer.plain("text", Some(&text))).unwrap();
            let theirs: serde_json::Value = serde_json::from_str(json).unwrap();
            prop_assert_eq!(theirs["text"].as_str(), Some(text.as_str()));
        }
    }
}
