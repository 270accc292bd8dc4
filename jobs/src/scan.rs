//! A JSON scanner that finds the end of a value without recursion and with a bound on depth. It does not interpret
//! values. Grammar: RFC 8259.

use crate::error::{ParseError, Stop};
use crate::limits::DEPTH_MAX;

/// A position in a JSON text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// The open containers: one bit each, set for an object.
#[derive(Default)]
struct Levels {
    objects: u32,
    depth: usize,
}

const _: () = assert!(DEPTH_MAX <= u32::BITS as usize, "one bit a level");

impl Levels {
    fn push(&mut self, is_object: bool) -> Result<(), Stop> {
        if self.depth == DEPTH_MAX {
            return Err(Stop::TooDeep);
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u32::from(is_object);
        Ok(())
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.objects >>= 1;
    }

    fn is_object(&self) -> bool {
        self.objects & 1 == 1
    }

    fn closer(&self) -> u8 {
        if self.is_object() { b'}' } else { b']' }
    }
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips the byte that [`Self::peek`] returned.
    pub(crate) fn step(&mut self) {
        self.at += 1;
    }

    pub(crate) fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.step();
        }
    }

    /// Fails unless only white space is left.
    pub(crate) fn end(&mut self) -> Result<(), Stop> {
        self.space();
        if self.peek().is_none() { Ok(()) } else { Err(Stop::Malformed) }
    }

    /// Skips one value and returns its text.
    pub(crate) fn value(&mut self) -> Result<&'a str, Stop> {
        self.space();
        let start = self.at;
        let mut levels = Levels::default();
        loop {
            match self.peek() {
                Some(opener @ (b'{' | b'[')) => {
                    levels.push(opener == b'{')?;
                    self.step();
                    self.space();
                    if self.peek() != Some(levels.closer()) {
                        self.element(&levels)?;
                        continue;
                    }
                }
                _ => self.scalar()?,
            }
            if !self.follows(&mut levels)? {
                return Ok(self.since(start));
            }
        }
    }

    /// After a value: skips closing brackets and a comma, and returns whether another value follows.
    fn follows(&mut self, levels: &mut Levels) -> Result<bool, Stop> {
        while levels.depth > 0 {
            self.space();
            match self.peek() {
                Some(b',') => {
                    self.step();
                    self.space();
                    self.element(levels)?;
                    return Ok(true);
                }
                Some(byte) if byte == levels.closer() => {
                    self.step();
                    levels.pop();
                }
                _ => return Err(Stop::Malformed),
            }
        }
        Ok(false)
    }

    /// Advances to the value of the next element; in an object, skips its key.
    fn element(&mut self, levels: &Levels) -> Result<(), Stop> {
        if levels.is_object() {
            self.key()?;
            self.space();
        }
        Ok(())
    }

    /// Skips a key and its colon and returns the key without its quotes.
    pub(crate) fn key(&mut self) -> Result<&'a str, Stop> {
        let start = self.at + 1;
        self.string()?;
        let key = self.text.get(start..self.at - 1).expect("a string has two quotes");
        self.space();
        self.literal(b":")?;
        Ok(key)
    }

    fn scalar(&mut self) -> Result<(), Stop> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            _ => Err(Stop::Malformed),
        }
    }

    fn literal(&mut self, literal: &[u8]) -> Result<(), Stop> {
        for byte in literal {
            if self.peek() != Some(*byte) {
                return Err(Stop::Malformed);
            }
            self.step();
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), Stop> {
        self.literal(b"\"")?;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.step();
                    return Ok(());
                }
                Some(b'\\') => {
                    self.step();
                    self.escape()?;
                }
                None | Some(..b' ') => return Err(Stop::Malformed),
                Some(_) => self.step(),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Stop> {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.step(),
            Some(b'u') => {
                self.step();
                for _ in 0..4 {
                    match self.peek() {
                        Some(digit) if digit.is_ascii_hexdigit() => self.step(),
                        _ => return Err(Stop::Malformed),
                    }
                }
            }
            _ => return Err(Stop::Malformed),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Stop> {
        if self.peek() == Some(b'-') {
            self.step();
        }
        if self.peek() == Some(b'0') {
            self.step(); // only a fraction or an exponent may follow a leading zero
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.step();
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.step();
            if let Some(b'+' | b'-') = self.peek() {
                self.step();
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Stop> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(Stop::Malformed);
        }
        while let Some(b'0'..=b'9') = self.peek() {
            self.step();
        }
        Ok(())
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).expect("values begin and end at ASCII characters")
    }

    /// The error for a scanner that stopped at this position.
    pub(crate) fn refused(&self, stop: Stop) -> ParseError {
        match stop {
            Stop::Malformed => ParseError::NotJson { at: self.at },
            Stop::TooDeep => ParseError::TooDeep { max: DEPTH_MAX },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use proptest::prelude::*;

    use super::*;

    fn scan(text: &str) -> Result<(), ParseError> {
        let mut scanner = Scanner::new(text);
        let end = scanner.value().and_then(|_| scanner.end());
        end.map_err(|stop| scanner.refused(stop))
    }

    #[test]
    fn what_the_grammar_allows_is_taken() {
        for text in [
            "{}",
            "[]",
            " [ ] ",
            "{\"a\":{}}",
            "[[],{},[{}]]",
            "0",
            "-0",
            "-1.5e+7",
            "1E9",
            "true",
            "null",
            "\"\"",
            r#""\"\\\/\b\f\n\r\t\u00fF""#,
            "{ \"a\" : [ 1 , 2 ] , \"b\" : null }",
            "\"\u{7f}\u{e9}\u{1f600}\"",
            "\"\\ud800\"",
        ] {
            assert_eq!(scan(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_it_does_not_allow_is_refused_at_the_byte() {
        for (text, at) in [
            ("", 0),
            ("  ", 2),
            ("{", 1),
            ("[1,]", 3),
            ("{\"a\"}", 4),
            ("{\"a\":}", 5),
            ("{\"a\":1,}", 7),
            ("{a:1}", 1),
            ("[1}", 2),
            ("{\"a\":1]", 6),
            ("01", 1),
            ("-", 1),
            ("1.", 2),
            ("1e", 2),
            ("+1", 0),
            ("tru", 3),
            ("nul!", 3),
            ("\"a", 2),
            ("\"\\x\"", 2),
            ("\"\\u12g4\"", 5),
            ("\"\n\"", 1),
            ("{} {}", 3),
            ("[1 2]", 3),
            ("'a'", 0),
            ("\u{feff}{}", 0),
        ] {
            assert_eq!(scan(text), Err(ParseError::NotJson { at }), "{text}");
        }
    }

    #[test]
    fn sixteen_levels_are_taken_and_seventeen_are_not() {
        let nested = |levels| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(scan(&nested(DEPTH_MAX)), Ok(()));
        let too_deep = Err(ParseError::TooDeep { max: 16 });
        assert_eq!(scan(&nested(DEPTH_MAX + 1)), too_deep);
        assert_eq!(scan(&"{\"a\":".repeat(DEPTH_MAX + 1)), too_deep);
        let wide = String::from("[") + &nested(DEPTH_MAX - 1) + "," + &nested(DEPTH_MAX - 1) + "]";
        assert_eq!(scan(&wide), Ok(()), "depth is not the number of brackets");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        /// Compares with serde_json, which also rejects lone surrogates and numbers out of the range of a float.
        #[test]
        fn it_agrees_with_another_parser(text in "[\\[\\]{}:,\"0-9a.eE\\\\nutrl -]{0,24}") {
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(scan(&text).is_ok(), theirs);
        }

        #[test]
        fn every_prefix_of_a_message_is_refused(cut in 0usize..62) {
            let text = r#"{"timestamp":1,"execution":{"a":[true,null,-1.5e3,"\u0041b"]}}"#;
            prop_assert_eq!(scan(text), Ok(()));
            prop_assert!(scan(&text[..cut]).is_err());
        }
    }
}
