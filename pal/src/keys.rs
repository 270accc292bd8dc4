//! ECDSA P-256 public keys, several valid at once so that they can be rotated, the old ones revoked by raising the device's
//! key epoch, and the check of AWS's signatures with them. Where the epoch is kept is not here.

use heapless::{String, Vec};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};

use crate::der;
use crate::digest::Digest;
use crate::signature::{SignatureKind, SignatureRefusal, Verifier};

/// The longest key id, in bytes.
pub const KEY_ID_BYTES_MAX: usize = 32;

/// An uncompressed point: 0x04 and two coordinates.
const SEC1_BYTES: usize = 65;

/// What stands before an uncompressed P-256 point in a SubjectPublicKeyInfo; nothing in it varies.
/// Source: RFC 5480, section 2, with id-ecPublicKey and secp256r1.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE,
    0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Why bytes do not make a key, or a key does not go into the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// An id over [`KEY_ID_BYTES_MAX`]. Bytes.
    IdTooLong {
        /// Its length.
        got: usize,
        /// The limit.
        max: usize,
    },
    /// Neither an uncompressed point nor a P-256 SubjectPublicKeyInfo with one.
    FormatUnknown {
        /// Bytes handed in.
        len_bytes: usize,
    },
    /// The point is not on the curve.
    NotOnCurve,
    /// The set is full.
    TooManyKeys {
        /// Keys it holds.
        max: usize,
    },
    /// The set has a key of this id.
    IdTaken,
}

/// A public key, the id a job may name it by, and the epoch in which it was issued.
#[derive(Clone, Debug)]
pub struct Key {
    id: String<KEY_ID_BYTES_MAX>,
    epoch: u32,
    public: VerifyingKey,
}

impl Key {
    /// The key `public`, either 65 bytes of an uncompressed point (SEC 1) or 91 bytes of SubjectPublicKeyInfo (DER).
    /// It is of epoch 0, the first to be revoked, unless [`issued_in`](Self::issued_in) says otherwise.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong with the id or the bytes.
    pub fn new(id: &str, public: &[u8]) -> Result<Self, KeyError> {
        let (got, max) = (id.len(), KEY_ID_BYTES_MAX);
        let id = String::try_from(id).map_err(|_| KeyError::IdTooLong { got, max })?;
        let point = public.strip_prefix(&SPKI_PREFIX).unwrap_or(public);
        if point.len() != SEC1_BYTES || point[0] != 4 {
            return Err(KeyError::FormatUnknown { len_bytes: public.len() });
        }
        let public = VerifyingKey::from_sec1_bytes(point).map_err(|_| KeyError::NotOnCurve)?;
        Ok(Self { id, epoch: 0, public })
    }

    /// The same key, of this epoch. A device whose own key epoch is higher takes nothing that the key signs.
    #[must_use]
    pub fn issued_in(self, epoch: u32) -> Self {
        Self { epoch, ..self }
    }

    fn signed(&self, digest: &Digest, signature: &Signature) -> bool {
        self.public.verify_prehash(&digest.0, signature).is_ok()
    }
}

/// Up to `N` keys; a signature by any of them holds, unless the key is revoked.
#[derive(Clone, Debug, Default)]
pub struct KeySet<const N: usize> {
    keys: Vec<Key, N>,
}

