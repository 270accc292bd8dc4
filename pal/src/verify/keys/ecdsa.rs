//! ECDSA P-256 keys and the verification of AWS's signatures. `der` parses the signatures.

use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};

use super::error::KeyError;
use crate::image::digest::Digest;
use crate::verify::der;
use crate::verify::signature::SignatureRefusal;

/// An uncompressed point: 0x04 and two coordinates.
const SEC1_BYTES: usize = 65;

/// The bytes before an uncompressed P-256 point in a SubjectPublicKeyInfo; they are constant. Source: RFC 5480, section
/// 2, with id-ecPublicKey and secp256r1.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE,
    0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A point of the curve.
#[derive(Clone, Debug)]
pub(super) struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Parses a key in SubjectPublicKeyInfo or as an uncompressed point.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let point = bytes.strip_prefix(&SPKI_PREFIX).unwrap_or(bytes);
        if point.len() != SEC1_BYTES || point[0] != 4 {
            return Err(KeyError::FormatUnknown { len_bytes: bytes.len() });
        }
        VerifyingKey::from_sec1_bytes(point).map(Self).map_err(|_| KeyError::NotOnCurve)
    }

    /// Verifies `signature`, in DER, over this digest.
    pub(super) fn verify(&self, digest: &Digest, signature: &[u8]) -> Result<(), SignatureRefusal> {
        let (r, s) = der::scalars(signature)?;
        // Zero, or not below the order of the group: not a valid signature of any key.
        let signature = Signature::from_scalars(r, s).map_err(|_| SignatureRefusal::SignatureInvalid)?;
        self.0.verify_prehash(&digest.0, &signature).map_err(|_| SignatureRefusal::SignatureInvalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{sha256, sign, signing_key};

    #[test]
    fn scalars_out_of_range_are_invalid() {
        // r = 2^256 - 1 is above the order of the group.
        let mut der = std::vec![0x30, 38, 2, 33, 0];
        der.extend([0xFF; 32]);
        der.extend([2, 1, 1]);
        let key = PublicKey(*signing_key("new").verifying_key());
        assert_eq!(key.verify(&sha256(b""), &der), Err(SignatureRefusal::SignatureInvalid));
    }

    #[test]
    fn a_key_comes_as_a_point_or_as_public_key_info() {
        let signing = signing_key("new");
        let point = signing.verifying_key().to_sec1_point(false);
        let spki = [&SPKI_PREFIX[..], point.as_bytes()].concat();
        let digest = sha256(b"image");
        for bytes in [point.as_bytes(), &spki] {
            assert_eq!(PublicKey::parse(bytes).unwrap().verify(&digest, &sign(&signing, &digest)), Ok(()));
        }
    }

    #[test]
    fn what_is_no_key_is_refused_by_name() {
        let point = signing_key("new").verifying_key().to_sec1_point(false).as_bytes().to_vec();
        let refused = |public: &[u8]| PublicKey::parse(public).unwrap_err();
        assert_eq!(refused(&[]), KeyError::FormatUnknown { len_bytes: 0 });
        assert_eq!(refused(&point[..64]), KeyError::FormatUnknown { len_bytes: 64 });
        let compressed = signing_key("new").verifying_key().to_sec1_point(true);
        assert_eq!(refused(compressed.as_bytes()), KeyError::FormatUnknown { len_bytes: 33 });
        for first in [0, 2, 3, 5] {
            let other = [&[first], &point[1..]].concat();
            assert_eq!(refused(&other), KeyError::FormatUnknown { len_bytes: 65 });
        }
        let mut off_curve = point.clone();
        off_curve[64] ^= 1;
        assert_eq!(refused(&off_curve), KeyError::NotOnCurve);
    }
}
