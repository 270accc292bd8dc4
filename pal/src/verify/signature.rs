//! The interface to signature verification: the trait, the kinds and the refusals. The keys are in `keys`.

use crate::image::digest::Digest;
use crate::print::print_by_name;

/// A kind of signature. There is none over SHA-1: the agent refuses it where it reads the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureKind {
    /// RSA, PKCS #1 v1.5, over SHA-256: feature `rsa`.
    Sha256Rsa,
    /// ECDSA over SHA-256.
    Sha256Ecdsa,
    /// Ed25519 over the 32 bytes of the SHA-256, specific to this project: feature `ed25519`.
    Sha256Ed25519,
    /// The 32 bytes of the SHA-256 themselves, which no key made: only [`AcceptDigest`] accepts them.
    Digest,
}

/// A signature from a job, decoded from base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    /// The kind named by the job; a key must be of the same kind.
    pub kind: SignatureKind,
    /// The key named by the job. It only determines which key is tried first.
    pub key_id: Option<&'a str>,
    /// The bytes, in the form of the kind: for ECDSA in DER.
    pub bytes: &'a [u8],
}

/// Why a signature is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureRefusal {
    /// No key of this device verifies signatures of this kind.
    KindUnsupported {
        /// The kind.
        got: SignatureKind,
    },
    /// The signature is missing. Only [`AcceptUnsigned`] accepts that.
    SignatureMissing,
    /// Not in the form of its kind: for ECDSA the only DER encoding of two positive integers of at most 32 bytes, for
    /// the others a fixed number of bytes.
    SignatureMalformed {
        /// The offset of the first invalid byte.
        at_bytes: usize,
    },
    /// No key of this device that could have made it is still valid.
    UnknownKey,
    /// No key of this device made it for this digest.
    SignatureInvalid,
    /// The image has another digest.
    DigestMismatch,
    /// A key of this device made it for this digest, but the key is revoked.
    KeyRevoked {
        /// The epoch in which the key was issued.
        epoch: u32,
        /// The device's key epoch: keys of earlier ones are revoked.
        epoch_min: u32,
    },
}

print_by_name!(SignatureRefusal);

/// Decides whether a signature over an image is valid. The key determines the algorithm, never the message.
pub trait Verifier {
    /// Checks whether an image may have a signature of this kind, or, for `None`, no signature. Called before anything
    /// is fetched, and for an unsigned image again at the end in place of [`verify`](Self::verify).
    ///
    /// # Errors
    /// [`SignatureRefusal::SignatureMissing`], [`SignatureRefusal::KindUnsupported`], [`SignatureRefusal::UnknownKey`].
    ///
    /// [`verify`](Self::verify) is called for kinds that were accepted here.
    fn check_kind(&self, kind: Option<SignatureKind>) -> Result<(), SignatureRefusal> {
        match kind {
            None => Err(SignatureRefusal::SignatureMissing),
            Some(got @ SignatureKind::Digest) => Err(SignatureRefusal::KindUnsupported { got }),
            Some(_) => Ok(()),
        }
    }

    /// Checks that one of the device's keys signed `digest`. `key_id` comes from the job and is not trusted: it may
    /// select the key to try first and must not decide anything else. Keys issued before `epoch_min`, the device's key
    /// epoch, are revoked: their signatures are never valid.
    ///
    /// # Errors
    /// [`SignatureRefusal`] unless the signature is valid.
    fn verify(
        &self,
        key_id: Option<&str>,
        kind: SignatureKind,
        digest: &Digest,
        signature: &[u8],
        epoch_min: u32,
    ) -> Result<(), SignatureRefusal>;
}

/// Accepts images without a signature: for development, before images are signed.
///
/// A signature that is present must be valid under `V`. This gives no protection: an attacker who can change a job, the
/// network or the cloud can remove the signature and run any code on the device.
#[derive(Clone, Copy, Debug, Default)]
pub struct AcceptUnsigned<V>(pub V);

impl<V: Verifier> Verifier for AcceptUnsigned<V> {
    fn check_kind(&self, kind: Option<SignatureKind>) -> Result<(), SignatureRefusal> {
        kind.map_or(Ok(()), |kind| self.0.check_kind(Some(kind)))
    }

    fn verify(
        &self,
        key_id: Option<&str>,
        kind: SignatureKind,
        digest: &Digest,
        signature: &[u8],
        epoch_min: u32,
    ) -> Result<(), SignatureRefusal> {
        self.0.verify(key_id, kind, digest, signature, epoch_min)
    }
}