impl<const N: usize> KeySet<N> {
    /// A set without keys: it refuses everything.
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
    fn verify(
        &self,
        key_id: Option<&str>,
        kind: SignatureKind,
        digest: &Digest,
        signature: &[u8],
        epoch_min: u32,
    ) -> Result<(), SignatureRefusal> {
        if kind != SignatureKind::Sha256Ecdsa {
            return Err(SignatureRefusal::KindUnsupported { got: kind });
        }
        if self.keys.is_empty() {
            return Err(SignatureRefusal::UnknownKey);
        }
        let (r, s) = der::scalars(signature)?;
        // Zero, or not below the order of the group: nobody's signature.
        let signature = Signature::from_scalars(r, s).map_err(|_| SignatureRefusal::SignatureInvalid)?;
        // A check takes long on a device, so the key that was named comes first.
        let is_named = |key: &&Key| key_id == Some(key.id.as_str());
        let valid = || self.keys.iter().filter(|key| key.epoch >= epoch_min);
        let named = valid().filter(is_named);
        let others = valid().filter(|key| !is_named(key));
        if named.chain(others).any(|key| key.signed(digest, &signature)) {
            return Ok(());
        }
        // Only a key that really made the signature is called revoked: the job's word for it proves nothing.
        let revoked = self.keys.iter().filter(|key| key.epoch < epoch_min);
        match revoked.clone().find(|key| key.signed(digest, &signature)) {
            Some(key) => Err(SignatureRefusal::KeyRevoked { epoch: key.epoch, epoch_min }),
            None if revoked.count() == self.keys.len() => Err(SignatureRefusal::UnknownKey),
            None => Err(SignatureRefusal::SignatureInvalid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{public_key, sha256, sign, signing_key};
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
        assert_eq!(check(&foreign, 4), Err(invalid), "the revoked key did not make it, whatever the job says");
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
    fn scalars_out_of_range_are_invalid() {
        // r = 2^256 - 1 lies above the order of the group.
        let mut der = std::vec![0x30, 38, 2, 33, 0];
        der.extend([0xFF; 32]);
        der.extend([2, 1, 1]);
        assert_eq!(keys().verify(None, KIND, &sha256(b""), &der, 0), Err(SignatureRefusal::SignatureInvalid));
    }

    #[test]
    fn no_key_no_kind_and_no_der_have_names_of_their_own() {
        let digest = sha256(b"image");
        let der = sign(&signing_key("new"), &digest);
        assert_eq!(KeySet::<1>::new().verify(None, KIND, &digest, &der, 0), Err(SignatureRefusal::UnknownKey));
        for got in [SignatureKind::Sha1Rsa, SignatureKind::Sha256Rsa, SignatureKind::Sha1Ecdsa] {
            assert_eq!(keys().verify(None, got, &digest, &der, 0), Err(SignatureRefusal::KindUnsupported { got }));
        }
        let empty = keys().verify(None, KIND, &digest, &[], 0);
        assert_eq!(empty, Err(SignatureRefusal::SignatureMalformed { at_bytes: 0 }));
    }

    #[test]
    fn a_key_comes_as_a_point_or_as_public_key_info() {
        let signing = signing_key("new");
        let point = signing.verifying_key().to_sec1_point(false);
        let spki = [&SPKI_PREFIX[..], point.as_bytes()].concat();
        let digest = sha256(b"image");
        let mut keys = KeySet::<1>::new();
        keys.add(Key::new("spki", &spki).unwrap()).unwrap();
        assert_eq!(keys.verify(None, KIND, &digest, &sign(&signing, &digest), 0), Ok(()));
    }

    #[test]
    fn what_is_no_key_is_refused_by_name() {
        let point = signing_key("new").verifying_key().to_sec1_point(false).as_bytes().to_vec();
        let refused = |id: &str, public: &[u8]| Key::new(id, public).unwrap_err();
        assert_eq!(refused(&"i".repeat(33), &point), KeyError::IdTooLong { got: 33, max: 32 });
        assert!(Key::new(&"i".repeat(32), &point).is_ok());
        assert_eq!(refused("", &[]), KeyError::FormatUnknown { len_bytes: 0 });
        assert_eq!(refused("", &point[..64]), KeyError::FormatUnknown { len_bytes: 64 });
        let compressed = signing_key("new").verifying_key().to_sec1_point(true);
        assert_eq!(refused("", compressed.as_bytes()), KeyError::FormatUnknown { len_bytes: 33 });
        let mut off_curve = point.clone();
        off_curve[64] ^= 1;
        assert_eq!(refused("", &off_curve), KeyError::NotOnCurve);
    }

    #[test]
    fn a_full_set_and_a_taken_id_are_refused() {
        let mut keys = keys();
        assert_eq!(keys.add(public_key("old", &signing_key("x"))), Err(KeyError::IdTaken));
        assert_eq!(keys.add(public_key("third", &signing_key("x"))), Err(KeyError::TooManyKeys { max: 2 }));
        assert!(format!("{}", KeyError::IdTaken).contains("IdTaken"));
    }
}
