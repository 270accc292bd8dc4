//! Status details: pairs of strings that a device reports, within AWS's limits, and the keys that the agent uses. The
//! values are chosen by the agent.

use crate::buffer::Buffer;
use crate::error::{EmitError, FieldError, ParseError};
use crate::ids;
use crate::json::RawJson;
use crate::json_writer::{push_number, push_text};
use crate::limits::DETAIL_KEY_BYTES_MAX;
use crate::reason::Reason;
use crate::text::JsonStr;

/// Key: phase of the update, one of [`SelfTest`]. Source: the AWS OTA agent.
pub const SELF_TEST: &str = "self_test";
/// Key: blocks received and blocks in total, `64/256`. Source: the AWS OTA agent.
pub const RECEIVE: &str = "receive";
/// Key: name of the reason, [`Reason::name`].
pub const REASON: &str = "reason";
/// Key: code of the reason, [`Reason::code_text`].
pub const CODE: &str = "code";
/// Key: what the device waits for the application's consent to: [`WAITING_DOWNLOAD`] or [`WAITING_RESET`].
pub const WAITING: &str = "waiting";
/// Value of [`WAITING`]: the download.
pub const WAITING_DOWNLOAD: &str = "download";
/// Value of [`WAITING`]: the reset into the new image.
pub const WAITING_RESET: &str = "reset";
/// Key: why the device waits: `held`, `window`, `battery`, `metered` or `application`.
pub const WHY: &str = "why";
/// Key: version of the running image.
pub const VERSION: &str = "version";

/// Phase of an update, the value of the key [`SELF_TEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfTest {
    /// The image is being downloaded.
    Receiving,
    /// The image is verified and will be started.
    Ready,
    /// The image is running on trial.
    Active,
    /// The image is confirmed.
    Accepted,
    /// The image was rejected.
    Rejected,
    /// The update was aborted.
    Aborted,
}

impl SelfTest {
    /// The value on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            SelfTest::Receiving => "receiving",
            SelfTest::Ready => "ready",
            SelfTest::Active => "active",
            SelfTest::Accepted => "accepted",
            SelfTest::Rejected => "rejected",
            SelfTest::Aborted => "aborted",
        }
    }
}

/// Builds a details object in a buffer, pair by pair.
#[derive(Debug)]
pub struct Details<'b> {
    /// Has space for the closing brace once it holds a pair.
    out: Buffer<'b>,
}

impl<'b> Details<'b> {
    /// Creates an empty object.
    pub const fn new(out: &'b mut [u8]) -> Self {
        Self { out: Buffer::new(out) }
    }

    /// Adds a pair.
    ///
    /// Errors: [`FieldError`] unless the key is 1 to 128 letters, digits, `:`, `_`, `-` and the value has a character
    /// and no control character; [`EmitError::BufferTooSmall`]. On an error the details are unchanged.
    /// Source: AWS IoT API, `DetailsKey` and `DetailsValue`.
    pub fn push(&mut self, key: &str, value: &str) -> Result<(), EmitError> {
        check_key(key)?;
        check_value(value)?;
        let before = self.out.len();
        self.out.push(if before == 0 { b"{" } else { b"," });
        push_text(&mut self.out, JsonStr::plain(key));
        self.out.push(b":");
        push_text(&mut self.out, JsonStr::plain(value));
        if self.out.fits(1) {
            return Ok(());
        }
        self.out.truncate(before);
        Err(self.out.too_small())
    }

    /// Adds the number of blocks received and the total.
    ///
    /// Errors: [`EmitError::BufferTooSmall`].
    pub fn push_receive(&mut self, done_blocks: u32, total_blocks: u32) -> Result<(), EmitError> {
        let mut text = [0; RECEIVE_BYTES_MAX];
        let mut out = Buffer::new(&mut text);
        push_number(&mut out, done_blocks.into());
        out.push(b"/");
        push_number(&mut out, total_blocks.into());
        self.push(RECEIVE, out.into_text())
    }

    /// Adds the reason, as name and as code.
    ///
    /// Errors: [`EmitError::BufferTooSmall`].
    pub fn push_reason(&mut self, reason: Reason) -> Result<(), EmitError> {
        self.push(REASON, reason.name())?;
        self.push(CODE, reason.code_text().as_str())
    }

    /// Finishes the object.
    pub fn finish(mut self) -> RawJson<'b> {
        if self.out.len() == 0 {
            return RawJson::written("{}");
        }
        self.out.push(b"}");
        RawJson::written(self.out.into_text())
    }
}

/// Two numbers of ten digits and a slash.
const RECEIVE_BYTES_MAX: usize = 21;

/// Returns the pairs of a details object, each checked.
///
/// Errors, per pair: [`ParseError::WrongType`] if the value is not a string, [`ParseError::Field`] if AWS does not
/// allow the key or the value. A value that is not an object has no pairs.
pub fn details<'a>(json: RawJson<'a>) -> impl Iterator<Item = Result<(&'a str, JsonStr<'a>), ParseError>> {
    json.members().map(|(key, value)| {
        check_key(key.as_raw())?;
        let value = value.text(VALUE)?;
        check_chars(value.chars())?;
        Ok((key.as_raw(), value))
    })
}

const KEY: &str = "statusDetails key";
const VALUE: &str = "statusDetails value";

