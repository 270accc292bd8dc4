//! What the crate asks of a signature check: the trait, its kinds and its refusals. The keys are in `keys`.

use crate::digest::Digest;
pub use crate::keys::{KEY_ID_BYTES_MAX, Key, KeyError, KeySet, SIGNATURE_BYTES_MAX};

/// A kind of signature, as job documents name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureKind {
    /// RSA over SHA-1. No key here makes it.
    Sha1Rsa,
    /// RSA, PKCS #1 v1.5, over SHA-256: feature `rsa`.
    Sha256Rsa,
    /// ECDSA over SHA-1. No key here makes it.
    Sha1Ecdsa,
    /// ECDSA over SHA-256.
    Sha256Ecdsa,
    /// Ed25519 over the 32 bytes of the SHA-256, ours alone: feature `ed25519`.
    Sha256Ed25519,
}

/// Why a signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureRefusal {
    /// No key of this device makes signatures of this kind.
    KindUnsupported {
        /// The kind.
        got: SignatureKind,
    },
    /// Not of the form that signatures of its kind have: of ECDSA the one DER encoding of two positive integers of at most
    /// 32 bytes, of the others so many bytes and no more.
    SignatureMalformed {
        /// The byte where it stops being that.
        at_bytes: usize,
    },
    /// No key of this device that could have made it is still valid.
    UnknownKey,
    /// No key of this device made it for these bytes.
    SignatureInvalid,
    /// A key of this device made it for these bytes, but the key is revoked.
    KeyRevoked {
        /// The epoch in which the key was issued.
        epoch: u32,
        /// The device's key epoch: keys of earlier ones are revoked.
        epoch_min: u32,
    },
}

/// Decides whether a signature over an image holds. The algorithm is the key's, never the message's.
pub trait Verifier {
    /// Whether one of the device's keys signed `digest`. `key_id` comes from the job and is not trusted: it may say which
    /// key to try first, and must not decide more. Keys issued before `epoch_min`, the device's key epoch, are revoked: what
    /// they sign never holds.
    ///
    /// # Errors
    /// [`SignatureRefusal`] for everything but a signature that holds.
    fn verify(
        &self,
        key_id: Option<&str>,
        kind: SignatureKind,
        digest: &Digest,
        signature: &[u8],
        epoch_min: u32,
    ) -> Result<(), SignatureRefusal>;
}
