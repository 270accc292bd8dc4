//! Base64 with the standard alphabet and padding, into the caller's buffer. Strict: each byte string has exactly one
//! accepted encoding.
//! Source: RFC 4648, section 4.

use core::fmt;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// An error of encoding or decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base64Error {
    /// The text is not canonical base64: unused bits must be zero.
    Invalid {
        /// Position of the first invalid character; the length if characters are missing.
        at: usize,
    },
    /// The buffer is too small.
    BufferTooSmall {
        /// Size of the buffer in bytes.
        have: usize,
    },
}

impl fmt::Display for Base64Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Base64Error::Invalid { at } => write!(f, "not base64 at character {at}"),
            Base64Error::BufferTooSmall { have } => write!(f, "does not fit into {have} bytes"),
        }
    }
}

impl core::error::Error for Base64Error {}

/// Returns the length of the encoding of `bytes` bytes.
pub const fn encoded_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// Encodes `bytes` into `out` and returns the length of the text.
///
/// Errors: [`Base64Error::BufferTooSmall`].
pub fn encode(bytes: &[u8], out: &mut [u8]) -> Result<usize, Base64Error> {
    let have = out.len();
    let out = out.get_mut(..encoded_len(bytes.len())).ok_or(Base64Error::BufferTooSmall { have })?;
    for (group, text) in bytes.chunks(3).zip(out.chunks_exact_mut(4)) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (at, char) in text.iter_mut().enumerate() {
            let sextet = (bits >> (18 - 6 * at)) & 0x3F;
            *char = if at <= group.len() { ALPHABET[sextet as usize] } else { b'=' };
        }
    }
    Ok(out.len())
}

/// Decodes `text` into `out` and returns the number of bytes.
///
/// Errors: [`Base64Error`].
pub fn decode(text: &[u8], out: &mut [u8]) -> Result<usize, Base64Error> {
    decode_from(text.iter().copied(), out)
}

/// Decodes text given as an iterator of bytes; otherwise as [`decode`].
pub(crate) fn decode_from(text: impl Iterator<Item = u8>, out: &mut [u8]) -> Result<usize, Base64Error> {
    let mut text = text.peekable();
    let (mut at, mut len) = (0, 0);
    while text.peek().is_some() {
        let mut group = [0; 4];
        let mut count = 0;
        for (place, byte) in group.iter_mut().zip(text.by_ref()) {
            *place = byte;
            count += 1;
        }
        let is_last = text.peek().is_none();
        let (bytes, bytes_len) =
            decode_group(&group[..count], is_last).map_err(|bad| Base64Error::Invalid { at: at + bad })?;
        let have = out.len();
        let place = out.get_mut(len..len + bytes_len);
        place.ok_or(Base64Error::BufferTooSmall { have })?.copy_from_slice(&bytes[..bytes_len]);
        at += count;
        len += bytes_len;
    }
    Ok(len)
}

/// Decodes a group of up to four characters into bytes and their number; the error is the position of the first invalid
/// character in the group.
fn decode_group(group: &[u8], is_last: bool) -> Result<([u8; 3], usize), usize> {
    let chars = match group {
        [chars @ .., b'=', b'='] if is_last && group.len() == 4 => chars,
        [chars @ .., b'='] if is_last && group.len() == 4 => chars,
        chars => chars,
    };
    let mut bits = 0;
    for (at, char) in chars.iter().enumerate() {
        bits |= sextet(*char).ok_or(at)? << (18 - 6 * at);
    }
    let [_, bytes @ ..] = u32::to_be_bytes(bits);
    let unused = match chars.len() {
        4 => 0,
        3 => bits & 0xFF,
        2 => bits & 0xFFFF,
        short => return Err(short),
    };
    if group.len() < 4 {
        return Err(group.len());
    }
    if unused != 0 {
        return Err(chars.len() - 1);
    }
    Ok((bytes, chars.len() - 1))
}

fn sextet(char: u8) -> Option<u32> {
    let value = match char {
        b'A'..=b'Z' => char - b'A',
        b'a'..=b'z' => char - b'a' + 26,
        b'0'..=b'9' => char - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use proptest::prelude::*;

    use super::*;

    /// RFC 4648, section 10.
    const VECTORS: [(&str, &str); 7] = [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ];

    #[test]
    fn the_vectors_of_the_rfc_hold_both_ways() {
        for (bytes, text) in VECTORS {
            let mut out = [0; 8];
            let len = encode(bytes.as_bytes(), &mut out).unwrap();
            assert_eq!(&out[..len], text.as_bytes());
            let len = decode(text.as_bytes(), &mut out).unwrap();
            assert_eq!(&out[..len], bytes.as_bytes());
        }
    }

    #[test]
    fn what_is_not_base64_is_refused_at_the_character() {
        for (text, at) in [
            ("Zg", 2),
            ("Zg=", 2),
            ("Z", 1),
            ("Z===", 1),
            ("=", 0),
            ("====", 0),
            ("Zm9v\n", 4),
            ("Zm9vZ g=", 5),
            ("Zg==Zg==", 2),
            ("Zm8=Zg==", 3),
            ("Zm-_", 2),
            ("Zh==", 1),
            ("Zm9=", 2),
            ("Zm=v", 2),
            ("Zm9vYm", 6),
            ("Zm9vYmF", 7),
        ] {
            assert_eq!(decode(text.as_bytes(), &mut [0; 16]), Err(Base64Error::Invalid { at }), "{text:?}");
        }
    }

    #[test]
    fn errors_name_the_character_or_the_buffer() {
        assert_eq!(Base64Error::Invalid { at: 3 }.to_string(), "not base64 at character 3");
        assert_eq!(Base64Error::BufferTooSmall { have: 3 }.to_string(), "does not fit into 3 bytes");
    }

    #[test]
    fn a_buffer_too_small_is_named() {
        let too_small = |have| Err(Base64Error::BufferTooSmall { have });
        assert_eq!(encode(b"foo", &mut [0; 3]), too_small(3));
        assert_eq!(decode(b"Zm9vYmFy", &mut [0; 5]), too_small(5));
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (mut text, mut back) = ([0; 300], [0; 200]);
            let len = encode(&bytes, &mut text).unwrap();
            prop_assert_eq!(len, encoded_len(bytes.len()));
            let len = decode(&text[..len], &mut back).unwrap();
            prop_assert_eq!(&back[..len], &bytes[..]);
        }

        #[test]
        fn a_text_that_is_taken_is_the_only_one(text in "[A-D/+=a9]{0,16}") {
            let (mut bytes, mut back) = ([0; 16], [0; 24]);
            if let Ok(len) = decode(text.as_bytes(), &mut bytes) {
                let len = encode(&bytes[..len], &mut back).unwrap();
                prop_assert_eq!(&back[..len], text.as_bytes());
            }
        }
    }
}
