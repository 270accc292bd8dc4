//! Who signs releases and who checks them: a quick stand-in that binds a signature to digest and key as a real one does,
//! and P-256 itself for the lives of a sample.

use ota_pal::{AcceptUnsigned, Digest, Key, KeySet, SignatureKind, SignatureRefusal, Verifier};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use sha2::{Digest as _, Sha256};

/// The id under which the device knows its key.
pub const KEY_ID: &str = "release";

/// A key that signs. It exists for one run: its secret is the hash of a name.
pub enum Signer {
    /// The stand-in.
    Quick {
        /// Differs from key to key.
        mark: u8,
    },
    /// ECDSA over P-256.
    Real(Box<SigningKey>),
    /// None: what is released is unsigned, and the device on the bench takes it so.
    Nobody,
}

/// What the device checks with.
pub enum WorldVerifier {
    /// The stand-in.
    Quick {
        /// Of the key that holds.
        mark: u8,
    },
    /// Pal's own.
    Real(Box<KeySet<1>>),
    /// Pal's own, without any key.
    Bench(Box<AcceptUnsigned<KeySet<1>>>),
}

impl Signer {
    /// The key called `name`, `real` or the stand-in.
    pub fn new(name: &str, real: bool) -> Self {
        let hash = Sha256::digest(name);
        if real {
            let key = SigningKey::from_slice(&hash).expect("a hash is below the group's order, but once in 2^32");
            Self::Real(Box::new(key))
        } else {
            Self::Quick { mark: hash[0] }
        }
    }

    /// The signature over these bytes, as it stands in a job document before base64; none is empty.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        match self {
            Self::Nobody => Vec::new(),
            Self::Quick { mark } => quick(&digest, *mark),
            Self::Real(key) => {
                let signature: p256::ecdsa::Signature = key.sign_prehash(&digest).expect("a digest can be signed");
                signature.to_der().as_bytes().to_vec()
            }
        }
    }

    /// What a device holds to check this key's signatures.
    pub fn verifier(&self) -> WorldVerifier {
        match self {
            Self::Nobody => WorldVerifier::Bench(Box::new(AcceptUnsigned(KeySet::new()))),
            Self::Quick { mark } => WorldVerifier::Quick { mark: *mark },
            Self::Real(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                let mut keys = KeySet::new();
                let key = Key::new(KEY_ID, point.as_bytes()).expect("a point of the curve");
                keys.add(key).expect("there is room for one");
                WorldVerifier::Real(Box::new(keys))
            }
        }
    }
}

fn quick(digest: &[u8; 32], mark: u8) -> Vec<u8> {
    digest.iter().map(|byte| byte ^ mark).collect()
}

impl Verifier for WorldVerifier {
    fn admits(&self, kind: Option<SignatureKind>) -> Result<(), SignatureRefusal> {
        match (self, kind) {
            (Self::Real(keys), _) => keys.admits(kind),
            (Self::Bench(bench), _) => bench.admits(kind),
            (Self::Quick { .. }, Some(SignatureKind::Sha256Ecdsa)) => Ok(()),
            (Self::Quick { .. }, Some(got)) => Err(SignatureRefusal::KindUnsupported { got }),
            (Self::Quick { .. }, None) => Err(SignatureRefusal::SignatureMissing),
        }
    }

    fn verify(
        &self,
        key_id: Option<&str>,
        kind: SignatureKind,
        digest: &Digest,
        signature: &[u8],
        epoch_min: u32,
    ) -> Result<(), SignatureRefusal> {
        match self {
            Self::Real(keys) => keys.verify(key_id, kind, digest, signature, epoch_min),
            Self::Bench(bench) => bench.verify(key_id, kind, digest, signature, epoch_min),
            Self::Quick { mark } if signature == quick(&digest.0, *mark) => Ok(()),
            Self::Quick { .. } => Err(SignatureRefusal::SignatureInvalid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_devices_own_key_over_the_same_bytes_holds() {
        for real in [false, true] {
            let (ours, foreign) = (Signer::new("ours", real), Signer::new("foreign", real));
            let (verifier, digest) = (ours.verifier(), Digest(Sha256::digest(b"image").into()));
            let check = |der: &[u8]| verifier.verify(None, SignatureKind::Sha256Ecdsa, &digest, der, 0);
            assert_eq!(check(&ours.sign(b"image")), Ok(()));
            assert_eq!(check(&ours.sign(b"other")), Err(SignatureRefusal::SignatureInvalid));
            assert_eq!(check(&foreign.sign(b"image")), Err(SignatureRefusal::SignatureInvalid));
        }
    }
}
