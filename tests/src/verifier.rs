//! Signing and verification of images: a fast substitute that binds a signature to digest and key as a real one does, and
//! P-256 itself for a sample of the runs.

use ota_pal::{AcceptDigest, AcceptUnsigned, Digest, Key, KeySet, SignatureKind, SignatureRefusal, Verifier};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use sha2::{Digest as _, Sha256};

/// The id of the device's key.
pub const KEY_ID: &str = "release";

/// A signing key. It exists for one run: its secret is the hash of a name.
pub enum Signer {
    /// The substitute.
    Quick {
        /// Differs from key to key.
        mark: u8,
    },
    /// ECDSA over P-256.
    Real(Box<SigningKey>),
    /// None: images are unsigned, and the device under test accepts them.
    Nobody,
    /// None: images are unsigned, and the device under test accepts those whose digest the application has.
    Digest,
}

/// The device's verifier.
pub enum SimVerifier {
    /// The substitute.
    Quick {
        /// Of the current key and of its successor.
        marks: [u8; 2],
    },
    /// Pal's own.
    Real(Box<KeySet<2>>),
    /// Pal's own, without any key.
    Keyless(Box<dyn Verifier>),
}

impl Signer {
    /// The key called `name`: P-256 if `real`, else the substitute.
    pub fn new(name: &str, real: bool) -> Self {
        let hash = Sha256::digest(name);
        if real {
            let key = SigningKey::from_slice(&hash).expect("a hash is below the group's order, but once in 2^32");
            Self::Real(Box::new(key))
        } else {
            Self::Quick { mark: hash[0] }
        }
    }

    /// The signature over these bytes, as in a job document before base64 encoding; empty without a key.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        match self {
            Self::Nobody | Self::Digest => Vec::new(),
            Self::Quick { mark } => quick(&digest, *mark),
            Self::Real(key) => {
                let signature: p256::ecdsa::Signature = key.sign_prehash(&digest).expect("a digest can be signed");
                signature.to_der().as_bytes().to_vec()
            }
        }
    }

    /// The successor of this key.
    pub fn next(&self) -> Self {
        match self {
            Self::Nobody => Self::Nobody,
            Self::Digest => Self::Digest,
            Self::Quick { mark } => Self::Quick { mark: mark.wrapping_add(1) },
            Self::Real(key) => {
                let hash = Sha256::digest(key.to_bytes());
                Self::Real(Box::new(SigningKey::from_slice(&hash).expect("as above")))
            }
        }
    }

    /// A verifier for signatures of this key, issued in epoch 0, and of the next, issued in epoch 1.
    pub fn verifier(&self) -> SimVerifier {
        match (self, self.next()) {
            (Self::Quick { mark }, Self::Quick { mark: next }) => SimVerifier::Quick { marks: [*mark, next] },
            (Self::Real(key), Self::Real(next)) => {
                let mut keys = KeySet::new();
                keys.add(public(KEY_ID, key)).expect("there is room for two");
                keys.add(public("next", &next).issued_in(1)).expect("there is room for two");
                SimVerifier::Real(Box::new(keys))
            }
            (Self::Digest, _) => SimVerifier::Keyless(Box::new(AcceptDigest(KeySet::<1>::new()))),
            _ => SimVerifier::Keyless(Box::new(AcceptUnsigned(KeySet::<1>::new()))),
        }
    }
}

fn public(id: &str, key: &SigningKey) -> Key {
    Key::new(id, key.verifying_key().to_sec1_point(false).as_bytes()).expect("a point of the curve")
}

fn quick(digest: &[u8; 32], mark: u8) -> Vec<u8> {
    digest.iter().map(|byte| byte ^ mark).collect()
}

impl Verifier for SimVerifier {
    fn check_kind(&self, kind: Option<SignatureKind>) -> Result<(), SignatureRefusal> {
        match (self, kind) {
            (Self::Real(keys), _) => keys.check_kind(kind),
            (Self::Keyless(verifier), _) => verifier.check_kind(kind),
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
            Self::Keyless(verifier) => verifier.verify(key_id, kind, digest, signature, epoch_min),
            Self::Quick { marks } => {
                let by = marks.iter().position(|mark| signature == quick(&digest.0, *mark));
                match by.ok_or(SignatureRefusal::SignatureInvalid)? as u32 {
                    epoch if epoch < epoch_min => Err(SignatureRefusal::KeyRevoked { epoch, epoch_min }),
                    _ => Ok(()),
                }
            }
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

    #[test]
    fn the_next_key_holds_too_and_alone_once_the_epoch_is_its_own() {
        for real in [false, true] {
            let ours = Signer::new("ours", real);
            let (verifier, digest) = (ours.verifier(), Digest(Sha256::digest(b"image").into()));
            let check = |der: &[u8], epoch| verifier.verify(None, SignatureKind::Sha256Ecdsa, &digest, der, epoch);
            let (old, new) = (ours.sign(b"image"), ours.next().sign(b"image"));
            assert_eq!([check(&old, 0), check(&new, 0), check(&new, 1)], [Ok(()); 3]);
            assert_eq!(check(&old, 1), Err(SignatureRefusal::KeyRevoked { epoch: 0, epoch_min: 1 }));
        }
    }
}
