//! The chunked transfer encoding: removes the sizes between the bytes of a body, in place. Source: RFC 9112, section 7.1.

use ota_jobs::Reason;

/// The position in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunked {
    /// In the digits of a size; `None` before the first one.
    Size(Option<u32>),
    /// Behind the digits, until the end of the line.
    Extension(u32),
    /// In a chunk with this many bytes left.
    Data(u32),
    /// Behind the bytes of a chunk.
    DataEnd,
    /// Behind the last chunk. Trailers are ignored.
    Done,
}

impl Chunked {
    /// The start of a body.
    pub(super) const START: Self = Self::Size(None);

    /// Moves the body's bytes to the start of `bytes` and returns their number.
    ///
    /// Errors: [`Reason::HttpProtocol`].
    pub(super) fn decode(&mut self, bytes: &mut [u8]) -> Result<usize, Reason> {
        let (mut from, mut to) = (0, 0);
        while from < bytes.len() {
            if let Self::Data(left) = *self {
                let len = (bytes.len() - from).min(left as usize);
                bytes.copy_within(from..from + len, to);
                (from, to) = (from + len, to + len);
                let left = left - len as u32;
                *self = if left == 0 { Self::DataEnd } else { Self::Data(left) };
            } else {
                *self = self.next(bytes[from]).ok_or(Reason::HttpProtocol)?;
                from += 1;
            }
        }
        Ok(to)
    }

    fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Size(Some(0)) | Self::Extension(0), b'\n') => Self::Done,
            (Self::Size(Some(size)) | Self::Extension(size), b'\n') => Self::Data(size),
            (Self::Size(Some(size)), b'\r' | b';' | b' ' | b'\t') => Self::Extension(size),
            (Self::Size(size), digit) => {
                let digit = char::from(digit).to_digit(16)?;
                Self::Size(Some(size.unwrap_or(0).checked_mul(16)?.checked_add(digit)?))
            }
            (Self::Extension(size), _) => Self::Extension(size),
            (Self::DataEnd, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::START,
            (Self::Done, _) => Self::Done,
            (Self::Data(_) | Self::DataEnd, _) => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// Decodes `bytes` in pieces of this length.
    fn decode(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, Chunked), Reason> {
        let (mut chunked, mut body) = (Chunked::START, Vec::new());
        for piece in bytes.chunks(piece) {
            let mut piece = piece.to_vec();
            let len = chunked.decode(&mut piece)?;
            body.extend(&piece[..len]);
        }
        Ok((body, chunked))
    }

    #[test]
    fn chunks_in_pieces_of_any_length_make_the_body() {
        let encoded = b"5\r\nimage\r\n0c ; name=value\r\n of a device\r\n1\n!\n000\r\nTrailer: x\r\n\r\n";
        for piece in 1..=encoded.len() {
            let (body, end) = decode(encoded, piece).expect("it is valid");
            assert_eq!((&body[..], end), (&b"image of a device!"[..], Chunked::Done), "pieces of {piece}");
        }
    }

    #[test]
    fn a_size_that_is_none_or_too_large_and_a_chunk_without_an_end_are_refused() {
        for bad in ["\r\n", "x\r\n", "-1\r\n", "100000000\r\n", "1\r\nab", ";a\r\n"] {
            assert_eq!(decode(bad.as_bytes(), 3), Err(Reason::HttpProtocol), "{bad:?}");
        }
        assert_eq!(decode(b"ffffffff\r\na", 99).map(|(body, _)| body), Ok(b"a".to_vec()));
    }
}
