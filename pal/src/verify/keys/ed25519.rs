//! Ed25519 keys (feature `ed25519`). The signed message is the 32 bytes of the file's SHA-256: plain Ed25519 over the
//! whole file would have to read the file twice. It is not Ed25519ph, which hashes with SHA-512, and AWS has no such
//! kind of signature.
//!
//! salty contains assembly for some Cortex-M cores as an archive of object code. It is disabled (`slow-motion`): code
//! that verifies firmware is built from source, and one such core lacks an instruction that the archive needs.

use salty::{CompressedY, EdwardsPoint, Scalar, Signature};

use super::error::KeyError;
use crate::image::digest::Digest;
use crate::verify::signature::SignatureRefusal;

const POINT_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;

/// Points of an order that divides this are in a group too small to sign with. Source: RFC 8032, section 5.1, 2^c.
const COFACTOR: u64 = 8;

/// The only encoding of a point of the curve. Its coordinates, 512 bytes in salty, are computed for each verification.
#[derive(Clone, Debug)]
pub(super) struct PublicKey([u8; POINT_BYTES]);

impl PublicKey {
    /// Parses the key in these 32 bytes.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: &[u8; POINT_BYTES] =
            bytes.try_into().map_err(|_| KeyError::FormatUnknown { len_bytes: bytes.len() })?;
        let encoded = CompressedY::from(bytes);
        let point = encoded.decompressed().map_err(|_| KeyError::NotOnCurve)?;
        if point.compressed() != encoded {
            return Err(KeyError::NotOnCurve);
        }
        if &Scalar::from(COFACTOR) * &point == EdwardsPoint::neutral_element() {
            return Err(KeyError::WeakPoint);
        }
        Ok(Self(*bytes))
    }

    /// Verifies `signature`, the 64 bytes of RFC 8032, over this digest.
    pub(super) fn verify(&self, digest: &Digest, signature: &[u8]) -> Result<(), SignatureRefusal> {
        let at_bytes = signature.len().min(SIGNATURE_BYTES);
        let signature: &[u8; SIGNATURE_BYTES] =
            signature.try_into().map_err(|_| SignatureRefusal::SignatureMalformed { at_bytes })?;
        let signature = Signature::from(signature);
        // A value not below the order of the group would be a second signature for the same bytes. RFC 8032, section
        // 5.1.7.
        if !signature.s.is_canonical() {
            return Err(SignatureRefusal::SignatureInvalid);
        }
        let verified = salty::PublicKey::try_from(&self.0).and_then(|key| key.verify(&digest.0, &signature));
        verified.map_err(|_| SignatureRefusal::SignatureInvalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{OpenSsl, sha256};
    use crate::verify::keys::Key;
    use crate::verify::signature::SignatureKind;
    use salty::Keypair;
    use sha2::{Digest as _, Sha256};

    const INVALID: Result<(), SignatureRefusal> = Err(SignatureRefusal::SignatureInvalid);

    /// A key pair for one test run: its seed is the hash of a name.
    fn pair(name: &str) -> (Keypair, PublicKey) {
        let seed: [u8; 32] = Sha256::digest(name).into();
        let pair = Keypair::from(&seed);
        let public = PublicKey::parse(pair.public.as_bytes()).unwrap();
        (pair, public)
    }

    /// The order of the group, little endian. Source: RFC 8032, section 5.1, L.
    const ORDER: [u8; 32] = [
        0xED, 0xD3, 0xF5, 0x5C, 0x1A, 0x63, 0x12, 0x58, 0xD6, 0x9C, 0xF7, 0xA2, 0xDE, 0xF9, 0xDE, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];

    #[test]
    fn only_the_keys_own_signature_over_this_digest_holds() {
        let ((pair, key), (foreign, _)) = (pair("ours"), pair("foreign"));
        let (digest, other) = (sha256(b"image"), sha256(b"other"));
        assert_eq!(key.verify(&digest, &pair.sign(&digest.0).to_bytes()), Ok(()));
        assert_eq!(key.verify(&other, &pair.sign(&digest.0).to_bytes()), INVALID);
        assert_eq!(key.verify(&digest, &foreign.sign(&digest.0).to_bytes()), INVALID);
        assert_eq!(key.verify(&digest, &pair.sign(b"image").to_bytes()), INVALID, "the file itself is not the message");
    }

    #[test]
    fn every_changed_byte_and_every_other_length_is_refused() {
        let (pair, key) = pair("ours");
        let digest = sha256(b"image");
        let signature = pair.sign(&digest.0).to_bytes();
        for index in 0..SIGNATURE_BYTES {
            let mut changed = signature;
            changed[index] ^= 1;
            assert_eq!(key.verify(&digest, &changed), INVALID, "byte {index}");
        }
        for (bytes, at_bytes) in [(&signature[..63], 63), (&[], 0), (&[signature, signature].concat(), 64)] {
            let malformed = Err(SignatureRefusal::SignatureMalformed { at_bytes });
            assert_eq!(key.verify(&digest, bytes), malformed);
        }
    }

    #[test]
    fn a_second_signature_for_the_same_bytes_is_refused() {
        let (pair, key) = pair("ours");
        let digest = sha256(b"image");
        let mut signature = pair.sign(&digest.0).to_bytes();
        let mut carry = 0;
        for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            (*byte, carry) = (sum as u8, sum >> 8);
        }
        assert_eq!(carry, 0);
        assert_eq!(key.verify(&digest, &signature), INVALID);
    }

    #[test]
    fn what_is_no_key_is_refused_by_name() {
        let refused = |bytes: &[u8]| PublicKey::parse(bytes).unwrap_err();
        assert_eq!(refused(&[1; 31]), KeyError::FormatUnknown { len_bytes: 31 });
        assert_eq!(refused(&[1; 33]), KeyError::FormatUnknown { len_bytes: 33 });
        let mut off_curve = [0; 32];
        off_curve[0] = 2;
        assert_eq!(refused(&off_curve), KeyError::NotOnCurve);
        assert_eq!(refused(&[0; 32]), KeyError::WeakPoint, "of order 4");
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert_eq!(refused(&neutral), KeyError::WeakPoint);
        neutral[31] = 0x80;
        assert_eq!(refused(&neutral), KeyError::NotOnCurve, "x is 0, so its sign must not be set");
        assert_eq!(refused(&[0xFF; 32]), KeyError::NotOnCurve, "erased flash: 18, written as 18 + p");
    }

    #[test]
    fn openssl_signs_what_holds_here() {
        let openssl = OpenSsl::new();
        openssl.run("genpkey -algorithm ed25519 -out @private.pem");
        openssl.run("pkey -in @private.pem -pubout -outform DER -out @public.der");
        let digest = sha256(b"image");
        openssl.write("digest", &digest.0);
        openssl.run("pkeyutl -sign -inkey @private.pem -rawin -in @digest -out @signature");
        let key = Key::new("", &openssl.read("public.der")).unwrap();
        assert_eq!(key.kind(), SignatureKind::Sha256Ed25519);
        assert_eq!(key.public.verify(&digest, &openssl.read("signature")), Ok(()));
        assert_eq!(key.public.verify(&sha256(b"other"), &openssl.read("signature")), INVALID);
    }
}
