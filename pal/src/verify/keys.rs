//! Public keys. Several are valid at once, so that keys can be rotated; raising the device's key epoch revokes the old
//! ones. Each kind of key has a file of its own below. The epoch is stored elsewhere.

mod ecdsa;
#[cfg(feature = "ed25519")]
mod ed25519;
mod error;
mod public;
#[cfg(feature = "rsa")]
mod rsa;

use heapless::{String, Vec};

use crate::image::digest::Digest;
use crate::verify::signature::{SignatureKind, SignatureRefusal, Verifier};
pub use error::KeyError;
use public::Public;

/// The longest key id, in bytes.
pub const KEY_ID_BYTES_MAX: usize = 32;

/// The longest signature of the kinds in this build, in bytes.
pub const SIGNATURE_BYTES_MAX: usize = public::SIGNATURE_BYTES_MAX;

/// A public key, the id by which a job may name it, and the epoch in which it was issued. The key determines the
/// algorithm.
#[derive(Clone, Debug)]
pub struct Key {
    id: String<KEY_ID_BYTES_MAX, u8>,
    epoch: u32,
    public: Public,
}

impl Key {
    /// Creates a key from `public` in DER as written by `openssl pkey -pubout -outform DER` (SubjectPublicKeyInfo):
    /// ECDSA P-256; Ed25519 with the feature `ed25519`; RSA of 2048 or 3072 bits with the feature `rsa`. The 65 bytes
    /// of an uncompressed P-256 point (SEC 1) are accepted as well. The key is of epoch 0, the first to be revoked,
    /// unless [`issued_in`](Self::issued_in) sets another.
    ///
    /// # Errors
    /// [`KeyError`] if the id or the bytes are invalid.
    pub fn new(id: &str, public: &[u8]) -> Result<Self, KeyError> {
        let (got, max) = (id.len(), KEY_ID_BYTES_MAX);
        let id = String::try_from(id).map_err(|_| KeyError::IdTooLong { got, max })?;
        Ok(Self { id, epoch: 0, public: Public::parse(public)? })
    }

    /// Returns the same key with this epoch. A device with a higher key epoch accepts nothing signed by it.
    #[must_use]
    pub fn issued_in(self, epoch: u32) -> Self {
        Self { epoch, ..self }
    }

    /// Returns the only kind of signature that this key verifies.
    #[must_use]
    pub fn kind(&self) -> SignatureKind {
        self.public.kind()
    }
}

/// Up to `N` keys. A signature by any of them is valid, unless the key is revoked.
#[derive(Clone, Debug, Default)]
pub struct KeySet<const N: usize> {
    keys: Vec<Key, N>,
}

impl KeySet<1> {
    /// Creates a set of one key; `public_key` is a SEC1 point or a `SubjectPublicKeyInfo` in DER.
    ///
    /// # Errors
    /// See [`Key::new`].
    pub fn single(id: &str, public_key: &[u8]) -> Result<Self, KeyError> {
        let mut keys = Self::new();
        keys.add(Key::new(id, public_key)?)?;
        Ok(keys)
    }
}

impl<const N: usize> KeySet<N> {
    /// Creates a set without keys, which refuses everything.
    #[must_use]
    pub const fn new() -> Self {
        Self { keys: Vec::new() }
    }

    /// Adds a key.
    ///
    /// # Errors
    /// [`KeyError::TooManyKeys`], [`KeyError::IdTaken`].
    pub fn add(&mut self, key: Key) -> Result<(), KeyError> {
        if self.keys.iter().any(|held| held.id == key.id) {
            return Err(KeyError::IdTaken);
        }
        self.keys.push(key).map_err(|_| KeyError::TooManyKeys { max: N })
    }
}

