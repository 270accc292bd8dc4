//! The head of a response: status and headers, any number of them. What they mean is in `meaning.rs`.

use ota_jobs::Reason;

use super::super::Range;
use super::meaning::{Meaning, meaning};

/// A complete head, in the buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'h> {
    status: u16,
    headers: &'h [u8],
}

impl<'h> Head<'h> {
    /// Parses the head at the start of `bytes` and returns it with its length; `None` until it is complete.
    ///
    /// Errors: [`Reason::HttpProtocol`].
    pub(super) fn parse(bytes: &'h [u8]) -> Result<Option<(Self, usize)>, Reason> {
        let mut rest = bytes;
        let Some(line) = take_line(&mut rest) else { return Ok(None) };
        let status = status(line).ok_or(Reason::HttpProtocol)?;
        let headers = rest;
        loop {
            match take_line(&mut rest) {
                None => return Ok(None),
                Some([]) => break,
                // A line that continues the one before is obsolete, and a header without a colon is none.
                Some(line) if matches!(line[0], b' ' | b'\t') || !line.contains(&b':') => {
                    return Err(Reason::HttpProtocol);
                }
                Some(_) => {}
            }
        }
        let headers = &headers[..headers.len() - rest.len()];
        Ok(Some((Self { status, headers }, bytes.len() - rest.len())))
    }

    /// The value of the first header with this name, in any case.
    fn header(&self, name: &str) -> Option<&'h str> {
        let mut rest = self.headers;
        while let Some(line) = take_line(&mut rest) {
            if let Some((start, value)) = line.split_at_checked(name.len())
                && start.eq_ignore_ascii_case(name.as_bytes())
                && let Some(value) = value.strip_prefix(b":")
            {
                return core::str::from_utf8(value.trim_ascii()).ok();
            }
        }
        None
    }

    /// As [`meaning`].
    pub(super) fn meaning(&self, range: Range) -> Result<Meaning<'h>, Reason> {
        meaning(self.status, |name| self.header(name), range)
    }
}

/// The status of `HTTP/1.x NNN`, with or without a text behind it.
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    match rest {
        [b'0'..=b'9', b' ', code @ ..] => {
            let (code, text) = code.split_first_chunk::<3>()?;
            let is_code = code.iter().all(u8::is_ascii_digit) && matches!(text, [] | [b' ', ..]);
            is_code.then(|| code.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0')))
        }
        _ => None,
    }
}

