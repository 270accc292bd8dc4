//! One file of an update: where it comes from, how large it is, who signed it.

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::error::ParseError;
use crate::json::{Key, RawJson};
use crate::limits::{FILE_BYTES_MAX, FILE_ID_MAX};
use crate::text::{self, Escaped};

/// A file of an update.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File<'a> {
    /// Where the device shall put it; ours only routes by it.
    pub file_path: Option<Escaped<'a>>,
    /// Unit: bytes.
    pub file_size: u32,
    /// Its number in the stream, 0..=255.
    pub file_id: u32,
    /// Names the key that made the signature.
    pub cert_file: Option<Escaped<'a>>,
    /// What kind of file it is, a number of the operator's choice.
    pub file_type: Option<u32>,
    /// The URL, where it comes over HTTP.
    pub update_data_url: Option<Escaped<'a>>,
    /// How the URL authenticates, `aws.s3.presigned`.
    pub auth_scheme: Option<Escaped<'a>>,
    /// Absent on an unsigned file.
    pub signature: Option<Signature<'a>>,
}

/// A file's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    /// Over which hash, by which algorithm.
    pub kind: SignatureKind,
    /// The signature in base64; of DER where the algorithm is ECDSA, of its bytes otherwise.
    pub base64: Escaped<'a>,
}

/// A hash and an algorithm. The declared order is the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignatureKind {
    /// `sig-sha256-ecdsa`
    Sha256Ecdsa,
    /// `sig-sha256-ed25519`: Ed25519 over the 32 bytes of the SHA-256. It is ours, AWS knows no such kind.
    Sha256Ed25519,
    /// `sig-sha256-rsa`
    Sha256Rsa,
    /// `sig-sha1-ecdsa`
    Sha1Ecdsa,
    /// `sig-sha1-rsa`
    Sha1Rsa,
}

const SIGNATURE_PREFIX: &str = "sig-";

pub(super) const SIGNATURE_KINDS: [(SignatureKind, &str); 5] = [
    (SignatureKind::Sha256Ecdsa, "sig-sha256-ecdsa"),
    (SignatureKind::Sha256Ed25519, "sig-sha256-ed25519"),
    (SignatureKind::Sha256Rsa, "sig-sha256-rsa"),
    (SignatureKind::Sha1Ecdsa, "sig-sha1-ecdsa"),
    (SignatureKind::Sha1Rsa, "sig-sha1-rsa"),
];

impl SignatureKind {
    /// The key on the wire.
    pub fn as_str(self) -> &'static str {
        SIGNATURE_KINDS[self as usize].1
    }
}

impl<'a> File<'a> {
    pub(super) fn read(file: RawJson<'a>) -> Result<Self, ParseError> {
        if !file.is_object() {
            return Err(ParseError::WrongType { field: "files" });
        }
        let text = |field| optional_text(file, field);
        let missing = |field| ParseError::Missing { field };
        Ok(Self {
            file_path: text("filepath")?,
            file_size: number(file, "filesize", FILE_BYTES_MAX)?.ok_or(missing("filesize"))?,
            file_id: number(file, "fileid", FILE_ID_MAX)?.ok_or(missing("fileid"))?,
            cert_file: text("certfile")?,
            file_type: number(file, "fileType", u32::MAX)?,
            update_data_url: text("update_data_url")?,
            auth_scheme: text("auth_scheme")?,
            signature: Signature::read(file)?,
        })
    }
}

fn optional_text<'a>(object: RawJson<'a>, field: &'static str) -> Result<Option<Escaped<'a>>, ParseError> {
    object.member(field)?.map(|value| value.text(field)).transpose()
}

fn number(object: RawJson<'_>, field: &'static str, max: u32) -> Result<Option<u32>, ParseError> {
    match object.member(field)? {
        Some(value) => Ok(Some(value.number(field, 0, max.into())? as u32)), // in range, so it fits
        None => Ok(None),
    }
}

impl<'a> Signature<'a> {
    /// The strongest signature of a file. AWS marks an unsigned file with `"sig--": null`: null is no signature.
    fn read(file: RawJson<'a>) -> Result<Option<Self>, ParseError> {
        for (kind, key) in SIGNATURE_KINDS {
            if let Some(value) = file.member(key)? {
                return Ok(Some(Self { kind, base64: value.text(key)? }));
            }
        }
        let unknown = |(key, value): (Key<'_>, RawJson<'_>)| {
            key.as_raw().starts_with(SIGNATURE_PREFIX) && value.as_str() != "null"
        };
        if file.members().any(unknown) { Err(ParseError::UnknownSignatureKind) } else { Ok(None) }
    }
}

impl Serialize for File<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut file = serializer.serialize_struct("file", 8)?;
        let texts = [
            ("filepath", &self.file_path),
            ("certfile", &self.cert_file),
            ("update_data_url", &self.update_data_url),
            ("auth_scheme", &self.auth_scheme),
        ];
        file.serialize_field("filesize", &self.file_size)?;
        file.serialize_field("fileid", &self.file_id)?;
        if let Some(file_type) = &self.file_type {
            file.serialize_field("fileType", file_type)?;
        }
        for (key, text) in texts {
            if let Some(text) = text {
                file.serialize_field(key, &text::Wire(*text))?;
            }
        }
        if let Some(Signature { kind, base64 }) = &self.signature {
            file.serialize_field(kind.as_str(), &text::Wire(*base64))?;
        }
        file.end()
    }
}
