//! The encoding `aws-chunked`, in which S3 clients send a body whose checksum follows it. Chunks have no signatures here.
//!
//! Source: Amazon S3 API, "Signature calculations for the Authorization header: transferring payload in multiple chunks".

use bytes::{Buf, Bytes, BytesMut};

/// Longest line between chunks: a size, or a trailer. Unit: bytes.
const LINE_BYTES_MAX: usize = 1024;
/// Maximum number of trailers.
const TRAILERS_MAX: usize = 8;

/// Why a body cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// A line is too long, or not a size or a trailer.
    Line(String),
    /// A chunk is not followed by the end of a line.
    Delimiter,
    /// The body ended within a chunk or before the trailers.
    Cut,
    /// Something follows the trailers.
    Excess,
}

impl std::fmt::Display for ChunkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(line) => write!(f, "aws-chunked: {line}"),
            Self::Delimiter => f.write_str("aws-chunked: a chunk is longer than its size"),
            Self::Cut => f.write_str("aws-chunked: the body is cut off"),
            Self::Excess => f.write_str("aws-chunked: bytes after the end"),
        }
    }
}

impl std::error::Error for ChunkError {}

/// Names and values behind the last chunk.
pub type Trailers = Vec<(String, String)>;

/// Decodes a body from pieces of any length.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    /// The start of what comes next, if it is not complete.
    buffer: BytesMut,
    trailers: Trailers,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The line with the size of a chunk.
    #[default]
    Size,
    /// The bytes of a chunk that are left.
    Data(u64),
    /// The end of the line behind a chunk.
    Delimiter,
    /// A trailer, or the empty line behind the last one.
    Trailer,
    Done,
}

impl Decoder {
    /// Takes a piece of the body; returns the bytes of chunks in it.
    ///
    /// Errors: see [`ChunkError`]; the rest must not be decoded then.
    pub fn push(&mut self, piece: &Bytes) -> Result<Bytes, ChunkError> {
        self.buffer.extend_from_slice(piece);
        let mut out = BytesMut::new();
        while self.step(&mut out)? {}
        Ok(out.freeze())
    }

    /// Ends the body; returns its trailers, with names in lower case.
    ///
    /// Errors: `Cut`.
    pub fn finish(self) -> Result<Trailers, ChunkError> {
        match self.state {
            State::Done => Ok(self.trailers),
            // An empty line behind the last chunk, or behind the trailers, is left out by some clients.
            State::Trailer if self.buffer.is_empty() => Ok(self.trailers),
            _ => Err(ChunkError::Cut),
        }
    }

    /// Returns whether there may be more in the buffer.
    fn step(&mut self, out: &mut BytesMut) -> Result<bool, ChunkError> {
        match self.state {
            State::Size => {
                let Some(line) = self.line()? else { return Ok(false) };
                self.state = match size(&line)? {
                    0 => State::Trailer,
                    size => State::Data(size),
                };
            }
            State::Data(left) => {
                let taken = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                out.extend_from_slice(&self.buffer.split_to(taken));
                let left = left - taken as u64;
                self.state = if left == 0 { State::Delimiter } else { State::Data(left) };
                return Ok(left == 0);
            }
            State::Delimiter => {
                if self.buffer.len() < 2 {
                    return Ok(false);
                }
                if !self.buffer.starts_with(b"\r\n") {
                    return Err(ChunkError::Delimiter);
                }
                self.buffer.advance(2);
                self.state = State::Size;
            }
            State::Trailer => {
                let Some(line) = self.line()? else { return Ok(false) };
                match line.split_once(':') {
                    _ if line.is_empty() => self.state = State::Done,
                    Some((name, value)) if self.trailers.len() < TRAILERS_MAX => {
                        self.trailers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
                    }
                    _ => return Err(ChunkError::Line("a trailer that is not NAME:VALUE, or one too many".to_owned())),
                }
            }
            State::Done if self.buffer.is_empty() => return Ok(false),
            State::Done => return Err(ChunkError::Excess),
        }
        Ok(true)
    }

    /// Returns the next line without its end, if it is complete.
    fn line(&mut self) -> Result<Option<String>, ChunkError> {
        let end = self.buffer.windows(2).take(LINE_BYTES_MAX).position(|pair| pair == b"\r\n");
        let Some(end) = end else {
            return match self.buffer.len() > LINE_BYTES_MAX {
                true => Err(ChunkError::Line(format!("a line of more than {LINE_BYTES_MAX} bytes"))),
                false => Ok(None),
            };
        };
        let line = self.buffer.split_to(end);
        self.buffer.advance(2);
        match std::str::from_utf8(&line) {
            Ok(line) => Ok(Some(line.to_owned())),
            Err(_) => Err(ChunkError::Line("a line that is not text".to_owned())),
        }
    }
}

/// Reads the size of a chunk: hexadecimal, with extensions behind a semicolon.
fn size(line: &str) -> Result<u64, ChunkError> {
    let digits = line.split(';').next().unwrap_or_default().trim();
    let is_hex = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_hexdigit());
    let size = is_hex.then(|| u64::from_str_radix(digits, 16).ok()).flatten();
    size.ok_or_else(|| ChunkError::Line("a size that is not a number in hexadecimal".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "5\r\nhello\r\n6;x=y\r\n\r\nhi\r\n\r\n0\r\nx-amz-checksum-crc32:abc=\r\n\r\n";

    /// Decodes a body in pieces of this length.
    fn decode(body: &str, len: usize) -> Result<(Vec<u8>, Trailers), ChunkError> {
        let (mut decoder, mut bytes) = (Decoder::default(), Vec::new());
        for piece in body.as_bytes().chunks(len) {
            bytes.extend_from_slice(&decoder.push(&Bytes::copy_from_slice(piece))?);
        }
        Ok((bytes, decoder.finish()?))
    }

    #[test]
    fn pieces_of_any_length_bring_the_same_bytes_and_trailers() {
        for len in 1..=BODY.len() {
            let (bytes, trailers) = decode(BODY, len).unwrap();
            assert_eq!(bytes, b"hello\r\nhi\r\n", "{len}");
            assert_eq!(trailers, [("x-amz-checksum-crc32".to_owned(), "abc=".to_owned())]);
        }
        assert_eq!(decode("0\r\n\r\n", 1).unwrap(), (vec![], vec![]));
    }

    #[test]
    fn what_is_not_this_encoding_is_refused() {
        for (body, error) in [
            ("5\r\nhello!\r\n0\r\n\r\n", ChunkError::Delimiter),
            ("5\r\nhel", ChunkError::Cut),
            ("5\r\nhello\r\n", ChunkError::Cut),
            ("", ChunkError::Cut),
            ("0\r\nname:val", ChunkError::Cut),
            ("0\r\n\r\nmore", ChunkError::Excess),
        ] {
            assert_eq!(decode(body, 1), Err(error), "{body}");
        }
        let long = "0".repeat(2 * LINE_BYTES_MAX);
        let many = format!("0\r\n{}\r\n", "a:b\r\n".repeat(TRAILERS_MAX + 1));
        for body in ["x\r\n", "\r\n", "-1\r\n", "+5\r\n", "fffffffffffffffff\r\n", "0\r\nname\r\n\r\n", &long, &many] {
            assert!(matches!(decode(body, 7), Err(ChunkError::Line(_))), "{body}");
        }
    }
}