/// Accepts images without a signature whose digest the application has, as Microchip's Harmony does: for systems whose
/// application gets it over an authenticated channel.
///
/// A signature must be valid under `V`. The digest protects from transmission errors, and from an attacker who can change the
/// network but not that channel; not from one who can give the application a digest.
#[derive(Clone, Copy, Debug, Default)]
pub struct AcceptDigest<V>(pub V);

impl<V: Verifier> Verifier for AcceptDigest<V> {
    fn check_kind(&self, kind: Option<SignatureKind>) -> Result<(), SignatureRefusal> {
        match kind {
            Some(SignatureKind::Digest) => Ok(()),
            kind => self.0.check_kind(kind),
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
        match kind {
            SignatureKind::Digest if signature == digest.0 => Ok(()),
            SignatureKind::Digest => Err(SignatureRefusal::DigestMismatch),
            kind => self.0.verify(key_id, kind, digest, signature, epoch_min),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{public_key, sha256, sign, signing_key};
    use crate::verify::keys::KeySet;

    const KIND: SignatureKind = SignatureKind::Sha256Ecdsa;

    /// A verifier as in a chip with keys of its own: it does not implement `check_kind`.
    struct Chip;

    impl Verifier for Chip {
        fn verify(
            &self,
            _: Option<&str>,
            _: SignatureKind,
            _: &Digest,
            _: &[u8],
            _: u32,
        ) -> Result<(), SignatureRefusal> {
            Ok(())
        }
    }

    fn keys() -> KeySet<1> {
        let mut keys = KeySet::new();
        keys.add(public_key("key", &signing_key("key"))).unwrap();
        keys
    }

    #[test]
    fn no_verifier_does_without_a_signature_unless_its_name_says_so() {
        let missing = Err(SignatureRefusal::SignatureMissing);
        assert_eq!(
            (keys().check_kind(None), KeySet::<1>::new().check_kind(None), Chip.check_kind(None)),
            (missing, missing, missing)
        );
        assert_eq!((AcceptUnsigned(keys()).check_kind(None), AcceptUnsigned(Chip).check_kind(None)), (Ok(()), Ok(())));
    }

    #[test]
    fn a_digest_alone_is_accepted_only_where_the_name_shows_it_and_only_that_of_the_image() {
        let got = SignatureKind::Digest;
        let refused = Err(SignatureRefusal::KindUnsupported { got });
        let by = |verifier: &dyn Verifier| verifier.check_kind(Some(got));
        assert_eq!((by(&keys()), by(&Chip), by(&AcceptUnsigned(keys()))), (refused, refused, refused));
        let (digest, other, bench) = (sha256(b"image"), sha256(b"other"), AcceptDigest(keys()));
        assert_eq!((by(&bench), bench.check_kind(None)), (Ok(()), Err(SignatureRefusal::SignatureMissing)));
        let verify = |kind, bytes: &[u8]| bench.verify(None, kind, &digest, bytes, 0);
        assert_eq!(verify(got, &digest.0), Ok(()));
        for bytes in [&other.0[..], &digest.0[..31], &[], &[&digest.0[..], &[0]].concat()] {
            assert_eq!(verify(got, bytes), Err(SignatureRefusal::DigestMismatch));
        }
        assert_eq!(verify(KIND, &sign(&signing_key("key"), &digest)), Ok(()));
        assert_eq!(verify(KIND, &sign(&signing_key("other"), &digest)), Err(SignatureRefusal::SignatureInvalid));
    }

    #[test]
    fn a_signature_that_is_there_must_hold_although_one_may_be_missing() {
        let (digest, bench) = (sha256(b"image"), AcceptUnsigned(keys()));
        let check = |name| bench.verify(None, KIND, &digest, &sign(&signing_key(name), &digest), 0);
        assert_eq!((check("key"), check("foreign")), (Ok(()), Err(SignatureRefusal::SignatureInvalid)));
        let got = SignatureKind::Sha256Rsa;
        assert_eq!(bench.check_kind(Some(got)), Err(SignatureRefusal::KindUnsupported { got }));
    }

    #[test]
    fn a_kind_is_accepted_where_a_key_makes_it() {
        assert_eq!((keys().check_kind(Some(KIND)), Chip.check_kind(Some(SignatureKind::Sha256Rsa))), (Ok(()), Ok(())));
        assert_eq!(KeySet::<1>::new().check_kind(Some(KIND)), Err(SignatureRefusal::UnknownKey));
    }
}