impl<const N: usize> Verifier for KeySet<N> {
    fn check_kind(&self, kind: Option<SignatureKind>) -> Result<(), SignatureRefusal> {
        let got = kind.ok_or(SignatureRefusal::SignatureMissing)?;
        match self.keys.iter().any(|key| key.kind() == got) {
            true => Ok(()),
            false if self.keys.is_empty() => Err(SignatureRefusal::UnknownKey),
            false => Err(SignatureRefusal::KindUnsupported { got }),
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
        self.check_kind(Some(kind))?;
        let mut refusal = SignatureRefusal::UnknownKey;
        // A check is slow on a device, so the named key is tried first. The revoked keys are tried last: one is reported as
        // revoked only if it made the signature, because the key id in the job is not proof.
        for turn in 0..3 {
            for key in self.keys.iter().filter(|key| key.kind() == kind) {
                let is_revoked = key.epoch < epoch_min;
                let turn_of_key = match key_id == Some(key.id.as_str()) {
                    _ if is_revoked => 2,
                    true => 0,
                    false => 1,
                };
                if turn_of_key != turn {
                    continue;
                }
                match key.public.verify(digest, signature) {
                    Ok(()) if is_revoked => return Err(SignatureRefusal::KeyRevoked { epoch: key.epoch, epoch_min }),
                    Ok(()) => return Ok(()),
                    // `SignatureInvalid` is more specific than a format error of another key.
                    Err(_) if is_revoked || refusal == SignatureRefusal::SignatureInvalid => {}
                    Err(other) => refusal = other,
                }
            }
        }
        Err(refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{public_key, sha256, sign, signing_key};
    use std::format;

    const KIND: SignatureKind = SignatureKind::Sha256Ecdsa;

    fn keys() -> KeySet<2> {
        let mut keys = KeySet::new();
        keys.add(public_key("old", &signing_key("old"))).unwrap();
        keys.add(public_key("new", &signing_key("new"))).unwrap();
        keys
    }

    #[test]
    fn a_signature_by_any_key_holds_whatever_key_the_job_names() {
        let digest = sha256(b"image");
        for signer in ["old", "new"] {
            let der = sign(&signing_key(signer), &digest);
            for key_id in [None, Some("old"), Some("new"), Some("never heard of"), Some("")] {
                assert_eq!(keys().verify(key_id, KIND, &digest, &der, 0), Ok(()), "{signer} {key_id:?}");
            }
        }
    }

    #[test]
    fn a_foreign_key_or_a_changed_digest_is_invalid() {
        let digest = sha256(b"image");
        let foreign = sign(&signing_key("foreign"), &digest);
        assert_eq!(keys().verify(None, KIND, &digest, &foreign, 0), Err(SignatureRefusal::SignatureInvalid));
        let ours = sign(&signing_key("new"), &digest);
        for bit in [0, 255] {
            let mut changed = digest;
            changed.0[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(keys().verify(None, KIND, &changed, &ours, 0), Err(SignatureRefusal::SignatureInvalid));
        }
    }

    #[test]
    fn keys_rotate_old_and_new_hold_together_until_the_epoch_is_raised() {
        let digest = sha256(b"image");
        let [old, new, foreign] = ["old", "new", "foreign"].map(|name| sign(&signing_key(name), &digest));
        let mut keys = KeySet::<2>::new();
        keys.add(public_key("old", &signing_key("old")).issued_in(3)).unwrap();
        keys.add(public_key("new", &signing_key("new")).issued_in(4)).unwrap();
        let check = |signature: &[u8], epoch_min| keys.verify(Some("old"), KIND, &digest, signature, epoch_min);
        let (invalid, revoked) =
            (SignatureRefusal::SignatureInvalid, SignatureRefusal::KeyRevoked { epoch: 3, epoch_min: 4 });
        for epoch_min in [0, 3] {
            assert_eq!((check(&old, epoch_min), check(&new, epoch_min)), (Ok(()), Ok(())), "{epoch_min}");
        }
        assert_eq!((check(&old, 4), check(&new, 4)), (Err(revoked), Ok(())));
        assert_eq!(check(&foreign, 4), Err(invalid), "the job names the revoked key, which did not sign");
    }

    #[test]
    fn with_all_keys_revoked_only_their_own_signatures_are_called_that() {
        let digest = sha256(b"image");
        let check = |name| keys().verify(None, KIND, &digest, &sign(&signing_key(name), &digest), u32::MAX);
        let revoked = SignatureRefusal::KeyRevoked { epoch: 0, epoch_min: u32::MAX };
        assert_eq!((check("old"), check("new")), (Err(revoked), Err(revoked)));
        assert_eq!(check("foreign"), Err(SignatureRefusal::UnknownKey));
    }

    #[test]
    fn every_changed_byte_of_a_signature_is_refused() {
        let digest = sha256(b"image");
        let der = sign(&signing_key("new"), &digest);
        for index in 0..der.len() {
            let mut changed = der.clone();
            changed[index] ^= 1;
            assert!(keys().verify(None, KIND, &digest, &changed, 0).is_err(), "byte {index}");
        }
    }

    #[test]
    fn no_key_no_kind_and_no_der_have_names_of_their_own() {
        let digest = sha256(b"image");
        let der = sign(&signing_key("new"), &digest);
        assert_eq!(KeySet::<1>::new().verify(None, KIND, &digest, &der, 0), Err(SignatureRefusal::UnknownKey));
        let got = SignatureKind::Sha256Rsa;
        assert_eq!(keys().verify(None, got, &digest, &der, 0), Err(SignatureRefusal::KindUnsupported { got }));
        let empty = keys().verify(None, KIND, &digest, &[], 0);
        assert_eq!(empty, Err(SignatureRefusal::SignatureMalformed { at_bytes: 0 }));
    }

    #[cfg(feature = "ed25519")]
    #[test]
    fn a_job_cannot_choose_the_algorithm() {
        const KINDS: [SignatureKind; 2] = [SignatureKind::Sha256Ecdsa, SignatureKind::Sha256Ed25519];
        let digest = sha256(b"image");
        let pair = salty::Keypair::from(&[7; 32]);
        let spki = [&[0x30, 0x2A, 0x30, 5, 6, 3, 0x2B, 0x65, 0x70, 3, 0x21, 0], &pair.public.as_bytes()[..]].concat();
        let signatures = [sign(&signing_key("new"), &digest), pair.sign(&digest.0).to_bytes().to_vec()];
        let keys = [public_key("new", &signing_key("new")), Key::new("ed", &spki).unwrap()];
        let mut both = KeySet::<2>::new();
        keys.iter().for_each(|key| both.add(key.clone()).unwrap());
        for (made, signature) in KINDS.into_iter().zip(&signatures) {
            for named in KINDS {
                for key_id in [None, Some("new"), Some("ed")] {
                    let check = both.verify(key_id, named, &digest, signature, 0);
                    assert_eq!(check.is_ok(), made == named, "{made:?} as {named:?}: {check:?}");
                }
            }
        }
        for (held, key) in KINDS.into_iter().zip(keys) {
            let mut one = KeySet::<1>::new();
            one.add(key).unwrap();
            for got in KINDS.into_iter().filter(|kind| *kind != held) {
                let refused = Err(SignatureRefusal::KindUnsupported { got });
                assert_eq!(one.verify(None, got, &digest, &signatures[0], 0), refused, "{held:?}");
                assert_eq!(one.verify(None, got, &digest, &signatures[1], 0), refused, "{held:?}");
            }
        }
    }

    #[test]
    fn an_id_has_at_most_32_bytes() {
        let point = signing_key("new").verifying_key().to_sec1_point(false);
        let refused = Key::new(&"i".repeat(33), point.as_bytes()).unwrap_err();
        assert_eq!(refused, KeyError::IdTooLong { got: 33, max: 32 });
        assert!(Key::new(&"i".repeat(32), point.as_bytes()).is_ok());
    }

    #[test]
    fn a_full_set_and_a_taken_id_are_refused() {
        let mut keys = keys();
        assert_eq!(keys.add(public_key("old", &signing_key("x"))), Err(KeyError::IdTaken));
        assert_eq!(keys.add(public_key("third", &signing_key("x"))), Err(KeyError::TooManyKeys { max: 2 }));
        assert!(format!("{}", KeyError::IdTaken).contains("IdTaken"));
    }

    #[test]
    fn a_set_of_a_single_key_holds_its_signatures() {
        let digest = sha256(b"image");
        let key = signing_key("only");
        let single = KeySet::single("only", key.verifying_key().to_sec1_point(false).as_bytes()).unwrap();
        assert_eq!(single.verify(None, KIND, &digest, &sign(&key, &digest), 0), Ok(()));
    }
}