/// Splits a line off `bytes`, without its end; `None` if it has no end yet.
fn take_line<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let at = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = (&bytes[..at], &bytes[at + 1..]);
    *bytes = rest;
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    const RANGE: Range = Range { from_bytes: 4096, image_bytes: 10_000, block_bytes: 4096 };
    const START: Range = Range { from_bytes: 0, ..RANGE };
    const LAST: Range = Range { from_bytes: 8_192, ..RANGE };

    fn head(status: &str, headers: &[&str]) -> String {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        format!("HTTP/1.1 {status}\r\n{headers}\r\n")
    }

    fn meaning(range: Range, status: &str, headers: &[&str]) -> Result<(u32, bool), Reason> {
        let text = head(status, headers);
        let (head, len) = Head::parse(text.as_bytes())?.expect("the head is complete");
        assert_eq!(len, text.len());
        match head.meaning(range)? {
            Meaning::Body { end_bytes, is_chunked } => Ok((end_bytes, is_chunked)),
            other => panic!("{status}: {other:?}"),
        }
    }

    const RANGE_HEADER: &str = "Content-Range: bytes 4096-9999/10000";

    #[test]
    fn every_form_of_a_body_with_the_missing_bytes_is_taken() {
        for (range, status, headers, expected) in [
            (RANGE, "206 Partial Content", &[RANGE_HEADER, "Content-Length: 5904"][..], (10_000, false)),
            (RANGE, "206", &[RANGE_HEADER], (10_000, false)),
            (RANGE, "206 P", &["content-range:bytes 4096-9999/*"], (10_000, false)),
            (RANGE, "206 P", &["CONTENT-RANGE:  Bytes 4096-9999/10000  "], (10_000, false)),
            (RANGE, "206 P", &[RANGE_HEADER, "Transfer-Encoding: Chunked"], (10_000, true)),
            (
                RANGE,
                "206 P",
                &[RANGE_HEADER, "Transfer-Encoding: identity", "Content-Encoding: identity"],
                (10_000, false),
            ),
            (RANGE, "206 P", &["Content-Range: bytes 4096-8191/10000", "Content-Length: 4096"], (8_192, false)),
            (LAST, "206 P", &["Content-Range: bytes 8192-9999/10000"], (10_000, false)),
            (START, "200 OK", &["Content-Length: 10000"], (10_000, false)),
            (START, "200 OK", &[], (10_000, false)),
            (START, "200 OK", &["transfer-encoding: chunked"], (10_000, true)),
        ] {
            assert_eq!(meaning(range, status, headers), Ok(expected), "{status} {headers:?}");
        }
    }

    #[test]
    fn every_answer_that_is_not_the_missing_bytes_has_its_reason() {
        for (range, status, headers, reason) in [
            (RANGE, "200 OK", &["Content-Length: 10000"][..], Reason::HttpRangeIgnored),
            (START, "200 OK", &["Content-Length: 9999"], Reason::ImageTooShort),
            (START, "200 OK", &["Content-Length: 10001"], Reason::ImageLengthMismatch),
            (RANGE, "101 Switching Protocols", &[], Reason::HttpProtocol),
            (RANGE, "204 No Content", &[], Reason::HttpStatus),
            (RANGE, "302 Found", &[], Reason::HttpRedirectRefused),
            (RANGE, "401 Unauthorized", &[], Reason::HttpForbidden),
            (RANGE, "403 Forbidden", &[], Reason::HttpForbidden),
            (RANGE, "404 Not Found", &[], Reason::HttpNotFound),
            (RANGE, "410 Gone", &[], Reason::HttpNotFound),
            (RANGE, "416 Range Not Satisfiable", &[], Reason::HttpRangeNotSatisfiable),
            (RANGE, "418 I'm a teapot", &[], Reason::HttpStatus),
            (RANGE, "429 Too Many Requests", &[], Reason::HttpServerBusy),
            (RANGE, "503 Service Unavailable", &[], Reason::HttpServerBusy),
            (RANGE, "206 P", &["Content-Length: 5904"], Reason::HttpProtocol),
            (RANGE, "206 P", &["Content-Range: bytes 0-9999/10000"], Reason::HttpProtocol),
            (RANGE, "206 P", &["Content-Range: bytes 4096-4095/10000"], Reason::HttpProtocol),
            (RANGE, "206 P", &["Content-Range: items 4096-9999/10000"], Reason::HttpProtocol),
            (RANGE, "206 P", &["Content-Range: bytes */10000"], Reason::HttpProtocol),
            (RANGE, "206 P", &["Content-Range: bytes 4096-8999/9000"], Reason::ImageTooShort),
            (RANGE, "206 P", &["Content-Range: bytes 4096-9999/20000"], Reason::ImageLengthMismatch),
            (RANGE, "206 P", &["Content-Range: bytes 4096-10000/*"], Reason::ImageLengthMismatch),
            (RANGE, "206 P", &["Content-Range: bytes 4096-4294967295/*"], Reason::ImageLengthMismatch),
            (RANGE, "206 P", &["Content-Range: bytes 4096-8190/10000"], Reason::HttpBodyTooShort),
            (RANGE, "206 P", &[RANGE_HEADER, "Content-Length: 5903"], Reason::HttpBodyTooShort),
            (RANGE, "206 P", &[RANGE_HEADER, "Content-Length: many"], Reason::HttpProtocol),
            (RANGE, "206 P", &[RANGE_HEADER, "Content-Encoding: gzip"], Reason::HttpEncoding),
            (RANGE, "206 P", &[RANGE_HEADER, "Transfer-Encoding: gzip, chunked"], Reason::HttpEncoding),
            (RANGE, "206 P", &[RANGE_HEADER, " folded: y"], Reason::HttpProtocol),
            (RANGE, "206 P", &[RANGE_HEADER, "no colon"], Reason::HttpProtocol),
            (RANGE, "206 P", &[RANGE_HEADER, "\tfolded: x"], Reason::HttpProtocol),
            (RANGE, "2060", &[RANGE_HEADER], Reason::HttpProtocol),
            (RANGE, "2x6 P", &[RANGE_HEADER], Reason::HttpProtocol),
            (RANGE, "20", &[], Reason::HttpProtocol),
        ] {
            assert_eq!(meaning(range, status, headers), Err(reason), "{status} {headers:?}");
        }
    }

    #[test]
    fn an_interim_head_and_a_redirect_are_no_body() {
        let text = head("103 Early Hints", &["Link: </a>"]);
        let (interim, _) = Head::parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!(interim.meaning(RANGE), Ok(Meaning::Interim));
        for status in ["301 M", "302 F", "303 S", "307 T", "308 P"] {
            let text = head(status, &["location: https://a/b"]);
            let (redirect, _) = Head::parse(text.as_bytes()).unwrap().unwrap();
            assert_eq!(redirect.meaning(RANGE), Ok(Meaning::Redirect("https://a/b")), "{status}");
        }
    }

    #[test]
    fn a_head_is_complete_at_its_empty_line_however_many_headers_it_has() {
        let headers: Vec<String> = (0..200).map(|number| format!("X-{number}: y")).collect();
        let headers: Vec<&str> = headers.iter().map(String::as_str).chain([RANGE_HEADER]).collect();
        let text = head("206 P", &headers);
        for len in 0..text.len() {
            assert!(matches!(Head::parse(&text.as_bytes()[..len]), Ok(None)), "{len}");
        }
        assert_eq!(meaning(RANGE, "206 P", &headers), Ok((10_000, false)));
        let bare = text.replace("\r\n", "\n");
        assert!(matches!(Head::parse(bare.as_bytes()), Ok(Some((_, len))) if len == bare.len()));
    }
}
