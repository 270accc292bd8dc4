//! The body of an upload to S3: decoded, and compared with what the client sent and signed about it.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use crc::{CRC_32_ISO_HDLC, Crc, Digest};

use super::authenticate::Payload;
use super::chunked::{ChunkError, Decoder};
use super::error::{AwsError, Code};
use super::refusal::SignatureRefusal;

/// The checksum that AWS's clients send by default, CRC-32 in base64. Others are not checked.
const CRC32: &str = "x-amz-checksum-crc32";
static TABLE: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Reads a body piece by piece.
pub struct ObjectBody {
    payload: Payload,
    /// Of a body in chunks.
    decoder: Decoder,
    crc32: Digest<'static, u32>,
    /// From the head; a body in chunks has it at its end.
    expected_crc32: Option<String>,
}

impl ObjectBody {
    /// Begins to read the body of a request with these headers.
    pub fn new(payload: Payload, headers: &HeaderMap) -> Self {
        let expected = headers.get(CRC32).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self { payload, decoder: Decoder::default(), crc32: TABLE.digest(), expected_crc32: expected }
    }

    /// Takes the next piece; returns the bytes of the object in it.
    ///
    /// Errors: the body is not in chunks although its signature states so.
    pub fn decode(&mut self, piece: Bytes) -> Result<Bytes, ChunkError> {
        let bytes = match self.payload {
            Payload::Chunked => self.decoder.push(&piece)?,
            Payload::Sha256(_) | Payload::Unsigned => piece,
        };
        self.crc32.update(&bytes);
        Ok(bytes)
    }

    /// Compares the object with its checksums; `sha256` is its own in hexadecimal.
    ///
    /// Errors: `XAmzContentSHA256Mismatch`, `BadDigest`, `InvalidRequestException` for chunks that are cut off.
    pub fn check(self, sha256: &str) -> Result<(), AwsError> {
        let mut expected_crc32 = self.expected_crc32;
        match self.payload {
            Payload::Sha256(signed) if signed != sha256 => return Err(SignatureRefusal::Body.into()),
            Payload::Sha256(_) | Payload::Unsigned => {}
            Payload::Chunked => {
                let trailers = self.decoder.finish().map_err(|error| AwsError::invalid(error.to_string()))?;
                let trailer = trailers.into_iter().find(|(name, _)| name == CRC32).map(|(_, value)| value);
                expected_crc32 = trailer.or(expected_crc32);
            }
        }
        let crc32 = STANDARD.encode(self.crc32.finalize().to_be_bytes());
        match expected_crc32 {
            Some(expected) if expected != crc32 => {
                Err(AwsError::new(Code::BadDigest, format!("{CRC32} is {crc32}, not {expected}")))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the bytes `abc`: FIPS 180-4, and the CRC-32 that boto3 sends.
    const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const CRC: &str = "NSRBwg==";

    fn check(payload: Payload, header: Option<&str>, body: &str) -> Result<Bytes, String> {
        let mut headers = HeaderMap::new();
        if let Some(value) = header {
            headers.insert(CRC32, value.parse().unwrap());
        }
        let mut object = ObjectBody::new(payload, &headers);
        let bytes = object.decode(Bytes::copy_from_slice(body.as_bytes())).map_err(|error| error.to_string())?;
        object.check(SHA256).map(|()| bytes).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn a_body_is_taken_only_with_the_checksums_that_were_sent() {
        let signed = || Payload::Sha256(SHA256.to_owned());
        let chunks = format!("3\r\nabc\r\n0\r\n{CRC32}:{CRC}\r\n\r\n");
        for (payload, header, body) in [
            (signed(), None, "abc"),
            (signed(), Some(CRC), "abc"),
            (Payload::Unsigned, Some(CRC), "abc"),
            (Payload::Unsigned, None, "abc"),
            (Payload::Chunked, None, &chunks),
            (Payload::Chunked, None, "3\r\nabc\r\n0\r\n\r\n"),
        ] {
            assert_eq!(check(payload.clone(), header, body).as_deref(), Ok(&b"abc"[..]), "{payload:?} {body}");
        }
        let other = chunks.replace(CRC, "NSRBww==");
        for (payload, header, body, word) in [
            (Payload::Sha256(SHA256.replace('b', "c")), None, "abc", "XAmzContentSHA256Mismatch"),
            (signed(), Some("NSRBww=="), "abc", "BadDigest"),
            (Payload::Unsigned, Some("NSRBww=="), "abc", "BadDigest"),
            (Payload::Chunked, None, &other, "BadDigest"),
            (Payload::Chunked, None, "3\r\nabc\r\n0", "cut off"),
            (Payload::Chunked, None, "abc", "aws-chunked"),
        ] {
            let refused = check(payload.clone(), header, body);
            assert!(refused.as_ref().is_err_and(|text| text.contains(word)), "{payload:?} {body}: {refused:?}");
        }
    }
}
