//! A private key from a PKCS#8 PEM file. The algorithm is determined by the file's content.

use std::path::Path;

use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::{DecodePrivateKey, ObjectIdentifier, PrivateKeyInfoRef, SecretDocument};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};

use super::ToolError;

/// Source: RFC 8410, section 3.
pub const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// Source: RFC 8017, appendix A.1, rsaEncryption.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// Supported lengths of the modulus: 2048 and 3072 bits.
const RSA_BYTES: [usize; 2] = [256, 384];

/// A key that signs images.
pub enum PrivateKey {
    /// P-256, supported by AWS and by every device.
    Ecdsa(SigningKey),
    /// Signs the 32 bytes of the image's SHA-256; not a format of AWS.
    Ed25519(Ed25519KeyPair),
    /// PKCS #1 v1.5 over SHA-256.
    Rsa(Box<RsaKeyPair>),
}

impl PrivateKey {
    /// Reads a key from a file.
    pub fn read(path: &Path) -> Result<Self, ToolError> {
        let pem = std::fs::read_to_string(path).map_err(|error| ToolError::file(path, &error))?;
        if pem.contains("-----BEGIN PUBLIC KEY-----") {
            return Err(ToolError::file(path, &"this is a public key; signing needs the private key"));
        }
        let (_, document) = SecretDocument::from_pem(&pem).map_err(|error| ToolError::file(path, &error))?;
        let der = document.as_bytes();
        match document.decode_msg::<PrivateKeyInfoRef<'_>>().map(|info| info.algorithm.oid) {
            Ok(ED25519) => Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
                .map(Self::Ed25519)
                .map_err(|error| ToolError::file(path, &error)),
            Ok(RSA) => Self::rsa(path, der),
            _ => SigningKey::from_pkcs8_pem(&pem).map(Self::Ecdsa).map_err(|error| ToolError::file(path, &error)),
        }
    }

    fn rsa(path: &Path, der: &[u8]) -> Result<Self, ToolError> {
        let pair = RsaKeyPair::from_pkcs8(der).map_err(|error| ToolError::file(path, &error))?;
        let len_bytes = pair.public().modulus_len();
        match RSA_BYTES.contains(&len_bytes) {
            true => Ok(Self::Rsa(Box::new(pair))),
            false => {
                let text = format!("RSA of {} bits, devices support 2048 and 3072", len_bytes * 8);
                Err(ToolError::file(path, &text))
            }
        }
    }

    /// Signs an image in the format that devices expect.
    pub fn sign(&self, image: &[u8]) -> Result<Vec<u8>, ToolError> {
        let hash = digest(&SHA256, image);
        match self {
            Self::Ecdsa(key) => {
                let signature: Result<DerSignature, _> = key.sign_prehash(hash.as_ref());
                signature.map(|der| der.as_bytes().to_vec()).map_err(|error| ToolError::new(error.to_string()))
            }
            Self::Ed25519(pair) => Ok(pair.sign(hash.as_ref()).as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let signed = pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), image, &mut signature);
                signed.map(|()| signature).map_err(|_| ToolError::new("signing with the RSA key failed"))
            }
        }
    }
}
