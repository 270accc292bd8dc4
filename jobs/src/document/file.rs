//! One file of an update: source, size and signature.

use super::file_type::FileType;
use crate::error::ParseError;
use crate::json::{Key, RawJson};
use crate::json_writer::JsonWriter;
use crate::limits::{FILE_BYTES_MAX, FILE_ID_MAX};
use crate::text::JsonStr;
use crate::value::{Fields, Value};

/// A file of an update.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File<'a> {
    /// Destination path on the device; the agent uses it only to select a file.
    pub file_path: Option<JsonStr<'a>>,
    /// Unit: bytes.
    pub file_size: u32,
    /// Its number in the stream, 0..=255.
    pub file_id: u32,
    /// Name of the signing key.
    pub cert_file: Option<JsonStr<'a>>,
    /// Type of the file; see [`FileType`](super::FileType).
    pub file_type: Option<u32>,
    /// URL for download over HTTP.
    pub update_data_url: Option<JsonStr<'a>>,
    /// Authentication scheme of the URL, `aws.s3.presigned`.
    pub auth_scheme: Option<JsonStr<'a>>,
    /// Absent on an unsigned file.
    pub signature: Option<Signature<'a>>,
}

/// A file's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    /// Hash and algorithm.
    pub kind: SignatureKind,
    /// The signature in base64: DER for ECDSA, raw bytes otherwise.
    pub base64: JsonStr<'a>,
}

/// A hash and an algorithm. The declared order is the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignatureKind {
    /// `sig-sha256-ecdsa`
    Sha256Ecdsa,
    /// `sig-sha256-ed25519`: Ed25519 over the 32 bytes of the SHA-256. An extension; AWS does not define it.
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
    /// Reads an element of `files`. Errors are recorded in `list`, the fields of the object that contains the list.
    pub(super) fn read(list: &mut Fields<'a>, file: RawJson<'a>) -> Self {
        let mut fields = Fields::new(Value::Json(file), "files");
        let needed = Self {
            file_size: fields.required_within("filesize", 0, FILE_BYTES_MAX),
            file_id: fields.required_within("fileid", 0, FILE_ID_MAX),
            file_type: fields.within("fileType", 0, u32::MAX),
            update_data_url: fields.text("update_data_url"),
            signature: Signature::read(&mut fields, file),
            ..Self::default()
        };
        // A file that is no firmware is never used.
        if let Err(error) = fields.needed()
            && !matches!(FileType::new(needed.file_type), FileType::Other(_))
        {
            list.refuse(error);
        }
        Self {
            file_path: fields.text("filepath"),
            cert_file: fields.text("certfile"),
            auth_scheme: fields.text("auth_scheme"),
            ..needed
        }
    }

    /// Writes the members.
    pub(super) fn write(&self, writer: &mut JsonWriter<'_>) {
        writer.number("filesize", Some(self.file_size.into()));
        writer.number("fileid", Some(self.file_id.into()));
        writer.number("fileType", self.file_type.map(u64::from));
        writer.text("filepath", self.file_path);
        writer.text("certfile", self.cert_file);
        writer.text("update_data_url", self.update_data_url);
        writer.text("auth_scheme", self.auth_scheme);
        if let Some(Signature { kind, base64 }) = &self.signature {
            writer.text(kind.as_str(), Some(*base64));
        }
    }
}

impl<'a> Signature<'a> {
    /// Reads the strongest signature of a file. AWS marks an unsigned file with `"sig--": null`.
    fn read(fields: &mut Fields<'a>, file: RawJson<'a>) -> Option<Self> {
        for (kind, key) in SIGNATURE_KINDS {
            if let Some(base64) = fields.text(key) {
                return Some(Self { kind, base64 });
            }
        }
        let unknown = |(key, value): (Key<'_>, RawJson<'_>)| {
            key.as_raw().starts_with(SIGNATURE_PREFIX) && value.as_str() != "null"
        };
        if file.members().any(unknown) {
            fields.refuse(ParseError::UnknownSignatureKind);
        }
        None
    }
}
