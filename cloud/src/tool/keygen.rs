//! `ota keygen`: creates a key pair, ECDSA P-256 or Ed25519; only the owner can read the private key.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use p256::SecretKey;
use p256::pkcs8::der::asn1::{BitStringRef, OctetStringRef};
use p256::pkcs8::spki::{AlgorithmIdentifier, SubjectPublicKeyInfoRef};
use p256::pkcs8::{Document, EncodePrivateKey, EncodePublicKey, LineEnding, PrivateKeyInfoRef, SecretDocument};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::private_key::ED25519;
use super::{ToolError, print_line};

/// Only the owner can read the private key.
const PRIVATE_MODE: u32 = 0o600;
/// All users can read the public key.
const PUBLIC_MODE: u32 = 0o644;
/// Probability that a random scalar is outside 1..n: 2^-32 per attempt.
const DRAWS_MAX: usize = 8;

/// Create a key pair for signing images
#[derive(Debug, Args)]
pub struct Keygen {
    /// Directory for `private.pem` (PKCS#8), and `public.pem` and `public.der` (SubjectPublicKeyInfo; devices use DER)
    #[arg(long)]
    out: PathBuf,
    /// Algorithm: ecdsa is P-256, supported by AWS and every device; ed25519 requires devices built with that feature
    #[arg(long, value_enum, default_value = "ecdsa")]
    kind: KindName,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindName {
    Ecdsa,
    Ed25519,
}

impl Keygen {
    /// Writes the files; an existing key is not overwritten.
    pub fn run(&self) -> Result<(), ToolError> {
        let (private, public) = match self.kind {
            KindName::Ecdsa => ecdsa()?,
            KindName::Ed25519 => ed25519()?,
        };
        let private =
            private.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|error| ToolError::new(error.to_string()))?;
        let pem = public.to_pem("PUBLIC KEY", LineEnding::LF).map_err(|error| ToolError::new(error.to_string()))?;
        std::fs::create_dir_all(&self.out).map_err(|error| ToolError::file(&self.out, &error))?;
        let (private_path, public_path) = (self.out.join("private.pem"), self.out.join("public.pem"));
        let der_path = self.out.join("public.der");
        create(&private_path, private.as_bytes(), PRIVATE_MODE)?;
        create(&public_path, pem.as_bytes(), PUBLIC_MODE)?;
        create(&der_path, public.as_bytes(), PUBLIC_MODE)?;
        print_line(private_path.display());
        print_line(public_path.display());
        print_line(format_args!(
            "{} (the same key, {} bytes of DER, for devices)",
            der_path.display(),
            public.as_bytes().len()
        ));
        Ok(())
    }
}

/// Private key in PKCS#8, public key in SubjectPublicKeyInfo.
type Pair = (SecretDocument, Document);

fn ecdsa() -> Result<Pair, ToolError> {
    let secret = draw()?;
    let private = secret.to_pkcs8_der().map_err(|error| ToolError::new(error.to_string()))?;
    let public = secret.public_key().to_public_key_der().map_err(|error| ToolError::new(error.to_string()))?;
    Ok((private, public))
}

/// Source: RFC 8410, sections 4 and 7: the private key is an OCTET STRING in an OCTET STRING.
fn ed25519() -> Result<Pair, ToolError> {
    let mut seed = [0; 34];
    seed[..2].copy_from_slice(&[0x04, 0x20]);
    SystemRandom::new().fill(&mut seed[2..]).map_err(|_| ToolError::new("the system provided no random numbers"))?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed[2..]).map_err(|error| ToolError::new(error.to_string()))?;
    let written = || {
        let algorithm = AlgorithmIdentifier { oid: ED25519, parameters: None };
        let private = PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(&seed)?);
        let subject_public_key = BitStringRef::from_bytes(pair.public_key().as_ref())?;
        let public = Document::encode_msg(&SubjectPublicKeyInfoRef { algorithm, subject_public_key })?;
        Ok((SecretDocument::encode_msg(&private)?, public))
    };
    written().map_err(|error: p256::pkcs8::der::Error| ToolError::new(error.to_string()))
}

fn draw() -> Result<SecretKey, ToolError> {
    for _ in 0..DRAWS_MAX {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| ToolError::new("the system provided no random numbers"))?;
        if let Ok(key) = SecretKey::from_slice(&bytes) {
            return Ok(key);
        }
    }
    Err(ToolError::new("no valid key from the system's random numbers"))
}

fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<(), ToolError> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|error| ToolError::file(path, &error))
}
