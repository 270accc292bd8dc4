//! Derives the kind of a signature from its format. Its validity is verified by the device.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ota_jobs::document::SignatureKind;

const ED25519_BYTES: usize = 64;
/// Lengths for 2048 and 3072 bits.
const RSA_BYTES: [usize; 2] = [256, 384];

/// Returns the kind of a signature in base64. An unknown format is treated as ECDSA, AWS's default; the device rejects it.
pub fn kind(text: &str) -> SignatureKind {
    match STANDARD.decode(text).as_deref() {
        // Two INTEGERs in a SEQUENCE of exactly this length; an Ed25519 signature has this form with a probability of 2^-32.
        Ok([0x30, 62, 2, r, rest @ ..]) if rest.get(usize::from(*r)) == Some(&2) => SignatureKind::Sha256Ecdsa,
        Ok(bytes) if bytes.len() == ED25519_BYTES => SignatureKind::Sha256Ed25519,
        Ok(bytes) if RSA_BYTES.contains(&bytes.len()) => SignatureKind::Sha256Rsa,
        _ => SignatureKind::Sha256Ecdsa,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_determines_the_kind() {
        let mut der = vec![0x30, 62, 2, 28];
        der.extend([7; 28]);
        der.extend([2, 30]);
        der.extend([7; 30]);
        assert_eq!((der.len(), kind(&STANDARD.encode(&der))), (64, SignatureKind::Sha256Ecdsa));
        for (len, expected) in [
            (70, SignatureKind::Sha256Ecdsa),
            (64, SignatureKind::Sha256Ed25519),
            (256, SignatureKind::Sha256Rsa),
            (384, SignatureKind::Sha256Rsa),
            (0, SignatureKind::Sha256Ecdsa),
        ] {
            assert_eq!(kind(&STANDARD.encode(vec![0x30; len])), expected, "{len}");
        }
        assert_eq!(kind("not base64"), SignatureKind::Sha256Ecdsa);
    }
}