fn check_key(key: &str) -> Result<(), FieldError> {
    ids::check(KEY, key, DETAIL_KEY_BYTES_MAX, b":_-")
}

fn check_value(value: &str) -> Result<(), FieldError> {
    check_chars(value.chars())
}

fn check_chars(chars: impl Iterator<Item = char>) -> Result<(), FieldError> {
    let mut at = 0;
    for char in chars {
        if is_other(char) {
            return Err(FieldError::Character { field: VALUE, at });
        }
        at += char.len_utf8();
    }
    if at == 0 { Err(FieldError::Empty { field: VALUE }) } else { Ok(()) }
}

/// Whether the character is in Unicode's general category C (controls, formats, private use), as far as that is stable.
fn is_other(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{AD}' | '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{E000}'..='\u{F8FF}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0001}' | '\u{E0020}'..='\u{E007F}' | '\u{F0000}'..)
}

#[cfg(test)]
mod tests {
    use std::{string::String, string::ToString, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_become_an_object_of_strings() {
        let mut out = [0; 128];
        let mut details = Details::new(&mut out);
        details.push(SELF_TEST, SelfTest::Receiving.as_str()).unwrap();
        details.push_receive(64, 256).unwrap();
        details.push("say", "\"hi\" \u{e9}").unwrap();
        let want = r#"{"self_test":"receiving","receive":"64/256","say":"\"hi\" é"}"#;
        assert_eq!(details.finish().as_str(), want);
        assert_eq!(Details::new(&mut []).finish().as_str(), "{}");
    }

    #[test]
    fn a_reason_is_told_by_name_and_code() {
        let mut out = [0; 64];
        let mut details = Details::new(&mut out);
        details.push_reason(Reason::SignatureInvalid).unwrap();
        assert_eq!(details.finish().as_str(), r#"{"reason":"SignatureInvalid","code":"0x0501"}"#);
    }

    #[test]
    fn the_largest_numbers_fit() {
        let mut out = [0; 64];
        let mut details = Details::new(&mut out);
        details.push_receive(0, u32::MAX).unwrap();
        assert_eq!(details.finish().as_str(), r#"{"receive":"0/4294967295"}"#);
        let mut details = Details::new(&mut out);
        details.push_receive(u32::MAX, u32::MAX).unwrap();
        assert_eq!(details.finish().as_str(), r#"{"receive":"4294967295/4294967295"}"#);
    }

    #[test]
    fn what_aws_does_not_take_is_refused_and_changes_nothing() {
        let mut out = [0; 300];
        let mut details = Details::new(&mut out);
        details.push("a", "1").unwrap();
        for (key, value, error) in [
            ("", "v", FieldError::Empty { field: KEY }),
            ("a b", "v", FieldError::Character { field: KEY, at: 1 }),
            (&"k".repeat(129), "v", FieldError::TooLong { field: KEY, got: 129, max: 128 }),
            ("k", "", FieldError::Empty { field: VALUE }),
            ("k", "ab\n", FieldError::Character { field: VALUE, at: 2 }),
            ("k", "\u{e9}\u{200b}", FieldError::Character { field: VALUE, at: 2 }),
        ] {
            assert_eq!(details.push(key, value), Err(EmitError::Field(error)), "{key} {value}");
        }
        details.push(&"k".repeat(128), "v").unwrap();
        assert!(details.finish().as_str().starts_with("{\"a\":\"1\",\"kkk"));
    }

    #[test]
    fn a_pair_that_does_not_fit_leaves_the_others_whole() {
        for have in 0..17 {
            let mut out = [0; 17];
            let mut details = Details::new(&mut out[..have]);
            let first = details.push("a", "1");
            assert_eq!(first.is_ok(), have >= 9, "{have}");
            let second = details.push("b", "2");
            assert_eq!(second.err(), Some(EmitError::BufferTooSmall { have }), "{have}");
            assert_eq!(details.finish().as_str(), if have >= 9 { r#"{"a":"1"}"# } else { "{}" });
        }
    }

    #[test]
    fn pairs_are_read_back_and_bad_ones_refused_one_by_one() {
        let json = br#"{"a":"1\/2","b":3,"c":"","d e":"x","f":"ok","g":{"h":"i"}}"#;
        let pairs: Vec<_> = details(RawJson::parse(json).unwrap()).collect();
        let field = |error| Err(ParseError::Field(error));
        assert_eq!(
            pairs,
            [
                Ok(("a", JsonStr::plain("1/2"))),
                Err(ParseError::WrongType { field: VALUE }),
                field(FieldError::Empty { field: VALUE }),
                field(FieldError::Character { field: KEY, at: 1 }),
                Ok(("f", JsonStr::plain("ok"))),
                Err(ParseError::WrongType { field: VALUE }),
            ]
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(pairs in proptest::collection::vec(("[a-zA-Z0-9:_-]{1,128}", "\\P{C}{1,40}"), 0..4)) {
            let mut out = [0; 2048];
            let mut written = Details::new(&mut out);
            for (key, value) in &pairs {
                written.push(key, value).unwrap();
            }
            let read: Result<Vec<(String, String)>, _> = details(written.finish())
                .map(|pair| pair.map(|(key, value)| (key.to_string(), value.to_string())))
                .collect();
            prop_assert_eq!(read.unwrap(), pairs);
        }
    }
}
