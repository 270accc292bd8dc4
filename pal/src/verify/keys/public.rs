//! A public key of any kind in this build, and the dispatch to its implementation. The bytes of the key determine the
//! kind.

use super::ecdsa;
#[cfg(feature = "ed25519")]
use super::ed25519;
use super::error::KeyError;
#[cfg(feature = "rsa")]
use super::rsa;
use crate::image::digest::Digest;
use crate::verify::signature::{SignatureKind, SignatureRefusal};

/// The length of an RSA signature of 3072 bits, or of ECDSA in DER, which is longer than Ed25519.
pub(super) const SIGNATURE_BYTES_MAX: usize = if cfg!(feature = "rsa") { 384 } else { 72 };

/// The bytes before an Ed25519 key in a SubjectPublicKeyInfo; they are constant. Source: RFC 8410, section 4.
const ED25519_PREFIX: [u8; 12] = [0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The algorithm identifier of an RSA key in a SubjectPublicKeyInfo. Source: RFC 3279, section 2.3.1, rsaEncryption.
const RSA_ALGORITHM: [u8; 15] =
    [0x30, 0x0D, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00];

/// A public key, and thereby an algorithm. A job cannot choose it.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "rsa", allow(clippy::large_enum_variant))] // without a heap, the large variant cannot be boxed
pub(super) enum Public {
    /// ECDSA over P-256.
    Ecdsa(ecdsa::PublicKey),
    /// Ed25519.
    #[cfg(feature = "ed25519")]
    Ed25519(ed25519::PublicKey),
    /// RSA, PKCS #1 v1.5.
    #[cfg(feature = "rsa")]
    Rsa(rsa::PublicKey),
}

impl Public {
    /// Parses a key.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        // The algorithm follows the length of the outer SEQUENCE, which has one to three bytes.
        let is_rsa = (2..=4).any(|at| bytes.get(at..).is_some_and(|rest| rest.starts_with(&RSA_ALGORITHM)));
        match bytes.strip_prefix(&ED25519_PREFIX) {
            Some(point) => Self::ed25519(point),
            None if is_rsa => Self::rsa(bytes),
            None => ecdsa::PublicKey::parse(bytes).map(Self::Ecdsa),
        }
    }

    #[cfg(feature = "ed25519")]
    fn ed25519(point: &[u8]) -> Result<Self, KeyError> {
        ed25519::PublicKey::parse(point).map(Self::Ed25519)
    }

    #[cfg(not(feature = "ed25519"))]
    fn ed25519(_: &[u8]) -> Result<Self, KeyError> {
        Err(KeyError::KindNotBuilt { kind: SignatureKind::Sha256Ed25519 })
    }

    #[cfg(feature = "rsa")]
    fn rsa(bytes: &[u8]) -> Result<Self, KeyError> {
        rsa::PublicKey::parse(bytes).map(Self::Rsa)
    }

    #[cfg(not(feature = "rsa"))]
    fn rsa(_: &[u8]) -> Result<Self, KeyError> {
        Err(KeyError::KindNotBuilt { kind: SignatureKind::Sha256Rsa })
    }

    /// Returns the kind of signature that this key verifies.
    pub(super) fn kind(&self) -> SignatureKind {
        match self {
            Self::Ecdsa(_) => SignatureKind::Sha256Ecdsa,
            #[cfg(feature = "ed25519")]
            Self::Ed25519(_) => SignatureKind::Sha256Ed25519,
            #[cfg(feature = "rsa")]
            Self::Rsa(_) => SignatureKind::Sha256Rsa,
        }
    }

    /// Verifies a signature over this digest.
    ///
    /// # Errors
    /// [`SignatureRefusal::SignatureMalformed`], [`SignatureRefusal::SignatureInvalid`].
    pub(super) fn verify(&self, digest: &Digest, signature: &[u8]) -> Result<(), SignatureRefusal> {
        match self {
            Self::Ecdsa(key) => key.verify(digest, signature),
            #[cfg(feature = "ed25519")]
            Self::Ed25519(key) => key.verify(digest, signature),
            #[cfg(feature = "rsa")]
            Self::Rsa(key) => key.verify(digest, signature),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_key_whose_feature_is_off_is_refused_by_its_kind() {
        let ed25519 = [&ED25519_PREFIX[..], &[0; 32]].concat();
        let rsa = [&[0x30, 0x81, 0x9F], &RSA_ALGORITHM[..], &[0; 144]].concat();
        let refused: Vec<KeyError> = [ed25519, rsa].iter().map(|bytes| Public::parse(bytes).unwrap_err()).collect();
        let off = |kind| KeyError::KindNotBuilt { kind };
        let weak = if cfg!(feature = "ed25519") { KeyError::WeakPoint } else { off(SignatureKind::Sha256Ed25519) };
        let short = KeyError::RsaUnsupported { len_bytes: 162 };
        let short = if cfg!(feature = "rsa") { short } else { off(SignatureKind::Sha256Rsa) };
        assert_eq!(refused, [weak, short]);
    }
}
