//! `ota verify`: verifies an image as a device does, with the device's own verifier.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use ota_pal::{Digest, Header, Key, KeySet, SignatureRefusal, Verifier};
use p256::pkcs8::Document;
use ring::digest::{SHA256, digest};

use super::{ToolError, print_line, read, signature_path};

const CERTIFICATE: &str = "this is a certificate; verification needs the public key in it: openssl x509 -pubkey -noout";
const COMPRESSED: &str = "this key is a compressed point; devices take the uncompressed form: openssl ec -pubin \
                          -conv_form uncompressed";

/// Verify the signature of an image
#[derive(Debug, Args)]
pub struct Verify {
    /// Public key, SubjectPublicKeyInfo PEM, from `ota keygen`
    #[arg(long)]
    key: PathBuf,
    /// Image
    image: PathBuf,
    /// Signature file; by default the image's name with `.sig`
    signature: Option<PathBuf>,
}

impl Verify {
    /// Prints `good` and succeeds, or fails with the reason.
    pub fn run(&self) -> Result<(), ToolError> {
        let image = read(&self.image)?;
        let path = self.signature.clone().unwrap_or_else(|| signature_path(&self.image));
        let text = String::from_utf8(read(&path)?).map_err(|error| ToolError::file(&path, &error))?;
        let text: String = text.split_whitespace().collect(); // OpenSSL breaks lines
        let signature = STANDARD.decode(text).map_err(|_| ToolError::file(&path, &"not base64"))?;
        let digest = digest_of(&image);
        let verified = verify(public_key(&self.key)?, &digest, &signature);
        verified.map_err(|refusal| ToolError::file(&self.image, &named(refusal)))?;
        let header = Header::parse(&image).map_err(|error| ToolError::file(&self.image, &format!("{error:?}")))?;
        print_line(format_args!("good: version {} for {}, sha256 {digest}", header.version, header.hardware));
        Ok(())
    }
}

/// Verifies a signature by one key, of its kind.
pub fn verify(key: Key, digest: &Digest, signature: &[u8]) -> Result<(), SignatureRefusal> {
    let kind = key.kind();
    let mut keys = KeySet::<1>::new();
    keys.add(key).expect("there is room for one");
    keys.verify(None, kind, digest, signature, 0)
}

/// The SHA-256 of a file.
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest(digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

/// Reads a public key, of any supported kind.
pub fn public_key(path: &Path) -> Result<Key, ToolError> {
    let pem = std::fs::read_to_string(path).map_err(|error| ToolError::file(path, &error))?;
    if pem.contains("PRIVATE KEY-----") {
        return Err(ToolError::file(path, &"this is a private key; verification needs the public key"));
    }
    let (label, der) = Document::from_pem(&pem).map_err(|error| ToolError::file(path, &error))?;
    if label == "CERTIFICATE" {
        return Err(ToolError::file(path, &CERTIFICATE));
    }
    Key::new("key", der.as_bytes()).map_err(|error| match der.as_bytes() {
        bytes if is_compressed(bytes) => ToolError::file(path, &COMPRESSED),
        _ => ToolError::file(path, &error),
    })
}

/// Whether `der` is a P-256 key as a compressed point: the SubjectPublicKeyInfo of 33 bytes. Source: RFC 5480, section 2.2.
fn is_compressed(der: &[u8]) -> bool {
    der.len() == 59 && der.starts_with(&[0x30, 0x39, 0x30, 0x13]) && matches!(der[26], 2 | 3)
}

fn named(refusal: SignatureRefusal) -> String {
    match refusal {
        SignatureRefusal::SignatureInvalid => "the signature does not match this key and file".to_owned(),
        SignatureRefusal::SignatureMalformed { at_bytes } => format!("the signature is malformed at byte {at_bytes}"),
        other => format!("{other:?}"),
    }
}
