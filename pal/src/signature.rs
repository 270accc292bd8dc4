//! What the crate asks of a signature check: the trait, its kinds and its refusals. The keys are in `keys`.

use crate::digest::Digest;
pub use crate::keys::{KEY_ID_BYTES_MAX, Key, KeyError, KeySet};

/// A kind of signature, as job documents name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureKind {
    /// RSA over SHA-1.
    Sha1Rsa,
    /// RSA over SHA-256.
    Sha256Rsa,
    /// ECDSA over SHA-1.
    Sha1Ecdsa,
    /// ECDSA over SHA-256: the one [`KeySet`] verifies.
    Sha256Ecdsa,
}

/// Why a signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureRefusal {
    /// No key of this device makes signatures of this kind.
    KindUnsupported {
        /// The kind.
        got: SignatureKind,
    },
    /// Not the one DER encoding of two positive integers of at most 32 bytes.
    SignatureMalformed {
        /// The byte where it stops being that.
        at_bytes: usize,
    },
    /// This device has no key that is still valid.
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
